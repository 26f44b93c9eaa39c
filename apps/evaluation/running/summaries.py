"""What the scores of a run come to: per scorer a mean with its 95 % interval, and how many errors stand beside it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from django.db.models import Avg, Count, Q

from apps.evaluation.models import Evaluation, EvaluationMetric, Score
from apps.evaluation.statistics.wilson import wilson
from apps.evaluation.types import ItemStatus, ScoreStatus, ValueKind

LEVEL = 0.95
WHY = "the scores of a run that its worker ends"


def summarise(run: Evaluation) -> None:
    """Write every metric's summary. The same scores give the same summary, however often."""
    answered = run.items.filter(status=ItemStatus.DONE).count()
    for metric in EvaluationMetric.objects.unscoped(WHY).filter(evaluation=run).select_related("scorer_version"):
        metric.summary = summary_of(run, metric, answered)
        metric.save(update_fields=["summary"])


def summary_of(run: Evaluation, metric: EvaluationMetric, answered: int) -> dict[str, Any]:
    scores = Score.objects.unscoped(WHY).filter(
        item__evaluation=run, item__status=ItemStatus.DONE, scorer_version=metric.scorer_version_id
    )
    errors = scores.filter(status=ScoreStatus.ERROR).count()
    by_code = scores.filter(status=ScoreStatus.ERROR).order_by().values_list("error_code").annotate(n=Count("pk"))
    # Repetitions of an example are no examples of their own: each example counts once, by its mean.
    means = list(
        scores.filter(status=ScoreStatus.OK)
        .order_by()
        .values("item__revision_id")
        .annotate(mean=Avg("value"))
        .order_by("item__revision_id")
        .values_list("mean", flat=True)
    )
    scored = scores.filter(Q(status=ScoreStatus.OK)).count()
    summary: dict[str, Any] = {
        "n": scored,
        "examples": len(means),
        "errors": errors,
        "missing": answered - scored - errors,
    }
    if by_code:
        summary["error_codes"] = dict(by_code)
    if not means:
        return summary | {"mean": None, "low": None, "high": None}
    kind = metric.scorer_version.value_kind
    low, high = interval(means, is_binary=kind == ValueKind.BINARY)
    return summary | {"mean": math.fsum(means) / len(means), "low": low, "high": high}


def interval(values: Sequence[float], *, is_binary: bool) -> tuple[float | None, float | None]:
    """Of the mean: Wilson's for shares, Student's for the rest. None where one value tells nothing of the spread."""
    if is_binary:
        return wilson(math.fsum(values), len(values), LEVEL)
    if len(values) < 2:
        return None, None
    from scipy.special import stdtrit  # not scipy.stats: to import that takes a second and a half

    mean = math.fsum(values) / len(values)
    variance = math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)
    half = float(stdtrit(len(values) - 1, (1 + LEVEL) / 2)) * math.sqrt(variance / len(values))
    return mean - half, mean + half
