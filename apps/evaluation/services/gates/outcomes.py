"""How a decision ends: its row is settled, the audit trail told, and the version released."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from apps.evaluation.models import GateDecision
from apps.evaluation.services.gates.guarding import in_force
from apps.evaluation.services.gates.notices import tell_approvers
from apps.evaluation.types import GateStatus
from apps.gateway import services as gateway
from apps.prompts import services as prompts
from apps.prompts.models import Release
from apps.prompts.types import Decision
from apps.tenants import audit
from apps.tenants.access import Actor


def settle(actor: Actor, decision: GateDecision, status: GateStatus, reasons: list[str]) -> None:
    decision.status = status
    decision.reasons = reasons
    decision.decided_at = timezone.now()
    decision.save(update_fields=["status", "verdict", "reasons", "evidence", "release", "decided_at", "decided_by"])
    record(actor, decision, f"gate.{status}")
    if status == GateStatus.WAITING:
        tell_approvers(decision)


def record(actor: Actor, decision: GateDecision, action: str, **more: Any) -> None:
    policy = decision.policy
    facts = {
        "prompt" if decision.route is None else "route": decision.owner.slug,
        decision.noun: decision.subject.number,
        "against": policy.get("baseline_version"),
        "label": policy.get("label"),
        "environment": policy.get("environment"),
        "verdict": decision.verdict,
        "reason": decision.reasons[0][:300] if decision.reasons else "",
    }
    audit.record(actor, action, decision, facts | more, decision.tenant)


def outdated(decision: GateDecision) -> str:
    """Why the evidence no longer fits: the label has moved, or the prompt was archived, since the gate was opened."""
    policy = decision.policy
    if decision.prompt is not None and decision.prompt.is_archived:
        return "The prompt was archived meanwhile."
    now = in_force(decision.owner, policy["environment"], policy["label"])
    number = None if now is None else now.number
    if number == policy["baseline_version"]:
        return ""
    if decision.route is not None:
        return f"Revision {number} is in force meanwhile, so the comparison no longer fits: run the gate again."
    means = "no version" if number is None else f"version {number}"
    return f"“{policy['label']}” means {means} meanwhile, so the comparison no longer fits: run the gate again."


def release(
    actor: Actor, decision: GateDecision, reason: str, kind: Decision = Decision.GATE, *, percent: int | None = None
) -> Release | None:
    """With the plan's share of the calls, beside the version that it was compared with. A route's revision is in force
    for all of them, which is no release of the catalog's."""
    policy = decision.policy
    if decision.revision is not None:
        gateway.put_in_force_decided(actor=actor, revision=decision.revision, reason=reason)
        return None
    assert decision.prompt is not None
    share = policy["canary_percent"] if percent is None else percent
    number, before = decision.subject.number, policy["baseline_version"]
    weights = {number: 100} if before is None or share >= 100 else {before: 100 - share, number: share}
    return prompts.release_decided(
        actor=actor,
        prompt=decision.prompt,
        environment=policy["environment"],
        label=policy["label"],
        weights=weights,
        reason=reason,
        decision=kind,
    )
