"""What every reader yields, and the lines that two of them read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Any

# A row of 1 MB of content may take twice that with the quotes and escapes of its format.
LINE_BYTES = 2_000_000
BLOCK = 256 * 1024
MOST_COLUMNS = 200
LONGEST_COLUMN = 200


@dataclass(frozen=True, slots=True)
class Row:
    """``values`` by column; ``end`` is how many bytes of the file have been read with it (0: not known)."""

    line: int
    values: dict[str, Any]
    end: int = 0


@dataclass(frozen=True, slots=True)
class Refused:
    """``reason`` is a sentence that never repeats more than a few characters of the file."""

    line: int
    reason: str
    column: str = ""
    end: int = 0


@dataclass(frozen=True, slots=True)
class Head:
    """The columns, as far as they are known before the rows are read."""

    columns: Sequence[str]


@dataclass(frozen=True, slots=True)
class Line:
    """``data`` is None where the line has more than ``LINE_BYTES``; it was passed over without being kept."""

    number: int
    data: bytes | None
    end: int


def lines_of(file: IO[bytes], limit: int = LINE_BYTES) -> Iterator[Line]:
    """Lines with their ends (\\n, \\r\\n or \\r). Never more than a line and a block in memory."""
    kept = bytearray()
    too_long = False
    number, position = 0, 0
    block = file.read(BLOCK)
    while block:
        following = file.read(BLOCK)
        at = 0
        while at < len(block):
            end = _line_end(block, at, following)
            piece = block[at : end or len(block)]
            position += len(piece)
            at += len(piece)
            if len(kept) + len(piece) > limit:
                too_long = True
                kept.clear()
            elif not too_long:
                kept += piece
            if end:
                number += 1
                yield Line(number, None if too_long else bytes(kept), position)
                kept.clear()
                too_long = False
        block = following
    if kept or too_long:
        yield Line(number + 1, None if too_long else bytes(kept), position)


def _line_end(block: bytes, at: int, following: bytes) -> int:
    """Where the line that begins at ``at`` ends in the block; 0 where it goes on in the next one."""
    newline = block.find(b"\n", at)
    carriage = block.find(b"\r", at, newline if newline >= 0 else len(block))
    if carriage < 0:
        return newline + 1 if newline >= 0 else 0
    if carriage + 1 == len(block) and following[:1] == b"\n":
        return 0  # the pair is cut in two by the block's end
    return carriage + 2 if block[carriage + 1 : carriage + 2] == b"\n" else carriage + 1


def shown(data: bytes | str) -> str:
    """A few characters of what is wrong, for the reason."""
    text = data.decode("utf-8", "replace") if isinstance(data, bytes) else data
    return ascii(text[:30])


class NotUtf8(Exception):
    """``reason`` says which byte, and what to do."""

    def __init__(self, error: UnicodeDecodeError) -> None:
        byte = error.object[error.start]
        super().__init__(
            f"The byte 0x{byte:02X} is no UTF-8: the file seems to be in Latin-1 or Windows-1252. Save it as UTF-8"
            " (in Excel: CSV UTF-8) and upload it again."
        )


def decoded(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise NotUtf8(error) from None
