"""What a comparison is weighed by: metrics with their roles, and how sure a verdict has to be. Plain JSON at rest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from apps.evaluation.models import EvaluationMetric
from apps.evaluation.types import MetricRole


class MetricTerm(msgspec.Struct, frozen=True):
    """``scorer`` is the scorer's slug, ``version`` its version's number on the candidate's side."""

    scorer: str
    name: str
    version: int
    role: str = MetricRole.WATCH
    margin: float = 0.0


class Terms(msgspec.Struct, frozen=True):
    """``most_cost_ratio`` and ``most_latency_ratio`` are the candidate's over the baseline's; None is no limit."""

    metrics: list[MetricTerm]
    alpha: float = 0.05
    minimum_pairs: int = 30
    most_cost_ratio: float | None = None
    most_latency_ratio: float | None = None

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Terms:
        """What else stands in a decision's policy is left out."""
        return msgspec.convert({name: stored[name] for name in cls.__struct_fields__ if name in stored}, cls)

    def as_json(self) -> dict[str, Any]:
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return plain


def terms_of_run(metrics: Iterable[EvaluationMetric]) -> Terms:
    """By a run's own metrics; where none of them is primary, the first one is. Of two versions of a scorer the newer
    one counts."""
    by_number = sorted(metrics, key=lambda each: each.scorer_version.number)
    newest = {each.scorer_version.scorer_id: each for each in by_number}
    found = [
        MetricTerm(
            scorer=each.scorer_version.scorer.slug,
            name=each.scorer_version.scorer.name,
            version=each.scorer_version.number,
            role=each.role,
            margin=each.margin,
        )
        for each in sorted(newest.values(), key=lambda each: each.pk)
    ]
    if found and not any(each.role == MetricRole.PRIMARY for each in found):
        found[0] = msgspec.structs.replace(found[0], role=MetricRole.PRIMARY)
    return Terms(found)
