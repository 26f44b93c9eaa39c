"""Checks of monitors: opened once a window is over, decided once its run is, each in one transaction.

A row is the truth. Whoever comes second finds the window opened, or the check decided; a worker that is killed leaves
either nothing or all of a step behind, and the next look takes it up. Windows that passed while nobody looked are not
made up for: the last one is checked.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.db import transaction
from django.utils import timezone

from apps.evaluation import sampling
from apps.evaluation.models import DatasetVersion, Evaluation, Monitor, MonitorCheck, Score, ScorerVersion
from apps.evaluation.running.subjects import RECORDED
from apps.evaluation.selectors.gates import main_version
from apps.evaluation.services import alerts
from apps.evaluation.services.gates import unfit_judges
from apps.evaluation.services.runs import MetricChoice, RunPlan, cancel_run, start_run
from apps.evaluation.services.scorers import current_version
from apps.evaluation.statistics.control import Summary, newest_point, summary_of
from apps.evaluation.types import (
    Baseline,
    CheckKind,
    CheckVerdict,
    ControlChart,
    Direction,
    ItemStatus,
    RunStatus,
    ScoreStatus,
    Trigger,
    ValueKind,
)
from apps.prompts import services as prompts
from apps.prompts.models import Release
from apps.prompts.selectors import label_state_of, release_before, weights_of
from apps.prompts.services.prompts import locked as locked_prompt
from apps.tenants import audit
from apps.tenants.access import Actor
from apps.tenants.errors import DomainError
from apps.tenants.models import User

WHY: Final = "a monitor at work, for its own tenant"
# A window is checked so long after its end: by then its last answers are written.
GRACE: Final = timedelta(seconds=60)
BASELINE_FACTOR: Final = 4  # a baseline's sample is so many times a check's
BASELINE_DAYS: Final = 30  # how far back a released version's answers are looked for
MOST_MOVING: Final = 200  # earlier checks that a moving average goes over
ENDED: Final = (RunStatus.DONE, RunStatus.CANCELLED, RunStatus.FAILED)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def window_end(now: datetime, minutes: int) -> datetime:
    """When the last whole window ended. Windows count from midnight UTC."""
    width = timedelta(minutes=minutes)
    return _EPOCH + (now - _EPOCH) // width * width


def due_at(now: datetime, minutes: int) -> datetime:
    """When the window that is open at ``now`` can be checked."""
    return window_end(now, minutes) + timedelta(minutes=minutes) + GRACE


def locked(monitor_id: int) -> Monitor:
    """The row, held until the transaction ends."""
    rows = Monitor.objects.unscoped(WHY).select_related("tenant", "project__tenant", "dataset", "prompt", "updated_by")
    return rows.select_for_update(of=("self",)).get(pk=monitor_id)


def watched(monitor: Monitor) -> str:
    """In words."""
    if monitor.prompt is None:
        return monitor.model
    return f"{monitor.prompt.name}, “{monitor.label}” in {monitor.get_environment_display().lower()}"


# Opened.


def open_due_checks() -> int:
    """Of each monitor of which a window is over. How many were opened."""
    due = Monitor.objects.unscoped(WHY).filter(is_paused=False, next_at__lte=timezone.now())
    return sum(_open_due(pk) for pk in due.order_by("next_at").values_list("pk", flat=True)[:100])


@transaction.atomic
def _open_due(monitor_id: int) -> bool:
    monitor, now = locked(monitor_id), timezone.now()
    if monitor.is_paused or monitor.next_at > now:
        return False  # somebody else has opened it
    until = window_end(now - GRACE, monitor.window_minutes)
    monitor.next_at = due_at(until, monitor.window_minutes)
    monitor.save(update_fields=["next_at"])
    open_check(monitor, until - timedelta(minutes=monitor.window_minutes), until)
    return True


@dataclass(frozen=True, slots=True)
class Arm:
    """A version that answers, with its share of the calls; without a version, whatever answers."""

    version: int | None
    percent: int = 100
    is_canary: bool = False


def open_check(monitor: Monitor, since: datetime, until: datetime, *, asked_by: User | None = None) -> MonitorCheck:
    """The window's one check, in the transaction that holds the monitor. What stands in the way is its verdict."""
    check, is_new = MonitorCheck.objects.unscoped(WHY).get_or_create(
        monitor=monitor, kind=CheckKind.CHECK, since=since, until=until, defaults={"asked_by": asked_by}
    )
    if not is_new:
        return check
    check.monitor = monitor
    try:
        with transaction.atomic():
            _begin(check)
    except DomainError as error:
        _settle(check, CheckVerdict.FAILED, [str(error)])
    return check


