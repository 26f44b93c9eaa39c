"""A request for embeddings in no dialect of its own, as ``conversation.py`` is for conversations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from apps.models.providers.base import Operation, Target, UpstreamCall, Usage
from apps.models.providers.conversation import Written


@dataclass(slots=True)
class EmbeddingRequest:
    """``others`` are the caller's names of what only its own dialect knows; ``purpose`` is what the vectors are for,
    in the words of Cohere's models (``search_document``, ``search_query``)."""

    inputs: Sequence[str]
    dimensions: int | None = None
    purpose: str | None = None
    others: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class EmbeddingReply:
    """``usage`` is None when the upstream did not say."""

    vectors: Sequence[Sequence[float]]
    usage: Usage | None


class EmbeddingDialect(Protocol):
    operation: Operation

    # The front's side.

    def request(self, call: UpstreamCall) -> EmbeddingRequest:
        """Raises ``Unreadable``, naming the field."""
        ...

    def reply(self, reply: EmbeddingReply, call: UpstreamCall) -> bytes: ...

    # The upstream's side.

    def write(self, request: EmbeddingRequest, target: Target) -> Written:
        """Raises ``Unreadable`` for what this upstream cannot do."""
        ...

    def read(self, body: bytes) -> EmbeddingReply:
        """Raises ``ProviderError`` (malformed)."""
        ...
