"""The example store, feedback and what works here, in a real browser, in front of the demonstration's exchanges."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.axe import grave_violations
from tests.browser import log_in
from tests.live import LiveLobby, LobbyFactory

pytestmark = pytest.mark.browser

PEOPLE = """
from django.utils import timezone
from portal.demo.control_plane import demo_password, seed_control_plane
from portal.demo.playground import seed_playground
now = timezone.now()
seed_control_plane(now)
seed_playground(now)
print(demo_password())
"""
PAGES = ["/examples/", "/playground/recommendations/?use_case=classify", "/playground/feedback/"]


@pytest.fixture(scope="module")
def lobby(lobby_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveLobby]:
    factory = LobbyFactory(lobby_template, tmp_path_factory.mktemp("opinions"))
    made = factory(start=False)
    made.env["DEMO_PASSWORD"] = made.python(PEOPLE).strip().splitlines()[-1]
    made.start_web(wait=False)
    made.wait_ready("/accounts/login/")
    yield made
    factory.stop()


def open_as(browser: Browser, lobby: LiveLobby, who: str, path: str, complaints: list[str], **options: Any) -> Page:
    # Without transitions: one that a change of size ends is an error of the page.
    page = browser.new_context(reduced_motion="reduce", **options).new_page()
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    log_in(page, lobby.url, f"{who}@lobby.example", lobby.env["DEMO_PASSWORD"], path)
    return page


def test_a_reader_finds_an_example_rates_it_and_goes_on_from_it(
    browser: Browser, lobby: LiveLobby, complaints: list[str]
) -> None:
    page = open_as(browser, lobby, "tomas", "/examples/", complaints)
    page.get_by_label("Search examples").fill("kind")
    expect(page.get_by_test_id("example")).to_have_count(1)
    assert "q=kind" in page.url
    page.wait_for_load_state("networkidle")
    page.get_by_role("link", name="A refusal that stays kind").click(delay=400)  # as slowly as some people press
    page.get_by_test_id("star-5").click()
    expect(page.get_by_test_id("star-5")).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_test_id("stars")).to_contain_text("(3)")
    page.keyboard.press("f")
    page.wait_for_url("**/playground/**")
    assert complaints == []


def test_a_reader_of_a_permalink_says_why_an_answer_is_bad(
    browser: Browser, lobby: LiveLobby, complaints: list[str]
) -> None:
    own = open_as(browser, lobby, "tomas", "/playground/conversations/", complaints)
    own.get_by_label("Search titles").fill("ceiling plumber")
    own.wait_for_url("**q=ceiling**")
    expect(own.get_by_test_id("conversation-row")).to_have_count(1)
    shared = own.get_by_role("link", name="Shared").get_attribute("href")
    own.goto(f"{lobby.url}{shared}")  # not by a click, which the list that comes anew could swallow
    own.wait_for_url("**/playground/shared/**")
    for width in (1280, 390):
        own.set_viewport_size({"width": width, "height": 844})
        assert own.evaluate("document.documentElement.scrollWidth <= innerWidth"), width
    path = own.url.removeprefix(lobby.url)
    page = open_as(browser, lobby, "vera", path, complaints)
    feedback = page.get_by_role("article").first.get_by_test_id("feedback")  # they come by themselves, in any order
    feedback.get_by_test_id("thumb-up").click()
    expect(feedback.get_by_test_id("thumb-up")).to_have_attribute("aria-pressed", "true")
    feedback.get_by_test_id("thumb-down").click()
    feedback.get_by_text("Fabricated").click()
    feedback.get_by_test_id("feedback-note").fill("Where does this figure come from?")
    feedback.get_by_test_id("feedback-save").click()
    expect(feedback).to_contain_text("the model's owners see it")
    page.reload()
    feedback.get_by_test_id("feedback-edit").click()
    expect(feedback.get_by_test_id("reason-fabricated")).to_be_checked()
    expect(feedback.get_by_test_id("feedback-note")).to_have_value("Where does this figure come from?")
    assert grave_violations(page) == []
    assert page.get_by_test_id("shared-fork").count() == 0  # a viewer calls no models
    assert complaints == []
    outside = open_as(browser, lobby, "leila", "/examples/", complaints)
    answer = outside.goto(lobby.url + path)
    assert answer is not None
    assert answer.status == 404


def test_a_triager_confirms_and_the_filter_follows(browser: Browser, lobby: LiveLobby, complaints: list[str]) -> None:
    page = open_as(browser, lobby, "priya", "/playground/feedback/", complaints)
    page.get_by_label("Any reason").select_option("inappropriate")
    row = page.get_by_test_id("feedback-row")
    expect(row).to_have_count(1)
    row.locator("summary").click()
    expect(row).to_contain_text("Tell Mr Okoye")
    row.get_by_test_id("triage").select_option("resolved")
    expect(row).to_contain_text("Priya Raman")
    page.reload()
    expect(page.get_by_test_id("triage")).to_have_value("resolved")
    page.goto(f"{lobby.url}/models/meridian-mini/")
    expect(page.get_by_test_id("model-feedback")).to_contain_text("Called good")
    assert complaints == []


def test_ratings_become_a_set_that_a_judge_is_run_over(
    browser: Browser, lobby: LiveLobby, complaints: list[str]
) -> None:
    page = open_as(browser, lobby, "priya", "/playground/feedback/", complaints)
    page.get_by_role("link", name="Make a rating set for judges").click()
    thumbs = page.get_by_test_id("rating-set-thumbs")
    expect(thumbs.get_by_role("button", name="Make the rating set")).to_be_disabled()
    assert grave_violations(page) == []
    page.get_by_role("button", name="Allow copying").click()
    expect(page.get_by_text("Feedback of Claims may be copied.")).to_be_visible()
    thumbs.get_by_role("button", name="Make the rating set").click()
    page.get_by_role("dialog").get_by_role("button", name="Copy").click()
    expect(page.get_by_text("Version 1 of Playground ratings is frozen")).to_be_visible()
    expect(thumbs.get_by_role("button", name="Bring it up to date")).to_be_visible()
    assert grave_violations(page) == []
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 844})
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), width
    thumbs.get_by_role("link", name="Set a judge up").click()
    page.get_by_role("textbox", name="Name optional", exact=True).fill("Right")
    page.get_by_role("button", name="Create scorer").click()
    expect(page.get_by_label("Criteria")).to_have_attribute("aria-invalid", "true")
    assert [told.endswith("422 (Unprocessable Entity)") for told in complaints] == [True], "a form that was refused"
    complaints.clear()
    assert grave_violations(page) == []
    page.get_by_label("Model", exact=True).select_option("meridian-mini")
    page.get_by_label("Criteria").fill("It is right.")
    page.get_by_label("Meaning 1").fill("It is wrong.")
    page.get_by_role("button", name="Create scorer").click()
    expect(page.get_by_text("not calibrated")).to_be_visible()
    page.goto(f"{lobby.url}/playground/feedback/rating-sets/")
    thumbs.get_by_role("link", name="Run a judge over it").click()
    expect(page.get_by_label("Dataset")).to_have_value("playground-ratings@1")
    expect(page.locator("#id_model")).to_have_value("recorded")
    assert complaints == []


def test_what_works_here_leads_to_a_try(browser: Browser, lobby: LiveLobby, complaints: list[str]) -> None:
    page = open_as(browser, lobby, "mei", "/playground/recommendations/", complaints)
    page.get_by_role("link", name="Classify", exact=True).click()
    first = page.get_by_test_id("recommendation").first
    expect(first).to_contain_text("Meridian Large")
    expect(first).to_contain_text("Best here")
    for width in (1280, 390):  # at once, without scrolling sideways
        page.set_viewport_size({"width": width, "height": 844})
        for offered in page.get_by_test_id("try").all():
            box = offered.bounding_box()
            assert box is not None
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= width
        expect(page.get_by_test_id("try").first).to_be_in_viewport(ratio=1)
    first.get_by_role("button", name="Try Meridian Large").click()
    page.wait_for_url("**/playground/**")
    assert complaints == []


def test_two_lines_of_business_never_see_each_other(browser: Browser, lobby: LiveLobby, complaints: list[str]) -> None:
    claims = open_as(browser, lobby, "vera", "/examples/", complaints)
    banking = open_as(browser, lobby, "leila", "/examples/", complaints)
    expect(claims.get_by_text("Triage of a first notice of loss")).to_be_visible()
    expect(banking.get_by_text("Complaint in three bullets")).to_be_visible()
    assert claims.get_by_text("Complaint in three bullets").count() == 0
    assert banking.get_by_text("Triage of a first notice").count() == 0
    url = str(claims.get_by_role("link", name="Triage of a first notice of loss").get_attribute("href"))
    answer = banking.goto(lobby.url + url)
    assert answer is not None
    assert answer.status == 404


@pytest.mark.parametrize(("scheme", "looked_at"), [("light", 1280), ("dark", 390)])
def test_nothing_grave_for_a_screen_reader(
    browser: Browser, lobby: LiveLobby, complaints: list[str], scheme: str, looked_at: int
) -> None:
    own = open_as(browser, lobby, "tomas", "/playground/conversations/", complaints)
    shared = str(own.get_by_role("link", name="Shared").get_attribute("href"))
    page = open_as(browser, lobby, "priya", PAGES[0], complaints, color_scheme=scheme)
    example = str(page.get_by_test_id("example").first.get_by_role("link").get_attribute("href"))
    for path in (*PAGES, example, shared, "/playground/", "/playground/conversations/"):
        page.set_viewport_size({"width": looked_at, "height": 844})
        page.goto(lobby.url + path)
        page.wait_for_load_state("networkidle")
        for row in page.get_by_test_id("feedback-row").locator("summary").all()[:1]:
            row.click()
        assert grave_violations(page) == [], path
        for width in (1280, 390):
            page.set_viewport_size({"width": width, "height": 844})
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{path} at {width}"
