"""Runs: started, paused, resumed, cancelled, tried again. A row is the truth; messages only wake a worker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import msgspec
from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from apps.evaluation.errors import RunRefused
from apps.evaluation.models import (
    Comparison,
    DatasetVersion,
    Evaluation,
    EvaluationMetric,
    Score,
    ScorerVersion,
    VersionExample,
)
from apps.evaluation.running import store
from apps.evaluation.running.subjects import RECORDED, NotAskable, make_subject
from apps.evaluation.running.worker import end
from apps.evaluation.scorers import registry
from apps.evaluation.services.estimates import Estimate, estimate
from apps.evaluation.types import (
    ComparisonStatus,
    ItemStatus,
    MetricRole,
    MlflowStatus,
    RunStatus,
    ScoreStatus,
    Split,
    Trigger,
)
from apps.gateway.routing.selectors import callable_revision, routes_for
from apps.models.selectors import callable_models_for
from apps.prompts.content import check_storable
from apps.prompts.errors import ContentInvalid
from apps.prompts.models import PromptVersion
from apps.prompts.types import Parameters
from apps.tenants import audit, validation
from apps.tenants.access import ROLE_ACTIONS, Actor, can, require
from apps.tenants.errors import Conflict, PermissionDenied
from apps.tenants.jobs import enqueue
from apps.tenants.models import ApiKey, Membership, Project, Tenant, User
from apps.tenants.types import Role

RUN_TASK: Final = "evaluation.run"
MOST_REPETITIONS: Final = 20
MOST_CONCURRENCY: Final = 64
MOST_SCORERS: Final = 20
MOST_WORKERS: Final = 4  # of one run; each further one pays from so many items on
ITEMS_PER_WORKER: Final = 500
WHY: Final = "a scheduled look at runs that no worker holds"


@dataclass(frozen=True, slots=True)
class MetricChoice:
    """A scorer of a run. A gate decides by ``role`` and ``margin``."""

    version: ScorerVersion
    role: str = MetricRole.WATCH
    margin: float = 0.0


@dataclass(frozen=True, slots=True)
class RunPlan:
    """What a run is to be: ``prompt_version`` on ``model`` (empty: the version's own), or ``model`` alone."""

    project: Project
    dataset_version: DatasetVersion
    metrics: Sequence[MetricChoice]
    prompt_version: PromptVersion | None = None
    model: str = ""
    parameters: Mapping[str, Any] | None = None
    split: str = ""
    repetitions: int = 1
    seed: int | None = None
    baseline: Evaluation | None = None
    name: str = ""
    budget_picousd: int | None = None
    reuses_answers: bool = True
    concurrency: int = 16


def estimate_run(*, actor: Actor, plan: RunPlan) -> Estimate:
    """What it would cost and take. Raises as ``start_run`` does, so that a form learns early."""
    require(actor, "evaluation.run", plan.project.tenant, plan.project, what="run an evaluation")
    return _estimate(_checked(actor, plan))


@transaction.atomic
def start_run(
    *, actor: Actor, plan: RunPlan, trigger: str = Trigger.PERSON, sweep: str = "", caller: User | None = None
) -> Evaluation:
    """Queue a run. Its calls are made for the actor; ``caller`` is the member that a system's run is made for.

    Raises:
        RunRefused: something of the plan does not fit; ``field`` names it.
        PermissionDenied: nobody is there for whom the models could be called.
    """
    project = plan.project
    require(actor, "evaluation.run", project.tenant, project, what="run an evaluation")
    user, api_key = caller_of(actor, project.tenant, caller)
    plan = _checked(actor, plan)
    figures = _estimate(plan)
    run = Evaluation.objects.create(
        tenant=project.tenant,
        project=project,
        name=validation.clean_name(plan.name or name_of(plan)),
        prompt_version=plan.prompt_version,
        model=plan.model,
        parameters=dict(plan.parameters or {}),
        dataset_version=plan.dataset_version,
        split=plan.split,
        repetitions=plan.repetitions,
        seed=plan.seed,
        baseline=plan.baseline,
        trigger=trigger,
        sweep=sweep,
        concurrency=plan.concurrency,
        reuses_answers=plan.reuses_answers,
        items_total=figures.items,
        estimate_picousd=figures.cost_picousd,
        budget_picousd=plan.budget_picousd,
        code_version=settings.LOBBY_VERSION,
        created_by=user,
        api_key=api_key,
    )
    EvaluationMetric.objects.bulk_create(
        EvaluationMetric(evaluation=run, scorer_version=each.version, role=each.role, margin=each.margin)
        for each in plan.metrics
    )
    told = {
        "name": run.name,
        "model": run.model,
        "prompt_version": None if plan.prompt_version is None else str(plan.prompt_version),
        "dataset": str(plan.dataset_version.dataset.slug),
        "dataset_version": plan.dataset_version.number,
        "items": figures.items,
    }
    audit.record(actor, "evaluation.started", run, told, project.tenant)
    _wake(run)
    return run


@transaction.atomic
def pause_run(*, actor: Actor, run: Evaluation) -> Evaluation:
    """Calls in flight end; no others are made."""
    run = _locked(actor, run, "pause this run")
    if run.status not in (RunStatus.QUEUED, RunStatus.RUNNING):
        raise Conflict(f"The run is {run.get_status_display().lower()}: it cannot be paused.", code="run_not_running")
    run.status, run.error = RunStatus.PAUSED, f"Paused by {actor.name}."[:500]
    run.save(update_fields=["status", "error"])
    audit.record(actor, "evaluation.paused", run, {"name": run.name}, run.tenant)
    return run


@transaction.atomic
def resume_run(*, actor: Actor, run: Evaluation, budget_picousd: int | None = None) -> Evaluation:
    """``budget_picousd`` is a new bound, for a run that paused at its old one."""
    run = _locked(actor, run, "resume this run")
    if run.status != RunStatus.PAUSED:
        raise Conflict(f"The run is {run.get_status_display().lower()}, not paused.", code="run_not_paused")
    if budget_picousd is not None:
        run.budget_picousd = _clean_budget(budget_picousd)
    run.status, run.error, run.beat_at = RunStatus.QUEUED, "", None
    run.save(update_fields=["status", "error", "beat_at", "budget_picousd"])
    audit.record(actor, "evaluation.resumed", run, {"name": run.name}, run.tenant)
    _wake(run)
    return run


@transaction.atomic
def cancel_run(*, actor: Actor, run: Evaluation) -> Evaluation:
    """What was scored stays, with its summaries; the rest is not done."""
    run = _locked(actor, run, "cancel this run")
    if run.status not in (RunStatus.QUEUED, RunStatus.RUNNING, RunStatus.PAUSED):
        raise Conflict(f"The run is {run.get_status_display().lower()} already.", code="run_ended")
    run.status = RunStatus.RUNNING  # the one state that a run ends from
    run.save(update_fields=["status"])
    end(run, RunStatus.CANCELLED, f"Cancelled by {actor.name}.")
    run.refresh_from_db()
    audit.record(actor, "evaluation.cancelled", run, {"name": run.name}, run.tenant)
    return run


@transaction.atomic
def retry_errors(*, actor: Actor, run: Evaluation) -> Evaluation:
    """Items without an answer are asked again, and scores that are errors are made again. The rest stays as it is;
    comparisons with the run are made again."""
    run = _locked(actor, run, "try this run's errors again")
    if run.status not in (RunStatus.DONE, RunStatus.FAILED, RunStatus.CANCELLED):
        raise Conflict("The run has not ended yet.", code="run_not_ended")
    items = store.items_of(run.pk)
    failed = items.filter(status=ItemStatus.ERROR).update(
        status=ItemStatus.PENDING, request_id="", error_code="", error="", finished_at=None
    )
    unscored = Score.objects.unscoped("the errors of a run that its actor reached").filter(
        item__evaluation=run, status=ScoreStatus.ERROR
    )
    ids = set(unscored.values_list("item_id", flat=True))
    unscored.delete()
    again = items.filter(pk__in=ids, status=ItemStatus.DONE).update(status=ItemStatus.PENDING, finished_at=None)
    left = items.filter(status=ItemStatus.PENDING).exists()
    if not left:
        raise Conflict("The run has no errors.", code="nothing_to_retry")
    run.status, run.error, run.finished_at, run.beat_at = RunStatus.QUEUED, "", None, None
    weighed = Comparison.objects.for_tenant(run.tenant).filter(Q(baseline=run) | Q(candidate=run))
    weighed.update(status=ComparisonStatus.WAITING, verdict="", evidence={}, error="")  # once it has ended again
    run.mlflow_status, run.mlflow_claimed_at = MlflowStatus.PENDING, None
    run.save(update_fields=["status", "error", "finished_at", "beat_at", "mlflow_status", "mlflow_claimed_at"])
    audit.record(actor, "evaluation.retried", run, {"items": failed, "scores": again}, run.tenant)
    _wake(run)
    return run


def wake_runs() -> list[str]:
    """Send for workers where a run goes on that none has held for the length of a lease: a message may be lost, and a
    worker may have been killed. Which runs were woken."""
    stale = timezone.now() - timedelta(seconds=settings.EVALUATION_LEASE_SECONDS)
    live = Evaluation.objects.unscoped(WHY).filter(status__in=(RunStatus.QUEUED, RunStatus.RUNNING))
    idle = Q(beat_at=None, created_at__lt=stale) | Q(beat_at__lt=stale)
    woken = []
    for run in live.filter(idle).order_by("pk")[:100]:
        # Of several that look at once, one sends.
        if Evaluation.objects.unscoped(WHY).filter(pk=run.pk, beat_at=run.beat_at).update(beat_at=timezone.now()):
            enqueue(RUN_TASK, run.public_id)
            woken.append(run.public_id)
    return woken


def _wake(run: Evaluation) -> None:
    # A budget has one worker, which counts what it has in flight: several would each take the same rest for theirs.
    several = bool(settings.REDIS_URL) and run.budget_picousd is None
    for _ in range(min(MOST_WORKERS, 1 + run.items_total // ITEMS_PER_WORKER) if several else 1):
        enqueue(RUN_TASK, run.public_id)


def _locked(actor: Actor, run: Evaluation, what: str) -> Evaluation:
    require(actor, "evaluation.run", run.tenant, run.project, what=what)
    rows = Evaluation.objects.for_tenant(run.tenant).select_for_update(of=("self",)).select_related("tenant", "project")
    return rows.get(pk=run.pk)


def caller_of(actor: Actor, tenant: Tenant, caller: User | None = None) -> tuple[User | None, ApiKey | None]:
    """For whom the gateway is called: it knows keys and members, and nobody else, the platform's staff included.
    Raises ``PermissionDenied``."""
    if actor.api_key_id is not None:
        return actor.user, ApiKey.objects.for_tenant(tenant).get(pk=actor.api_key_id)
    user = caller if actor.is_system else actor.user
    calling = [role for role in Role.values if "model.call" in ROLE_ACTIONS[Role(role)]]
    members = Membership.objects.for_tenant(tenant).filter(user=user, role__in=calling, user__is_active=True)
    if user is None or not members.exists():
        raise PermissionDenied(
            f"A run calls models for a member of {tenant.name} who may call them.",
            code="no_caller",
            remedy="Have a developer, data scientist or tenant admin start it, or become one of them.",
        )
    return user, None


def may_start(actor: Actor, tenant: Tenant) -> bool:
    """Whether a page offers it. The platform's staff may do what a tenant admin may, but call no models for it."""
    if not can(actor, "evaluation.run", tenant):
        return False
    try:
        caller_of(actor, tenant)
    except PermissionDenied:
        return False
    return True


def _checked(actor: Actor, plan: RunPlan) -> RunPlan:
    """The plan with its defaults, all of it of one tenant. Raises ``RunRefused``."""
    project, tenant = plan.project, plan.project.tenant
    if not project.is_active:
        raise RunRefused(f"The project {project.name} is archived.", field="project")
    version = plan.prompt_version
    if version is not None and version.prompt.tenant_id != tenant.pk:
        raise RunRefused("The prompt is not this tenant's.", field="prompt")
    if plan.dataset_version.dataset.tenant_id != tenant.pk:
        raise RunRefused("The dataset is not this tenant's.", field="dataset")
    if plan.baseline is not None and plan.baseline.tenant_id != tenant.pk:
        raise RunRefused("The baseline is not this tenant's.", field="baseline")
    if not plan.metrics:
        raise RunRefused("Choose at least one scorer.", field="scorers")
    if len(plan.metrics) > MOST_SCORERS or len({each.version.pk for each in plan.metrics}) < len(plan.metrics):
        raise RunRefused(f"Choose at most {MOST_SCORERS} scorers, each once.", field="scorers")
    for each in plan.metrics:
        if each.version.scorer.tenant_id != tenant.pk:
            raise RunRefused("A scorer is not this tenant's.", field="scorers")
        registry.make(each.version.scorer.kind, each.version.parameters)
        validation.clean_choice(each.role, MetricRole, field="scorers")
    model = plan.model or (version.model if version is not None else "")
    check_model(actor, plan.project, version, model)
    split = validation.clean_choice(plan.split, Split, field="split") if plan.split else ""
    repetitions = validation.clean_number(plan.repetitions, field="repetitions", minimum=1, maximum=MOST_REPETITIONS)
    concurrency = validation.clean_number(plan.concurrency, field="concurrency", minimum=1, maximum=MOST_CONCURRENCY)
    parameters = _clean_parameters(plan.parameters or {})
    seed = (
        plan.seed
        if plan.seed is None
        else validation.clean_number(plan.seed, field="seed", minimum=0, maximum=2**31 - 1000)
    )
    _check_first_example(plan, model, parameters, split)
    return RunPlan(
        project=project,
        dataset_version=plan.dataset_version,
        metrics=plan.metrics,
        prompt_version=version,
        model=model,
        parameters=parameters,
        split=split,
        repetitions=repetitions,
        seed=seed,
        baseline=plan.baseline,
        name=plan.name,
        budget_picousd=None if plan.budget_picousd is None else _clean_budget(plan.budget_picousd),
        reuses_answers=plan.reuses_answers,
        concurrency=concurrency,
    )


def check_model(actor: Actor, project: Project, version: PromptVersion | None, model: str) -> None:
    """Raises ``RunRefused`` for a model or route that the project may not call."""
    tenant = project.tenant
    if not model:
        raise RunRefused("Choose a model: the prompt's version names none.", field="model")
    if model == RECORDED and version is None:
        return
    if callable_models_for(actor, tenant, project).filter(slug=model).exists():
        return
    if routes_for(actor).filter(Q(tenant=tenant) | Q(tenant=None), slug=model, is_enabled=True).exists():
        return
    if callable_revision(tenant, model) is not None:
        return
    raise RunRefused(
        f"{tenant.name} may not call a model {model[:100]!r}.",
        code="model_not_callable",
        field="model",
        remedy="Request access on its page, or choose another.",
    )


def _check_first_example(plan: RunPlan, model: str, parameters: Mapping[str, Any], split: str) -> None:
    """A dataset that does not fit the prompt at all is told before anything is paid for."""
    members = VersionExample.objects.for_tenant(plan.project.tenant).filter(version=plan.dataset_version)
    if split:
        members = members.filter(revision__split=split)
    first = members.select_related("revision").order_by("position").first()
    if first is None:
        raise RunRefused(
            f"The dataset's version has no examples{f' of the split {split}' if split else ''}.", field="dataset"
        )
    try:
        subject = make_subject(plan.prompt_version, model, parameters, plan.seed)
        subject.sample(first.revision)
        if subject.is_recorded:
            subject.recorded(first.revision)
    except NotAskable as problem:
        raise RunRefused(
            f"The first example does not fit: {problem.message}",
            code="dataset_does_not_fit",
            field="dataset",
            remedy="Choose another version of the prompt or of the dataset.",
        ) from None


def _clean_parameters(given: Mapping[str, Any]) -> dict[str, Any]:
    try:
        check_storable(given)
        clean: dict[str, Any] = msgspec.to_builtins(msgspec.convert(dict(given), Parameters))
    except ContentInvalid as error:
        raise RunRefused(error.message, field="parameters") from None
    except msgspec.ValidationError as error:
        raise RunRefused(f"The parameters cannot be taken: {error}.", field="parameters") from None
    return clean


def _clean_budget(picousd: int) -> int:
    if not 0 < picousd < 2**62:
        raise RunRefused("The budget has to be above 0.", field="budget")
    return picousd


def _estimate(plan: RunPlan) -> Estimate:
    return estimate(
        tenant=plan.project.tenant,
        dataset_version=plan.dataset_version,
        split=plan.split,
        prompt_version=plan.prompt_version,
        model=plan.model,
        parameters=plan.parameters or {},
        scorers=[each.version for each in plan.metrics],
        repetitions=plan.repetitions,
        concurrency=plan.concurrency,
    )


def name_of(plan: RunPlan) -> str:
    """What a run is called that nobody named."""
    what = "Recorded answers" if plan.model == RECORDED else plan.model
    if plan.prompt_version is not None:
        what = f"{plan.prompt_version.prompt.name} v{plan.prompt_version.number}"
    return f"{what} on {plan.dataset_version.dataset.name} v{plan.dataset_version.number}"[:200]
