"""Conversations: renamed, shared, forked, deleted."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import transaction
from django.utils import timezone

from apps.playground.models import Answer, Attachment, Conversation, Turn, new_share_token
from apps.playground.selectors import chain_to, turns_of
from apps.playground.services.validation import clean_use_case, require_own
from apps.playground.types import READ_ON
from apps.tenants import audit, validation
from apps.tenants.access import Actor, require
from apps.tenants.errors import Conflict, NotFound
from apps.tenants.models import Project, User

TITLE_CHARACTERS = 200


def rename_conversation(*, actor: Actor, conversation: Conversation, title: str) -> Conversation:
    require_own(actor, conversation)
    conversation.title = validation.clean_name(title, field="title", maximum=TITLE_CHARACTERS)
    conversation.save(update_fields=["title"])
    return conversation


def set_use_case(*, actor: Actor, conversation: Conversation, use_case: str) -> Conversation:
    require_own(actor, conversation)
    conversation.use_case = clean_use_case(use_case)
    conversation.save(update_fields=["use_case"])
    return conversation


@transaction.atomic
def share_conversation(*, actor: Actor, conversation: Conversation) -> Conversation:
    """A permalink, by which every member of the tenant may read it and fork it."""
    require_own(actor, conversation)
    require(actor, "model.call", conversation.tenant, what="share a conversation")
    if conversation.is_blind:
        raise Conflict("A blind comparison can be shared once it is voted on.", code="still_blind")
    if conversation.share_token is None:
        conversation.share_token = new_share_token()
        conversation.save(update_fields=["share_token"])
        audit.record(actor, "conversation.shared", conversation, {}, conversation.tenant)
    return conversation


@transaction.atomic
def unshare_conversation(*, actor: Actor, conversation: Conversation) -> Conversation:
    """The permalink is dead at once, and for good: sharing again makes another."""
    require_own(actor, conversation)
    if conversation.share_token is not None:
        conversation.share_token = None
        conversation.save(update_fields=["share_token"])
        audit.record(actor, "conversation.unshared", conversation, {}, conversation.tenant)
    return conversation


@transaction.atomic
def delete_conversation(*, actor: Actor, conversation: Conversation) -> None:
    """For good: its turns, answers, files, feedback and votes. Examples shared from it stay, being copies."""
    require_own(actor, conversation)
    turns = conversation.turns.count()
    audit.record(actor, "conversation.deleted", conversation, {"turns": turns}, conversation.tenant)
    conversation.delete()


@transaction.atomic
def fork_conversation(
    *, actor: Actor, conversation: Conversation, project: Project, last_turn: int | None = None
) -> Conversation:
    """The actor's own copy of a branch, up to ``last_turn`` (None: the newest), to go on from there.

    The conversation is one that the actor may read. Figures and request ids stay with the original.
    """
    require(actor, "model.call", conversation.tenant, what="fork a conversation")
    if project.tenant_id != conversation.tenant_id:
        raise NotFound("There is no such project.")
    assert isinstance(actor.user, User)
    turns = turns_of(conversation, with_content=True)
    last = last_turn if last_turn is not None else (turns[-1].pk if turns else 0)
    chain = chain_to(turns, last)
    if last_turn is not None and not chain:
        raise NotFound("There is no such turn.")
    if conversation.is_blind:
        raise Conflict("A blind comparison can be forked once it is voted on.", code="still_blind")
    copy = Conversation.objects.create(
        tenant=conversation.tenant,
        project=project,
        owner=actor.user,
        title=conversation.title,
        use_case=conversation.use_case,
        columns=conversation.columns,
        forked_from=conversation if conversation.owner_id == actor.user.pk else None,
        updated_at=timezone.now(),
    )
    _copy_turns(copy, chain)
    return copy


def _copy_turns(conversation: Conversation, chain: Sequence[Turn]) -> None:
    parent: Turn | None = None
    for turn in chain:
        parent = Turn.objects.create(conversation=conversation, parent=parent, message=turn.message)
        Attachment.objects.bulk_create(
            [
                Attachment(
                    turn=parent, name=each.name, media_type=each.media_type, size=each.size, content=each.content
                )
                for each in turn.attachments.all()
            ]
        )
        Answer.objects.bulk_create(
            [
                Answer(
                    turn=parent,
                    column=each.column,
                    step=each.step,
                    model_slug=each.model_slug,
                    prompt_slug=each.prompt_slug,
                    prompt_version=each.prompt_version,
                    settings=each.settings,
                    text=each.text,
                    reasoning=each.reasoning,
                    tool_calls=each.tool_calls,
                    tool_results=each.tool_results,
                    status=each.status,
                )
                for each in turn.answers.all()
                if each.status in READ_ON
            ]
        )
