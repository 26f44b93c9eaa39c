"""How streams are cut into events: server-sent events, whatever way the network cut them."""

from __future__ import annotations

from typing import NamedTuple

from apps.models.providers.base import ProviderError, Usage

MAX_EVENT_BYTES = 8 * 1024 * 1024


class ServerSentEvent(NamedTuple):
    """``event`` is the type's name, empty where none was given; ``data`` its lines joined."""

    event: str
    data: bytes


class ServerSentEvents:
    """Whole events out of blocks of bytes. Source: the WHATWG's HTML standard, section 9.2.6."""

    __slots__ = ("_tail",)

    def __init__(self) -> None:
        self._tail = b""

    def feed(self, block: bytes) -> list[ServerSentEvent]:
        """Raises ``ProviderError`` (malformed) for an event that does not end."""
        data = self._tail + block
        if b"\r" in data:
            # A line's end may be split between two blocks: the CR waits for what follows it.
            held = b"\r" if data.endswith(b"\r") else b""
            data = data.removesuffix(b"\r").replace(b"\r\n", b"\n").replace(b"\r", b"\n") + held
        *events, self._tail = data.split(b"\n\n")
        if len(self._tail) > MAX_EVENT_BYTES:
            raise ProviderError("malformed", f"The upstream sent an event of more than {MAX_EVENT_BYTES:,} bytes.")
        return [event for event in map(_read, events) if event is not None]


def _read(text: bytes) -> ServerSentEvent | None:
    """None where there is no data: a comment that keeps the connection alive."""
    name, lines = "", []
    for line in text.split(b"\n"):
        if line.startswith(b"data:"):
            lines.append(line[6:] if line[5:6] == b" " else line[5:])
        elif line.startswith(b"event:"):
            name = line[6:].strip().decode("utf-8", "replace")
    return ServerSentEvent(name, b"\n".join(lines)) if lines else None


class PassingEvents:
    """A ``StreamDecoder`` of events that pass whole, as they come; what they say is read on the way.

    A dialect says which events are pieces of the answer (``_is_piece``, by their bytes: nearly all are) and reads the
    others (``_read``, which tells whether the caller is sent them).
    """

    __slots__ = ("_separator", "_tail", "begun", "error", "finished", "output_tokens", "usage")

    def __init__(self) -> None:
        self._tail = bytearray()
        self._separator = b""
        self.usage: Usage | None = None
        self.begun: Usage | None = None
        self.finished = False
        self.output_tokens = 0
        self.error: ProviderError | None = None

    def feed(self, block: bytes) -> bytes:
        tail = self._tail
        if tail:
            if b"\n" not in block:
                tail += block
                self._check_size()
                return b""
            block = bytes(tail) + block
            tail.clear()
        if not self._separator:
            line = block.find(b"\n")
            if line >= 0:
                self._separator = b"\r\n\r\n" if block[line - 1 : line] == b"\r" else b"\n\n"
        separator = self._separator or b"\n\n"
        events = block.split(separator)
        rest = events.pop()
        if rest:
            tail += rest
            self._check_size()
            block = block[: len(block) - len(rest)]
        unwanted: list[int] = []
        for number, event in enumerate(events):
            if self._is_piece(event):
                self.output_tokens += 1
            elif not self._read(event):
                unwanted.append(number)
        if unwanted:
            return b"".join(event + separator for number, event in enumerate(events) if number not in unwanted)
        return block

    def end(self) -> bytes:
        if self.usage is None:
            raise ProviderError("disconnected", "The upstream ended its stream too early.", phase="stream")
        return b""

    def _is_piece(self, event: bytes) -> bool:
        raise NotImplementedError

    def _read(self, event: bytes) -> bool:
        raise NotImplementedError

    def _check_size(self) -> None:
        if len(self._tail) > MAX_EVENT_BYTES:
            raise ProviderError("malformed", f"The upstream sent an event of more than {MAX_EVENT_BYTES:,} bytes.")


def data_of(event: bytes) -> bytes:
    """The data of one event's bytes."""
    lines = event.replace(b"\r\n", b"\n").split(b"\n")
    return b"\n".join(line[5:].strip() for line in lines if line.startswith(b"data:"))
