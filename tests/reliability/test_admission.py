"""Budgets and limits under concurrency: nothing is passed, nothing leaks, and nobody is refused without need."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.gateway.world import World, bearer, chat
from tests.live import LiveLobby
from tests.reliability.books import read_books
from tests.reliability.conftest import Profile, WorldFactory
from tests.reliability.traffic import Call, Caller, Seen, at_once, crowd, statuses

# So many that what is held for the input, which is a bound, weighs next to nothing.
OUTPUT = 2000


@pytest.fixture(scope="module")
def models(shared_worlds: Callable[[Profile], World]) -> dict[int, str]:
    return {}


def priced(world: World, models: dict[int, str]) -> str:
    """A model with a price, made once for each world."""
    if id(world) not in models:
        models[id(world)] = world.model()
    return models[id(world)]


def hold_of(world: World, model: str, body: dict[str, Any]) -> int:
    """Picodollars that a request like ``body`` holds, as its own record tells."""
    key = world.project(budget="1")
    response = world.post(body | {"model": model}, key=key)
    assert response.status_code == 200, response.text
    request_id = response.headers["x-lobby-request-id"]
    held: list[int] = []

    def told() -> bool:
        lines = [line for line in world.spool_lines(request_id) if line["line"] == "request"]
        held[:] = [line["why"]["held"]["cost_picousd"] for line in lines]
        return bool(held)

    world.eventually(told, within=10)
    return held[0]


def usd(picousd: int) -> str:
    return f"{picousd / 10**12:.12f}"


async def test_200_at_once_against_a_budget_for_10_admit_exactly_10(world: World, models: dict[int, str]) -> None:
    model = priced(world, models)
    bodies = [
        chat(f"Hello [[chunks={OUTPUT} headers_ms=400]]", stream=stream, max_completion_tokens=OUTPUT)
        for stream in (False, True)
    ]
    hold = max(hold_of(world, model, body) for body in bodies)
    key = await asyncio.to_thread(world.project, budget=usd(hold * 10 + hold // 2))
    calls = [Call(key, bodies[number % 2] | {"model": model}) for number in range(200)]
    seen = await at_once(world.lobby.port, calls)
    assert statuses(seen) == {200: 10, 429: 190}
    refused = [one for one in seen if one.status == 429]
    assert {one.error["code"] for one in refused} == {"budget_exceeded"}
    assert {one.error["type"] for one in refused} == {"insufficient_quota"}
    assert all(int(one.headers["retry-after"]) >= 1 for one in refused)
    assert all(one.whole and (not one.call.body["stream"] or one.chunks == OUTPUT) for one in seen if one.status == 200)


@pytest.mark.parametrize(
    "text",
    [
        "[[fail=500]]",
        "[[fail=close]]",
        "[[fail=malformed_json]]",
        "[[fail=close_mid at=2 each]]",
        "[[fail=error_event at=0 each]]",
        "",
    ],
)
async def test_what_fails_or_is_cancelled_gives_back_its_hold(world: World, models: dict[int, str], text: str) -> None:
    """A budget for two at a time: twelve that fail one after the other leave room for one that works."""
    model = priced(world, models)
    hold = hold_of(world, model, chat("Hello, hello, hello, hello, hello, hello, hello", max_completion_tokens=2000))
    key = await asyncio.to_thread(world.project, budget=usd(hold * 2))
    for number in range(12):
        stream = bool(number % 2) or not text
        body = chat(f"Hello {text or '[[chunks=9 delay_ms=20]]'}", stream=stream, max_completion_tokens=2000)
        await admitted_soon(world, Call(key, body | {"model": model}, leave_after=None if text else number % 4))
    seen = await admitted_soon(world, Call(key, chat("Hello", max_completion_tokens=2000) | {"model": model}))
    assert seen.status == 200


async def admitted_soon(world: World, call: Call) -> Seen:
    """At once, or as soon as the gateway has noticed that the caller before left: within a second."""
    caller = Caller(world.lobby.port)
    began = time.monotonic()
    while (seen := await caller.call(call)).status == 429:
        assert time.monotonic() - began < 1.0, seen.error
        await asyncio.sleep(0.01)
    caller.close()
    return seen


async def test_no_phantom_429_after_a_burst(world: World, models: dict[int, str]) -> None:
    """After bursts whose callers hang up, a budget that was hardly spent admits as on the first day."""
    model = priced(world, models)
    # Half a second each: however slowly they arrive, most find ten others running.
    hold = hold_of(world, model, chat("Hello [[chunks=5 delay_ms=100]]", max_completion_tokens=4000))
    limits = [{"metric": "concurrency", "limit": 10}]
    key = await asyncio.to_thread(world.project, budget=usd(hold * 12), limits=limits)
    body = chat("Hello [[chunks=5 delay_ms=100]]", max_completion_tokens=4000) | {"model": model}
    calls = []
    for number in range(120):
        leave = (number % 5) if number % 2 else None
        calls.append(Call(key, body | {"stream": number % 4 != 0}, leave_after=leave))
    for _ in range(2):
        seen = await at_once(world.lobby.port, calls)
        assert 0 < statuses(seen)[200] < 120
    await asyncio.to_thread(world.fake.wait_idle)
    await asyncio.sleep(0.5)
    # What it cost in truth is a hundredth of what was held: ten at once fit again.
    seen = await at_once(world.lobby.port, [Call(key, body)] * 10)
    assert statuses(seen) == {200: 10}, [one.error for one in seen if one.status != 200]


@pytest.mark.parametrize("stall", ["chunks=1000 delay_ms=50", "stall=headers", "stall=first", "stall=mid at=1 each"])
async def test_a_stream_whose_caller_leaves_frees_its_place_at_once(world: World, stall: str) -> None:
    key = await asyncio.to_thread(world.project, limits=[{"metric": "concurrency", "limit": 1}])
    world.fake.wait_idle()
    leaving = asyncio.create_task(Caller(world.lobby.port).call(Call(key, chat(f"[[{stall}]]", stream=True))))
    await asyncio.to_thread(world.eventually, lambda: world.fake.count()["in_flight"] == 1, within=10)
    other = Caller(world.lobby.port)
    assert (await other.call(Call(key, chat("Hello")))).status == 429
    other.close()
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    assert (await admitted_soon(world, Call(key, chat("Hello")))).status == 200
    await asyncio.to_thread(world.fake.wait_idle, 2.0)  # the upstream was hung up on


async def test_663_tokens_never_pass_a_limit_of_100_a_minute(world: World) -> None:
    """However they come: one that asks for 663, and many small ones, at once and one after the other."""
    limits = [{"metric": "tokens", "limit": 100, "window_seconds": 60}]
    key = await asyncio.to_thread(world.project, limits=limits)
    seen = await at_once(world.lobby.port, [Call(key, chat("Hello", max_completion_tokens=663))] * 3)
    assert {(one.status, one.error["code"]) for one in seen} == {(429, "request_over_limit")}
    small = Call(key, chat("[[chunks=20]]", max_completion_tokens=20, stream=True))
    seen = await at_once(world.lobby.port, [small] * 40)
    seen += await crowd(world.lobby.port, [small] * 10, callers=1)
    admitted = [one for one in seen if one.status == 200]
    used = sum(one.chunks + 1 for one in admitted)  # the prompt is one word
    assert len(admitted) >= 1
    assert used <= 100
    assert all(int(one.headers["retry-after"]) <= 66 for one in seen if one.status == 429)


async def test_the_first_request_is_never_refused(world: World) -> None:
    """Without a maximum of its own it is admitted under any limit that has room for an answer, and capped by it."""
    limits = [
        {"metric": "tokens", "limit": 100, "window_seconds": 60},
        {"metric": "requests", "limit": 1, "window_seconds": 60},
        {"metric": "concurrency", "limit": 1},
    ]
    keys = [await asyncio.to_thread(world.project, limits=limits, budget="0.01") for _ in range(4)]
    seen = await at_once(world.lobby.port, [Call(key, chat("Hi [[chunks=4]]")) for key in keys])
    assert statuses(seen) == {200: 4}, [one.error for one in seen]


def test_an_elastic_grant_caps_the_answer_upstream(world: World) -> None:
    key = world.project(limits=[{"metric": "tokens", "limit": 100, "window_seconds": 60}])
    response = world.post(chat("Hi [[chunks=4]]"), key=key)
    assert response.status_code == 200, response.text
    upstream = world.fake.requests()[-1]
    sent = json.loads(upstream["body"]) if isinstance(upstream["body"], str) else upstream["body"]
    assert 1 <= sent["max_tokens"] < 100
    attempt_id = dict(upstream["headers"])["x-lobby-attempt-id"]
    lines = world.spool_lines(response.headers["x-lobby-request-id"])
    assert {line["attempt_id"] for line in lines if "attempt_id" in line} == {attempt_id}
    assert key not in json.dumps(upstream)
    (why,) = (line["why"] for line in lines if line.get("why"))
    assert why["held"]["tokens"] <= 100 < why["held"]["asked_tokens"]


def test_a_budget_that_is_used_up_advises_what_helps(world: World, models: dict[int, str]) -> None:
    model, key = priced(world, models), world.project(budget="0.0000001")
    said = [
        world.post(chat("Hi [[chunks=4]]", **asked) | {"model": model}, key=key).json()["error"]["message"]
        for asked in ({}, {"max_completion_tokens": 500})
    ]
    assert "even its shortest answer may cost $0.0000" in said[0]
    assert "max_completion_tokens" not in said[0]
    assert "it may cost up to $0.00" in said[1]
    assert said[1].endswith("or send a smaller max_completion_tokens.")


@pytest.fixture
def second_web(profile: Profile, world: World) -> Any:
    """Another web process on the same database and Redis, with a data directory of its own; None on one process."""
    if profile == "embedded":
        yield None
        return
    directory = world.lobby.data_dir.with_name("second")
    directory.mkdir(exist_ok=True)
    names = ("DATABASE_URL", "REDIS_URL", "OPENAI_API_KEY", "OPENAI_BASE_URL")
    shared = {name: world.lobby.env[name] for name in names}
    for name in ("SECRET_KEY", "API_KEY_PEPPER", "CREDENTIALS_KEY"):
        shared[name] = (world.lobby.data_dir / "secrets" / name.lower()).read_text().strip()
    lobby = LiveLobby(directory, shared)
    lobby.start_web()
    yield lobby
    lobby.stop()


async def test_parallel_requests_never_exceed_the_concurrency_limit_across_processes(
    world: World, second_web: LiveLobby | None
) -> None:
    key = await asyncio.to_thread(world.project, limits=[{"metric": "concurrency", "limit": 5}])
    ports = [world.lobby.port, second_web.port if second_web else world.lobby.port]
    for port in ports:
        await known(port, key)
    world.fake.wait_idle()
    before = len(world.fake.attempts())
    bodies = [chat("Hello [[headers_ms=60]]"), chat("Hello [[chunks=6 delay_ms=10]]", stream=True)]

    async def work(number: int) -> list[Seen]:
        caller = Caller(ports[number % 2])
        found = [await caller.call(Call(key, bodies[(number + turn) % 2])) for turn in range(15)]
        caller.close()
        return found

    seen = [one for found in await asyncio.gather(*(work(number) for number in range(20))) for one in found]
    assert set(statuses(seen)) == {200, 429}
    world.fake.wait_idle()
    attempts = world.fake.attempts()[before:]
    assert len(attempts) == statuses(seen)[200]
    changes = sorted(
        [(attempt.arrived_ns, 1) for attempt in attempts] + [(attempt.ended_ns or 0, -1) for attempt in attempts]
    )
    most = running = 0
    for _, change in changes:
        running += change
        most = max(most, running)
    assert most == 5


async def known(port: int, key: str) -> None:
    async with httpx.AsyncClient(headers=bearer(key)) as client:
        for _ in range(500):
            if (await client.get(f"http://127.0.0.1:{port}/v1/models")).status_code == 200:
                return
            await asyncio.sleep(0.02)
    raise AssertionError("the key is not known")


async def test_a_revocation_is_in_force_within_a_second_in_every_process(
    world: World, second_web: LiveLobby | None
) -> None:
    key = await asyncio.to_thread(world.project)
    ports = [world.lobby.port] + ([second_web.port] if second_web else [])
    for port in ports:
        await known(port, key)
    callers = [Caller(port) for port in ports]
    await asyncio.to_thread(
        world.shell.run,
        """
