"""Columns side by side in a real browser: settings, files, blind votes, feedback and examples."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.gateway.world import World
from tests.playground.browser import answered, ask, person, sign_in

pytestmark = pytest.mark.browser


def test_columns_run_stop_and_differ_by_themselves(
    page: Page, world: World, second_model: str, complaints: list[str]
) -> None:
    sign_in(page, world)
    page.get_by_test_id("add-column").click()
    page.keyboard.press("Escape")
    page.locator("body").click(position={"x": 5, "y": 5})
    page.keyboard.press("+")
    expect(page.get_by_test_id("column")).to_have_count(3)
    page.get_by_test_id("remove-column").last.click()
    expect(page.get_by_test_id("column")).to_have_count(2)
    page.get_by_test_id("model").nth(1).select_option(second_model)
    ask(page, "Both [[chunks=200 delay_ms=40]]")
    expect(page.get_by_test_id("first-token").nth(1)).to_contain_text("first token")
    page.get_by_test_id("stop-column").nth(1).click()
    expect(page.locator(".answer-state").nth(1)).to_have_text("stopped")
    expect(page.locator(".answer-state").nth(0)).to_have_text("streaming")
    answered(page, 2)
    page.get_by_label("View", exact=True).click()
    page.get_by_test_id("differ").check()
    expect(page.get_by_test_id("difference").nth(1)).to_be_visible()
    expect(page.get_by_test_id("difference").nth(1).locator("del")).not_to_have_count(0)
    page.get_by_test_id("differ").uncheck()
    expect(page.get_by_test_id("answer").nth(1)).to_be_visible()
    page.get_by_test_id("sync").check()
    page.locator(".column-scroll").nth(0).evaluate("column => (column.scrollTop = 0)")
    expect(page.locator(".column-scroll").nth(0)).to_be_visible()
    assert complaints == []


def test_settings_hold_what_the_model_can_do(page: Page, world: World, second_model: str) -> None:
    world.shell.run(
        """
model = Model.objects.get(slug="fake-chat")
registry.update_model(actor=actor, model=model, capabilities=["streaming", "tools"])
"""
    )
    sign_in(page, world)
    page.get_by_test_id("settings").click()
    expect(page.get_by_test_id("tools")).to_be_visible()
    expect(page.get_by_test_id("schema")).to_be_hidden()
    page.get_by_test_id("system").fill("Be terse.")
    page.get_by_label("Temperature").fill("7")
    expect(page.locator("[data-error=temperature]")).to_contain_text("From 0 to 2")
    page.get_by_label("Temperature").fill("0.5")
    page.get_by_test_id("tools").fill("{")
    expect(page.locator("[data-error=tools]")).not_to_be_empty()
    tool = {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}
    page.get_by_test_id("tools").fill(json.dumps([tool]))
    page.get_by_role("button", name="Done").click()
    ask(page, "Weather [[tool=1]]")
    page.get_by_test_id("tool-result").fill("Sunny")
    page.get_by_test_id("continue").click()
    expect(page.get_by_test_id("answer")).to_have_count(2)
    answered(page, 2)
    page.get_by_test_id("view-code").click()
    code = page.get_by_test_id("code")
    expect(code).to_contain_text("LOBBY_API_KEY")
    expect(code).to_contain_text('"temperature": 0.5')
    for language in ("Python", "JavaScript", "boto3"):
        page.get_by_role("tab", name=language).click()
        expect(code.get_by_role("tabpanel", name=language)).to_contain_text("LOBBY_API_KEY")


def test_files_go_with_the_message(page: Page, world: World, second_model: str, tmp_path: Path) -> None:
    notes = tmp_path / "notes.md"
    notes.write_text("# Notes of the meeting")
    sign_in(page, world, then=f"/playground/?project=app-1&model={second_model}")
    pixel = tmp_path / "p.png"
    pixel.write_bytes(bytes.fromhex("89504e470d0a1a0a"))
    page.get_by_test_id("file-input").set_input_files([notes, pixel])
    expect(page.get_by_test_id("file")).to_contain_text(["notes.md", "p.png"])
    ask(page, "Read these")
    answered(page)
    expect(page.locator(".question-files .chip")).to_contain_text("notes.md")
    assert page.locator(".question-files img").count() == 1
    page.reload()
    expect(page.locator(".question-files img")).to_have_attribute("src", re.compile(r"^/playground/files/\d+/$"))
    # They stay with a message that is edited, each until it is taken away, and with one that is asked again.
    page.get_by_test_id("edit-turn").click()
    expect(page.get_by_test_id("file")).to_contain_text(["notes.md", "p.png"])
    page.get_by_label("Remove p.png").click()
    ask(page, "Read this")
    expect(page.get_by_test_id("branches")).to_contain_text("2 of 2")
    answered(page)
    expect(page.locator(".question-files .chip")).to_have_text("notes.md")
    assert page.locator(".question-files img").count() == 0
    page.get_by_test_id("again").click()
    expect(page.get_by_test_id("branches")).to_contain_text("3 of 3")
    answered(page)
    assert "# Notes of the meeting" in world.fake.requests()[-1]["body"]
    # And they are in the code of the call, but for the bytes of images.
    page.get_by_test_id("view-code").click()
    expect(page.get_by_test_id("code")).to_contain_text("# Notes of the meeting")


def test_a_blind_vote_hides_then_reveals(page: Page, world: World, second_model: str, complaints: list[str]) -> None:
    sign_in(page, world)
    page.locator("body").click(position={"x": 5, "y": 5})
    page.get_by_label("View", exact=True).click()
    page.get_by_test_id("blind").check()
    expect(page.get_by_test_id("column")).to_have_count(2)
    page.get_by_test_id("model").nth(0).select_option("fake-chat")
    page.get_by_test_id("model").nth(1).select_option(second_model)
    ask(page, "Which is better? [[chunks=4]]")
    expect(page.get_by_test_id("vote-a")).to_be_visible()
    page.reload()
    expect(page.get_by_test_id("vote-b")).to_be_visible()
    for hidden in ("cost", "first-token", "tokens"):
        assert page.get_by_test_id(hidden).all_inner_texts() == ["", ""]
    conversation = json.loads(page.locator("#play-data").inner_text())["conversation"]
    assert second_model not in json.dumps(conversation)
    page.locator("body").click(position={"x": 5, "y": 5})
    page.keyboard.press("b")
    revealed = page.get_by_test_id("revealed")
    expect(revealed).to_contain_text(second_model)
    expect(revealed).to_contain_text("You preferred B")
    expect(page.get_by_test_id("live")).to_contain_text(second_model)
    expect(page.get_by_test_id("vote-a")).to_be_hidden()
    said = revealed.inner_text()
    page.reload()
    expect(revealed).to_have_text(said)
    shown = {page.get_by_test_id("model").nth(at).input_value() for at in (0, 1)}
    assert shown == {"fake-chat", second_model}
    pairs = world.shell.run(
        """
