"""Reads of the playground, always for an actor. A conversation is its owner's, and, once shared, its tenant's."""

from __future__ import annotations

from collections.abc import Iterable

from django.db.models import Avg, Count, Exists, F, OuterRef, Prefetch, Q, QuerySet, TextField
from django.db.models.functions import Cast

from apps.playground.models import Answer, Attachment, Conversation, ExampleRating, Feedback, SavedExample, Turn, Vote
from apps.playground.types import AnswerStatus
from apps.tenants.access import Actor
from apps.tenants.errors import NotFound
from apps.tenants.models import Tenant

# One conversation's turns are read as a whole.
MOST_TURNS = 1_000


def conversations_for(actor: Actor, tenant: Tenant, query: str = "") -> QuerySet[Conversation]:
    """The actor's own, newest first; with ``query``, those whose title, messages or answers have all its words."""
    rows = Conversation.objects.for_actor(actor).filter(tenant=tenant, owner=actor.user).select_related("project")
    for word in query.split()[:8]:
        turns = Turn.objects.unscoped("of the actor's own conversations").filter(conversation=OuterRef("pk"))
        said = turns.filter(message__icontains=word)
        answered = Answer.objects.unscoped("of the actor's own conversations").filter(
            turn__conversation=OuterRef("pk"), text__icontains=word
        )
        rows = rows.filter(Q(title__icontains=word) | Exists(said) | Exists(answered))
    return rows.order_by("-updated_at", "-pk")


def get_conversation_for(actor: Actor, public_id: str) -> Conversation:
    """One of the actor's own. Raises ``NotFound``."""
    rows = Conversation.objects.for_actor(actor).filter(owner=actor.user, public_id=public_id[:16])
    conversation = rows.select_related("tenant", "project").first()
    if conversation is None or conversation.public_id != public_id:
        raise NotFound("There is no such conversation.")
    return conversation


def get_shared_for(actor: Actor, token: str) -> Conversation:
    """What somebody of one's tenant shared under this permalink. Raises ``NotFound``."""
    rows = Conversation.objects.for_actor(actor).filter(share_token=token[:32])
    conversation = rows.select_related("tenant", "project", "owner").first()
    if conversation is None or conversation.share_token != token:
        raise NotFound("There is no such conversation.")
    return conversation


def get_turn_for(actor: Actor, pk: int) -> Turn:
    """A turn of one's own conversation. Raises ``NotFound``."""
    rows = Turn.objects.for_actor(actor).filter(pk=pk, conversation__owner=actor.user)
    turn = rows.select_related("conversation__tenant", "conversation__project").first()
    if turn is None:
        raise NotFound("There is no such turn.")
    return turn


def get_answer_for(actor: Actor, pk: int) -> Answer:
    """An answer in one's own conversation. Raises ``NotFound``."""
    answer = _answers(actor).filter(pk=pk, turn__conversation__owner=actor.user).first()
    if answer is None:
        raise NotFound("There is no such answer.")
    return answer


def get_readable_answer_for(actor: Actor, pk: int) -> Answer:
    """An answer in one's own conversation or in a shared one. Raises ``NotFound``."""
    readable = Q(turn__conversation__owner=actor.user) | ~Q(turn__conversation__share_token=None)
    answer = _answers(actor).filter(readable, pk=pk).first()
    if answer is None:
        raise NotFound("There is no such answer.")
    return answer


def get_attachment_for(actor: Actor, pk: int) -> Attachment:
    """A file in one's own conversation or in a shared one. Raises ``NotFound``."""
    owned = Q(turn__conversation__owner=actor.user) | ~Q(turn__conversation__share_token=None)
    attachment = Attachment.objects.for_actor(actor).filter(owned, pk=pk).first()
    if attachment is None:
        raise NotFound("There is no such file.")
    return attachment


def _answers(actor: Actor) -> QuerySet[Answer]:
    return Answer.objects.for_actor(actor).select_related("turn__conversation__tenant", "turn__conversation__project")


def turns_of(conversation: Conversation, *, with_content: bool = False) -> list[Turn]:
    """Every turn, oldest first, with its answers and attachments; the files' content only where it is asked for."""
    files = Attachment.objects.unscoped("of a conversation that the actor may read")
    answers = Answer.objects.unscoped("of a conversation that the actor may read")
    rows = conversation.turns.order_by("pk").prefetch_related(
        Prefetch("answers", answers.order_by("column", "step")),
        Prefetch("attachments", files if with_content else files.defer("content")),
    )
    return list(rows[:MOST_TURNS])


