"""The one client of all upstreams: it owns the connections, the timeouts and what their failures mean."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Literal

import httpx

from apps.gateway.errors import GatewayError
from apps.gateway.transport import DISPATCHED, Transport
from apps.models.errors import UrlRefused
from apps.models.providers.base import ProviderError
from apps.models.urls_guard import check_url, resolve

__all__ = ["DISPATCHED", "MAX_ANSWER_BYTES", "MAX_ERROR_BYTES", "UpstreamClient", "Watch", "chunks", "read_all"]

MAX_ANSWER_BYTES = 64 * 1024 * 1024
MAX_ERROR_BYTES = 64 * 1024

Phase = Literal["first_byte", "idle", "total"]


class Watch:
    """Ends the task it was made in when an upstream is too slow, the caller has left, or may not call any more.

    The limits are those of the phase it is in (``first_byte``, then ``idle``) and of the whole attempt (``total``).
    ``touch`` per chunk costs one attribute: the timer looks at it when it fires, and arms itself again. While the
    caller is being written to (``pause``) the upstream is not to blame, and only ``total`` counts.
    """

    __slots__ = ("_ends", "_handle", "_limit", "_loop", "_phase", "_since", "_stopped", "_task", "reason", "refusal")

    def __init__(self, total: float) -> None:
        self._loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._ends = self._loop.time() + total
        self._phase: Phase = "first_byte"
        self._since = self._loop.time()
        self._limit = total
        self._handle: asyncio.TimerHandle | None = None
        self._stopped = False
        self.reason: Phase | Literal["client", "access"] | None = None
        self.refusal: GatewayError | None = None  # why the caller may not call any more

    def phase(self, phase: Phase, limit: float) -> None:
        self._phase = phase
        self._limit = limit
        self._since = self._loop.time()
        self._arm(min(self._since + limit, self._ends))

    def touch(self) -> None:
        self._since = self._loop.time()

    def pause(self) -> None:
        self._since = float("inf")

    @property
    def paused(self) -> bool:
        return self._since == float("inf")

    def client_left(self) -> None:
        self._fire("client")

    def access_ended(self, refusal: GatewayError) -> None:
        self.refusal = refusal
        self._fire("access")

    def stop(self) -> None:
        """The attempt has ended: neither the clock nor a caller who leaves disturbs what is still to be done."""
        self._stopped = True
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def caught(self) -> bool:
        """Whether a ``CancelledError`` just caught is this watch's own; if so it is taken back."""
        if self.reason is None:
            return False
        self._task.uncancel()
        return True

    def _arm(self, when: float) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self._handle = self._loop.call_at(when, self._look)

    def _look(self) -> None:
        now = self._loop.time()
        if now >= self._ends:
            self._fire("total")
        elif now >= self._since + self._limit:
            self._fire(self._phase)
        else:
            self._arm(min(min(self._since, now) + self._limit, self._ends))  # while paused: look again a limit from now

    def _fire(self, reason: Phase | Literal["client", "access"]) -> None:
        if self.reason is None and not self._stopped:
            self.reason = reason
            self._task.cancel()
        self.stop()


class UpstreamClient:
    """Sends requests. ``sandbox`` answers for hosts of the scheme ``sandbox:`` inside this process."""

    def __init__(self, sandbox: httpx.AsyncBaseTransport) -> None:
        self._sandbox = sandbox
        self._network = Transport(_checked_addresses)

    async def send(self, request: httpx.Request, *, simulated: bool, connect_timeout: float) -> httpx.Response:
        """The response's head; its body is still to be read. Raises ``ProviderError``; the watch bounds the rest."""
        transport = self._sandbox if simulated else self._network
        request.extensions |= {"timeout": {"connect": connect_timeout}, DISPATCHED: simulated}
        try:
            return await transport.handle_async_request(request)
        except httpx.TransportError as error:
            raise _failure(error) from error

    async def aclose(self) -> None:
        await self._network.aclose()


async def read_all(response: httpx.Response, limit: int, touch: Callable[[], None] | None = None) -> bytes:
    """The whole body; ``ProviderError`` (malformed) beyond ``limit`` bytes, or when it breaks off. ``touch`` is called
    whenever some of it has come."""
    parts: list[bytes] = []
    size = 0
    async for chunk in chunks(response):
        if touch is not None:
            touch()
        size += len(chunk)
        if size > limit:
            raise ProviderError("malformed", f"The upstream's answer is larger than {limit:,} bytes.")
        parts.append(chunk)
    return parts[0] if len(parts) == 1 else b"".join(parts)


async def chunks(response: httpx.Response) -> AsyncIterator[bytes]:
    """The body's bytes as they come in; ``ProviderError`` (disconnected) when it breaks off."""
    if response.headers.get("content-encoding", "identity") not in ("identity", ""):
        raise ProviderError("malformed", "The upstream compressed its answer although it was asked not to.")
    stream = response.stream
    assert isinstance(stream, httpx.AsyncByteStream)
    try:
        async for chunk in stream:
            yield chunk
    except httpx.TransportError as error:
        raise ProviderError("disconnected", "The upstream broke off its answer.", phase="stream") from error


def _checked_addresses(scheme: str, host: str, port: int) -> list[str]:
    """Where a provider's host is now, each address checked: a name may have changed its mind since it was saved."""
    shown = f"[{host}]" if ":" in host else host
    try:
        return resolve(check_url(f"{scheme}://{shown}:{port}"))
    except UrlRefused as error:
        raise OSError(error.message) from None


def _failure(error: httpx.TransportError) -> ProviderError:
    """What a failure before the response's head means."""
    match error:
        case httpx.ConnectTimeout():
            return ProviderError("timeout", "The upstream did not accept the connection in time.", phase="connect")
        case httpx.ConnectError():
            return ProviderError("unreachable", "The upstream cannot be reached.", phase="connect")
        case httpx.ReadError():
            return ProviderError("disconnected", "The upstream closed the connection before it answered.")
        case _:
            return ProviderError("malformed", "The upstream's answer is not HTTP as it should be.")
