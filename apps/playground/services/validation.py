"""Checks that several of the playground's acts share."""

from __future__ import annotations

from typing import Any

import msgspec

from apps.playground.models import Conversation
from apps.playground.types import Column, UseCase, plain
from apps.tenants import validation
from apps.tenants.access import Actor
from apps.tenants.errors import NotFound


def require_own(actor: Actor, conversation: Conversation) -> None:
    """Raises ``NotFound`` where the conversation is somebody else's, as for one that does not exist."""
    if actor.user is None or conversation.owner_id != actor.user.pk:
        raise NotFound("There is no such conversation.")


def clean_use_case(value: str, *, needed: bool = False) -> str:
    if not value and not needed:
        return ""
    return validation.clean_choice(value, UseCase, field="use_case")


def storable(text: str) -> str:
    """Text that every database takes: what a model or a person wrote is kept, but for what cannot be."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")


def storable_column(column: Column) -> Column:
    return msgspec.convert(_storable_json(plain(column)), Column)


def _storable_json(value: Any) -> Any:
    match value:
        case str():
            return storable(value)
        case list():
            return [_storable_json(each) for each in value]
        case dict():
            return {storable(str(name)): _storable_json(each) for name, each in value.items()}
    return value
