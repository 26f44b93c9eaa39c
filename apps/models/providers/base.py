"""What an adapter is, and the plain types at its seam.

An adapter composes a dialect (how a call and its answer are written) with an authentication (which header shows the
credential). It does no I/O and knows no ORM, so that one conformance suite drives every provider.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol

import httpx
import msgspec


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one attempt. Cached and cache-write are parts of input, reasoning a part of output."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Target:
    """An endpoint as the adapter needs it; all that does not change per request is worked out once."""

    base_url: str
    upstream_model: str
    credential: str | None = field(default=None, repr=False)
    settings: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class UpstreamCall:
    """A call in the front dialect: the caller's top-level fields, each still raw JSON, and what Lobby adds to them."""

    operation: Operation
    fields: dict[str, msgspec.Raw]
    stream: bool = False
    max_output_tokens: int | None = None


Operation = Literal["chat.completions", "embeddings"]
ErrorKind = Literal[
    "caller", "credential", "rate_limited", "overloaded", "unreachable", "disconnected", "timeout", "malformed"
]


class ProviderError(Exception):
    """An upstream's refusal or failure, typed.

    ``kind`` decides what happens next: ``caller`` is the caller's own mistake and goes back as it came; ``credential``
    is ours to mend; ``rate_limited``, ``overloaded``, ``unreachable``, ``disconnected`` and ``timeout`` may succeed
    elsewhere. ``status`` is the upstream's, 0 when none came; ``phase`` is where a timeout struck.
    """

    def __init__(
        self,
        kind: ErrorKind,
        message: str,
        *,
        status: int = 0,
        retry_after: float | None = None,
        code: str | None = None,
        type: str | None = None,
        param: str | None = None,
        phase: str = "",
    ) -> None:
        super().__init__(message)
        self.kind: ErrorKind = kind
        self.message = message
        self.status = status
        self.retry_after = retry_after
        self.code = code
        self.type = type
        self.param = param
        self.phase = phase

    @property
    def retryable(self) -> bool:
        return self.kind not in ("caller", "malformed")


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer: bytes for the caller, and its usage (None when the upstream did not say)."""

    body: bytes
    usage: Usage | None


class StreamDecoder(Protocol):
    """Reads a stream as it passes. ``feed`` returns the bytes that may go to the caller now."""

    usage: Usage | None
    finished: bool  # the upstream said that the stream is complete
    output_tokens: int  # counted as they passed, for a stream that is cut off
    error: ProviderError | None  # an error event that the upstream sent in the stream

    def feed(self, block: bytes) -> bytes: ...


class Adapter(Protocol):
    def build_request(self, target: Target, call: UpstreamCall, *, attempt_id: str) -> httpx.Request: ...

    def parse(self, call: UpstreamCall, body: bytes) -> Answer:
        """Raises ``ProviderError`` (malformed) when the body is not an answer."""
        ...

    def error(self, status: int, headers: httpx.Headers, body: bytes) -> ProviderError: ...

    def stream_decoder(self, call: UpstreamCall, *, wants_usage: bool) -> StreamDecoder: ...
