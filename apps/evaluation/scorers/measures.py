"""What an answer took: time, money, length. Nothing is judged, so these are guards more often than goals."""

from __future__ import annotations

from typing import Any, ClassVar

from apps.evaluation.scorers.base import Range, Scorer
from apps.evaluation.scorers.types import Direction, Need, Output, Sample, Score, ValueKind
from apps.evaluation.scorers.wording import words

_PICODOLLARS = 10**12


class Latency(Scorer):
    slug = "latency"
    title = "Latency"
    description = "Until the answer was whole, in milliseconds."
    direction = Direction.LOWER
    range = (0.0, None)
    unit = "ms"

    def score(self, sample: Sample, output: Output) -> Score:
        if output.latency_ms is None:
            return Score.failed("no_latency", "Nobody measured how long the answer took.")
        return Score(float(output.latency_ms))


class FirstToken(Scorer):
    slug = "first-token"
    title = "First token"
    description = "Until the first piece of the answer, in milliseconds. A run with it has its answers streamed."
    direction = Direction.LOWER
    needs = frozenset({Need.STREAM})
    range = (0.0, None)
    unit = "ms"

    def score(self, sample: Sample, output: Output) -> Score:
        if output.first_token_ms is None:
            return Score.failed("no_first_token", "The answer was not streamed, or its first piece not timed.")
        return Score(float(output.first_token_ms))


class Cost(Scorer):
    slug = "cost"
    title = "Cost"
    description = "What the answer cost, in US dollars."
    direction = Direction.LOWER
    range = (0.0, None)
    unit = "USD"

    def score(self, sample: Sample, output: Output) -> Score:
        if output.cost_picodollars is None:
            return Score.failed("no_cost", "The answer's cost is not known.")
        return Score(output.cost_picodollars / _PICODOLLARS, details={"picodollars": output.cost_picodollars})


class Length(Scorer):
    slug = "length"
    title = "Length"
    description = "The answer's length; with bounds, 1 where it lies within them."
    parameters_schema: ClassVar[dict[str, dict[str, Any]]] = {
        "unit": {"enum": ["words", "characters", "tokens"], "default": "words", "description": "What is counted."},
        "least": {
            "type": ["integer", "null"],
            "minimum": 0,
            "default": None,
            "description": "With a bound an answer passes or fails; left empty, there is none below.",
        },
        "most": {
            "type": ["integer", "null"],
            "minimum": 0,
            "default": None,
            "description": "The same above.",
        },
    }
    direction = Direction.LOWER
    range: Range = (0.0, None)

    def prepare(self) -> None:
        least, most = self.parameters["least"], self.parameters["most"]
        if least is not None and most is not None and least > most:
            raise self.invalid("least", f"is {least}, above 'most'")
        self._bounded = least is not None or most is not None
        if self._bounded:
            self.direction, self.range, self.value_kind = Direction.HIGHER, (0.0, 1.0), ValueKind.BINARY
        else:
            self.unit = self.parameters["unit"]

    def score(self, sample: Sample, output: Output) -> Score:
        unit = self.parameters["unit"]
        match unit:
            case "words":
                length = len(words(output.text))
            case "characters":
                length = len(output.text)
            case _:
                if output.output_tokens is None:
                    return Score.failed("no_tokens", "The answer's tokens were not counted.")
                length = output.output_tokens
        if not self._bounded:
            return Score(float(length))
        least, most = self.parameters["least"] or 0, self.parameters["most"]
        passed = least <= length and (most is None or length <= most)
        return Score.passed(passed, "" if passed else f"{length:,} {unit}.", length=length)
