"""How each endpoint is doing, as this process sees it: circuit breaker, cooldown, speed, requests in flight.

A breaker opens after ``failures`` failures in a row, when half of the last twenty calls failed, or at once when a
connection timed out: a region that swallows packets costs one caller one timeout, not each of them. While it is open
nothing is sent. After ``seconds`` it is half-open: one call goes out as a probe, and closes or reopens it; where that
takes longer than ``seconds``, another. A 429 closes the door for as long as ``Retry-After`` says, and is no failure.
What a caller did wrong (400, 404, 413, 422) never counts, whoever it was.

Times are monotonic seconds of ``clock``. No I/O is done here; ``shared_health.py`` carries the state between processes.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from apps.models.providers.base import ProviderError

WINDOW: Final = 20
SAMPLES: Final = 200
# A 429 that names no time: for so long the endpoint comes after the others, and is still asked when it is alone.
SOFT_COOLDOWN_SECONDS: Final = 1.0
LONGEST_COOLDOWN_SECONDS: Final = 600.0
# A measurement older than this no longer tells how an endpoint does now.
STALE_SECONDS: Final = 60.0
# How much the newest measurement moves an average.
SHARE_OF_NEWEST: Final = 0.2
UNMEASURED_MS: Final = 1e9

_WORDS: Final = {
    "credential": "it refused Lobby's credential",
    "overloaded": "it answered with a server error",
    "unreachable": "it could not be reached",
    "disconnected": "it broke off",
    "timeout": "it did not answer in time",
    "malformed": "its answers could not be read",
}


class State(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Leave(StrEnum):
    """How a call may be begun."""

    NO = "no"
    YES = "yes"
    PROBE = "probe"  # the one call that decides about a half-open breaker


@dataclass(frozen=True, slots=True)
class Blocked:
    """Why nothing may be sent to an endpoint now, and for how many seconds at most."""

    reason: str
    seconds: float
    by_limit: bool = False  # the provider limits us


class EndpointHealth:
    """One endpoint's state. Made by ``Health``; read by whoever orders or shows."""

    __slots__ = (
        "closed_at",
        "connecting",
        "cool_until",
        "durations",
        "failed_at",
        "failures",
        "failures_in_row",
        "first_token_ms",
        "first_tokens",
        "in_flight",
        "last_error",
        "may_probe",
        "measured_at",
        "ok_at",
        "open_reason",
        "open_until",
        "opened_at",
        "probing_until",
        "recent",
        "requests",
        "soft_until",
        "tokens_per_s",
        "told",
        "unreachable",
        "used_at",
    )

    def __init__(self) -> None:
        self.in_flight = 0
        self.requests = self.failures = 0
        self.failures_in_row = 0
        self.recent: deque[bool] = deque(maxlen=WINDOW)
        self.open_until: float | None = None  # None: closed
        self.opened_at = 0.0
        self.closed_at: float | None = None
        self.told = False  # opened on another process's word, which is not passed on
        self.open_reason = ""
        self.unreachable = False  # opened because no connection came about
        self.probing_until = 0.0  # a probe is under way, and is waited for so long
        self.connecting = False  # a bare connection is being tried
        self.may_probe = True  # False while another process is to send the probe
        self.cool_until = self.soft_until = 0.0
        self.first_token_ms: float | None = None
        self.tokens_per_s: float | None = None
        self.measured_at = self.used_at = 0.0
        self.ok_at: float | None = None
        self.failed_at: float | None = None
        self.last_error = ""
        self.first_tokens: deque[int] = deque(maxlen=SAMPLES)
        self.durations: deque[int] = deque(maxlen=SAMPLES)

    def state(self, now: float) -> State:
        if self.open_until is None:
            return State.CLOSED
        return State.OPEN if now < self.open_until else State.HALF_OPEN

    @property
    def is_proven(self) -> bool:
        """Whether nothing has failed since something last succeeded, or nothing was tried yet."""
        return self.failures_in_row == 0


