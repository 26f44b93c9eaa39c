"""The browser of the tests: Chromium as Debian packages it."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from tests.servers import ProgramMissing

if TYPE_CHECKING:
    from playwright.sync_api import Page

# The build without a window starts in a quarter of the time.
PROGRAMS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def program() -> str:
    """The path of a Chromium to hand to Playwright as ``executable_path``. ``ProgramMissing`` when there is none."""
    for name in PROGRAMS:
        found = shutil.which(name)
        if found:
            return found
    raise ProgramMissing("Chromium is not installed (Debian: apt install chromium-headless-shell)")


def log_in(page: Page, url: str, email: str, password: str, then: str = "/") -> None:
    """Log in at the Lobby at ``url``, and be on its page ``then``, a path with its query, loaded."""
    page.goto(f"{url}/accounts/login/?{urlencode({'next': then})}")
    page.get_by_label("Email").fill(email)
    page.get_by_label("Password", exact=True).fill(password)
    page.get_by_role("button", name="Sign in", exact=True).click()
    # The whole address: the form's own ends with the path it leads to, and would pass for it.
    page.wait_for_url(lambda there: there == url + then)
