"""What a dialect is: how one API writes its requests, answers and streams.

Between two sides of one dialect the bytes pass through untouched and only the usage is read (``body``, ``passed``,
``passing``). A dialect of conversations can also be either side of a translation: the front reads a request into a
``Conversation`` and writes the answer (``conversation``, ``reply``, ``writer``); the upstream writes the request and
reads the answer (``write``, ``read``, ``reader``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import httpx

from apps.models.providers.base import Answer, Operation, ProviderError, StreamDecoder, Target, UpstreamCall
from apps.models.providers.conversation import Conversation, Event, Reply, Written


class Dialect(Protocol):
    operation: Operation
    stream_type: str  # the media type of its streams

    def body(self, target: Target, call: UpstreamCall) -> bytes:
        """The caller's request as it is sent to an upstream of the same dialect."""
        ...

    def passed(self, body: bytes) -> Answer:
        """A whole answer that passes as it came. Raises ``ProviderError`` (malformed)."""
        ...

    def passing(self, call: UpstreamCall) -> StreamDecoder: ...

    def error(self, status: int, headers: httpx.Headers, body: bytes) -> ProviderError: ...


class EventReader(Protocol):
    """Reads an upstream's stream. Like a ``StreamDecoder``, with events in the place of bytes."""

    finished: bool
    error: ProviderError | None

    def feed(self, block: bytes) -> list[Event]: ...

    def end(self) -> list[Event]:
        """The upstream's body has ended without its end being announced. Raises ``ProviderError`` (disconnected)."""
        ...


class EventWriter(Protocol):
    """Writes a caller's stream."""

    def write(self, events: Sequence[Event]) -> bytes: ...

    def close(self) -> bytes:
        """All has come: what ends the stream, the usage included."""
        ...


class FrontDialect(Dialect, Protocol):
    """One that callers speak: its conversations can be translated into those of any provider."""

    def conversation(self, call: UpstreamCall) -> Conversation:
        """Raises ``Unreadable``, naming the field."""
        ...

    def reply(self, reply: Reply, call: UpstreamCall) -> bytes: ...

    def writer(self, call: UpstreamCall) -> EventWriter: ...


class ConversationDialect(FrontDialect, Protocol):
    """One that providers speak, too."""

    def write(
        self, conversation: Conversation, target: Target, *, stream: bool, max_output_tokens: int | None
    ) -> Written:
        """``max_output_tokens`` is Lobby's own cap, where the caller named none."""
        ...

    def read(self, body: bytes) -> Reply:
        """Raises ``ProviderError`` (malformed)."""
        ...

    def reader(self) -> EventReader: ...
