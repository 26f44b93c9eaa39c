"""InvokeModel's streams: parts of a model's own JSON, each base64 in an event ``chunk``."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import msgspec

from apps.models.providers.aws.errors import read_exception
from apps.models.providers.aws.eventstream import MessageReader, event
from apps.models.providers.base import ProviderError, Usage
from apps.models.providers.conversation import Event, Used
from apps.models.providers.dialects.base import EventWriter
from apps.models.providers.dialects.invoke.shapes import decode_part, usage_in
from apps.models.providers.framing import UNREADABLE, ServerSentEvents, is_json

# Of the messages API's events, those that carry none of the answer.
_QUIET = frozenset(
    {"message_start", "content_block_start", "content_block_stop", "message_delta", "message_stop", "ping"}
)


class _Chunk(msgspec.Struct):
    data: bytes = msgspec.field(name="bytes")


_decode_chunk = msgspec.json.Decoder(_Chunk).decode
_encode = msgspec.json.Encoder().encode


class PassingStream:
    """Passes whole messages on as they came. The service's own metrics come with the last one; where they do not, the
    model's own count stands."""

    __slots__ = ("_ended", "_reader", "begun", "error", "finished", "output_tokens", "usage")

    media_type = ""

    def __init__(self) -> None:
        self._reader = MessageReader()
        self._ended = False
        self.begun: Usage | None = None
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
            self._read(message.payload)
            if self.error is not None:
                break
            out.append(message.raw)
        return b"".join(out)

    def _read(self, payload: bytes) -> None:
        data = payload
        try:
            data = _decode_chunk(payload).data
            part = decode_part(data)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            if is_json(data):
                self.output_tokens += 1  # not ours to judge: it passes as it came
            else:
                self.error = ProviderError("malformed", UNREADABLE, phase="stream")
            return
        told = part.metrics.normalised() if part.metrics is not None else usage_in(part)
        if part.type == "message_start":
            self.begun = told  # no measure of a stream that breaks off, but for its input
        elif told is not None:
            self.usage = _joined(self.usage or self.begun, told, final=part.metrics is not None)
        if part.type not in _QUIET:
            self.output_tokens += 1
        self._ended = self._ended or part.type == "message_stop"
        self.finished = part.metrics is not None

    def end(self) -> bytes:
        if self._reader.pending or (not self._ended and self.usage is None):
            raise ProviderError("disconnected", "The upstream ended its stream too early.", phase="stream")
        return b""


def _joined(before: Usage | None, told: Usage, *, final: bool) -> Usage:
    """The input is told at the beginning, the output at the end; the service's own metrics tell both, but not for how
    long the cache keeps what was written to it."""
    if before is None:
        return told
    if final:
        for_an_hour = min(before.cache_write_1h_tokens, told.cache_write_tokens)
        return dataclasses.replace(told, cache_write_1h_tokens=for_an_hour)
    return dataclasses.replace(
        told if told.input_tokens else before, output_tokens=max(before.output_tokens, told.output_tokens)
    )


class MessagesWriter:
    """The messages API's stream in chunks, as the service frames it; the last one tells the metrics."""

    def __init__(self, writer: EventWriter) -> None:
        self._writer = writer
        self._events = ServerSentEvents()
        self._usage = Usage()

    def write(self, events: Sequence[Event]) -> bytes:
        for each in events:
            if isinstance(each, Used):
                self._usage = each.usage
        return self._framed(self._writer.write(events))

    def close(self) -> bytes:
        return self._framed(self._writer.close())

    def _framed(self, text: bytes) -> bytes:
        return b"".join(self._chunk(event.data) for event in self._events.feed(text))

    def _chunk(self, data: bytes) -> bytes:
        if decode_part(data).type == "message_stop":
            usage = self._usage
            metrics = {
                "inputTokenCount": max(usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens, 0),
                "outputTokenCount": usage.output_tokens,
                "cacheReadInputTokenCount": usage.cached_tokens,
                "cacheWriteInputTokenCount": usage.cache_write_tokens,
                "invocationLatency": 0,
                "firstByteLatency": 0,
            }
            data = _encode({"type": "message_stop", "amazon-bedrock-invocationMetrics": metrics})
        return chunk(data)


def chunk(data: bytes) -> bytes:
    return event("chunk", _encode({"bytes": data}))
