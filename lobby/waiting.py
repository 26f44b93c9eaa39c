"""Waiting for what a worker does: looked at often at first, then ever more seldom."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

FIRST_PAUSE, LONGEST_PAUSE, GROWTH = 0.2, 5.0, 1.25  # seconds; each pause is so many times the one before


def until(
    is_over: Callable[[dict[str, Any]], bool], found: dict[str, Any], look: Callable[[], dict[str, Any]], seconds: float
) -> dict[str, Any]:
    """``found``, or what ``look`` finds later, once it is over; as it is by then when ``seconds`` are over."""
    deadline = time.monotonic() + seconds
    pause = FIRST_PAUSE
    while not is_over(found) and (left := deadline - time.monotonic()) > 0:
        time.sleep(min(pause, left))
        pause = min(LONGEST_PAUSE, pause * GROWTH)
        found = look()
    return found
