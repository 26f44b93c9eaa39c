"""Usage in a real browser: charts after a swap and after Back; pages of tables on a phone."""

from __future__ import annotations

import time

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.browser import ARGUMENTS, log_in
from tests.cast import PASSWORD
from tests.live import LobbyFactory

pytestmark = pytest.mark.browser

BOOKS = """
from django.conf import settings
from tests.cast import assemble
from tests.gateway.pages.usage import Usage
cast = assemble()
usage = Usage(settings.SPOOL_DIR, cast)
for _ in range(3):
    usage.add()
usage.drain()
print(cast["owner"].email, cast["service_admin"].email)
"""
INKED = """() => [...document.querySelectorAll("canvas[data-chart]")].map((canvas) =>
  canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.some((value) => value !== 0))"""


def expect_charts(page: Page) -> None:
    """All three have ink. Polled from here: the page's policy forbids Playwright's own waiting."""
    deadline = time.monotonic() + 10
    while (inked := page.evaluate(INKED)) != [True, True, True]:
        assert time.monotonic() < deadline, f"charts at {page.url}: {inked}"
        page.wait_for_timeout(100)


def expect_no_sideways(page: Page) -> None:
    width = page.evaluate("document.scrollingElement.scrollWidth")
    assert width <= 390, f"{page.url} is {width} wide"


def test_charts_outlive_swaps_and_phones_do_not_scroll_sideways(live_lobby: LobbyFactory, chromium: str) -> None:
    lobby = live_lobby(start=False)
    owner, service_admin = lobby.python(BOOKS).split()
    lobby.start_web(wait=False)
    lobby.wait_ready("/accounts/login/")
    complaints: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        page = browser.new_page(reduced_motion="reduce", viewport={"width": 1280, "height": 900})
        page.on("pageerror", lambda error: complaints.append(str(error)))
        log_in(page, lobby.url, owner, PASSWORD)
        page.goto(f"{lobby.url}/usage/")
        expect_charts(page)
        page.evaluate("window.sameDocument = true")
        page.locator(".period-row .btn:not([aria-current])").first.click()
        page.wait_for_url("**/usage/?*period=*")
        expect_charts(page)
        page.get_by_label("Group by").select_option("project")
        page.wait_for_url("**by=project*")
        expect_charts(page)
        page.go_back()
        expect(page.get_by_label("Group by")).not_to_have_value("project")
        expect_charts(page)
        assert page.evaluate("window.sameDocument"), "the page was loaded anew, not swapped"

        chart = page.locator("#spend-chart")
        chart.locator("summary").click()
        head, first = chart.locator("thead th").first, chart.locator("tbody th").first
        head_box, first_box = head.bounding_box(), first.bounding_box()
        assert head_box
        assert first_box
        assert head_box["y"] + head_box["height"] <= first_box["y"] + 1, "the head covers the first row"

        page.set_viewport_size({"width": 390, "height": 844})
        for path in ("/keys/", "/members/", "/usage/"):
            page.goto(f"{lobby.url}{path}")
            expect_no_sideways(page)
            if path == "/members/":
                role = page.get_by_role("combobox", name="Role of").first.bounding_box()
                assert role
                assert role["width"] >= 90
        page.context.clear_cookies()
        log_in(page, lobby.url, service_admin, PASSWORD)
        page.goto(f"{lobby.url}/?view=platform")
        expect(page.get_by_role("heading", name="Platform", exact=True)).to_be_visible()
        expect_no_sideways(page)
        browser.close()
    assert not complaints