class Health:
    """``failures`` of 0 switches breakers and cooldowns off; the measurements go on."""

    def __init__(self, *, failures: int = 5, seconds: float = 5.0, clock: Callable[[], float] = time.monotonic) -> None:
        self.limit = failures
        self.seconds = seconds
        self.clock = clock
        self.shares_probes = False  # a probe has to be allotted first: other processes have the same breaker
        self._endpoints: dict[int, EndpointHealth] = {}
        self.elsewhere: dict[int, int] = {}  # requests in flight in the other processes

    def of(self, endpoint_id: int) -> EndpointHealth:
        health = self._endpoints.get(endpoint_id)
        if health is None:
            health = self._endpoints[endpoint_id] = EndpointHealth()
        return health

    def known(self) -> Iterable[tuple[int, EndpointHealth]]:
        return tuple(self._endpoints.items())

    def forget_all_but(self, endpoint_ids: set[int]) -> None:
        """Endpoints that are gone: the state is bounded by what there is."""
        for endpoint_id in self._endpoints.keys() - endpoint_ids:
            if not self._endpoints[endpoint_id].in_flight:
                del self._endpoints[endpoint_id]

    # Before a call.

    def blocked(self, endpoint_id: int) -> Blocked | None:
        """Why nothing may be sent to it now; None when something may. Takes nothing."""
        health = self._endpoints.get(endpoint_id)
        if health is None or not self.limit:
            return None
        if health.open_until is None and not health.cool_until:
            return None
        now = self.clock()
        if health.cool_until > now:
            left = health.cool_until - now
            return Blocked(f"the provider limits us for {math.ceil(left)} s more", left, by_limit=True)
        if health.open_until is None:
            return None
        if now < health.open_until:
            left = health.open_until - now
            return Blocked(f"its circuit breaker is open: {health.open_reason}", left)
        # What could not be reached is tried without a caller: whether it can be now, a bare connection is finding out.
        if now < health.probing_until or not health.may_probe or (health.unreachable and health.connecting):
            return Blocked("its circuit breaker waits for the outcome of a probe", self.seconds)
        return None

    def comes_last(self, endpoint_id: int) -> bool:
        """Whether it should be asked only after all others."""
        health = self._endpoints.get(endpoint_id)
        return health is not None and health.soft_until > 0 and health.soft_until > self.clock()

    def begin(self, endpoint_id: int) -> Leave:
        """Leave for one call, which must be ended by ``ok``, ``failed`` or ``left``."""
        health = self.of(endpoint_id)
        leave = Leave.YES
        if health.open_until is not None or health.cool_until:
            if self.blocked(endpoint_id) is not None:
                return Leave.NO
            if health.open_until is not None:
                health.probing_until = self.clock() + self.seconds
                leave = Leave.PROBE
        health.in_flight += 1
        health.used_at = self.clock()
        return leave

    # After it, or in its midst.

    def begun(self, endpoint_id: int, leave: Leave) -> Leave:
        """A stream has begun to answer: a probe has found its endpoint alive, however long the rest takes. The leave by
        which the call goes on.
        """
        if leave is Leave.PROBE:
            health = self.of(endpoint_id)
            health.probing_until = 0.0
            self._close(health)
        return Leave.YES

    def ok(self, endpoint_id: int, leave: Leave, *, ms: int, first_ms: int | None, output_tokens: int) -> None:
        health = self._end(endpoint_id, leave)
        now = self.clock()
        health.ok_at = now
        health.failures_in_row = 0
        health.recent.append(True)
        if leave is Leave.PROBE:
            self._close(health)
        waited = ms if first_ms is None else first_ms
        fresh = now - health.measured_at > STALE_SECONDS
        health.first_token_ms = _moved(None if fresh else health.first_token_ms, waited)
        if first_ms is not None and output_tokens > 1 and ms > first_ms:
            speed = (output_tokens - 1) / (ms - first_ms) * 1000
            health.tokens_per_s = _moved(None if fresh else health.tokens_per_s, speed)
        health.measured_at = now
        health.durations.append(ms)
        if first_ms is not None:
            health.first_tokens.append(first_ms)

    def failed(self, endpoint_id: int, leave: Leave, error: ProviderError) -> None:
        health = self._end(endpoint_id, leave)
        now = self.clock()
        if error.kind == "caller":
            # It answers as it should: what was wrong was asked. A probe has found it alive.
            if leave is Leave.PROBE:
                self._close(health)
            return
        if self.limit and error.retry_after is not None and error.retry_after > 0:
            health.cool_until = max(health.cool_until, now + min(error.retry_after, LONGEST_COOLDOWN_SECONDS))
        if error.kind == "rate_limited":
            health.soft_until = now + SOFT_COOLDOWN_SECONDS
            if leave is Leave.PROBE:
                self._close(health)
            return
        health.failures += 1
        health.failures_in_row += 1
        health.failed_at = now
        health.last_error = _WORDS.get(error.kind, error.kind)
        health.recent.append(False)
        timed_out = error.kind == "timeout" and error.phase == "connect"
        probed = leave is Leave.PROBE and health.open_until is not None  # else another one has closed it meanwhile
        if probed or timed_out or self._is_too_much(health):
            self._open(health, now, unreachable=error.kind == "unreachable" or timed_out)

    def left(self, endpoint_id: int, leave: Leave) -> None:
        """The call ended without telling anything of the endpoint: its caller left, or this process ends."""
        self._end(endpoint_id, leave)

    # What others tell.

    @contextmanager
    def connecting(self, endpoint_ids: Iterable[int]) -> Iterator[None]:
        """While a bare connection to their server is tried."""
        tried = [self.of(endpoint_id) for endpoint_id in endpoint_ids]
        for health in tried:
            health.connecting = True
        try:
            yield
        finally:
            for health in tried:
                health.connecting = False

    def probe_failed(self, endpoint_id: int) -> None:
        """No connection came about when none was needed for a request."""
        health = self.of(endpoint_id)
        health.last_error = _WORDS["unreachable"]
        health.failed_at = self.clock()
        health.failures_in_row += 1
        if self.limit:
            self._open(health, health.failed_at, unreachable=True)

    def reached(self, endpoint_id: int) -> None:
        """A connection came about again: the next request may be the probe."""
        health = self.of(endpoint_id)
        if health.open_until is not None:
            health.open_until = min(health.open_until, self.clock())

    def open_as_told(self, endpoint_id: int, seconds: float, reason: str) -> None:
        """Another process has opened its breaker: believe it for as long."""
        health = self.of(endpoint_id)
        until = self.clock() + min(seconds, self.seconds)
        if self.limit and (health.open_until is None or health.open_until < until):
            health.told = health.told or health.open_until is None
            health.open_until = until
            health.open_reason = reason
            health.opened_at = self.clock()
            health.may_probe = not self.shares_probes

    def cool_as_told(self, endpoint_id: int, seconds: float) -> None:
        health = self.of(endpoint_id)
        if self.limit:
            health.cool_until = max(health.cool_until, self.clock() + min(seconds, LONGEST_COOLDOWN_SECONDS))

    def close_as_told(self, endpoint_id: int) -> None:
        """Another process's probe has succeeded."""
        health = self.of(endpoint_id)
        if health.open_until is not None and self.clock() >= health.probing_until:
            self._close(health, told=True)

    # For ordering.

    def busy(self, endpoint_id: int) -> int:
        """Requests in flight, those of the other processes included as last heard."""
        health = self._endpoints.get(endpoint_id)
        return (health.in_flight if health is not None else 0) + self.elsewhere.get(endpoint_id, 0)

    def expected_ms(self, endpoint_id: int, output_tokens: int) -> float | None:
        """How long an answer of so many tokens should take; None when nothing recent is known."""
        health = self._endpoints.get(endpoint_id)
        if health is None or health.first_token_ms is None:
            return None
        if self.clock() - health.measured_at > STALE_SECONDS:
            # Worth another try, by one request at a time.
            return UNMEASURED_MS if health.in_flight else None
        speed = health.tokens_per_s
        return health.first_token_ms + (output_tokens / speed * 1000 if speed else 0.0)

    def is_proven(self, endpoint_id: int) -> bool:
        health = self._endpoints.get(endpoint_id)
        return health is None or health.is_proven

    # The breaker's insides.

    def _end(self, endpoint_id: int, leave: Leave) -> EndpointHealth:
        health = self.of(endpoint_id)
        health.in_flight = max(health.in_flight - 1, 0)
        health.requests += 1
        if leave is Leave.PROBE:
            health.probing_until = 0.0
        return health

    def _is_too_much(self, health: EndpointHealth) -> bool:
        if not self.limit or health.open_until is not None:
            return False
        full = len(health.recent) == WINDOW
        return health.failures_in_row >= self.limit or (full and health.recent.count(False) * 2 >= WINDOW)

    def _open(self, health: EndpointHealth, now: float, *, unreachable: bool) -> None:
        if not self.limit:
            return
        if health.open_until is None:
            health.opened_at = now
        health.open_until = now + self.seconds
        health.open_reason = health.last_error
        health.unreachable = unreachable
        health.told = False
        health.may_probe = not self.shares_probes

    def _close(self, health: EndpointHealth, *, told: bool = False) -> None:
        if not told:
            health.closed_at = self.clock()
        health.told = False
        health.open_until = None
        health.unreachable = False
        health.failures_in_row = 0
        health.recent.clear()


def _moved(average: float | None, newest: float) -> float:
    return newest if average is None else average + SHARE_OF_NEWEST * (newest - average)
