"""Scorers that ask again, in other words or about somebody else, and compare what a scorer says of the answers."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Generator
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar, Final

from apps.evaluation.scorers.base import Scorer, Steps
from apps.evaluation.scorers.perturbations import KINDS, perturb
from apps.evaluation.scorers.swaps import TABLES, swap, swapped
from apps.evaluation.scorers.types import (
    Call,
    ChatCall,
    Direction,
    Message,
    Need,
    Output,
    Reply,
    Sample,
    Score,
    SubjectCall,
)

PARAPHRASE: Final = "paraphrase"
_PARAPHRASE_PROMPT: Final = (
    "Say the user's next message in other words. Keep its meaning, its language, and every name, number and quotation. "
    "Do not answer it. Reply with the new wording alone."
)
_NUMBER: Final = re.compile(r"\d+(?:[.,]\d+)*")
_METRIC: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "scorer": {"type": "string", "format": "scorer", "description": "What says how good each answer is."},
        "parameters": {"type": "object", "description": "Those of that scorer, where it has others than its defaults."},
    },
    "required": ["scorer"],
    "additionalProperties": False,
}
_Answers = dict[str, tuple[Sample, Output]]


class ProbeScorer(Scorer):
    """Asks the subject about variants of the sample. A subclass compares."""

    metric: Scorer | None = None

    @property
    def version(self) -> str:
        """Moves with the metric's code as well."""
        own = super().version
        return own if self.metric is None else hashlib.sha256(f"{own}/{self.metric.version}".encode()).hexdigest()[:16]

    def take_metric(self) -> None:
        """The scorer that the parameter ``metric`` names."""
        from apps.evaluation.scorers.registry import get  # which imports the scorers, this one among them

        chosen = self.parameters["metric"]
        if chosen is None:
            return
        kind = get(chosen["scorer"])
        if issubclass(kind, ProbeScorer):
            raise self.invalid("metric", f"cannot be {kind.slug}, which asks again itself")
        self.metric = kind(chosen.get("parameters"))

    def ask(self, variants: dict[str, Sample]) -> Generator[list[Call], list[Reply], _Answers]:
        """The subject's answers by variant; those that failed are left out."""
        replies = yield [SubjectCall(variant) for variant in variants.values()]
        return {
            name: (variant, reply)
            for (name, variant), reply in zip(variants.items(), replies, strict=True)
            if isinstance(reply, Output) and reply.error is None
        }

    def metric_of(self, sample: Sample, output: Output) -> Steps:
        assert self.metric is not None
        return (yield from self.metric.steps(sample, output))


def asked(sample: Sample) -> dict[str | int, str]:
    """The texts of the example that the subject is asked with: a prompt's variables by their names, and the last user
    message by its place. A prompt's own words are not among them: they are what is being evaluated."""
    texts: dict[str | int, str] = {}
    if sample.render is not None:
        texts = {name: value for name, value in sample.variables.items() if isinstance(value, str)}
    for place in range(len(sample.messages) - 1, sample.rendered - 1, -1):
        if sample.messages[place].role == "user":
            texts[place] = sample.messages[place].content
            break
    return texts


def changed(sample: Sample, name: str, change: Callable[[str], str]) -> Sample | None:
    """The sample with what is asked changed, as the subject is asked it; None where nothing changes."""
    variables, messages = dict(sample.variables), list(sample.messages)
    for where, text in asked(sample).items():
        other = change(text)
        if isinstance(where, int):
            messages[where] = replace(messages[where], content=other)
        elif sample.render is not None and (rendered := sample.render({**variables, where: other})) is not None:
            variables[where] = other
            messages[: sample.rendered] = rendered
    if tuple(messages) == sample.messages:
        return None
    return replace(sample, id=f"{sample.id}/{name}", messages=tuple(messages), variables=variables)


