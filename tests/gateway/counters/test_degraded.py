"""While Redis is away: refused, or admitted within a bounded local lease, and caught up afterwards."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from apps.gateway.counters.base import Admitted, BudgetWindow, Counters, CountersUnavailable, Denied, Limit
from apps.gateway.counters.degraded import FallbackCounters
from apps.gateway.counters.redis import RedisCounters
from tests.gateway.counters.conftest import Desk
from tests.servers import RedisServer

pytestmark = pytest.mark.redis

REQUESTS = Limit("r", "requests", 50)


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(15):
        while not await condition():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


def primary_of(server: RedisServer) -> RedisCounters:
    """Patient enough for a busy machine, where our own loop may be late."""
    return RedisCounters(server.url, connect_seconds=2, call_seconds=3)


def budget_of(amount: int) -> BudgetWindow:
    return BudgetWindow("b", amount, True, time.time() + 3_600)


async def count_admitted(desk: Desk, budget: BudgetWindow, *, asks: int, cost: int) -> int:
    answers = [await desk.admit(desk.ask(REQUESTS, budgets=(budget,), cost=cost)) for _ in range(asks)]
    return sum(isinstance(answer, Admitted) for answer in answers)


async def test_refusing_says_so_at_once_while_redis_is_away(redis_server: RedisServer) -> None:
    counters = FallbackCounters(primary_of(redis_server), policy="refuse", retry_seconds=0.1)
    desk = Desk(counters)
    await desk.admitted(desk.ask(REQUESTS))
    redis_server.freeze()
    with pytest.raises(CountersUnavailable):
        await desk.admit(desk.ask(REQUESTS))
    began = time.monotonic()
    for _ in range(20):
        with pytest.raises(CountersUnavailable, match="lately"):
            await desk.admit(desk.ask(REQUESTS))
        if time.monotonic() - began > 0.05:
            break
    redis_server.thaw()

    async def back() -> bool:
        try:
            return isinstance(await desk.admit(desk.ask(REQUESTS)), Admitted)
        except CountersUnavailable:
            return False

    await eventually(back)
    await counters.aclose()


async def test_a_local_lease_admits_its_share_of_limits_and_budgets_and_no_more(redis_server: RedisServer) -> None:
    counters = FallbackCounters(primary_of(redis_server), policy="lease", share=0.1, retry_seconds=60)
    desk = Desk(counters)
    budget = budget_of(1_000)
    redis_server.stop()
    assert await count_admitted(desk, budget, asks=40, cost=30) == 3  # of 5 requests, and 100 of money
    assert counters.degraded
    none = await desk.denied(desk.ask(Limit("none", "requests", 0)))
    assert none.too_large
    small = Limit("small", "concurrency", 3, 0)
    assert isinstance(await desk.admit(desk.ask(small)), Admitted)
    assert isinstance(await desk.admit(desk.ask(small)), Denied)
    await counters.aclose()


async def test_several_outages_of_a_period_share_one_lease_of_its_budget(redis_server: RedisServer) -> None:
    counters = FallbackCounters(primary_of(redis_server), policy="lease", share=0.2, retry_seconds=0.05)
    desk = Desk(counters)
    budget = budget_of(1_000)
    admitted = 0
    for _ in range(3):
        redis_server.stop()
        for _ in range(6):
            ask = desk.ask(budgets=(budget,), cost=40)
            if isinstance(await desk.admit(ask), Admitted):
                admitted += 1
                await desk.settle(ask, cost=40)
        redis_server.start()

        async def caught_up() -> bool:
            return not counters.degraded

        await eventually(caught_up)
    assert admitted == 5
    await counters.aclose()


async def test_settlements_of_an_outage_are_booked_once_when_redis_is_back(redis_server: RedisServer) -> None:
    primary = primary_of(redis_server)
    counters = FallbackCounters(primary, policy="lease", share=0.5, retry_seconds=0.05)
    desk = Desk(counters)
    budget = budget_of(1_000)
    await counters.seed({"b": (0, budget.ends_at)})
    before = [desk.ask(Limit("t", "tokens", 1_000), budgets=(budget,), tokens=100, cost=100) for _ in range(3)]
    for ask in before:
        await desk.admitted(ask)

    redis_server.freeze()  # it keeps its data
    for ask in before:
        await desk.settle(ask, tokens=10, cost=20)
    local = desk.ask(Limit("t", "tokens", 1_000), budgets=(budget,), tokens=100, cost=100)
    await desk.admitted(local)
    await desk.settle(local, tokens=30, cost=40)
    await desk.settle(local, tokens=30, cost=40)
    assert counters.degraded
    redis_server.thaw()

    async def caught_up() -> bool:
        return not counters.degraded

    await eventually(caught_up)
    assert await desk.spent("b") == (3 * 20 + 40, 0)
    probe = await desk.denied(desk.ask(Limit("t", "tokens", 1_000), tokens=1_000))
    assert probe.left == 1_000 - 3 * 10 - 30
    await counters.aclose()


async def test_what_is_owed_is_booked_at_the_latest_when_the_process_ends(redis_server: RedisServer) -> None:
    counters: Counters = FallbackCounters(primary_of(redis_server), policy="refuse", retry_seconds=3_600)
    desk = Desk(counters)
    budget = budget_of(1_000)
    await counters.seed({"b": (0, budget.ends_at)})
    ask = desk.ask(budgets=(budget,), cost=100)
    await desk.admitted(ask)
    redis_server.freeze()
    await desk.settle(ask, cost=70)
    redis_server.thaw()
    await counters.aclose()
    check = primary_of(redis_server)
    assert await check.spent(("b",)) == {"b": (70, 0)}
    await check.aclose()


@pytest.mark.parametrize("share", [0, -0.5, 1.5])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="share of a local lease"):
        FallbackCounters(RedisCounters("redis://127.0.0.1:1"), policy="lease", share=share)
