"""A crowd of callers: plain requests, streams, embeddings and errors, some of whom hang up in the middle.

Raw HTTP/1.1 over asyncio: a caller here must be able to leave after so many chunks, to read slowly, and to say exactly
what it saw when the server died.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

TIMEOUT = 60.0
CHAT, EMBEDDINGS = "/v1/chat/completions", "/v1/embeddings"


@dataclass(frozen=True)
class Call:
    """One request. ``leave_after``: hang up after so many content chunks; a plain request, so many milliseconds."""

    key: str
    body: dict[str, Any]
    path: str = CHAT
    leave_after: int | None = None
    kind: str = ""


@dataclass
class Seen:
    """What the caller saw. ``status`` 0: no answer came. ``whole``: the answer came to its regular end."""

    call: Call
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    whole: bool = False
    left: bool = False
    seconds: float = 0.0

    @property
    def chunks(self) -> int:
        return self.body.count(b'"content":"w')

    @property
    def error(self) -> dict[str, Any]:
        """The error object of a body that is one, or of the stream's last event."""
        text = self.body.strip().rpartition(b"data: ")[2]
        try:
            found: dict[str, Any] = json.loads(text)["error"]
        except (ValueError, KeyError, TypeError):
            return {}
        return found


class Caller:
    """One connection, kept alive over requests."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def call(self, call: Call) -> Seen:
        seen = Seen(call)
        began = time.monotonic()
        try:
            async with asyncio.timeout(TIMEOUT):
                await self._exchange(call, seen)
        except (OSError, EOFError):
            self.close()
        except BaseException:
            self.close()
            raise
        seen.seconds = time.monotonic() - began
        return seen

    async def _exchange(self, call: Call, seen: Seen) -> None:
        if self._writer is None or self._writer.is_closing() or self._reader is None or self._reader.at_eof():
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port, limit=2**24)
        reader, writer = self._reader, self._writer
        body = json.dumps(call.body, separators=(",", ":")).encode()
        writer.write(
            f"POST {call.path} HTTP/1.1\r\nhost: lobby\r\nauthorization: Bearer {call.key}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode()
            + body
        )
        if call.leave_after is not None and not call.body.get("stream"):
            await asyncio.sleep(call.leave_after / 1000)
            self._leave(seen)
            return
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        seen.status = int(head[0].split(" ")[1])
        seen.headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
        if "content-length" in seen.headers:
            seen.body = await reader.readexactly(int(seen.headers["content-length"]))
            seen.whole = True
        else:
            await self._stream(call, seen, reader)
        if seen.headers.get("connection") == "close":
            self.close()

    async def _stream(self, call: Call, seen: Seen, reader: asyncio.StreamReader) -> None:
        while True:
            if call.leave_after is not None and seen.chunks >= call.leave_after:
                self._leave(seen)
                return
            size = int(await reader.readuntil(b"\r\n"), 16)
            seen.body += (await reader.readexactly(size + 2))[:-2]
            if not size:
                seen.whole = True
                return

    def _leave(self, seen: Seen) -> None:
        seen.left = True
        self.close()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.transport.abort()
        self._reader = self._writer = None


async def crowd(port: int, calls: Iterable[Call], *, callers: int) -> list[Seen]:
    """Send ``calls`` over ``callers`` connections, each taking the next when it is done with the last."""
    waiting = iter(calls)
    found: list[Seen] = []

    async def work() -> None:
        caller = Caller(port)
        try:
            for call in waiting:
                found.append(await caller.call(call))
        finally:
            caller.close()

    async with asyncio.TaskGroup() as group:
        for _ in range(callers):
            group.create_task(work())
    return found


async def at_once(port: int, calls: Sequence[Call]) -> list[Seen]:
    """All ``calls`` at the same time, each on a connection of its own that is open before the first is sent."""
    callers = [Caller(port) for _ in calls]
    try:
        return await asyncio.gather(*(caller.call(call) for caller, call in zip(callers, calls, strict=True)))
    finally:
        for caller in callers:
            caller.close()


async def one(port: int, call: Call) -> Seen:
    """A single call on a connection of its own."""
    return (await at_once(port, [call]))[0]


@asynccontextmanager
async def steady(port: int, make: Callable[[], Call], *, per_second: float) -> AsyncIterator[list[Seen]]:
    """Keep sending, at a steady pace whatever the answers take, while the block runs; then wait for the last ones."""
    found: list[Seen] = []
    stopping = asyncio.Event()

    async def send(caller: Caller) -> None:
        found.append(await caller.call(make()))
        idle.append(caller)

    idle: list[Caller] = []

    async def pace() -> None:
        async with asyncio.TaskGroup() as group:
            due = time.monotonic()
            while not stopping.is_set():
                group.create_task(send(idle.pop() if idle else Caller(port)))
                due += 1 / per_second
                await asyncio.sleep(max(0.0, due - time.monotonic()))

    task = asyncio.create_task(pace())
    try:
        yield found
    finally:
        stopping.set()
        await task
        for caller in idle:
            caller.close()


def statuses(seen: Iterable[Seen]) -> dict[int, int]:
    return dict(Counter(one.status for one in seen))


def mixed(keys: Sequence[str], model: str, count: int, *, seed: int, leaving: float = 0.1) -> list[Call]:
    """``count`` requests of all kinds, of which the share ``leaving`` hang up before their end."""
    choose = random.Random(seed)

    def stream(pace: str, chunks: int) -> dict[str, Any]:
        return _chat(model, f"Tell me something [[chunks={chunks} {pace}]]", stream=True)

    calls = []
    for _ in range(count):
        key = choose.choice(keys)
        draw = choose.random()
        if draw < leaving:
            if choose.random() < 0.8:
                chunks = choose.randrange(6, 12)
                call = Call(key, stream("delay_ms=20", chunks), leave_after=choose.randrange(chunks), kind="leaves")
            else:
                body = _chat(model, "Hello [[headers_ms=30]]")
                call = Call(key, body, leave_after=choose.randrange(1, 20), kind="leaves a plain one")
        elif draw < 0.45:
            call = Call(key, _chat(model, f"Hello [[chunks={choose.randrange(1, 30)}]]"), kind="plain")
        elif draw < 0.65:
            call = Call(key, stream("", choose.randrange(1, 40)), kind="stream")
        elif draw < 0.70:
            call = Call(key, stream("delay_ms=5", choose.randrange(2, 10)), kind="slow stream")
        elif draw < 0.80:
            call = Call(key, {"model": "fake-embed", "input": ["one two", "three"]}, EMBEDDINGS, kind="embedding")
        elif draw < 0.90:
            fault = choose.choice(["fail=500", "fail=400", "fail=429", "fail=close", "fail=malformed_json"])
            call = Call(key, _chat(model, f"Hello [[{fault}]]"), kind=fault)
        elif draw < 0.95:
            fault = choose.choice(
                ["close_mid", "reset_mid", "error_event", "cut_event", "cut_event_clean", "cut_utf8", "malformed_json"]
            )
            call = Call(key, stream(f"fail={fault} at=3 each", 9), kind=fault)
        else:
            call = choose.choice(
                [
                    Call(key, _chat("no-such-model", "Hello"), kind="unknown model"),
                    Call(key, {"model": model, "messages": []}, kind="empty messages"),
                    Call("lby_0000000000_wrong", _chat(model, "Hello"), kind="wrong key"),
                ]
            )
        calls.append(call)
    return calls


def _chat(model: str, text: str, **fields: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": text}], **fields}
