from __future__ import annotations

import asyncio

import pytest

from apps.gateway.upstream import Watch


async def test_an_upstream_that_falls_silent_after_a_slow_caller_is_caught_by_the_idle_limit() -> None:
    watch = Watch(total=30)
    watch.phase("idle", 0.05)
    watch.pause()
    await asyncio.sleep(0.12)  # the caller reads slowly: the timer fires meanwhile, and blames nobody
    watch.touch()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.sleep(5)
    assert watch.caught()
    assert watch.reason == "idle"


async def test_a_caller_that_reads_slowly_is_bounded_by_the_total() -> None:
    watch = Watch(total=0.1)
    watch.phase("idle", 0.03)
    watch.pause()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.sleep(5)
    assert watch.caught()
    assert watch.reason == "total"
    assert watch.paused, "the upstream is not to blame"
