"""The playground by keyboard, for a screen reader, on a phone, and in both themes."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.axe import grave_violations
from tests.gateway.world import World
from tests.playground.browser import HOME, answered, ask, connected, person, sign_in

pytestmark = pytest.mark.browser


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
