"""How much of the expected text's words, or letters, the answer has. Of several expected texts the best counts."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import cache
from typing import Any, ClassVar, Final

from apps.evaluation.scorers.base import Scorer
from apps.evaluation.scorers.types import Need, Output, Sample, Score
from apps.evaluation.scorers.wording import normalised, written

_WORD: Final = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W_\u3040-\u30ff\u3400-\u9fff]+")
_PART: dict[str, Any] = {
    "enum": ["f1", "precision", "recall"],
    "default": "f1",
    "description": "Recall: of the expected words; precision: of the answer's; f1: both.",
}


class OverlapScorer(Scorer):
    """A similarity from 0 to 1 with each expected text."""

    needs = frozenset({Need.EXPECTED})

    def similarity(self, answer: str, expected: str) -> float:
        raise NotImplementedError

    def score(self, sample: Sample, output: Output) -> Score:
        best = max(self.similarity(output.text, written(value)) for value in sample.expected)
        return Score(min(max(best, 0.0), 1.0))


class _Rouge(OverlapScorer):
    parameters_schema: ClassVar[dict[str, dict[str, Any]]] = {
        "part": _PART,
        "stem": {"type": "boolean", "default": False, "description": "Compare the stems of English words."},
    }
    code_version = 2
    variant: ClassVar[str]

    def similarity(self, answer: str, expected: str) -> float:
        measured = self.measured(answer, expected)
        part: float = getattr(measured, {"f1": "fmeasure"}.get(self.parameters["part"], self.parameters["part"]))
        return part

    def measured(self, answer: str, expected: str) -> Any:
        """With precision, recall and fmeasure."""
        return _rouge(self.variant, self.parameters["stem"]).score(expected, answer)[self.variant]


class Rouge1(_Rouge):
    slug = "rouge-1"
    title = "ROUGE-1"
    description = "Overlap of single words with the expected text (rouge-score)."
    variant = "rouge1"


class Rouge2(_Rouge):
    slug = "rouge-2"
    title = "ROUGE-2"
    description = "Overlap of pairs of words with the expected text (rouge-score)."
    variant = "rouge2"


class RougeL(_Rouge):
    slug = "rouge-l"
    title = "ROUGE-L"
    description = "The longest run of words, with gaps, that answer and expected text have in common (rouge-score)."
    variant = "rougeL"

    def measured(self, answer: str, expected: str) -> Any:
        """The library's figure without its table, which has a cell for each pair of words."""
        from rapidfuzz.distance import LCSseq
        from rouge_score.scoring import Score as Measured
        from rouge_score.scoring import fmeasure

        tokens = _words(stem=self.parameters["stem"]).tokenize
        given, wanted = tokens(answer), tokens(expected)
        common = LCSseq.similarity(given, wanted)
        precision, recall = common / max(len(given), 1), common / max(len(wanted), 1)
        return Measured(precision, recall, fmeasure(precision, recall))


class Bleu(OverlapScorer):
    slug = "bleu"
    title = "BLEU"
    description = "Sentence BLEU with effective order (sacrebleu), divided by 100; all expected texts are references."

    def score(self, sample: Sample, output: Output) -> Score:
        references = [written(value) for value in sample.expected]
        return Score(min(_bleu()(output.text, references) / 100, 1.0))


class Chrf(OverlapScorer):
    slug = "chrf"
    title = "chrF"
    description = (
        "F-score of runs of up to six letters (sacrebleu's chrF2), divided by 100; fair to inflected languages."
    )

    def score(self, sample: Sample, output: Output) -> Score:
        references = [written(value) for value in sample.expected]
        return Score(min(_chrf()(output.text, references) / 100, 1.0))


class EditSimilarity(OverlapScorer):
    slug = "edit-similarity"
    title = "Edit similarity"
    description = "1 minus the number of changed letters (Levenshtein) over the longer text's length."
    parameters_schema: ClassVar[dict[str, dict[str, Any]]] = {
        "normalise": {"type": "boolean", "default": True, "description": "Level case, blanks and punctuation first."},
    }

    def similarity(self, answer: str, expected: str) -> float:
        from rapidfuzz.distance import Levenshtein

        if self.parameters["normalise"]:
            answer, expected = normalised(answer), normalised(expected)
        return float(Levenshtein.normalized_similarity(answer, expected))


Sentence = Callable[[str, list[str]], float]


@cache
def _rouge(variant: str, stem: bool) -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer([variant], tokenizer=_words(stem=stem))


class _Words:
    """The words of any script; of an English text they are those of rouge-score's own tokenizer, which leaves out every
    letter but a to z. Chinese and Japanese put no blanks between words: there a letter is one."""

    def __init__(self, *, stem: bool) -> None:
        from rouge_score.tokenizers import DefaultTokenizer

        self._english = DefaultTokenizer(use_stemmer=True) if stem else None

    def tokenize(self, text: str) -> list[str]:
        found = _WORD.findall(unicodedata.normalize("NFC", text.lower()))
        if self._english is None:
            return found
        return [stem for word in found for stem in (self._english.tokenize(word) if word.isascii() else [word])]


_words = cache(_Words)


@cache
def _bleu() -> Sentence:
    from sacrebleu.metrics.bleu import BLEU

    metric = BLEU(effective_order=True)
    return lambda answer, references: float(metric.sentence_score(answer, references).score)


@cache
def _chrf() -> Sentence:
    from sacrebleu.metrics.chrf import CHRF

    metric = CHRF()
    return lambda answer, references: float(metric.sentence_score(answer, references).score)