def _begin(check: MonitorCheck) -> None:
    """Raises ``DomainError``."""
    monitor = check.monitor
    versions = _scorer_versions(monitor)
    arms, reference, release = _arms(monitor)
    check.release = release
    check.save(update_fields=["release"])
    if not arms:
        what = "there is nothing to compare with yet" if release is not None else "the label means no version"
        _settle(check, CheckVerdict.INSUFFICIENT, [f"Nothing was sampled: {what}."])
        return
    drawn = [(arm, sampling.draw(monitor, check.since, check.until, arm.version, monitor.sample_size)) for arm in arms]
    check.arms = [
        {
            "version": arm.version,
            "percent": arm.percent,
            "is_canary": arm.is_canary,
            "found": each.found,
            "sampled": len(each.contents),
        }
        for arm, each in drawn
    ]
    check.save(update_fields=["arms"])
    enough = [each for _, each in drawn if len(each.contents) >= monitor.minimum_sample]
    if not enough:
        most = max(each.found for _, each in drawn)
        _settle(check, CheckVerdict.INSUFFICIENT, [_too_few(most, monitor.minimum_sample)])
        return
    check.baseline = _baseline_of(monitor, reference, check.until, versions)
    if check.baseline.verdict not in ("", CheckVerdict.READY):
        check.save(update_fields=["baseline"])
        _settle(check, CheckVerdict.INSUFFICIENT, [f"The baseline: {' '.join(check.baseline.reasons)}"])
        return
    contents = [content for each in enough for content in each.contents]
    version = sampling.freeze(monitor, contents, f"Sample of {check}")
    check.evaluation = _start(monitor, version, versions, f"{monitor.name}: {check.until:%-d %b, %H:%M} UTC")
    check.save(update_fields=["baseline", "evaluation"])


def _too_few(found: int, needed: int) -> str:
    return f"{found or 'No'} request{'' if found == 1 else 's'} kept in the window; at least {needed} are needed."


def _scorer_versions(monitor: Monitor) -> list[ScorerVersion]:
    """Raises ``DomainError`` where a scorer is no longer to be had, and of a judge whose calibration has expired."""
    system = _actor(monitor)
    scorers = monitor.scorers.filter(is_archived=False).select_related("tenant").order_by("name")
    versions = [current_version(actor=system, scorer=each) for each in scorers]
    if not versions:
        raise DomainError("All of its scorers are archived.", code="no_scorers", remedy="Choose others.")
    if unfit := unfit_judges(versions):
        raise DomainError(unfit[0], code="judge_not_calibrated", remedy=unfit[1])
    return versions


def _arms(monitor: Monitor) -> tuple[list[Arm], int | None, Release | None]:
    """What to sample, the version whose answers are the baseline (None: a period), and what the label means."""
    if monitor.prompt is None:
        return [Arm(None)], None, None
    state = label_state_of(monitor.prompt, monitor.environment, monitor.label)
    main = main_version(state)
    if state is None or main is None:
        return [], None, None
    arms = [
        Arm(share.version.number, share.percent, state.is_split and share.version.number != main.number)
        for share in state.shares
    ]
    if monitor.baseline == Baseline.PERIOD:
        return arms, None, state.release
    if state.is_split:
        return [arm for arm in arms if arm.is_canary], main.number, state.release
    before = release_before(state.release)
    weights = {} if before is None else {n: weight for n, weight in weights_of(before).items() if n != main.number}
    if not weights:
        return [], None, state.release
    return arms, min(weights, key=lambda number: (-weights[number], number)), state.release


