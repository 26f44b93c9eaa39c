"""The Messages API's streams in a translation: read from an upstream into events, and written for a caller."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

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
    StopReason,
    Used,
)
from apps.models.providers.dialects.messages import wire
from apps.models.providers.dialects.messages.errors import read_error_event
from apps.models.providers.dialects.messages.reply import StopDetails, refusal_text
from apps.models.providers.framing import ServerSentEvents


class _Message(msgspec.Struct):
    id: str = ""
    model: str = ""
    usage: wire.MessagesUsage | None = None


class _BlockStart(msgspec.Struct):
    type: str
    id: str = ""
    name: str = ""
    text: str = ""
    thinking: str = ""
    data: str | None = None


class _Delta(msgspec.Struct):
    """Of a block, by its ``type``, or of the message."""

    type: str = ""
    text: str = ""
    thinking: str = ""
    partial_json: str = ""
    signature: str = ""
    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: StopDetails | None = None


class _Event(msgspec.Struct):
    type: str
    index: int = 0
    message: _Message | None = None
    content_block: _BlockStart | None = None
    delta: _Delta | None = None
    usage: wire.MessagesUsage | None = None


_decode = msgspec.json.Decoder(_Event).decode
_encode = msgspec.json.Encoder().encode

_KINDS: dict[str, BlockKind] = {
    "text": "text",
    "thinking": "thinking",
    "redacted_thinking": "thinking",
    "tool_use": "tool_call",
}


class MessagesReader:
    """Blocks of Anthropic's own tools, which no other API has a word for, are passed over; the rest are renumbered."""

    def __init__(self) -> None:
        self._events = ServerSentEvents()
        self._started = False
        self._blocks = 0
        self._open: tuple[int, bool] | None = None  # the upstream's number, and whether the block is passed on
        self._called = self._answered = False
        self._stopped = False
        self._begun: wire.MessagesUsage | None = None
        self._usage_seen = False
        self.finished = False
        self.error: ProviderError | None = None

    def feed(self, block: bytes) -> list[Event]:
        events: list[Event] = []
        for event in self._events.feed(block):
            try:
                parsed = _decode(event.data)
            except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
                self.error = ProviderError("malformed", "The upstream sent an event that is not of its API.")
                break
            if parsed.type == "error":
                self.error = read_error_event(event.data)
                break
            try:
                self._read(parsed, events)
            except ProviderError as error:  # what was read before it stands
                self.error = error
                break
            if self.finished:
                break
        return events

    def end(self) -> list[Event]:
        if not self._usage_seen or not self._stopped:
            raise ProviderError("disconnected", "The upstream ended its stream too early.", phase="stream")
        return []

    def _read(self, event: _Event, events: list[Event]) -> None:
        match event.type:
            case "content_block_delta" if event.delta is not None:
                self._read_delta(event.index, event.delta, events)
            case "content_block_start" if event.content_block is not None:
                self._start(event.index, event.content_block, events)
            case "content_block_stop":
                self._stop(event.index, events)
            case "message_start":
                if self._started:
                    raise ProviderError("malformed", "The upstream began its answer twice.")
                self._started = True
                message = event.message or _Message()
                self._begun = message.usage
                begun = message.usage.normalised() if message.usage is not None else None
                events.append(Started(message.id, message.model, usage=begun))
            case "message_delta":
                self._read_end(event, events)
            case "message_stop":
                if not self._stopped:
                    raise ProviderError("malformed", "The upstream ended its stream without saying why it stopped.")
                self.finished = True

    def _start(self, index: int, block: _BlockStart, events: list[Event]) -> None:
        if not self._started or self._open is not None:
            raise ProviderError("malformed", "The upstream mixed the blocks of its answer.")
        kind = _KINDS.get(block.type)
        self._open = (index, kind is not None)
        if kind is None:
            return
        if kind == "tool_call" and block.name == wire.ANSWER_TOOL:
            kind = "text"
            self._answered = True
        elif kind == "tool_call":
            self._called = True
        if kind == "tool_call":
            events.append(BlockStarted(self._blocks, kind, block.id, block.name))
        else:
            events.append(BlockStarted(self._blocks, kind))
        if block.data is not None and block.type == "redacted_thinking":
            events.append(Signed(self._blocks, redacted=block.data))
        elif block.text or block.thinking:
            events.append(Delta(self._blocks, block.text or block.thinking))

    def _read_delta(self, index: int, delta: _Delta, events: list[Event]) -> None:
        if self._open is None or self._open[0] != index:
            raise ProviderError("malformed", "The upstream mixed the blocks of its answer.")
        if not self._open[1]:
            return
        text = delta.text or delta.partial_json or delta.thinking
        if text:
            events.append(Delta(self._blocks, text))
        elif delta.type == "signature_delta":
            events.append(Signed(self._blocks, delta.signature))

    def _stop(self, index: int, events: list[Event]) -> None:
        if self._open is None or self._open[0] != index:
            raise ProviderError("malformed", "The upstream mixed the blocks of its answer.")
        if self._open[1]:
            events.append(BlockEnded(self._blocks))
            self._blocks += 1
        self._open = None

    def _read_end(self, event: _Event, events: list[Event]) -> None:
        delta = event.delta or _Delta()
        if not self._started or self._open is not None:
            raise ProviderError("malformed", "The upstream mixed the blocks of its answer.")
        if delta.stop_reason is not None and not self._stopped:
            self._stopped = True
            stop = wire.STOP_REASONS.get(delta.stop_reason, "stop")
            if stop == "tool_calls" and self._answered and not self._called:
                stop = "stop"
            if stop == "content_filter" and not self._blocks:
                text = refusal_text(delta.stop_details)
                events += [BlockStarted(0, "refusal"), Delta(0, text), BlockEnded(0)]
                self._blocks = 1
            events.append(Stopped(stop, delta.stop_sequence))
        usage = event.usage.over(self._begun).normalised() if event.usage is not None else None
        if usage is not None:
            self._usage_seen = True
            events.append(Used(usage))


