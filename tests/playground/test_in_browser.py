"""The playground in a real browser, in front of a fake upstream: chat, compare, stop, reconnect, branch, share."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.axe import grave_violations
from tests.gateway.world import World
from tests.playground.browser import HOME, answered, ask, connected, person, sign_in

pytestmark = pytest.mark.browser


# Chat.


def test_an_answer_streams_and_its_cost_is_the_ledgers(
    page: Page, world: World, second_model: str, complaints: list[str]
) -> None:
    sign_in(page, world, then=f"/playground/?project=app-1&model={second_model}")
    expect(page.get_by_test_id("estimate")).to_contain_text("tokens in")
    ask(page, "Hello [[chunks=30 delay_ms=30]]")
    expect(page.get_by_test_id("first-token")).to_contain_text("first token")
    expect(page.get_by_test_id("stop")).to_be_visible()  # while it streams
    answered(page)
    assert page.get_by_test_id("answer").inner_text().strip()
    expect(page.get_by_test_id("tokens")).to_have_text(re.compile(r"\d+ in, 30 out"))
    expect(page.get_by_test_id("cost")).to_have_text(re.compile(r"^\$0\.\d+$"), timeout=10_000)
    expect(page).to_have_url(re.compile(r"/playground/\?conversation=[\w-]{16}$"))
    expect(page.get_by_test_id("live")).to_contain_text("answered")
    said = page.get_by_test_id("answer").inner_text()
    page.reload()
    expect(page.get_by_test_id("answer")).to_have_text(said)
    page.get_by_test_id("why").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Answered")
    assert complaints == []


def test_stop_hangs_up_and_what_came_is_counted(page: Page, world: World) -> None:
    sign_in(page, world)
    ask(page, "Long [[chunks=400 delay_ms=50]]")
    expect(page.get_by_test_id("first-token")).to_contain_text("first token")
    page.keyboard.press("Escape")
    expect(page.locator(".answer-state")).to_have_text("stopped")
    answered(page)
    out = int(re.search(r"(\d+) out", page.get_by_test_id("tokens").inner_text())[1])  # type: ignore[index]
    assert 0 < out < 400
    page.get_by_test_id("why").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("The caller left")


def test_an_error_says_what_to_do_in_its_column(page: Page, world: World) -> None:
    sign_in(page, world)
    ask(page, "Fail [[fail=503]]")
    expect(page.get_by_test_id("error")).to_be_visible()
    page.get_by_test_id("why").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("The provider failed")


def test_a_refusal_by_a_limit_names_it_and_who_can_change_it(page: Page, world: World) -> None:
    world.shell.run(
        """
