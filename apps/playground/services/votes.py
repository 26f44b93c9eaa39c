"""The vote of a blind comparison."""

from __future__ import annotations

from django.db import IntegrityError, transaction

from apps.playground.models import Conversation, Turn, Vote
from apps.playground.services.validation import require_own
from apps.playground.types import READ_ON, Winner
from apps.tenants import validation
from apps.tenants.access import Actor, require
from apps.tenants.errors import Conflict
from apps.tenants.models import User


@transaction.atomic
def cast_vote(*, actor: Actor, turn: Turn, winner: str) -> Vote:
    """Keeps the pair, and reveals the names: the conversation is blind no more, so that nobody votes knowing them."""
    conversation = turn.conversation
    require_own(actor, conversation)
    require(actor, "model.call", conversation.tenant, what="vote")
    winner = validation.clean_choice(winner, Winner, field="winner")
    assert isinstance(actor.user, User)
    rows = Conversation.objects.for_tenant(conversation.tenant).select_for_update(of=("self",))
    if not rows.get(pk=conversation.pk).is_blind:
        raise Conflict("The names are known already: a vote counts only before.", code="not_blind")
    shown: dict[int, list[int]] = {0: [], 1: []}
    models = {0: "", 1: ""}
    for answer in turn.answers.order_by("column", "step"):
        if answer.column in shown and answer.status in READ_ON:
            shown[answer.column].append(answer.pk)
            models[answer.column] = answer.model_slug
    if not shown[0] or not shown[1]:
        raise Conflict("Wait until both have answered.", code="not_answered")
    try:
        with transaction.atomic():
            vote = Vote.objects.create(
                tenant=conversation.tenant,
                turn=turn,
                user=actor.user,
                answer_a_id=shown[0][-1],
                answer_b_id=shown[1][-1],
                model_a=models[0],
                model_b=models[1],
                use_case=conversation.use_case,
                winner=winner,
            )
    except IntegrityError:
        raise Conflict("This turn was voted on.", code="voted") from None
    conversation.is_blind = False
    conversation.save(update_fields=["is_blind"])
    return vote
