"""PostgreSQL or Redis is away: inference goes on or is refused quickly, nothing is lost or has to be restarted."""

from __future__ import annotations

import asyncio
import itertools
import os
import time

import httpx

from tests.gateway.world import World, bearer, chat
from tests.reliability.books import read_books
from tests.reliability.conftest import WorldFactory
from tests.reliability.traffic import Call, Caller, at_once, mixed, one, statuses, steady
from tests.servers import PostgresServer, RedisServer

OUTAGE_SECONDS = 300.0 if os.environ.get("LOBBY_TEST_SOAK") else 6.0
LIMITS = [{"metric": "requests", "limit": 100_000, "window_seconds": 60}, {"metric": "concurrency", "limit": 500}]


async def test_inference_goes_on_while_the_database_is_down(
    new_world: WorldFactory, postgres_server: PostgresServer
) -> None:
    world = new_world("servers")
    model = world.model()
    keys = [world.project(limits=LIMITS, budget="1000"), world.project()]
    # What each budget has spent is asked of the database once, by its first request.
    assert statuses(await at_once(world.lobby.port, [Call(key, chat("Hello")) for key in keys])) == {200: 2}
    calls = iter(itertools.cycle(mixed(keys, model, 500, seed=3)))
    async with steady(world.lobby.port, lambda: next(calls), per_second=60) as seen:
        await asyncio.sleep(1)
        await asyncio.to_thread(postgres_server.stop)
        await asyncio.sleep(OUTAGE_SECONDS)
        before = len(seen)
        await asyncio.to_thread(postgres_server.start)
        await asyncio.sleep(1)
    assert before > 30 * OUTAGE_SECONDS
    served = [
        each for each in seen if not each.left and each.call.kind in ("plain", "stream", "slow stream", "embedding")
    ]
    assert statuses(served) == {200: len(served)}, [each.error for each in served if each.status != 200][:3]
    assert all(each.whole for each in served)
    refused = [each for each in seen if each.status == 401]
    assert {each.call.kind for each in refused} <= {"wrong key"}
    books = read_books(world)
    books.check()
    assert len(books.ours) > len(served)


async def test_a_gateway_that_starts_without_its_database_is_ready_when_it_comes(
    new_world: WorldFactory, postgres_server: PostgresServer
) -> None:
    world = new_world("servers")
    await asyncio.to_thread(world.lobby.stop_process, "web")
    await asyncio.to_thread(postgres_server.stop)
    world.lobby.start_web(wait=False)
    await asyncio.to_thread(world.lobby.wait_ready, "/healthz")
    async with httpx.AsyncClient(base_url=world.lobby.url, timeout=10) as client:
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()["checks"]["control_plane_known"]) == (503, False)
        answer = await client.post("/v1/chat/completions", json=chat(), headers=bearer(world.key))
        assert (answer.status_code, answer.json()["error"]["type"]) == (503, "server_error")
        assert int(answer.headers["retry-after"]) >= 1
        await asyncio.to_thread(postgres_server.start)
        await asyncio.to_thread(world.lobby.wait_ready)
        answer = await client.post("/v1/chat/completions", json=chat(), headers=bearer(world.key))
    assert answer.status_code == 200
    read_books(world).check()


_PROMPT = """
from apps.prompts import services as prompts
acme = Tenant.objects.unscoped("test").get(slug="acme")
prompt = prompts.create_prompt(actor=actor, tenant=acme, slug="greeting", name="Greeting")
for text in versions:
    content = {"messages": [{"role": "user", "content": text}], "model": "fake-chat"}
    prompts.save_version(actor=actor, prompt=prompt, content=content)
prompts.release_versions(actor=actor, prompt=prompt, environment="dev", label="live", weights={1: 100})
"""


async def test_a_database_that_hangs_is_waited_for_within_bounds_and_in_nobody_elses_way(
    new_world: WorldFactory, postgres_server: PostgresServer
) -> None:
    world = new_world("servers", {"LOBBY_PROVIDER_FAKE": "sk-fake"})
    world.credential = {"credential_source": "environment", "credential_env": "LOBBY_PROVIDER_FAKE"}
    world.shell.run(_PROMPT, versions=[f"Hello {number}" for number in range(41)])
    budgeted = [world.project(budget="1") for _ in range(5)]
    live = Call(world.key, {"prompt": {"id": "greeting"}})
    world.eventually(lambda: world.post(live.body).status_code == 200, within=10)
    # Not known in the process: a version that no label means, and what a budget has spent.
    needy = [Call(world.key, {"prompt": {"id": "greeting", "version": 2 + number}}) for number in range(40)]
    needy += [Call(key, chat("Hello")) for key in budgeted]
    other = f"http://localhost:{world.fake.url.rpartition(':')[2]}"
    elsewhere = world.model(base_url=other)  # to which no connection is open yet: its address is looked up first
    await asyncio.to_thread(postgres_server.freeze)
    try:
        waiting = asyncio.create_task(at_once(world.lobby.port, needy))
        await asyncio.sleep(0.5)
        seen = await asyncio.wait_for(one(world.lobby.port, Call(world.key, chat() | {"model": elsewhere})), 5)
        assert seen.status == 200, seen.error
        refused = await asyncio.wait_for(waiting, 10)
        assert statuses(refused) == {503: len(needy)}, [each.error for each in refused][:3]
        assert all(int(each.headers["retry-after"]) >= 1 for each in refused)
    finally:
        await asyncio.to_thread(postgres_server.thaw)
    await recovered(world, needy[-1])
    await recovered(world, needy[0])


