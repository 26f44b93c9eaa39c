"""Nothing lost, nothing twice: all of Lobby under mixed load, with callers that leave and a process that is killed."""

from __future__ import annotations

import asyncio
import os
from collections import Counter

from tests.gateway.world import World
from tests.reliability.books import operators_check, read_books, totals_agree
from tests.reliability.conftest import Profile, WorldFactory
from tests.reliability.traffic import Call, Seen, crowd, mixed

REQUESTS = 50_000 if os.environ.get("LOBBY_TEST_SOAK") else 5_000
CALLERS = 24


async def load(world: World, calls: list[Call], *, kill_after: int | None = None) -> list[Seen]:
    """Send the calls; with ``kill_after`` the web dies after so many answers, and is started again under load."""
    port = world.lobby.port
    if kill_after is None:
        return await crowd(port, calls, callers=CALLERS)
    answered = await crowd(port, calls[:kill_after], callers=CALLERS)
    dying = asyncio.create_task(crowd(port, calls[kill_after:-kill_after], callers=CALLERS))
    await asyncio.sleep(0.7)
    world.lobby.kill("web")
    answered += await dying  # nothing listens: the rest of these fail at once
    await asyncio.to_thread(world.lobby.start_web)
    return answered + await crowd(port, calls[-kill_after:], callers=CALLERS)


async def test_the_ledger_is_exactly_what_the_upstream_counted(profile: Profile, new_world: WorldFactory) -> None:
    world = new_world(profile)
    model = world.model()
    world.shell.run("services.create_tenant(actor=actor, slug='globex', name='Globex')")
    limits = [{"metric": "tokens", "limit": 10**9, "window_seconds": 60}]
    keys = [world.project(budget="1000", limits=limits), world.project(), world.project(tenant="globex")]

    seen = await load(world, mixed(keys, model, REQUESTS, seed=1))
    assert len(seen) == REQUESTS
    assert sum(one.left for one in seen) > REQUESTS / 20
    assert not [one for one in seen if not one.status and not one.left], "answers that never came"
    assert not [one for one in seen if one.status == 200 and not one.whole and not one.left], "streams cut off"
    by_kind = Counter((one.call.kind, one.status) for one in seen if not one.left)
    assert {status for kind, status in by_kind if kind in ("plain", "stream", "slow stream", "embedding")} == {200}
    books = read_books(world)
    books.check()
    assert books.statuses["measured"] > REQUESTS / 2
    assert "interrupted" not in books.statuses

    # Again, with kill -9 in the middle.
    seen = await load(world, mixed(keys, model, REQUESTS // 2, seed=2), kill_after=REQUESTS // 10)
    assert [one for one in seen if not one.status and not one.left], "the kill hurt nobody"
    books = read_books(world)
    books.check()
    # What was running: a call for each caller, and such as their callers had just left, being closed.
    assert books.statuses["interrupted"] <= 2 * CALLERS
    # What a caller got to its end is in the ledger as measured: the settlement is written before the last byte leaves.
    measured = {record["request_id"] for record in books.ours.values() if record["status"] == "measured"}
    got = {one.headers["x-lobby-request-id"] for one in seen if one.status == 200 and one.whole and not one.error}
    assert got <= measured
    found = operators_check(world)
    assert (found["ours"], found["theirs"]) == (len(books.ours), len(books.theirs))
    totals_agree(world, books)
    # Each tenant's calls are that tenant's.
    tenants = {record["tenant_id"] for record in books.ours.values()}
    assert len(tenants) == 2
