"""A stream from one dialect into another: the upstream's reader, the front's writer, and what passes between them."""

from __future__ import annotations

from apps.models.providers.base import ProviderError, Usage
from apps.models.providers.conversation import BlockStarted, Delta, Event, Started, Used
from apps.models.providers.dialects.base import EventReader, EventWriter


class Translation:
    """A ``StreamDecoder`` of two halves. ``id`` and ``model`` are for upstreams that tell none."""

    __slots__ = ("_id", "_model", "_reader", "_writer", "begun", "error", "finished", "output_tokens", "usage")

    media_type = ""

    def __init__(self, reader: EventReader, writer: EventWriter, *, id: str, model: str) -> None:
        self._reader = reader
        self._writer = writer
        self._id = id
        self._model = model
        self.usage: Usage | None = None
        self.begun: Usage | None = None
        self.finished = False
        self.output_tokens = 0
        self.error: ProviderError | None = None

    def feed(self, block: bytes) -> bytes:
        out = self._pass(self._reader.feed(block))
        self.error = self._reader.error
        if self._reader.finished and self.error is None:
            self.finished = True
            out += self._writer.close()
        return out

    def end(self) -> bytes:
        out = self._pass(self._reader.end())
        return out + self._writer.close()

    def _pass(self, events: list[Event]) -> bytes:
        for number, event in enumerate(events):
            match event:
                case Started(told_id, told_model, created, usage):
                    self.begun = usage
                    events[number] = Started(told_id or self._id, told_model or self._model, created, usage)
                case Delta():
                    self.output_tokens += 1
                case Used(usage=usage):
                    self.usage = usage
                case BlockStarted(kind="tool_call"):
                    self.output_tokens += 1
        return self._writer.write(events)
