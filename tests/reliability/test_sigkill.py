"""SIGKILL of the web in each phase of a request: every attempt has exactly one record after the restart."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from tests.fakes.blackhole import blackhole
from tests.gateway.world import World, chat
from tests.reliability.books import read_books
from tests.reliability.conftest import Profile, WorldFactory
from tests.reliability.traffic import CHAT, EMBEDDINGS, Call, Caller, Seen

WITHIN = 20.0


@asynccontextmanager
async def says_usage_and_stalls() -> AsyncIterator[str]:
    """An upstream that streams three tokens, tells the usage, and never ends."""
    events: list[dict[str, Any]] = [{"choices": [{"index": 0, "delta": {"content": f"w{n} "}}]} for n in range(3)]
    events.append({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 4, "total_tokens": 11}})
    body = b"".join(b"data: " + json.dumps(event, separators=(",", ":")).encode() + b"\n\n" for event in events)
    answer = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    answer += b"%x\r\n%s\r\n" % (len(body), body)
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    for writer in writers:
        writer.close()
    server.close()
    await server.wait_closed()


def begin(world: World, body: dict[str, Any]) -> asyncio.Task[Seen]:
    return asyncio.create_task(Caller(world.lobby.port).call(Call(world.key, body)))


def intents(world: World) -> int:
    return sum(line["line"] == "intent" for line in world.all_lines())


async def test_sigkill_in_each_phase_leaves_one_record_for_each_attempt(
    profile: Profile, new_world: WorldFactory
) -> None:
    world = new_world(profile)
    world.lobby.stop_process("drainer")  # so that what was settled is still in the spool when the process dies
    port = world.lobby.port
    async with AsyncExitStack() as stack:
        nowhere = stack.enter_context(blackhole())
        half_told = await stack.enter_async_context(says_usage_and_stalls())
        unreachable = await asyncio.to_thread(world.model, base_url=nowhere, connect_timeout_ms=60_000)
        usage_only = await asyncio.to_thread(world.model, base_url=half_told)
        # Settled, and the caller has the last byte: plain, a stream, embeddings.
        caller = Caller(port)
        settled = [
            await caller.call(Call(world.key, chat("settled plain"))),
            await caller.call(Call(world.key, chat("settled stream", stream=True))),
            await caller.call(Call(world.key, {"model": "fake-embed", "input": "one two"}, EMBEDDINGS)),
        ]
        assert [(seen.status, seen.whole) for seen in settled] == [(200, True)] * 3
        caller.close()
        # Before the intent: half of the body has come.
        early = socket.create_connection(("127.0.0.1", port))
        early.sendall(
            f"POST {CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {world.key}\r\n"
            "content-type: application/json\r\ncontent-length: 1000\r\n\r\n{".encode()
        )
        phases = [
            begin(world, chat("connecting") | {"model": unreachable}),
            begin(world, chat("no head [[stall=headers]]")),
            begin(world, chat("no head of a stream [[stall=headers]]", stream=True)),
            begin(world, chat("no first byte [[stall=first]]", stream=True)),
            begin(world, chat("half an answer [[stall=mid]]")),
            begin(world, chat("in the middle [[stall=mid at=5 chunks=9 each]]", stream=True)),
            begin(world, chat("usage told", stream=True) | {"model": usage_only}),
        ]
        loop = asyncio.get_running_loop()
        deadline = loop.time() + WITHIN
        while intents(world) < len(settled) + len(phases) or world.fake.count()["in_flight"] < 5:
            assert loop.time() < deadline, (intents(world), world.fake.count())
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.3)  # what the upstreams have sent by now has arrived
        world.lobby.kill("web")
        seen = await asyncio.gather(*phases)
        early.close()
    assert not any(one.whole for one in seen)
    assert seen[5].chunks == 5
    assert intents(world) == len(settled) + len(phases)

    await asyncio.to_thread(world.lobby.start)
    books = read_books(world)
    by_prompt = {attempt.prompt_tokens: attempt for attempt in books.theirs.values()}
    assert len(books.theirs) == 8, by_prompt
    assert books.statuses == {"measured": 3, "interrupted": 7}
    [usage_told] = [
        record["attempt_id"]
        for record in books.ours.values()
        if books.requests[record["request_id"]]["model_slug"] == usage_only
    ]
    books.check(elsewhere=[usage_told])
    for record in books.ours.values():
        request = books.requests[record["request_id"]]
        assert (request["outcome"] == "interrupted") is (record["status"] == "interrupted")
    measured = {record["request_id"] for record in books.ours.values() if record["status"] == "measured"}
    assert measured == {one.headers["x-lobby-request-id"] for one in settled}
    interrupted = [record for record in books.ours.values() if record["status"] == "interrupted"]
    # The five tokens that the caller saw; and what an upstream had told stands, not our estimate.
    assert sorted(record["output_tokens"] for record in interrupted) == [0, 0, 0, 0, 0, 4, 5]
    assert (books.ours[usage_told]["input_tokens"], books.ours[usage_told]["output_tokens"]) == (7, 4)
    assert all(record["input_tokens"] > 0 for record in interrupted)
    # Once more, and nothing changes.
    world.lobby.kill("web")
    await asyncio.to_thread(world.lobby.start_web)
    assert read_books(world).ours == books.ours
