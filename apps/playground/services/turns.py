"""A turn begins: the conversation is made if there is none yet, and an answer for each column, about to run."""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.models.models import Model
from apps.models.selectors import callable_models_for
from apps.models.types import Capability
from apps.playground.messages import body_for
from apps.playground.models import Answer, Attachment, Conversation, Turn
from apps.playground.selectors import MOST_TURNS, chain_to, turns_of
from apps.playground.services.validation import clean_use_case, require_own, storable
from apps.playground.types import (
    IMAGE_TYPES,
    MOST_ATTACHED_BYTES,
    MOST_ATTACHMENTS,
    MOST_CHARACTERS,
    MOST_COLUMNS,
    AnswerStatus,
    Attached,
    Column,
    column_of,
    plain,
)
from apps.tenants.access import Actor, require
from apps.tenants.errors import Conflict, Invalid, NotFound
from apps.tenants.models import Project, User

MOST_STEPS = 20


@dataclass(frozen=True, slots=True)
class Begun:
    """``bodies`` has the request of each answer, by its primary key."""

    conversation: Conversation
    turn: Turn
    answers: list[Answer]
    bodies: dict[int, bytes]


@transaction.atomic
def begin_turn(
    *,
    actor: Actor,
    project: Project,
    columns: Sequence[Column],
    message: str,
    attachments: Sequence[Attached] = (),
    conversation: Conversation | None = None,
    parent: int | None = None,
    blind: bool = False,
    use_case: str = "",
    process: str = "",
) -> Begun:
    """``parent`` is a turn of the conversation (None: the conversation begins here). A blind first turn shuffles its
    two columns; a blind conversation keeps its own, whatever the page says.
    """
    require(actor, "model.call", project.tenant, project, what="call models")
    assert isinstance(actor.user, User)
    message = storable(message).strip()
    if len(message) > MOST_CHARACTERS:
        raise Invalid(f"The message is longer than {MOST_CHARACTERS:,} characters.", code="too_long", field="message")
    if not message and not attachments:
        raise Invalid("Write a message first.", code="empty_message", field="message")
    if not 1 <= len(columns) <= MOST_COLUMNS:
        raise Invalid(f"There can be one to {MOST_COLUMNS} columns.", code="columns", field="columns")
    if conversation is None:
        if parent is not None:
            raise NotFound("There is no such turn.")
        columns = _shuffled(columns) if blind else list(columns)
        conversation = Conversation.objects.create(
            tenant=project.tenant,
            project=project,
            owner=actor.user,
            title=_title(message, attachments),
            use_case=clean_use_case(use_case),
            columns=[plain(column) for column in columns],
            is_blind=blind,
            updated_at=timezone.now(),
        )
    else:
        require_own(actor, conversation)
        if conversation.tenant_id != project.tenant_id:
            raise NotFound("There is no such project.")
        columns = _next_columns(conversation, project, columns, use_case)
    files = [_file(each) for each in _checked(attachments)]
    _check_models(actor, project, columns, has_images=any(each.is_image for each in files))
    turns = turns_of(conversation, with_content=True)
    if len(turns) >= MOST_TURNS:
        raise Conflict(f"A conversation has at most {MOST_TURNS:,} turns. Fork it to go on.", code="too_many_turns")
    if parent is not None and all(turn.pk != parent for turn in turns):
        raise NotFound("There is no such turn.")
    turn = Turn.objects.create(conversation=conversation, parent_id=parent, message=message)
    for each in files:
        each.turn = turn
    Attachment.objects.bulk_create(files)
    answers = [
        Answer.objects.create(turn=turn, column=at, model_slug=column.model, settings=plain(column), process=process)
        for at, column in enumerate(columns)
    ]
    # The new turn has no answers to read on from yet: the rows just made are running.
    chain = [*(chain_to(turns, parent) if parent is not None else []), turn]
    bodies = {answer.pk: body_for(chain, answer.column, columns[answer.column]) for answer in answers}
    return Begun(conversation, turn, answers, bodies)


