"""Few-shot leakage: an example whose text stands in the prompt itself tests the prompt's memory, not its skill."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from apps.evaluation.content import texts_in

FEWEST_WORDS = 6
_WORD = re.compile(r"\w+")


def words_of(text: str) -> list[str]:
    return _WORD.findall(text.lower())


class LeakCheck:
    """Made of a prompt version's messages. A text of fewer than ``FEWEST_WORDS`` words is no sign of anything."""

    def __init__(self, messages: Iterable[str]) -> None:
        words = [word for message in messages for word in [*words_of(message), "\n"]]
        self._whole = f" {' '.join(words)} "
        self._starts = {tuple(words[at : at + FEWEST_WORDS]) for at in range(len(words) - FEWEST_WORDS + 1)}

    def leaked(self, *values: Any) -> str:
        """The beginning of the first text of ``values`` that stands in the messages; empty where none does."""
        for text in texts_in(list(values)):
            words = words_of(text)
            if tuple(words[:FEWEST_WORDS]) in self._starts and f" {' '.join(words)} " in self._whole:
                return text[:80]
        return ""
