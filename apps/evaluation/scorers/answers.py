"""Answers that are a choice, a number, or fit a pattern."""

from __future__ import annotations

import math
import re
from typing import Any, ClassVar, Final

from apps.evaluation.scorers.base import Scorer
from apps.evaluation.scorers.patterns import PatternError, compiled, searchable
from apps.evaluation.scorers.types import Need, Output, Sample, Score, ValueKind
from apps.evaluation.scorers.wording import normalised, shown, written

_NUMBER: Final = re.compile(
    r"(?<![\w.])[-+−]?(?:(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d{1,3}(?!\w))?"
)
_LONGER_WORD: Final = re.compile(r"\w{2,}")


class Regex(Scorer):
    slug = "regex"
    title = "Regular expression"
    description = "1 where the answer matches the pattern (RE2's syntax: no lookaround, no backreferences)."
    parameters_schema: ClassVar[dict[str, dict[str, Any]]] = {
        "pattern": {
            "type": "string",
            "minLength": 1,
            "maxLength": 2000,
            "description": "A regular expression in RE2's syntax, for example ^(yes|no)$.",
        },
        "ignore_case": {"type": "boolean", "default": False, "description": "Large and small letters are the same."},
        "whole": {"type": "boolean", "default": False, "description": "The whole answer has to match."},
    }
    value_kind = ValueKind.BINARY

    def prepare(self) -> None:
        try:
            self._pattern = compiled(self.parameters["pattern"], ignore_case=self.parameters["ignore_case"])
        except PatternError as error:
            raise self.invalid("pattern", f"is no pattern of RE2's: {error}") from None

    def score(self, sample: Sample, output: Output) -> Score:
        text = searchable(output.text)
        whole = self.parameters["whole"]
        found = self._pattern.fullmatch(text.strip()) if whole else self._pattern.search(text)
        return Score.passed(found is not None, "" if found else "The answer does not match the pattern.")


class ChoiceMatch(Scorer):
    slug = "choice-match"
    title = "Choice"
    description = (
        "1 where the answer chooses the expected label. The label may stand alone, or be the only one of the labels "
        "that the answer's first line, its last, or the whole of it names."
    )
    parameters_schema: ClassVar[dict[str, dict[str, Any]]] = {
        "labels": {
            "type": "array",
            "items": {"type": "string", "minLength": 1, "maxLength": 200},
            "minItems": 2,
            "maxItems": 200,
            "description": "All that can be chosen.",
        },
    }
    code_version = 2
    value_kind = ValueKind.BINARY
    needs = frozenset({Need.EXPECTED})

    def prepare(self) -> None:
        self._labels = {normalised(label, articles=False): label for label in self.parameters["labels"]}
        if "" in self._labels:
            raise self.invalid("labels", f"has {shown(self._labels[''])}, of which punctuation aside nothing is left")
        if len(self._labels) < len(self.parameters["labels"]):
            raise self.invalid("labels", "has two labels that differ in case or punctuation alone")
        # The longest first: one inside another one (fraud in no fraud) is not named by it.
        longest_first = sorted(self._labels, key=len, reverse=True)
        self._patterns = {self._labels[plain]: _whole(plain, self._labels[plain]) for plain in longest_first}

    def score(self, sample: Sample, output: Output) -> Score:
        wanted = {normalised(written(value), articles=False) for value in sample.expected}
        if strange := wanted - self._labels.keys():
            return Score.failed("expected_not_a_label", f"Expected is {shown(min(strange))}, none of the labels.")
        chosen = self._chosen(output.text)
        if len(chosen) != 1:
            told = "names none of the labels" if not chosen else f"names {len(chosen)} labels"
            return Score(0.0, "unclear", f"The answer {told}.", {"named": sorted(chosen)})
        (choice,) = chosen
        passed = normalised(choice, articles=False) in wanted
        return Score(float(passed), choice, "" if passed else f"Expected {shown(written(sample.expected[0]))}.")

    def _chosen(self, answer: str) -> set[str]:
        lines = [line for line in answer.strip().splitlines() if line.strip()] or [""]
        named: set[str] = set()
        for part in (lines[0], lines[-1], answer):
            named = self._named(part)
            if len(named) == 1:
                break
        return named

    def _named(self, part: str) -> set[str]:
        alone = normalised(part, articles=False)
        if alone in self._labels:
            return {self._labels[alone]}
        text = _LONGER_WORD.sub(lambda word: word[0].casefold(), normalised(part, case=False, articles=False))
        found: set[str] = set()
        for label, pattern in self._patterns.items():
            if pattern.search(text):
                found.add(label)
                text = pattern.sub(" ", text)
        return found


def _whole(plain: str, label: str) -> re.Pattern[str]:
    """The label as a word of its own, and no part of a number. A single letter counts as it is written or as a capital:
    a sentence about ``a cell`` does not choose A."""
    letter = normalised(label, case=False, articles=False)
    if len(letter) == 1 and letter.isalpha():
        plain, flags = f"[{letter}{letter.upper()}]", re.NOFLAG
    else:
        plain, flags = re.escape(plain), re.IGNORECASE
    return re.compile(rf"(?<![\w.,-]){plain}(?![.,]?\w)", flags)


class NumericMatch(Scorer):
    slug = "numeric-match"
    title = "Number"
    description = "1 where the answer's number is the expected one within a tolerance."
    parameters_schema: ClassVar[dict[str, dict[str, Any]]] = {
        "absolute": {"type": "number", "minimum": 0, "default": 0.0, "description": "How far off is still right."},
        "relative": {
            "type": "number",
            "minimum": 0,
            "maximum": 1,
            "default": 1e-9,
            "description": "The same as a share of the expected number; the wider of the two counts.",
        },
        "take": {
            "enum": ["last", "first", "only"],
            "default": "last",
            "description": "Which number of the answer is meant.",
        },
    }
    value_kind = ValueKind.BINARY
    needs = frozenset({Need.EXPECTED})

    def score(self, sample: Sample, output: Output) -> Score:
        wanted = [number for value in sample.expected if (number := _number(value)) is not None]
        if not wanted:
            told = shown(written(sample.expected[0]))
            return Score.failed("expected_not_a_number", f"Expected is {told}, no number.")
        given = numbers(output.text)
        take = self.parameters["take"]
        if not given or (take == "only" and len(given) != 1):
            return Score.passed(False, f"The answer has {len(given) or 'no'} number{'s' if len(given) > 1 else ''}.")
        number = given[0] if take == "first" else given[-1]
        absolute, relative = self.parameters["absolute"], self.parameters["relative"]
        off = min(abs(number - each) for each in wanted)
        passed = any(abs(number - each) <= max(absolute, relative * abs(each)) for each in wanted)
        return Score.passed(passed, "" if passed else f"{number:g} is off by {off:g}.", found=number)


def numbers(text: str) -> list[float]:
    """The numbers in ``text``, with a dot for decimals and commas for thousands."""
    found = (match[0].replace(",", "").replace("−", "-") for match in _NUMBER.finditer(text))
    return [number for number in map(float, found) if math.isfinite(number)]


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value) if math.isfinite(value) else None
    found = numbers(written(value))
    return found[-1] if found else None