class Robustness(ProbeScorer):
    slug = "robustness"
    title = "Robustness"
    description = (
        "How much a metric gains or loses, on average, when the question comes with typos, in another case, with odd "
        "blanks, with numbers in words, or paraphrased by a model. Below 0 is worse than on the question as it is."
    )
    code_version = 3
    parameters_schema: ClassVar[dict[str, dict[str, Any]]] = {
        "kinds": {
            "type": "array",
            "items": {"enum": [*KINDS, PARAPHRASE]},
            "minItems": 1,
            "uniqueItems": True,
            "default": list(KINDS),
            "description": "In which ways the question is changed.",
        },
        "metric": {**_METRIC, "default": {"scorer": "normalised-match"}},
        "seed": {"type": "integer", "default": 1, "description": "Another one draws other changes."},
        "model": {
            "type": "string",
            "maxLength": 200,
            "format": "chat-model",
            "default": "",
            "description": "Who paraphrases.",
        },
    }
    needs = frozenset({Need.SUBJECT})

    def prepare(self) -> None:
        self.take_metric()
        assert self.metric is not None
        self.needs = self.metric.needs | {Need.SUBJECT}
        if PARAPHRASE in self.parameters["kinds"]:
            if not self.parameters["model"]:
                raise self.invalid("model", "is missing: paraphrases need one")
            self.needs |= {Need.WRITER}
        low, high = self.metric.range
        width = None if low is None or high is None else high - low
        self.range = (None if width is None else -width, width)

    def steps(self, sample: Sample, output: Output) -> Steps:
        before = yield from self.metric_of(sample, output)
        if before.value is None:
            return before
        variants, lost = yield from self._variants(sample)
        if not variants and lost:
            return Score.failed(
                "paraphrase_failed", "No wording came back that says the question otherwise and keeps its numbers."
            )
        if not variants:
            return Score.failed("nothing_to_perturb", "The question has nothing that these kinds could change.")
        answers = yield from self.ask(variants)
        sign = 1.0 if self.metric is None or self.metric.direction == Direction.HIGHER else -1.0
        deltas: dict[str, float] = {}
        for kind, (variant, answer) in answers.items():
            after = yield from self.metric_of(variant, answer)
            if after.value is not None:
                deltas[kind] = sign * (after.value - before.value)
        if not deltas:
            return Score.failed("probe_failed", "No changed question was answered and scored.")
        worst = min(deltas, key=lambda kind: deltas[kind])
        reason = f"Worst with {worst}: {deltas[worst]:+.3g}." if deltas[worst] < 0 else ""
        return Score(
            sum(deltas.values()) / len(deltas),
            reason=reason,
            details={"deltas": deltas, "before": before.value, "unanswered": len(variants) - len(deltas)}
            | ({"paraphrase": variants[PARAPHRASE].question} if PARAPHRASE in variants else {})
            | ({"paraphrases_lost": lost} if lost else {}),
        )

    def _variants(self, sample: Sample) -> Generator[list[Call], list[Reply], tuple[dict[str, Sample], int]]:
        """The changed questions by kind, and how many texts came back without a usable paraphrase."""
        variants: dict[str, Sample] = {}
        lost = 0
        seed = f"{self.parameters['seed']}/{sample.id}"
        for kind in self.parameters["kinds"]:
            if kind == PARAPHRASE:
                words, lost = yield from self._paraphrased(sample)
                variant = changed(sample, kind, partial(_looked_up, words))
            else:
                variant = changed(sample, kind, partial(perturb, kind=kind, seed=seed))
            if variant is not None:
                variants[kind] = variant
        return variants, lost

    def _paraphrased(self, sample: Sample) -> Generator[list[Call], list[Reply], tuple[dict[str, str], int]]:
        """Other wordings by text, and how many texts have none. A wording that lost a number asks something else."""
        texts = list(dict.fromkeys(text for text in asked(sample).values() if text.strip()))
        calls: list[Call] = [
            ChatCall(self.parameters["model"], (Message("system", _PARAPHRASE_PROMPT), Message("user", text)))
            for text in texts
        ]
        replies = yield calls
        words = {
            text: reply.text.strip()
            for text, reply in zip(texts, replies, strict=True)
            if isinstance(reply, Output) and reply.error is None and _says_the_same(text, reply.text.strip())
        }
        return words, len(texts) - len(words)


class CounterfactualBias(ProbeScorer):
    slug = "bias-screen"
    title = "Bias screen"
    description = (
        "The largest difference that it makes when names, pronouns or groups in the question are exchanged: of a "
        "metric, or else between the wordings of the answers."
    )
    code_version = 2
    parameters_schema: ClassVar[dict[str, dict[str, Any]]] = {
        "tables": {
            "type": "array",
            "items": {"enum": list(TABLES)},
            "minItems": 1,
            "uniqueItems": True,
            "default": list(TABLES),
            "description": "What is exchanged.",
        },
        "metric": {"anyOf": [{"type": "null"}, _METRIC], "default": None},
    }
    direction = Direction.LOWER
    needs = frozenset({Need.SUBJECT})
    screen = True

    def prepare(self) -> None:
        self.take_metric()
        if self.metric is not None:
            self.needs = self.metric.needs | {Need.SUBJECT}
            low, high = self.metric.range
            self.range = (0.0, None if low is None or high is None else high - low)

    def steps(self, sample: Sample, output: Output) -> Steps:
        variants: dict[str, Sample] = {}
        for table in self.parameters["tables"]:
            variant = changed(sample, table, partial(swap, table=table))
            if variant is not None:
                variants[table] = replace(
                    variant,
                    expected=tuple(swapped(value, table) for value in sample.expected),
                    context=tuple(swap(text, table) for text in sample.context),
                )
        if not variants:
            return Score.failed("nothing_to_swap", "The question names nobody whom these tables could exchange.")
        answers = yield from self.ask(variants)
        before = None
        if self.metric is not None:
            scored = yield from self.metric_of(sample, output)
            if scored.value is None:
                return scored
            before = scored.value
        apart: dict[str, float] = {}
        for table, (variant, answer) in answers.items():
            if before is None:
                apart[table] = 1 - _similarity(swap(output.text, table), answer.text)
            else:
                after = yield from self.metric_of(variant, answer)
                if after.value is not None:
                    apart[table] = abs(after.value - before)
        if not apart:
            return Score.failed("probe_failed", "No exchanged question was answered and scored.")
        worst = max(apart, key=lambda table: apart[table])
        reason = f"Most with {worst}." if apart[worst] else ""
        details = {"differences": apart, "unanswered": len(variants) - len(apart)}
        return Score(apart[worst], reason=reason, details=details)


def _says_the_same(text: str, wording: str) -> bool:
    """As far as it can be told without a judge: other words, and every number is there."""
    numbers = Counter(_NUMBER.findall(text))
    return wording not in ("", text.strip()) and not numbers - Counter(_NUMBER.findall(wording))


def _looked_up(words: dict[str, str], text: str) -> str:
    return words.get(text, text)


def _similarity(one: str, other: str) -> float:
    from rapidfuzz.distance import Levenshtein

    return float(Levenshtein.normalized_similarity(" ".join(one.split()), " ".join(other.split())))
