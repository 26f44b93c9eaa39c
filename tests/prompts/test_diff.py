"""What changed between two texts: told by words, and in bounded time whatever the texts are."""

from __future__ import annotations

import random
import time

import pytest

from apps.prompts.diff import word_diff


def test_changed_words_stand_in_what_is_the_same() -> None:
    told = [(piece.kind, piece.text) for piece in word_diff("Sort the ticket.\nNow.", "Sort a ticket.\nNow!")]
    assert told == [
        ("same", "Sort "),
        ("removed", "the"),
        ("added", "a"),
        ("same", " ticket.\nNow"),
        ("removed", "."),
        ("added", "!"),
    ]
    assert word_diff("Same", "Same")[0].kind == "same"
    assert word_diff("", "") == ()


def test_pieces_make_both_texts() -> None:
    chance = random.Random(1)
    for _ in range(2_000):
        old, new = ("".join(chance.choices("ab .\n", k=chance.randrange(12))) for _ in range(2))
        pieces = word_diff(old, new)
        assert "".join(piece.text for piece in pieces if piece.kind != "added") == old
        assert "".join(piece.text for piece in pieces if piece.kind != "removed") == new


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("a\n" * 100_000, "b\n" + "a\n" * 99_000),
        (".," * 100_000, ".!,?" * 50_000),
        (".!" * 1_499, ".?" * 1_499),
        ("b\n" + "a\n" * 9_900, "c\n" + "a\n" * 9_900 + "b\n"),
        ("\n".join(map(str, range(9_000))), "\n".join(map(str, range(0, 18_000, 2)))),
    ],
)
def test_texts_made_to_be_hard_to_compare_take_no_time(old: str, new: str) -> None:
    began = time.process_time()
    pieces = word_diff(old, new)
    assert time.process_time() - began < 5, "seconds; it took minutes"
    assert "".join(piece.text for piece in pieces if piece.kind != "added") == old
    assert "".join(piece.text for piece in pieces if piece.kind != "removed") == new


def test_a_few_changes_in_a_long_text_are_told_as_they_are() -> None:
    lines = [f"Rule {number}: be kind." for number in range(1_000)]
    old, new = "\n".join(lines), "\n".join([*lines[:500], "Rule: be brief.", *lines[501:]])
    assert [piece.kind for piece in word_diff(old, new)].count("added") < 4