def chain_to(turns: Iterable[Turn], last: int) -> list[Turn]:
    """The branch that ends in the turn ``last`` (a primary key), from its root on."""
    by_id = {turn.pk: turn for turn in turns}
    chain: list[Turn] = []
    at = by_id.get(last)
    while at is not None:
        chain.append(at)
        at = by_id.get(at.parent_id) if at.parent_id is not None else None
    return chain[::-1]


def running_answers(conversation: Conversation) -> QuerySet[Answer]:
    rows = Answer.objects.unscoped("of a conversation that the actor may read")
    return rows.filter(turn__conversation=conversation, status=AnswerStatus.RUNNING)


def votes_of(conversation: Conversation) -> dict[int, Vote]:
    """By turn, the owner's."""
    rows = Vote.objects.for_tenant(conversation.tenant).filter(turn__conversation=conversation)
    return {vote.turn_id: vote for vote in rows.filter(user=conversation.owner_id)}


def feedback_of(actor: Actor, conversation: Conversation) -> dict[int, Feedback]:
    """By answer, the actor's own."""
    rows = Feedback.objects.for_tenant(conversation.tenant).filter(answer__turn__conversation=conversation)
    return {row.answer_id: row for row in rows.filter(user=actor.user)}


def feedback_for(
    actor: Actor, tenant: Tenant | None = None, model_slug: str = "", prompt_slug: str = ""
) -> QuerySet[Feedback]:
    """What was said of answers in the actor's tenants, newest first."""
    rows = Feedback.objects.for_actor(actor).select_related("answer__turn", "user", "tenant", "triaged_by")
    if tenant is not None:
        rows = rows.filter(tenant=tenant)
    if model_slug:
        rows = rows.filter(model_slug=model_slug)
    if prompt_slug:
        rows = rows.filter(answer__prompt_slug=prompt_slug)
    return rows.order_by("-created_at", "-pk")


def feedback_models(actor: Actor, tenant: Tenant) -> list[str]:
    """Of which models something was said, by slug."""
    rows = Feedback.objects.for_actor(actor).filter(tenant=tenant).order_by("model_slug")
    return list(rows.values_list("model_slug", flat=True).distinct())


def feedback_prompts(actor: Actor, tenant: Tenant) -> list[str]:
    """Of which prompts something was said, by slug."""
    rows = Feedback.objects.for_actor(actor).filter(tenant=tenant).exclude(answer__prompt_slug="")
    return list(rows.order_by("answer__prompt_slug").values_list("answer__prompt_slug", flat=True).distinct())


def with_reason(rows: QuerySet[Feedback], reason: str) -> QuerySet[Feedback]:
    """Those that name ``reason``. As text: SQLite cannot ask a JSON list what it contains."""
    return rows.annotate(reasons_text=Cast("reasons", TextField())).filter(reasons_text__contains=f'"{reason}"')


def get_feedback_for(actor: Actor, pk: int) -> Feedback:
    row = feedback_for(actor).filter(pk=pk).first()
    if row is None:
        raise NotFound("There is no such feedback.")
    return row


def examples_for(
    actor: Actor, tenant: Tenant, query: str = "", use_case: str = "", *, best_first: bool = False
) -> QuerySet[SavedExample]:
    """What the tenant's members shared, with ``stars`` (their mean) and ``raters``; the newest or the best first."""
    rows = SavedExample.objects.for_actor(actor).filter(tenant=tenant).select_related("author", "project")
    if use_case:
        rows = rows.filter(use_case=use_case)
    for word in query.split()[:8]:
        rows = rows.filter(
            Q(title__icontains=word)
            | Q(note__icontains=word)
            | Q(tags__icontains=word)
            | Q(model_slug__icontains=word)
            | Q(answer__icontains=word)
        )
    return _with_stars(rows, best_first=best_first)


def get_example_for(actor: Actor, public_id: str) -> SavedExample:
    rows = SavedExample.objects.for_actor(actor).filter(public_id=public_id[:16]).select_related("author", "tenant")
    example = _with_stars(rows).first()
    if example is None or example.public_id != public_id:
        raise NotFound("There is no such example.")
    return example


def rating_of(actor: Actor, example: SavedExample) -> int:
    """The actor's own stars; 0 for none."""
    rows = ExampleRating.objects.for_tenant(example.tenant).filter(example=example, user=actor.user)
    return rows.values_list("stars", flat=True).first() or 0


def _with_stars(rows: QuerySet[SavedExample], *, best_first: bool = False) -> QuerySet[SavedExample]:
    rated = rows.annotate(stars=Avg("ratings__stars"), raters=Count("ratings", distinct=True))
    if best_first:
        return rated.order_by(F("stars").desc(nulls_last=True), F("raters").desc(), "-pk")
    return rated.order_by("-created_at", "-pk")
