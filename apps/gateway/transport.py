"""HTTP/1.1 to upstreams: an httpx transport on asyncio's own protocols and the llhttp parser (httptools).

It does what a gateway needs and nothing more: pooled keep-alive connections, whole requests written at once, bodies
read as they come, back-pressure. No redirects, cookies, proxies or decompression. Timeouts other than the connection's
are the caller's (see ``upstream.Watch``). Why not a library's: docs/decisions.md.

Source of the rules: RFC 9112, sections 6 (message body) and 9 (connection management).
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar, cast

import httptools
import httpx

from apps.models.trust import tls_context

# Shorter than the usual idle limits of servers: a connection that the upstream is about to close is not picked.
KEEPALIVE_SECONDS = 4.0
HIGH_WATER = 128 * 1024
MAX_HEAD_BYTES = 64 * 1024
DISPATCHED = "lobby.dispatched"
"""A request's extension: whether any of it has left, so that the upstream may have it."""

Origin = tuple[str, str, int]
T = TypeVar("T")


async def first_that_accepts(addresses: list[str], seconds: float | None, connect: Callable[[str], Awaitable[T]]) -> T:
    """One address after the other, each with its share of the time that is left: one that swallows packets does not
    hide the others. Raises ``TimeoutError`` where one of them did, else the last ``OSError``."""
    loop = asyncio.get_running_loop()
    ends = None if seconds is None else loop.time() + seconds
    failure: OSError = OSError("the host has no address")
    for number, address in enumerate(addresses):
        share = None if ends is None else (ends - loop.time()) / (len(addresses) - number)
        try:
            async with asyncio.timeout(share):
                return await connect(address)
        except OSError as error:  # a TimeoutError is one
            failure = failure if isinstance(failure, TimeoutError) else error
    raise failure


class _Connection(asyncio.Protocol):
    """One connection: at most one exchange at a time."""

    def __init__(self) -> None:
        self.idle_since = 0.0
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._parser = httptools.HttpResponseParser(self)
        self._body: list[bytes] = []
        self._buffered = 0
        self._head_bytes = 0
        self._head: asyncio.Future[None] | None = None
        self._more: asyncio.Future[None] | None = None
        self._framed = False  # the body's end is told by its length or its chunks, not by the connection's end
        self._complete = True
        self._reusable = True
        self._paused = False
        self._error: httpx.TransportError | None = None

    @property
    def usable(self) -> bool:
        """Whether another exchange may follow: this one was answered, and its answer was read, to the last byte."""
        return (
            self._complete
            and not self._body
            and self._reusable
            and self._error is None
            and not self._transport.is_closing()
        )

    # One exchange.

    async def send(self, head: bytes, body: bytes) -> None:
        """Write a request and wait for the head of its response."""
        self.status = 0
        self.headers = []
        self._head_bytes = 0
        self._complete = self._framed = False
        self._head = self._loop.create_future()
        self._transport.write(head + body if len(body) < HIGH_WATER else head)
        if len(body) >= HIGH_WATER:
            self._transport.write(body)
        if self._error is not None:
            raise self._error
        await self._head

    async def read(self) -> bytes:
        """All of the body that is here; waits for some; ``b""`` at its end."""
        while not self._body:
            if self._error is not None:
                raise self._error
            if self._complete:
                return b""
            self._more = self._loop.create_future()
            await self._more
        data = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._body = []
        self._buffered = 0
        if self._paused:
            self._paused = False
            self._transport.resume_reading()
        return data

    def close(self) -> None:
        self._reusable = False
        self._transport.abort()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._complete:  # bytes that answer nothing
            self.close()
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(httpx.RemoteProtocolError(f"not a valid HTTP response: {type(error).__name__}"))
            self.close()
            return
        if self._buffered > HIGH_WATER and not self._paused:
            self._paused = True
            self._transport.pause_reading()
        if self._more is not None:
            self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._reusable = False
        if self._complete:
            return
        if self.status and not self._framed and exc is None:
            self._complete = True
            self._wake()
        else:
            self._fail(httpx.ReadError("the connection was closed"))

    # httptools

    def on_message_begin(self) -> None:
        if self._complete:  # the beginning of an answer to nothing: none of it may reach the next request
            self._reusable = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_bytes += len(name) + len(value)
        if self._head_bytes > MAX_HEAD_BYTES:
            raise ValueError("head too large")  # httptools turns it into a parser error
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:  # an interim response: the real one follows
            self.headers = []
            return
        self.status = status
        for name, value in self.headers:
            lowered = name.lower()
            if lowered == b"content-length" or (lowered == b"transfer-encoding" and b"chunked" in value.lower()):
                self._framed = True
        if self._head is not None and not self._head.done():
            self._head.set_result(None)

    def on_body(self, body: bytes) -> None:
        if not self._complete:
            self._body.append(body)
            self._buffered += len(body)

    def on_message_complete(self) -> None:
        if not self.status:
            return
        self._reusable = self._reusable and self._parser.should_keep_alive()
        self._complete = True
        if self._more is not None:
            self._wake()

    def _wake(self) -> None:
        waiter, self._more = self._more, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _fail(self, error: httpx.TransportError) -> None:
        self._error = error
        if self._head is not None and not self._head.done():
            self._head.set_exception(error)
        self._wake()


