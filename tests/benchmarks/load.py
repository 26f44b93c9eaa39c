"""The load generator: a raw HTTP/1.1 client on httptools and uvloop, in a process of its own.

Three kinds of load:

- ``closed``: each connection sends its next request when it has the last answer; gives the throughput.
- ``open``: requests are due at random (Poisson) times of a given rate, whether or not earlier ones are answered, and a
  latency counts from when its request was due: a stall of the server shows in full instead of stopping the clock.
- ``slow``: each connection gets one slow stream of stamped chunks; gives the delay of each chunk.

Every answer is checked: the status, the text, for streams each chunk's number. An answer that is not right is an error,
not a result. Linux only, as are the benchmarks.
"""

from __future__ import annotations

import array
import asyncio
import collections
import ctypes
import json
import os
import random
import re
import resource
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Literal, cast

import httptools
import msgspec
import uvloop

ROOT: Final = Path(__file__).resolve().parents[2]
_MAX_RECONNECTS: Final = 1000
_GRACE_S: Final = 20.0
_WORD: Final = re.compile(rb'"content":\s?"(w\d+) "')
_STAMP: Final = re.compile(rb'"content":\s?"(\d+)@(\d{19}) "')
_OPEN_SEED: Final = 20261121

Kind = Literal["closed", "open", "slow"]


class Spec(msgspec.Struct, frozen=True, kw_only=True):
    """One measurement to make."""

    kind: Kind
    port: int
    key: str
    model: str
    connections: int
    seconds: float = 3.0
    warmup_seconds: float = 0.5
    rate: float = 0.0
    """Requests per second of the open load."""
    stream: bool = False
    chunks: int = 8
    """Content chunks of each answer."""
    interval_ms: int = 100
    """Between the chunks of a slow stream."""
    ramp_seconds: float = 1.0
    """Within which the slow streams begin."""


class Latency(msgspec.Struct, frozen=True):
    """A distribution, in microseconds."""

    p50: float
    p90: float
    p99: float
    max: float


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What one measurement gave."""

    requests: int
    """Right answers inside the measured time."""
    answers: int = 0
    """Right answers in all, the warm-up's included."""
    errors: dict[str, int]
    seconds: float
    span: float = 0.0
    """Seconds of the whole load, the warm-up included."""
    per_second: float
    latency: Latency | None
    chunks: int = 0
    chunks_missing: int = 0
    """Of answers that began; a refused request has none to miss."""
    chunks_out_of_order: int = 0
    chunk_delay: Latency | None = None
    """From the upstream's sending of a chunk to its arrival here."""
    client_cpu: float = 0.0
    """Share of a core that the load generator itself took."""


def run(spec: Spec, *, cpu: int | None = None) -> Result:
    """Makes a measurement in a process of its own, pinned to a core. Raises RuntimeError when it fails."""
    process = start(spec, cpu=cpu)
    return finish(process)


def start(spec: Spec, *, cpu: int | None = None) -> subprocess.Popen[bytes]:
    """Starts a measurement without waiting for it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.load"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    if cpu is not None:
        os.sched_setaffinity(process.pid, {cpu})
    assert process.stdin is not None
    process.stdin.write(msgspec.json.encode(spec))
    process.stdin.close()
    process.stdin = None
    return process


def finish(process: subprocess.Popen[bytes]) -> Result:
    """The result of a started measurement. Raises RuntimeError when it failed."""
    output, _ = process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"the load generator ended with {process.returncode}")
    return msgspec.json.decode(output, type=Result)


def distribution(values: array.array[float]) -> Latency | None:
    """The percentiles (nearest rank) of some nanoseconds, in microseconds."""
    if not values:
        return None
    ordered = sorted(values)

    def at(share: float) -> float:
        return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))] / 1000, 1)

    return Latency(at(0.50), at(0.90), at(0.99), round(ordered[-1] / 1000, 1))


def request_bytes(spec: Spec) -> bytes:
    """The request, ready for the wire."""
    directive = f"[[chunks={spec.chunks}]]"
    if spec.kind == "slow":
        directive = f"[[chunks={spec.chunks} delay_ms={spec.interval_ms} stamp]]"
    body: Mapping[str, Any] = {
        "model": spec.model,
        "messages": [
            {
                "role": "system",
                "content": "You are the assistant of the claims department. Answer briefly and politely.",
            },
            {"role": "user", "content": f"Which documents does a customer need to report a broken window? {directive}"},
        ],
        "temperature": 0.2,
        "max_tokens": 4096,
    } | ({"stream": True} if spec.stream else {})
    data = json.dumps(body).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:{spec.port}\r\nauthorization: Bearer {spec.key}\r\n"
        f"content-type: application/json\r\naccept: */*\r\ncontent-length: {len(data)}\r\n\r\n"
    )
    return head.encode() + data


class Connection(asyncio.Protocol):
    """One connection; tells its driver of each answer."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.transport: asyncio.Transport
        self.since = 0
        """When the request in flight was sent, or due; 0 while none is."""
        self.parts: list[bytes] = []
        self.rest = b""
        self.next_chunk = 0
        self.parser = httptools.HttpResponseParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError as error:
            self.driver.failed(self, f"malformed: {error}")
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.driver.lost(self)

    def on_message_begin(self) -> None:
        self.parts = []

    def on_body(self, data: bytes) -> None:
        self.driver.body(self, data)

    def on_message_complete(self) -> None:
        self.driver.answered(self, self.parser.get_status_code())

    def send(self, since: int) -> None:
        self.since = since
        self.transport.write(self.driver.request)