from apps.playground.models import Vote
vote = Vote.objects.unscoped("test").latest("pk")
result = [vote.winner, vote.model_a, vote.model_b]
"""
    )
    assert pairs[0] == "b"
    assert set(pairs[1:]) == shown
    assert complaints == []


def test_every_key_of_a_blind_comparison_votes(page: Page, world: World, second_model: str) -> None:
    sign_in(page, world, then=f"/playground/?project=app-1&model=fake-chat&model={second_model}")
    for key, winner in (("a", "a"), ("t", "tie"), ("x", "both_bad")):
        page.goto(f"{world.lobby.url}/playground/?project=app-1&model=fake-chat&model={second_model}")
        page.get_by_label("View", exact=True).click()
        page.get_by_test_id("blind").check()
        ask(page, f"By the key {key} [[chunks=2]]")
        expect(page.get_by_test_id("vote-a")).to_be_visible()
        page.locator("body").click(position={"x": 5, "y": 5})
        page.keyboard.press(key)
        expect(page.get_by_test_id("vote-a")).to_be_hidden()
        said = """
from apps.playground.models import Vote
result = Vote.objects.unscoped("test").latest("pk").winner
"""
        assert world.shell.run(said) == winner


def test_feedback_reaches_those_who_answer_for_the_model(page: Page, world: World) -> None:
    sign_in(page, world)
    ask(page, "Judge me [[chunks=3]]")
    answered(page)
    page.get_by_test_id("thumb-up").click()
    expect(page.get_by_test_id("thumb-up")).to_have_attribute("aria-pressed", "true")
    page.get_by_test_id("thumb-down").click()
    page.get_by_text("Fabricated").click()
    page.get_by_test_id("feedback-note").fill("There is no such thing.")
    page.get_by_test_id("feedback-save").click()
    expect(page.get_by_test_id("thumb-down")).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_test_id("feedback")).to_contain_text("Thank you")
    said = world.shell.run(
        """
from apps.playground.models import Feedback
result = list(Feedback.objects.unscoped("test").values_list("verdict", "reasons", "note"))
"""
    )
    assert ["down", ["fabricated"], "There is no such thing."] in said


def test_an_example_is_shared_by_its_key_and_gone_on_from(browser: Browser, page: Page, world: World) -> None:
    sign_in(page, world)
    ask(page, "Good exchange [[chunks=3]]")
    answered(page)
    page.locator(".column-scroll").click()
    page.keyboard.press("e")
    page.locator("#example-form").get_by_label("Title").fill("A model exchange")
    page.locator("#example-form").get_by_label("Use case").select_option("draft")
    page.get_by_test_id("example-save").click()
    page.get_by_test_id("example-link").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("A model exchange")
    with person(browser, world, []) as mate:
        sign_in(mate, world, "dev2", "/examples/")
        mate.get_by_role("link", name="A model exchange").click()
        mate.get_by_role("button", name="Go on").click()
        mate.wait_for_url("**/playground/?conversation=**")
        expect(mate.get_by_test_id("answer")).to_have_count(1)
