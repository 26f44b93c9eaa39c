"""Deterministic vectors in which texts that share words, or pieces of words, lie close together.

Feature hashing (Weinberger et al. 2009): each word and each three letters within a word add or subtract their weight at
a place that their hash names.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Final
from zlib import crc32

from apps.models.providers.sandbox.tokens import stem, terms, words

DIMENSIONS: Final = 384
_TERM, _PLAIN, _PIECE = 1.0, 0.15, 0.25


def embed(text: str, dimensions: int = DIMENSIONS) -> list[float]:
    """A unit vector of the first ``dimensions`` of 384 places."""
    weights: dict[str, float] = {}
    for term, times in Counter(terms(text)).items():
        weights["t" + term] = _TERM * (1 + math.log(times))
    for word, times in Counter(words(text)).items():
        weights["w" + word] = _PLAIN * (1 + math.log(times))
        framed = f"<{stem(word)}>"
        for start in range(len(framed) - 2):
            piece = "p" + framed[start : start + 3]
            weights[piece] = weights.get(piece, 0.0) + _PIECE
    if not weights:
        weights = {"c" + letter: 1.0 for letter in text} or {"": 1.0}
    vector = [0.0] * DIMENSIONS
    for feature, weight in weights.items():
        # Two places for each, so that two features that meet in one still differ in the other.
        for salt in (0, 0x5BD1E995):
            hashed = crc32(feature.encode("utf-8", "surrogatepass"), salt)
            vector[hashed % DIMENSIONS] += weight if hashed & 0x8000_0000 else -weight
    vector = vector[:dimensions]
    length = math.sqrt(math.fsum(value * value for value in vector))
    if length == 0.0:
        vector[0] = length = 1.0
    return [value / length for value in vector]