async def recovered(world: World, call: Call) -> None:
    """Served again within a few seconds."""
    caller = Caller(world.lobby.port)
    deadline = time.monotonic() + 10
    while (seen := await caller.call(call)).status != 200:
        assert time.monotonic() < deadline, (seen.status, seen.error)
        await asyncio.sleep(0.05)
    caller.close()


def redis_of(factory: WorldFactory) -> RedisServer:
    assert factory.redis is not None
    return factory.redis


async def test_without_redis_limited_requests_are_refused_quickly_and_others_are_served(
    new_world: WorldFactory,
) -> None:
    world = new_world("servers")
    redis = redis_of(new_world)
    model = world.model()
    limited, free = world.project(limits=LIMITS, budget="1"), world.project()
    call = Call(limited, chat("Hello [[chunks=5]]") | {"model": model})
    assert statuses(await at_once(world.lobby.port, [call] * 5)) == {200: 5}
    for away, back in ((redis.stop, redis.start), (redis.freeze, redis.thaw)):
        await asyncio.to_thread(away)
        began = time.monotonic()
        seen = await at_once(world.lobby.port, [call] * 20)
        assert time.monotonic() - began < 5, "requests hang on Redis"
        assert {(each.status, each.error["code"]) for each in seen} == {(503, "counters_unavailable")}
        assert all(int(each.headers["retry-after"]) >= 1 for each in seen)
        # What is known to be away is not waited for.
        seen = await at_once(world.lobby.port, [call] * 20)
        assert sum(each.seconds < 0.5 for each in seen) >= 10
        assert (await one(world.lobby.port, Call(free, chat("Hello")))).status == 200
        await asyncio.to_thread(back)
        await recovered(world, call)
    read_books(world).check()


async def test_an_admission_that_redis_granted_too_late_is_given_back(new_world: WorldFactory) -> None:
    """Redis hangs, callers are told 503, and then it does what it had been asked: no place may stay taken by that."""
    world = new_world("servers")
    redis = redis_of(new_world)
    key = world.project(limits=[{"metric": "concurrency", "limit": 3}])
    call = Call(key, chat("Hello [[headers_ms=200]]"))
    assert statuses(await at_once(world.lobby.port, [call] * 3)) == {200: 3}
    for _ in range(2):
        await asyncio.to_thread(redis.freeze)
        assert statuses(await at_once(world.lobby.port, [call] * 6)) == {503: 6}
        await asyncio.to_thread(redis.thaw)
        await recovered(world, call)
    deadline = time.monotonic() + 5
    while statuses(seen := await at_once(world.lobby.port, [call] * 3)) != {200: 3}:
        assert time.monotonic() < deadline, [each.error for each in seen]
        await asyncio.sleep(0.2)


async def test_without_redis_a_local_lease_admits_its_share_and_no_more(new_world: WorldFactory) -> None:
    world = new_world("servers", {"COUNTERS_ON_FAILURE": "lease", "COUNTERS_LEASE_SHARE": "0.5"})
    redis = redis_of(new_world)
    key = world.project(limits=[{"metric": "requests", "limit": 40, "window_seconds": 60}])
    call = Call(key, chat("Hello"))
    assert statuses(await at_once(world.lobby.port, [call] * 4)) == {200: 4}
    await asyncio.to_thread(redis.stop)
    seen = await at_once(world.lobby.port, [call] * 60)
    seen += await at_once(world.lobby.port, [call] * 20)
    assert statuses(seen) == {200: 20, 429: 60}
    await asyncio.to_thread(redis.start)
    await recovered(world, call)
    read_books(world).check()


async def test_a_redis_that_lost_its_memory_is_told_what_was_spent(new_world: WorldFactory) -> None:
    world = new_world("servers")
    redis = redis_of(new_world)
    model = world.model()
    # 2,000 tokens of output at 0.60 USD a million: 0.0012 USD each, and a little for the input.
    key = world.project(budget="0.0066")
    call = Call(key, chat("Hello [[chunks=2000]]", max_completion_tokens=2000) | {"model": model})
    assert statuses(await at_once(world.lobby.port, [call] * 3)) == {200: 3}
    read_books(world)
    await asyncio.to_thread(redis.kill)
    await asyncio.to_thread(redis.start)
    await recovered(world, call)
    seen = await at_once(world.lobby.port, [call] * 10)
    assert statuses(seen) == {200: 1, 429: 9}, [each.error for each in seen]
