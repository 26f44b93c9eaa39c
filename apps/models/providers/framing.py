"""How streams are cut into events: server-sent events, whatever way the network cut them."""

from __future__ import annotations

import json
from codecs import BOM_UTF8
from collections.abc import Callable
from typing import NamedTuple

from apps.models.providers.base import ProviderError, Usage

MAX_EVENT_BYTES = 8 * 1024 * 1024
UNREADABLE = "The upstream sent an event that cannot be read."


class ServerSentEvent(NamedTuple):
    """``event`` is the type's name, empty where none was given; ``data`` its lines joined."""

    event: str
    data: bytes


class ServerSentEvents:
    """Whole events out of blocks of bytes. Source: the WHATWG's HTML standard, section 9.2.6."""

    __slots__ = ("_begun", "_held", "_tail")

    def __init__(self) -> None:
        self._begun: bytes | None = b""  # what has come until it is known whether a byte order mark begins it
        self._tail = bytearray()
        self._held = b""  # a CR at a block's end: whether an LF follows it is not known yet

    def feed(self, block: bytes) -> list[ServerSentEvent]:
        """Raises ``ProviderError`` (malformed) for an event that does not end."""
        if self._begun is not None:
            block = self._begun + block
            if len(block) < len(BOM_UTF8) and BOM_UTF8.startswith(block):
                self._begun = block
                return []
            self._begun = None
            block = block.removeprefix(BOM_UTF8)
        if self._held or b"\r" in block:
            block = self._held + block
            self._held = b"\r" if block.endswith(b"\r") else b""
            block = block.removesuffix(b"\r").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        tail = self._tail
        if tail:
            ends = b"\n\n" in block or (block[:1] == b"\n" and tail.endswith(b"\n"))
            tail += block
            if not ends:
                check_size(tail)
                return []
            block = bytes(tail)
            tail.clear()
        *events, rest = block.split(b"\n\n")
        if rest:
            tail += rest
            check_size(tail)
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

    A dialect reads each event (``_passed``). What nobody can read is an error: what came before it passes, it and what
    follows do not.
    """

    __slots__ = ("_separator", "_tail", "begun", "error", "finished", "output_tokens", "usage")

    media_type = ""

    def __init__(self) -> None:
        self._tail = bytearray()
        self._separator = b""
        self.usage: Usage | None = None
        self.begun: Usage | None = None
        self.finished = False
        self.output_tokens = 0
        self.error: ProviderError | None = None

    def feed(self, block: bytes) -> bytes:
        block, events = self._whole(block)
        changed = False
        for number, event in enumerate(events):
            passed = self._passed(event)
            if passed is not event:
                events[number] = passed
                changed = True
            if self.error is not None:
                del events[number:]
                changed = True
                break
        if not changed:
            return block
        return b"".join(event + self._separator for event in events if event)

    def _passed(self, event: bytes) -> bytes:
        """Read the event. What the caller is sent of it: itself as a rule, empty for nothing."""
        raise NotImplementedError

    def _unread(self, event: bytes, data: bytes) -> bytes:
        """Of another shape than the dialect's: not ours to judge, it passes as it came. What is no JSON is an error:
        no client could make anything of it."""
        if is_json(data):
            return event
        self._fail_unreadable()
        return b""

    def _fail_unreadable(self) -> None:
        self.error = ProviderError("malformed", UNREADABLE, phase="stream")

    def _whole(self, block: bytes) -> tuple[bytes, list[bytes]]:
        """The events that are whole now: as they came, and one by one. Each byte is moved once or twice, however small
        the blocks are in which a long event comes."""
        tail, separator = self._tail, self._separator
        if tail:
            if separator:
                ends = separator in block or separator in tail[-3:] + block[:3]
            else:
                ends = b"\n" in block
            tail += block
            if not ends:
                check_size(tail)
                return b"", []
            block = bytes(tail)
            tail.clear()
        if not separator:
            line = block.find(b"\n")
            if line >= 0:
                self._separator = b"\r\n\r\n" if block[line - 1 : line] == b"\r" else b"\n\n"
            separator = self._separator or b"\n\n"
        events = block.split(separator)
        rest = events.pop()
        if rest:
            tail += rest
            check_size(tail)
            block = block[: len(block) - len(rest)]
        if not block.isascii() and not is_text(block):
            self._fail_unreadable()
            return b"", []
        return block, events

    def end(self) -> bytes:
        if self.usage is None:
            raise ProviderError("disconnected", "The upstream ended its stream too early.", phase="stream")
        return b""


class NoStream:
    """A ``StreamDecoder`` of what came as JSON where a stream was asked for: most likely an error whose status is 200
    all the same. ``read`` reads a whole answer, and raises what such an error says."""

    media_type = ""
    usage: Usage | None = None
    begun: Usage | None = None
    finished = False
    output_tokens = 0
    error: ProviderError | None = None

    def __init__(self, read: Callable[[bytes], object]) -> None:
        self._read = read
        self._body = bytearray()

    def feed(self, block: bytes) -> bytes:
        self._body += block
        check_size(self._body)
        return b""

    def end(self) -> bytes:
        self._read(bytes(self._body))
        raise ProviderError("malformed", "The upstream answered a stream as application/json.")


def is_text(data: bytes) -> bool:
    """Whether it is UTF-8."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def is_json(data: bytes) -> bool:
    """As most clients' parsers see it: half of a character in an escape, which the strict one refuses, is their own."""
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        return False
    return True


def check_size(tail: bytearray) -> None:
    if len(tail) > MAX_EVENT_BYTES:
        raise ProviderError("malformed", f"The upstream sent an event of more than {MAX_EVENT_BYTES:,} bytes.")


def data_of(event: bytes) -> bytes:
    """The data of one event's bytes: its lines joined."""
    if event.startswith(b"data: ") and b"\n" not in event:  # as nearly all are
        return event[6:]
    lines = event.replace(b"\r\n", b"\n").split(b"\n")
    return b"\n".join(line[5:].strip() for line in lines if line.startswith(b"data:"))