class Driver:
    """Keeps the connections busy in one of the three ways, and the books."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.request = request_bytes(spec)
        self.errors: collections.Counter[str] = collections.Counter()
        self.latencies: array.array[float] = array.array("d")
        self.delays: array.array[float] = array.array("d")
        self.answers = 0
        self.requests = self.chunks = self.missing = self.out_of_order = 0
        self.begin = self.end = 0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._words = [b"w%d" % index for index in range(spec.chunks)]
        self._text = b"".join(word + b" " for word in self._words)
        self._reconnects = 0

    async def connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(lambda: Connection(self), "127.0.0.1", self.spec.port)
        return connection

    def body(self, connection: Connection, data: bytes) -> None:
        connection.parts.append(data)

    def answered(self, connection: Connection, status: int) -> None:
        now = time.monotonic_ns()
        since, connection.since = connection.since, 0
        wrong = f"status {status}" if status != 200 else self._check(b"".join(connection.parts))
        if wrong:
            self.errors[wrong] += 1
        else:
            self.answers += 1
            # An open load's late answers are its slowest: to leave them out would flatter the server.
            if self.begin <= since and (now <= self.end or self.spec.kind == "open"):
                self.requests += 1
                self.latencies.append(now - since)
        self.next(connection, now)

    def _check(self, body: bytes) -> str:
        if not self.spec.stream:
            return "" if self._text in body else "wrong text"
        words = _WORD.findall(body)
        self.chunks += len(words)
        if words != self._words:
            self.missing += max(0, len(self._words) - len(words))
            self.out_of_order += sorted(words) == sorted(self._words)
            return "wrong chunks"
        return "" if b"data: [DONE]" in body else "no [DONE]"

    def failed(self, connection: Connection, error: str) -> None:
        connection.since = 0
        self.errors[error] += 1

    def lost(self, connection: Connection) -> None:
        if self.done.done():
            return
        if connection.since:
            self.failed(connection, "connection lost")
        self._reconnects += 1
        if self._reconnects > _MAX_RECONNECTS:
            self.finished()
        else:
            task = asyncio.ensure_future(self._reconnect())
            task.add_done_callback(self._reconnected)

    async def _reconnect(self) -> None:
        self.next(await self.connect(), time.monotonic_ns())

    def _reconnected(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            self.errors["cannot connect"] += 1
            self.finished()

    def next(self, connection: Connection, now: int) -> None:
        raise NotImplementedError

    def finished(self) -> None:
        if not self.done.done():
            self.done.set_result(None)

    async def drive(self) -> None:
        raise NotImplementedError

    async def run(self) -> Result:
        used = _cpu_seconds()
        began = time.monotonic()
        await self.drive()
        span = time.monotonic() - began
        seconds = (self.end - self.begin) / 1e9
        return Result(
            requests=self.requests,
            answers=self.answers,
            errors=dict(self.errors),
            seconds=round(seconds, 3),
            span=round(span, 3),
            per_second=round(self.requests / seconds, 1),
            latency=distribution(self.latencies),
            chunks=self.chunks,
            chunks_missing=self.missing,
            chunks_out_of_order=self.out_of_order,
            chunk_delay=distribution(self.delays),
            client_cpu=round((_cpu_seconds() - used) / span, 2),
        )

    def _window(self) -> None:
        self.begin = time.monotonic_ns() + int(self.spec.warmup_seconds * 1e9)
        self.end = self.begin + int(self.spec.seconds * 1e9)


class Closed(Driver):
    """One request at a time on each connection."""

    async def drive(self) -> None:
        connections = [await self.connect() for _ in range(self.spec.connections)]
        self._window()
        for connection in connections:
            connection.send(time.monotonic_ns())
        asyncio.get_running_loop().call_later((self.end - time.monotonic_ns()) / 1e9 + _GRACE_S, self.finished)
        self._running = len(connections)
        await self.done

    def next(self, connection: Connection, now: int) -> None:
        if now < self.end:
            connection.send(now)
        else:
            self._running -= 1
            if not self._running:
                self.finished()


class Open(Driver):
    """Requests due at times of their own; one waits where every connection is busy, its clock running."""

    async def drive(self) -> None:
        self._free = [await self.connect() for _ in range(self.spec.connections)]
        self._due: collections.deque[int] = collections.deque()
        self._random = random.Random(_OPEN_SEED)
        self._timer = PreciseTimer(self._tick)
        self._window()
        self._in_flight = 0
        self._at = time.monotonic_ns() + self._gap()
        self._timer.set(self._at)
        asyncio.get_running_loop().call_later((self.end - time.monotonic_ns()) / 1e9 + _GRACE_S, self.finished)
        await self.done
        self._timer.close()
        self.errors["unanswered"] += len(self._due)
        self.errors = +self.errors

    def _gap(self) -> int:
        return int(self._random.expovariate(self.spec.rate) * 1e9)

    def _tick(self) -> None:
        now = time.monotonic_ns()
        while self._at <= now and self._at < self.end:
            # A server may have closed one that was idle: it comes back as another one, by ``lost``.
            while self._free and self._free[-1].transport.is_closing():
                self._free.pop()
            if self._free:
                self._free.pop().send(self._at)
            else:
                self._due.append(self._at)
            self._in_flight += 1
            self._at += self._gap()
        if self._at < self.end:
            self._timer.set(self._at)
        elif not self._in_flight:
            self.finished()

    def answered(self, connection: Connection, status: int) -> None:
        self._in_flight -= 1
        super().answered(connection, status)
        if self._at >= self.end and not self._in_flight:
            self.finished()

    def next(self, connection: Connection, now: int) -> None:
        if self._due:
            connection.send(self._due.popleft())
        else:
            self._free.append(connection)


class Slow(Driver):
    """One stamped stream on each connection, all at once."""

    async def drive(self) -> None:
        spec = self.spec
        self._running = spec.connections
        connections = [await self.connect() for _ in range(spec.connections)]
        self._complete: set[Connection] = set()
        self._refused: set[Connection] = set()
        loop = asyncio.get_running_loop()
        self.begin = time.monotonic_ns()
        for index, connection in enumerate(connections):
            loop.call_later(index * spec.ramp_seconds / spec.connections, self._begin, connection)
        loop.call_later(spec.ramp_seconds + spec.chunks * spec.interval_ms / 1000 + _GRACE_S, self.finished)
        await self.done
        self.end = time.monotonic_ns()
        for connection in connections:
            if connection not in self._refused:
                self.missing += spec.chunks - len(set(connection.parts))
            self.errors["unfinished"] += bool(connection.since)
        self.errors = +self.errors

    def _begin(self, connection: Connection) -> None:
        connection.send(time.monotonic_ns())

    def body(self, connection: Connection, data: bytes) -> None:
        now = time.monotonic_ns()
        if connection.rest:
            data = connection.rest + data
        end = data.rfind(b"\n\n")
        connection.rest = data[end + 2 :] if end >= 0 else data
        events = data[: end + 2] if end >= 0 else b""
        if b"data: [DONE]" in events:
            self._complete.add(connection)
        for index, stamp in _STAMP.findall(events):
            number = int(index)
            self.chunks += 1
            self.delays.append(now - int(stamp))
            if number != connection.next_chunk:
                self.out_of_order += 1
            connection.next_chunk = number + 1
            connection.parts.append(index)

    def answered(self, connection: Connection, status: int) -> None:
        if status != 200:
            self.errors[f"status {status}"] += 1
            self._refused.add(connection)
        elif connection not in self._complete:
            self.errors["no [DONE]"] += 1
        else:
            self.requests += 1
        connection.since = 0
        self._running -= 1
        if not self._running:
            self.finished()

    def lost(self, connection: Connection) -> None:
        if connection.since:
            self.failed(connection, "connection lost")
            self._running -= 1
            if not self._running:
                self.finished()


class PreciseTimer:
    """A timer of the kernel's resolution; the event loop's own rounds to milliseconds."""

    def __init__(self, callback: Callable[[], None]) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd = self._libc.timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self._callback = callback
        asyncio.get_running_loop().add_reader(self._fd, self._fired)

    def set(self, at_ns: int) -> None:
        """Fires once, at a time of CLOCK_MONOTONIC (at once, where that has passed)."""
        absolute = 1
        moment = struct.pack("qqqq", 0, 0, at_ns // 1_000_000_000, at_ns % 1_000_000_000)
        if self._libc.timerfd_settime(self._fd, absolute, moment, None) < 0:
            raise OSError(ctypes.get_errno(), "timerfd_settime")

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._fd)
        os.close(self._fd)

    def _fired(self) -> None:
        try:
            os.read(self._fd, 8)
        except BlockingIOError:
            return  # It was set anew between its firing and this call.
        self._callback()


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def _measure(spec: Spec) -> Result:
    drivers: dict[Kind, type[Driver]] = {"closed": Closed, "open": Open, "slow": Slow}
    return await drivers[spec.kind](spec).run()


def main() -> None:
    """Reads a Spec as JSON from standard input, writes the Result as JSON to standard output."""
    spec = msgspec.json.decode(sys.stdin.buffer.read(), type=Spec)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    result = uvloop.run(_measure(spec))
    sys.stdout.buffer.write(msgspec.json.encode(result))


if __name__ == "__main__":
    main()
