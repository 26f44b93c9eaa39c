"""More than fits: what is admitted keeps its latency, the rest is told when to come again, and memory stays flat."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from pathlib import Path

from tests.gateway.world import World, chat
from tests.reliability.books import read_books
from tests.reliability.conftest import Profile, WorldFactory
from tests.reliability.traffic import CHAT, Call, at_once, one, statuses, steady

ROOM = 40
SLOW = "[[headers_ms=400]]"


async def test_at_five_times_the_load_who_is_admitted_is_served_and_the_quiet_are_not_hurt(
    profile: Profile, new_world: WorldFactory
) -> None:
    world = new_world(profile, {"GATEWAY_MAX_IN_FLIGHT": str(ROOM)})
    world.shell.run("services.create_tenant(actor=actor, slug='quiet', name='Quiet')")
    quiet = world.project(tenant="quiet")
    calm = [await one(world.lobby.port, Call(quiet, chat(SLOW))) for _ in range(5)]
    # 40 places of 0.4 s each serve 100 a second; this asks for 500.
    async with steady(world.lobby.port, lambda: Call(world.key, chat(SLOW)), per_second=500) as loud:
        await asyncio.sleep(1)
        async with steady(world.lobby.port, lambda: Call(quiet, chat(SLOW)), per_second=4) as heard:
            await asyncio.sleep(4)
    assert statuses(loud).keys() == {200, 503}
    refused = [seen for seen in loud if seen.status == 503]
    assert len(refused) > len(loud) / 2
    assert {seen.error["code"] for seen in refused} == {"overloaded"}
    assert all(int(seen.headers["retry-after"]) >= 1 for seen in refused)
    assert statuses(heard) == {200: len(heard)}
    usual = sorted(seen.seconds for seen in calm)[2]
    for crowd in (heard, [seen for seen in loud if seen.status == 200]):
        times = sorted(seen.seconds for seen in crowd)
        assert times[len(times) // 2] < usual * 3, (usual, times[len(times) // 2])
    assert len(world.fake.attempts()) == len(calm) + statuses(loud)[200] + len(heard)
    read_books(world).check()


def resident(world: World) -> int:
    """Bytes of the web's memory."""
    pid = world.lobby.processes["web"].pid
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmRSS")


def descriptors(world: World) -> int:
    return len(list(Path(f"/proc/{world.lobby.processes['web'].pid}/fd").iterdir()))


async def test_callers_that_read_a_byte_a_second_do_not_grow_memory(new_world: WorldFactory) -> None:
    """Thirty answers of 20 MB each would be 600 MB; what is not read stays at the upstream."""
    world = new_world("embedded")
    small = Call(world.key, chat("Hello [[chunks=50]]", stream=True))
    await at_once(world.lobby.port, [small] * 30)
    before, files = resident(world), descriptors(world)
    body = json.dumps(chat("Hello [[chunks=2000 size=10000 each]]", stream=True)).encode()
    head = (
        f"POST {CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {world.key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    ).encode()
    readers = []
    for _ in range(30):
        reader = socket.socket()
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        reader.connect(("127.0.0.1", world.lobby.port))
        reader.sendall(head + body)
        readers.append(reader)
    most = before
    ends = time.monotonic() + 6
    while time.monotonic() < ends:
        for reader in readers:
            reader.recv(1)
        most = max(most, resident(world))
        # Others do not wait behind them.
        assert (await one(world.lobby.port, small)).seconds < 5
        await asyncio.sleep(1)
    for reader in readers:
        reader.close()
    assert most - before < 100 * 1024**2, f"grew by {(most - before) / 1024**2:.0f} MB"
    await asyncio.to_thread(world.fake.wait_idle, 20.0)
    await asyncio.to_thread(world.eventually, lambda: descriptors(world) <= files + 5, within=10)
    books = read_books(world)
    assert books.statuses["estimated"] == 30
    assert not books.theirs.keys() - books.ours.keys()
