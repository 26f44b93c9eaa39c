"""A fake OpenAI: a loopback server that speaks the public chat, embeddings and models API, misbehaves and counts.

    python -m tests.fakes.openai_server --port 0 --count-file /tmp/count.jsonl

prints its port, then serves until SIGTERM, SIGINT, or (with --with-parent) the end of its standard input.

How each request is answered: tests/fakes/behaviour.py. What is counted, and where: tests/fakes/count.py. How tokens are
counted: tests/fakes/openai_wire.py. Beside the API there are, without authentication:

    GET  /__count            the totals so far, as JSON; what it shows is synced to the count file
    GET  /__requests         the last requests as they came: [{"path", "headers", "body"}]
    POST /__control          {"mode": M} with M "normal", "stall", "all 503" or a directive over every request's own

It is a raw protocol on httptools, with answers prepared once for each distinct request body, because it is the
benchmarks' upstream too: its own cost must stay far below that of what is measured.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import dataclasses
import gzip
import signal
import socket
import struct
import sys
import time
import urllib.parse
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, cast

import httptools
import msgspec
import uvloop

from tests.fakes import openai_pieces
from tests.fakes import openai_wire as wire
from tests.fakes.behaviour import Behaviour, DirectiveError, parse
from tests.fakes.count import CountLog
from tests.fakes.openai_responses import responses_plan

_CACHED_PLANS: Final = 512
_CACHED_BODY: Final = 16 * 1024
_KEPT_REQUESTS: Final = 200
_REASONS: Final = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found"}
_LAST_CHUNK: Final = b"0\r\n\r\n"


class Api:
    """The API that a fake speaks: what it says, and where. Another API's fake overrides what is different there."""

    models: tuple[str, ...] = wire.MODELS
    plans: Mapping[str, Callable[[bytes, str], wire.Plan]] = {
        "/v1/chat/completions": wire.chat_plan,
        "/v1/embeddings": wire.embeddings_plan,
        "/v1/responses": responses_plan,
        **openai_pieces.PLANS,
    }
    models_path = "/v1/models"
    request_id_header = "x-request-id"
    stream_type = "text/event-stream; charset=utf-8"
    unknown_caller = 401
    checked = False
    """Whether events carry checksums of their own, so that none can be prepared with marks in it."""
    end: wire.Event | None = wire.Event(b"[DONE]")
    """What announces a stream's end."""
    cut_utf8 = wire.Event(b'{"object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"\xf0\x9f')
    malformed = wire.Event(b'{"id": "chatcmpl-broken", "choices": [}')

    def end_of(self, plan: wire.Plan) -> wire.Event | None:
        """What announces a stream's end; APIs that name their events say it in the last of those."""
        return None if plan.events and plan.events[-1].name else self.end

    def credential(self, method: str, url: str, headers: list[tuple[bytes, bytes]], body: bytes) -> str:
        """What the caller shows; empty where it is not to be believed."""
        found = (value for name, value in headers if name == b"authorization")
        return next(found, b"").decode("latin-1").removeprefix("Bearer ")

    def check_headers(self, headers: list[tuple[bytes, bytes]]) -> None:
        """Raises wire.RequestError for what the API does not take."""

    def framed(self, event: wire.Event, behaviour: Behaviour) -> bytes:
        """An event as it stands in a stream."""
        return _sse(event, behaviour)

    def headers(self, status: int, plan: wire.Plan | None = None) -> str:
        """More of an answer's headers, each with its line's end."""
        return ""

    def models_body(self, names: tuple[str, ...]) -> bytes:
        return wire.models_body(names)

    def model_body(self, name: str) -> bytes:
        return msgspec.json.encode(wire.model_object(name))

    def error_body(self, status: int, message: str, *, param: str | None = None, code: str | None = None) -> bytes:
        return wire.error_body(status, message, param=param, code=code)

    def failure_body(self, status: int, behaviour: Behaviour) -> tuple[bytes, str]:
        return wire.failure_body(status, behaviour)

    def error_event(self, behaviour: Behaviour) -> wire.Event:
        message = "The server had an error while processing your request"
        return wire.Event(wire.error_body(500, message, code=behaviour.code))


