"""Leaving callers, upstreams that fail in mid-stream and timeouts once more, on PostgreSQL and Redis, with limits and a
budget on each request; and after all of it the counters hold what the ledger says, and nothing is held.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import pytest
import redis

from tests.gateway.test_streams import (
    test_a_caller_that_leaves_a_plain_request_is_charged_what_was_measured as test_a_plain_request_whose_caller_leaves,
)
from tests.gateway.test_streams import (
    test_a_caller_that_leaves_is_charged_for_what_came_and_the_upstream_is_hung_up_on as test_a_caller_that_leaves,
)
from tests.gateway.test_streams import (
    test_a_connect_timeout_is_a_504_that_charges_nothing,
    test_a_failure_in_mid_stream_is_an_error_event_and_never_a_second_attempt,
    test_a_stream_that_fails_before_its_first_byte_is_a_plain_error,
    test_an_attempt_that_fails_before_its_first_byte_goes_to_the_next_endpoint,
    test_an_explicit_zero_stays_zero_and_is_measured,
    test_each_timeout_strikes_in_its_phase,
    test_missing_usage_is_estimated_from_what_came,
)
from tests.gateway.world import World
from tests.reliability.books import read_books
from tests.reliability.conftest import Profile
from tests.reliability.traffic import crowd, mixed

__all__ = [
    "test_a_caller_that_leaves",
    "test_a_connect_timeout_is_a_504_that_charges_nothing",
    "test_a_failure_in_mid_stream_is_an_error_event_and_never_a_second_attempt",
    "test_a_plain_request_whose_caller_leaves",
    "test_a_stream_that_fails_before_its_first_byte_is_a_plain_error",
    "test_an_attempt_that_fails_before_its_first_byte_goes_to_the_next_endpoint",
    "test_an_explicit_zero_stays_zero_and_is_measured",
    "test_each_timeout_strikes_in_its_phase",
    "test_missing_usage_is_estimated_from_what_came",
]


@pytest.fixture(scope="module")
def limited_key(shared_worlds: Callable[[Profile], World]) -> str:
    """Of a project with every kind of limit and a budget, none of which is in the way."""
    world = shared_worlds("servers")
    world.shell.run(
        """
registry.add_price(
    actor=actor, model=Model.objects.get(slug="fake-chat"),
    figures=Figures(input_picousd=150_000, output_picousd=600_000),
)
"""
    )
    limits = [
        {"metric": "concurrency", "limit": 2},
        {"metric": "tokens", "limit": 10**7, "window_seconds": 60},
        {"metric": "requests", "limit": 10**5, "window_seconds": 60},
    ]
    return world.project(budget="5", limits=limits)


@pytest.fixture
def world(shared_worlds: Callable[[Profile], World], limited_key: str) -> Iterator[World]:
    world = shared_worlds("servers")
    usual, world.key = world.key, limited_key
    yield world
    world.key = usual


def test_in_the_end_the_counters_hold_what_the_ledger_says(world: World) -> None:
    """Nothing is held for what failed, timed out or was left, and what was spent is spent in both."""
    asyncio.run(crowd(world.lobby.port, mixed([world.key], "fake-chat", 200, seed=7, leaving=0.3), callers=3))
    project = world.shell.run(
        "result = ApiKey.objects.unscoped('test').get(prefix=prefix).project_id", prefix=world.key.split("_")[1]
    )
    records = [record for record in read_books(world).ours.values() if record["project_id"] == project]
    assert len(records) > 20
    budget = world.shell.run("result = Budget.objects.unscoped('test').get(project_id=project).pk", project=project)
    with redis.Redis.from_url(world.lobby.env["REDIS_URL"], decode_responses=True) as server:
        [settled] = server.keys(f"lobby:{{counters}}:budget:budget:{budget}:*:settled")
        assert int(server.get(settled) or 0) == sum(record["cost_picousd"] for record in records) > 0
        assert int(server.get(settled.replace(":settled", ":held")) or 0) == 0
        assert not any(server.zcard(key) for key in server.keys("lobby:{counters}:limit:concurrency:*"))
        assert server.zcard("lobby:{counters}:leases") == 0
        # Everything is bounded in time.
        assert not [key for key in server.keys("lobby:*") if server.ttl(key) < 0 and not key.endswith(":leases")]
