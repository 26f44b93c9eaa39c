"""How streams are cut into events: server-sent events, whatever way the network cut them."""

from __future__ import annotations

from typing import NamedTuple

from apps.models.providers.base import ProviderError

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
