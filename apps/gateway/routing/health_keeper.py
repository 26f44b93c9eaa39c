"""Keeping the endpoints' health: telling it to the other processes, hearing theirs, and looking after who is idle.

An endpoint that nobody has used for a while, or that could not be reached, is tried by a bare TCP connection: it costs
the provider nothing, and tells a dead region apart before the next caller waits for it.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

import structlog
from django.conf import settings

from apps.gateway.routing.health import EndpointHealth, Health, State
from apps.gateway.routing.shared_health import Board, BoardUnavailable, EndpointReport, Report
from apps.gateway.transport import first_that_accepts
from apps.models.errors import UrlRefused
from apps.models.urls_guard import check_url, resolve

if TYPE_CHECKING:
    from apps.gateway.snapshot import EndpointFacts, Snapshot

log = structlog.get_logger(__name__)

TICK_SECONDS: Final = 1.0
MOST_CONNECTS: Final = 8  # a tick
# A report of a closed breaker is heard for so long.
NEWS_SECONDS: Final = 5.0


class HealthKeeper:
    def __init__(self, health: Health, board: Board) -> None:
        self._health = health
        self._board = board
        self._process = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._heard = True
        self._connected_at: dict[str, float] = {}  # by origin
        self._connecting: asyncio.Task[None] | None = None
        health.shares_probes = board.is_shared

    async def run(self, snapshot: Callable[[], Snapshot | None]) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            try:
                if (known := snapshot()) is None:
                    continue
                endpoints = [each for model in known.models.values() for each in model.endpoints]
                self._health.forget_all_but({endpoint.id for endpoint in endpoints})
                await self._talk()
                await self._allot_probes()
                # A dead region is waited for by itself: what else is known is told every second all the same.
                if self._connecting is None or self._connecting.done():
                    self._connecting = asyncio.create_task(self._look_after(endpoints))
            except Exception:
                # Health is a help, never a condition: requests go on by what this process sees itself.
                log.exception("health_keeping_failed")

    async def aclose(self) -> None:
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.gather(self._connecting, return_exceptions=True)
        await self._board.aclose()

    # What is told and heard.

    def report(self) -> Report:
        now = self._health.clock()
        return Report(self._process, time.time(), [_report(each, health, now) for each, health in self._health.known()])

    async def _talk(self) -> None:
        try:
            others = await self._board.exchange(self.report())
        except BoardUnavailable:
            if self._heard:
                log.warning("health_board_unavailable")
            self._heard = False
            self._health.elsewhere = {}
            return
        self._heard = True
        busy: dict[int, int] = {}
        for report in others:
            for each in report.endpoints:
                busy[each.id] = busy.get(each.id, 0) + each.in_flight
                self._hear(each, time.time() - report.at)
        self._health.elsewhere = busy

    def _hear(self, each: EndpointReport, age: float) -> None:
        if each.cool_for > age:
            self._health.cool_as_told(each.id, each.cool_for - age)
        if each.open_for > age and not each.told:
            self._health.open_as_told(each.id, each.open_for - age, each.reason)
        elif each.closed_ago is not None and each.closed_ago + age < NEWS_SECONDS:
            mine = self._health.of(each.id)
            if mine.open_until is not None and self._health.clock() - mine.opened_at > each.closed_ago + age:
                self._health.close_as_told(each.id)

    async def _allot_probes(self) -> None:
        """Of all processes one may send the probe. When the board is away, each goes by itself."""
        if not self._board.is_shared:
            return
        now = self._health.clock()
        for endpoint_id, health in self._health.known():
            if health.open_until is None or health.may_probe or health.open_until - now > TICK_SECONDS:
                continue
            try:
                health.may_probe = await self._board.claim_probe(endpoint_id, self._health.seconds)
            except BoardUnavailable:
                health.may_probe = True

    # Who is idle.

    async def _look_after(self, endpoints: Iterable[EndpointFacts]) -> None:
        try:
            await self._connect(endpoints)
        except Exception:
            log.exception("health_probing_failed")

    async def _connect(self, endpoints: Iterable[EndpointFacts]) -> None:
        every = settings.HEALTH_PROBE_SECONDS
        if not every or not self._health.limit:
            return
        now = self._health.clock()
        by_origin: dict[str, list[EndpointFacts]] = {}
        for endpoint in endpoints:
            if endpoint.is_enabled and not endpoint.simulated and endpoint.target.base_url.startswith("http"):
                by_origin.setdefault(endpoint.target.base_url, []).append(endpoint)
        due: list[str] = []
        for origin, found in by_origin.items():
            healths = [self._health.of(endpoint.id) for endpoint in found]
            lost = any(health.unreachable and self._is_due(health, now) for health in healths)
            idle = all(now - health.used_at > every for health in healths)
            last = self._connected_at.get(origin, now - every if idle else now)
            self._connected_at.setdefault(origin, last)
            if lost or (idle and now - last >= every):
                due.append(origin)
        for gone in self._connected_at.keys() - by_origin.keys():
            del self._connected_at[gone]
        due.sort(key=lambda origin: self._connected_at[origin])
        chosen = due[:MOST_CONNECTS]
        timeouts = [min(each.connect_timeout for each in by_origin[origin]) for origin in chosen]
        for origin in chosen:
            self._connected_at[origin] = now

        async def look(origin: str, seconds: float) -> None:
            ids = [endpoint.id for endpoint in by_origin[origin]]
            with self._health.connecting(ids):
                reached = await can_connect(origin, seconds)
            for endpoint_id in ids:
                if not reached:
                    self._health.probe_failed(endpoint_id)
                elif self._health.of(endpoint_id).unreachable:
                    self._health.reached(endpoint_id)

        await asyncio.gather(*map(look, chosen, timeouts))

    @staticmethod
    def _is_due(health: EndpointHealth, now: float) -> bool:
        return health.open_until is not None and health.open_until - now <= TICK_SECONDS


async def can_connect(url: str, seconds: float) -> bool:
    """Whether the server takes a connection; the same guard stands before it as before a request."""
    writer = None
    try:
        checked = check_url(url)
        async with asyncio.timeout(seconds):
            addresses = await asyncio.to_thread(resolve, checked)
            _, writer = await first_that_accepts(
                addresses, seconds, lambda address: asyncio.open_connection(address, checked.port)
            )
    except (OSError, UrlRefused):
        return False
    finally:
        if writer is not None:
            writer.close()
    return True


def _report(endpoint_id: int, health: EndpointHealth, now: float) -> EndpointReport:
    state = health.state(now)

    def ago(moment: float | None) -> float | None:
        return None if not moment else round(now - moment, 3)

    return EndpointReport(
        id=endpoint_id,
        state=state.value,
        reason=health.open_reason if state is not State.CLOSED else "",
        told=health.told,
        open_for=max((health.open_until or 0.0) - now, 0.0),
        closed_ago=ago(health.closed_at),
        cool_for=max(health.cool_until - now, 0.0),
        in_flight=health.in_flight,
        requests=health.requests,
        failures=health.failures,
        failures_in_row=health.failures_in_row,
        expected_first_ms=health.first_token_ms,
        tokens_per_s=health.tokens_per_s,
        measured_ago=ago(health.measured_at),
        first_token_ms=_percentiles(health.first_tokens),
        duration_ms=_percentiles(health.durations),
        ok_ago=ago(health.ok_at),
        failed_ago=ago(health.failed_at),
        last_error=health.last_error,
    )


def _percentiles(samples: Iterable[int]) -> tuple[int, int] | None:
    """Median and 95th percentile."""
    ordered = sorted(samples)
    if not ordered:
        return None
    return ordered[len(ordered) // 2], ordered[min(int(len(ordered) * 0.95), len(ordered) - 1)]
