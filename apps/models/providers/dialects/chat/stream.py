"""Chat completions' streams in a translation: read from an upstream into events, and written for a caller."""

from __future__ import annotations

import time
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
    Thinking,
    Used,
)
from apps.models.providers.dialects.chat.reply import FINISH_REASONS, STOP_REASONS, thought
from apps.models.providers.dialects.chat.wire import Arguments, ChatUsage, ContentPart, arguments_of, parts_of, written
from apps.models.providers.framing import ServerSentEvents
from apps.models.providers.openai_errors import read_error_event


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: Arguments = None


class _ToolCall(msgspec.Struct):
    index: int = 0
    id: str | None = None
    function: _Function | None = None


class _DeltaStruct(msgspec.Struct):
    content: str | list[ContentPart] | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[_ToolCall] | None = None


class _Choice(msgspec.Struct):
    index: int = 0
    delta: _DeltaStruct | None = None
    finish_reason: str | None = None


class _Chunk(msgspec.Struct):
    id: str | None = None
    model: str | None = None
    created: float | None = None
    choices: list[_Choice] | None = None
    usage: ChatUsage | None = None
    error: msgspec.Raw = msgspec.Raw(b"null")


_decode = msgspec.json.Decoder(_Chunk).decode
_encode = msgspec.json.Encoder().encode


class ChatReader:
    """Chunks into events. A new kind of delta, or another tool call, ends the block before it."""

    def __init__(self) -> None:
        self._events = ServerSentEvents()
        self._started = False
        self._blocks = 0
        self._open: tuple[BlockKind, int] | None = None  # the kind, and a tool call's number
        self._calls = -1  # the tool call that was begun last, and its id
        self._call_id = ""
        self._stopped = False
        self._usage_seen = False
        self.finished = False
        self.error: ProviderError | None = None

    def feed(self, block: bytes) -> list[Event]:
        events: list[Event] = []
        for event in self._events.feed(block):
            if event.data.strip() == b"[DONE]":
                self.finished = True
                break
            try:
                chunk = _decode(event.data)
            except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
                self.error = ProviderError("malformed", "The upstream sent an event that is no chunk of an answer.")
                break
            if bytes(chunk.error) != b"null":
                self.error = read_error_event(chunk.error)
                break
            try:
                self._read(chunk, events)
            except ProviderError as error:  # what was read before it stands
                self.error = error
                break
        if self.finished and not self._stopped:
            message = "The upstream ended its stream without saying why it stopped."
            self.error = ProviderError("malformed", message)
        return events

    def end(self) -> list[Event]:
        if not self._usage_seen or not self._stopped:
            raise ProviderError("disconnected", "The upstream ended its stream too early.", phase="stream")
        return []

    def _read(self, chunk: _Chunk, events: list[Event]) -> None:
        if not self._started:
            self._started = True
            events.append(Started(chunk.id or "", chunk.model or "", int(chunk.created or 0)))
        for choice in chunk.choices or []:
            if choice.index != 0:
                continue
            if choice.delta is not None:
                self._read_delta(choice.delta, events)
            if choice.finish_reason and not self._stopped:  # some servers write an empty one into every chunk
                self._close(events)
                self._stopped = True
                stop = STOP_REASONS.get(choice.finish_reason, "stop")
                events.append(Stopped("tool_calls" if stop == "stop" and self._calls >= 0 else stop))
        usage = chunk.usage.normalised() if chunk.usage is not None else None
        if usage is not None:
            self._usage_seen = True
            events.append(Used(usage))

    def _read_delta(self, delta: _DeltaStruct, events: list[Event]) -> None:
        if thinking := delta.reasoning_content or delta.reasoning:
            events.append(Delta(self._block("thinking", events), thinking))
        for part in parts_of(delta.content):
            if part.thought:
                events.append(Delta(self._block("thinking", events), part.thought))
            elif part.text:
                events.append(Delta(self._block("text", events), part.text))
        if delta.refusal:
            events.append(Delta(self._block("refusal", events), delta.refusal))
        for call in delta.tool_calls or []:
            name = call.function.name if call.function is not None else None
            # Some servers, Gemini's among them, number every call 0: each has its name and an id of its own.
            another = bool(name and call.id and self._call_id and call.id != self._call_id)
            if self._open != ("tool_call", call.index) or another:
                if call.index <= self._calls and not another:
                    raise ProviderError("malformed", "The upstream mixed the arguments of its tool calls.")
                self._close(events)
                self._calls, self._call_id = call.index, call.id or ""
                self._open = ("tool_call", call.index)
                events.append(BlockStarted(self._blocks, "tool_call", call.id or "", name or ""))
            if call.function is not None and call.function.arguments:
                events.append(Delta(self._blocks, arguments_of(call.function.arguments)))

    def _block(self, kind: BlockKind, events: list[Event]) -> int:
        if self._open is None or self._open[0] != kind:
            self._close(events)
            self._open = (kind, 0)
            events.append(BlockStarted(self._blocks, kind))
        return self._blocks

    def _close(self, events: list[Event]) -> None:
        if self._open is not None:
            events.append(BlockEnded(self._blocks))
            self._blocks += 1
            self._open = None


class ChatWriter:
    """Events into chunks. The usage comes last, in a chunk of its own, where the caller asked for it."""

    def __init__(self, call: UpstreamCall) -> None:
        self._wants_usage = call.wants_usage
        self._head: dict[str, Any] = {}
        self._kinds: dict[int, BlockKind] = {}
        self._calls: dict[int, int] = {}  # block -> number of the tool call
        self._usage: Usage | None = None

    def write(self, events: Sequence[Event]) -> bytes:
        return b"".join(map(self._event, events))

    def close(self) -> bytes:
        usage = b""
        if self._wants_usage and self._usage is not None:
            usage = _sse({**self._head, "choices": [], "usage": written(self._usage)})
        return usage + b"data: [DONE]\n\n"

    def _event(self, event: Event) -> bytes:
        match event:
            case Delta(index, text):
                return self._delta(index, text)
            case Started(id, model, created):
                self._head = {
                    "id": id,
                    "object": "chat.completion.chunk",
                    "created": created or int(time.time()),
                    "model": model,
                }
                return self._chunk({"role": "assistant", "content": ""})
            case BlockStarted(index, "tool_call", id, name):
                self._kinds[index] = "tool_call"
                number = self._calls[index] = len(self._calls)
                function = {"name": name, "arguments": ""}
                return self._chunk(
                    {"tool_calls": [{"index": number, "id": id, "type": "function", "function": function}]}
                )
            case BlockStarted(index, kind):
                self._kinds[index] = kind
                return b""
            case Signed(_, signature, redacted):
                return self._chunk({"reasoning_details": [thought(Thinking("", signature, redacted))]})
            case Stopped(reason):
                return self._chunk({}, FINISH_REASONS[reason])
            case Used(usage):
                self._usage = usage
        return b""

    def _delta(self, index: int, text: str) -> bytes:
        match self._kinds[index]:
            case "text":
                return self._chunk({"content": text})
            case "thinking":
                return self._chunk({"reasoning_content": text})
            case "refusal":
                return self._chunk({"refusal": text})
        return self._chunk({"tool_calls": [{"index": self._calls[index], "function": {"arguments": text}}]})

    def _chunk(self, delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return _sse({**self._head, "choices": [choice]})


def _sse(data: object) -> bytes:
    return b"data: " + _encode(data) + b"\n\n"
