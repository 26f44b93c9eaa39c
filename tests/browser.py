"""The browser of the tests: Chromium as Debian packages it."""

from __future__ import annotations

import shutil

from tests.servers import ProgramMissing

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
