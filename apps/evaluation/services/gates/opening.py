"""A gate is opened: the new version, or revision, and what is in force are evaluated on the same examples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from apps.evaluation.models import (
    DatasetVersion,
    Evaluation,
    EvaluationItem,
    EvaluationPlan,
    GateDecision,
    PlanMetric,
)
from apps.evaluation.running import subjects
from apps.evaluation.selectors import gates as selectors
from apps.evaluation.services.gates.guarding import Subject, about, adopt, in_force, locked, model_of, owner_of
from apps.evaluation.services.gates.judges import standing_of, unfit_judges
from apps.evaluation.services.gates.outcomes import record
from apps.evaluation.services.plans import PlanFacts, cleaned, of_owner, tenant_of, told
from apps.evaluation.services.runs import MetricChoice, RunPlan, start_run
from apps.evaluation.services.scorers import current_version
from apps.evaluation.types import GateStatus, ItemStatus, MetricRole, ReleasePolicy, RunStatus, Trigger, Verdict
from apps.gateway.models import RouteRevision
from apps.prompts.models import PromptVersion
from apps.tenants.access import Actor, require
from apps.tenants.errors import Conflict, DomainError, Invalid, PermissionDenied
from apps.tenants.jobs import enqueue
from apps.tenants.models import Membership

WHY: Final = "a gate that opens by itself, or that its caller reached"
DECIDE_TASK: Final = "evaluation.decide_gate"
_RUNNING: Final = {"status": GateStatus.RUNNING}
# What does not change the question: who asked it, when, and who says yes to the answer.
_ASKING: Final = ("trigger", "opened_by", "approvers")


@transaction.atomic
def open_gate(
    *, actor: Actor, version: Subject, trigger: str = Trigger.PERSON, facts: PlanFacts | None = None
) -> GateDecision:
    """Evaluate ``version`` by its owner's plan, or by ``facts`` in its place: those give advice and release nothing.

    The same question asked again is answered by the same decision: asking until chance says yes would be no test.

    Raises:
        Conflict: There is no plan, or the label means this version already.
        Invalid: The plan does not fit what is there: a dataset without a version, a model that may not be called.
        PermissionDenied: An API key of another project than that in which the plan has its calls made.
    """
    owner = locked(owner_of(version))
    tenant = tenant_of(owner)
    require(actor, "evaluation.run", tenant, what="run this gate")
    adopt(version, owner)
    if facts is not None:
        values, chosen = cleaned(owner, facts)
        stated = EvaluationPlan(tenant=tenant, **of_owner(owner), **(values | {"policy": ReleasePolicy.ADVICE}))
        rows = [PlanMetric(scorer=each.scorer, role=each.role, margin=each.margin) for each in chosen]
        return _open(actor, stated, rows, version, trigger)
    plan = selectors.plan_of(owner)
    if plan is None:
        raise Conflict(
            f"{owner.name} has no evaluation plan.",
            code="no_plan",
            remedy="Set one on its page: the dataset, the metrics, and who decides.",
        )
    return _open(actor, plan, _metrics_of(plan), version, trigger)


def open_gate_of_new_version(version_id: int) -> None:
    """For a version that was saved under its prompt's plan. What stands in the way is the decision."""
    version = (
        PromptVersion.objects.unscoped(WHY)
        .select_related("prompt__tenant", "author")
        .filter(planned_for(), pk=version_id)
        .first()
    )
    if version is not None and not GateDecision.objects.unscoped(WHY).filter(version=version).exists():
        _open_by_itself(version)


def open_gate_of_revision(revision_id: int) -> None:
    """The same for a guarded route's proposal. One that was proposed before asks only what was not asked yet."""
    rows = RouteRevision.objects.unscoped(WHY).select_related("route__tenant", "author")
    revision = rows.filter(proposed_by_plan(), pk=revision_id).first()
    if revision is not None:
        _open_by_itself(revision)


