"""Reads of runs, always for an actor."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from django.db.models import Count, F, Prefetch, Q, QuerySet
from django.utils import timezone

from apps.evaluation.models import (
    DatasetVersion,
    Evaluation,
    EvaluationItem,
    EvaluationMetric,
    Score,
    ScorerVersion,
)
from apps.evaluation.types import (
    LIVE_RUNS,
    Direction,
    ItemStatus,
    MetricRole,
    RunStatus,
    ScoreStatus,
    Trigger,
    ValueKind,
)
from apps.tenants.access import Actor
from apps.tenants.errors import NotFound
from apps.tenants.models import Tenant

WHY: Final = "of a run that the actor reached"
# The newest runs of a use case that are looked through for each of its prompts.
MOST_MEASURED = 200
OFFERED: Final = 200


@dataclass(frozen=True, slots=True)
class RunQuery:
    """What to show of the runs; empty means any."""

    text: str = ""
    status: str = ""
    prompt: str = ""
    dataset: str = ""


@dataclass(frozen=True, slots=True)
class Progress:
    """Items by what became of them. ``seconds_left`` is None where nothing tells yet."""

    total: int
    done: int
    errors: int
    skipped: int
    reused: int
    seconds_left: int | None

    @property
    def ended(self) -> int:
        return self.done + self.errors + self.skipped

    @property
    def share(self) -> float:
        return self.ended / self.total if self.total else 0.0


@dataclass(frozen=True, slots=True)
class ItemQuery:
    """``show`` is one of ``""``, ``failing``, ``errors``, ``reused``. ``scorer`` narrows failing to one scorer's."""

    show: str = ""
    slice: str = ""
    scorer: str = ""


def runs_for(actor: Actor, tenant: Tenant | None = None) -> QuerySet[Evaluation]:
    rows = without_requests(actor, Evaluation.objects.for_actor(actor)).select_related(
        "tenant", "project", "prompt_version__prompt__tenant", "dataset_version__dataset__tenant", "created_by"
    )
    metrics = EvaluationMetric.objects.unscoped(WHY).select_related("scorer_version__scorer")
    rows = rows.prefetch_related(Prefetch("metrics", metrics))
    return rows if tenant is None else rows.filter(tenant=tenant)


def newest_measures(actor: Actor, tenant: Tenant, use_case: str) -> dict[tuple[str, str], EvaluationMetric]:
    """By (model, prompt's slug), for the prompts of a use case: the metric that their newest finished run was about."""
    runs = runs_for(actor, tenant).filter(status=RunStatus.DONE, prompt_version__prompt__use_case=use_case)
    found: dict[tuple[str, str], EvaluationMetric] = {}
    for run in runs.exclude(trigger=Trigger.MONITOR).order_by("-pk")[:MOST_MEASURED]:
        metrics = sorted(run.metrics.all(), key=lambda each: (each.role != MetricRole.PRIMARY, each.pk))
        if metrics and metrics[0].summary.get("mean") is not None:
            assert run.prompt_version is not None
            metrics[0].evaluation = run
            found.setdefault((run.model, run.prompt_version.prompt.slug), metrics[0])
    return found


def measured_use_cases(actor: Actor, tenant: Tenant) -> set[str]:
    """Those for which ``newest_measures`` may find something."""
    runs = runs_for(actor, tenant).filter(status=RunStatus.DONE, prompt_version__isnull=False)
    rows = runs.exclude(trigger=Trigger.MONITOR).order_by().prefetch_related(None)
    return set(rows.values_list("prompt_version__prompt__use_case", flat=True).distinct()) - {""}


def without_requests(actor: Actor, rows: QuerySet[Evaluation]) -> QuerySet[Evaluation]:
    """Runs of monitors say what production requests said: they are for people who may read requests."""
    if actor.api_key_id is not None:
        return rows.exclude(trigger=Trigger.MONITOR)
    allowed = actor.tenants_allowing("request.view")
    return rows if allowed is None else rows.filter(~Q(trigger=Trigger.MONITOR) | Q(tenant__in=allowed))


def search_runs(actor: Actor, tenant: Tenant, query: RunQuery = RunQuery()) -> QuerySet[Evaluation]:
    """Those of monitors are on the monitors' pages."""
    rows = runs_for(actor, tenant).exclude(trigger=Trigger.MONITOR)
    for word in query.text.split()[:8]:
        rows = rows.filter(Q(name__icontains=word) | Q(model__icontains=word) | Q(public_id=word))
    if query.status in RunStatus.values:
        rows = rows.filter(status=query.status)
    if query.prompt:
        rows = rows.filter(prompt_version__prompt__slug=query.prompt)
    if query.dataset:
        rows = rows.filter(dataset_version__dataset__slug=query.dataset)
    return rows


def prompts_evaluated(actor: Actor, tenant: Tenant) -> list[tuple[str, str]]:
    """(slug, name), for the list's filter."""
    rows = Evaluation.objects.for_actor(actor).filter(tenant=tenant, prompt_version__isnull=False)
    names = rows.order_by().values_list("prompt_version__prompt__slug", "prompt_version__prompt__name").distinct()
    return sorted(names[:OFFERED], key=lambda pair: pair[1].lower())


def datasets_evaluated(actor: Actor, tenant: Tenant) -> list[tuple[str, str]]:
    rows = Evaluation.objects.for_actor(actor).filter(tenant=tenant).exclude(trigger=Trigger.MONITOR)
    names = rows.order_by().values_list("dataset_version__dataset__slug", "dataset_version__dataset__name").distinct()
    return sorted(names[:OFFERED], key=lambda pair: pair[1].lower())


