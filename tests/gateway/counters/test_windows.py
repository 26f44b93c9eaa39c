"""Rolling windows and budgets against a plain log of everything that was ever taken."""

from __future__ import annotations

import asyncio
import itertools
from typing import Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.gateway.counters.base import SLICES, Admitted, Ask, BudgetWindow, Counters, Denied, Limit
from apps.gateway.counters.memory import MemoryCounters
from tests.gateway.counters.conftest import patient_redis
from tests.servers import RedisServer

# (seconds since the last step, tokens asked, the least accepted, used in percent or None, settles how many steps later)
STEPS = st.lists(
    st.tuples(
        st.one_of(st.just(0.0), st.floats(0, 3), st.floats(0, 100)),
        st.integers(0, 130),
        st.integers(0, 130),
        st.one_of(st.none(), st.integers(0, 100)),
        st.integers(0, 6),
    ),
    max_size=60,
)
WINDOWS = st.sampled_from([1, 7, 60, 3_600])
LEASE_SECONDS = 50.0
AMOUNT = 100
REQUESTS = 12
BUDGET = 900


class Taken:
    def __init__(self, at: float, tokens: int, hold: int) -> None:
        self.at = at
        self.tokens = tokens
        self.held: int = hold
        self.settled = 0


class Checked:
    """Steps through the counters and a log of entries side by side, comparing after each."""

    def __init__(self, counters: Counters, window: int) -> None:
        self.counters = counters
        self.window = window
        self.now = 1_800_000_000.0
        self.limits = (
            Limit("tokens", "tokens", AMOUNT, window),
            Limit("requests", "requests", REQUESTS, window),
            Limit("parallel", "concurrency", 5, 0),
        )
        self.budget = BudgetWindow("budget", BUDGET, True, self.now + 1e6)
        self.log: list[Taken] = []
        self.open: list[tuple[int, Ask, Taken, int | None]] = []
        self.names = itertools.count()

    async def run(self, steps: list[tuple[float, int, int, int | None, int]]) -> None:
        await self.counters.seed({"budget": (0, self.budget.ends_at)})
        for number, (passed, tokens, minimum, used, later) in enumerate(steps):
            self.now += passed * self.window / 60
            await self.step(number, tokens, min(minimum, tokens), used, later)
        await self.retry_after_is_true()

    def in_window(self, seconds: float) -> list[Taken]:
        return [entry for entry in self.log if entry.at > self.now - seconds]

    def expire(self) -> None:
        for entry in self.log:
            if entry.at + LEASE_SECONDS <= self.now:
                entry.held = 0

    def ask(self, tokens: int, minimum: int) -> Ask:
        name = str(next(self.names))
        return Ask(name, self.now, self.limits, (self.budget,), tokens, 3 + 2 * tokens, minimum, 2, LEASE_SECONDS)

    async def step(self, number: int, tokens: int, minimum: int, used: int | None, later: int) -> None:
        ask = self.ask(tokens, minimum)
        answer = await self.counters.admit(ask)
        self.expire()
        slice_seconds = self.window / SLICES
        if isinstance(answer, Admitted):
            assert minimum <= answer.tokens <= tokens
            entry = Taken(self.now, answer.tokens, 3 + 2 * answer.tokens)
            self.log.append(entry)
            self.open.append((number + later, ask, entry, used))
            assert sum(each.tokens for each in self.in_window(self.window)) <= AMOUNT
            assert len(self.in_window(self.window)) <= REQUESTS
            assert sum(each.held > 0 for each in self.log) <= 5
        else:
            assert isinstance(answer, Denied)
            # Refused only for what was taken at most one slice longer ago than the window, or is held or spent now.
            recent = self.in_window(self.window + slice_seconds + 1e-6)
            spent = sum(each.settled + each.held for each in self.log)
            match answer.key:
                case "tokens":
                    assert sum(each.tokens for each in recent) + minimum > AMOUNT
                case "requests":
                    assert len(recent) >= REQUESTS
                case "parallel":
                    assert sum(each.held > 0 for each in self.log) >= 5
                case "budget":
                    assert spent + 3 + 2 * minimum > BUDGET
            assert answer.retry_after > 0
        for due in [each for each in self.open if each[0] <= number]:
            self.open.remove(due)
            _, ask, entry, percent = due
            if percent is None:
                continue  # an orphan
            entry.tokens = entry.tokens * percent // 100
            entry.settled, entry.held = 3 + 2 * entry.tokens, 0
            await self.counters.settle(ask, tokens=entry.tokens, cost=entry.settled, now=self.now)
        settled, held = (await self.counters.spent(("budget",)))["budget"]
        assert settled == sum(entry.settled for entry in self.log)
        assert held == sum(entry.held for entry in self.log)
        assert settled + held <= BUDGET

    async def retry_after_is_true(self) -> None:
        answer = await self.counters.admit(self.ask(AMOUNT, 1))
        if isinstance(answer, Denied) and answer.key in ("tokens", "requests"):
            self.now += answer.retry_after
            again = await self.counters.admit(self.ask(AMOUNT, 1))
            assert isinstance(again, Admitted) or again.key in ("parallel", "budget")  # type: ignore[union-attr]


