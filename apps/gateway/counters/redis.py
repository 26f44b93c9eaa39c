"""Counters in Redis, shared by any number of web processes. One script call admits, one settles.

Keys, all in one hash slot (``{counters}``) because a script works on one slot, and each with an expiry:

=======================================  =========================================================================
``limit:<metric>:<window>:<key>``        HASH of slice number -> amount taken; for concurrency a ZSET of lease -> expiry
``budget:<key>:settled``, ``...:held``   integers of picodollars
``lease:<lease>``                        what the lease took (MessagePack), or ``settled``
``leases``                               ZSET of open lease -> expiry, by which orphans are found
=======================================  =========================================================================

Windows are cut by Redis' own clock, since those of the web processes differ. Needs Redis 6 or newer.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import math
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import Any, Literal, cast

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError

from apps.gateway.counters.base import (
    LATE_SETTLE_SECONDS,
    Admitted,
    Ask,
    CountersUnavailable,
    Denied,
    Remaining,
    Unseeded,
)

# Short, yet longer than a busy event loop may be late by: its own delays must not look like an outage of Redis.
CONNECT_SECONDS = 0.5
CALL_SECONDS = 1.0

SETTLED_SECONDS = 900.0
"""For how long a settled lease is remembered, so that a repeated settlement books once. Memory grows by about 150 bytes
for each request of that time."""


class _Script:
    def __init__(self, name: str) -> None:
        self.source = Path(__file__).with_name(name).read_bytes()
        self.sha = hashlib.sha1(self.source, usedforsecurity=False).hexdigest()


_ADMIT = _Script("admit.lua")
_SETTLE = _Script("settle.lua")


class RedisCounters:
    """``Counters`` over the Redis at ``url``. Any failure to get an answer is ``CountersUnavailable``; the next call
    tries anew, so nothing has to be restarted when Redis is back. A call ends within ``call_seconds``, waiting for a
    free connection included; within it, connecting may take ``connect_seconds``.

    ``clock="caller"`` cuts windows by the ``now`` of each call, for tests that move time.
    """

    def __init__(
        self,
        url: str,
        *,
        prefix: str = "lobby",
        clock: Literal["server", "caller"] = "server",
        max_connections: int = 16,
        connect_seconds: float = CONNECT_SECONDS,
        call_seconds: float = CALL_SECONDS,
    ) -> None:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=max_connections,
            timeout=call_seconds,
            socket_connect_timeout=connect_seconds,
            # Ours bounds the whole call. The client's own is ``asyncio.wait_for``, which on Python 3.11 loses a
            # cancellation now and then: a caller who left would be served, a task never end.
            socket_timeout=None,
            # A script that timed out may have run: whether to ask again is the caller's decision.
            retry=Retry(NoBackoff(), 0),
            driver_info=None,
        )
        self._redis = Redis.from_pool(pool)
        self._call_seconds = call_seconds
        self._own_clock = clock == "server"
        self._prefix = f"{prefix}:{{counters}}:"
        self._leases = self._prefix + "leases"
        self._lease_prefix = self._prefix + "lease:"

    async def admit(self, ask: Ask) -> Admitted | Denied | Unseeded:
        prefix = self._prefix
        keys = [self._leases, self._lease_prefix + ask.lease]
        arguments: list[str | int | float] = [
            "" if self._own_clock else repr(ask.now),
            ask.lease,
            ask.lease_seconds,
            ask.tokens,
            ask.minimum_tokens,
            ask.cost,
            ask.token_cost,
            len(ask.limits),
            len(ask.budgets),
            self._lease_prefix,
            LATE_SETTLE_SECONDS,
        ]
        for limit in ask.limits:
            keys.append(f"{prefix}limit:{limit.metric}:{limit.window}:{limit.key}")
            arguments += (limit.metric, limit.amount, limit.window)
        for budget in ask.budgets:
            keys += (f"{prefix}budget:{budget.key}:settled", f"{prefix}budget:{budget.key}:held")
            arguments += (budget.amount, int(budget.hard), budget.ends_at)

        reply = cast(list[Any], await self._run(_ADMIT, keys, arguments))
        match reply[0]:
            case b"admitted":
                remaining = tuple(
                    Remaining(limit, int(left), float(reset_after))
                    for limit, left, reset_after in zip(ask.limits, reply[2::2], reply[3::2], strict=True)
                )
                return Admitted(int(reply[1]), remaining)
            case b"denied":
                index = int(reply[1]) - 1
                count = len(ask.limits)
                key = ask.limits[index].key if index < count else ask.budgets[index - count].key
                return Denied(key, float(reply[2]), int(reply[3]), bool(reply[4]))
            case b"settled":
                raise CountersUnavailable(f"The lease {ask.lease} was settled before it was asked for.")
            case _:
                return Unseeded(tuple(ask.budgets[int(number) - 1].key for number in reply[1:]))

    async def settle(self, ask: Ask, *, tokens: int, cost: int, now: float) -> None:
        prefix = self._prefix
        token_limits = [limit for limit in ask.limits if limit.metric == "tokens"]
        concurrency_limits = [limit for limit in ask.limits if limit.metric == "concurrency"]
        keys = [self._leases, self._lease_prefix + ask.lease]
        counted = (*token_limits, *concurrency_limits)
        keys += [f"{prefix}limit:{limit.metric}:{limit.window}:{limit.key}" for limit in counted]
        for budget in ask.budgets:
            keys += (f"{prefix}budget:{budget.key}:settled", f"{prefix}budget:{budget.key}:held")
        arguments: list[str | int | float] = [
            "" if self._own_clock else repr(now),
            ask.lease,
            tokens,
            cost,
            len(token_limits),
            len(concurrency_limits),
            len(ask.budgets),
            SETTLED_SECONDS,
            *(limit.window for limit in token_limits),
        ]
        await self._run(_SETTLE, keys, arguments)

    async def seed(self, spent: dict[str, tuple[int, float]]) -> None:
        if not spent:
            return
        now = time.time()
        pipeline = self._redis.pipeline(transaction=False)
        for key, (settled, ends_at) in spent.items():
            seconds = max(ends_at - now, 0.0) + LATE_SETTLE_SECONDS
            pipeline.set(f"{self._prefix}budget:{key}:settled", settled, nx=True, px=math.ceil(seconds * 1000))
        await self._bounded(pipeline.execute())

    async def spent(self, keys: tuple[str, ...]) -> dict[str, tuple[int, int]]:
        """As of the latest ask of anyone: leases that expired since still count as held."""
        if not keys:
            return {}
        names = [f"{self._prefix}budget:{key}:{part}" for key in keys for part in ("settled", "held")]
        values = await self._bounded(self._redis.mget(names))
        return {
            key: (int(settled), int(held or 0))
            for key, settled, held in zip(keys, values[0::2], values[1::2], strict=True)
            if settled is not None
        }

    async def aclose(self) -> None:
        await self._redis.aclose()
        await self._redis.connection_pool.disconnect()

    async def _run(self, script: _Script, keys: list[str], arguments: list[str | int | float]) -> object:
        return await self._bounded(self._evaluate(script, keys, arguments))

    async def _evaluate(self, script: _Script, keys: list[str], arguments: list[str | int | float]) -> object:
        count = len(keys)
        client = cast(Any, self._redis)  # its generic call is not typed
        try:
            return await client.execute_command("EVALSHA", script.sha, count, *keys, *arguments)
        except NoScriptError:  # a new or restarted Redis; EVAL teaches it the script
            return await client.execute_command("EVAL", script.source, count, *keys, *arguments)

    async def _bounded(self, call: Awaitable[Any]) -> Any:
        try:
            async with asyncio.timeout(self._call_seconds):
                return await call
        except (RedisError, OSError, TimeoutError) as error:
            # The idle connections are likely as dead as this one: none of the next calls is to find out by failing.
            with contextlib.suppress(RedisError, OSError, TimeoutError):
                await self._redis.connection_pool.disconnect(inuse_connections=False)
            raise CountersUnavailable(f"Redis does not answer: {error!r}") from error
