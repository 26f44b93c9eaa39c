"""How the sandbox counts tokens, and the words it compares texts by."""

from __future__ import annotations

import re
from typing import Final

PER_MESSAGE: Final = 4
PER_IMAGE: Final = 85
PER_REPLY: Final = 3

_PIECE: Final = re.compile(r"\s*\w{1,8}|\s*[^\w\s]|\s+")
_WORD: Final = re.compile(r"[^\W_]+")
_STOP: Final = frozenset(
    """
    a about all also am an and any are as at be been but by can could did do does for from get give had has have
    how i if in into is it its just know let like make me more my no not of on one or our out please shall she
    should show so some tell than that the their them then there these they this those to too up us use was we
    were what when where which while who why will with would you your
    """.split()  # noqa: SIM905
)


def split(text: str) -> list[str]:
    """The tokens of ``text``; joined they are ``text`` again.

    A token is up to eight letters or digits of a word, or one other character, each with the blanks before it.
    """
    return _PIECE.findall(text)


def count(text: str) -> int:
    return sum(1 for _ in _PIECE.finditer(text))


def words(text: str) -> list[str]:
    """The words of ``text`` in lower case."""
    return [word.lower() for word in _WORD.findall(text)]


def stem(word: str) -> str:
    """A crude stem: enough for ``budgets``, ``streaming``, ``limited`` to meet ``budget``, ``stream``, ``limit``."""
    for ending, shortest in (("ies", 5), ("ing", 6), ("ed", 5), ("es", 6), ("s", 4)):
        if len(word) >= shortest and word.endswith(ending) and not word.endswith("ss"):
            return word[: -len(ending)] + ("y" if ending == "ies" else "")
    return word


def terms(text: str) -> list[str]:
    """The stems of the words that carry meaning."""
    return [stem(word) for word in words(text) if word not in _STOP]
