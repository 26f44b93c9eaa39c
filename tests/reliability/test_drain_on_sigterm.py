"""SIGTERM: readiness goes off first, what runs is finished, and the process ends as it should."""

from __future__ import annotations

import asyncio
import signal
import time

import httpx

from tests.gateway.world import chat
from tests.reliability.books import read_books
from tests.reliability.conftest import Profile, WorldFactory
from tests.reliability.traffic import Call, Caller, one

STREAMS = 50
DRAIN_SECONDS = 1


async def test_sigterm_under_50_streams_hurts_no_caller(profile: Profile, new_world: WorldFactory) -> None:
    world = new_world(profile, {"DRAIN_SECONDS": str(DRAIN_SECONDS)})
    key = world.project(limits=[{"metric": "concurrency", "limit": 200}], budget="10")
    body = chat("Hello [[chunks=60 delay_ms=50]]", stream=True)
    callers = [Caller(world.lobby.port) for _ in range(STREAMS)]
    running = [asyncio.create_task(caller.call(Call(key, body))) for caller in callers]
    await asyncio.to_thread(world.eventually, lambda: world.fake.count()["in_flight"] == STREAMS, within=20)
    world.lobby.signal("web", signal.SIGTERM)
    told = time.monotonic()
    async with httpx.AsyncClient(base_url=world.lobby.url, timeout=5) as client:
        ready = await client.get("/readyz")
        assert ready.status_code == 503
        assert ready.json()["checks"] == {
            "control_plane_known": True,
            "ledger_writable": True,
            "not_draining": False,
        }
    # Who has not heard of it yet is still served.
    assert (await one(world.lobby.port, Call(key, chat("Hello")))).status == 200
    seen = await asyncio.gather(*running)
    status = await asyncio.to_thread(world.lobby.wait, "web", 15)
    assert time.monotonic() - told < 15
    assert status == 0
    assert [(each.status, each.whole, each.chunks, each.error) for each in seen] == [(200, True, 60, {})] * STREAMS
    for caller in callers:
        caller.close()
    books = read_books(world)
    books.check()
    assert books.statuses == {"measured": STREAMS + 1}


async def test_a_stream_beyond_the_grace_is_cut_and_settled(profile: Profile, new_world: WorldFactory) -> None:
    world = new_world(profile, {"WEB_GRACE_SECONDS": "1"})
    body = chat("Hello [[chunks=1000 delay_ms=50]]", stream=True)
    caller = Caller(world.lobby.port)
    running = asyncio.create_task(caller.call(Call(world.key, body)))
    await asyncio.to_thread(world.eventually, lambda: world.fake.count()["in_flight"] == 1, within=20)
    assert await asyncio.to_thread(world.lobby.stop_process, "web") == 0
    assert not (await running).whole
    caller.close()
    books = read_books(world)
    books.check()
    [record] = books.ours.values()
    assert (record["status"], record["outcome"]) == ("estimated", "interrupted")
    assert record["output_tokens"] >= 1
