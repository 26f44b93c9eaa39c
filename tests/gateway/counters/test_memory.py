"""What is the in-process counters' own: memory that follows what is in use."""

from __future__ import annotations

from apps.gateway.counters.base import LATE_SETTLE_SECONDS, Admitted, BudgetWindow, Denied, Limit
from apps.gateway.counters.memory import MemoryCounters
from tests.gateway.counters.conftest import Desk


def sizes(counters: MemoryCounters) -> tuple[int, int, int]:
    return (len(counters._windows.states), len(counters._concurrency.states), len(counters._budgets.states))


async def test_idle_counters_are_dropped_as_new_ones_come() -> None:
    counters = MemoryCounters()
    desk = Desk(counters)
    for minute in range(60):
        for number in range(100):
            name = f"{minute}.{number}"
            budget = BudgetWindow(name, 100, True, desk.now + 60)
            await counters.seed({name: (0, budget.ends_at)})
            limits = (Limit(name, "requests", 5), Limit(name, "tokens", 5), Limit(name, "concurrency", 5, 0))
            ask = desk.ask(*limits, budgets=(budget,), cost=1)
            await desk.admitted(ask)
            await desk.settle(ask, cost=1)
        desk.now += 60
    windows, concurrencies, budgets = sizes(counters)
    assert windows < 4 * 200  # those of the last two minutes are in use, the rest on their way out
    assert concurrencies < 4 * 100
    assert budgets < 100 * 62 * 2  # kept for an hour after their period
    assert not counters._leases


async def test_a_counter_in_use_is_never_dropped() -> None:
    counters = MemoryCounters()
    desk = Desk(counters)
    hour, one = Limit("hour", "requests", 2, 3_600), Limit("one", "concurrency", 1, 0)
    held = desk.ask(hour, one, lease_seconds=10_000)
    await desk.admitted(held)
    for number in range(2_000):
        desk.now += 1
        await desk.admitted(desk.ask(Limit(f"n{number}", "requests", 1), Limit(f"c{number}", "concurrency", 1, 0)))
    assert isinstance(await counters.admit(desk.ask(one)), Denied)
    assert isinstance(await counters.admit(desk.ask(hour)), Admitted)
    assert isinstance(await counters.admit(desk.ask(hour)), Denied)


async def test_orphans_are_forgotten_a_day_after_they_expired() -> None:
    counters = MemoryCounters()
    desk = Desk(counters)
    for _ in range(50):
        await desk.admitted(desk.ask(lease_seconds=10))
    desk.now += 11
    await desk.admitted(desk.ask(lease_seconds=10))
    assert len(counters._expired) == 50
    desk.now += LATE_SETTLE_SECONDS + 1
    await desk.admitted(desk.ask(lease_seconds=10))
    assert len(counters._expired) == 1
    assert len(counters._leases) == 1
