"""What the playground's page is told as it opens: the models one may call, and the conversation so far."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from apps.gateway.models import Route
from apps.gateway.routing.selectors import callable_routes_for, model_of
from apps.gateway.types import Purpose
from apps.models.selectors import CatalogEntry, callable_models_for, catalog_entries
from apps.models.types import Capability, ModelKind
from apps.playground import selectors
from apps.playground.messages import shown_answer, shown_file
from apps.playground.models import Conversation, Turn, Vote
from apps.tenants.access import Actor
from apps.tenants.models import Project, Tenant


def entries_for(actor: Actor, tenant: Tenant, project: Project | None) -> list[CatalogEntry]:
    """The chat models that the project may call now."""
    if project is None:
        return []
    rows = callable_models_for(actor, tenant, project, with_price=True).filter(kind=ModelKind.CHAT).order_by("name")
    return catalog_entries(rows, tenant, project)


def shown_models(entries: Iterable[CatalogEntry]) -> list[dict[str, Any]]:
    """With what a column needs: what the model can do, its bounds, its price in picodollars per token."""
    return [
        {
            "slug": entry.model.slug,
            "name": entry.model.name,
            "simulated": entry.is_simulated,
            # Nothing stated: everything is offered, and the provider says what it does not take.
            "can": entry.model.capabilities or list(Capability.values),
            "context": entry.model.context_tokens,
            "most": entry.model.max_output_tokens,
            "price": _price(entry),
        }
        for entry in entries
    ]


def _price(entry: CatalogEntry) -> list[int] | None:
    price = entry.price
    return None if price is None else [price.input_picousd, price.output_picousd, price.request_picousd]


def routes_of(actor: Actor, tenant: Tenant, project: Project | None) -> list[Route]:
    """The routes that send to a chat model which the project may call now."""
    if project is None:
        return []
    return callable_routes_for(actor, tenant, callable_models_for(actor, tenant, project).filter(kind=ModelKind.CHAT))


def shown_routes(routes: Iterable[Route], entries: Iterable[CatalogEntry]) -> list[dict[str, Any]]:
    """With the prices that a call may come to; none where what the route sends to is not for the reader to know."""
    prices = {entry.model.pk: _price(entry) for entry in entries}
    return [
        {
            "slug": route.slug,
            "name": route.name,
            "platform": route.tenant_id is None,
            "prices": [price for model in _models_of(route) if (price := prices.get(model)) is not None],
        }
        for route in routes
    ]


def _models_of(route: Route) -> list[int]:
    targets = [target for target in route.targets.all() if target.purpose == Purpose.NORMAL]
    return sorted({model_of(target).pk for target in targets})


def wanted_prompt(asked: str) -> dict[str, Any]:
    """A column's prompt as an address names it: ``claims``, ``claims@3`` or ``claims@live``."""
    slug, _, which = asked.partition("@")
    if which.isascii() and which.isdigit() and len(which) < 10:
        return {"id": slug[:50], "version": int(which)}
    return {"id": slug[:50], "label": which[:50]}


def shown_conversation(conversation: Conversation) -> dict[str, Any]:
    """The whole tree. Before a blind vote the columns tell nothing of their models."""
    blind = conversation.is_blind
    votes = {} if blind else selectors.votes_of(conversation)
    return {
        "id": conversation.public_id,
        "title": conversation.title,
        "blind": blind,
        "use_case": conversation.use_case,
        "columns": [{"model": "", "system": each.get("system", "")} for each in conversation.columns]
        if blind
        else conversation.columns,
        "shared": conversation.is_shared,
        "turns": [_shown_turn(turn, votes.get(turn.pk), blind=blind) for turn in selectors.turns_of(conversation)],
    }


def _shown_turn(turn: Turn, vote: Vote | None, *, blind: bool) -> dict[str, Any]:
    return {
        "id": turn.pk,
        "parent": turn.parent_id,
        "message": turn.message,
        "files": [shown_file(each) for each in turn.attachments.all()],
        "winner": vote.winner if vote is not None else "",
        "answers": [shown_answer(answer, blind=blind) for answer in turn.answers.all()],
    }
