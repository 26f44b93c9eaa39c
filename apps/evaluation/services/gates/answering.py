"""What people say to a decision: approve, refuse, override, widen."""

from __future__ import annotations

from typing import Final

from django.db import transaction

from apps.evaluation.models import Approval, GateDecision
from apps.evaluation.selectors.gates import approvers_of
from apps.evaluation.services.gates.guarding import adopt_all, locked
from apps.evaluation.services.gates.outcomes import outdated, record, release, settle
from apps.evaluation.types import GateStatus
from apps.prompts import services as prompts
from apps.prompts.models import Release
from apps.prompts.selectors import label_state_of
from apps.prompts.types import Decision
from apps.tenants import validation
from apps.tenants.access import Actor, require
from apps.tenants.errors import Conflict, Invalid, PermissionDenied

SHORTEST_REASON: Final = 10


@transaction.atomic
def answer_gate(*, actor: Actor, decision: GateDecision, is_approval: bool, note: str = "") -> GateDecision:
    """One member's word on a decision that waits: with enough approvals it is released, with one refusal stopped.

    Raises:
        PermissionDenied: It is the actor's own version, or the plan names others.
        Conflict: It does not wait, or no longer fits what is released; or the actor has answered.
    """
    require(actor, "gate.approve", decision.tenant, what="approve this release")
    decision = _locked(decision)
    if actor.user is None or decision.subject.author_id == actor.user.pk:
        raise PermissionDenied(
            f"A {decision.noun}'s author does not approve it.",
            code="own_version",
            remedy="Ask another member of the tenant.",
        )
    named = approvers_of(decision)
    if named and actor.user not in named:
        raise PermissionDenied(
            f"The plan of {decision.owner.name} names who approves.",
            code="not_an_approver",
            remedy=f"Ask {' or '.join(map(str, named))}.",
        )
    if decision.status != GateStatus.WAITING:
        raise Conflict(
            f"The decision is not waiting: {decision.get_status_display().lower()}.", code="gate_not_waiting"
        )
    note = " ".join(validation.clean_text(note, field="note", maximum=500).split())
    rows = Approval.objects.for_tenant(decision.tenant).filter(decision=decision)
    if rows.filter(user=actor.user).exists():
        raise Conflict("You have answered already.", code="already_answered")
    if is_approval and (moved := outdated(decision)):
        raise Conflict(moved, code="label_moved", remedy="Run the gate again.")
    Approval.objects.create(
        decision=decision, user=actor.user, user_label=actor.label, is_approval=is_approval, note=note
    )
    decision.decided_by = actor.user
    if not is_approval:
        refused = f"{actor.user} did not approve it{f': {note}' if note else '.'}"
        settle(actor, decision, GateStatus.STOPPED, [refused, *decision.reasons])
        return decision
    given = rows.filter(is_approval=True).count()
    record(actor, decision, "gate.approved", given=given, needed=decision.policy["approvals_needed"])
    if given >= decision.policy["approvals_needed"]:
        decision.release = release(actor, decision, f"Gate decision {decision.pk}: approved.")
        settle(actor, decision, GateStatus.RELEASED, decision.reasons)
    return decision


@transaction.atomic
def override_gate(*, actor: Actor, decision: GateDecision, reason: str) -> GateDecision:
    """Release in spite of the gate, all of the calls at once; the reason stays with the decision and the release."""
    require(actor, "gate.override", decision.tenant, what="override a gate")
    decision = _locked(decision)
    reason = " ".join(validation.clean_text(reason, field="reason", maximum=400).split())
    if len(reason) < SHORTEST_REASON:
        raise Invalid(
            "An override needs its reason.", field="reason", remedy="Say in a sentence why the evidence does not count."
        )
    if decision.status in (GateStatus.RUNNING, GateStatus.RELEASED, GateStatus.OVERRIDDEN):
        raise Conflict(
            f"There is nothing to override: {decision.get_status_display().lower()}.", code="nothing_to_override"
        )
    decision.override_reason = reason
    decision.decided_by = actor.user
    decision.save(update_fields=["override_reason"])
    decision.release = release(
        actor, decision, f"Override of gate decision {decision.pk}: {reason}", Decision.PERSON, percent=100
    )
    settle(actor, decision, GateStatus.OVERRIDDEN, decision.reasons)
    return decision


@transaction.atomic
def widen_release(*, actor: Actor, decision: GateDecision, percent: int = 100) -> Release:
    """Give the version that the gate released a larger share of the calls."""
    require(actor, "prompt.release", decision.tenant, what="release this prompt")
    decision = _locked(decision)
    prompt, version = decision.prompt, decision.version
    if prompt is None or version is None:
        raise Conflict("A route's revision is in force for all of the calls.", code="nothing_to_widen")
    percent = validation.clean_number(percent, field="percent", minimum=1, maximum=100)
    policy = decision.policy
    state = label_state_of(prompt, policy.get("environment", ""), policy.get("label", ""))
    shares = {} if state is None else {share.version.number: share.percent for share in state.shares}
    now = shares.get(version.number, 0)
    if decision.status != GateStatus.RELEASED or len(shares) < 2 or not now:
        raise Conflict("The version does not share the label's calls with another.", code="nothing_to_widen")
    if percent <= now:
        raise Invalid(f"It has {now} % of the calls already.", field="percent")
    others = {number: share for number, share in shares.items() if number != version.number}
    if percent == 100:
        weights = {version.number: 100}
    else:
        total = sum(others.values())
        weights = {number: max(1, round((100 - percent) * share / total)) for number, share in others.items()}
        weights[version.number] = percent
    release = prompts.release_decided(
        actor=actor,
        prompt=prompt,
        environment=policy["environment"],
        label=policy["label"],
        weights=weights,
        reason=f"Gate decision {decision.pk}: widened to {percent} %.",
    )
    record(actor, decision, "gate.widened", percent=percent)
    return release


def _locked(decision: GateDecision) -> GateDecision:
    """By its owner's lock, under which what is in force moves, too."""
    owner = locked(decision.owner)
    rows = GateDecision.objects.for_tenant(decision.tenant)
    rows = rows.select_related("tenant", "prompt", "route", "version__author", "revision__author")
    row = rows.get(pk=decision.pk)
    adopt_all(row, owner)
    return row