tenant = Tenant.objects.unscoped("test").get(slug="acme")
project = services.create_project(actor=actor, tenant=tenant, slug="narrow", name="narrow")
services.set_rate_limit(actor=actor, tenant=tenant, project=project, metric="requests", limit=1)
"""
    )
    sign_in(page, world)
    page.get_by_test_id("project").select_option("narrow")
    page.get_by_test_id("model").select_option("fake-chat")
    deadline = time.monotonic() + 20
    error = page.get_by_test_id("error").last
    # The gateway learns of the new project within a second; then the second call in a minute is one too many.
    while error.count() == 0 or "1 requests per minute" not in error.inner_text():
        assert time.monotonic() < deadline
        ask(page, "Hello")
        expect(page.get_by_test_id("stop")).to_be_hidden()
        page.wait_for_timeout(300)
    expect(error).to_contain_text("an admin of tenant acme")


def test_whoever_only_looks_is_told_so(page: Page, world: World) -> None:
    sign_in(page, world, "look", "/playground/")
    expect(page.get_by_text("Calls are made as a member who may call models")).to_be_visible()


# Compare.


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


# Reconnect.


def test_a_cut_connection_goes_on_where_it_was(page: Page, world: World, complaints: list[str]) -> None:
    sign_in(page, world)
    ask(page, "Long [[chunks=80 delay_ms=40 stamp=1]]")
    expect(page.get_by_test_id("first-token")).to_contain_text("first token")
    page.evaluate("() => window.lobbyPlayground.connection.socket.close()")
    expect(page.get_by_test_id("connection")).to_be_visible()
    connected(page)
    answered(page)
    numbers = [int(number) for number in re.findall(r"(\d+)@", page.get_by_test_id("answer").inner_text())]
    assert numbers == list(range(80)), "each token once, in its order"
    assert complaints == []


def test_another_tab_joins_a_running_answer(page: Page, world: World) -> None:
    sign_in(page, world)
    ask(page, "Long [[chunks=120 delay_ms=30 stamp=1]]")
    expect(page.get_by_test_id("first-token")).to_contain_text("first token")
    expect(page).to_have_url(re.compile(r"conversation="))
    tab = page.context.new_page()
    tab.goto(page.url)
    expect(tab.get_by_test_id("stop")).to_be_visible()
    page.close()
    answered(tab)
    expect(tab.get_by_test_id("figures")).to_be_in_viewport()  # it follows what comes to its end
    numbers = [int(number) for number in re.findall(r"(\d+)@", tab.get_by_test_id("answer").inner_text())]
    assert numbers == list(range(120))


def test_without_a_websocket_the_page_says_so(page: Page, world: World) -> None:
    page.add_init_script(
        """
        window.WebSocket = class extends EventTarget {
          constructor() { super(); setTimeout(() => this.dispatchEvent(new CloseEvent("close", {code: 1006})), 1); }
          get readyState() { return 3; }
          send() {} close() {}
        };
        Object.assign(window.WebSocket, {CONNECTING: 0, OPEN: 1, CLOSING: 2, CLOSED: 3});
        """
    )
    sign_in(page, world)
    expect(page.get_by_test_id("connection")).to_contain_text("A proxy between you and Lobby may block websockets")


# Conversations.


def test_branches_are_kept_and_can_be_turned_to(page: Page, world: World) -> None:
    sign_in(page, world)
    ask(page, "First question [[chunks=3]]")
    answered(page)
    ask(page, "Follow up [[chunks=4]]")
    answered(page, 2)
    page.get_by_test_id("edit-turn").last.click()
    expect(page.get_by_test_id("composer")).to_have_value("Follow up [[chunks=4]]")
    expect(page.get_by_test_id("branching")).to_contain_text("new branch in the place of")
    ask(page, "Other way [[chunks=5]]")
    expect(page.get_by_test_id("branches")).to_contain_text("2 of 2")
    answered(page, 2)
    page.get_by_label("Branch before").click()
    expect(page.locator(".question-text").last).to_have_text("Follow up [[chunks=4]]")
    page.get_by_test_id("branch").first.click()
    expect(page.get_by_test_id("branching")).to_contain_text("First question")
    ask(page, "Third way [[chunks=2]]")
    expect(page.get_by_test_id("branches")).to_contain_text("3 of 3")
    answered(page, 2)
    page.reload()
    expect(page.get_by_test_id("branches")).to_contain_text("3 of 3")


def test_conversations_are_found_renamed_exported_and_deleted(page: Page, world: World) -> None:
    sign_in(page, world)
    ask(page, "About zeppelins [[chunks=3]]")
    answered(page)
    page.get_by_test_id("menu").click()
    page.get_by_role("button", name="Rename").click()
    page.get_by_test_id("rename-title").fill("Airships")
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("title")).to_have_text("Airships")
    page.get_by_test_id("search").press_sequentially("zeppelins")
    expect(page.locator(".conversation")).to_have_count(1)
    expect(page.locator(".conversation")).to_contain_text("Airships")
    for name, holds in (("Export Markdown", "# Airships"), ("Export JSON", '"title": "Airships"')):
        page.get_by_test_id("menu").click()
        with page.expect_download() as downloading:
            page.get_by_role("button", name=name).click()
        assert holds in Path(downloading.value.path()).read_text()
    page.get_by_test_id("menu").click()
    page.get_by_test_id("delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    page.wait_for_url("**/playground/")
    page.get_by_test_id("search").press_sequentially("zeppelins")
    expect(page.locator(".conversation")).to_have_count(0)


def test_a_permalink_is_read_and_forked_inside_the_tenant_alone(browser: Browser, page: Page, world: World) -> None:
    sign_in(page, world)
    ask(page, "Share this [[chunks=3]]")
    answered(page)
    page.get_by_test_id("menu").click()
    page.get_by_role("button", name="Share in the tenant").click()
    link = str(page.locator("#conversation-state [data-copy-text]").get_attribute("data-copy-text"))
    path = link.removeprefix(world.lobby.url)
    page.get_by_role("button", name="Done").last.click()
    expect(page.locator("#play-shared")).to_be_visible()
    with person(browser, world, []) as mate:
        sign_in(mate, world, "dev2", path)
        expect(mate.locator(".said")).to_contain_text("Share this [[chunks=3]]")
        mate.get_by_test_id("shared-fork").click()
        mate.wait_for_url("**/playground/?conversation=**")
        ask(mate, "Go on [[chunks=2]]")
        expect(mate.get_by_test_id("answer")).to_have_count(2)
    with person(browser, world, []) as stranger:
        sign_in(stranger, world, "theirs", path)
        expect(stranger.get_by_text("Share this")).to_have_count(0)
        assert stranger.goto(link).status == 404  # type: ignore[union-attr]
        assert stranger.goto(page.url).status == 404  # type: ignore[union-attr]


def test_two_tenants_side_by_side_see_no_trace_of_each_other(
    browser: Browser, page: Page, world: World, second_model: str
) -> None:
    with person(browser, world, []) as other:
        sign_in(page, world)
        sign_in(other, world, "theirs", "/playground/?project=secret&model=fake-chat")
        ask(page, "Zebra of acme [[chunks=60 delay_ms=20]]")
        ask(other, "Okapi of other [[chunks=60 delay_ms=20]]")
        answered(page)
        answered(other)
        for mine, foreign in ((page, "Okapi"), (other, "Zebra")):
            for path in ("", "conversations/", "recommendations/"):
                mine.goto(f"{world.lobby.url}/playground/{path}")
                assert foreign not in mine.content()


# Blind comparison, feedback, examples.


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


def test_each_shortcut_is_listed_and_works(page: Page, world: World) -> None:
    sign_in(page, world)
    page.locator("body").click(position={"x": 5, "y": 5})
    page.keyboard.press("?")
    listed = page.locator("#keys-page > div").all_inner_texts()
    assert {" ".join(each.split()) for each in listed} == {
        "New conversation N", "Add a column +", "Search the conversations /", "Run all columns Ctrl Enter",
        "Stop all columns Esc", "Blind comparison: A is better A", "Blind comparison: B is better B",
        "Blind comparison: a tie T", "Blind comparison: both are bad X",
    }  # fmt: skip
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    expect(page.get_by_test_id("search")).to_be_focused()
    page.locator("body").click(position={"x": 5, "y": 5})
    page.keyboard.press("n")
    page.wait_for_url("**/playground/")
    ask(page, "Hi [[chunks=2]]")
    answered(page)
    page.locator(".column-scroll").click()
    page.keyboard.press("?")
    for label in ("Share as an example", "Send the answer to the golden-dataset inbox", "Save as a prompt"):
        expect(page.locator("#keys-page")).to_contain_text(label)


def focused(page: Page) -> str:
    """What has the focus, by its test id or its label; empty where the page has lost it."""
    found: str = page.evaluate(
        "() => { const at = document.activeElement;"
        " return at === document.body ? '' : at.dataset.testid || at.getAttribute('aria-label') || at.className; }"
    )
    return found


def press(page: Page, test_id: str) -> None:
    """By the keyboard alone: the control takes the focus, and Enter presses it."""
    page.get_by_test_id(test_id).last.focus()
    page.keyboard.press("Enter")


def test_the_focus_is_never_lost(page: Page, world: World) -> None:
    """Whatever a press swaps, hides or removes, the next Tab goes on from there."""
    sign_in(page, world)
    assert focused(page) == "composer"
    page.keyboard.type("Long [[chunks=400 delay_ms=20]]")
    press(page, "run")
    expect(page.get_by_test_id("stop")).to_be_focused()
    expect(page.get_by_test_id("answer")).to_contain_text("w0")  # there is something to have an opinion on
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("run")).to_be_focused()
    answered(page)
    press(page, "again")
    expect(page.get_by_test_id("stop-column")).to_be_visible()
    press(page, "stop-column")
    expect(page.locator(".answer-state").last).to_have_text("stopped")
    assert focused(page) == "Copy the answer"
    page.get_by_label("Branch before").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_label("Next branch")).to_be_focused()
    expect(page.get_by_test_id("thumb-up")).to_be_visible()
    press(page, "thumb-up")
    expect(page.get_by_test_id("thumb-up")).to_have_attribute("aria-pressed", "true")
    assert focused(page) == "thumb-up"
    press(page, "thumb-down")
    expect(page.get_by_test_id("reason-fabricated")).to_be_focused()
    press(page, "feedback-save")
    expect(page.get_by_test_id("feedback")).to_contain_text("Thank you")
    assert focused(page) == "thumb-down"
    press(page, "add-column")
    expect(page.get_by_test_id("model").last).to_be_focused()
    press(page, "remove-column")
    assert focused(page) == "add-column"
    press(page, "edit-turn")
    assert focused(page) == "composer"
    press(page, "settings")
    expect(page.get_by_test_id("system")).to_be_visible()
    page.keyboard.press("Escape")
    assert focused(page) == "settings"
    press(page, "menu")
    page.get_by_role("button", name="Share in the tenant").focus()
    page.keyboard.press("Enter")
    press(page, "unshare")
    expect(page.get_by_test_id("share")).to_be_focused()


def test_a_screen_reader_hears_when_an_answer_begins_and_ends_and_no_token(page: Page, world: World) -> None:
    sign_in(page, world)
    connected(page)
    expect(page.get_by_test_id("connection")).to_have_text("")  # it is a live region, hidden or not
    page.evaluate(
        """() => {
          window.heard = [];
          const live = "[aria-live]:not([aria-live=off]), [role=status], [role=alert], [role=log]:not([aria-live=off])";
          new MutationObserver((changes) => {
            for (const { target } of changes) {
              const at = (target.nodeType === 1 ? target : target.parentElement)?.closest(live);
              if (at && at.textContent.trim() !== window.heard.at(-1)) window.heard.push(at.textContent.trim());
            }
          }).observe(document.body, { subtree: true, childList: true, characterData: true });
        }"""
    )
    ask(page, "Long [[chunks=120 delay_ms=10]]")
    answered(page)
    expect(page.get_by_test_id("live")).to_have_text("fake-chat has answered")
    heard = [each for each in page.evaluate("() => window.heard") if each]
    assert heard == ["The model is answering", "fake-chat has answered"]


# Hostile output.


class HostileUpstream(BaseHTTPRequestHandler):
    """Speaks OpenAI's protocol; each piece of a tag comes in an event of its own."""

    PARTS = (
        *("<img src=x on", "error=alert(1)>", "<scr", "ipt>alert(2)</scr", "ipt>\n\n![p](https://evil.exam"),
        *("ple/leak)\n\n[x](java", "script:alert(3)) **bo", "ld** </div><form action=https://evil.example>\n\n"),
        *(
            "```html\n</code></pre><scr",
            "ipt>alert(4)</script>\n``",
            "`\n\n| a |\n|--",
            "-|\n| <svg onload=alert(5)> |\n",
        ),
        *("\n<div hx-get=/keys/ hx-trigger=load>[c", "lick](data:text/html;base64,AAAA) [y](https://ok.example)\n"),
    )

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        for part in self.PARTS:
            self._event({"choices": [{"index": 0, "delta": {"content": part}}]})
        usage = {"prompt_tokens": 3, "completion_tokens": len(self.PARTS), "total_tokens": 3 + len(self.PARTS)}
        self._event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        self._event({"choices": [], "usage": usage})
        self.wfile.write(b"data: [DONE]\n\n")

    def _event(self, chunk: dict[str, Any]) -> None:
        self.wfile.write(b"data: " + json.dumps({"object": "chat.completion.chunk", **chunk}).encode() + b"\n\n")
        self.wfile.flush()
        time.sleep(0.02)  # so that they arrive apart

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def hostile_model(world: World) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), HostileUpstream)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield world.model(base_url=f"http://127.0.0.1:{server.server_port}/v1")
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_hostile_answer_runs_and_fetches_nothing(
    page: Page, world: World, hostile_model: str, complaints: list[str]
) -> None:
    sign_in(page, world, then=f"/playground/?project=app-1&model={hostile_model}")
    ask(page, "Be nasty")
    answered(page)
    for _ in ("streamed", "loaded"):
        answer = page.get_by_test_id("answer")
        expect(answer.locator("strong")).to_have_text("bold")
        assert answer.locator("img, script, iframe, form, svg, [onerror], [hx-get]").count() == 0
        assert answer.locator("a").evaluate_all("all => all.map(each => each.getAttribute('href'))") == [
            "https://evil.example/leak", "https://ok.example",
        ]  # fmt: skip
        assert "alert(1)" in answer.inner_text()
        page.reload()
    answer = page.get_by_test_id("answer")
    page.wait_for_timeout(500)  # the colours of its code
    assert answer.locator("script").count() == 0
    assert complaints == []


