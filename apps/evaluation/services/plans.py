"""The evaluation plan of a prompt or a route: what happens to its new versions, or revisions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.db import transaction
from django.db.models import QuerySet

from apps.evaluation.models import Dataset, EvaluationPlan, PlanMetric, Scorer
from apps.evaluation.types import MetricRole, ReleasePolicy, Split
from apps.gateway import services as gateway
from apps.gateway.models import Route
from apps.gateway.types import Guard
from apps.prompts.models import Prompt
from apps.tenants import audit, validation
from apps.tenants.access import ROLE_ACTIONS, Actor, require
from apps.tenants.errors import Invalid
from apps.tenants.models import Membership, Project, Tenant, User
from apps.tenants.services.changes import apply_changes
from apps.tenants.types import Environment, Role

MOST_METRICS: Final = 12
LARGEST_RATIO: Final = 1_000.0
LARGEST_MARGIN: Final = 1e9
APPROVING: Final = tuple(role for role in Role if "gate.approve" in ROLE_ACTIONS[role])


@dataclass(frozen=True, slots=True)
class PlannedMetric:
    scorer: Scorer
    role: str = MetricRole.PRIMARY
    margin: float = 0.0


@dataclass(frozen=True, slots=True)
class PlanFacts:
    """What a plan says; see ``EvaluationPlan``. ``model`` empty means the version's own, ``approvers`` all who may."""

    dataset: Dataset
    project: Project
    metrics: Sequence[PlannedMetric]
    split: str = Split.TEST
    model: str = ""
    environment: str = Environment.PROD
    label: str = "live"
    policy: str = ReleasePolicy.APPROVAL
    approvals_needed: int = 1
    approvers: Sequence[User] = ()
    canary_percent: int = 100
    runs_by_itself: bool = True
    repetitions: int = 1
    alpha: float = 0.05
    minimum_pairs: int = 30
    most_cost_ratio: float | None = None
    most_latency_ratio: float | None = None
    budget_picousd: int | None = None


@transaction.atomic
def set_plan(*, actor: Actor, owner: Prompt | Route, facts: PlanFacts) -> EvaluationPlan:
    """The owner's plan from now on, in the place of what it was. Gates that run keep the plan that they began with,
    but for its approvers: who approves is as the plan says now. A route with a plan is guarded: its changes are
    proposed."""
    tenant = tenant_of(owner)
    require(actor, "evaluation.plan", tenant, what="change how this is evaluated")
    values, metrics = cleaned(owner, facts)
    plans = EvaluationPlan.objects.for_tenant(tenant).select_for_update(of=("self",))
    plan = plans.filter(**of_owner(owner)).first()
    before = None if plan is None else told(plan)
    if plan is None:
        plan = EvaluationPlan(tenant=tenant, **of_owner(owner), updated_by=actor.user)
        for name, value in values.items():
            setattr(plan, name, value)
        plan.save(force_insert=True)
    else:
        apply_changes(plan, {**values, "updated_by": actor.user})
        plan.save(update_fields=["updated_at"])
    rows = [(each.scorer.pk, str(each.role), each.margin) for each in metrics]
    if [(row.scorer_id, row.role, row.margin) for row in plan.metrics.all()] != rows:
        plan.metrics.all().delete()
        PlanMetric.objects.bulk_create(
            PlanMetric(plan=plan, scorer=each.scorer, role=each.role, margin=each.margin) for each in metrics
        )
    plan.approvers.set(facts.approvers)
    plan.refresh_from_db()
    if isinstance(owner, Route):
        how = Guard.ADVICE if plan.policy == ReleasePolicy.ADVICE else Guard.GATE
        gateway.guard_route(actor=actor, route=owner, guard=how)
    after = told(plan)
    if before != after:
        changed = {key: [None if before is None else before[key], after[key]] for key in after}
        changed = {key: each for key, each in changed.items() if each[0] != each[1]}
        audit.record(actor, "evaluation_plan.set", owner, changed, tenant)
    return plan


@transaction.atomic
def remove_plan(*, actor: Actor, owner: Prompt | Route) -> None:
    """New versions are no longer evaluated by themselves, and people release them as they please. Decisions stay."""
    tenant = tenant_of(owner)
    require(actor, "evaluation.plan", tenant, what="change how this is evaluated")
    deleted, _ = EvaluationPlan.objects.for_tenant(tenant).filter(**of_owner(owner)).delete()
    if isinstance(owner, Route):
        gateway.guard_route(actor=actor, route=owner, guard=Guard.NONE)
    if deleted:
        audit.record(actor, "evaluation_plan.removed", owner, {}, tenant)


def of_owner(owner: Prompt | Route) -> dict[str, Any]:
    """The columns of a plan or a decision that name it."""
    return {"route": owner} if isinstance(owner, Route) else {"prompt": owner}


def tenant_of(owner: Prompt | Route) -> Tenant:
    """Raises ``Invalid`` for a route of the platform's, which is everybody's."""
    if owner.tenant is None:
        raise Invalid(
            "The platform's routes serve every tenant, so that none of them decides about their changes.",
            field="route",
            code="route_of_platform",
            remedy="Guard a route of the tenant's own.",
        )
    return owner.tenant


