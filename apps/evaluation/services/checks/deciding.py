"""A check whose run is over: its figures, its limits, its verdict, and what follows from it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any, Final

from django.db import transaction

from apps.evaluation import sampling
from apps.evaluation.figures import figure
from apps.evaluation.models import Evaluation, MonitorCheck, Score, ScorerVersion
from apps.evaluation.services import alerts
from apps.evaluation.services.checks.opening import WHY, actor_of, locked, settle
from apps.evaluation.services.checks.rolling_back import roll_canaries_back
from apps.evaluation.services.runs import cancel_run
from apps.evaluation.statistics.control import Summary, newest_point, summary_of
from apps.evaluation.types import (
    CheckKind,
    CheckVerdict,
    ControlChart,
    Direction,
    ItemStatus,
    RunStatus,
    ScoreStatus,
    ValueKind,
)

MOST_MOVING: Final = 200  # earlier checks that a moving average goes over
ENDED: Final = (RunStatus.DONE, RunStatus.CANCELLED, RunStatus.FAILED)


def decide_checks() -> int:
    """Every check whose run is over, baselines first. How many were decided."""
    rows = MonitorCheck.objects.unscoped(WHY).filter(verdict="").order_by("kind", "pk")
    return sum(_decide_locked(pk, monitor) for pk, monitor in rows.values_list("pk", "monitor_id")[:200])


@transaction.atomic
def _decide_locked(check_id: int, monitor_id: int) -> bool:
    monitor = locked(monitor_id)
    rows = MonitorCheck.objects.unscoped(WHY).select_related(
        "evaluation__tenant", "evaluation__project", "baseline", "release"
    )
    check = rows.filter(pk=check_id, verdict="").first()
    if check is None:
        return False
    check.monitor = monitor
    run, baseline = check.evaluation, check.baseline
    if run is not None and run.status == RunStatus.PAUSED:
        why = run.error or "It was paused."
        cancel_run(actor=actor_of(monitor), run=run)
        settle(check, CheckVerdict.FAILED, [f"The run that scored the sample could not go on: {why}"])
        return True
    if run is not None and run.status not in ENDED:
        return False
    if run is None or run.status != RunStatus.DONE:
        why = (
            "is gone"
            if run is None
            else f"was {run.get_status_display().lower()}{f': {run.error}' if run.error else ''}"
        )
        settle(check, CheckVerdict.FAILED, [f"The run that scored the sample {why}."])
        return True
    if check.kind == CheckKind.BASELINE:
        _decide_baseline(check, run)
        return True
    if baseline is not None and not baseline.verdict:
        return False  # its turn comes first
    if baseline is None or baseline.verdict != CheckVerdict.READY:
        why = " ".join(baseline.reasons) if baseline is not None else "it is gone."
        settle(check, CheckVerdict.INSUFFICIENT, [f"The baseline: {why}"])
        return True
    _decide(check, run, baseline)
    return True


@dataclass(frozen=True, slots=True)
class _Column:
    """One scorer's values on one arm."""

    values: list[float]
    errors: int


def _columns(run: Evaluation) -> dict[tuple[str, int], _Column]:
    """By (slice, scorer's version)."""
    found: defaultdict[tuple[str, int], list[float | None]] = defaultdict(list)
    rows = Score.objects.unscoped(WHY).filter(item__evaluation=run, item__status=ItemStatus.DONE)
    for part, version, status, value in rows.order_by("pk").values_list(
        "item__revision__slice", "scorer_version_id", "status", "value"
    ):
        found[part, version].append(value if status == ScoreStatus.OK else None)
    return {
        key: _Column([value for value in values if value is not None], values.count(None))
        for key, values in found.items()
    }


def _versions_of(run: Evaluation) -> list[ScorerVersion]:
    metrics = run.metrics.select_related("scorer_version__scorer").order_by("pk")
    return [metric.scorer_version for metric in metrics]


def _decide_baseline(check: MonitorCheck, run: Evaluation) -> None:
    monitor, columns = check.monitor, _columns(run)
    poor = []
    for version in _versions_of(run):
        values, errors = [], 0
        for (_, scored), column in columns.items():
            if scored == version.pk:
                values += column.values
                errors += column.errors
        summary = summary_of(values, is_share=_is_share(version))
        check.statistics.append(_facts(version) | {"errors": errors} | _plain(summary))
        if summary is None or summary.n < monitor.minimum_sample:
            poor.append(f"{version.scorer.name} has {len(values)} scores and {errors} errors.")
    settle(check, CheckVerdict.INSUFFICIENT if poor else CheckVerdict.READY, poor)


