"""The demonstration's conversations, feedback, votes and examples, made by the services that people use.

What the services date is moved to when it is meant to have been: the figures come from the price book of that day.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta

from apps.models.models import Model
from apps.models.selectors import price_at
from apps.playground import selectors, services
from apps.playground.models import Answer, Conversation, Feedback, SavedExample, Turn, Vote
from apps.playground.types import Column
from apps.tenants.access import Actor
from apps.tenants.models import Project, Tenant, User
from portal.demo import cast
from portal.demo.exchanges import EXCHANGES, Exchange, Opinion

_WHY = "the demonstration moves its own rows in time"
BYTES_PER_TOKEN = 4


def seed_playground(now: datetime) -> int:
    """How many conversations were made."""
    for plan in EXCHANGES:
        _seed(plan, now - timedelta(days=plan.days_ago, hours=plan.days_ago % 5))
    return len(EXCHANGES)


def _actor(name: str) -> Actor:
    email = next(person.email for person in cast.PEOPLE if person.name.split()[0] == name)
    return Actor.of_user(User.objects.get(email=email))


def _seed(plan: Exchange, at: datetime) -> None:
    tenant = Tenant.objects.unscoped(_WHY).get(slug=plan.tenant)
    project = Project.objects.for_tenant(tenant).get(slug=plan.project)
    owner = _actor(plan.owner)
    begun = services.begin_turn(
        actor=owner,
        project=project,
        columns=[Column(model=slug, system=plan.system) for slug, _ in plan.answers],
        message=plan.message,
        blind=bool(plan.vote),
        use_case=plan.use_case,
    )
    # The server may have shuffled the columns.
    answers = {answer.model_slug: answer for answer in begun.answers}
    for slug, text in plan.answers:
        _answer(answers[slug], text, plan, at)
    turn = selectors.get_turn_for(owner, begun.turn.pk)
    if plan.vote:
        places = {answer.model_slug: "ab"[answer.column] for answer in begun.answers}
        services.cast_vote(actor=owner, turn=turn, winner=places.get(plan.vote, plan.vote))
    conversation = selectors.get_conversation_for(owner, begun.conversation.public_id)
    # Others can say something of what is shared with them.
    shared = services.share_conversation(actor=owner, conversation=conversation)
    by_column = [answers[slug] for slug, _ in plan.answers]
    for opinion in plan.opinions:
        _say(opinion, by_column[opinion.column], at)
    for example in plan.examples:
        row = services.share_example(
            actor=owner,
            answer=selectors.get_answer_for(owner, by_column[example.column].pk),
            title=example.title,
            use_case=plan.use_case,
            tags=example.tags,
            note=example.note,
        )
        for name, stars in example.stars:
            services.rate_example(actor=_actor(name), example=row, stars=stars)
        SavedExample.objects.for_tenant(tenant).filter(pk=row.pk).update(created_at=at + timedelta(minutes=9))
    if not plan.shared:
        services.unshare_conversation(actor=owner, conversation=shared)
    _move(conversation, at)


def _answer(answer: Answer, text: str, plan: Exchange, at: datetime) -> None:
    model = Model.objects.get(slug=answer.model_slug)
    tokens_in = (len(plan.system) + len(plan.message)) // BYTES_PER_TOKEN + 8
    tokens_out = len(text.encode()) // BYTES_PER_TOKEN
    price = price_at(model, None, at)
    cost = tokens_in * price.input_picousd + tokens_out * price.output_picousd if price is not None else 0
    # The larger the model, the longer it thinks; the rest is chance, the same at every start.
    chance = hashlib.sha256(text.encode()).digest()[0]
    first = (520 if model.slug == "meridian-large" else 240) + chance
    services.finish_answer(
        answer.pk,
        status="done",
        text=text,
        reasoning="",
        tool_calls=[],
        error={},
        request_id="",
        input_tokens=tokens_in,
        output_tokens=tokens_out,
        first_token_ms=first,
        duration_ms=first + tokens_out * 14,
    )
    services.save_figures(answer.pk, input_tokens=tokens_in, output_tokens=tokens_out, cost_picousd=cost)


def _say(opinion: Opinion, answer: Answer, at: datetime) -> None:
    row = services.give_feedback(
        actor=_actor(opinion.by),
        answer=answer,
        verdict=opinion.verdict,
        reasons=opinion.reasons,
        note=opinion.note,
        correction=opinion.correction,
    )
    if opinion.status != "open":
        triager = next(each for each in ("Priya", "Jonas", "Sofia") if _may_triage(each, row))
        services.triage_feedback(actor=_actor(triager), feedback=row, status=opinion.status)
    Feedback.objects.for_tenant(row.tenant).filter(pk=row.pk).update(created_at=at + timedelta(minutes=6))


def _may_triage(name: str, row: Feedback) -> bool:
    allowed = _actor(name).tenants_allowing("feedback.triage")
    return allowed is None or row.tenant_id in allowed


def _move(conversation: Conversation, at: datetime) -> None:
    Conversation.objects.for_tenant(conversation.tenant).filter(pk=conversation.pk).update(created_at=at, updated_at=at)
    Turn.objects.unscoped(_WHY).filter(conversation=conversation).update(created_at=at)
    Answer.objects.unscoped(_WHY).filter(turn__conversation=conversation).update(created_at=at)
    Vote.objects.for_tenant(conversation.tenant).filter(turn__conversation=conversation).update(created_at=at)
