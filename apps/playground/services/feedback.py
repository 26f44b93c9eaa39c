"""Feedback on an answer, and its triage by those who answer for the model."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import transaction
from django.utils import timezone

from apps.playground.models import Answer, Feedback
from apps.playground.selectors import get_readable_answer_for
from apps.playground.services.validation import storable
from apps.playground.types import Reason, TriageStatus, Verdict
from apps.tenants import audit, validation
from apps.tenants.access import Actor, require
from apps.tenants.errors import Conflict
from apps.tenants.models import User

NOTE_CHARACTERS = 4_000


@transaction.atomic
def give_feedback(
    *,
    actor: Actor,
    answer: Answer,
    verdict: str,
    reasons: Sequence[str] = (),
    note: str = "",
    correction: str = "",
) -> Feedback:
    """One per reader and answer: said again, it replaces what was said, and is open again."""
    answer = get_readable_answer_for(actor, answer.pk)
    conversation = answer.turn.conversation
    require(actor, "example.rate", conversation.tenant, what="give feedback")
    if conversation.is_blind:
        raise Conflict("Vote first: feedback would tell which model it was.", code="still_blind")
    assert isinstance(actor.user, User)
    chosen = [validation.clean_choice(each, Reason, field="reasons") for each in dict.fromkeys(reasons)]
    row, _ = Feedback.objects.unscoped("the actor's own row").update_or_create(
        answer=answer,
        user=actor.user,
        defaults={
            "tenant": conversation.tenant,
            "model_slug": answer.model_slug,
            "use_case": conversation.use_case,
            "verdict": validation.clean_choice(verdict, Verdict, field="verdict"),
            "reasons": chosen,
            "note": validation.clean_text(storable(note), field="note", maximum=NOTE_CHARACTERS),
            "correction": validation.clean_text(storable(correction), field="correction", maximum=100_000),
            "status": TriageStatus.OPEN,
            "triaged_by": None,
            "triaged_at": None,
        },
    )
    return row


def withdraw_feedback(*, actor: Actor, answer: Answer) -> None:
    """What the actor had said, gone."""
    answer = get_readable_answer_for(actor, answer.pk)
    Feedback.objects.unscoped("the actor's own row").filter(answer=answer, user=actor.user).delete()


@transaction.atomic
def triage_feedback(*, actor: Actor, feedback: Feedback, status: str) -> Feedback:
    require(actor, "feedback.triage", feedback.tenant, what="triage feedback")
    status = validation.clean_choice(status, TriageStatus, field="status")
    if status == feedback.status:
        return feedback
    before, feedback.status = feedback.status, status
    feedback.triaged_by, feedback.triaged_at = actor.user, timezone.now()
    feedback.save(update_fields=["status", "triaged_by", "triaged_at"])
    facts = {"status": [before, status], "model": feedback.model_slug}
    audit.record(actor, "feedback.triaged", feedback, facts, feedback.tenant)
    return feedback