def told(plan: EvaluationPlan, metrics: Sequence[PlanMetric] | None = None) -> dict[str, Any]:
    """The plan in plain values, for the audit trail and for a decision's record."""
    if metrics is None:
        metrics = list(plan.metrics.select_related("scorer"))
    return {
        "dataset": plan.dataset.slug,
        "split": plan.split,
        "project": plan.project.slug,
        "model": plan.model,
        "environment": plan.environment,
        "label": plan.label,
        "policy": plan.policy,
        "approvals_needed": plan.approvals_needed,
        "approvers": [] if plan._state.adding else sorted(plan.approvers.values_list("email", flat=True)),
        "canary_percent": plan.canary_percent,
        "runs_by_itself": plan.runs_by_itself,
        "repetitions": plan.repetitions,
        "alpha": plan.alpha,
        "minimum_pairs": plan.minimum_pairs,
        "most_cost_ratio": plan.most_cost_ratio,
        "most_latency_ratio": plan.most_latency_ratio,
        "budget_picousd": plan.budget_picousd,
        "metrics": [
            {"scorer": row.scorer.slug, "name": row.scorer.name, "role": row.role, "margin": row.margin}
            for row in metrics
        ],
    }


def cleaned(owner: Prompt | Route, facts: PlanFacts) -> tuple[dict[str, Any], list[PlannedMetric]]:
    """The plan's own columns, and its metrics. Raises ``Invalid`` naming the field."""
    tenant_id = tenant_of(owner).pk
    if facts.dataset.tenant_id != tenant_id or facts.dataset.is_archived:
        raise Invalid("There is no such dataset in use in this tenant.", field="dataset")
    if facts.project.tenant_id != tenant_id or not facts.project.is_active:
        raise Invalid("There is no such active project in this tenant.", field="project")
    label = "" if isinstance(owner, Route) else validation.clean_slug(facts.label, field="label")
    if label.isdigit():
        raise Invalid(f"{label!r} looks like a version's number.", field="label", remedy="Use a word such as live.")
    number = validation.clean_number
    values = {
        "dataset": facts.dataset,
        "project": facts.project,
        "split": validation.clean_choice(facts.split, Split, field="split") if facts.split else "",
        "model": validation.clean_model_names([facts.model], field="model")[0] if facts.model.strip() else "",
        "environment": validation.clean_choice(facts.environment, Environment, field="environment"),
        "label": label,
        "policy": validation.clean_choice(facts.policy, ReleasePolicy, field="policy"),
        "approvals_needed": number(facts.approvals_needed, field="approvals_needed", minimum=1, maximum=5),
        "canary_percent": number(facts.canary_percent, field="canary_percent", minimum=1, maximum=100),
        "runs_by_itself": bool(facts.runs_by_itself),
        "repetitions": number(facts.repetitions, field="repetitions", minimum=1, maximum=20),
        "alpha": _between(facts.alpha, "alpha", 0.0001, 0.4),
        "minimum_pairs": number(facts.minimum_pairs, field="minimum_pairs", minimum=2, maximum=1_000_000),
        "most_cost_ratio": _ratio(facts.most_cost_ratio, "most_cost_ratio"),
        "most_latency_ratio": _ratio(facts.most_latency_ratio, "most_latency_ratio"),
        "budget_picousd": None
        if facts.budget_picousd is None
        else number(facts.budget_picousd, field="budget_picousd", minimum=1, maximum=2**62),
    }
    _check_approvers(tenant_id, facts)
    if isinstance(owner, Route):  # a revision is called by its own name, and is in force for every call
        values |= {"model": "", "environment": "", "canary_percent": 100}
    return values, _cleaned_metrics(tenant_id, facts.metrics)


def may_approve(tenant_id: int) -> QuerySet[User]:
    """Who may be a plan's approver: the members whose role lets them."""
    members = Membership.objects.unscoped("of the tenant whose plan is set").filter(tenant=tenant_id)
    return User.objects.filter(pk__in=members.filter(role__in=APPROVING).values("user"), is_active=True).order_by(
        "email"
    )


def _check_approvers(tenant_id: int, facts: PlanFacts) -> None:
    named = {each.pk for each in facts.approvers}
    found = set(may_approve(tenant_id).filter(pk__in=named).values_list("pk", flat=True))
    if strange := sorted(each.email for each in facts.approvers if each.pk not in found):
        raise Invalid(
            f"{', '.join(strange)} may not approve in this tenant.",
            field="approvers",
            remedy="Name developers, data scientists or tenant admins of it.",
        )
    if named and len(named) < facts.approvals_needed:
        raise Invalid(
            f"{facts.approvals_needed} approvals are needed, and {len(named)} may give one.",
            field="approvals_needed",
            remedy="Name more approvers, or ask for fewer approvals.",
        )


def _cleaned_metrics(tenant_id: int, metrics: Sequence[PlannedMetric]) -> list[PlannedMetric]:
    if len(metrics) > MOST_METRICS:
        raise Invalid(f"There are {len(metrics)} metrics; at most {MOST_METRICS} fit.", field="metrics")
    if len({each.scorer.pk for each in metrics}) < len(metrics):
        raise Invalid("A scorer is there twice.", field="metrics")
    cleaned = []
    for each in metrics:
        if each.scorer.tenant_id != tenant_id or each.scorer.is_archived:
            raise Invalid("There is no such scorer in use in this tenant.", field="metrics")
        role = validation.clean_choice(each.role, MetricRole, field="metrics")
        cleaned.append(PlannedMetric(each.scorer, role, _between(each.margin, "metrics", 0.0, LARGEST_MARGIN)))
    if not any(each.role == MetricRole.PRIMARY for each in cleaned):
        raise Invalid(
            "No metric is the primary one.",
            field="metrics",
            remedy="Say of at least one scorer that it must improve.",
        )
    return cleaned


def _ratio(value: float | None, field: str) -> float | None:
    return None if value is None else _between(value, field, 0.01, LARGEST_RATIO)


def _between(value: float, field: str, least: float, most: float) -> float:
    if not math.isfinite(value):
        raise Invalid(f"{value!r} is no number.", field=field)
    if not least <= value <= most:
        raise Invalid(f"{value:g} is not between {least:g} and {most:g}.", field=field)
    return float(value)