def _open_by_itself(version: Subject) -> None:
    with transaction.atomic():
        owner = locked(owner_of(version))
        plan = selectors.plan_of(owner)
        if plan is None or GateDecision.objects.unscoped(WHY).filter(**about(version), **_RUNNING).exists():
            return
        if isinstance(version, PromptVersion) and version.gate_decisions.exists():
            return
        adopt(version, owner)
        try:
            with transaction.atomic():
                _open(Actor.system("evaluation plan"), plan, _metrics_of(plan), version, Trigger.VERSION)
        except DomainError as error:
            if error.code == "nothing_to_gate":
                return
            released = in_force(owner, plan.environment, plan.label)
            facts = told(plan) | {
                "trigger": Trigger.VERSION,
                "opened_by": "evaluation plan",
                "baseline_version": None if released is None else released.number,
            }
            decision = _saved(
                version,
                GateDecision(
                    tenant=plan.tenant,
                    policy=facts,
                    status=GateStatus.FAILED,
                    reasons=[str(error)],
                    decided_at=timezone.now(),
                ),
            )
            record(Actor.system("evaluation plan"), decision, "gate.failed")


def _metrics_of(plan: EvaluationPlan) -> list[PlanMetric]:
    return list(plan.metrics.select_related("scorer__tenant").order_by("pk"))


def planned_for() -> Q:
    """Versions that were saved after their prompt's plan was last set."""
    return Q(
        prompt__evaluation_plan__runs_by_itself=True,
        prompt__is_archived=False,
        created_at__gte=F("prompt__evaluation_plan__updated_at"),
    )


def proposed_by_plan() -> Q:
    """Revisions that wait to be in force on a route whose plan runs by itself."""
    return Q(pk=F("route__proposed"), route__evaluation_plan__runs_by_itself=True)


def _open(
    actor: Actor, plan: EvaluationPlan, rows: Sequence[PlanMetric], version: Subject, trigger: str
) -> GateDecision:
    owner = owner_of(version)
    dataset = plan.dataset.versions.order_by("-number").first()
    if dataset is None:
        raise Invalid(
            f"The dataset {plan.dataset.name} has no version yet.",
            field="dataset",
            code="dataset_without_version",
            remedy="Freeze a version of it.",
        )
    baseline = in_force(owner, plan.environment, plan.label)
    is_in_force = baseline is not None and baseline.pk == version.pk
    metrics = [(current_version(actor=actor, scorer=row.scorer), row) for row in rows]
    facts = told(plan, rows) | {
        "dataset_version": dataset.number,
        "model": plan.model or model_of(version),
        "baseline_version": None if baseline is None else baseline.number,
        "metrics": [
            {
                "scorer": row.scorer.slug,
                "name": row.scorer.name,
                "version": scorer.number,
                "role": row.role,
                "margin": row.margin,
                "judge": standing_of(scorer),
            }
            for scorer, row in metrics
        ],
        "trigger": trigger,
        "opened_by": actor.name,
    }
    asked = _question(facts, is_in_force)
    decisions = GateDecision.objects.unscoped(WHY).filter(**about(version)).select_related("candidate", "baseline")
    for earlier in decisions.order_by("-pk")[:20]:
        if earlier.status == GateStatus.FAILED or (_lacked_answers(earlier) and not is_in_force):
            continue
        if _question(earlier.policy, is_in_force) == asked:
            return earlier
    if is_in_force:
        means = f"“{plan.label}” means version" if isinstance(version, PromptVersion) else "In force is revision"
        raise Conflict(f"{means} {version.number} already.", code="nothing_to_gate")
    if actor.api_key_id is not None and actor.project_id != plan.project_id:
        raise PermissionDenied(
            f"The calls are made in the project {plan.project.slug!r}, and this key is of another one.",
            code="key_of_other_project",
            remedy="Use a key of that project, or have the plan name the key's.",
        )
    if unfit := unfit_judges([scorer for scorer, row in metrics if row.role != MetricRole.WATCH]):
        raise Invalid(unfit[0], field="metrics", code="judge_not_calibrated", remedy=unfit[1])
    choices = [MetricChoice(scorer, row.role, row.margin) for scorer, row in metrics]
    other = None
    if baseline is not None:
        adopt(baseline, owner)
        other = _reusable(plan, baseline, dataset, choices) or _start(
            actor, plan, baseline, dataset, choices, trigger, None
        )
    candidate = _start(actor, plan, version, dataset, choices, trigger, other)
    decision = _saved(version, GateDecision(tenant=plan.tenant, candidate=candidate, baseline=other, policy=facts))
    record(actor, decision, "gate.opened")
    enqueue(DECIDE_TASK, decision.pk)  # it may be that there is nothing to wait for
    return decision


