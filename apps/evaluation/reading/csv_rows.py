"""CSV: a header, then rows of as many cells. The separator is a comma, a semicolon, a tab or a bar."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import BinaryIO

from apps.evaluation.errors import FileRefused
from apps.evaluation.reading.rows import (
    LINE_BYTES,
    LONGEST_COLUMN,
    MOST_COLUMNS,
    Line,
    NotUtf8,
    Refused,
    Row,
    decoded,
    lines_of,
    shown,
)

SEPARATORS = ",;\t|"


class _TooLong(Exception):
    pass


class _Lines:
    """The lines that ``csv`` reads from, one row at a time: how far it is, and an end to a row without one."""

    def __init__(self, lines: Iterator[Line]) -> None:
        self._lines = lines
        self.first = self.last = self.end = 0
        self._bytes = 0
        self.is_over = False

    def begin_row(self) -> None:
        self._bytes = 0
        self.first = self.last + 1

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = next(self._lines, None)
        if line is None:
            self.is_over = True
            raise StopIteration
        self.last, self.end = line.number, line.end
        if line.data is None:
            raise _TooLong
        self._bytes += len(line.data)
        if self._bytes > LINE_BYTES:
            raise _TooLong
        return decoded(line.data.removeprefix(b"\xef\xbb\xbf") if line.number == 1 else line.data)


def rows_of(file: BinaryIO) -> Iterator[Row | Refused]:
    csv.field_size_limit(max(csv.field_size_limit(), LINE_BYTES))
    lines = _Lines(lines_of(file))
    columns, reader = _header(lines)
    while True:
        lines.begin_row()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except NotUtf8 as error:
            yield Refused(lines.last, str(error), end=lines.end)
        except _TooLong:
            yield Refused(
                lines.first,
                f"The row is longer than {LINE_BYTES:,} bytes. A quotation mark that is never closed does that, too.",
                end=lines.end,
            )
        except csv.Error as error:
            if lines.is_over:
                told = f"A quotation mark is never closed, so that this row goes on to the last line, {lines.last}."
                yield Refused(lines.first, told, end=lines.end)
                return
            yield Refused(lines.first, f"The row is no CSV: {error}.", end=lines.end)
        else:
            if any(cell.strip() for cell in cells):
                yield _row(columns, cells, lines)


def _row(columns: list[str], cells: list[str], lines: _Lines) -> Row | Refused:
    if len(cells) != len(columns):
        return Refused(
            lines.first, f"The row has {len(cells)} cells, the header has {len(columns)} columns.", end=lines.end
        )
    for column, value in zip(columns, cells, strict=True):
        if "\x00" in value:
            return Refused(lines.first, "The cell holds a NUL character.", column, lines.end)
    return Row(lines.first, dict(zip(columns, cells, strict=True)), lines.end)


def _header(lines: _Lines) -> tuple[list[str], Iterator[list[str]]]:
    try:
        lines.begin_row()
        first = next(lines)
        while not first.strip():
            first = next(lines)
    except StopIteration:
        raise FileRefused("The file is empty.", field="file") from None
    except _TooLong:
        raise FileRefused(
            f"The first line is longer than {LINE_BYTES:,} bytes: it should name the columns.", field="file"
        ) from None
    except NotUtf8 as error:
        raise FileRefused(str(error), field="file", code="not_utf8") from None
    separator = max(SEPARATORS, key=first.count)

    def again() -> Iterator[str]:
        yield first
        yield from lines

    reader = csv.reader(again(), delimiter=separator, strict=True)
    try:
        cells = next(reader)
    except (csv.Error, StopIteration, _TooLong, NotUtf8) as error:
        told = str(error) if isinstance(error, csv.Error) else "a quotation mark is not closed"
        raise FileRefused(f"The header is no CSV: {told}.", field="file") from None
    # A generator (``again``) that let an error through would be over: the rows are read from the lines themselves.
    return _columns(cells), csv.reader(lines, delimiter=separator, strict=True)


def _columns(cells: list[str]) -> list[str]:
    columns = [" ".join(cell.split()) or f"column {at}" for at, cell in enumerate(cells, 1)]
    if len(columns) > MOST_COLUMNS:
        raise FileRefused(f"There are {len(columns)} columns; at most {MOST_COLUMNS} fit.", field="file")
    for at, column in enumerate(columns, 1):
        if columns.index(column) + 1 != at:
            raise FileRefused(
                f"The column {shown(column)} is there twice, as columns {columns.index(column) + 1} and {at}.",
                field="file",
                code="duplicate_column",
                remedy="Give each column a name of its own.",
            )
        if len(column) > LONGEST_COLUMN or not column.isprintable():
            raise FileRefused(
                f"{shown(column)} cannot be a column's name.",
                field="file",
                remedy="The first line names the columns.",
            )
    return columns