key = ApiKey.objects.unscoped("test").get(prefix=prefix)
services.revoke_api_key(actor=actor, api_key=key)
""",
        prefix=key.split("_")[1],
    )
    revoked = time.monotonic()
    for caller in callers:
        while (seen := await caller.call(Call(key, chat("Hello")))).status == 200:
            assert time.monotonic() - revoked < 1.0, "a revoked key was still served after a second"
            await asyncio.sleep(0.01)
        assert (seen.status, seen.error["code"]) == (401, "key_revoked")
        caller.close()


async def test_a_budget_knows_after_a_restart_what_was_spent(profile: Profile, new_world: WorldFactory) -> None:
    """Killed right after the spending, while its last lines are still in the spool."""
    world = new_world(profile)
    model = world.model()
    body = chat(f"Hello [[chunks={OUTPUT}]]", max_completion_tokens=OUTPUT) | {"model": model}
    hold = hold_of(world, model, body)
    key = world.project(budget=usd(hold * 10 + hold // 2))
    assert statuses(await at_once(world.lobby.port, [Call(key, body)] * 6)) == {200: 6}
    world.lobby.kill("web")
    await asyncio.to_thread(world.lobby.start_web)
    seen = await at_once(world.lobby.port, [Call(key, body)] * 30)
    assert statuses(seen) == {200: 4, 429: 26}, [one.error for one in seen][:3]
    spent = sum(
        record["cost_picousd"] for record in read_books(world).ours.values() if record["output_tokens"] == OUTPUT
    )
    assert spent <= hold * 12
