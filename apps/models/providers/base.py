"""What an adapter is, and the plain types at its seam.

An adapter composes dialects (how a call and its answer are written: ``dialects/``) with a service (where it is sent and
which credential is shown: ``services.py``). It does no I/O and knows no ORM, so that one conformance suite drives every
provider.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal, Protocol

import httpx
import msgspec

if TYPE_CHECKING:
    from apps.models.providers.conversation import Conversation

Operation = Literal[
    "chat.completions",
    "responses",
    "messages",
    "converse",
    "count_tokens",
    "invoke",
    "embeddings",
    "rerank",
    "images.generations",
    "audio.transcriptions",
    "audio.speech",
    "moderations",
]
# What a prompt of the catalog may ask of a model, and some APIs of callers have no word for.
CARRIED = ("stop", "seed", "presence_penalty", "frequency_penalty")
# The operations that carry a conversation: each can be translated into every other.
CONVERSATIONS: frozenset[Operation] = frozenset({"chat.completions", "responses", "messages", "converse"})


@dataclass(frozen=True, slots=True)
class Usage:
    """What one attempt used. Every kind below is a part of ``input_tokens`` or of ``output_tokens``, never beside it;
    ``units`` counts what is not measured in tokens (images, seconds of sound, characters, searches)."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0  # of the input: read from the provider's cache
    cache_write_tokens: int = 0  # of the input: written to it, for however long
    cache_write_1h_tokens: int = 0  # of cache_write_tokens: kept for an hour, which costs more
    reasoning_tokens: int = 0  # of the output
    audio_input_tokens: int = 0
    audio_output_tokens: int = 0
    image_input_tokens: int = 0
    image_output_tokens: int = 0
    units: int = 0

    def plus(self, other: Usage) -> Usage:
        return Usage(*(getattr(self, name) + getattr(other, name) for name in USAGE_KINDS))

    def bounded(self) -> Usage:
        """The same with no part larger than what its whole has left, whatever an upstream said: each token once."""
        inputs = self.cached_tokens + self.cache_write_tokens + self.audio_input_tokens + self.image_input_tokens
        outputs = self.reasoning_tokens + self.audio_output_tokens + self.image_output_tokens
        if (
            inputs <= self.input_tokens
            and outputs <= self.output_tokens
            and self.cache_write_1h_tokens <= self.cache_write_tokens
        ):
            return self
        cached = min(self.cached_tokens, self.input_tokens)
        cache_write = min(self.cache_write_tokens, self.input_tokens - cached)
        audio_in = min(self.audio_input_tokens, self.input_tokens - cached - cache_write)
        image_in = min(self.image_input_tokens, self.input_tokens - cached - cache_write - audio_in)
        reasoning = min(self.reasoning_tokens, self.output_tokens)
        audio_out = min(self.audio_output_tokens, self.output_tokens - reasoning)
        return Usage(
            self.input_tokens,
            self.output_tokens,
            cached,
            cache_write,
            min(self.cache_write_1h_tokens, cache_write),
            reasoning,
            audio_in,
            audio_out,
            image_in,
            min(self.image_output_tokens, self.output_tokens - reasoning - audio_out),
            self.units,
        )


USAGE_KINDS: tuple[str, ...] = tuple(each.name for each in fields(Usage))


@dataclass(frozen=True, slots=True)
class Target:
    """An endpoint as the adapter needs it; all that does not change per request is worked out once.

    ``settings`` are the provider's own and the endpoint's over them: ``region``, ``api_version`` and the like.
    ``capabilities`` are the model's.
    """

    base_url: str
    upstream_model: str
    credential: str | None = field(default=None, repr=False)
    settings: tuple[tuple[str, str], ...] = ()
    capabilities: frozenset[str] = frozenset()
    max_output_tokens: int | None = None

    def can(self, capability: str) -> bool:
        """Whether the model has it, as far as is known: of a model without any stated capability, nothing is."""
        return not self.capabilities or capability in self.capabilities

    def setting(self, name: str, default: str = "") -> str:
        return next((value for key, value in self.settings if key == name), default)


