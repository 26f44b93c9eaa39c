"""Reads of plans and gate decisions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from django.db.models import Count, Exists, OuterRef, Prefetch, Q, QuerySet, Sum

from apps.evaluation.models import (
    Approval,
    Comparison,
    Evaluation,
    EvaluationItem,
    EvaluationPlan,
    GateDecision,
    GateNotice,
)
from apps.evaluation.selectors.runs import without_requests
from apps.evaluation.types import (
    OPEN_GATES,
    AlertStatus,
    GateStatus,
    ItemStatus,
    MetricRole,
    ReleasePolicy,
    RunStatus,
    Verdict,
)
from apps.gateway.models import Route, RouteRevision
from apps.prompts.models import Prompt, PromptVersion
from apps.prompts.release_rules import Refusal
from apps.prompts.selectors import LabelState
from apps.tenants.access import Actor, can
from apps.tenants.errors import NotFound
from apps.tenants.models import Tenant, User
from apps.tenants.types import Environment

WHY: Final = "of a prompt that the actor may see"


def _of(owner: Prompt | Route) -> Q:
    return Q(route=owner) if isinstance(owner, Route) else Q(prompt=owner)


def _about(subject: PromptVersion | RouteRevision) -> Q:
    return Q(revision=subject) if isinstance(subject, RouteRevision) else Q(version=subject)


def plan_of(owner: Prompt | Route) -> EvaluationPlan | None:
    rows = EvaluationPlan.objects.unscoped(WHY)
    rows = rows.select_related("dataset", "project", "updated_by", "prompt", "route", "tenant")
    return rows.filter(_of(owner)).first()


def get_plan_of(owner: Prompt | Route) -> EvaluationPlan:
    plan = plan_of(owner)
    if plan is None:
        raise NotFound(f"{owner.name} has no evaluation plan.", code="no_plan")
    return plan


def gates_for(actor: Actor, tenant: Tenant | None = None) -> QuerySet[GateDecision]:
    """Newest first."""
    approvals = Approval.objects.unscoped("of the decisions just narrowed").select_related("user").order_by("pk")
    rows = (
        GateDecision.objects.for_actor(actor)
        .select_related(
            "tenant",
            "prompt__tenant",
            "version__author",
            "route__tenant",
            "revision__author",
            "candidate",
            "baseline__prompt_version",
            "release",
            "decided_by",
        )
        .prefetch_related(Prefetch("approvals", approvals))
    )
    return rows if tenant is None else rows.filter(tenant=tenant)


def get_gate_for(actor: Actor, pk: int) -> GateDecision:
    decision = gates_for(actor).filter(pk=min(pk, 2**63 - 1)).first()
    if decision is None:
        raise NotFound("There is no such gate decision.")
    return decision


def gates_of(owner: Prompt | Route) -> QuerySet[GateDecision]:
    rows = GateDecision.objects.unscoped(WHY).filter(_of(owner)).order_by("-pk")
    return rows.select_related("tenant", "prompt", "version", "route", "revision", "candidate", "baseline")


def gates_about(actor: Actor, subject: PromptVersion | RouteRevision) -> QuerySet[GateDecision]:
    return gates_for(actor).filter(_about(subject))


def is_advice(decision: GateDecision) -> bool:
    """Whether it was asked for beside the plan, or by a plan that gives advice: it lets nothing pass."""
    return bool(decision.policy.get("policy") == ReleasePolicy.ADVICE)


def deciding_first(decisions: Iterable[GateDecision]) -> list[GateDecision]:
    """In their order, but advice, which anybody may ask for at any time, after what decides."""
    return sorted(decisions, key=is_advice)


def newest_gates_of(route: Route) -> dict[int, GateDecision]:
    """By the revision's number: the newest that decides, else the newest advice."""
    found: dict[int, GateDecision] = {}
    rows = GateDecision.objects.unscoped(WHY).filter(route=route).defer("evidence").select_related("revision")
    for row in deciding_first(rows.order_by("-pk")[:100]):
        found.setdefault(row.subject.number, row)
    return found


def newest_gates(versions: Iterable[PromptVersion]) -> dict[int, GateDecision]:
    """By the version's id: the newest that decides, else the newest advice."""
    found: dict[int, GateDecision] = {}
    rows = GateDecision.objects.unscoped(WHY).filter(version__in=list(versions)).defer("evidence").order_by("-pk")
    for row in deciding_first(rows):
        if row.version_id is not None:
            found.setdefault(row.version_id, row)
    return found