def get_run_for(actor: Actor, public_id: str) -> Evaluation:
    run = runs_for(actor).filter(public_id=public_id).first()
    if run is None:
        raise NotFound("There is no such run.")
    return run


def progress_of(runs: Iterable[Evaluation]) -> dict[int, Progress]:
    """By run, in two queries however many there are."""
    runs = list(runs)
    counts = {run.pk: dict.fromkeys(ItemStatus.values, 0) for run in runs}
    lately = dict.fromkeys(counts, 0)  # answered since the run was started, or went on after a pause
    rows = EvaluationItem.objects.unscoped(WHY).filter(evaluation__in=counts).order_by()
    since = Count("pk", filter=Q(finished_at__gte=F("evaluation__started_at")) & ~Q(status=ItemStatus.SKIPPED))
    for pk, status, count, new in rows.values_list("evaluation_id", "status").annotate(count=Count("pk"), new=since):
        counts[pk][status] = count
        lately[pk] += new
    reused = dict(rows.filter(is_reused=True).values_list("evaluation_id").annotate(count=Count("pk")))
    return {
        run.pk: Progress(
            total=max(run.items_total, sum(counts[run.pk].values())),
            done=counts[run.pk][ItemStatus.DONE],
            errors=counts[run.pk][ItemStatus.ERROR],
            skipped=counts[run.pk][ItemStatus.SKIPPED],
            reused=reused.get(run.pk, 0),
            seconds_left=_seconds_left(run, counts[run.pk][ItemStatus.PENDING], lately[run.pk]),
        )
        for run in runs
    }


def _seconds_left(run: Evaluation, pending: int, lately: int) -> int | None:
    """At the pace since it goes on."""
    if run.status != RunStatus.RUNNING or run.started_at is None or lately < 5:
        return None
    elapsed = (timezone.now() - run.started_at) / timedelta(seconds=1)
    return max(1, round(elapsed / lately * pending))


def is_live(run: Evaluation) -> bool:
    return run.status in LIVE_RUNS


def items_of(run: Evaluation, query: ItemQuery = ItemQuery()) -> QuerySet[EvaluationItem]:
    """With their examples and scores."""
    scores = (
        Score.objects.unscoped(WHY).select_related("scorer_version__scorer").order_by("scorer_version__scorer__name")
    )
    rows = EvaluationItem.objects.unscoped(WHY).filter(evaluation=run)
    if query.slice:
        rows = rows.filter(revision__slice=query.slice)
    match query.show:
        case "failing":
            rows = rows.filter(pk__in=_failing(run, query.scorer).values("item"))
        case "errors":
            unscored = Score.objects.unscoped(WHY).filter(item__evaluation=run, status=ScoreStatus.ERROR)
            rows = rows.filter(Q(status=ItemStatus.ERROR) | Q(pk__in=unscored.values("item")))
        case "reused":
            rows = rows.filter(is_reused=True)
    rows = rows.select_related("revision__example").prefetch_related(Prefetch("scores", scores))
    return rows.order_by("position", "repetition")


def _failing(run: Evaluation, scorer: str) -> QuerySet[Score]:
    """Scores of a yes-or-no scorer that say no."""
    no = Q(scorer_version__direction=Direction.HIGHER, value=0) | Q(scorer_version__direction=Direction.LOWER, value=1)
    rows = Score.objects.unscoped(WHY).filter(
        no, item__evaluation=run, scorer_version__value_kind=ValueKind.BINARY, status=ScoreStatus.OK
    )
    return rows.filter(scorer_version__scorer__slug=scorer) if scorer else rows


def is_failing(score: Score) -> bool:
    """The same of one score."""
    no = 0 if score.scorer_version.direction == Direction.HIGHER else 1
    return score.scorer_version.value_kind == ValueKind.BINARY and score.value == no


def get_item_of(run: Evaluation, pk: int) -> EvaluationItem:
    item = items_of(run).filter(pk=min(pk, 2**63 - 1)).first()
    if item is None:
        raise NotFound("There is no such item.")
    return item


def slices_of(run: Evaluation) -> list[str]:
    rows = EvaluationItem.objects.unscoped(WHY).filter(evaluation=run).exclude(revision__slice="")
    return list(rows.order_by("revision__slice").values_list("revision__slice", flat=True).distinct()[:OFFERED])


def dataset_versions_for(actor: Actor, tenant: Tenant) -> QuerySet[DatasetVersion]:
    """What a run may be on: the versions of the datasets in use, newest first in each."""
    rows = DatasetVersion.objects.for_actor(actor).filter(
        dataset__tenant=tenant, dataset__is_archived=False, dataset__monitor=None, size__gt=0
    )
    return rows.select_related("dataset__tenant").order_by("dataset__name", "-number")


def newest_scorer_versions(actor: Actor, tenant: Tenant) -> list[ScorerVersion]:
    """Of each scorer in use its newest version, by name."""
    newest: dict[int, ScorerVersion] = {}
    rows = ScorerVersion.objects.for_actor(actor).filter(scorer__tenant=tenant, scorer__is_archived=False)
    for version in rows.select_related("scorer__tenant").order_by("scorer__name", "-number"):
        newest.setdefault(version.scorer_id, version)
    return list(newest.values())


def earlier_runs_of(run: Evaluation) -> QuerySet[Evaluation]:
    """Ended runs on the same version of the dataset, to compare with."""
    rows = Evaluation.objects.unscoped(WHY).filter(
        tenant=run.tenant_id, dataset_version=run.dataset_version_id, status=RunStatus.DONE
    )
    return rows.exclude(pk=run.pk).select_related("prompt_version__prompt").order_by(F("pk").desc())[:20]
