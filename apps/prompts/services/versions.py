"""Versions: saved once, never changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from apps.prompts.content import clean_content, content_hash, whole_messages
from apps.prompts.errors import ContentInvalid
from apps.prompts.models import Prompt, PromptVersion
from apps.prompts.selectors import label_state_of
from apps.prompts.services.prompts import locked
from apps.prompts.signals import prompt_version_created
from apps.prompts.types import Content, Include, plain
from apps.tenants import audit, validation
from apps.tenants.access import Actor, require
from apps.tenants.control_plane import control_plane_changed
from apps.tenants.errors import Invalid
from apps.tenants.types import Environment

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Saved:
    """``created`` is false where the prompt had a version with this very content already."""

    version: PromptVersion
    created: bool


@transaction.atomic
def save_version(
    *,
    actor: Actor,
    prompt: Prompt,
    content: Mapping[str, Any],
    message: str = "",
    parent: PromptVersion | None = None,
    carried: Mapping[str, dict[str, Any]] = {},
) -> Saved:
    """``content`` is a ``types.Content`` as plain JSON. Without ``parent`` it follows the newest version.

    ``carried`` holds declarations that count where included prompts still have such a variable.
    """
    require(actor, "prompt.edit", prompt.tenant, what="save a version of this prompt")
    cleaned = clean_content(content, lambda reference: _resolve(prompt, reference), carried)
    message = " ".join(validation.clean_text(message, field="message", maximum=300).split())
    return store_version(actor, locked(prompt), cleaned, message, parent)


def store_version(
    actor: Actor, prompt: Prompt, content: Content, message: str, parent: PromptVersion | None = None
) -> Saved:
    """``prompt`` is locked, so that numbers have no gaps and no twins."""
    digest = content_hash(content)
    existing = prompt.versions.filter(content_hash=digest).first()
    if existing is not None:
        existing.prompt = prompt
        return Saved(existing, created=False)
    if parent is not None and parent.prompt_id != prompt.pk:
        raise Invalid("The version that it follows is of another prompt.", field="parent")
    newest = prompt.versions.order_by("-number").first()
    version = PromptVersion.objects.create(
        prompt=prompt,
        number=(prompt.versions.aggregate(last=Max("number"))["last"] or 0) + 1,
        content_hash=digest,
        parent=parent or newest,
        message=message,
        author=actor.user,
        author_label=actor.label,
        **{name: plain(getattr(content, name)) for name in Content.__struct_fields__},
    )
    touch(prompt)
    told = {"number": version.number, "hash": digest, "message": message}
    audit.record(actor, "prompt.version_saved", prompt, told, prompt.tenant)
    control_plane_changed()
    told_of = version.pk
    transaction.on_commit(lambda: _tell(told_of))
    return Saved(version, created=True)


def _tell(version_id: int) -> None:
    for receiver, outcome in prompt_version_created.send_robust(PromptVersion, version_id=version_id):
        if isinstance(outcome, Exception):
            log.error("version_receiver_failed", receiver=str(receiver), version=version_id, exc_info=outcome)


def touch(prompt: Prompt) -> None:
    prompt.updated_at = timezone.now()
    prompt.save(update_fields=["updated_at"])


def _resolve(prompt: Prompt, reference: str) -> tuple[Include, Mapping[str, dict[str, Any]]]:
    """What ``{{> slug}}`` (the newest version), ``{{> slug@3}}`` or ``{{> slug@label}}`` means at this moment."""
    slug, _, wanted = reference.partition("@")
    other = Prompt.objects.for_tenant(prompt.tenant).filter(slug=slug, is_archived=False).first()
    if other is None or slug == prompt.slug:
        raise ContentInvalid(f"{{{{> {reference}}}}}: there is no other prompt {slug!r} here.", field="messages")
    version = _wanted(other, wanted)
    if version is None:
        raise ContentInvalid(
            f"{{{{> {reference}}}}}: {slug} has no version {wanted!r}." if wanted else f"{slug} has no version yet.",
            field="messages",
        )
    messages = whole_messages(version.content)
    if len(messages) != 1:
        raise ContentInvalid(
            f"{{{{> {reference}}}}}: only a prompt of one message can be put into another; {slug} has {len(messages)}.",
            field="messages",
        )
    return Include(slug, version.number, version.content_hash, messages[0].content), version.content.variables


def _wanted(other: Prompt, wanted: str) -> PromptVersion | None:
    versions = other.versions.order_by("-number")
    if not wanted:
        return versions.first()
    if wanted.isdigit():
        return versions.filter(number=int(wanted[:9])).first()
    # A label may differ by environment; what goes into a text is the one nearest to production.
    for environment in reversed(Environment.values):
        state = label_state_of(other, environment, wanted)
        if state is not None:
            return state.shares[0].version
    return None