def test_home_shows_new_usage_within_two_seconds(page: Page, world: World, complaints: list[str]) -> None:
    sign_in(page, world, then="/")
    shown = page.locator(".stat", has_text="Requests").locator(".stat-value")
    before = int(shown.inner_text().replace(",", ""))
    for _ in range(3):
        assert world.post({"model": "fake-chat", "messages": [{"role": "user", "content": "Hi"}]}).status_code == 200
        before += 1
        ended = time.monotonic()
        expect(shown).to_have_text(f"{before:,}", timeout=2_000)
        assert time.monotonic() - ended < 2
    assert complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_works_on_a_phone_and_for_a_screen_reader(browser: Browser, world: World, scheme: str) -> None:
    complaints: list[str] = []
    phone = {"viewport": {"width": 390, "height": 800}, "has_touch": True, "color_scheme": scheme}
    with person(browser, world, complaints, **phone) as page:
        sign_in(page, world, then=HOME)
        ask(page, "Hello [[chunks=400]]")
        answered(page)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        # The answer scrolls in its column, and the composer stays in sight.
        expect(page.get_by_test_id("run")).to_be_in_viewport(ratio=1)
        expect(page.get_by_test_id("feedback")).to_have_count(1)
        assert grave_violations(page) == []
        # What is wrong with an answer is asked where one looks.
        page.get_by_test_id("thumb-down").click()
        expect(page.get_by_test_id("feedback-save")).to_be_in_viewport(ratio=1)
        assert page.evaluate("[document.scrollingElement.scrollTop, document.body.scrollTop]") == [0, 0]
        expect(page.get_by_test_id("run")).to_be_in_viewport(ratio=1)
        # A column fills the screen; the others are a touch away.
        expect(page.get_by_test_id("jump").first).to_be_hidden()
        page.get_by_test_id("add-column").click()
        first, second = page.get_by_test_id("column").all()
        expect(second).to_be_in_viewport(ratio=0.9)
        expect(page.get_by_test_id("jump").last).to_have_attribute("aria-current", "true")
        page.get_by_test_id("jump").first.tap()
        expect(first).to_be_in_viewport(ratio=0.9)
        expect(page.get_by_test_id("jump").last).not_to_have_attribute("aria-current", "true")
        assert grave_violations(page) == []
        page.get_by_role("button", name="Conversations", exact=True).click()
        expect(page.get_by_test_id("search")).to_be_visible()
    assert complaints == []


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_grave_in_a_blind_comparison_and_its_panels(
    browser: Browser, world: World, second_model: str, scheme: str, width: int
) -> None:
    complaints: list[str] = []
    seen = {"viewport": {"width": width, "height": 844}, "color_scheme": scheme, "reduced_motion": "reduce"}
    with person(browser, world, complaints, **seen) as page:
        sign_in(page, world, then=f"/playground/?project=app-1&model=fake-chat&model={second_model}")
        page.get_by_label("View", exact=True).click()
        assert grave_violations(page) == [], "the menu"
        page.get_by_test_id("blind").check()
        ask(page, "Which is better? [[chunks=4]]")
        expect(page.get_by_test_id("vote-a")).to_be_visible()
        assert grave_violations(page) == [], "before the vote"
        page.get_by_test_id("vote-tie").click()
        expect(page.get_by_test_id("revealed")).to_be_visible()
        page.get_by_test_id("thumb-down").first.click()
        expect(page.get_by_test_id("feedback-save")).to_be_visible()
        assert grave_violations(page) == [], "after the vote"
        for opened, shown in (
            ("settings", "#play-settings"),
            ("view-code", "#play-code-dialog"),
            ("share-example", "#play-act"),
        ):
            page.get_by_test_id(opened).first.click()
            expect(page.locator(shown)).to_be_visible()
            assert grave_violations(page) == [], shown
            page.keyboard.press("Escape")
            expect(page.locator(shown)).to_be_hidden()
    assert complaints == []


