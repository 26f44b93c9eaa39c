"""The breaker, the cooldown and the averages, on a clock of the test's own."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.gateway.routing.health import Health, Leave, State
from apps.models.providers.base import ProviderError

ENDPOINT = 7


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def health(clock: Clock) -> Health:
    return Health(failures=5, seconds=5.0, clock=clock)


def fail(health: Health, kind: Any = "overloaded", **facts: Any) -> Leave:
    leave = health.begin(ENDPOINT)
    if leave is not Leave.NO:
        health.failed(ENDPOINT, leave, ProviderError(kind, "No", **facts))
    return leave


def succeed(health: Health, ms: int = 100, first_ms: int | None = None, tokens: int = 0) -> Leave:
    leave = health.begin(ENDPOINT)
    if leave is not Leave.NO:
        health.ok(ENDPOINT, leave, ms=ms, first_ms=first_ms, output_tokens=tokens)
    return leave


def state(health: Health) -> State:
    return health.of(ENDPOINT).state(health.clock())


def test_it_opens_after_failures_in_a_row_and_sends_one_probe(health: Health, clock: Clock) -> None:
    for _ in range(5):
        assert fail(health) is Leave.YES
    assert state(health) == State.OPEN
    blocked = health.blocked(ENDPOINT)
    assert blocked is not None
    assert "circuit breaker is open" in blocked.reason
    assert health.begin(ENDPOINT) is Leave.NO
    clock.now += 5
    assert state(health) == State.HALF_OPEN
    probe = health.begin(ENDPOINT)
    assert probe is Leave.PROBE
    assert health.begin(ENDPOINT) is Leave.NO, "one probe at a time"
    health.ok(ENDPOINT, probe, ms=5, first_ms=None, output_tokens=1)
    assert state(health) == State.CLOSED
    assert succeed(health) is Leave.YES


def test_a_probe_that_fails_reopens_it(health: Health, clock: Clock) -> None:
    for _ in range(5):
        fail(health)
    clock.now += 5
    assert fail(health) is Leave.PROBE
    assert state(health) == State.OPEN
    clock.now += 4.9
    assert health.begin(ENDPOINT) is Leave.NO


def test_a_probe_whose_caller_leaves_frees_the_place(health: Health, clock: Clock) -> None:
    for _ in range(5):
        fail(health)
    clock.now += 5
    health.left(ENDPOINT, health.begin(ENDPOINT))
    assert health.begin(ENDPOINT) is Leave.PROBE


def test_a_probe_that_takes_long_does_not_keep_the_others_away(health: Health, clock: Clock) -> None:
    """A long answer that comes in one piece tells nothing until its end: then one more is let out an interval."""
    for _ in range(5):
        fail(health)
    clock.now += 5
    first = health.begin(ENDPOINT)
    assert first is Leave.PROBE
    clock.now += 4.9
    assert health.begin(ENDPOINT) is Leave.NO
    clock.now += 0.1
    second = health.begin(ENDPOINT)
    assert second is Leave.PROBE
    assert health.begin(ENDPOINT) is Leave.NO
    health.ok(ENDPOINT, second, ms=5, first_ms=None, output_tokens=1)
    assert state(health) == State.CLOSED
    health.failed(ENDPOINT, first, ProviderError("overloaded", "No"))
    assert state(health) == State.CLOSED, "one failure among others by now"


def test_a_stream_that_has_begun_has_probed(health: Health, clock: Clock) -> None:
    for _ in range(5):
        fail(health)
    clock.now += 5
    leave = health.begun(ENDPOINT, health.begin(ENDPOINT))
    assert leave is Leave.YES
    assert state(health) == State.CLOSED
    assert succeed(health) is Leave.YES
    health.failed(ENDPOINT, leave, ProviderError("disconnected", "No"))
    assert state(health) == State.CLOSED


def test_a_connect_timeout_opens_it_at_once(health: Health) -> None:
    fail(health, "timeout", phase="connect")
    assert state(health) == State.OPEN
    assert health.of(ENDPOINT).unreachable


def test_who_could_not_be_reached_is_tried_without_a_caller(health: Health, clock: Clock) -> None:
    fail(health, "timeout", phase="connect")
    clock.now += 5
    assert state(health) == State.HALF_OPEN
    with health.connecting([ENDPOINT]):
        blocked = health.blocked(ENDPOINT)
        assert blocked is not None
        assert "waits for the outcome of a probe" in blocked.reason
        assert health.begin(ENDPOINT) is Leave.NO
    health.probe_failed(ENDPOINT)
    assert state(health) == State.OPEN, "nobody but the bare connection has waited"
    clock.now += 4.5
    with health.connecting([ENDPOINT]):
        pass
    health.reached(ENDPOINT)
    assert health.begin(ENDPOINT) is Leave.PROBE
    # What does answer, and badly, is probed by a request: no bare connection tells whether it is well.
    other = Health(failures=1, seconds=5.0, clock=clock)
    fail(other)
    clock.now += 5
    with other.connecting([ENDPOINT]):
        assert other.begin(ENDPOINT) is Leave.PROBE


def test_half_of_the_last_twenty_open_it(health: Health) -> None:
    for number in range(20):
        (fail if number % 2 else succeed)(health)
    assert state(health) == State.OPEN


@settings(deadline=None)
@given(st.lists(st.sampled_from([400, 404, 413, 422]), max_size=100))
def test_a_callers_mistakes_never_count(statuses: list[int]) -> None:
    health = Health(failures=1, clock=Clock())
    for status in statuses:
        assert fail(health, "caller", status=status) is Leave.YES
    assert state(health) == State.CLOSED
    assert health.is_proven(ENDPOINT)


def test_a_callers_mistake_shows_that_a_probed_endpoint_lives(health: Health, clock: Clock) -> None:
    for _ in range(5):
        fail(health)
    clock.now += 5
    assert fail(health, "caller", status=400) is Leave.PROBE
    assert state(health) == State.CLOSED


def test_what_is_left_of_a_pause_is_never_said_to_be_nothing(health: Health, clock: Clock) -> None:
    fail(health, "rate_limited", status=429, retry_after=1.0)
    clock.now += 0.9
    blocked = health.blocked(ENDPOINT)
    assert blocked is not None
    assert "for 1 s more" in blocked.reason


def test_retry_after_is_a_cooldown_and_no_failure(health: Health, clock: Clock) -> None:
    fail(health, "rate_limited", status=429, retry_after=20.0)
    assert state(health) == State.CLOSED
    blocked = health.blocked(ENDPOINT)
    assert blocked is not None
    assert blocked.by_limit
    assert blocked.seconds == pytest.approx(20)
    clock.now += 20.1
    assert succeed(health) is Leave.YES


def test_a_429_that_names_no_time_makes_it_come_last(health: Health, clock: Clock) -> None:
    fail(health, "rate_limited", status=429)
    assert health.blocked(ENDPOINT) is None
    assert health.comes_last(ENDPOINT)
    clock.now += 1.1
    assert not health.comes_last(ENDPOINT)


def test_speed_is_expected_and_grows_stale(health: Health, clock: Clock) -> None:
    assert health.expected_ms(ENDPOINT, 100) is None
    succeed(health, ms=1_100, first_ms=100, tokens=101)  # 100 tokens a second
    assert health.expected_ms(ENDPOINT, 100) == pytest.approx(1_100)
    clock.now += 61
    assert health.expected_ms(ENDPOINT, 100) is None, "worth another try"
    health.begin(ENDPOINT)
    assert (health.expected_ms(ENDPOINT, 100) or 0) > 10**8, "by one at a time"


def test_switched_off_it_blocks_nothing(clock: Clock) -> None:
    health = Health(failures=0, clock=clock)
    for _ in range(50):
        assert fail(health, "timeout", phase="connect", retry_after=10.0) is Leave.YES


@settings(deadline=None)
@given(
    st.lists(st.sampled_from(["ok", "overloaded", "caller", "rate_limited", "timeout", "left", "wait"]), max_size=200)
)
def test_whatever_happens_it_recovers_and_nothing_stays_in_flight(acts: list[str]) -> None:
    clock = Clock()
    health = Health(failures=3, seconds=2.0, clock=clock)
    for act in acts:
        if act == "wait":
            clock.now += 1
        elif act == "ok":
            succeed(health)
        elif act == "left":
            if (leave := health.begin(ENDPOINT)) is not Leave.NO:
                health.left(ENDPOINT, leave)
        else:
            fail(health, act, phase="connect" if act == "timeout" else "")
    assert health.of(ENDPOINT).in_flight == 0
    clock.now += 2.1
    assert succeed(health) is not Leave.NO
    assert state(health) == State.CLOSED
