"""JSON Lines: an object on each line, as JSON has it and not as JavaScript or Python do."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any, BinaryIO, NoReturn

from apps.evaluation.content import MOST_DEPTH
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


class _Wrong(ValueError):
    """What is wrong with the line, as a sentence."""


def rows_of(file: BinaryIO) -> Iterator[Row | Refused]:
    for line in lines_of(file):
        data = line.data
        if data is None:
            yield Refused(line.number, f"The line is longer than {LINE_BYTES:,} bytes.", end=line.end)
            continue
        data = data.removeprefix(b"\xef\xbb\xbf") if line.number == 1 else data
        if data.strip():
            yield _row(line, data)


def _row(line: Line, data: bytes) -> Row | Refused:
    try:
        return Row(line.number, parse_object(decoded(data)), line.end)
    except (NotUtf8, _Wrong) as error:
        return Refused(line.number, str(error), end=line.end)


def parse_object(text: str) -> dict[str, Any]:
    """Raises ``ValueError`` with a sentence."""
    if _depth_of(text) > MOST_DEPTH:
        raise _Wrong(f"It is nested more than {MOST_DEPTH} deep.")
    try:
        value = json.loads(
            text, object_pairs_hook=_object, parse_constant=_constant, parse_int=_whole, parse_float=_number
        )
    except json.JSONDecodeError as error:
        raise _Wrong(f"The line is no JSON: {error.msg} at character {error.colno}.") from None
    except RecursionError:
        raise _Wrong("It is nested too deeply.") from None
    if not isinstance(value, dict):
        raise _Wrong('The line is no object, such as {"input": {…}, "expected": …}.')
    if len(value) > MOST_COLUMNS or any(len(name) > LONGEST_COLUMN for name in value):
        raise _Wrong(f"The object has more than {MOST_COLUMNS} names, or one that is too long.")
    return value


def _depth_of(text: str) -> int:
    """At least the depth; brackets inside texts count, too, as far as they are not closed."""
    if text.count("[") + text.count("{") <= MOST_DEPTH:
        return 0
    depth = deepest = 0
    quoted = escaped = False
    for character in text:
        if quoted:
            if escaped:
                escaped = False
            elif character == "\\":
                escaped = True
            elif character == '"':
                quoted = False
        elif character == '"':
            quoted = True
        elif character in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "]}":
            depth -= 1
    return deepest


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _Wrong(f"The name {shown(twice)} is there twice in one object.")
    return value


def _constant(text: str) -> NoReturn:
    raise _Wrong(f"{text} is no value of JSON; leave it out, or write null.")


def _whole(text: str) -> int:
    if len(text) > 19 or abs(int(text)) > 2**63 - 1:
        raise _Wrong("A whole number is too large; write it as a text.")
    return int(text)


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise _Wrong("A number is too large.")
    return value
