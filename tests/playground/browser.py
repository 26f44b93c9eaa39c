"""A person at the playground in a real browser, for tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser import log_in
from tests.gateway.world import World
from tests.playground.cast import PASSWORD

HOME = "/playground/?project=app-1&model=fake-chat"


@contextmanager
def person(browser: Browser, world: World, complaints: list[str], **options: object) -> Iterator[Page]:
    """A page of a browser of one's own. What it complains of, and what it asks of other sites, is noted."""
    given = {"viewport": {"width": 1280, "height": 900}, "reduced_motion": "reduce", **options}
    context: BrowserContext = browser.new_context(**given)  # type: ignore[arg-type]
    page = context.new_page()
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append(f"dialog {dialog.message}"))
    page.on("request", lambda sent: None if _is_ours(sent.url, world) else complaints.append(sent.url))
    try:
        yield page
    finally:
        context.close()


def _is_ours(url: str, world: World) -> bool:
    return url.startswith((world.lobby.url, "data:", "blob:"))


def sign_in(page: Page, world: World, who: str = "dev", then: str = HOME) -> None:
    log_in(page, world.lobby.url, f"{who}@bank.test", PASSWORD, then)


def ask(page: Page, text: str) -> None:
    page.get_by_test_id("composer").fill(text)
    page.keyboard.press("Control+Enter")


def answered(page: Page, count: int = 1) -> None:
    """Until so many answers have ended and their figures are the ledger's."""
    expect(page.locator("[data-testid=tokens]", has_text="in, ")).to_have_count(count, timeout=15_000)
    # Second: before it begins nothing can be stopped, either, and the figures may come before the end.
    expect(page.get_by_test_id("stop")).to_be_hidden(timeout=15_000)


def connected(page: Page) -> None:
    expect(page.locator("html[data-socket=open]")).to_have_count(1)