def _baseline_of(
    monitor: Monitor, reference: int | None, until: datetime, versions: Sequence[ScorerVersion]
) -> MonitorCheck:
    """The baseline in force, or a new one: where there is none yet, or scorers have other versions meanwhile."""
    if reference is None:
        assert monitor.baseline_since is not None
        assert monitor.baseline_until is not None
        since, until = monitor.baseline_since, monitor.baseline_until
    else:
        since = until - timedelta(days=BASELINE_DAYS)
    name = sampling.slice_of(reference)
    rows = MonitorCheck.objects.unscoped(WHY).filter(monitor=monitor, kind=CheckKind.BASELINE, reference=name)
    if reference is None:
        rows = rows.filter(since=since, until=until)
    wanted = {version.pk for version in versions}
    for row in rows.filter(verdict__in=("", CheckVerdict.READY)).order_by("-pk")[:5]:
        if wanted <= {version for arm in row.arms for version in arm["scorer_versions"]}:
            return row
    return _new_baseline(monitor, reference, since, until, versions)


def _new_baseline(
    monitor: Monitor, reference: int | None, since: datetime, until: datetime, versions: Sequence[ScorerVersion]
) -> MonitorCheck:
    drawn = sampling.draw(monitor, since, until, reference, monitor.sample_size * BASELINE_FACTOR)
    check = MonitorCheck(
        monitor=monitor,
        kind=CheckKind.BASELINE,
        since=since,
        until=until,
        reference=sampling.slice_of(reference),
        arms=[
            {
                "version": reference,
                "found": drawn.found,
                "sampled": len(drawn.contents),
                "scorer_versions": [version.pk for version in versions],
            }
        ],
    )
    if until > timezone.now():
        check.verdict, check.reasons = CheckVerdict.INSUFFICIENT, ["its period is not over yet."]
        return _saved(check)
    if len(drawn.contents) < monitor.minimum_sample:
        of = "" if reference is None else f" that version {reference} answered"
        why = f"{drawn.found or 'no'} requests{of} were kept; at least {monitor.minimum_sample} are needed."
        check.verdict, check.reasons, check.decided_at = CheckVerdict.INSUFFICIENT, [why], timezone.now()
        return _saved(check)
    version = sampling.freeze(monitor, drawn.contents, f"Baseline {check.reference}")
    check.evaluation = _start(monitor, version, versions, f"{monitor.name}: baseline {check.reference}".strip())
    return _saved(check)


def _saved(check: MonitorCheck) -> MonitorCheck:
    """Of baselines that tell nothing the newest one is enough to know."""
    useless = MonitorCheck.objects.unscoped(WHY).filter(
        monitor=check.monitor, kind=CheckKind.BASELINE, verdict=CheckVerdict.INSUFFICIENT
    )
    useless.delete()
    check.save(force_insert=True)
    return check


def _start(monitor: Monitor, version: DatasetVersion, versions: Sequence[ScorerVersion], name: str) -> Evaluation:
    """A run over recorded answers: what the requests were answered is scored, and nothing is asked again."""
    plan = RunPlan(
        project=monitor.project,
        dataset_version=version,
        metrics=[MetricChoice(each) for each in versions],
        model=RECORDED,
        name=name[:200],
        reuses_answers=False,
        concurrency=4,
    )
    return start_run(actor=_actor(monitor), plan=plan, trigger=Trigger.MONITOR, caller=monitor.updated_by)


def _actor(monitor: Monitor) -> Actor:
    return Actor.system(f"monitor {monitor.slug}")


