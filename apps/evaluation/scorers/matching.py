"""Does the answer say what it should? Scorers that are 1 or 0."""

from __future__ import annotations

from typing import Any, ClassVar

from apps.evaluation.scorers.base import Scorer
from apps.evaluation.scorers.types import Need, Output, Sample, Score, ValueKind
from apps.evaluation.scorers.wording import normalised, shown, written


class ExactMatch(Scorer):
    slug = "exact-match"
    title = "Exact match"
    description = "1 where the answer is an expected value to the letter; blanks around it do not count."
    value_kind = ValueKind.BINARY
    needs = frozenset({Need.EXPECTED})

    def score(self, sample: Sample, output: Output) -> Score:
        given = output.text.strip()
        if any(given == written(value).strip() for value in sample.expected):
            return Score.passed(True)
        return Score.passed(False, f"Expected {shown(written(sample.expected[0]))}, got {shown(given)}.")


class NormalisedMatch(Scorer):
    slug = "normalised-match"
    title = "Normalised match"
    description = "1 where answer and expected value are the same but for case, blanks, punctuation and articles."
    parameters_schema: ClassVar[dict[str, dict[str, Any]]] = {
        "ignore": {
            "type": "array",
            "items": {"enum": ["case", "whitespace", "punctuation", "articles"]},
            "default": ["case", "whitespace", "punctuation", "articles"],
            "description": "What does not count. Unicode's compatible forms are always the same (NFKC).",
        },
    }
    value_kind = ValueKind.BINARY
    needs = frozenset({Need.EXPECTED})

    def score(self, sample: Sample, output: Output) -> Score:
        flags = {name: name in self.parameters["ignore"] for name in ("case", "whitespace", "punctuation", "articles")}
        given = normalised(output.text, **flags)
        wanted = [normalised(written(value), **flags) for value in sample.expected]
        if given in wanted:
            return Score.passed(True)
        return Score.passed(False, f"Expected {shown(wanted[0])}, got {shown(given)}.")


class Contains(Scorer):
    slug = "contains"
    title = "Contains"
    description = "1 where the answer holds any, or all, of the given texts, or else of the expected values."
    parameters_schema: ClassVar[dict[str, dict[str, Any]]] = {
        "texts": {
            "type": "array",
            "items": {"type": "string", "minLength": 1, "maxLength": 2000},
            "maxItems": 200,
            "default": [],
            "description": "What to look for; left empty, the example's expected values.",
        },
        "mode": {"enum": ["any", "all", "none"], "default": "any", "description": "How many of them it has to hold."},
        "case_sensitive": {"type": "boolean", "default": False, "description": "Large and small letters differ."},
    }
    code_version = 2
    value_kind = ValueKind.BINARY

    def prepare(self) -> None:
        if not all(text.strip() for text in self.parameters["texts"]):
            raise self.invalid("texts", "has a text of blanks alone, which is in every answer")
        if not self.parameters["texts"]:
            self.needs = frozenset({Need.EXPECTED})

    def score(self, sample: Sample, output: Output) -> Score:
        texts = self.parameters["texts"] or [text for value in sample.expected if (text := written(value)).strip()]
        if not texts:
            return Score.failed("expected_empty", "The expected value is empty: that is in every answer.")
        case = not self.parameters["case_sensitive"]
        answer = normalised(output.text, case=case, punctuation=False, articles=False)
        found = {text: normalised(text, case=case, punctuation=False, articles=False) in answer for text in texts}
        missing = [text for text, there in found.items() if not there]
        present = [text for text, there in found.items() if there]
        match self.parameters["mode"]:
            case "any":
                return Score.passed(bool(present), "" if present else f"None of {_list(missing)} is in the answer.")
            case "all":
                return Score.passed(not missing, f"The answer lacks {_list(missing)}." if missing else "")
            case _:
                return Score.passed(not present, f"The answer has {_list(present)}." if present else "")


def _list(texts: list[str]) -> str:
    return ", ".join(shown(text, 40) for text in texts[:5]) + (", …" if len(texts) > 5 else "")