class Server:
    """What the connections share: the plans, the count, the mode."""

    def __init__(
        self, count: CountLog, api: Api, *, models: tuple[str, ...] = (), key: str = "", mode: str = ""
    ) -> None:
        self.count = count
        self.api = api
        self.models = models or api.models
        self.key = key
        self.mode = ""
        self.set_mode(mode)
        self.requests: collections.deque[tuple[str, list[tuple[bytes, bytes]], bytes]] = collections.deque(
            maxlen=_KEPT_REQUESTS
        )
        self.connections: set[Connection] = set()
        self._plans: dict[tuple[str, bytes], Plan] = {}
        self._tries: collections.Counter[str] = collections.Counter()
        self._responses = 0

    def set_mode(self, mode: str) -> None:
        """Puts a directive on top of every request's own. Raises DirectiveError."""
        named = {"normal": "", "stall": "stall=headers", "all 503": "fail=503"}
        mode = named.get(mode, mode)
        parse(mode)
        self.mode = mode
        self._plans = {}

    def plan(self, path: str, body: bytes) -> Plan:
        """The answer to a request. Raises wire.RequestError."""
        plan = self._plans.get((path, body))
        if plan is None:
            try:
                plan = Plan(self.api.plans[path](body, self.mode), self.api)
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                body = self.api.error_body(400, f"A field has the wrong type: {error}")
                raise wire.RequestError(400, body) from error
            if len(body) <= _CACHED_BODY:
                if len(self._plans) >= _CACHED_PLANS:
                    self._plans.clear()
                self._plans[path, body] = plan
        return plan

    def behaviour(self, plan: Plan) -> Behaviour:
        """The behaviour for this very request: its faults may befall only some of those with its key."""
        behaviour = plan.wire.behaviour
        if behaviour.first or behaviour.every:
            self._tries[behaviour.key] += 1
            tries = self._tries[behaviour.key]
            if (behaviour.first and tries > behaviour.first) or (behaviour.every and tries % behaviour.every):
                return behaviour.without_faults()
        return behaviour

    def response_id(self) -> bytes:
        """The next response's number, of the length that prepared answers leave room for."""
        self._responses += 1
        return b"%016d" % self._responses


class Plan:
    """A wire plan with its bytes for the wire, made when first needed."""

    __slots__ = ("instant", "wire")

    def __init__(self, plan: wire.Plan, api: Api) -> None:
        self.wire = plan
        self.instant = b""
        behaviour = plan.behaviour
        if behaviour.instant and not (behaviour.first or behaviour.every) and not (api.checked and plan.stream):
            if plan.stream:
                end = api.end_of(plan)
                events = [*plan.events, end] if end is not None else plan.events
                parts = [*(_chunk(api.framed(event, behaviour)) for event in events), _LAST_CHUNK]
                self.instant = _stream_head(behaviour, api, plan) + b"".join(parts)
            else:
                content_type = behaviour.content_type or plan.content_type
                self.instant = _head(200, len(plan.body), content_type, api, api.headers(200, plan)) + plan.body


