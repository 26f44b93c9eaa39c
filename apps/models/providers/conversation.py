"""A conversation in no dialect of its own: what dialects translate from and to.

A front reads a caller's request into a ``Conversation``; an upstream's dialect writes that in its own words. The answer
comes back as a ``Reply``, or as the events of a stream, which the front's dialect writes in the caller's words. Nothing
is dropped in silence: whatever a dialect cannot say it names in ``Written.dropped``, in the caller's words.

Plain texts are ``str``; what is JSON by its nature (a schema, a tool's arguments) stays the JSON that came.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from msgspec import Raw

from apps.models.providers.base import Usage

Role = Literal["system", "user", "assistant"]
StopReason = Literal["stop", "stop_sequence", "length", "tool_calls", "content_filter"]
BlockKind = Literal["text", "thinking", "tool_call", "refusal"]


# What messages are made of. ``cache`` marks the end of a prefix that the upstream may keep: "5m" or "1h".


@dataclass(slots=True)
class Text:
    text: str
    cache: str | None = None


@dataclass(slots=True)
class Image:
    """Base64 in ``data`` with its ``media_type``, or an address in ``url``."""

    media_type: str = ""
    data: str = ""
    url: str = ""
    detail: str | None = None
    cache: str | None = None


@dataclass(slots=True)
class Document:
    """A file: base64 in ``data``, plain ``text``, or an address in ``url``."""

    name: str = ""
    media_type: str = ""
    data: str = ""
    text: str = ""
    url: str = ""
    cache: str | None = None


@dataclass(slots=True)
class Audio:
    """Sound in base64; ``format`` is ``wav``, ``mp3`` and the like."""

    format: str
    data: str


@dataclass(slots=True)
class Thinking:
    """What a model thought. ``signature`` lets its own API check it; ``redacted`` is thought that only it can read."""

    text: str = ""
    signature: str | None = None
    redacted: str | None = None


@dataclass(slots=True)
class ToolCall:
    """``arguments`` is JSON as the model wrote it, which need not be valid."""

    id: str
    name: str
    arguments: str
    cache: str | None = None


@dataclass(slots=True)
class ToolResult:
    id: str
    content: list[Text | Image | Document]
    is_error: bool = False
    cache: str | None = None


@dataclass(slots=True)
class Refusal:
    text: str


Block = Text | Image | Document | Audio | Thinking | ToolCall | ToolResult | Refusal


@dataclass(slots=True)
class Message:
    """``system`` messages stand where they stood; a dialect that has one place for them puts them there in order."""

    role: Role
    content: list[Block]
    name: str | None = None


@dataclass(slots=True)
class Tool:
    """A function that the caller offers; ``parameters`` is its JSON schema."""

    name: str
    description: str | None = None
    parameters: Raw | None = None
    strict: bool | None = None
    cache: str | None = None


@dataclass(slots=True)
class ToolChoice:
    """``name`` with ``mode`` "named"."""

    mode: Literal["auto", "none", "required", "named"]
    name: str = ""


@dataclass(slots=True)
class OutputFormat:
    """``schema`` is a JSON schema; None with ``json_object``."""

    mode: Literal["json_object", "json_schema"]
    schema: Raw | None = None
    name: str = "answer"
    description: str | None = None
    strict: bool | None = None


@dataclass(slots=True)
class Reasoning:
    """How much to think: by ``effort`` (minimal, low, medium, high), or at most ``budget_tokens``; off when both are
    empty and ``enabled`` is False."""

    enabled: bool = True
    effort: str | None = None
    budget_tokens: int | None = None
    summary: str | None = None


@dataclass(slots=True)
class Conversation:
    """A request. ``names`` gives the caller's own name of each of our fields that differs (``max_tokens`` ->
    ``inferenceConfig.maxTokens``); ``others`` are the caller's fields that only its own dialect knows."""

    messages: list[Message] = field(default_factory=list)
    tools: list[Tool] = field(default_factory=list)
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    output_format: OutputFormat | None = None
    reasoning: Reasoning | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: list[str] = field(default_factory=list)
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    user: str | None = None
    others: dict[str, Raw] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)

    def name(self, field: str) -> str:
        """What the caller calls ``field``."""
        return self.names.get(field, field)

    def unsaid(self, *fields: str) -> list[str]:
        """The caller's names of what cannot be said: its own dialect's fields, and those of ``fields`` that are set."""
        return [*self.others, *(self.name(each) for each in fields if getattr(self, each) not in (None, []))]

    @property
    def spoken(self) -> list[Message]:
        """The messages for an API that wants a turn of the user's: where nobody but the system speaks, its last message
        is taken for one."""
        if not self.messages or any(message.role != "system" for message in self.messages):
            return self.messages
        *before, last = self.messages
        return [*before, Message("user", last.content, last.name)]

    @property
    def cached(self) -> bool:
        """Whether a mark of the cache is anywhere in it."""
        blocks = (block for message in self.messages for block in message.content)
        return self.cached_inside or any(getattr(each, "cache", None) for each in (*self.tools, *blocks))

    @property
    def cached_inside(self) -> bool:
        """Whether one is inside of a tool's result."""
        results = (block for message in self.messages for block in message.content if isinstance(block, ToolResult))
        return any(each.cache for result in results for each in result.content)


@dataclass(frozen=True, slots=True)
class Written:
    """A request in an upstream's words: its top-level fields, and what could not be said."""

    fields: dict[str, object]
    dropped: tuple[str, ...] = ()


@dataclass(slots=True)
class Reply:
    """A whole answer. ``usage`` is None when the upstream did not say."""

    id: str
    model: str
    content: list[Text | Thinking | ToolCall | Refusal]
    stop: StopReason
    usage: Usage | None
    stop_sequence: str | None = None
    created: int = 0


# The events of a stream, in the order in which they come: one ``Started``; each block's ``BlockStarted``, its deltas
# and its ``BlockEnded``, blocks numbered from 0 and never nested; one ``Stopped``; ``Used`` as it is told.


@dataclass(frozen=True, slots=True)
class Started:
    """``usage`` where the upstream tells what it read before it answers."""

    id: str
    model: str
    created: int = 0
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class BlockStarted:
    """``id`` and ``name`` with a tool call."""

    index: int
    kind: BlockKind
    id: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class Delta:
    """More of a block: its text, its thought, its refusal, or its arguments' JSON, as the block's kind says."""

    index: int
    text: str


@dataclass(frozen=True, slots=True)
class Signed:
    """A block of thought's ``signature``, or the thought that only its API can read."""

    index: int
    signature: str | None = None
    redacted: str | None = None


@dataclass(frozen=True, slots=True)
class BlockEnded:
    index: int


@dataclass(frozen=True, slots=True)
class Stopped:
    reason: StopReason
    stop_sequence: str | None = None


@dataclass(frozen=True, slots=True)
class Used:
    """The usage so far; the last one stands."""

    usage: Usage


Event = Started | BlockStarted | Delta | Signed | BlockEnded | Stopped | Used