def progress_of(decision: GateDecision) -> dict[str, int]:
    """Items of both runs that are over, and all of them."""
    ids = [pk for pk in (decision.candidate_id, decision.baseline_id) if pk is not None]
    totals = Evaluation.objects.unscoped(WHY).filter(pk__in=ids).aggregate(total=Sum("items_total"))
    items = EvaluationItem.objects.unscoped(WHY).filter(evaluation__in=ids)
    return {"done": items.exclude(status=ItemStatus.PENDING).count(), "total": totals["total"] or 0}


def paused_runs(decision: GateDecision) -> list[Evaluation]:
    """Those of its runs that go on only when somebody resumes them, for example since a budget is used up."""
    runs = (decision.candidate, decision.baseline)
    return [run for run in runs if run is not None and run.status == RunStatus.PAUSED]


def held_up(decision: GateDecision) -> list[str]:
    """Why its runs do not go on for the moment, for example since a limit is reached; they go on by themselves."""
    runs = (decision.candidate, decision.baseline)
    said = [run.error for run in runs if run is not None and run.status == RunStatus.RUNNING and run.error]
    return list(dict.fromkeys(said))


def told_of(decision: GateDecision) -> dict[str, int]:
    """How many who may approve it are to be told by mail, and how many were."""
    rows = GateNotice.objects.unscoped(WHY).filter(decision=decision)
    return rows.aggregate(all=Count("pk"), sent=Count("pk", filter=Q(status=AlertStatus.SENT)))


def approvers_of(decision: GateDecision) -> list[User]:
    """Whom its owner's plan names, as it is now; empty where all approve whose role may."""
    plan = plan_of(decision.owner)
    return [] if plan is None else list(plan.approvers.order_by("name", "email"))


def comparisons_for(actor: Actor) -> QuerySet[Comparison]:
    return Comparison.objects.for_actor(actor).select_related("tenant", "baseline", "candidate")


def get_comparison_for(actor: Actor, pk: int) -> Comparison:
    comparison = comparisons_for(actor).filter(pk=min(pk, 2**63 - 1)).first()
    if comparison is None:
        raise NotFound("There is no such comparison.")
    return comparison


def comparison_of(baseline: Evaluation, candidate: Evaluation) -> Comparison | None:
    return Comparison.objects.unscoped(WHY).filter(baseline=baseline, candidate=candidate).first()


def get_evaluation_for(actor: Actor, public_id: str, action: str = "") -> Evaluation:
    rows = without_requests(actor, Evaluation.objects.for_actor(actor, action)).select_related(
        "tenant", "project", "prompt_version__prompt", "dataset_version__dataset"
    )
    run = rows.filter(public_id=public_id).first()
    if run is None:
        raise NotFound(f"There is no evaluation {public_id[:20]!r}.")
    return run


def waiting_for(actor: Actor, tenant: Tenant) -> QuerySet[GateDecision]:
    """Decisions that this person may approve and has not: of versions that are not their own."""
    if actor.user is None or not can(actor, "gate.approve", tenant):
        return GateDecision.objects.for_tenant(tenant).none()
    given = Approval.objects.unscoped("of the decision of the outer query").filter(
        decision=OuterRef("pk"), user=actor.user
    )
    rows = GateDecision.objects.for_tenant(tenant).filter(status=GateStatus.WAITING).exclude(version__author=actor.user)
    rows = rows.exclude(revision__author=actor.user).filter(~Exists(given)).order_by("-pk")
    named = EvaluationPlan.approvers.through.objects.filter(
        Q(evaluationplan__prompt=OuterRef("prompt")) | Q(evaluationplan__route=OuterRef("route"))
    )
    rows = rows.filter(~Exists(named) | Exists(named.filter(user=actor.user)))
    return rows.select_related("tenant", "prompt", "version__author", "route", "revision__author")


@dataclass(frozen=True, slots=True)
class Check:
    """A line of the gate's checklist; ``state`` is ok, failed, open or info."""

    state: str
    text: str