@dataclass(slots=True)
class UpstreamCall:
    """A call in the front's dialect: the caller's top-level fields, each still raw JSON, and what Lobby adds to them.

    ``content`` is a body that is no JSON (a multipart upload) with its type, in the place of ``fields``. ``headers``
    are the caller's own that an upstream of the same dialect is shown. ``carried`` (of ``CARRIED``) are parameters of a
    prompt that the caller's API has no word for: where the call is translated, the upstream's may have one.
    """

    operation: Operation
    fields: dict[str, msgspec.Raw]
    stream: bool = False
    max_output_tokens: int | None = None
    wants_usage: bool = False  # the front's caller asked for usage in the stream
    model: str = ""  # as the caller named it, for answers that repeat it
    content: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    carried: Mapping[str, Any] = field(default_factory=dict)
    _conversation: Conversation | None = field(default=None, init=False, repr=False)

    def conversation(self) -> Conversation:
        """The call as a conversation, read once whatever the number of attempts. Raises ``Unreadable``."""
        if self._conversation is None:
            from apps.models.providers.dialects import DIALECTS  # the dialects know this module

            read = DIALECTS[self.operation].conversation(self)
            for name, value in self.carried.items():
                setattr(read, name, value)
                read.names[name] = f"prompt.{name}"
            self._conversation = read
        return self._conversation


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request ready to be sent, and the caller's parameters that this upstream cannot take."""

    request: httpx.Request
    dropped: tuple[str, ...] = ()


ErrorKind = Literal[
    "caller", "credential", "rate_limited", "overloaded", "unreachable", "disconnected", "timeout", "malformed"
]
Refusal = Literal["", "context_window", "content_policy"]


class Unreadable(Exception):
    """A caller's request that is well-formed in its dialect's fields and still cannot be understood; ``param`` is the
    path of the field."""

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param


def no_words(status: int) -> str:
    """What an error says whose answer held no words that could be read."""
    return f"The upstream answered {status}."


class ProviderError(Exception):
    """An upstream's refusal or failure, typed.

    ``kind`` decides what happens next: ``caller`` is the caller's own mistake and goes back as it came; ``credential``
    is ours to mend; all others may succeed elsewhere. ``status`` is the upstream's, 0 when it told none or 200;
    ``phase`` is where a timeout struck, or where in a 200 the failure was: in the ``stream``, or in the place of the
    whole ``answer``; ``refusal`` names the two mistakes of a caller that another model may not mind.
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
        refusal: Refusal = "",
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
        self.refusal: Refusal = refusal

    @property
    def retryable(self) -> bool:
        return self.kind != "caller"


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer: bytes for the caller, and its usage (None when the upstream did not say)."""

    body: bytes
    usage: Usage | None
    content_type: str = "application/json"


class StreamDecoder(Protocol):
    """Reads an upstream's stream and gives what the caller is to be sent."""

    usage: Usage | None
    begun: Usage | None  # what an upstream told at the start: of a stream that is cut off, the input
    finished: bool  # the upstream said that the stream is complete
    output_tokens: int  # counted as they passed, for a stream that is cut off; 0: nothing of the answer proper yet
    error: ProviderError | None  # an error event that the upstream sent in the stream
    media_type: str  # of what is no stream of events, but sound as it comes; else empty

    def feed(self, block: bytes) -> bytes:
        """The bytes that may go to the caller now. Raises ``ProviderError`` (malformed)."""
        ...

    def end(self) -> bytes:
        """The upstream's body has ended although no end was announced: what the caller is still to be sent.

        Some servers announce none, but have told the usage by then. Raises ``ProviderError`` (disconnected) otherwise.
        """
        ...


class Adapter(Protocol):
    request_id_header: str  # where the provider tells its own id of the request

    def serves(self, operation: Operation, target: Target) -> bool: ...

    def prepare(self, target: Target, call: UpstreamCall, *, attempt_id: str) -> Prepared:
        """Raises ``Unreadable`` when the caller's request cannot be translated."""
        ...

    def parse(self, target: Target, call: UpstreamCall, headers: httpx.Headers, body: bytes) -> Answer:
        """Raises ``ProviderError`` (malformed) when the body is not an answer."""
        ...

    def error(self, status: int, headers: httpx.Headers, body: bytes) -> ProviderError: ...

    def stream_decoder(self, target: Target, call: UpstreamCall, headers: httpx.Headers) -> StreamDecoder:
        """Raises ``ProviderError`` (malformed) when what comes is no stream of this API."""
        ...
