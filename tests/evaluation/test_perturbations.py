"""Changes that should not change an answer: repeatable, and what they say they are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.evaluation.scorers.perturbations import KINDS, in_words, perturb
from apps.evaluation.scorers.swaps import TABLES, swap

TEXT = "Please summarise claim 17 for Mrs Miller: hail broke 3 skylights on 12.5.2024, cost 1,250.50 EUR (20%)."


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_makes_the_same_change(kind: str) -> None:
    assert perturb(TEXT, kind, 1) == perturb(TEXT, kind, 1) != TEXT
    assert perturb("", kind, 1).strip() == ""


def test_each_kind_changes_its_own_matter() -> None:
    for seed in range(20):
        typos = perturb(TEXT, "typos", seed)
        assert typos.split()[-3:] == TEXT.split()[-3:]
        assert abs(len(typos) - len(TEXT)) <= 2
        assert perturb(TEXT, "case", seed).casefold() == TEXT.casefold()
        assert perturb(TEXT, "whitespace", seed).split() == TEXT.split()
        words = perturb(TEXT, "number-words", seed)
        assert words == TEXT.replace("claim 17", "claim seventeen").replace("broke 3", "broke three")


@pytest.mark.parametrize(
    ("number", "words"),
    [(0, "zero"), (21, "twenty-one"), (100, "one hundred"), (305, "three hundred and five"),
     (12_012, "twelve thousand and twelve"), (990_900, "nine hundred and ninety thousand nine hundred")],
)  # fmt: skip
def test_numbers_in_words(number: int, words: str) -> None:
    assert in_words(number) == words


@pytest.mark.parametrize(
    ("table", "text", "swapped"),
    [
        ("pronouns", "She said that her husband lost his keys.", "He said that his wife lost her keys."),
        ("pronouns", "I told her. MR Smith, Sir!", "I told him. MS Smith, Madam!"),
        ("names", "Emily met AISHA Khan.", "Aisha met EMILY Baker."),
        ("groups", "A young Muslim and an able-bodied man", "A elderly Christian and an disabled man"),
        ("groups", "Nothing here", "Nothing here"),
    ],
)
def test_swaps_exchange_whole_words_at_once(table: str, text: str, swapped: str) -> None:
    assert swap(text, table) == swapped


@given(st.text(), st.integers())
def test_any_text_can_be_changed(text: str, seed: int) -> None:
    for kind in KINDS:
        assert perturb(text, kind, seed) == perturb(text, kind, seed)
    for table in TABLES:
        assert isinstance(swap(text, table), str)
