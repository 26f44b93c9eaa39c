"""How each dialect of conversations is spoken, in recorded shapes: what its callers send and read, and what its
upstreams read and answer.

A voice says the same things as every other: a conversation (``Asked``) and an answer (``Said``). A new dialect gets a
voice in ``VOICES`` and with it every test of the suite, in both directions, against every other.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from apps.models.providers.base import Operation, Usage

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


@dataclass(frozen=True)
class Turn:
    """One message. ``results`` are those of tools, by the call's id."""

    role: str
    text: str = ""
    images: tuple[str, ...] = ()
    calls: tuple[tuple[str, str, str], ...] = ()  # id, name, arguments as JSON
    results: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Asked:
    turns: tuple[Turn, ...]
    system: str = ""
    tools: tuple[str, ...] = ()
    choice: str = ""  # none, required, or a tool's name
    parallel: bool = True
    schema: dict[str, Any] | None = None
    effort: str = ""
    max_tokens: int = 2_000
    stop: tuple[str, ...] = ()
    temperature: float | None = None
    top_p: float | None = None


@dataclass(frozen=True)
class Said:
    text: str = ""
    thinking: str = ""
    signature: str = ""
    calls: tuple[tuple[str, str, str], ...] = ()
    stop: str = "stop"
    usage: Usage = field(default_factory=lambda: Usage(7, 3))


class Voice(Protocol):
    operation: Operation
    tells: frozenset[str]  # which kinds of usage it has words for
    signs: bool  # whether thought has a signature
    model: str  # an upstream's
    lacks: frozenset[str]  # what of a question it has no word for

    # A caller's side.
    def request(self, asked: Asked, *, stream: bool) -> dict[str, Any]: ...
    def seen(self, body: bytes) -> Said: ...
    def seen_stream(self, data: bytes) -> Said: ...

    # An upstream's side.
    def understood(self, body: bytes) -> Asked: ...
    def plain(self, said: Said) -> bytes: ...
    def stream(self, said: Said) -> bytes: ...


def told(usage: Usage, *voices: Voice) -> Usage:
    """The kinds of usage that all of ``voices`` have words for."""
    kinds = frozenset.intersection(*(voice.tells for voice in voices))
    facts = {name: getattr(usage, name) for name in kinds}
    return replace(Usage(), **facts)


def pieces(text: str, size: int = 4) -> list[str]:
    return [text[start : start + size] for start in range(0, len(text), size)]