def _decide(check: MonitorCheck, run: Evaluation, baseline: MonitorCheck) -> None:
    monitor, columns = check.monitor, _columns(run)
    centres = {row["scorer_version"]: row for row in baseline.statistics}
    reasons: list[str] = []
    for arm in check.arms:
        for version in _versions_of(run):
            column = columns.get((sampling.slice_of(arm["version"]), version.pk), _Column([], 0))
            row = _facts(version) | {"version": arm["version"], "is_canary": arm["is_canary"], "errors": column.errors}
            now = summary_of(column.values, is_share=_is_share(version))
            row |= _plain(now)
            centre = centres.get(version.pk)
            if now is None or now.n < monitor.minimum_sample or centre is None:
                row |= {"verdict": CheckVerdict.INSUFFICIENT}
                reasons.append(f"{_of(row)}: {row['n']} scores of at least {monitor.minimum_sample}.")
            else:
                row |= _judged(
                    check, version, arm["version"], now, Summary(centre["n"], centre["mean"], centre["spread"])
                )
                if row["verdict"] == CheckVerdict.OUT:
                    reasons.insert(0, _why(row))
            check.statistics.append(row)
    verdicts = {row["verdict"] for row in check.statistics}
    if CheckVerdict.OUT not in verdicts:
        settle(check, CheckVerdict.IN if CheckVerdict.IN in verdicts else CheckVerdict.INSUFFICIENT, reasons)
        return
    if monitor.rolls_back:
        reasons.append(roll_canaries_back(check, reasons[0]))
    settle(check, CheckVerdict.OUT, reasons)
    alerts.make_alerts(check)


def _judged(
    check: MonitorCheck, version: ScorerVersion, arm: int | None, now: Summary, centre: Summary
) -> dict[str, Any]:
    monitor = check.monitor
    moving = monitor.chart == ControlChart.EWMA
    samples = [*(_earlier(check, version, arm) if moving else ()), now]
    point = newest_point(samples, centre, moving=moving, sigmas=monitor.sigmas, is_share=_is_share(version))
    higher = version.direction == Direction.HIGHER
    is_worse = not point.holds and (point.compared < point.limits.centre) == higher
    return {
        "compared": point.compared,
        "low": point.limits.low,
        "centre": point.limits.centre,
        "high": point.limits.high,
        "is_better": not point.holds and not is_worse,
        "verdict": CheckVerdict.OUT if is_worse else CheckVerdict.IN,
    }


def _earlier(check: MonitorCheck, version: ScorerVersion, arm: int | None) -> list[Summary]:
    """What a moving average goes over: the arm's earlier checks against the same baseline, as long as their windows
    do not overlap. What was asked for by hand may, and would have the same answers count again and again."""
    rows = MonitorCheck.objects.unscoped(WHY).filter(
        monitor=check.monitor, kind=CheckKind.CHECK, baseline=check.baseline, until__lte=check.since
    )
    rows = rows.filter(verdict__in=(CheckVerdict.IN, CheckVerdict.OUT)).order_by("-until", "-pk")[:MOST_MOVING]
    found, begun = [], check.since
    for since, until, statistics in rows.values_list("since", "until", "statistics"):
        if until > begun:
            continue
        begun = since
        found += [
            Summary(row["n"], row["mean"], row["spread"])
            for row in statistics
            if row["scorer_version"] == version.pk
            and row["version"] == arm
            and row["verdict"] != CheckVerdict.INSUFFICIENT
        ]
    return found[::-1]


def _is_share(version: ScorerVersion) -> bool:
    return version.value_kind == ValueKind.BINARY


def _facts(version: ScorerVersion) -> dict[str, Any]:
    return {
        "scorer": version.scorer.slug,
        "name": version.scorer.name,
        "scorer_version": version.pk,
        "number": version.number,
        "kind": version.value_kind,
        "direction": version.direction,
        "unit": version.unit,
    }


def _plain(summary: Summary | None) -> dict[str, Any]:
    if summary is None:
        return {"n": 0, "mean": None, "spread": None}
    return {"n": summary.n, "mean": summary.mean, "spread": summary.spread}


def _of(row: dict[str, Any]) -> str:
    return str(row["name"]) if row["version"] is None else f"{row['name']} of version {row['version']}"


def _why(row: dict[str, Any]) -> str:
    above = row["compared"] > row["centre"]
    limit, side = (row["high"], "above") if above else (row["low"], "below")
    return (
        f"{_of(row)} is at {figure(row, row['compared'])}, {side} its limit of {figure(row, limit)};"
        f" the baseline's mean is {figure(row, row['centre'])}."
    )
