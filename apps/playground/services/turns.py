"""A turn begins: the conversation is made if there is none yet, and an answer for each column, about to run."""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.models.models import Model
from apps.models.selectors import callable_models_for
from apps.models.types import Capability
from apps.playground.catalog import Chosen, chosen_version
from apps.playground.errors import ColumnInvalid
from apps.playground.messages import body_for, encode, shown_file
from apps.playground.models import Answer, Attachment, Conversation, Turn
from apps.playground.selectors import MOST_TURNS, chain_to, turns_of
from apps.playground.services.validation import clean_use_case, require_own, storable, storable_column
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
from apps.prompts.errors import VariablesInvalid
from apps.prompts.variables import VariableCheck
from apps.tenants.access import Actor, require
from apps.tenants.errors import Conflict, Invalid, NotFound
from apps.tenants.models import Project, Tenant, User

MOST_STEPS = 20


@dataclass(frozen=True, slots=True)
class Begun:
    """``bodies`` has the request of each answer, by its primary key; ``files`` what the page is told of the turn's."""

    conversation: Conversation
    turn: Turn
    answers: list[Answer]
    bodies: dict[int, bytes]
    files: list[dict[str, Any]] = field(default_factory=list)


@transaction.atomic
def begin_turn(
    *,
    actor: Actor,
    project: Project,
    columns: Sequence[Column],
    message: str,
    attachments: Sequence[Attached] = (),
    kept: Sequence[int] = (),
    conversation: Conversation | None = None,
    parent: int | None = None,
    blind: bool = False,
    use_case: str = "",
    process: str = "",
    key: str = "",
) -> Begun:
    """``parent`` is a turn of the conversation (None: the conversation begins here). A blind first turn shuffles its
    two columns; a blind conversation keeps its own, whatever the page says. A ``key`` begins one turn, and no other.
    ``kept`` are files of the conversation that go with this message as well.
    """
    require(actor, "model.call", project.tenant, project, what="call models")
    assert isinstance(actor.user, User)
    message = storable(message).strip()
    if len(message) > MOST_CHARACTERS:
        raise Invalid(f"The message is longer than {MOST_CHARACTERS:,} characters.", code="too_long", field="message")
    if not 1 <= len(columns) <= MOST_COLUMNS:
        raise Invalid(f"There can be one to {MOST_COLUMNS} columns.", code="columns", field="columns")
    columns = [storable_column(column) for column in columns]
    if conversation is None:
        if parent is not None:
            raise NotFound("There is no such turn.")
        if blind:
            columns = _shuffled(actor, project, columns)
        prompts = _prompts(actor, project, columns)
        conversation = Conversation.objects.create(
            tenant=project.tenant,
            project=project,
            owner=actor.user,
            title=_title(message, attachments, prompts),
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
        prompts = _prompts(actor, project, columns, conceals=conversation.is_blind)
    files = [*_kept(conversation, kept), *(_file(each) for each in attachments)]
    _check_files(files)
    models = _models_of(columns, prompts)
    _check_models(actor, project, columns, models, has_images=any(each.is_image for each in files))
    if not message and not files:
        _check_prompts_alone(prompts, parent)
    turns = turns_of(conversation, with_content=True)
    if len(turns) >= MOST_TURNS:
        raise Conflict(f"A conversation has at most {MOST_TURNS:,} turns. Fork it to go on.", code="too_many_turns")
    if parent is not None and all(turn.pk != parent for turn in turns):
        raise NotFound("There is no such turn.")
    chain = chain_to(turns, parent) if parent is not None else []
    _check_beginning(chain, prompts)
    try:
        with transaction.atomic():
            turn = Turn.objects.create(
                conversation=conversation, parent_id=parent, message=message, run_key=_run_key(actor, key)
            )
    except IntegrityError:
        raise Conflict("This was asked already.", code="begun_already") from None
    for each in files:
        each.turn = turn
    Attachment.objects.bulk_create(files)
    answers = [
        Answer.objects.create(
            turn=turn,
            column=at,
            model_slug=models[at],
            prompt_slug=column.prompt.id if column.prompt is not None else "",
            settings=plain(column),
            process=process,
        )
        for at, column in enumerate(columns)
    ]
    # The new turn has no answers to read on from yet: the rows just made are running.
    chain.append(turn)
    bodies = {answer.pk: body_for(chain, answer.column, columns[answer.column]) for answer in answers}
    return Begun(conversation, turn, answers, bodies, [shown_file(each) for each in files])


def begun_before(*, actor: Actor, tenant: Tenant, key: str) -> Begun | None:
    """What a run with this ``key`` began when it was here before, without the requests; None where it was not."""
    rows = Turn.objects.for_actor(actor).filter(conversation__tenant=tenant, run_key=_run_key(actor, key))
    turn = rows.select_related("conversation").first() if key else None
    if turn is None:
        return None
    files = [shown_file(each) for each in turn.attachments.defer("content")]
    return Begun(turn.conversation, turn, list(turn.answers.filter(step=0).order_by("column")), {}, files)


def _run_key(actor: Actor, key: str) -> str | None:
    """A page chooses its keys for itself: they are told apart by who asks."""
    assert isinstance(actor.user, User)
    return f"{actor.user.pk}:{storable(key)}" if key else None


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
    column = as_served(column_of(answer.settings), answer.prompt_version)
    try:
        with transaction.atomic():
            following = Answer.objects.create(
                turn=answer.turn,
                column=answer.column,
                step=answer.step + 1,
                model_slug=answer.model_slug,
                prompt_slug=answer.prompt_slug,
                settings=answer.settings,
                process=process,
            )
    except IntegrityError:
        raise Conflict("This answer went on already.", code="went_on") from None
    Conversation.objects.for_tenant(conversation.tenant).filter(pk=conversation.pk).update(updated_at=timezone.now())
    chain = chain_to(turns_of(conversation, with_content=True), answer.turn_id)
    return Begun(conversation, answer.turn, [following], {following.pk: body_for(chain, answer.column, column)})


def _shuffled(actor: Actor, project: Project, columns: Sequence[Column]) -> list[Column]:
    if len(columns) != 2:
        raise Invalid("A blind comparison takes two columns.", code="blind_columns", field="columns")
    if columns[0] == columns[1]:
        raise Invalid("Both columns are the same: choose two models.", code="blind_columns", field="columns")
    _models_of(columns, _prompts(actor, project, columns))  # what is wrong is told by the page's own places
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


def _prompts(
    actor: Actor, project: Project, columns: Sequence[Column], *, conceals: bool = False
) -> list[Chosen | None]:
    """What each column's prompt means now, its variables checked. Raises ``ColumnInvalid``, naming each that is wrong;
    with ``conceals`` it says nothing that would tell a prompt's name.
    """
    found: list[Chosen | None] = []
    for at, column in enumerate(columns):
        try:
            found.append(_prompt(actor, project, at, column))
        except ColumnInvalid:
            if not conceals:
                raise
            said = "A prompt of this comparison has changed. Vote on what is there, or begin a new one."
            raise Conflict(said, code="blind_columns") from None
    return found


def _prompt(actor: Actor, project: Project, at: int, column: Column) -> Chosen | None:
    choice = column.prompt
    if choice is None:
        return None
    if column.system:
        said = "A prompt of the catalog brings its own system prompt: empty the column's."
        raise ColumnInvalid(said, column=at, code="two_systems")
    if len(encode(choice.variables)) > MOST_CHARACTERS:
        raise ColumnInvalid(f"The variables are over {MOST_CHARACTERS:,} characters.", column=at, code="too_long")
    try:
        chosen = chosen_version(actor, project, choice)
        VariableCheck(chosen.version.variables).complete(choice.variables)
    except NotFound as error:
        raise ColumnInvalid(str(error), column=at, code=error.code) from None
    except VariablesInvalid as error:
        said = f"{chosen.prompt.name}, version {chosen.version.number}, cannot be filled in: {error}"
        raise ColumnInvalid(said, column=at, code="variables_invalid", problems=error.problems) from None
    return chosen


def _models_of(columns: Sequence[Column], prompts: Sequence[Chosen | None]) -> list[str]:
    """What each column calls: its own choice, or its prompt's."""
    models = []
    for at, (column, chosen) in enumerate(zip(columns, prompts, strict=True)):
        model = column.model or (chosen.version.model if chosen is not None else "")
        if not model:
            said = "Choose a model: the prompt names none." if chosen is not None else "Choose a model."
            raise ColumnInvalid(said, column=at, code="no_model")
        models.append(model)
    return models


def _check_prompts_alone(prompts: Sequence[Chosen | None], parent: int | None) -> None:
    """Without a message of one's own the prompts say it all: they begin a conversation, or a branch of their own."""
    if parent is not None or any(chosen is None for chosen in prompts):
        raise Invalid("Write a message first.", code="empty_message", field="message")


def _check_beginning(chain: Sequence[Turn], prompts: Sequence[Chosen | None]) -> None:
    if not chain or chain[0].message or chain[0].attachments.all():
        return
    for at, chosen in enumerate(prompts):
        if chosen is None:
            said = "This conversation begins with a prompt's words: choose a prompt, or begin a new conversation."
            raise ColumnInvalid(said, column=at, code="prompt_needed")


def as_served(column: Column, version: int | None) -> Column:
    """With the version that has answered: what comes after tool calls goes on with it."""
    if column.prompt is None or version is None:
        return column
    return msgspec.structs.replace(column, prompt=msgspec.structs.replace(column.prompt, label="", version=version))


def _check_models(
    actor: Actor, project: Project, columns: Sequence[Column], models: Sequence[str], *, has_images: bool
) -> None:
    """What a model cannot take is said before it is asked. Whether it may be called at all is the gateway's to say."""
    known: dict[str, Model] = {
        model.slug: model for model in callable_models_for(actor, project.tenant, project).filter(slug__in=models)
    }
    for column, slug in zip(columns, models, strict=True):
        model = known.get(slug)
        if model is None or not model.capabilities:
            continue  # nobody stated what it can do: its provider will say
        able = set(model.capabilities)
        if has_images and Capability.VISION not in able:
            raise Invalid(f"{model.name} takes no images. Remove them, or choose a model that does.", code="no_vision")
        if column.tools and Capability.TOOLS not in able:
            raise Invalid(f"{model.name} calls no tools. Remove them, or choose a model that does.", code="no_tools")
        if column.schema is not None and Capability.JSON_SCHEMA not in able:
            raise Invalid(f"{model.name} follows no JSON schema. Remove it, or choose another.", code="no_schema")


def _kept(conversation: Conversation, kept: Sequence[int]) -> list[Attachment]:
    """Copies of files that the conversation has already, in the order asked for."""
    rows = Attachment.objects.for_tenant(conversation.tenant).filter(turn__conversation=conversation)
    found = rows.in_bulk(list(kept))
    if len(found) != len(kept):
        raise NotFound("There is no such file.")
    copied = [found[pk] for pk in kept]
    return [
        Attachment(name=each.name, media_type=each.media_type, size=each.size, content=each.content) for each in copied
    ]


def _check_files(files: Sequence[Attachment]) -> None:
    if len(files) > MOST_ATTACHMENTS:
        raise Invalid(f"At most {MOST_ATTACHMENTS} files fit one message.", code="too_many_files", field="attachments")
    if sum(each.size for each in files) > MOST_ATTACHED_BYTES:
        most = MOST_ATTACHED_BYTES // 1024**2
        raise Invalid(f"The files are larger than {most} MB in all.", code="files_too_large", field="attachments")


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


def _title(message: str, attachments: Sequence[Attached], prompts: Sequence[Chosen | None]) -> str:
    line = next((line.strip() for line in message.splitlines() if line.strip()), "")
    line = line or (attachments[0].name if attachments else "")
    line = line or next((chosen.prompt.name for chosen in prompts if chosen is not None), "")
    return line if len(line) <= 80 else line[:79].rstrip() + "\N{HORIZONTAL ELLIPSIS}"
