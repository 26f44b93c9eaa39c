"""CSV that a spreadsheet opens without running anything in it."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal

# What makes a spreadsheet take a cell for a formula (OWASP, "CSV Injection"); leading blanks do not protect.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\N{FULLWIDTH EQUALS SIGN}", "\N{FULLWIDTH PLUS SIGN}")
Cell = str | int | Decimal | None


class _Echo:
    """The file that ``csv`` writes to: gives back what is written."""

    def write(self, text: str) -> str:
        return text


def cell(value: Cell) -> str:
    """Text that would be a formula gets an apostrophe before it. Numbers stay numbers, negative ones too."""
    if value is None:
        return ""
    if isinstance(value, int | Decimal):
        return f"{value:f}" if isinstance(value, Decimal) else str(value)
    text = value.replace("\x00", "")
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA) else text


def csv_lines(head: Sequence[str], rows: Iterable[Sequence[Cell]]) -> Iterator[str]:
    """A header and the rows, each a line as RFC 4180 has it."""
    writer = csv.writer(_Echo())
    yield writer.writerow(head)
    for row in rows:
        yield writer.writerow([cell(value) for value in row])
