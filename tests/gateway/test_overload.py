"""Shedding's control law, on a clock of our own: an event loop is a queue of work that a tick comes late by."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from apps.gateway.errors import Unavailable
from apps.gateway.overload import TICK_SECONDS, LoadShedder

LOUD, QUIET = 1, 2


@pytest.fixture(autouse=True)
def _same_dice() -> None:
    random.seed(20261121)


class Loop:
    """Can do ``capacity`` requests a second; what it has not done yet makes it late."""

    def __init__(self, shedder: LoadShedder, capacity: float) -> None:
        self.shedder = shedder
        self.capacity = capacity
        self.backlog = 0.0
        self.admitted: Counter[int] = Counter()
        self.refused: Counter[int] = Counter()
        self.latest: list[float] = []

    def run(self, seconds: float, rates: dict[int, float]) -> None:
        """So many requests a second of each tenant, evenly spread."""
        due = dict.fromkeys(rates, 0.0)
        for _ in range(round(seconds / TICK_SECONDS)):
            for tenant, rate in rates.items():
                due[tenant] += rate * TICK_SECONDS
                while due[tenant] >= 1:
                    due[tenant] -= 1
                    try:
                        self.shedder.enter(tenant)
                    except Unavailable:
                        self.refused[tenant] += 1
                    else:
                        self.admitted[tenant] += 1
                        self.backlog += 1 / self.capacity
                        self.shedder.leave(tenant)
            late = max(0.0, self.backlog - TICK_SECONDS)
            self.backlog = late
            self.latest.append(late)
            self.shedder.tick(late)

    def forget(self) -> None:
        self.admitted.clear()
        self.refused.clear()
        self.latest.clear()


def test_nothing_is_shed_while_the_loop_keeps_up() -> None:
    loop = Loop(LoadShedder(max_in_flight=100), capacity=1000)
    loop.run(20, {LOUD: 900, QUIET: 20})
    assert not loop.refused


@pytest.mark.parametrize("times", [2, 5, 20])
def test_under_overload_the_lateness_is_bounded_and_the_capacity_is_used(times: int) -> None:
    loop = Loop(LoadShedder(max_in_flight=100), capacity=1000)
    loop.run(20, {LOUD: 1000 * times})
    loop.forget()
    loop.run(20, {LOUD: 1000 * times})
    assert max(loop.latest) < 1.5
    assert sum(loop.latest) / len(loop.latest) < 0.6
    assert loop.admitted[LOUD] > 20 * 1000 * 0.75


def test_a_quiet_tenant_does_not_notice_a_loud_one() -> None:
    loop = Loop(LoadShedder(max_in_flight=100), capacity=1000)
    loop.run(30, {LOUD: 5000, QUIET: 50})
    assert loop.refused[QUIET] == 0
    assert loop.admitted[QUIET] >= 30 * 50 - 1
    assert loop.refused[LOUD] > 30 * 3000


def test_shedding_ends_when_the_overload_does() -> None:
    loop = Loop(LoadShedder(max_in_flight=100), capacity=1000)
    loop.run(20, {LOUD: 5000})
    loop.run(5, {LOUD: 300})
    loop.forget()
    loop.run(10, {LOUD: 300})
    assert not loop.refused
    assert loop.shedder.share == 0


def test_one_late_tick_is_no_overload() -> None:
    shedder = LoadShedder(max_in_flight=100)
    for _ in range(100):
        shedder.tick(0.0)
    shedder.tick(0.9)
    assert shedder.share == 0


def test_the_room_is_bounded_and_its_last_part_is_for_who_holds_little() -> None:
    shedder = LoadShedder(max_in_flight=100)
    for _ in range(90):
        shedder.enter(LOUD)
    with pytest.raises(Unavailable):
        shedder.enter(LOUD)
    for _ in range(10):
        shedder.enter(QUIET)
    with pytest.raises(Unavailable) as refused:
        shedder.enter(QUIET)
    assert refused.value.retry_after == 1.0
    assert shedder.in_flight == 100
    for _ in range(30):
        shedder.leave(LOUD)
    for _ in range(20):
        shedder.enter(QUIET)
    assert shedder.in_flight == 90


def test_who_left_is_forgotten() -> None:
    shedder = LoadShedder(max_in_flight=1000)
    for tenant in range(500):
        shedder.enter(tenant)
        shedder.leave(tenant)
    for _ in range(500):
        shedder.tick(0.0)
    assert shedder.in_flight == 0
    assert not shedder._held
    assert not shedder._rates
