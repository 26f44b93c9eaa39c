"""No room for the ledger: nothing is called that could not be recorded, and what was done is recorded later."""

from __future__ import annotations

import asyncio
import resource

import httpx

from tests.gateway.world import World, chat
from tests.reliability.books import read_books
from tests.reliability.conftest import Profile, WorldFactory
from tests.reliability.traffic import Call, Caller, at_once, crowd, statuses


def readiness(world: World) -> tuple[int, bool]:
    answer = httpx.get(world.lobby.url + "/readyz")
    return answer.status_code, bool(answer.json()["checks"]["ledger_writable"])


def let_files_grow_to(world: World, size: int) -> None:
    """As a full disk does, every write beyond fails; in this one process, and without a disk to fill."""
    process = world.lobby.processes["web"].pid
    resource.prlimit(process, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


async def test_a_full_disk_refuses_before_dispatch_and_settles_what_runs_when_there_is_room(
    profile: Profile, new_world: WorldFactory
) -> None:
    world = new_world(profile)
    key = world.project(limits=[{"metric": "concurrency", "limit": 100}], budget="10")
    port = world.lobby.port
    world.lobby.stop_process("drainer")
    assert statuses(await at_once(port, [Call(key, chat("Hello"))] * 60)) == {200: 60}
    caller = Caller(port)
    running = asyncio.create_task(caller.call(Call(key, chat("Hello [[chunks=30 delay_ms=50]]", stream=True))))
    await asyncio.to_thread(world.eventually, lambda: world.fake.count()["in_flight"] == 1, within=10)
    [segment] = world.lobby.data_dir.glob("spool/*.jsonl")
    let_files_grow_to(world, segment.stat().st_size + 100)  # not even a whole line
    served = world.fake.count()["arrivals"]
    seen = await at_once(port, [Call(key, chat("Hello", stream=number % 2 == 0)) for number in range(10)])
    assert {(each.status, each.error["code"]) for each in seen} == {(503, "ledger_unavailable")}
    assert all(int(each.headers["retry-after"]) >= 1 for each in seen)
    assert world.fake.count()["arrivals"] == served
    finished = await running
    assert (finished.whole, finished.chunks) == (True, 30)
    assert readiness(world) == (503, False)
    assert segment.read_bytes().endswith(b"\n"), "a torn line was left"

    let_files_grow_to(world, resource.RLIM_INFINITY)
    await asyncio.to_thread(world.eventually, lambda: readiness(world) == (200, True), within=10)
    assert (await caller.call(Call(key, chat("Hello")))).status == 200
    caller.close()
    world.lobby.start_drainer()
    books = read_books(world)
    books.check()
    assert books.statuses == {"measured": 62}
    # And the refused ones gave back their places: a hundred at once fit.
    assert statuses(await at_once(port, [Call(key, chat("Hello [[headers_ms=300]]"))] * 100)) == {200: 100}


async def test_a_spool_that_nobody_drains_fills_up_and_goes_on_when_it_is_drained(
    profile: Profile, new_world: WorldFactory
) -> None:
    world = new_world(profile, {"SPOOL_MAX_BYTES": str(2**20)}, start=False)
    world.lobby.start_web()
    call = Call(world.key, chat("Hello"))
    seen = await crowd(world.lobby.port, [call] * 1500, callers=8)
    assert statuses(seen).keys() == {200, 503}
    assert seen[-1].error["code"] == "ledger_unavailable"
    assert len(await asyncio.to_thread(world.fake.attempts)) == statuses(seen)[200]
    size = sum(path.stat().st_size for path in world.lobby.data_dir.glob("spool/*.jsonl"))
    # Each process looks once a second what the others have written.
    assert size < 2**20 * 1.25
    world.lobby.start_drainer()
    # What was drained is deleted with its segment, which ends by itself a minute after its first line, or by a restart.
    await asyncio.to_thread(world.lobby.stop_process, "web")
    await asyncio.to_thread(world.lobby.start_web)
    books = read_books(world)
    books.check()
    # The web looks once a second how much room there is.
    await asyncio.to_thread(world.eventually, lambda: world.post(chat("Hello")).status_code == 200, within=10)
