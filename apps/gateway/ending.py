"""Ending tasks for good, and a process that does not end by itself."""

from __future__ import annotations

import asyncio
import faulthandler
from collections.abc import Iterable
from typing import Any, Final

AGAIN_SECONDS: Final = 0.2
# After the grace that open requests have, the time to write down and to let go of everything.
END_SECONDS: Final = 10.0


async def end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel ``tasks`` and wait until every one has ended, however it does.

    One that goes on is asked again: a cancellation can get lost in a library. On Python 3.11 ``asyncio.wait_for`` drops
    one that arrives just as what it waits for is done.
    """
    all_of_them = list(tasks)
    going_on = [task for task in all_of_them if not task.done()]
    while going_on:
        for task in going_on:
            task.cancel()
        await asyncio.wait(going_on, timeout=AGAIN_SECONDS)
        going_on = [task for task in going_on if not task.done()]
    await asyncio.gather(*all_of_them, return_exceptions=True)


def end_within(seconds: float) -> None:
    """Whatever holds it up (a thread that waits for a database that hangs), the process ends after ``seconds``, with
    status 1, and with every thread's stack on standard error. What it had promised is in the spool.
    """
    faulthandler.dump_traceback_later(seconds, exit=True)
