"""Converse's streams: passed on, and in a translation read into events and written for a caller."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import msgspec

from apps.models.providers.aws.errors import read_exception
from apps.models.providers.aws.eventstream import MessageReader, event
from apps.models.providers.base import ProviderError, UpstreamCall, Usage
from apps.models.providers.conversation import (
    BlockEnded,
    BlockKind,
    BlockStarted,
    Delta,
    Event,
    Signed,
    Started,
    Stopped,
    Used,
)
from apps.models.providers.dialects.converse.reply import stop_reason
from apps.models.providers.dialects.converse.request import ANSWER_TOOL
from apps.models.providers.dialects.converse.wire import WRITTEN_STOPS, TokenUsage, written
from apps.models.providers.framing import UNREADABLE, is_json

_TOO_EARLY = "The upstream ended its stream too early."


class _Start(msgspec.Struct):
    toolUseId: str = ""
    name: str = ""


class _BlockStart(msgspec.Struct):
    toolUse: _Start | None = None


class _Thought(msgspec.Struct):
    text: str | None = None
    signature: str | None = None
    redactedContent: str | None = None


class _ToolDelta(msgspec.Struct):
    input: str = ""


class _DeltaStruct(msgspec.Struct):
    text: str | None = None
    toolUse: _ToolDelta | None = None
    reasoningContent: _Thought | None = None


class _Payload(msgspec.Struct):
    """Of whichever event."""

    contentBlockIndex: int = 0
    start: _BlockStart | None = None
    delta: _DeltaStruct | None = None
    stopReason: str = ""
    usage: TokenUsage | None = None


_decode = msgspec.json.Decoder(_Payload).decode
_encode = msgspec.json.Encoder().encode


def _read(name: str, payload: bytes) -> _Payload:
    try:
        return _decode(payload)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        raise ProviderError("malformed", f"The upstream sent an event '{name[:40]}' that cannot be read.") from None


class PassingStream:
    """Passes whole messages on as they came, and reads usage and errors on the way. The stream's end is its metadata,
    which comes last; an exception is kept back: what the caller is told of it is not for the decoder to say."""

    __slots__ = ("_reader", "error", "finished", "output_tokens", "usage")

    media_type = ""
    begun: Usage | None = None

    def __init__(self) -> None:
        self._reader = MessageReader()
        self.usage: Usage | None = None
        self.finished = False
        self.output_tokens = 0
        self.error: ProviderError | None = None

    def feed(self, block: bytes) -> bytes:
        out = []
        for message in self._reader.feed(block):
            if message.kind != "event":
                self.error = read_exception(message.name, message.payload, begun=self.output_tokens > 0)
                break
            if message.name == "contentBlockDelta":
                if not is_json(message.payload):
                    self.error = ProviderError("malformed", UNREADABLE, phase="stream")
                    break
                self.output_tokens += 1
            elif message.name == "contentBlockStart":
                # It begins a tool's call, and nothing else: text begins with its first delta.
                self.output_tokens += b'"toolUse"' in message.payload
            elif message.name == "metadata":
                usage = _read(message.name, message.payload).usage
                self.usage = usage.normalised() if usage is not None else None
                self.finished = True
            out.append(message.raw)
        return b"".join(out)

    def end(self) -> bytes:
        raise ProviderError("disconnected", _TOO_EARLY, phase="stream")


class ConverseReader:
    """Messages into events. A block of text begins with its first delta."""

    def __init__(self) -> None:
        self._reader = MessageReader()
        self._started = False
        self._blocks = -1  # the last one begun
        self._open: tuple[BlockKind, int] | None = None  # the kind, and the upstream's number of it
        self._calls = False
        self._stopped = False
        self._begun = False
        self.finished = False
        self.error: ProviderError | None = None

    def feed(self, block: bytes) -> list[Event]:
        events: list[Event] = []
        for message in self._reader.feed(block):
            if self.finished:
                break
            if message.kind != "event":
                self.error = read_exception(message.name, message.payload, begun=self._begun)
                break
            try:
                self._read(message.name, message.payload, events)
            except ProviderError as error:  # what was read before it stands
                self.error = error
                break
        return events

    def end(self) -> list[Event]:
        raise ProviderError("disconnected", _TOO_EARLY, phase="stream")

    def _read(self, name: str, payload: bytes, events: list[Event]) -> None:
        read = _read(name, payload)
        if not self._started:
            self._started = True
            events.append(Started("", ""))
        match name:
            case "contentBlockStart" if read.start is not None and read.start.toolUse is not None:
                use = read.start.toolUse
                if use.name == ANSWER_TOOL:
                    self._begin("text", read.contentBlockIndex, events)
                else:
                    self._calls = True
                    self._begin("tool_call", read.contentBlockIndex, events, use.toolUseId, use.name)
            case "contentBlockDelta" if read.delta is not None:
                self._delta(read.delta, read.contentBlockIndex, events)
            case "contentBlockStop":
                self._close(events)
            case "messageStop":
                self._close(events)
                self._stopped = True
                events.append(Stopped(stop_reason(read.stopReason, self._calls)))
            case "metadata":
                if not self._stopped:
                    raise ProviderError("malformed", "The upstream ended its stream without saying why it stopped.")
                usage = read.usage.normalised() if read.usage is not None else None
                if usage is not None:
                    events.append(Used(usage))
                self.finished = True

    def _delta(self, delta: _DeltaStruct, index: int, events: list[Event]) -> None:
        if delta.toolUse is not None:
            if self._open is None or self._open[1] != index:
                raise ProviderError("malformed", "The upstream mixed the arguments of its tool calls.")
            if delta.toolUse.input:
                events.append(Delta(self._blocks, delta.toolUse.input))
        if delta.text:
            self._ensure("text", index, events)
            events.append(Delta(self._blocks, delta.text))
        thought = delta.reasoningContent
        if thought is not None:
            self._ensure("thinking", index, events)
            if thought.text:
                events.append(Delta(self._blocks, thought.text))
            if thought.signature or thought.redactedContent:
                events.append(Signed(self._blocks, thought.signature, thought.redactedContent))

    def _ensure(self, kind: BlockKind, index: int, events: list[Event]) -> None:
        if self._open != (kind, index):
            self._begin(kind, index, events)

    def _begin(self, kind: BlockKind, index: int, events: list[Event], id: str = "", name: str = "") -> None:
        self._close(events)
        self._begun = True
        self._blocks += 1
        self._open = (kind, index)
        events.append(BlockStarted(self._blocks, kind, id, name))

    def _close(self, events: list[Event]) -> None:
        if self._open is not None:
            events.append(BlockEnded(self._blocks))
            self._open = None


class ConverseWriter:
    """Events into messages. The usage comes last, in the metadata."""

    def __init__(self, call: UpstreamCall) -> None:
        self._began = time.monotonic()
        self._kinds: dict[int, BlockKind] = {}
        self._usage = Usage()

    def write(self, events: Sequence[Event]) -> bytes:
        return b"".join(map(self._event, events))

    def close(self) -> bytes:
        took = int((time.monotonic() - self._began) * 1000)
        return _message("metadata", {"usage": written(self._usage), "metrics": {"latencyMs": took}})

    def _event(self, each: Event) -> bytes:
        match each:
            case Delta(index, text):
                return _message("contentBlockDelta", {"contentBlockIndex": index, "delta": self._delta(index, text)})
            case Started():
                return _message("messageStart", {"role": "assistant"})
            case BlockStarted(index, kind, id, name):
                self._kinds[index] = kind
                if kind != "tool_call":
                    return b""
                start = {"toolUse": {"toolUseId": id, "name": name}}
                return _message("contentBlockStart", {"contentBlockIndex": index, "start": start})
            case Signed(index, signature, redacted):
                thought = {"redactedContent": redacted} if redacted is not None else {"signature": signature}
                return _message(
                    "contentBlockDelta", {"contentBlockIndex": index, "delta": {"reasoningContent": thought}}
                )
            case BlockEnded(index):
                return _message("contentBlockStop", {"contentBlockIndex": index})
            case Stopped(reason):
                return _message("messageStop", {"stopReason": WRITTEN_STOPS[reason]})
            case Used(usage):
                self._usage = usage
        return b""

    def _delta(self, index: int, text: str) -> dict[str, Any]:
        match self._kinds[index]:
            case "tool_call":
                return {"toolUse": {"input": text}}
            case "thinking":
                return {"reasoningContent": {"text": text}}
        return {"text": text}


def _message(name: str, payload: dict[str, Any]) -> bytes:
    return event(name, _encode(payload))