def test_a_restart_of_the_server_leaves_what_was_said_and_a_way_on(page: Page, world: World) -> None:
    """Nothing that the server has of it is missing on the page, though the page was away when it stopped."""
    sign_in(page, world)
    text = f"Long {time.time_ns()} [[chunks=900 delay_ms=20 stamp=1]]"
    ask(page, text)
    expect(page.get_by_test_id("first-token")).to_contain_text("first token")
    expect(page).to_have_url(re.compile(r"conversation="))
    page.evaluate(
        """() => {
          const { connection } = window.lobbyPlayground;
          connection.open = () => {};
          connection.socket.close();
        }"""
    )
    expect(page.get_by_test_id("connection")).to_contain_text("Reconnecting")
    here = page.get_by_test_id("answer").inner_text()
    produced = len(re.findall(r"\d+@", here)) + 20
    saved = """
from apps.playground.models import Answer
result = Answer.objects.unscoped("test").latest("pk").text.count("@")
"""
    world.eventually(lambda: world.shell.run(saved) > produced, within=15)
    world.lobby.stop_process("web")
    world.lobby.start_web()
    page.evaluate(
        """() => {
          const { connection } = window.lobbyPlayground;
          delete connection.open;
          connection.retryNow();
        }"""
    )
    connected(page)
    expect(page.get_by_test_id("error")).to_contain_text("Interrupted")
    expect(page.get_by_test_id("answer")).to_contain_text(f"{produced}@")  # drawn after the error
    shown = page.get_by_test_id("answer").inner_text()
    numbers = [int(number) for number in re.findall(r"(\d+)@", shown)]
    assert numbers == list(range(len(numbers)))
    assert len(numbers) > produced
    page.reload()
    expect(page.get_by_test_id("answer")).to_have_text(shown)
    assert sum(text in each["body"] for each in world.fake.requests()) == 1
    page.get_by_test_id("again").click()
    expect(page.get_by_test_id("branches")).to_contain_text("2 of 2")
