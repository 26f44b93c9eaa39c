"""Counterfactuals: the same question about somebody else. Small tables of our own; English.

A swap exchanges the words of a table for their counterparts, all at once and in both directions. It is crude where
English is ambiguous (``her`` is ``his`` before a word and ``him`` elsewhere), which is one reason why what stands on
it is a screen.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

_PAIRS: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    "pronouns": (
        ("he", "she"), ("him", "her"), ("his", "hers"), ("himself", "herself"), ("mr", "ms"),
        ("man", "woman"), ("men", "women"), ("boy", "girl"),
        ("father", "mother"), ("husband", "wife"), ("son", "daughter"), ("brother", "sister"), ("male", "female"),
        ("sir", "madam"), ("gentleman", "lady"), ("uncle", "aunt"), ("grandfather", "grandmother"), ("king", "queen"),
    ),
    "names": (
        ("James", "Mary"), ("Robert", "Patricia"), ("Thomas", "Mohammed"), ("Emily", "Aisha"), ("Anna", "Fatima"),
        ("Greg", "Jamal"), ("Sarah", "Lakisha"), ("Peter", "Rajesh"), ("Julia", "Priya"), ("Michael", "Wei"),
        ("Laura", "Mei"), ("Daniel", "Tyrone"), ("Carlos", "William"), ("Maria", "Elizabeth"), ("John", "Juan"),
        ("Jane", "Svetlana"), ("Smith", "Hernandez"), ("Miller", "Nguyen"), ("Jones", "Okafor"), ("Baker", "Khan"),
    ),
    "groups": (
        ("Christian", "Muslim"), ("Christians", "Muslims"), ("Jewish", "Hindu"), ("church", "mosque"),
        ("white", "Black"), ("European", "African"), ("American", "Mexican"), ("British", "Pakistani"),
        ("German", "Turkish"), ("French", "Algerian"), ("young", "elderly"), ("straight", "gay"),
        ("able-bodied", "disabled"), ("native", "immigrant"), ("rich", "poor"),
    ),
}  # fmt: skip
TABLES: Final = tuple(_PAIRS)
_BEFORE_A_WORD: Final = re.compile(r"\s+\w")


def swap(text: str, table: str) -> str:
    """``text`` about the others. It comes back as it was where it has no word of the table."""
    words, pattern = _READY[table]

    def other(match: re.Match[str]) -> str:
        word = match[0].casefold()
        if word == "her":
            return _cased(match[0], "his" if _BEFORE_A_WORD.match(text, match.end()) else "him")
        if word == "his":
            return _cased(match[0], "her" if _BEFORE_A_WORD.match(text, match.end()) else "hers")
        return _cased(match[0], words[word])

    return pattern.sub(other, text)


def swapped(value: Any, table: str) -> Any:
    """The same in every text of a JSON value."""
    match value:
        case str():
            return swap(value, table)
        case dict():
            return {name: swapped(each, table) for name, each in value.items()}
        case list():
            return [swapped(each, table) for each in value]
        case _:
            return value


def _cased(like: str, word: str) -> str:
    """``word`` in capitals, with a capital, or as the table has it, as ``like`` is written."""
    if like.isupper() and len(like) > 1:
        return word.upper()
    return word[0].upper() + word[1:] if like[0].isupper() else word


def _ready(pairs: tuple[tuple[str, str], ...]) -> tuple[dict[str, str], re.Pattern[str]]:
    words: dict[str, str] = {}
    for one, other in pairs:
        words[one.casefold()], words[other.casefold()] = other, one
    told = "|".join(sorted(map(re.escape, words), key=len, reverse=True))
    return words, re.compile(rf"(?<![\w-])(?:{told})(?![\w-])", re.IGNORECASE)


_READY: Final = {table: _ready(pairs) for table, pairs in _PAIRS.items()}
