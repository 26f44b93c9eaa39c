"""Text as scorers compare it."""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Any, Final

_ARTICLES: Final = frozenset({"a", "an", "the"})
_WORD: Final = re.compile(r"\w+(?:['’]\w+)*")
_NUMBER_OR_MARK: Final = re.compile(r"(?:(?<!\w)-)?\d+(?:[.,]\d+)*|[^\w\s]|_")


def written(value: Any) -> str:
    """An expected value as text: itself, or its JSON where it is something else."""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def shown(text: str, most: int = 80) -> str:
    """A value inside a reason: on one line, and cut."""
    line = " ".join(text.split())
    return repr(line if len(line) <= most else line[: most - 1] + "…")


def words(text: str) -> list[str]:
    """The words, in lower case."""
    return _WORD.findall(text.casefold())


def normalised(
    text: str, *, case: bool = True, whitespace: bool = True, punctuation: bool = True, articles: bool = True
) -> str:
    """``text`` without what seldom matters: compatible characters made one (NFKC), and each flag's matter levelled.

    Punctuation that belongs to a number (``-3.5``, ``1,000``) stays, and so do symbols such as % and $.
    """
    text = unicodedata.normalize("NFKC", text)
    if case:
        text = unicodedata.normalize("NFKC", text.casefold())
    if punctuation:
        text = _NUMBER_OR_MARK.sub(_without_mark, text)
    if whitespace or punctuation:
        text = " ".join(text.split())
    if articles:
        # Of an answer of articles alone ("A", one of four choices) nothing would be left.
        every = text.split(" ")
        text = " ".join([word for word in every if word.casefold() not in _ARTICLES] or every)
    return text


def _without_mark(match: re.Match[str]) -> str:
    mark = match[0]
    if len(mark) > 1 or mark in "%&@#":
        return mark
    if mark in "'’":
        return ""
    return " " if unicodedata.category(mark)[0] == "P" or mark == "`" else mark
