"""A sweep: the runs that were started together, what differs between them, and which is best by what."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import Avg, F

from apps.evaluation.models import Evaluation, EvaluationItem, EvaluationMetric
from apps.evaluation.selectors.runs import Progress, progress_of, runs_for
from apps.evaluation.types import LIVE_RUNS, Direction, ItemStatus
from apps.tenants.access import Actor
from apps.tenants.errors import NotFound

WHY: Final = "of a sweep that the actor reached"


@dataclass(frozen=True, slots=True)
class Cell:
    """A metric of one run. ``is_best``: no run of the sweep has a better mean, and some have one that differs."""

    metric: EvaluationMetric | None
    is_best: bool


@dataclass(frozen=True, slots=True)
class Row:
    """A run of a sweep: what it tries, by axis, and what came of it. Times are means of its answers."""

    run: Evaluation
    tried: tuple[str, ...]
    cells: tuple[Cell, ...]
    progress: Progress
    duration_ms: float | None
    first_token_ms: float | None
    cost_picousd: int | None  # of an answer; one that was taken again counts with what it had cost


@dataclass(frozen=True, slots=True)
class Sweep:
    id: str
    axes: tuple[str, ...]  # what differs: "prompt", "model", or a parameter's name
    scorers: tuple[EvaluationMetric, ...]  # one of each, for its name
    rows: tuple[Row, ...]

    @property
    def is_live(self) -> bool:
        return any(row.run.status in LIVE_RUNS for row in self.rows)


def get_sweep_for(actor: Actor, sweep: str) -> Sweep:
    runs = list(runs_for(actor).filter(sweep=sweep).order_by("pk")) if sweep else []
    if not runs:
        raise NotFound("There is no such sweep.")
    axes = _axes(runs)
    scorers: dict[int, EvaluationMetric] = {}
    for run in runs:
        for metric in run.metrics.all():
            scorers.setdefault(metric.scorer_version_id, metric)
    best = {pk: _best(runs, metric) for pk, metric in scorers.items()}
    progress = progress_of(runs)
    taken = _taken(runs)
    rows = []
    for run in runs:
        mine = {metric.scorer_version_id: metric for metric in run.metrics.all()}
        cells = tuple(
            Cell(mine.get(pk), pk in mine and best[pk] is not None and mine[pk].summary.get("mean") == best[pk])
            for pk in scorers
        )
        tried = tuple(_written(_value(run, axis)) for axis in axes)
        rows.append(Row(run, tried, cells, progress[run.pk], *taken.get(run.pk, (None, None, None))))
    return Sweep(sweep, axes, tuple(scorers.values()), tuple(rows))


def _axes(runs: Sequence[Evaluation]) -> tuple[str, ...]:
    names = ["prompt", "model", *sorted({name for run in runs for name in run.parameters})]
    return tuple(name for name in names if len({_written(_value(run, name)) for run in runs}) > 1)


def _value(run: Evaluation, axis: str) -> Any:
    if axis == "prompt":
        return "" if run.prompt_version is None else f"version {run.prompt_version.number}"
    return run.model if axis == "model" else run.parameters.get(axis, "")


def _written(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return value if isinstance(value, str) else json.dumps(value)


def _best(runs: Sequence[Evaluation], metric: EvaluationMetric) -> float | None:
    """The best mean, where that of another run is not within its interval: else there is nothing to tell apart."""
    rows = [each for run in runs for each in run.metrics.all() if each.scorer_version_id == metric.scorer_version_id]
    told = [each.summary for each in rows if each.summary.get("mean") is not None]
    if len({float(each["mean"]) for each in told}) < 2:
        return None
    choose = max if metric.scorer_version.direction == Direction.HIGHER else min
    best = choose(told, key=lambda summary: float(summary["mean"]))
    low, high = best.get("low"), best.get("high")
    if low is None or high is None or all(low <= each["mean"] <= high for each in told):
        return None
    return float(best["mean"])


def _taken(runs: Sequence[Evaluation]) -> dict[int, tuple[float | None, float | None, int | None]]:
    items = EvaluationItem.objects.unscoped(WHY).filter(evaluation__in=runs, status=ItemStatus.DONE).order_by()
    rows = items.values_list("evaluation_id").annotate(
        whole=Avg("duration_ms"), first=Avg("first_token_ms"), cost=Avg(F("cost_picousd") + F("saved_picousd"))
    )
    return {pk: (whole, first, None if cost is None else round(cost)) for pk, whole, first, cost in rows}
