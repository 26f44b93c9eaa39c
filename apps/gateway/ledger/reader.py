"""Reading segments: whole lines only, in bounded pieces, with each line's place in its file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from apps.gateway.ledger.files import SegmentName
from apps.gateway.ledger.lines import Intent, RequestLine, Settlement
from apps.gateway.types import Outcome, UsageStatus

PIECE_BYTES = 256 * 1024
MAX_LINE_BYTES = 16 * 1024**2
_NUL = "\0"
_INSTEAD = "\N{REPLACEMENT CHARACTER}"


class StoredRequestLine(RequestLine, frozen=True, kw_only=True, tag="request", tag_field="line"):
    """A request line whose facts stay the JSON text they are: the drainer only passes them on."""

    why: msgspec.Raw = msgspec.Raw(b"{}")  # type: ignore[assignment]


StoredLine = Intent | Settlement | StoredRequestLine


class BadLine(ValueError):
    """The bytes are no line of ours; the message says why."""


_decode = msgspec.json.Decoder(StoredLine).decode
_decode_any = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode
_STATUSES = frozenset(UsageStatus.values)
_OUTCOMES = frozenset(Outcome.values)


def parse(raw: bytes) -> StoredLine:
    """A line, fit for the database: texts cut to their columns, NUL (which PostgreSQL cannot hold) replaced.

    Raises ``BadLine``.
    """
    try:
        line = _decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadLine(str(error)) from None
    if isinstance(line, Settlement):
        if line.status not in _STATUSES:
            raise BadLine(f"unknown status {line.status[:40]!r}")
        if line.outcome not in _OUTCOMES:
            raise BadLine(f"unknown outcome {line.outcome[:40]!r}")
        if len(line.upstream_request_id) > 200:
            line = msgspec.structs.replace(line, upstream_request_id=line.upstream_request_id[:200])
    else:
        if isinstance(line, StoredRequestLine):
            if line.outcome not in _OUTCOMES:
                raise BadLine(f"unknown outcome {line.outcome[:40]!r}")
            if len(line.error_code) > 64:
                line = msgspec.structs.replace(line, error_code=line.error_code[:64])
            if b"\\" in raw or not raw.isascii():
                line = msgspec.structs.replace(line, why=_checked(line.why))
        if len(line.model_slug) > 200 or len(line.operation) > 30:
            line = msgspec.structs.replace(line, model_slug=line.model_slug[:200], operation=line.operation[:30])
    return _without_nul(line) if b"\\u0000" in raw else line


def _checked(why: msgspec.Raw) -> msgspec.Raw:
    """A raw value is not looked into when it is decoded: make sure that its texts are Unicode, without NUL."""
    try:
        value = _decode_any(why)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadLine(f"why: {error}") from None
    return msgspec.Raw(_encode(_without_nul_inside(value) if b"\\u0000" in bytes(why) else value))


def _without_nul_inside(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace(_NUL, _INSTEAD)
    if isinstance(value, list):
        return [_without_nul_inside(item) for item in value]
    if isinstance(value, dict):
        return {_without_nul_inside(key): _without_nul_inside(item) for key, item in value.items()}
    return value


def _without_nul(line: StoredLine) -> StoredLine:
    changes = {
        name: value.replace(_NUL, _INSTEAD)
        for name in line.__struct_fields__
        if isinstance(value := getattr(line, name), str) and _NUL in value
    }
    return msgspec.structs.replace(line, **changes)


class Piece(NamedTuple):
    """Bytes of a segment, from ``offset`` to ``end``: a whole line, or (``torn``) what is left where none ends."""

    offset: int
    data: bytes
    end: int
    torn: bool = False


class SegmentReader:
    """Reads on where it stopped. The file is open only while it is being read."""

    def __init__(self, directory: Path, name: SegmentName, *, sealed: bool) -> None:
        """``sealed``: nobody writes to it any more, so that bytes after the last line end are a torn line."""
        self.name = name
        self.sealed = sealed
        self.position = 0  # up to here everything was handed out
        self._path = directory / str(name)
        self._fd = -1
        self._ahead: list[Piece] = []

    def read(self, limit: int) -> list[Piece]:
        """At most ``limit`` pieces; none at the (present) end. Raises ``OSError``."""
        if not self._ahead:
            self._ahead = self._read_ahead()
            self._ahead.reverse()
        count = min(limit, len(self._ahead))
        pieces = [self._ahead.pop() for _ in range(count)]
        if pieces:
            self.position = pieces[-1].end
        return pieces

    def rewind(self, position: int) -> None:
        """Hand out again what comes after ``position``."""
        if position != self.position:
            self.position = position
            self._ahead = []

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _read_ahead(self) -> list[Piece]:
        if self._fd < 0:
            self._fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        wanted = PIECE_BYTES
        while True:
            block = os.pread(self._fd, wanted, self.position)
            whole = block.rfind(b"\n") + 1
            if whole:
                return self._split(block[:whole])
            if len(block) < wanted:
                # The end. A line that is still being written is left for later.
                return [self._torn(block)] if block and self.sealed else []
            if wanted >= MAX_LINE_BYTES:
                return [self._torn(block)]  # no line of ours is that long
            wanted *= 4

    def _split(self, block: bytes) -> list[Piece]:
        pieces = []
        offset = self.position
        for data in block[:-1].split(b"\n"):
            end = offset + len(data) + 1
            pieces.append(Piece(offset, data, end))
            offset = end
        return pieces

    def _torn(self, block: bytes) -> Piece:
        return Piece(self.position, block, self.position + len(block), torn=True)