class _Body(httpx.AsyncByteStream):
    """A response's body. Its connection goes back to the pool when it was read to its end, and is closed otherwise."""

    def __init__(self, connection: _Connection, release: Callable[[_Connection], None]) -> None:
        self._connection: _Connection | None = connection
        self._release = release

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while self._connection is not None:
            data = await self._connection.read()
            if not data:
                await self.aclose()
                return
            yield data

    async def aclose(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._release(connection)


class Transport(httpx.AsyncBaseTransport):
    """Not bounded by itself: the gateway's admission bounds what is in flight.

    ``resolve`` gives the addresses to connect to, or raises ``OSError``; it may block, and runs in a thread.
    """

    def __init__(self, resolve: Callable[[str, str, int], list[str]]) -> None:
        self._resolve = resolve
        self._idle: defaultdict[Origin, list[_Connection]] = defaultdict(list)
        self._origins: dict[_Connection, Origin] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Raises ``ConnectTimeout`` or ``ConnectError`` before the request left, ``ReadError`` or
        ``RemoteProtocolError`` after. ``request`` carries its whole content.
        """
        url = request.url
        origin = (url.scheme, url.host, url.port or (443 if url.scheme == "https" else 80))
        connection = self._take(origin)
        if connection is None:
            connection = await self._connect(origin, request.extensions["timeout"]["connect"])
        content = request.content
        lines = [b"%s %s HTTP/1.1" % (request.method.encode(), url.raw_path)]
        lines += [b"%s: %s" % header for header in request.headers.raw]
        request.extensions[DISPATCHED] = True
        try:
            await connection.send(b"\r\n".join(lines) + b"\r\n\r\n", content)
        except BaseException:
            self._release(connection)
            raise
        return httpx.Response(
            connection.status, headers=connection.headers, stream=_Body(connection, self._release), request=request
        )

    async def aclose(self) -> None:
        for connection in list(self._origins):
            connection.close()
        self._origins.clear()
        self._idle.clear()

    def _take(self, origin: Origin) -> _Connection | None:
        """The connection that was used last, so that the others fall idle and are closed."""
        idle = self._idle[origin]
        oldest = asyncio.get_running_loop().time() - KEEPALIVE_SECONDS
        while idle:
            connection = idle.pop()
            if connection.usable and connection.idle_since >= oldest:
                return connection
            self._discard(connection)
        return None

    async def _connect(self, origin: Origin, seconds: float | None) -> _Connection:
        try:
            async with asyncio.timeout(seconds):
                connection = await self._connect_to_any(origin, seconds)
        except TimeoutError:
            raise httpx.ConnectTimeout("the connection was not accepted in time") from None
        except OSError as error:
            raise httpx.ConnectError(str(error)) from error
        self._origins[connection] = origin
        return connection

    async def _connect_to_any(self, origin: Origin, seconds: float | None) -> _Connection:
        """The first of the host's addresses that accepts; by address, so that none but a checked one is reached."""
        scheme, host, port = origin
        loop = asyncio.get_running_loop()

        async def connect(address: str) -> _Connection:
            _, connection = await loop.create_connection(
                _Connection,
                address,
                port,
                ssl=tls_context() if scheme == "https" else None,
                server_hostname=host if scheme == "https" else None,
            )
            return connection

        addresses = await loop.run_in_executor(None, self._resolve, scheme, host, port)
        return await first_that_accepts(addresses, seconds, connect)

    def _release(self, connection: _Connection) -> None:
        origin = self._origins.get(connection)
        if origin is None or not connection.usable:
            self._discard(connection)
            return
        now = connection.idle_since = asyncio.get_running_loop().time()
        idle = self._idle[origin]
        idle.append(connection)
        while idle and (idle[0].idle_since < now - KEEPALIVE_SECONDS or not idle[0].usable):
            self._discard(idle.pop(0))

    def _discard(self, connection: _Connection) -> None:
        self._origins.pop(connection, None)
        connection.close()
