"""Responses' streams, read from an upstream into events."""

from __future__ import annotations

import msgspec
from msgspec import Raw

from apps.models.providers.base import ProviderError
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
from apps.models.providers.dialects.responses.answers import Item, Part, Response
from apps.models.providers.framing import ServerSentEvents
from apps.models.providers.openai_errors import read_error_event


class _Event(msgspec.Struct):
    type: str = ""
    output_index: int = 0
    content_index: int = 0
    summary_index: int = 0
    delta: str | None = None
    item: Item | None = None
    part: Part | None = None
    response: Response | None = None
    error: Raw = Raw(b"null")


_decode = msgspec.json.Decoder(_Event).decode

_TEXTS: dict[str, BlockKind] = {
    "response.output_text.delta": "text",
    "response.refusal.delta": "refusal",
    "response.function_call_arguments.delta": "tool_call",
    "response.reasoning_summary_text.delta": "thinking",
    "response.reasoning_text.delta": "thinking",
}
_Place = tuple[BlockKind, int, int]


class ResponsesReader:
    """Items of the provider's own tools, which no other API has a word for, are passed over."""

    def __init__(self) -> None:
        self._events = ServerSentEvents()
        self._started = False
        self._blocks = 0
        self._open: _Place | None = None
        self._summary = 0
        self.finished = False
        self.error: ProviderError | None = None

    def feed(self, block: bytes) -> list[Event]:
        events: list[Event] = []
        for event in self._events.feed(block):
            if event.data.strip() == b"[DONE]":
                continue
            try:
                parsed = _decode(event.data)
            except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
                self.error = ProviderError("malformed", "The upstream sent an event that is not of its API.")
                break
            if parsed.type == "error" or bytes(parsed.error) != b"null":
                raw = parsed.error if bytes(parsed.error) != b"null" else Raw(event.data)
                self.error = read_error_event(raw)
                break
            if parsed.type == "response.failed":
                self.error = read_error_event(parsed.response.error if parsed.response is not None else Raw(b"null"))
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
        raise ProviderError("disconnected", "The upstream ended its stream too early.", phase="stream")

    def _read(self, event: _Event, events: list[Event]) -> None:
        if (kind := _TEXTS.get(event.type)) is not None:
            self._read_delta(kind, event, events)
            return
        match event.type:
            case "response.created" if event.response is not None:
                if self._started:
                    raise ProviderError("malformed", "The upstream began its answer twice.")
                self._started = True
                response = event.response
                events.append(Started(response.id, response.model, int(response.created_at)))
            case "response.output_item.added" if event.item is not None and event.item.type == "function_call":
                self._begin(("tool_call", event.output_index, 0), events, event.item.call_id, event.item.name)
            case "response.output_item.added" if event.item is not None and event.item.type == "reasoning":
                self._begin(("thinking", event.output_index, 0), events)
            case "response.content_part.added" if event.part is not None and event.part.type == "output_text":
                self._begin(("text", event.output_index, event.content_index), events)
            case "response.content_part.added" if event.part is not None and event.part.type == "refusal":
                self._begin(("refusal", event.output_index, event.content_index), events)
            case "response.content_part.done" if self._open is not None and self._open[0] in ("text", "refusal"):
                self._close(events)
            case "response.output_item.done" if event.item is not None and self._open is not None:
                if self._open[1] != event.output_index:
                    raise _mixed()
                if event.item.encrypted_content is not None:
                    events.append(Signed(self._blocks, event.item.encrypted_content))
                self._close(events)
            case "response.completed" | "response.incomplete":
                self._end(event.response, events)

    def _read_delta(self, kind: BlockKind, event: _Event, events: list[Event]) -> None:
        inner = 0 if kind in ("tool_call", "thinking") else event.content_index
        if self._open != (kind, event.output_index, inner):
            raise _mixed()
        text = event.delta or ""
        if kind == "thinking" and event.summary_index != self._summary:
            self._summary = event.summary_index
            text = "\n\n" + text
        if text:
            events.append(Delta(self._blocks, text))

    def _begin(self, place: _Place, events: list[Event], id: str = "", name: str = "") -> None:
        if not self._started or self._open is not None:
            raise _mixed()
        self._open = place
        self._summary = 0
        events.append(BlockStarted(self._blocks, place[0], id, name))

    def _close(self, events: list[Event]) -> None:
        events.append(BlockEnded(self._blocks))
        self._blocks += 1
        self._open = None

    def _end(self, response: Response | None, events: list[Event]) -> None:
        if response is None or not self._started:
            raise ProviderError("malformed", "The upstream ended its stream without an answer.")
        if self._open is not None:
            self._close(events)
        events.append(Stopped(response.stop))
        usage = response.usage.normalised() if response.usage is not None else None
        if usage is not None:
            events.append(Used(usage))
        self.finished = True


def _mixed() -> ProviderError:
    return ProviderError("malformed", "The upstream mixed the parts of its answer.")
