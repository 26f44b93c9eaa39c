"""The backends that keep the contract of ``apps.gateway.counters.base``, and a clock that tests move."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from typing import Literal

import pytest
import pytest_asyncio

from apps.gateway.counters.base import Admitted, Ask, BudgetWindow, Counters, Denied, Limit, Unseeded
from apps.gateway.counters.degraded import FallbackCounters
from apps.gateway.counters.memory import MemoryCounters
from apps.gateway.counters.redis import RedisCounters
from tests.servers import RedisServer

START = 1_800_000_000.0
_names = itertools.count(1)


def patient_redis(url: str, *, clock: Literal["server", "caller"] = "caller") -> RedisCounters:
    """For tests of what is counted: on a busy machine our own loop may be late, which is no outage to them."""
    return RedisCounters(url, clock=clock, connect_seconds=20, call_seconds=30)


class Desk:
    """Asks of counters, with defaults for what a test does not care about."""

    def __init__(self, counters: Counters) -> None:
        self.counters = counters
        self.now = START

    def ask(
        self,
        *limits: Limit,
        budgets: tuple[BudgetWindow, ...] = (),
        tokens: int = 1,
        cost: int = 0,
        minimum_tokens: int | None = None,
        token_cost: int = 0,
        lease_seconds: float = 600.0,
    ) -> Ask:
        return Ask(
            lease=f"lease{next(_names)}",
            now=self.now,
            limits=limits,
            budgets=budgets,
            tokens=tokens,
            cost=cost,
            minimum_tokens=tokens if minimum_tokens is None else minimum_tokens,
            token_cost=token_cost,
            lease_seconds=lease_seconds,
        )

    async def admit(self, ask: Ask) -> Admitted | Denied | Unseeded:
        return await self.counters.admit(ask)

    async def admitted(self, ask: Ask) -> Admitted:
        answer = await self.counters.admit(ask)
        assert isinstance(answer, Admitted), answer
        return answer

    async def denied(self, ask: Ask) -> Denied:
        answer = await self.counters.admit(ask)
        assert isinstance(answer, Denied), answer
        return answer

    async def settle(self, ask: Ask, *, tokens: int = 0, cost: int = 0) -> None:
        await self.counters.settle(ask, tokens=tokens, cost=cost, now=self.now)

    def budget(self, key: str, amount: int, *, hard: bool = True, lasts: float = 3600.0) -> BudgetWindow:
        return BudgetWindow(key, amount, hard, self.now + lasts)

    async def seeded(self, key: str, amount: int, *, spent: int = 0, hard: bool = True) -> BudgetWindow:
        budget = self.budget(key, amount, hard=hard)
        await self.counters.seed({key: (spent, budget.ends_at)})
        return budget

    async def spent(self, key: str) -> tuple[int, int]:
        return (await self.counters.spent((key,)))[key]


@pytest_asyncio.fixture(
    params=["memory", pytest.param("redis", marks=pytest.mark.redis), pytest.param("fallback", marks=pytest.mark.redis)]
)
async def desk(request: pytest.FixtureRequest) -> AsyncIterator[Desk]:
    counters: Counters
    if request.param == "memory":
        counters = MemoryCounters()
    else:
        server: RedisServer = request.getfixturevalue("redis_server")
        counters = patient_redis(server.url)
        if request.param == "fallback":
            counters = FallbackCounters(counters, policy="refuse")
    yield Desk(counters)
    await counters.aclose()
