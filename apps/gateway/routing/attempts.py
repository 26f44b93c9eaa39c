"""How attempts follow one another: how long to wait before one more, and two that race."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any, Final

from apps.models.providers.base import ProviderError

# A route whose every candidate has failed asks again so many times, if the failures were such as pass.
MORE_ROUNDS: Final = 2
MOST_ATTEMPTS: Final = 10
FIRST_BACKOFF_SECONDS: Final = 0.1
LONGEST_BACKOFF_SECONDS: Final = 2.0
_PASSING: Final = frozenset({"rate_limited", "overloaded", "unreachable", "disconnected"})

_random = random.Random()  # noqa: S311


def backoff(error: ProviderError, number: int) -> float | None:
    """Seconds to wait before asking again for the ``number``-th time (from 0); None when it is not worth while.

    Exponential with full jitter (Brooker, Exponential backoff and jitter, AWS Architecture Blog 2015), and never less
    than ``Retry-After`` says: where that is longer than a caller should wait, nothing is asked again.
    """
    if error.kind not in _PASSING:
        return None
    wait = _random.uniform(0, min(LONGEST_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2**number))
    if error.retry_after is None:
        return wait
    return None if error.retry_after > LONGEST_BACKOFF_SECONDS else max(wait, error.retry_after)


class Race:
    """An attempt, and a second one when the first stays silent for ``after`` seconds. Who first has something for the
    caller ``wins``; the other is cancelled.
    """

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []
        self.winner: asyncio.Task[None] | None = None

    async def win(self) -> bool:
        """Whether the running attempt may answer: it is the first to ask. The other has ended when this returns."""
        task = asyncio.current_task()
        if self.winner is None:
            self.winner = task
            others = [other for other in self._tasks if other is not task]
            for other in others:
                other.cancel()
            await asyncio.gather(*others, return_exceptions=True)
        return self.winner is task

    @property
    def is_lost(self) -> bool:
        """Whether another attempt than the running one has won."""
        return self.winner is not None and self.winner is not asyncio.current_task()

    async def run(
        self,
        first: Coroutine[Any, Any, None],
        second: Callable[[], Coroutine[Any, Any, None] | None],
        after: float,
    ) -> None:
        """Returns when one has answered; raises what the last one raised when none has."""
        self._tasks.append(asyncio.create_task(first))
        failure: BaseException | None = None
        try:
            pending = set(self._tasks)
            done, _ = await asyncio.wait(pending, timeout=after)
            if not done and self.winner is None and (other := second()) is not None:
                self._tasks.append(asyncio.create_task(other))
                pending.add(self._tasks[-1])
            while pending:
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    if task.cancelled():
                        continue
                    error = task.exception()
                    if error is None or task is self.winner:
                        failure, pending = error, set()
                        break
                    failure = error
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
        if failure is not None:
            raise failure