# Decided.


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
        cancel_run(actor=_actor(monitor), run=run)
        _settle(check, CheckVerdict.FAILED, [f"The run that scored the sample could not go on: {why}"])
        return True
    if run is not None and run.status not in ENDED:
        return False
    if run is None or run.status != RunStatus.DONE:
        why = (
            "is gone"
            if run is None
            else f"was {run.get_status_display().lower()}{f': {run.error}' if run.error else ''}"
        )
        _settle(check, CheckVerdict.FAILED, [f"The run that scored the sample {why}."])
        return True
    if check.kind == CheckKind.BASELINE:
        _decide_baseline(check, run)
        return True
    if baseline is not None and not baseline.verdict:
        return False  # its turn comes first
    if baseline is None or baseline.verdict != CheckVerdict.READY:
        why = " ".join(baseline.reasons) if baseline is not None else "it is gone."
        _settle(check, CheckVerdict.INSUFFICIENT, [f"The baseline: {why}"])
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
    _settle(check, CheckVerdict.INSUFFICIENT if poor else CheckVerdict.READY, poor)


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
        _settle(check, CheckVerdict.IN if CheckVerdict.IN in verdicts else CheckVerdict.INSUFFICIENT, reasons)
        return
    if monitor.rolls_back:
        reasons.append(_rolled_back(check, reasons[0]))
    _settle(check, CheckVerdict.OUT, reasons)
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
    """What a moving average goes over: the arm's earlier checks against the same baseline."""
    rows = MonitorCheck.objects.unscoped(WHY).filter(
        monitor=check.monitor, kind=CheckKind.CHECK, baseline=check.baseline, until__lt=check.until
    )
    rows = rows.filter(verdict__in=(CheckVerdict.IN, CheckVerdict.OUT)).order_by("-until")[:MOST_MOVING]
    return [
        Summary(row["n"], row["mean"], row["spread"])
        for statistics in reversed(rows.values_list("statistics", flat=True))
        for row in statistics
        if row["scorer_version"] == version.pk and row["version"] == arm and row["verdict"] != CheckVerdict.INSUFFICIENT
    ]


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


def figure(row: dict[str, Any], value: float) -> str:
    """A score's value for people."""
    if row["kind"] == ValueKind.BINARY:
        return f"{value:.1%}"
    unit = f" {row['unit']}" if row["unit"] else ""
    return f"{value:,.3g}{unit}" if abs(value) < 1000 else f"{value:,.0f}{unit}"


def _settle(check: MonitorCheck, verdict: CheckVerdict, reasons: Iterable[str]) -> None:
    check.verdict = verdict
    check.reasons = [reason[:500] for reason in reasons]
    check.decided_at = timezone.now()
    check.save(update_fields=["verdict", "reasons", "statistics", "decided_at", "rollback"])
    if verdict == CheckVerdict.OUT:
        told = {
            "until": check.until.isoformat(),
            "reasons": check.reasons[:3],
            "rollback": check.rollback_id,
        }
        audit.record(_actor(check.monitor), "monitor.out_of_control", check.monitor, told, check.monitor.tenant)


# Rolled back.


def _rolled_back(check: MonitorCheck, why: str) -> str:
    """Take the canaries that are out of control off the label, if it still means what was sampled. What came of it."""
    monitor = check.monitor
    assert monitor.prompt is not None
    bad = {row["version"] for row in check.statistics if row["is_canary"] and row["verdict"] == CheckVerdict.OUT}
    if not bad:
        return "Nothing was rolled back: it is no canary that is out of control."
    prompt = locked_prompt(monitor.prompt)
    state = label_state_of(prompt, monitor.environment, monitor.label)
    if state is None or check.release_id != state.release.pk:
        return "Nothing was rolled back: the label was released anew since the sample was taken."
    weights = {number: weight for number, weight in weights_of(state.release).items() if number not in bad}
    reason = f"Monitor {monitor.name}: {why}"[:480]
    try:
        with transaction.atomic():
            check.rollback = _release(monitor, state.release, bad, weights, reason)
    except DomainError as error:
        return f"Nothing was rolled back: {error}"
    names = ", ".join(f"version {number}" for number in sorted(bad))
    return f"Rolled back: “{monitor.label}” no longer means {names}."


def _release(monitor: Monitor, now: Release, bad: set[int], weights: dict[int, int], reason: str) -> Release:
    """Back to the release before the canary; where that one meant other versions, what remains without it."""
    actor, before = _actor(monitor), release_before(now)
    while before is not None and bad & weights_of(before).keys():
        before = release_before(before)
    if before is not None and weights_of(before).keys() == weights.keys():
        return prompts.roll_back(actor=actor, release=before, reason=reason)
    return prompts.release_decided(
        actor=actor,
        prompt=now.prompt,
        environment=monitor.environment,
        label=monitor.label,
        weights=weights,
        reason=reason,
    )
