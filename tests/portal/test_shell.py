"""The shell in a real browser: theme, palette, keys, dialogs, copying, small screens; no breach of the policy."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect, sync_playwright

from portal.context_processors import NAV
from tests.browser import ARGUMENTS, log_in
from tests.live import LiveLobby, LobbyFactory

pytestmark = pytest.mark.browser

PASSWORD = "correct-horse-battery"
CAST = f"""
from apps.tenants.models import *
ada = User.objects.create_user("ada@bank.test", {PASSWORD!r}, name="Ada Lovelace", is_staff=True)
bank = Tenant.objects.create(slug="bank", name="Bank")
claims = Tenant.objects.create(slug="claims", name="Claims", brand_color="#c2410c")
Project.objects.create(tenant=bank, slug="support", name="Support chat", environment="prod")
for tenant in (bank, claims):
    Membership.objects.create(tenant=tenant, user=ada, role="developer")
"""
# Every visible text against what lies behind it, by the formula of WCAG 2.2.
CONTRAST = """() => {
  const light = (rgb) => {
    const [r, g, b] = rgb.map((v) => ((v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const brush = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const over = (color, base) => {
    brush.fillStyle = `rgb(${base.join(" ")})`;
    brush.fillRect(0, 0, 1, 1);
    brush.fillStyle = color;
    brush.fillRect(0, 0, 1, 1);
    return [...brush.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const behind = (element) => {
    const layers = [];
    for (let node = element; node; node = node.parentElement) layers.unshift(getComputedStyle(node).backgroundColor);
    return layers.reduce((base, color) => over(color, base), [255, 255, 255]);
  };
  const faint = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    const text = walker.currentNode.textContent.trim();
    if (!text || !element.checkVisibility()) continue;
    if (element.closest("svg, script, .visually-hidden, :disabled, .auth-art")) continue;
    const ground = behind(element);
    const [high, low] = [light(ground), light(over(getComputedStyle(element).color, ground))].sort((a, b) => b - a);
    const ratio = (high + 0.05) / (low + 0.05);
    if (ratio < 4.5) faint.push(`${text.slice(0, 30)} (${element.className}): ${ratio.toFixed(2)}`);
  }
  return faint;
}"""


@pytest.fixture(scope="module")
def lobby(lobby_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveLobby]:
    factory = LobbyFactory(lobby_template, tmp_path_factory.mktemp("shell"))
    lobby = factory(start=False)
    lobby.python(CAST)
    lobby.start_web(wait=False)
    lobby.wait_ready("/accounts/login/")
    yield lobby
    factory.stop()


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield started
        started.close()


def open_page(context: BrowserContext, complaints: list[str]) -> Page:
    page = context.new_page()
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    # A navigation ends what the page before it was still fetching; that is no failure.
    page.on(
        "requestfailed",
        lambda request: (
            None if "ABORTED" in str(request.failure) else complaints.append(f"{request.failure} {request.url}")
        ),
    )
    return page


def sign_in(page: Page, lobby: LiveLobby, then: str = "/styleguide/") -> None:
    log_in(page, lobby.url, "ada@bank.test", PASSWORD, then)


def test_the_shell_works_by_hand_and_by_keyboard(lobby: LiveLobby, browser: Browser) -> None:
    complaints: list[str] = []
    context = browser.new_context(
        viewport={"width": 1440, "height": 900}, color_scheme="light", reduced_motion="reduce"
    )
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = open_page(context, complaints)
    sign_in(page, lobby)
    root = page.locator("html")
    expect(page.locator("#side")).to_contain_text("Bank")

    # Charts are drawn: the canvas is no longer blank.
    page.wait_for_function(
        "() => { const c = document.querySelector('canvas[data-chart]');"
        " return c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some((v) => v) }"
    )

    # The list of keys, and a key of this page.
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
    expect(page.locator("#keys-page")).to_contain_text("Primary action")
    page.keyboard.press("Escape")
    page.keyboard.press("c")
    expect(page.locator("#sample-dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#sample-dialog")).to_be_hidden()

    # Keys keep still while a reader types.
    page.keyboard.press("/")
    expect(page.locator("[data-search]")).to_be_focused()
    page.keyboard.type("c?")
    expect(page.locator("[data-search]")).to_have_value("c?")
    expect(page.locator("dialog[open]")).to_have_count(0)
    page.evaluate("document.activeElement.blur()")

    # Rows by j and k.
    page.keyboard.press("j")
    page.keyboard.press("j")
    assert page.evaluate("document.activeElement.textContent") == "req_8Zk1"

    # Code: the tab that shows is what is copied.
    page.get_by_role("tab", name="Python").click()
    page.locator("#sg-code [data-copy]").click()
    assert page.evaluate("navigator.clipboard.readText()").startswith("from openai import OpenAI")

    # Ticking rows opens the bar of bulk actions.
    page.locator("[data-select-all]").check()
    expect(page.locator("[data-count]")).to_have_text("4 selected")

    # The theme is a choice that lasts, and that is there before the first paint.
    page.locator(".side-foot summary").click()
    page.get_by_role("button", name="Dark").click()
    expect(root).to_have_attribute("data-theme", "dark")
    page.add_init_script(
        "new PerformanceObserver((list) => list.getEntries().forEach(() =>"
        " { window.themeAtPaint ??= document.documentElement.dataset.theme })).observe({ type: 'paint' })"
    )
    page.reload()
    page.wait_for_function("() => window.themeAtPaint")
    assert page.evaluate("window.themeAtPaint") == "dark"

    # Enter may come before the server has told what it finds.
    page.keyboard.press("Control+k")
    with page.expect_navigation(url=f"{lobby.url}/projects/bank/support/"):
        page.keyboard.type("support chat")
        page.keyboard.press("Enter")
    page.goto(f"{lobby.url}/styleguide/")

    # The palette finds by letters in order; switching brings the tenant's brand.
    page.keyboard.press("Control+k")
    page.keyboard.type("swcl")
    expect(page.locator(".palette-item").first).to_have_text("Switch to Claims")
    with page.expect_navigation(url=f"{lobby.url}/"):
        page.keyboard.press("Enter")
    page.goto(f"{lobby.url}/styleguide/")
    expect(page.locator(".switch-name").first).to_have_text("Claims")
    assert (
        page.evaluate("getComputedStyle(document.querySelector('.btn-primary')).backgroundColor") == "rgb(194, 65, 12)"
    )

    # Home is not written by this test's page: a 404 of "/" may be logged, nothing else.
    assert [line for line in complaints if "404" not in line] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_readable_and_pages_fit_from_360_to_1920(lobby: LiveLobby, browser: Browser, scheme: str) -> None:
    complaints: list[str] = []
    context = browser.new_context(
        viewport={"width": 1440, "height": 900},
        color_scheme="dark" if scheme == "dark" else "light",
        reduced_motion="reduce",
    )
    page = open_page(context, complaints)
    page.goto(f"{lobby.url}/accounts/login/")
    assert page.evaluate(CONTRAST) == []
    sign_in(page, lobby)
    for tenant in ("Bank", "Claims"):
        page.locator(".side-head summary").click()
        page.locator(".side-head .menu-item", has_text=tenant).click()
        expect(page.locator(".switch-name").first).to_have_text(tenant)
        assert page.evaluate(CONTRAST) == []
    for width in (360, 390, 768, 960, 1280, 1920):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width, f"scrolls sideways at {width}"
    assert complaints == []


def test_no_two_places_share_a_key() -> None:
    keys = [entry.keys for entry in NAV]
    assert len(keys) == len(set(keys))


def test_the_sidebar_of_a_phone_opens_and_closes(lobby: LiveLobby, browser: Browser) -> None:
    page = open_page(browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True), [])
    sign_in(page, lobby)
    side, toggle = page.locator("#side"), page.get_by_role("button", name="Open navigation")
    expect(side).to_be_hidden()
    toggle.tap()
    expect(side).to_be_visible()
    expect(toggle).to_have_attribute("aria-expanded", "true")
    page.keyboard.press("Escape")
    expect(side).to_be_hidden()
    expect(toggle).to_be_focused()


def test_what_is_done_before_the_scripts_are_there_is_not_lost(lobby: LiveLobby, browser: Browser) -> None:
    complaints: list[str] = []
    page = open_page(browser.new_context(reduced_motion="reduce"), complaints)
    sign_in(page, lobby)
    on_the_way: list[Route] = []
    page.route(re.compile(r"/(htmx|lobby)[^/]*\.js"), lambda route: on_the_way.append(route))

    def arrive() -> None:
        page.evaluate("() => 1")  # the requests have been told of by now
        while on_the_way:
            on_the_way.pop().continue_()

    page.goto(f"{lobby.url}/styleguide/", wait_until="commit")
    page.get_by_role("button", name="Dialog").click()
    assert len(on_the_way) == 2
    arrive()
    expect(page.locator("#sample-dialog")).to_be_visible()

    for sent in (False, True):
        page.goto(f"{lobby.url}/models/", wait_until="commit")
        page.get_by_label("Search models").fill("nothing-of-that-name")
        if sent:
            page.keyboard.press("Enter")
        arrive()
        expect(page.get_by_text("No model matches")).to_be_visible()
        assert "q=nothing-of-that-name" in page.url

    page.goto(f"{lobby.url}/styleguide/", wait_until="commit")
    page.locator("#main").evaluate("""main => main.insertAdjacentHTML("afterbegin",
        '<button hx-get="/keys/">Ask</button><form action="/keys/"><button data-confirm="Sure?">Risk</button>')""")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/keys/" in request.url else None)
    page.get_by_role("button", name="Ask").click()
    page.get_by_role("button", name="Ask").click()  # since nothing happened
    page.get_by_role("button", name="Risk").click()
    arrive()
    expect(page.get_by_role("dialog")).to_contain_text("Sure?")
    page.wait_for_load_state("networkidle")
    assert asked == [f"{lobby.url}/keys/"], "pressed twice, asked once; what needs a confirmation waits for it"
    assert complaints == []


def test_sign_in_works_without_scripts(lobby: LiveLobby, browser: Browser) -> None:
    page = browser.new_context(java_script_enabled=False).new_page()
    sign_in(page, lobby)
    expect(page.get_by_role("heading", name="Style guide")).to_be_visible()
