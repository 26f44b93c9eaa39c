"""Shedding load: when the process cannot keep up, the loudest tenants are refused first, quickly and cheaply.

The sign of overload is the event loop running late. While it does, a growing share of the requests of every tenant
that asks for more than its fair part is refused with 503 and ``Retry-After``; the share shrinks again when the loop is
on time. So the requests that are admitted keep their latency, and a quiet tenant does not notice a loud one.

How many requests are in flight is bounded, too. The last part of the room is for tenants that hold less than their fair
part of it, so that a loud tenant whose upstream is slow does not shut the others out.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict

from apps.gateway import metrics
from apps.gateway.errors import Unavailable

TICK_SECONDS = 0.05
# Averaged over about half a second: one late tick (a burst of connections, a noisy neighbour) is not yet overload.
LATE_SECONDS = 0.15
GROW, SHRINK = 0.04, 0.02
MAX_SHARE = 0.98
RESERVED = 0.1  # of the room, for tenants that hold less than their fair part
RATE_MEMORY = 0.9  # per tick: arrivals are averaged over about half a second


class LoadShedder:
    """``enter`` and ``leave`` around each request; ``watch`` runs beside them for the process's life."""

    def __init__(self, *, max_in_flight: int) -> None:
        self._max_in_flight = max_in_flight
        self._reserved_from = max(max_in_flight - max(round(max_in_flight * RESERVED), 1), 1)
        self._held: defaultdict[int, int] = defaultdict(int)  # in flight, by tenant
        self.in_flight = 0
        self.share = 0.0  # of a loud tenant's requests, how many are refused
        self._arrivals: defaultdict[int, int] = defaultdict(int)
        self._rates: dict[int, float] = {}
        self._fair = 0.0
        self._late = 0.0

    def enter(self, tenant_id: int) -> None:
        """Raises ``Unavailable`` when this request is to be shed."""
        self._arrivals[tenant_id] += 1
        if self.in_flight >= self._reserved_from and not self._has_room(tenant_id):
            raise Unavailable(
                f"Lobby is serving as many requests as it may ({self._max_in_flight:,}). Try again in a moment.",
                code="overloaded",
                retry_after=1.0,
            )
        if self.share and self._rates.get(tenant_id, 0.0) >= self._fair and random.random() < self.share:  # noqa: S311
            raise Unavailable("Lobby is overloaded. Try again in a moment.", code="overloaded", retry_after=1.0)
        self.in_flight += 1
        self._held[tenant_id] += 1

    def leave(self, tenant_id: int) -> None:
        self.in_flight -= 1
        self._held[tenant_id] -= 1
        if not self._held[tenant_id]:
            del self._held[tenant_id]

    def _has_room(self, tenant_id: int) -> bool:
        """When the room is nearly full: for who holds less than an equal part of it, the one who asks counted in."""
        tenants = len(self._held) + (tenant_id not in self._held)
        fair = self._max_in_flight // (tenants + 1)
        return self.in_flight < self._max_in_flight and self._held.get(tenant_id, 0) < fair

    async def watch(self) -> None:
        due = time.monotonic() + TICK_SECONDS
        while True:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            late = time.monotonic() - due
            due = time.monotonic() + TICK_SECONDS
            self.tick(late)

    def tick(self, late: float) -> None:
        """One look: ``late`` is by how many seconds the loop missed it."""
        metrics.loop_lag.set(late)
        metrics.in_flight.set(self.in_flight)
        self._late = self._late * RATE_MEMORY + late * (1 - RATE_MEMORY)
        if self._late > LATE_SECONDS:
            self.share = min(MAX_SHARE, self.share + GROW * min(4.0, self._late / LATE_SECONDS))
        else:
            self.share = max(0.0, self.share - SHRINK)
        for tenant_id in {*self._rates, *self._arrivals}:
            rate = self._rates.get(tenant_id, 0.0) * RATE_MEMORY + self._arrivals.pop(tenant_id, 0) * (1 - RATE_MEMORY)
            if rate < 0.001:
                self._rates.pop(tenant_id, None)
            else:
                self._rates[tenant_id] = rate
        # The fair part: an equal share of what comes in. With one tenant alone it is all of it.
        self._fair = sum(self._rates.values()) / len(self._rates) if self._rates else 0.0
