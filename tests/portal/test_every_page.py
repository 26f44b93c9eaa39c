"""Every kind of page of the demonstration, reached by links: it does not complain, overflow, or shut anybody out."""

from __future__ import annotations

from collections import deque
from typing import Literal
from urllib.parse import urlsplit

import pytest
from django.urls import Resolver404, resolve
from playwright.sync_api import Page, sync_playwright

from tests.axe import grave_violations
from tests.live import LobbyFactory
from tests.portal.test_demo import prepared
from tests.portal.test_shell import ARGUMENTS, open_page

pytestmark = pytest.mark.browser

FEWEST_PAGES = 60
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


def faults(page: Page) -> list[str]:
    found = grave_violations(page)
    wide, room = page.evaluate("() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    return [*found, f"{wide} px wide in {room} px"] if wide > room else found


def crawl(page: Page, base: str) -> tuple[set[str], list[str]]:
    """The kinds of pages that links lead to from where ``page`` is, and what is wrong with them."""
    wrong: list[str] = []
    kinds = {kind_of(page.url, base)}
    to_visit = deque([page.url])
    while to_visit:
        url = to_visit.popleft()
        page.goto(url)
        page.wait_for_function(SETTLED)
        wrong += [f"{urlsplit(url).path}: {fault}" for fault in faults(page)]
        for link in page.evaluate(LINKS):
            kind = kind_of(link, base)
            if kind and kind not in kinds:
                kinds.add(kind)
                to_visit.append(link)
    return kinds, wrong


def test_every_kind_of_page_is_in_order(live_lobby: LobbyFactory, chromium: str) -> None:
    lobby = live_lobby(start=False)
    facts = prepared(lobby)
    lobby.manage("ledger", "drain")
    lobby.start_web()
    schemes: list[tuple[Literal["light", "dark"], int]] = [("light", 1280), ("dark", 390)]
    complaints: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        for scheme, width in schemes:
            context = browser.new_context(
                viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce"
            )
            page = open_page(context, complaints)
            page.goto(f"{lobby.url}/accounts/login/?next=/")
            page.get_by_label("Email").fill("priya@lobby.example")
            page.get_by_label("Password", exact=True).fill(str(facts["password"]))
            page.get_by_role("button", name="Sign in", exact=True).click()
            page.wait_for_url(f"{lobby.url}/")
            kinds, wrong = crawl(page, lobby.url)
            context.close()
            assert not wrong, f"{scheme}, {width} px wide:\n" + "\n".join(wrong)
            assert not complaints, f"{scheme}, {width} px wide:\n" + "\n".join(complaints)
            assert len(kinds) >= FEWEST_PAGES, sorted(kinds)
        browser.close()
