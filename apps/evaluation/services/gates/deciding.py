"""A gate is decided, once its runs are over, by the evidence and the policy of its plan."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from django.db import transaction
from django.utils import timezone

from apps.evaluation import evidence
from apps.evaluation.models import Comparison, Evaluation, GateDecision
from apps.evaluation.services.gates.comparing import keep_comparison, sides_of, weigh_comparison
from apps.evaluation.services.gates.guarding import adopt_all, locked
from apps.evaluation.services.gates.opening import (
    open_gate_of_new_version,
    open_gate_of_revision,
    planned_for,
    proposed_by_plan,
)
from apps.evaluation.services.gates.outcomes import outdated, release, settle
from apps.evaluation.terms import Terms
from apps.evaluation.types import LIVE_RUNS, ComparisonStatus, GateStatus, ReleasePolicy, RunStatus, Verdict
from apps.gateway.models import RouteRevision
from apps.prompts.models import PromptVersion
from apps.tenants.access import Actor
from apps.tenants.errors import DomainError

WHY: Final = "a gate that its worker decides"


def decide_gates() -> None:
    """New versions that nobody heard of, every gate whose runs are over, and every comparison that waits."""
    recently = timezone.now() - timedelta(days=1)
    unheard = PromptVersion.objects.unscoped(WHY).filter(planned_for(), created_at__gte=recently, gate_decisions=None)
    for pk in unheard.order_by("pk").values_list("pk", flat=True)[:20]:
        open_gate_of_new_version(pk)
    proposed = RouteRevision.objects.unscoped(WHY).filter(proposed_by_plan(), gate_decisions=None)
    for pk in proposed.filter(created_at__gte=recently).order_by("pk").values_list("pk", flat=True)[:20]:
        open_gate_of_revision(pk)
    for pk in GateDecision.objects.unscoped(WHY).filter(status=GateStatus.RUNNING).values_list("pk", flat=True)[:100]:
        decide_gate(pk)
    waiting = Comparison.objects.unscoped(WHY).filter(status=ComparisonStatus.WAITING).values_list("pk", flat=True)
    for pk in waiting[:100]:
        weigh_comparison(pk)


def decide_gate(decision_id: int) -> None:
    """Nothing, where it is decided or its runs go on."""
    rows = GateDecision.objects.unscoped(WHY).select_related(
        "tenant",
        "prompt__tenant",
        "version__prompt",
        "route__tenant",
        "revision__route__tenant",
        *sides_of("candidate"),
        *sides_of("baseline"),
    )
    decision = rows.filter(pk=decision_id, status=GateStatus.RUNNING).first()
    if decision is None or any(run is not None and run.status in LIVE_RUNS for run in _runs(decision)):
        return
    found = _found(decision)
    with transaction.atomic():
        owner = locked(decision.owner)
        fresh = rows.filter(pk=decision_id, status=GateStatus.RUNNING).first()
        if fresh is not None:
            adopt_all(fresh, owner)
            _decide(fresh, found)


def _runs(decision: GateDecision) -> list[Evaluation | None]:
    wanted = [decision.candidate]
    if decision.policy.get("baseline_version") is not None:
        wanted.append(decision.baseline)
    return wanted


def _found(decision: GateDecision) -> dict[str, Any]:
    """The evidence, or under ``failed`` why there is none."""
    names = ("version", "released version") if decision.route_id is None else ("revision", "revision in force")
    for run, name in zip(_runs(decision), names, strict=False):
        if run is None:
            return {"failed": f"The {name}'s evaluation is gone."}
        if run.status != RunStatus.DONE:
            why = f": {run.error}" if run.error else "."
            ended = "failed" if run.status == RunStatus.FAILED else f"was {run.get_status_display().lower()}"
            return {"failed": f"The {name}'s evaluation {ended}{why}"}
    assert decision.candidate is not None
    if decision.baseline is None:
        return {"candidate": evidence.summary_of(decision.candidate)}
    try:
        return evidence.weigh(decision.baseline, decision.candidate, Terms.of(decision.policy))
    except ValueError as error:
        return {"failed": str(error)}


def _decide(decision: GateDecision, found: dict[str, Any]) -> None:
    policy = decision.policy
    actor = Actor.system(f"gate decision {decision.pk}")
    if "failed" in found:
        settle(actor, decision, GateStatus.FAILED, [found["failed"]])
        return
    decision.evidence = found
    if decision.baseline is None:
        reasons = [f"There is nothing to compare with: “{policy['label']}” means no version yet."]
        wanted = GateStatus.ADVISED if policy["policy"] == ReleasePolicy.ADVICE else GateStatus.WAITING
        settle(actor, decision, wanted, reasons)
        return
    keep_comparison(decision, found)
    decision.verdict = found["verdict"]
    reasons = list(found["reasons"])
    if policy["policy"] == ReleasePolicy.ADVICE:
        settle(actor, decision, GateStatus.ADVISED, reasons)
    elif decision.verdict != Verdict.BETTER:
        settle(actor, decision, GateStatus.STOPPED, reasons)
    elif moved := outdated(decision):
        settle(actor, decision, GateStatus.STOPPED, [moved, *reasons])
    elif policy["policy"] == ReleasePolicy.APPROVAL:
        settle(actor, decision, GateStatus.WAITING, reasons)
    else:
        try:
            with transaction.atomic():
                decision.release = release(actor, decision, f"Gate decision {decision.pk}: better.")
        except DomainError as error:  # what a revision sends to is gone, or no longer the tenant's to call
            settle(actor, decision, GateStatus.STOPPED, [str(error), *reasons])
        else:
            settle(actor, decision, GateStatus.RELEASED, reasons)
