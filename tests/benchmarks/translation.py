"""What translating costs, beside passing through: run by hand.

    python -m tests.benchmarks.translation            each pair of dialects, in this process: seconds
    python -m tests.benchmarks.translation --lobby    through a running Lobby as well, by its processor time: a minute

The first table is the adapter's own work: a plain request prepared and its answer read, and each chunk of a stream.
Every pair of dialects of the conformance suite is measured. The second is the whole path of a request, which the
promise is about: at most 1.5 times the pass-through's processor time per request, and at most 60 microseconds per
streamed chunk.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import httpx

from tests.benchmarks.procfs import cpu_seconds
from tests.fakes.process import FakeAnthropic, FakeOpenAI
from tests.gateway.world import World, serve_claude
from tests.live import LobbyFactory
from tests.models.providers.conformance.test_conformance import (
    PAIRS,
    QUESTIONS,
    TARGET,
    VOICES,
    adapter,
    call,
    decoder,
)
from tests.models.providers.conformance.voices import Said
from tests.reliability.traffic import CHAT, Call, crowd
from tests.template import migrated_database

CHUNKS: Final = 200
ROUNDS: Final = 7
REQUESTS: Final = 3_000
STREAMS: Final = 300
STREAM_CHUNKS: Final = 200
MAX_RATIO: Final = 1.5
MAX_CHUNK_US: Final = 60.0


def best(act: Callable[[], object], times: int) -> float:
    """Microseconds of one ``act``: the best of a few rounds of ``times``."""
    rounds = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for _ in range(times):
            act()
        rounds.append((time.perf_counter() - began) / times * 1e6)
    return min(rounds)


def adapters() -> bool:
    """Prints the table of all pairs; whether no chunk costs too much."""
    print(f"{'front':10} {'upstream':10} {'request us':>11} {'chunk us':>9}")
    kept = True
    question = QUESTIONS["results of tools"]
    for front, upstream in PAIRS:
        its = adapter(upstream)
        plain = VOICES[upstream].plain(Said("Hello " * 50))

        def request(its: Any = its, front: str = front, plain: bytes = plain) -> None:
            asked = call(front, question)
            its.prepare(TARGET, asked, attempt_id="a").request.read()
            its.parse(TARGET, asked, httpx.Headers(), plain)

        # The voices cut a text into pieces of four characters, each a chunk.
        events = VOICES[upstream].stream(Said("word" * CHUNKS)).split(b"\n\n")
        blocks = [event + b"\n\n" for event in events if event]

        def stream(front: str = front, upstream: str = upstream, blocks: list[bytes] = blocks) -> None:
            reading = decoder(front, upstream)
            for block in blocks:
                reading.feed(block)

        chunk = best(stream, 5) / CHUNKS
        # What it takes to make the call itself is the test's, not the adapter's.
        made = best(lambda front=front: call(front, question), 200)  # type: ignore[misc]
        print(f"{front:10} {upstream:10} {best(request, 200) - made:11.1f} {chunk:9.2f}")
        kept = kept and chunk <= MAX_CHUNK_US
    return kept


def lobby() -> bool:
    """Prints the processor time of a running Lobby by front and upstream; whether the promise is kept."""
    kept = True
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="translation-")))
        factory = LobbyFactory(migrated_database(directory), directory)
        stack.callback(factory.stop)
        fake = stack.enter_context(FakeOpenAI())
        claude = stack.enter_context(FakeAnthropic())
        world = World(factory(start=False, env={"LOBBY_PROVIDER_CLAUDE": "sk-ant-fake"}), fake)
        stack.callback(world.close)
        world.arrange()
        serve_claude(world, claude, "fake-claude", "LOBBY_PROVIDER_CLAUDE")
        world.lobby.start()
        fronts = {"chat": CHAT, "messages": "/v1/messages"}
        costs: dict[tuple[str, str], tuple[float, float]] = {}
        for upstream, model in (("chat", "fake-chat"), ("messages", "fake-claude")):
            for front, path in fronts.items():
                costs[front, upstream] = _cost(world, path, model)
        print(f"\n{'front':10} {'upstream':10} {'request us':>11} {'ratio':>6} {'chunk us':>9}")
        for (front, upstream), (request, chunk) in costs.items():
            ratio = request / costs[upstream, upstream][0]
            print(f"{front:10} {upstream:10} {request:11.0f} {ratio:6.2f} {chunk:9.2f}")
            kept = kept and ratio <= MAX_RATIO and chunk <= MAX_CHUNK_US
    return kept


def _cost(world: World, path: str, model: str) -> tuple[float, float]:
    """Microseconds of the web's processor time per request, and per chunk of a stream."""
    body = {"model": model, "max_tokens": 1_000, "messages": [{"role": "user", "content": "Hello there " * 20}]}
    plain = Call(world.key, body, path)
    text = f"Hello [[chunks={STREAM_CHUNKS} each]]"
    streamed = Call(world.key, {**body, "messages": [{"role": "user", "content": text}], "stream": True}, path)
    short = replace(streamed, body={**streamed.body, "messages": [{"role": "user", "content": "Hello [[chunks=1]]"}]})
    _spent(world, [plain] * 300)  # warm
    request = min(_spent(world, [plain] * REQUESTS) / REQUESTS for _ in range(3))
    begun = _spent(world, [short] * STREAMS) / STREAMS
    chunk = min(_spent(world, [streamed] * STREAMS) / STREAMS - begun for _ in range(3)) / (STREAM_CHUNKS - 1)
    return request * 1e6, chunk * 1e6


def _spent(world: World, calls: list[Call]) -> float:
    process = world.lobby.processes["web"].pid
    before = cpu_seconds(process)
    answers = asyncio.run(crowd(world.lobby.port, calls, callers=8))
    assert all(answer.status == 200 and answer.whole for answer in answers)
    return cpu_seconds(process) - before


def main() -> int:
    parser = argparse.ArgumentParser(description="What translating costs")
    parser.add_argument("--lobby", action="store_true", help="through a running Lobby as well")
    kept = adapters()
    if parser.parse_args().lobby:
        kept = lobby() and kept
    print("\nThe promise is kept." if kept else "\nThe promise is NOT kept.")
    return 0 if kept else 1


if __name__ == "__main__":
    raise SystemExit(main())