@transaction.atomic
def continue_answer(*, actor: Actor, answer: Answer, results: Mapping[str, str], process: str = "") -> Begun:
    """Go on after tool calls, with the results that a person typed in: one for each call."""
    conversation = answer.turn.conversation
    require_own(actor, conversation)
    require(actor, "model.call", conversation.tenant, conversation.project, what="call models")
    calls = [call["id"] for call in answer.tool_calls]
    if not calls or answer.status not in (AnswerStatus.DONE, AnswerStatus.STOPPED):
        raise Conflict("This answer waits for no tool results.", code="no_tool_calls")
    if set(results) != set(calls):
        raise Invalid("Give one result for each tool call.", code="tool_results", field="results")
    if sum(len(text) for text in results.values()) > MOST_CHARACTERS:
        raise Invalid(f"The results are longer than {MOST_CHARACTERS:,} characters.", code="too_long", field="results")
    if answer.step + 1 >= MOST_STEPS:
        raise Conflict(f"One answer goes on for at most {MOST_STEPS} steps.", code="too_many_steps")
    answer.tool_results = {name: storable(text) for name, text in results.items()}
    answer.save(update_fields=["tool_results"])
    column = column_of(answer.settings)
    try:
        with transaction.atomic():
            following = Answer.objects.create(
                turn=answer.turn,
                column=answer.column,
                step=answer.step + 1,
                model_slug=answer.model_slug,
                settings=answer.settings,
                process=process,
            )
    except IntegrityError:
        raise Conflict("This answer went on already.", code="went_on") from None
    Conversation.objects.for_tenant(conversation.tenant).filter(pk=conversation.pk).update(updated_at=timezone.now())
    chain = chain_to(turns_of(conversation, with_content=True), answer.turn_id)
    return Begun(conversation, answer.turn, [following], {following.pk: body_for(chain, answer.column, column)})


def _shuffled(columns: Sequence[Column]) -> list[Column]:
    if len(columns) != 2:
        raise Invalid("A blind comparison takes two columns.", code="blind_columns", field="columns")
    if columns[0] == columns[1]:
        raise Invalid("Both columns are the same: choose two models.", code="blind_columns", field="columns")
    mixed = list(columns)
    secrets.SystemRandom().shuffle(mixed)
    return mixed


def _next_columns(
    conversation: Conversation, project: Project, columns: Sequence[Column], use_case: str
) -> list[Column]:
    if conversation.is_blind:
        columns = [column_of(each) for each in conversation.columns]
    conversation.project = project
    conversation.columns = [plain(column) for column in columns]
    conversation.use_case = clean_use_case(use_case) or conversation.use_case
    conversation.updated_at = timezone.now()
    conversation.save(update_fields=["project", "columns", "use_case", "updated_at"])
    return list(columns)


def _check_models(actor: Actor, project: Project, columns: Sequence[Column], *, has_images: bool) -> None:
    """What a model cannot take is said before it is asked. Whether it may be called at all is the gateway's to say."""
    slugs = {column.model for column in columns}
    known: dict[str, Model] = {
        model.slug: model for model in callable_models_for(actor, project.tenant, project).filter(slug__in=slugs)
    }
    for column in columns:
        model = known.get(column.model)
        if model is None or not model.capabilities:
            continue  # nobody stated what it can do: its provider will say
        able = set(model.capabilities)
        if has_images and Capability.VISION not in able:
            raise Invalid(f"{model.name} takes no images. Remove them, or choose a model that does.", code="no_vision")
        if column.tools and Capability.TOOLS not in able:
            raise Invalid(f"{model.name} calls no tools. Remove them, or choose a model that does.", code="no_tools")
        if column.schema is not None and Capability.JSON_SCHEMA not in able:
            raise Invalid(f"{model.name} follows no JSON schema. Remove it, or choose another.", code="no_schema")


def _checked(attachments: Sequence[Attached]) -> Sequence[Attached]:
    if len(attachments) > MOST_ATTACHMENTS:
        raise Invalid(f"At most {MOST_ATTACHMENTS} files fit one message.", code="too_many_files", field="attachments")
    if sum(len(each.data) for each in attachments) > MOST_ATTACHED_BYTES * 4 // 3 + 4:
        most = MOST_ATTACHED_BYTES // 1024**2
        raise Invalid(f"The files are larger than {most} MB in all.", code="files_too_large", field="attachments")
    return attachments


def _file(attached: Attached) -> Attachment:
    name = storable(attached.name).replace("/", "_")[:200]
    if not attached.is_image:
        text = storable(attached.data)
        return Attachment(name=name, media_type="text/plain", size=len(text.encode()), content=text)
    if attached.media_type not in IMAGE_TYPES:
        raise Invalid(f"{name}: images are taken as PNG, JPEG, WebP or GIF.", code="image_type", field="attachments")
    try:
        size = len(base64.b64decode(attached.data, validate=True))
    except (binascii.Error, ValueError):
        raise Invalid(f"{name} is no image in base64.", code="image_data", field="attachments") from None
    return Attachment(name=name, media_type=attached.media_type, size=size, content=attached.data)


def _title(message: str, attachments: Sequence[Attached]) -> str:
    line = next((line.strip() for line in message.splitlines() if line.strip()), "")
    line = line or (attachments[0].name if attachments else "")
    return line if len(line) <= 80 else line[:79].rstrip() + "\N{HORIZONTAL ELLIPSIS}"