_PING = b'event: ping\ndata: {"type":"ping"}\n\n'
_STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
# How a delta begins: its block's number and kind are all that varies but for the text.
_DELTAS: dict[BlockKind, bytes] = {
    "text": b'"delta":{"type":"text_delta","text":',
    "refusal": b'"delta":{"type":"text_delta","text":',
    "thinking": b'"delta":{"type":"thinking_delta","thinking":',
    "tool_call": b'"delta":{"type":"input_json_delta","partial_json":',
}


class MessagesWriter:
    """The usage comes last, with the reason to stop. A thought's block begins with its first piece, which tells whether
    it is one that can be read."""

    def __init__(self, call: UpstreamCall) -> None:
        self._model = call.model
        self._delta = b""  # how the open block's deltas begin; empty until it has begun
        self._refused = False
        self._stop: StopReason = "stop"
        self._stop_sequence: str | None = None
        self._usage: Usage | None = None

    def write(self, events: Sequence[Event]) -> bytes:
        return b"".join(map(self._event, events))

    def close(self) -> bytes:
        stop = "content_filter" if self._refused and self._stop == "stop" else self._stop
        delta = {"stop_reason": wire.WRITTEN_STOPS[stop], "stop_sequence": self._stop_sequence}
        end = {"type": "message_delta", "delta": delta, "usage": wire.written(self._usage)}
        return _sse(b"message_delta", end) + _STOP

    def _event(self, event: Event) -> bytes:
        match event:
            case Delta(index, text):
                begun = b"" if self._delta else self._begin(index, "thinking", {"thinking": "", "signature": ""})
                return begun + self._delta + _encode(text) + b"}}\n\n"
            case Started(id, model, _, usage):
                message: dict[str, Any] = {
                    "id": id,
                    "type": "message",
                    "role": "assistant",
                    "model": model or self._model,
                    "content": [],
                    "stop_reason": None,
                    "stop_sequence": None,
                    "usage": wire.written(usage),
                }
                return _sse(b"message_start", {"type": "message_start", "message": message}) + _PING
            case BlockStarted(index, "tool_call", id, name):
                return self._begin(index, "tool_call", {"id": id, "name": name, "input": {}})
            case BlockStarted(_, "thinking"):
                self._delta = b""
                return b""
            case BlockStarted(index, kind):
                self._refused = self._refused or kind == "refusal"
                return self._begin(index, kind, {"text": ""})
            case Signed(index, signature, redacted):
                return self._signed(index, signature, redacted)
            case BlockEnded(index):
                begun = b"" if self._delta else self._begin(index, "thinking", {"thinking": "", "signature": ""})
                return begun + _sse(b"content_block_stop", {"type": "content_block_stop", "index": index})
            case Stopped(reason, sequence):
                self._stop, self._stop_sequence = reason, sequence
            case Used(usage):
                self._usage = usage
        return b""

    def _begin(self, index: int, kind: BlockKind, facts: dict[str, Any], *, type: str = "") -> bytes:
        shown = {"tool_call": "tool_use", "refusal": "text"}.get(kind, kind)
        self._delta = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,' % index
        self._delta += _DELTAS[kind]
        block = {"type": type or shown, **facts}
        return _sse(b"content_block_start", {"type": "content_block_start", "index": index, "content_block": block})

    def _signed(self, index: int, signature: str | None, redacted: str | None) -> bytes:
        if redacted is not None:
            if self._delta:  # thought that can be read has begun the block: the rest of it cannot be said
                return b""
            return self._begin(index, "thinking", {"data": redacted}, type="redacted_thinking")
        begun = b"" if self._delta else self._begin(index, "thinking", {"thinking": "", "signature": ""})
        delta = {"type": "signature_delta", "signature": signature or ""}
        return begun + _sse(b"content_block_delta", {"type": "content_block_delta", "index": index, "delta": delta})


def _sse(name: bytes, data: object) -> bytes:
    return b"event: " + name + b"\ndata: " + _encode(data) + b"\n\n"
