"""What happens while the shared counters do not answer (``COUNTERS_ON_FAILURE``)."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Callable
from typing import Literal, NamedTuple

import msgspec

from apps.gateway.counters.base import (
    Admitted,
    Ask,
    BudgetWindow,
    Counters,
    CountersUnavailable,
    Denied,
    Limit,
    Remaining,
    Unseeded,
)
from apps.gateway.counters.memory import MemoryCounters
from apps.gateway.ending import end

logger = logging.getLogger(__name__)

RETRY_SECONDS = 1.0
MAX_OWED = 100_000


class _Owed(NamedTuple):
    """A settlement that the primary has not heard of."""

    ask: Ask
    tokens: int
    cost: int


class FallbackCounters:
    """``primary``, and while it is away what ``policy`` says.

    ``refuse``: ``CountersUnavailable`` goes to the caller, who answers 503. Nothing is overspent.

    ``lease``: this process admits on its own up to ``share`` of each limit (rounded up to 1) and of each hard budget.
    What may be passed beyond a limit is thus bounded: with P processes, in any window at most ``P * share`` of a rate,
    token or concurrency limit, and over a budget's whole period, however many outages it has, at most ``P * share`` of
    its amount (a process that restarts counts as another). Soft budgets go on counting and refuse nothing.

    With either policy a settlement never fails: what the primary did not hear is kept, in order and bounded, and booked
    when it answers again. While it is away it is tried once every ``retry_seconds``, so that requests do not queue up
    behind its timeouts. No restart is needed.
    """

    def __init__(
        self,
        primary: Counters,
        *,
        policy: Literal["refuse", "lease"],
        share: float = 0.1,
        retry_seconds: float = RETRY_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not 0 < share <= 1:
            raise ValueError(f"The share of a local lease has to be above 0 and at most 1, not {share}.")
        self._primary = primary
        self._local = MemoryCounters()
        self._policy = policy
        self._share = share
        self._retry_seconds = retry_seconds
        self._clock = clock
        self._retry_at = -math.inf
        self._locally: dict[str, Ask] = {}
        self._owed: deque[_Owed] = deque()
        self._dropped = 0
        self._replay: asyncio.Task[None] | None = None

    @property
    def degraded(self) -> bool:
        """Whether the primary failed lately, or has settlements to catch up on."""
        return self._clock() < self._retry_at or bool(self._owed)

    async def admit(self, ask: Ask) -> Admitted | Denied | Unseeded:
        if self._clock() >= self._retry_at:
            try:
                answer = await self._primary.admit(ask)
            except CountersUnavailable:
                self._failed()
                if self._policy == "refuse":
                    self._take_back(ask)
                    raise
            else:
                self._start_replay()
                return answer
            answer = await self._admit_locally(ask)
            if not isinstance(answer, Admitted):  # else its settlement tells the primary
                self._take_back(ask)
            return answer
        elif self._policy == "refuse":
            raise CountersUnavailable("The shared counters did not answer lately.")
        return await self._admit_locally(ask)

    async def settle(self, ask: Ask, *, tokens: int, cost: int, now: float) -> None:
        leased = self._locally.pop(ask.lease, None)
        if leased is not None:
            await self._local.settle(leased, tokens=tokens, cost=cost, now=now)
        elif self._clock() >= self._retry_at and not self._owed:
            try:
                await self._primary.settle(ask, tokens=tokens, cost=cost, now=now)
            except CountersUnavailable:
                self._failed()
            else:
                return
        self._owe(_Owed(ask, tokens, cost))
        self._start_replay()

    async def seed(self, spent: dict[str, tuple[int, float]]) -> None:
        await self._ask_primary()
        try:
            await self._primary.seed(spent)
        except CountersUnavailable:
            self._failed()
            raise

    async def spent(self, keys: tuple[str, ...]) -> dict[str, tuple[int, int]]:
        await self._ask_primary()
        try:
            return await self._primary.spent(keys)
        except CountersUnavailable:
            self._failed()
            raise

    async def aclose(self) -> None:
        """Give what is owed one last try."""
        if self._replay is not None:
            await end([self._replay])
        if self._owed:
            try:
                await self._book_owed()
            except CountersUnavailable:
                logger.warning("counters: %d settlements were not booked; the ledger has them", len(self._owed))
        await self._primary.aclose()

    async def _ask_primary(self) -> None:
        if self._clock() < self._retry_at:
            raise CountersUnavailable("The shared counters did not answer lately.")

    async def _admit_locally(self, ask: Ask) -> Admitted | Denied | Unseeded:
        lease = msgspec.structs.replace(
            ask,
            limits=tuple(self._part_of_limit(limit) for limit in ask.limits),
            budgets=tuple(self._part_of_budget(budget) for budget in ask.budgets),
        )
        # What others have spent is not known here. The lease is a part of the whole budget, so it starts at nothing.
        await self._local.seed({budget.key: (0, budget.ends_at) for budget in ask.budgets})
        answer = await self._local.admit(lease)
        if isinstance(answer, Admitted):
            if len(self._locally) > MAX_OWED:  # leases that nobody settled
                live = ask.now
                self._locally = {k: a for k, a in self._locally.items() if a.now + a.lease_seconds > live}
            self._locally[ask.lease] = lease
            remaining = tuple(
                Remaining(limit, left.left, left.reset_after)
                for limit, left in zip(ask.limits, answer.remaining, strict=True)
            )
            return Admitted(answer.tokens, remaining)
        return answer

    def _part_of_limit(self, limit: Limit) -> Limit:
        amount = max(math.floor(limit.amount * self._share), 1) if limit.amount > 0 else 0
        return Limit(limit.key, limit.metric, amount, limit.window)

    def _part_of_budget(self, budget: BudgetWindow) -> BudgetWindow:
        # In millionths, by integers: a float would round large amounts of money.
        amount = budget.amount * int(self._share * 1_000_000) // 1_000_000
        return BudgetWindow(budget.key, amount, budget.hard, budget.ends_at)

    def _failed(self) -> None:
        if self._clock() >= self._retry_at:
            logger.warning("counters: the shared counters do not answer (policy: %s)", self._policy)
        self._retry_at = self._clock() + self._retry_seconds

    def _take_back(self, ask: Ask) -> None:
        """The primary may have heard an admission that we did not hear of, or hear it yet: nothing must stay taken."""
        self._owe(_Owed(ask, 0, 0))
        self._start_replay()

    def _owe(self, settlement: _Owed) -> None:
        if len(self._owed) >= MAX_OWED:
            self._owed.popleft()
            self._dropped += 1
            if self._dropped == 1 or self._dropped % 10_000 == 0:
                logger.error("counters: %d owed settlements dropped; only the ledger has them", self._dropped)
        self._owed.append(settlement)

    def _start_replay(self) -> None:
        if self._owed and (self._replay is None or self._replay.done()):
            self._replay = asyncio.create_task(self._book_when_back(), name="counters-replay")

    async def _book_when_back(self) -> None:
        while self._owed:
            await asyncio.sleep(max(self._retry_at - self._clock(), 0.0))
            try:
                await self._book_owed()
            except CountersUnavailable:
                self._failed()

    async def _book_owed(self) -> None:
        booked = 0
        while self._owed:
            first = self._owed[0]
            await self._primary.settle(first.ask, tokens=first.tokens, cost=first.cost, now=time.time())
            # It may have been dropped for want of room while we waited.
            if self._owed and self._owed[0] is first:
                self._owed.popleft()
            booked += 1
        logger.info("counters: %d owed settlements are booked", booked)
