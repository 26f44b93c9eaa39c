"""Every kind of page of the demonstration, reached by links: it does not complain, overflow, or shut anybody out."""

from __future__ import annotations

from collections import deque
from typing import Literal
from urllib.parse import urlsplit

import pytest
from django.urls import Resolver404, resolve
from playwright.sync_api import Page, sync_playwright

from tests.axe import grave_violations
from tests.browser import ARGUMENTS, log_in
from tests.live import LiveLobby
from tests.portal.test_demo import facts_in
from tests.portal.test_shell import open_page

pytestmark = pytest.mark.browser

FEWEST_PAGES = 60
PHONE = 390
LOOKS: tuple[tuple[Literal["light", "dark"], int], ...] = (("light", 1280), ("dark", PHONE))
# Lists of which no figure is out of sight on a phone: their rows are cards there (.table-stack).
CARDS = {
    "evaluation:compare",
    "evaluation:dataset-detail",
    "evaluation:monitor-detail",
    "evaluation:monitor-list",
    "evaluation:red-team-list",
    "evaluation:red-team-report",
    "evaluation:run-list",
    "gateway:request-list",
}
LINKS = (
    "() => [...new Set([...document.querySelectorAll('main a[href], nav a[href], aside a[href]')].map((a) => a.href))]"
)
SETTLED = "() => document.fonts.ready.then(() => !document.querySelector('.htmx-request'))"


def kind_of(url: str, base: str) -> str:
    """The name of the route that ``url`` is of; nothing for what is no page of the portal."""
    if not url.startswith(base) or "export" in url or "/admin/" in url or "/logout/" in url:
        return ""
    try:
        return resolve(urlsplit(url).path).view_name
    except Resolver404:
        return ""


def overflow(page: Page) -> list[str]:
    wide, room = page.evaluate(
        "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() =>"
        " done([document.documentElement.scrollWidth, document.documentElement.clientWidth]))))"
    )
    return [f"{wide} px wide in {room} px"] if wide > room else []


def cut_off(page: Page) -> list[str]:
    """What the tables of a page say only to those who scroll them sideways."""
    wide = page.evaluate(
        "() => [...document.querySelectorAll('main .table-scroll')]"
        ".filter((box) => box.checkVisibility() && box.scrollWidth > box.clientWidth)"
        ".map((box) => box.innerText.trim().slice(0, 40))"
    )
    return [f"a table has to be scrolled: {head!r}" for head in wide]


def crawl(page: Page, base: str) -> tuple[set[str], list[str]]:
    """The kinds of pages that links lead to from where ``page`` is, and what is wrong with them.

    Each is looked at in one scheme by axe, in turns, and in both for whether it fits: pages share their components, so
    that what is wrong with one in a scheme is wrong with half of the others.
    """
    wrong: list[str] = []
    kinds = {kind_of(page.url, base)}
    to_visit = deque([page.url])
    looks = deque(LOOKS)
    while to_visit:
        url = to_visit.popleft()
        looks.rotate()
        for number, (scheme, width) in enumerate(looks):
            page.emulate_media(color_scheme=scheme)
            page.set_viewport_size({"width": width, "height": 900})
            if not number:
                page.goto(url)
                page.wait_for_function(SETTLED)
            faults = overflow(page) + ([] if number else grave_violations(page))
            if width == PHONE and kind_of(url, base) in CARDS:
                faults += cut_off(page)
            wrong += [f"{urlsplit(url).path}, {scheme}, {width} px: {fault}" for fault in faults]
        for link in page.evaluate(LINKS):
            kind = kind_of(link, base)
            if kind and kind not in kinds:
                kinds.add(kind)
                to_visit.append(link)
    return kinds, wrong


def test_every_kind_of_page_is_in_order(demo_lobby: LiveLobby, chromium: str) -> None:
    lobby = demo_lobby
    facts = facts_in((lobby.data_dir / "prepared.json").read_text())
    lobby.manage("ledger", "drain")
    lobby.start_web()
    complaints: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        page = open_page(browser.new_context(reduced_motion="reduce"), complaints)
        log_in(page, lobby.url, "priya@lobby.example", str(facts["password"]))
        kinds, wrong = crawl(page, lobby.url)
        browser.close()
    assert not wrong, "\n".join(wrong)
    assert not complaints, "\n".join(complaints)
    assert len(kinds) >= FEWEST_PAGES, sorted(kinds)
