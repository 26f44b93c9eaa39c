"""Waiting for what a worker does: looked at often at first, then ever more seldom."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

from lobby.api import Failed

FIRST_PAUSE, LONGEST_PAUSE, GROWTH = 0.2, 5.0, 1.25  # seconds; each pause is so many times the one before
SAID_EVERY = 20.0  # seconds: a CI job that says nothing looks as if it hung
PATIENCE = 60.0  # seconds without an answer, as while Lobby is restarted


def until(
    is_over: Callable[[dict[str, Any]], bool],
    found: dict[str, Any],
    look: Callable[[], dict[str, Any]],
    seconds: float,
    page: str = "",
) -> dict[str, Any]:
    """``found``, or what ``look`` finds later, once it is over; as it is by then when ``seconds`` are over.

    With a ``page`` standard error is told now and then that it goes on, and where to watch it. An answer that is lost
    is asked for again: what is waited for goes on without it.
    """
    began = time.monotonic()
    said = heard = began
    pause = FIRST_PAUSE
    while not is_over(found) and (left := began + seconds - time.monotonic()) > 0:
        time.sleep(min(pause, left))
        pause = min(LONGEST_PAUSE, pause * GROWTH)
        try:
            found = look()
            heard = time.monotonic()
        except Failed as error:
            if not error.may_pass or time.monotonic() - heard > PATIENCE:
                raise
        now = time.monotonic()
        if page and now - said >= SAID_EVERY and not is_over(found):
            said = now
            print(f"lobby: it goes on, for {now - began:.0f} s by now: {page}", file=sys.stderr, flush=True)
    return found
