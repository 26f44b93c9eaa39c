"""Closeness in meaning, by embeddings; and support by the context, by words."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any, ClassVar, Final

from apps.evaluation.scorers.answers import numbers
from apps.evaluation.scorers.base import Scorer, Steps
from apps.evaluation.scorers.types import EmbeddingCall, Need, Output, Sample, Score, Vectors
from apps.evaluation.scorers.wording import shown, words, written

_SENTENCE: Final = re.compile(r"[^.!?\n]+(?:[.!?](?!\s|$)[^.!?\n]*)*[.!?]*")
_LIST_NUMBER: Final = re.compile(r"^[ \t]*\d{1,3}[.)][ \t]+", re.MULTILINE)
_LEAST_WORDS: Final = 3
_EMPTY: Final = frozenset(
    [
        "a",
        "an",
        "the",
        "and",
        "or",
        "but",
        "if",
        "of",
        "to",
        "in",
        "on",
        "at",
        "by",
        "for",
        "with",
        "from",
        "as",
        "is",
        "are",
        "was",
        "were",
        "be",
        "been",
        "it",
        "its",
        "this",
        "that",
        "these",
        "those",
        "there",
        "he",
        "she",
        "they",
        "we",
        "you",
        "i",
        "his",
        "her",
        "their",
        "our",
        "your",
        "my",
        "has",
        "have",
        "had",
        "do",
        "does",
        "did",
        "not",
        "no",
        "so",
        "than",
        "then",
        "which",
        "who",
        "whom",
        "what",
        "when",
        "where",
        "will",
        "would",
        "can",
        "could",
        "may",
        "might",
        "must",
        "shall",
        "should",
        "also",
        "about",
        "into",
        "over",
        "under",
        "more",
        "most",
        "such",
        "only",
        "very",
    ]
)


class EmbeddingSimilarity(Scorer):
    slug = "embedding-similarity"
    title = "Embedding similarity"
    description = "Cosine between the embeddings of the answer and of the closest expected value."
    parameters_schema: ClassVar[dict[str, dict[str, Any]]] = {
        "model": {
            "type": "string",
            "minLength": 1,
            "maxLength": 200,
            "format": "embedding-model",
            "description": "The model that embeds.",
        },
    }
    range = (-1.0, 1.0)
    needs = frozenset({Need.EXPECTED, Need.EMBEDDINGS})

    def steps(self, sample: Sample, output: Output) -> Steps:
        if not output.text.strip():
            return Score(0.0, reason="The answer is empty.")
        texts = (output.text, *(written(value) for value in sample.expected))
        (reply,) = yield [EmbeddingCall(self.parameters["model"], texts)]
        if not isinstance(reply, Vectors) or reply.error is not None:
            told = reply.error.message if reply.error else "something else came back"
            return Score.failed("embedding_failed", f"The texts were not embedded: {told}")
        sizes = {len(vector) for vector in reply.vectors}
        if len(reply.vectors) != len(texts) or len(sizes) != 1:
            return Score.failed("embedding_wrong", "The model did not return one vector of one size for each text.")
        answer, *expected = reply.vectors
        closest = [cosine for vector in expected if (cosine := _cosine(answer, vector)) is not None]
        if not closest:
            return Score.failed("embedding_wrong", "A vector is zero, or holds what is no number.")
        return Score(max(closest))


def _cosine(one: Sequence[float], other: Sequence[float]) -> float | None:
    lengths = math.hypot(*one) * math.hypot(*other)
    if not lengths or not math.isfinite(lengths):
        return None
    return max(-1.0, min(1.0, math.fsum(a * b for a, b in zip(one, other, strict=True)) / lengths))


class Groundedness(Scorer):
    slug = "groundedness"
    title = "Groundedness by words"
    description = (
        "The share of the answer's sentences whose significant words, and all of whose numbers, stand in one of the "
        "given documents. It sees wording, not truth."
    )
    parameters_schema: ClassVar[dict[str, dict[str, Any]]] = {
        "threshold": {
            "type": "number",
            "exclusiveMinimum": 0,
            "maximum": 1,
            "default": 0.6,
            "description": "The share of a sentence's significant words that has to be there.",
        },
    }
    code_version = 2
    needs = frozenset({Need.CONTEXT})
    screen = True

    def score(self, sample: Sample, output: Output) -> Score:
        documents = [(_significant(text), set(numbers(text))) for text in sample.context]
        sentences = [sentence.strip() for sentence in _SENTENCE.findall(_LIST_NUMBER.sub("", output.text))]
        claims = [sentence for sentence in sentences if len(words(sentence)) >= _LEAST_WORDS or numbers(sentence)]
        if not claims:
            return Score.failed("no_claims", "The answer claims nothing that could be looked up.")
        unsupported = [claim for claim in claims if not self._supported(claim, documents)]
        reason = f"Not in the context: {shown(unsupported[0], 160)}" if unsupported else ""
        details = {"sentences": len(claims), "unsupported": [claim[:300] for claim in unsupported[:20]]}
        return Score(1 - len(unsupported) / len(claims), reason=reason, details=details)

    def _supported(self, claim: str, documents: list[tuple[set[str], set[float]]]) -> bool:
        wanted, figures = _significant(claim), set(numbers(claim))
        for there, known in documents:
            share = len(wanted & there) / len(wanted) if wanted else 1.0
            if share >= self.parameters["threshold"] and figures <= known:
                return True
        return False


def _significant(text: str) -> set[str]:
    return {_stem(word) for word in words(text) if word not in _EMPTY and not word.isdecimal()}


def _stem(word: str) -> str:
    """Rough, and the same for a noun and its plural: damage and damages, policy and policies."""
    for ending in ("'s", "ing", "ed", "es", "s"):
        if word.endswith(ending) and len(word) > len(ending) + 3 and not word.endswith("ss"):
            word = word[: -len(ending)]
            break
    if len(word) > 3:
        word = word.rstrip("e") or word
    return f"{word[:-1]}i" if word.endswith("y") else word