@given(steps=STEPS, window=WINDOWS)
@settings(max_examples=300, deadline=None)
def test_no_rolling_window_holds_more_than_the_limit_in_process(
    steps: list[tuple[float, int, int, int | None, int]], window: int
) -> None:
    asyncio.run(Checked(MemoryCounters(), window).run(steps))


@pytest.mark.redis
@given(steps=STEPS, window=WINDOWS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_rolling_window_holds_more_than_the_limit_in_redis(
    redis_server: RedisServer, steps: list[tuple[float, int, int, int | None, int]], window: int
) -> None:
    async def run() -> None:
        redis_server.flush()
        counters = patient_redis(redis_server.url)
        try:
            await Checked(counters, window).run(steps)
        finally:
            await counters.aclose()

    asyncio.run(run())


@pytest.mark.redis
@given(steps=STEPS, window=WINDOWS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_redis_and_memory_answer_alike(
    redis_server: RedisServer, steps: list[tuple[float, int, int, int | None, int]], window: int
) -> None:
    async def run() -> None:
        redis_server.flush()
        shared, own = patient_redis(redis_server.url), MemoryCounters()
        limits: list[tuple[str, Literal["tokens", "requests", "concurrency"], int]] = [
            ("t", "tokens", AMOUNT),
            ("r", "requests", REQUESTS),
            ("c", "concurrency", 5),
        ]
        asked = tuple(Limit(key, metric, amount, window) for key, metric, amount in limits)
        budget = BudgetWindow("b", BUDGET, True, 1_900_000_000.0)
        now = 1_800_000_000.0
        try:
            for counters in (shared, own):
                await counters.seed({"b": (0, budget.ends_at)})
            for number, (passed, tokens, minimum, used, _) in enumerate(steps):
                now = round(now + passed, 3)  # what travels to Redis as text is the same number there
                ask = Ask(str(number), now, asked, (budget,), tokens, 3 + 2 * tokens, min(minimum, tokens), 2, 50.0)
                first, second = await shared.admit(ask), await own.admit(ask)
                assert type(first) is type(second)
                if isinstance(first, Admitted) and isinstance(second, Admitted):
                    assert first.tokens == second.tokens
                    for one, other in zip(first.remaining, second.remaining, strict=True):
                        assert (one.limit, one.left) == (other.limit, other.left)
                        assert one.reset_after == pytest.approx(other.reset_after, abs=1e-4)
                    if used is not None:
                        for counters in (shared, own):
                            await counters.settle(ask, tokens=used, cost=used, now=now)
                elif isinstance(first, Denied) and isinstance(second, Denied):
                    assert (first.key, first.left, first.too_large) == (second.key, second.left, second.too_large)
                    assert first.retry_after == pytest.approx(second.retry_after, abs=1e-4)
                assert await shared.spent(("b",)) == await own.spent(("b",))
        finally:
            await shared.aclose()

    asyncio.run(run())
