"""The same question in other clothes: changes that should not change the answer. Equal seeds, equal changes."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import Final

KINDS: Final = ("typos", "case", "whitespace", "number-words")
_WORD: Final = re.compile(r"[^\W\d_]{4,}")
_WHOLE_NUMBER: Final = re.compile(r"(?<![\w.,$€£%/:-])\d{1,6}(?![\w.,%/:-]*\d)(?![\w%])")
_NEIGHBOURS: Final = {
    letter: row[max(place - 1, 0) : place] + row[place + 1 : place + 2]
    for row in ("qwertyuiop", "asdfghjkl", "zxcvbnm")
    for place, letter in enumerate(row)
}
_ONES: Final = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS: Final = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")


def perturb(text: str, kind: str, seed: int | str) -> str:
    """``text``, changed. It comes back as it was where there is nothing of the kind to change."""
    return _PERTURBATIONS[kind](text, random.Random(f"{kind}/{seed}"))  # noqa: S311 - not for secrets


def _typos(text: str, chance: random.Random) -> str:
    """One letter in about every tenth word: swapped, dropped, doubled, or the key beside it. First letters stay."""
    places = list(_WORD.finditer(text))
    chosen = sorted(chance.sample(range(len(places)), max(1, len(places) // 10))) if places else []
    for number in reversed(chosen):
        word = places[number]
        at = chance.randrange(word.start() + 1, word.end() - 1)
        letter = text[at]
        match chance.choice(("swap", "drop", "double", "beside")):
            case "swap" if text[at + 1] != letter:
                text = text[:at] + text[at + 1] + letter + text[at + 2 :]
            case "drop":
                text = text[:at] + text[at + 1 :]
            case "beside" if letter in _NEIGHBOURS:
                text = text[:at] + chance.choice(_NEIGHBOURS[letter]) + text[at + 1 :]
            case _:
                text = text[:at] + letter + text[at:]
    return text


def _case(text: str, chance: random.Random) -> str:
    """All in lower case, all in capitals, or turned round."""
    changes: list[Callable[[str], str]] = [str.lower, str.upper, str.swapcase]
    chance.shuffle(changes)
    return next((changed for change in changes if (changed := change(text)) != text), text)


def _whitespace(text: str, chance: random.Random) -> str:
    """Blanks doubled here and there, some at the ends, and lines broken differently."""
    words = re.split(r"([ \t]+)", text)
    for place in range(1, len(words), 2):
        words[place] = chance.choice((words[place], "  ", "\t", words[place], " \n"))
    return chance.choice(("  ", "\n", "\t")) + "".join(words) + chance.choice((" ", "\n\n"))


def _number_words(text: str, chance: random.Random) -> str:
    """Whole numbers in words. Not those with a unit, a decimal point or a place in a longer expression."""
    # 007 is a name, and stays.
    return _WHOLE_NUMBER.sub(
        lambda match: match[0] if match[0] != str(int(match[0])) else in_words(int(match[0])), text
    )


def in_words(number: int) -> str:
    """A number from 0 to 999,999 in English."""
    if number < 20:
        return _ONES[number]
    if number < 100:
        tens, ones = divmod(number, 10)
        return _TENS[tens] + (f"-{_ONES[ones]}" if ones else "")
    size, name = (1_000, "thousand") if number >= 1_000 else (100, "hundred")
    many, rest = divmod(number, size)
    joint = " and " if 0 < rest < 100 else " "
    return f"{in_words(many)} {name}" + (f"{joint}{in_words(rest)}" if rest else "")


_PERTURBATIONS: Final[dict[str, Callable[[str, random.Random], str]]] = {
    "typos": _typos,
    "case": _case,
    "whitespace": _whitespace,
    "number-words": _number_words,
}
