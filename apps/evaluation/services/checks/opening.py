"""A window that is over: what of it is sampled, what it is compared with, and the run that scores the sample."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from apps.evaluation import sampling
from apps.evaluation.models import DatasetVersion, Evaluation, Monitor, MonitorCheck, ScorerVersion
from apps.evaluation.running.subjects import RECORDED
from apps.evaluation.selectors.gates import main_version
from apps.evaluation.services.gates import unfit_judges
from apps.evaluation.services.runs import MetricChoice, RunPlan, start_run
from apps.evaluation.services.scorers import current_version
from apps.evaluation.types import Baseline, CheckKind, CheckVerdict, Trigger
from apps.prompts.models import Release
from apps.prompts.selectors import label_state_of, release_before, weights_of
from apps.tenants import audit
from apps.tenants.access import Actor
from apps.tenants.errors import DomainError
from apps.tenants.models import User

WHY: Final = "a monitor at work, for its own tenant"
# A window is checked so long after its end: by then its last answers are written.
GRACE: Final = timedelta(seconds=60)
BASELINE_FACTOR: Final = 4  # a baseline's sample is so many times a check's
BASELINE_DAYS: Final = 30  # how far back a released version's answers are looked for
# A baseline that was scored in vain is not scored again before, unless somebody asks for a check: judges cost.
SCORED_AGAIN_AFTER: Final = timedelta(hours=6)
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
        settle(check, CheckVerdict.FAILED, [str(error)])
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
        settle(check, CheckVerdict.INSUFFICIENT, [f"Nothing was sampled: {what}."])
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
        settle(check, CheckVerdict.INSUFFICIENT, [_too_few(most, monitor.minimum_sample)])
        return
    check.baseline = _baseline_of(check, reference, versions)
    if check.baseline.verdict not in ("", CheckVerdict.READY):
        check.save(update_fields=["baseline"])
        settle(check, CheckVerdict.INSUFFICIENT, [f"The baseline: {' '.join(check.baseline.reasons)}"])
        return
    contents = [content for each in enough for content in each.contents]
    version = sampling.freeze(monitor, contents, f"Sample of {check}")
    check.evaluation = _start(monitor, version, versions, f"{monitor.name}: {check.until:%-d %b, %H:%M} UTC")
    check.save(update_fields=["baseline", "evaluation"])


def _too_few(found: int, needed: int) -> str:
    return f"{found or 'No'} request{'' if found == 1 else 's'} kept in the window; at least {needed} are needed."


def _scorer_versions(monitor: Monitor) -> list[ScorerVersion]:
    """Raises ``DomainError`` where a scorer is no longer to be had, and of a judge whose calibration has expired."""
    system = actor_of(monitor)
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
    before = _main_before(state.release, main.number)
    return ([] if before is None else arms), before, state.release


def _main_before(release: Release, main: int) -> int | None:
    """What most callers got before ``main``. Neither a canary that was taken off nor what a rollback undid is good
    enough to compare with."""
    while release.restores is not None:
        release = release.restores
    before = release_before(release)
    while before is not None:
        weights = weights_of(before)
        if weights and (number := min(weights, key=lambda each: (-weights[each], each))) != main:
            return number
        before = release_before(before)
    return None


def _baseline_of(check: MonitorCheck, reference: int | None, versions: Sequence[ScorerVersion]) -> MonitorCheck:
    """The baseline in force, or a new one: where there is none yet, or scorers have other versions meanwhile."""
    monitor, until = check.monitor, check.until
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
    in_force = Q(verdict__in=("", CheckVerdict.READY))
    if check.asked_by_id is None:
        lately = timezone.now() - SCORED_AGAIN_AFTER
        in_force |= Q(verdict=CheckVerdict.INSUFFICIENT, evaluation__isnull=False, decided_at__gt=lately)
    wanted = {version.pk for version in versions}
    for row in rows.filter(in_force).order_by("-pk")[:5]:
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
    return start_run(actor=actor_of(monitor), plan=plan, trigger=Trigger.MONITOR, caller=monitor.updated_by)


def actor_of(monitor: Monitor) -> Actor:
    return Actor.system(f"monitor {monitor.slug}")


def settle(check: MonitorCheck, verdict: CheckVerdict, reasons: Iterable[str]) -> None:
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
        audit.record(actor_of(check.monitor), "monitor.out_of_control", check.monitor, told, check.monitor.tenant)
