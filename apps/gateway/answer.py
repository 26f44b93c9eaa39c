"""The answer: what leaves towards the caller, and a provider's failure in the caller's words."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from apps.gateway.counters.base import Admitted, Remaining
from apps.gateway.errors import GatewayError, LimitExceeded, UpstreamFailed
from apps.gateway.fronts.base import Errors, Front, Header
from apps.models.providers.base import ProviderError

Send = Callable[[dict[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[dict[str, Any]]]

# For a caller that does not read: by the answer's last part the upstream is done with, so nothing else bounds the wait.
LAST_PART_SECONDS = 60.0

_STREAM_HEADERS: list[Header] = [(b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no")]


class Answer:
    """One response. ``begun`` once its head has left: from then on nothing can be tried again."""

    __slots__ = ("_ended", "_front", "_request_id", "_send", "admitted", "begun", "dropped", "headers", "media_type")

    def __init__(self, send: Send, front: Front, request_id: str) -> None:
        self._send = send
        self._front = front
        self._request_id = request_id
        self._ended = False
        self.admitted: Admitted | None = None
        self.begun = False
        self.media_type = ""  # of a stream that is no events, in which nothing can be said of an error
        self.headers: list[Header] = []  # what else is to be said of the answer
        self.dropped: tuple[str, ...] = ()  # the caller's parameters that the upstream could not take

    async def whole(self, body: bytes, content_type: str) -> None:
        """A plain answer."""
        await self._begin([(b"content-type", content_type.encode()), (b"content-length", b"%d" % len(body))])
        await self._end(body)

    @property
    def is_event_stream(self) -> bool:
        """Whether what streams is of server-sent events, which may hold comments."""
        return not self.media_type and self._front.stream_type.startswith(b"text/event-stream")

    async def stream(self, events: bytes, *, last: bool = False) -> None:
        """Some whole events of a stream."""
        if not self.begun:
            content_type = self.media_type.encode() or self._front.stream_type
            await self._begin([(b"content-type", content_type), *_STREAM_HEADERS])
        if last:
            await self._end(events)
        else:
            await self._send({"type": "http.response.body", "body": events, "more_body": True})

    async def error(self, error: GatewayError) -> None:
        """The error as a response; or, in a stream that has begun, as its last event. Sound is cut short: the server
        closes what its application left open, which is how a caller knows that it is not whole."""
        if self._ended or (self.begun and self.media_type):
            return
        if self.begun:
            await self._end(self._front.error_event(error, self._request_id))
            return
        self._ended = True
        self.begun = True
        await send_error(self._send, self._front, error, self._request_id, extra=self._limits(error))

    def _limits(self, error: GatewayError | None = None) -> list[Header]:
        if self.admitted is not None:
            return _limit_headers(self.admitted.remaining)
        refused = error.remaining if isinstance(error, LimitExceeded) else None
        return [] if refused is None else _limit_headers([refused])

    async def _end(self, body: bytes) -> None:
        """The last part. A caller that does not take it is left: the server closes what its application left open."""
        self._ended = True
        try:
            async with asyncio.timeout(LAST_PART_SECONDS):
                await self._send({"type": "http.response.body", "body": body, "more_body": False})
        except TimeoutError:
            return

    async def _begin(self, headers: list[Header]) -> None:
        self.begun = True
        shown = [*headers, *self.headers, *_identity(self._front, self._request_id), *self._limits()]
        if self.dropped:
            shown.append((b"x-lobby-dropped-params", ", ".join(self.dropped).encode()))
        await self._send({"type": "http.response.start", "status": 200, "headers": shown})


def _limit_headers(remaining: Sequence[Remaining]) -> list[Header]:
    """``x-ratelimit-*`` as OpenAI has them: of several limits of a kind, the one with the least left."""
    tightest: dict[str, Remaining] = {}  # by metric
    for left in remaining:
        metric = left.limit.metric
        if metric not in tightest or left.left < tightest[metric].left:
            tightest[metric] = left
    headers: list[Header] = []
    for name in ("requests", "tokens"):
        if name not in tightest:
            continue
        left, suffix = tightest[name], name.encode()
        headers += [
            (b"x-ratelimit-limit-" + suffix, b"%d" % left.limit.amount),
            (b"x-ratelimit-remaining-" + suffix, b"%d" % max(left.left, 0)),
            (b"x-ratelimit-reset-" + suffix, b"%.3fs" % left.reset_after),
        ]
    return headers


async def send_error(
    send: Send, errors: Errors, error: GatewayError, request_id: str, *, extra: list[Header] | None = None
) -> None:
    """A whole response that is an error, in the shape of the caller's API."""
    own, body = errors.error(error, request_id)
    headers = [
        *own,
        (b"content-length", b"%d" % len(body)),
        *_identity(errors, request_id),
        *(extra or []),
    ]
    if error.retry_after is not None:
        headers.append((b"retry-after", b"%d" % max(1, round(error.retry_after + 0.499))))
    if error.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def _identity(errors: Errors, request_id: str) -> tuple[Header, Header]:
    """Each API's clients have a header of their own for it; ours is the name that the portal speaks of."""
    encoded = request_id.encode()
    return (b"x-lobby-request-id", encoded), (errors.request_id_header, encoded)


def as_gateway_error(error: ProviderError) -> UpstreamFailed:
    """A provider's failure as the caller sees it. What concerns our own credential is not the caller's to read."""
    message = error.message
    match error.kind:
        case "caller":
            return UpstreamFailed(
                message,
                status=error.status or 400,  # 0: told in the midst of a stream
                type=error.type or "invalid_request_error",
                code=error.code or "upstream_rejected",
                param=error.param,
            )
        case "credential":
            return UpstreamFailed(
                "The provider refused Lobby's own credential or account. The service engineers can mend this.",
                code="provider_credential",
            )
        case "rate_limited":
            return UpstreamFailed(
                f"The provider is limiting Lobby's requests: {message}",
                status=429,
                code="provider_rate_limited",
                retry_after=error.retry_after if error.retry_after is not None else 1.0,
            )
        case "timeout":
            return UpstreamFailed(message, status=504, code=f"upstream_timeout_{error.phase or 'status'}")
        case "unreachable":
            return UpstreamFailed(
                message, status=503, code="upstream_unreachable", retry_after=error.retry_after or 1.0
            )
        case _:
            status = error.status if error.status in (503, 529) else 502
            return UpstreamFailed(
                message, status=status, code=error.code or f"upstream_{error.kind}", retry_after=error.retry_after
            )