def checklist(owner: Prompt | Route, plan: EvaluationPlan | None, decision: GateDecision | None) -> list[Check]:
    """What has to hold before the version is released, as far as it is known."""
    if decision is None:
        if plan is None:
            if isinstance(owner, Route):
                return [Check("info", "No plan guards this route: a person puts its revisions in force.")]
            return [Check("info", "No plan guards this prompt: a person releases its versions.")]
        return [Check("open", "The gate has not run yet.")]
    policy, evidence = decision.policy, decision.evidence
    if decision.status == GateStatus.RUNNING:
        paused = [Check("failed", f"{run.name} is paused. {run.error}".strip()) for run in paused_runs(decision)]
        return paused or [Check("open", f"Both {decision.noun}s are being evaluated.")]
    if decision.status == GateStatus.FAILED:
        return [Check("failed", reason) for reason in decision.reasons] or [Check("failed", "It could not be decided.")]
    checks = []
    for metric in evidence.get("metrics", []):
        if metric["role"] != MetricRole.WATCH:
            state = {"better": "ok", "worse": "failed"}.get(metric["verdict"], "open")
            checks.append(Check(state, metric["reason"]))
    usage = evidence.get("usage", {})
    for name, limit, word in (
        ("cost_picousd", policy.get("most_cost_ratio"), "cost"),
        ("duration_ms", policy.get("most_latency_ratio"), "time"),
    ):
        figures = usage.get(name, {})
        ratio = figures.get("ratio")
        if limit is not None and name == "cost_picousd" and figures.get("baseline") == 0 and figures.get("candidate"):
            checks.append(
                Check("failed", f"An answer costs something, what is in force nothing; at most {limit:g} times.")
            )
        if limit is not None and ratio is not None:
            text = f"{ratio:.2f} times the {word} of what is in force; at most {limit:g} times."
            checks.append(Check("ok" if ratio <= limit else "failed", text))
    if not evidence.get("metrics") and decision.baseline_id is None:
        checks.append(Check("info", "Nothing is released yet, so there is nothing to compare with."))
    if decision.status in (GateStatus.WAITING, GateStatus.RELEASED) and (
        policy["policy"] == ReleasePolicy.APPROVAL or decision.baseline_id is None
    ):
        given = sum(each.is_approval for each in decision.approvals.all())
        needed = policy["approvals_needed"]
        text = f"{given} of {needed} approvals."
        if decision.status == GateStatus.WAITING and (named := approvers_of(decision)):
            text = f"{given} of {needed} approvals, by {' or '.join(map(str, named))}."
        checks.append(Check("ok" if given >= needed else "open", text))
    return checks


def lacks_scores(decision: GateDecision) -> bool:
    """Whether there is no verdict as many examples have a score on neither side: that is no fault of the version."""
    if decision.verdict != Verdict.INCONCLUSIVE:
        return False
    most = decision.evidence["policy"]["most_unpaired"]
    return any(
        metric["role"] != MetricRole.WATCH and metric.get("unscored", 0) > most * (metric["pairs"] + metric["unpaired"])
        for metric in decision.evidence["metrics"]
    )


def main_version(state: LabelState | None) -> PromptVersion | None:
    """What a label means for most callers; of equal shares the older one."""
    if state is None:
        return None
    return min(state.shares, key=lambda share: (-share.weight, share.version.number)).version


def release_refusal(prompt: Prompt, environment: str, label: str, version: PromptVersion) -> Refusal | None:
    """The rule that plans bring to the catalog: a guarded label takes new versions from its gate alone."""
    plan = (
        EvaluationPlan.objects.unscoped(WHY)
        .filter(prompt=prompt, environment=environment, label=label)
        .exclude(policy=ReleasePolicy.ADVICE)
        .first()
    )
    if plan is None:
        return None
    where = f"“{label}” in {Environment(environment).label.lower()}"
    rows = GateDecision.objects.unscoped(WHY).filter(version=version).defer("evidence").order_by("-pk")
    decisions = [
        each for each in rows if (each.policy.get("environment"), each.policy.get("label")) == (environment, label)
    ]
    if any(each.status in OPEN_GATES for each in decisions):
        return None
    name = f"Version {version.number}"
    decisions = [each for each in decisions if not is_advice(each)]
    if not decisions:
        return Refusal(
            f"{name} has not been through the gate that guards {where}.",
            "Run its gate from its review page, or have a tenant admin override it.",
            "gate_not_run",
        )
    newest = decisions[0]
    if newest.status == GateStatus.RUNNING:
        return Refusal(f"The gate of {name.lower()} is still running.", "Wait for its verdict.", "gate_running")
    if newest.status == GateStatus.WAITING:
        return Refusal(
            f"{name} waits for approval by its gate.", "Approve it on its review page.", "gate_waiting_for_approval"
        )
    why = newest.reasons[0] if newest.reasons else newest.get_status_display()
    if newest.status == GateStatus.FAILED:
        return Refusal(
            f"The gate that guards {where} could not decide about version {version.number}: {why}",
            "Mend what stands in its way and run the gate again, or have a tenant admin override it with a reason.",
            "gate_failed",
        )
    mend = "Save a better version"
    if lacks_scores(newest):
        mend = "Mend what its examples have no score for, in the dataset or the scorer, and run the gate again"
    return Refusal(
        f"The gate that guards {where} stopped version {version.number}: {why}",
        f"{mend}, or have a tenant admin override the gate with a reason.",
        "gate_stopped",
    )