class Connection(asyncio.Protocol):
    """One client connection: requests one after the other, each answered whole before the next."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.transport: asyncio.Transport
        self.exchange: Exchange | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []
        self._waiting: collections.deque[tuple[str, str, list[tuple[bytes, bytes]], bytes, bool]] = collections.deque()
        self._writable: asyncio.Event | None = None

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.server.connections.add(self)
        sock = transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def connection_lost(self, exc: Exception | None) -> None:
        self.server.connections.discard(self)
        self._waiting.clear()
        if self._writable is not None:
            self._writable.set()
        if self.exchange is not None:
            self.exchange.abort("client_disconnected")

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.transport.close()
        except httptools.HttpParserError:
            api = self.server.api
            body = api.error_body(400, "Malformed HTTP request")
            self.transport.write(_head(400, len(body), "application/json", api, "connection: close\r\n") + body)
            self.transport.close()

    def pause_writing(self) -> None:
        self._writable = asyncio.Event()

    def resume_writing(self) -> None:
        if self._writable is not None:
            self._writable.set()
            self._writable = None

    @property
    def blocked(self) -> asyncio.Event | None:
        """Set once the client has taken what was written; None while it keeps up."""
        return self._writable

    # What the parser calls.

    def on_message_begin(self) -> None:
        self._url = b""
        self._headers = []
        self._body = []

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.lower(), value))

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        url = self._url.decode("ascii", "replace")
        method = self._parser.get_method().decode()
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        request = (method, url, self._headers, body, self._parser.should_keep_alive())
        if self.exchange is None and not self._waiting:
            self._handle(*request)
        else:
            self._waiting.append(request)

    # The requests.

    def next_request(self, keep_alive: bool) -> None:
        """Goes on after an answer that is complete."""
        if not keep_alive:
            self.transport.close()
        while self._waiting and self.exchange is None and not self.transport.is_closing():
            self._handle(*self._waiting.popleft())

    def _handle(self, method: str, url: str, headers: list[tuple[bytes, bytes]], body: bytes, keep_alive: bool) -> None:
        path = url.partition("?")[0]
        if path.startswith("/__"):
            self._answer(*self._control(method, path, body), keep_alive)
            return
        server = self.server
        server.requests.append((path, headers, body))
        api = server.api
        credential = api.credential(method, url, headers, body)
        attempt = next((value for name, value in headers if name == b"x-lobby-attempt-id"), b"").decode("latin-1")
        if not credential or (server.key and credential != server.key):
            answer = api.error_body(api.unknown_caller, f"Incorrect API key provided: {credential[:3]}***")
            self._refuse(api.unknown_caller, answer, path, credential, attempt, keep_alive)
        elif method == "GET" and path == api.models_path:
            self._answer(200, api.models_body(server.models), keep_alive)
        elif method == "GET" and path.startswith(f"{api.models_path}/"):
            model = urllib.parse.unquote(path.removeprefix(f"{api.models_path}/"))
            if model.partition("@")[0] in server.models:
                self._answer(200, api.model_body(model), keep_alive)
            else:
                answer = api.error_body(404, f"The model '{model}' does not exist", param="model")
                self._answer(404, answer, keep_alive)
        elif method == "POST" and path in api.plans:
            try:
                api.check_headers(headers)
                plan = server.plan(path, body)
            except wire.RequestError as error:
                self._refuse(error.status, error.body, path, credential, attempt, keep_alive)
                return
            planned = plan.wire
            seq = server.count.arrival(
                attempt=attempt,
                path=path,
                credential=credential,
                model=planned.model,
                stream=planned.stream,
                prompt_tokens=planned.prompt_tokens,
                planned=planned.completion_tokens,
            )
            if plan.instant and self._writable is None:
                self.transport.write(plan.instant.replace(wire.ID, server.response_id()))
                server.count.end(
                    seq,
                    attempt=attempt,
                    outcome="completed",
                    prompt_tokens=planned.prompt_tokens,
                    completion_tokens=planned.completion_tokens,
                    usage_sent=planned.usage_sent,
                )
                if not keep_alive:
                    self.transport.close()
            else:
                self.exchange = Exchange(self, plan, seq, attempt, keep_alive)
                self.exchange.start()
        else:
            status = 405 if path == api.models_path or path in api.plans else 404
            self._answer(status, api.error_body(status, f"Invalid URL ({method} {path})"), keep_alive)

    def _answer(self, status: int, body: bytes, keep_alive: bool) -> None:
        api = self.server.api
        more = api.headers(status) if status >= 400 else ""
        self.transport.write(_head(status, len(body), "application/json", api, more) + body)
        if not keep_alive:
            self.transport.close()

    def _refuse(self, status: int, answer: bytes, path: str, credential: str, attempt: str, keep_alive: bool) -> None:
        """Answers a request that never became a plan, and counts it."""
        count = self.server.count
        seq = count.arrival(
            attempt=attempt, path=path, credential=credential, model="", stream=False, prompt_tokens=0, planned=0
        )
        self._answer(status, answer, keep_alive)
        count.end(
            seq, attempt=attempt, outcome=f"faulted:{status}", prompt_tokens=0, completion_tokens=0, usage_sent=False
        )

    def _control(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        server = self.server
        count = server.count
        if (method, path) == ("GET", "/__count"):
            count.sync()
            totals = {
                "arrivals": count.arrivals,
                "ends": count.ends,
                "in_flight": count.in_flight,
                "prompt_tokens": count.prompt_tokens,
                "completion_tokens": count.completion_tokens,
                "outcomes": dict(count.outcomes),
                "connections": len(server.connections),
            }
            return 200, msgspec.json.encode(totals)
        if (method, path) == ("GET", "/__requests"):
            rows = [
                {
                    "path": its_path,
                    "headers": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in headers],
                    "body": its_body.decode("utf-8", "replace"),
                }
                for its_path, headers, its_body in server.requests
            ]
            return 200, msgspec.json.encode(rows)
        if (method, path) == ("POST", "/__control"):
            try:
                server.set_mode(str(msgspec.json.decode(body)["mode"]))
            except (msgspec.DecodeError, KeyError, TypeError, DirectiveError) as error:
                return 400, server.api.error_body(400, f"mode: {error}")
            return 200, msgspec.json.encode({"mode": server.mode})
        return 404, server.api.error_body(404, f"Invalid URL ({method} {path})")


class Exchange:
    """One request whose answer takes time, or goes wrong."""

    def __init__(self, connection: Connection, plan: Plan, seq: int, attempt: str, keep_alive: bool) -> None:
        self._connection = connection
        self._server = connection.server
        self._api = connection.server.api
        self._transport = connection.transport
        self._plan = plan.wire
        self._behaviour = connection.server.behaviour(plan)
        self._seq = seq
        self._attempt = attempt
        self._keep_alive = keep_alive
        self._id = connection.server.response_id()
        self._tokens = 0
        self._usage_sent = False
        self._ended = False
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | asyncio.Handle | None = None
        self._next = 0
        self._due = 0.0
        self._zip = zlib.compressobj(wbits=31) if self._behaviour.gzip else None

    def start(self) -> None:
        """Begins to answer."""
        loop = asyncio.get_running_loop()
        if self._plan.stream and self._behaviour.paced:
            self._transport.write(_stream_head(self._behaviour, self._api, self._plan).replace(wire.ID, self._id))
            self._due = loop.time()
            self._tick()
        else:
            self._task = loop.create_task(self._run())

    def abort(self, outcome: str) -> None:
        """The client or the server went away."""
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()
        self._end(outcome)

    # The quick way: a stream that needs nothing but a clock.

    def _tick(self) -> None:
        connection, behaviour, plan = self._connection, self._behaviour, self._plan
        loop = asyncio.get_running_loop()
        while self._next < len(plan.events):
            if connection.blocked is not None:
                self._task = loop.create_task(self._tick_when_writable(connection.blocked))
                return
            event = plan.events[self._next]
            self._next += 1
            self._transport.write(_chunk(self._framed(event)))
            self._tokens += event.tokens
            # The role's chunk, the finish and the usage go along with their neighbours: only content is paced.
            if event.tokens and behaviour.delay_ms:
                self._due += behaviour.delay_ms / 1000
                self._timer = loop.call_at(self._due, self._tick)
                return
            if behaviour.each:
                self._timer = loop.call_soon(self._tick)
                return
        last = self._api.end_of(plan)
        end = _chunk(self._framed(last)) if last is not None else b""
        self._transport.write(end + _LAST_CHUNK)
        self._usage_sent = plan.usage_sent
        self._finish("completed")

    async def _tick_when_writable(self, writable: asyncio.Event) -> None:
        await writable.wait()
        self._task = None
        if not self._ended:
            self._tick()

    # The general way.

    async def _run(self) -> None:
        behaviour, plan = self._behaviour, self._plan
        await _pause(behaviour.headers_ms)
        if behaviour.stall == "headers":
            await self._stall()
        if behaviour.fail in {"close", "reset"}:
            self._cut_off(reset=behaviour.fail == "reset")
        elif behaviour.fail.isdigit():
            await self._fail(int(behaviour.fail))
        elif behaviour.fail == "error_200":
            body, content_type = self._api.failure_body(503, behaviour)
            await self._write(_head(200, len(body), content_type, self._api) + body)
            self._finish("faulted:error_200")
        elif behaviour.fail == "empty":
            await self._write(_head(200, 0, behaviour.content_type or "application/json", self._api))
            self._finish("faulted:empty")
        elif plan.stream:
            await self._stream()
        else:
            await self._plain()

    async def _fail(self, status: int) -> None:
        behaviour = self._behaviour
        body, content_type = self._api.failure_body(status, behaviour)
        retry_after = behaviour.retry_after or ("1" if status == 429 else "none")
        more = "" if retry_after == "none" else f"retry-after: {retry_after}\r\n"
        more += self._api.headers(status)
        await self._write(_head(status, len(body), behaviour.content_type or content_type, self._api, more) + body)
        self._finish(f"faulted:{status}")

    async def _plain(self) -> None:
        behaviour, plan = self._behaviour, self._plan
        body = self._stamped(plan.body, wire.Event(b"", index=0))
        if behaviour.fail == "malformed_json":
            body = body[: len(body) // 2] + b"}!" + body[len(body) // 2 + 2 :]
        encoding = ""
        if behaviour.gzip:
            body, encoding = gzip.compress(body), "content-encoding: gzip\r\n"
        content_type = behaviour.content_type or plan.content_type
        more = encoding + self._api.headers(200, plan)
        await self._write(_head(200, len(body), content_type, self._api, more))
        if behaviour.fail == "close_headers":
            self._cut_off()
            return
        if behaviour.stall == "first":
            await self._stall()
        await _pause(behaviour.ttft_ms)
        half = len(body) // 2
        if behaviour.stall == "mid":
            await self._write(body[:half])
            await self._stall()
        if behaviour.fail in {"close_mid", "reset_mid", "cut_event", "cut_utf8"}:
            await self._write(body[:half])
            self._cut_off(reset=behaviour.fail == "reset_mid")
            return
        await self._write(body)
        self._tokens = plan.completion_tokens - behaviour.reasoning
        self._usage_sent = plan.usage_sent
        self._finish("faulted:malformed_json" if behaviour.fail == "malformed_json" else "completed")

    async def _stream(self) -> None:
        behaviour = self._behaviour
        await self._write(_stream_head(behaviour, self._api, self._plan))
        if behaviour.fail == "close_headers":
            self._cut_off()
            return
        if behaviour.stall == "first":
            await self._stall()
        await _pause(behaviour.ttft_ms)
        inside = behaviour.stall == "mid" or behaviour.fail not in {"", "no_done"}
        content = 0
        announces = behaviour.fail == "no_done" and self._api.end_of(self._plan) is None
        for event in self._plan.events[:-1] if announces else self._plan.events:
            if inside and content >= behaviour.at and await self._inside(event):
                return
            if content and event.tokens:
                await _pause(behaviour.delay_ms)
            await self._write_event(self._framed(event))
            self._tokens += event.tokens
            content += bool(event.tokens)
        if inside and await self._inside(self._plan.events[-1]):
            return
        self._usage_sent = self._plan.usage_sent
        if behaviour.fail == "no_done":
            await self._write(self._last())
            self._finish("faulted:no_done")
            return
        last = self._api.end_of(self._plan)
        if last is not None:
            await self._write_event(self._framed(last))
        await self._write(self._last())
        self._finish("completed")

    async def _inside(self, event: wire.Event) -> bool:
        """Brings about the fault that lies inside the stream. Returns whether the answer is over."""
        behaviour = self._behaviour
        fail = behaviour.fail
        if behaviour.stall == "mid":
            await self._stall()
        if fail in {"close_mid", "reset_mid"}:
            self._cut_off(reset=fail == "reset_mid")
        elif fail == "error_event":
            await self._write_event(self._framed(self._api.error_event(behaviour)))
            await self._write(self._last())
            self._finish("faulted:error_event")
        elif fail in {"cut_event", "cut_event_clean"}:
            await self._write_event(self._framed(event)[: len(event.data) // 2])
            if fail == "cut_event":
                self._cut_off()
            else:
                await self._write(self._last())
                self._finish("faulted:cut_event_clean")
        elif fail == "cut_utf8":
            await self._write_event(self._framed(self._api.cut_utf8).rstrip())
            self._cut_off()
        elif fail == "malformed_json":
            await self._write_event(self._framed(self._api.malformed))
            await self._write(self._last())
            self._finish("faulted:malformed_json")
        else:
            return False
        return True

    # Its tools.

    def _framed(self, event: wire.Event) -> bytes:
        if self._api.checked:
            stamped = dataclasses.replace(event, data=self._stamped(event.data, event))
            return self._api.framed(stamped, self._behaviour)
        return self._stamped(self._api.framed(event, self._behaviour), event)

    def _stamped(self, data: bytes, event: wire.Event) -> bytes:
        data = data.replace(wire.ID, self._id)
        if self._behaviour.stamp and event.index >= 0:
            stamp = b"%d@%019d" % (event.index, time.monotonic_ns())
            data = data.replace(wire.STAMP, stamp)
        return data

    async def _write_event(self, data: bytes) -> None:
        if self._zip is not None:
            data = self._zip.compress(data) + self._zip.flush(zlib.Z_SYNC_FLUSH)
        await self._write(_chunk(data))

    def _last(self) -> bytes:
        return _LAST_CHUNK if self._zip is None else _chunk(self._zip.flush()) + _LAST_CHUNK

    async def _write(self, data: bytes) -> None:
        behaviour = self._behaviour
        data = data.replace(wire.ID, self._id)
        if not behaviour.split:
            await self._write_piece(data)
            return
        for start in range(0, len(data), behaviour.split):
            await self._write_piece(data[start : start + behaviour.split])
            # The pause, be it of no time, ends the loop's turn: what is written in one turn leaves in one segment.
            await asyncio.sleep(behaviour.drip_ms / 1000)

    async def _write_piece(self, data: bytes) -> None:
        self._transport.write(data)
        blocked = self._connection.blocked
        if blocked is not None:
            await blocked.wait()

    async def _stall(self) -> None:
        await asyncio.Event().wait()

    def _cut_off(self, *, reset: bool = False) -> None:
        self._end(f"faulted:{self._behaviour.fail}")
        self._connection.exchange = None
        if reset:
            sock = self._transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()
        else:
            self._transport.close()

    def _finish(self, outcome: str) -> None:
        self._end(outcome)
        self._connection.exchange = None
        self._connection.next_request(self._keep_alive)

    def _end(self, outcome: str) -> None:
        if self._ended:
            return
        self._ended = True
        reasoning = self._behaviour.reasoning if self._usage_sent else 0
        self._server.count.end(
            self._seq,
            attempt=self._attempt,
            outcome=outcome,
            prompt_tokens=self._plan.prompt_tokens,
            completion_tokens=self._tokens + reasoning,
            usage_sent=self._usage_sent,
        )


async def _pause(milliseconds: float) -> None:
    if milliseconds:
        await asyncio.sleep(milliseconds / 1000)


def _head(status: int, length: int, content_type: str, api: Api, more: str = "") -> bytes:
    reason = _REASONS.get(status, "Status")
    return (
        f"HTTP/1.1 {status} {reason}\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n"
        f"{api.request_id_header}: req_{wire.ID.decode()}\r\n{more}\r\n"
    ).encode()


def _stream_head(behaviour: Behaviour, api: Api, plan: wire.Plan) -> bytes:
    encoding = ("content-encoding: gzip\r\n" if behaviour.gzip else "") + api.headers(200, plan)
    content_type = behaviour.content_type or api.stream_type
    return (
        f"HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ncache-control: no-cache\r\ntransfer-encoding: chunked\r\n"
        f"{api.request_id_header}: req_{wire.ID.decode()}\r\n{encoding}\r\n"
    ).encode()


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data) if data else b""


def _sse(event: wire.Event, behaviour: Behaviour) -> bytes:
    end = b"\r\n" if behaviour.crlf else b"\n"
    comment = b": keep-alive" + end + end if behaviour.comments else b""
    name = b"event: " + event.name + end if event.name else b""
    return comment + name + b"data: " + event.data + end + end


async def _serve(arguments: argparse.Namespace, api: Api) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if arguments.with_parent:
        await _watch_parent(loop, stop.set)
    count = CountLog(arguments.count_file, always=arguments.fsync == "always")
    models = tuple(arguments.model or ())
    server = Server(count, api, models=models, key=arguments.require_key, mode=arguments.mode)
    listener = await loop.create_server(lambda: Connection(server), arguments.host, arguments.port, backlog=4096)
    port = listener.sockets[0].getsockname()[1]
    print(port, flush=True)
    if arguments.ready_file:
        arguments.ready_file.write_text(f"{port}\n")
    await stop.wait()
    listener.close()
    for connection in list(server.connections):
        if connection.exchange is not None:
            connection.exchange.abort("server_stopped")
        connection.transport.abort()
    count.close()


async def _watch_parent(loop: asyncio.AbstractEventLoop, stop: Callable[[], object]) -> None:
    """Stops when standard input ends: a test that is killed leaves no server behind."""

    class Watch(asyncio.Protocol):
        def connection_lost(self, exc: Exception | None) -> None:
            stop()

    await loop.connect_read_pipe(Watch, sys.stdin)


def main(argv: list[str] | None = None, api: Api | None = None) -> None:
    """Runs the server until it is told to stop."""
    parser = argparse.ArgumentParser(description="A fake model server on loopback")
    parser.add_argument("--host", default="127.0.0.1", help="loopback address to listen on")
    parser.add_argument("--port", type=int, default=0, help="0 for any free port")
    parser.add_argument("--count-file", type=Path, help="JSON lines file for the count of attempts")
    parser.add_argument("--fsync", choices=("group", "always"), default="group")
    parser.add_argument("--ready-file", type=Path, help="gets the port once the server listens")
    parser.add_argument(
        "--model", action="append", help="a model to list, instead of the default ones; may be repeated"
    )
    parser.add_argument("--require-key", default="", help="the only key accepted; any, when left out")
    parser.add_argument("--mode", default="", help="a directive put on top of every request's own")
    parser.add_argument("--with-parent", action="store_true", help="stop when standard input ends")
    uvloop.run(_serve(parser.parse_args(argv), api or Api()))


if __name__ == "__main__":
    main()
