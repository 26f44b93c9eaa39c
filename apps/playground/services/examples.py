"""The example store: good exchanges, shared with the tenant, rated and forked."""

from __future__ import annotations

import re
from collections.abc import Sequence

from django.db import transaction
from django.utils import timezone

from apps.playground.messages import messages_for
from apps.playground.models import Answer, Conversation, ExampleRating, SavedExample, Turn
from apps.playground.selectors import chain_to, turns_of
from apps.playground.services.validation import clean_use_case, require_own, storable
from apps.playground.types import READ_ON, AnswerStatus, column_of
from apps.tenants import audit, validation
from apps.tenants.access import Actor, can, require
from apps.tenants.errors import Conflict, Invalid, NotFound, PermissionDenied
from apps.tenants.models import Project, User

_TAG = re.compile(r"[\w][\w -]{0,29}")
MOST_TAGS = 8


@transaction.atomic
def share_example(
    *,
    actor: Actor,
    answer: Answer,
    title: str,
    use_case: str,
    tags: Sequence[str] = (),
    note: str = "",
) -> SavedExample:
    """A copy of the exchange up to this answer, for every member of the tenant to find."""
    conversation = answer.turn.conversation
    require_own(actor, conversation)
    require(actor, "model.call", conversation.tenant, what="share an example")
    if conversation.is_blind:
        raise Conflict("Vote first: an example names its model.", code="still_blind")
    if answer.status not in READ_ON or not answer.text:
        raise Conflict("There is no answer to share.", code="no_answer")
    assert isinstance(actor.user, User)
    turns = turns_of(conversation)
    messages = messages_for(chain_to(turns, answer.turn_id), answer.column, column_of(answer.settings))
    # The answer itself stands apart; of files, texts are copied and images are not.
    while messages and messages[-1]["role"] not in ("user", "system"):
        messages.pop()
    example = SavedExample.objects.create(
        tenant=conversation.tenant,
        project=conversation.project,
        author=actor.user,
        title=validation.clean_name(title, field="title"),
        use_case=clean_use_case(use_case, needed=True),
        tags=_clean_tags(tags),
        note=validation.clean_text(storable(note), field="note", maximum=4_000),
        model_slug=answer.model_slug,
        prompt_slug=answer.prompt_slug,
        prompt_version=answer.prompt_version,
        settings=answer.settings,
        messages=[_without_files(message) for message in messages],
        answer=answer.text,
        cost_picousd=answer.cost_picousd,
        source=answer,
    )
    facts = {"title": example.title, "model": example.model_slug}
    audit.record(actor, "example.shared", example, facts, conversation.tenant)
    return example


@transaction.atomic
def remove_example(*, actor: Actor, example: SavedExample) -> None:
    """By its author or a tenant admin."""
    own = actor.user is not None and example.author_id == actor.user.pk
    if not own and not can(actor, "example.remove", example.tenant):
        require(actor, "example.view", example.tenant)
        raise PermissionDenied("You may not remove this example.", remedy="Ask its author or a tenant admin.")
    audit.record(actor, "example.removed", example, {"model": example.model_slug}, example.tenant)
    example.delete()


def rate_example(*, actor: Actor, example: SavedExample, stars: int) -> ExampleRating:
    require(actor, "example.rate", example.tenant, what="rate an example")
    stars = validation.clean_number(stars, field="stars", minimum=1, maximum=5)
    row, _ = ExampleRating.objects.unscoped("the actor's own row").update_or_create(
        example=example, user=actor.user, defaults={"stars": stars}
    )
    return row


@transaction.atomic
def fork_example(*, actor: Actor, example: SavedExample, project: Project) -> Conversation:
    """The exchange as a conversation of the actor's own, to go on from."""
    require(actor, "model.call", example.tenant, project, what="fork an example")
    if project.tenant_id != example.tenant_id:
        raise NotFound("There is no such project.")
    assert isinstance(actor.user, User)
    conversation = Conversation.objects.create(
        tenant=example.tenant,
        project=project,
        owner=actor.user,
        title=example.title,
        use_case=example.use_case,
        columns=[example.settings],
        updated_at=timezone.now(),
    )
    parent: Turn | None = None
    asked = [message for message in example.messages if message["role"] != "system"]
    if not asked or asked[0]["role"] != "user":  # it began with what a prompt of the catalog says
        asked.insert(0, {"role": "user", "content": ""})
    for at, message in enumerate(asked):
        if message["role"] != "user":
            continue
        parent = Turn.objects.create(conversation=conversation, parent=parent, message=str(message["content"]))
        following = asked[at + 1] if at + 1 < len(asked) else None
        is_last = following is None
        said = example.answer if is_last else str((following or {}).get("content") or "")
        if said:
            Answer.objects.create(
                turn=parent,
                column=0,
                model_slug=example.model_slug,
                prompt_slug=example.prompt_slug,
                prompt_version=example.prompt_version,
                settings=example.settings,
                text=said,
                status=AnswerStatus.DONE,
            )
    return conversation


def _without_files(message: dict[str, object]) -> dict[str, object]:
    content = message.get("content")
    if not isinstance(content, list):
        return message
    texts = [part["text"] if part["type"] == "text" else "[image]" for part in content]
    return {**message, "content": "\n\n".join(texts)}


def _clean_tags(tags: Sequence[str]) -> list[str]:
    cleaned = list(dict.fromkeys(tag.strip().lower() for tag in tags if tag.strip()))
    if len(cleaned) > MOST_TAGS:
        raise Invalid(f"At most {MOST_TAGS} tags.", field="tags")
    for tag in cleaned:
        if not _TAG.fullmatch(tag):
            raise Invalid(f"{tag[:40]!r} is no tag.", field="tags", remedy="Use letters, digits, blanks and hyphens.")
    return cleaned
