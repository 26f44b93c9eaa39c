"""A stream from one dialect into another: the upstream's reader, the front's writer, and what passes between them."""

from __future__ import annotations

from apps.models.providers.base import ProviderError, Usage
from apps.models.providers.conversation import BlockStarted, Delta, Event, Used
from apps.models.providers.dialects.base import EventReader, EventWriter


class Translation:
    """A ``StreamDecoder`` of two halves."""

    __slots__ = ("_reader", "_writer", "error", "finished", "output_tokens", "usage")

    def __init__(self, reader: EventReader, writer: EventWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.usage: Usage | None = None
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
        for event in events:
            match event:
                case Delta():
                    self.output_tokens += 1
                case Used(usage=usage):
                    self.usage = usage
                case BlockStarted(kind="tool_call"):
                    self.output_tokens += 1
        return self._writer.write(events)