def _saved(version: Subject, decision: GateDecision) -> GateDecision:
    for name, value in about(version).items():
        setattr(decision, name, value)
    decision.save(force_insert=True)
    return decision


def _lacked_answers(decision: GateDecision) -> bool:
    """Whether it came to no verdict, and errors of its evaluations were tried again since: after an outage, say."""
    if decision.verdict != Verdict.INCONCLUSIVE or decision.decided_at is None:
        return False
    runs = [run for run in (decision.candidate, decision.baseline) if run is not None and run.status == RunStatus.DONE]
    return any(run.finished_at is not None and run.finished_at > decision.decided_at for run in runs)


def _question(policy: dict[str, Any], is_in_force: bool) -> dict[str, Any]:
    """What is asked, whoever asks it. How far a judge is trusted by now makes no other question of it; nor does the
    baseline where the version is in force already, as it was another one when the gate let it pass."""
    left_out = (*_ASKING, "baseline_version") if is_in_force else _ASKING
    asked = {name: value for name, value in policy.items() if name not in left_out}
    asked["metrics"] = [{name: value for name, value in each.items() if name != "judge"} for each in policy["metrics"]]
    return asked


def _start(
    actor: Actor,
    plan: EvaluationPlan,
    version: Subject,
    dataset: DatasetVersion,
    metrics: list[MetricChoice],
    trigger: str,
    baseline: Evaluation | None,
) -> Evaluation:
    run = RunPlan(
        project=plan.project,
        dataset_version=dataset,
        metrics=metrics,
        prompt_version=_prompt_version(version),
        model=plan.model or model_of(version),
        split=plan.split,
        repetitions=plan.repetitions,
        baseline=baseline,
        budget_picousd=plan.budget_picousd,
    )
    people = [person for person in (actor.user, version.author, plan.updated_by) if person is not None]
    rows = Membership.objects.for_tenant(plan.tenant).filter(user__in=people)
    members = set(rows.values_list("user_id", flat=True))
    if actor.api_key_id is not None or (actor.user is not None and actor.user.pk in members):
        return start_run(actor=actor, plan=run, trigger=trigger)
    # Calls are made for a member: the platform's staff and the plan itself are none.
    caller = next((person for person in people if person.pk in members), None)
    return start_run(actor=Actor.system(actor.label), plan=run, trigger=trigger, caller=caller)


def _prompt_version(version: Subject) -> PromptVersion | None:
    return version if isinstance(version, PromptVersion) else None


def _reusable(
    plan: EvaluationPlan, version: Subject, dataset: DatasetVersion, metrics: list[MetricChoice]
) -> Evaluation | None:
    """The newest run of the baseline that asked the same: done, or on its way, and of all examples."""
    rows = Evaluation.objects.for_tenant(plan.tenant).filter(
        prompt_version=_prompt_version(version),
        created_at__gte=version.created_at,
        dataset_version=dataset,
        split=plan.split,
        model=plan.model or model_of(version),
        parameters={},
        repetitions=plan.repetitions,
        seed=None,
        status__in=(RunStatus.DONE, RunStatus.RUNNING, RunStatus.QUEUED),
    )
    early = EvaluationItem.objects.for_tenant(plan.tenant).filter(status=ItemStatus.SKIPPED)
    rows = rows.exclude(pk__in=early.filter(evaluation__in=rows).values("evaluation"))
    wanted = {each.version.pk for each in metrics}
    rows = rows.select_related("tenant", "prompt_version__prompt").prefetch_related("metrics")
    for row in rows.order_by("-pk")[:20]:
        if wanted <= {metric.scorer_version_id for metric in row.metrics.all()} and _asked_the_same(row):
            return row
    return None


def _asked_the_same(run: Evaluation) -> bool:
    """Whether its first call would be the same now: what its model's name stands for may have changed since."""
    items = EvaluationItem.objects.for_tenant(run.tenant).filter(evaluation=run).exclude(call_hash="")
    first = items.select_related("revision").order_by("pk").first()
    return first is None or first.call_hash == subjects.Subject.of(run).hash_of(first.revision, first.repetition)
