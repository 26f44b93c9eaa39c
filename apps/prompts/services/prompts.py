"""Prompts: the facts around their versions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypedDict, Unpack

from django.db import IntegrityError, transaction

from apps.prompts.models import Prompt
from apps.prompts.types import UseCase
from apps.tenants import audit, validation
from apps.tenants.access import Actor, require
from apps.tenants.control_plane import control_plane_changed
from apps.tenants.errors import Conflict, Invalid
from apps.tenants.models import Membership, Tenant, User
from apps.tenants.services.changes import apply_changes

MOST_TAGS = 12
LONGEST_TAG = 40


class PromptFacts(TypedDict, total=False):
    description: str
    use_case: str
    tags: list[str]
    owner: User | None


class PromptChanges(PromptFacts, total=False):
    name: str


@transaction.atomic
def create_prompt(*, actor: Actor, tenant: Tenant, slug: str, name: str, **facts: Unpack[PromptFacts]) -> Prompt:
    """Without a version yet. Its owner is whoever made it, unless another member is named."""
    require(actor, "prompt.edit", tenant, what="create a prompt")
    slug = validation.clean_slug(slug)
    values = {"owner": actor.user, **_clean(tenant, {"name": name, **facts})}
    try:
        with transaction.atomic():
            prompt = Prompt(tenant=tenant, slug=slug)
            for field, value in values.items():
                setattr(prompt, field, value)
            prompt.save(force_insert=True)
    except IntegrityError:
        raise Conflict(f"{tenant.name} has a prompt {slug!r} already.", code="slug_taken", field="slug") from None
    audit.record(actor, "prompt.created", prompt, {"slug": slug, **_told(values)}, tenant)
    control_plane_changed()
    return prompt


@transaction.atomic
def update_prompt(*, actor: Actor, prompt: Prompt, **changes: Unpack[PromptChanges]) -> Prompt:
    require(actor, "prompt.edit", prompt.tenant, what="change this prompt")
    values = _clean(prompt.tenant, changes)
    prompt = locked(prompt)
    if changed := apply_changes(prompt, values):
        audit.record(actor, "prompt.updated", prompt, _told(changed), prompt.tenant)
        control_plane_changed()
    return prompt


@transaction.atomic
def archive_prompt(*, actor: Actor, prompt: Prompt) -> Prompt:
    """Callers that name it are answered as if there were none; restoring it brings it back."""
    return _set_archived(actor, prompt, True, "prompt.archived")


@transaction.atomic
def restore_prompt(*, actor: Actor, prompt: Prompt) -> Prompt:
    return _set_archived(actor, prompt, False, "prompt.restored")


def _set_archived(actor: Actor, prompt: Prompt, value: bool, action: str) -> Prompt:
    require(actor, "prompt.release", prompt.tenant, what="archive or restore this prompt")
    prompt = locked(prompt)
    if apply_changes(prompt, {"is_archived": value}):
        audit.record(actor, action, prompt, {}, prompt.tenant)
        control_plane_changed()
    return prompt


def locked(prompt: Prompt) -> Prompt:
    """The row, held until the transaction ends: versions get their numbers, and labels move, one after the other."""
    rows = Prompt.objects.for_tenant(prompt.tenant).select_related("tenant")
    return rows.select_for_update(of=("self",)).get(pk=prompt.pk)


def clean_tags(tags: Iterable[str]) -> list[str]:
    cleaned = list(dict.fromkeys(tag for each in tags if (tag := each.strip().lower())))
    if len(cleaned) > MOST_TAGS:
        raise Invalid(f"There are {len(cleaned)} tags; at most {MOST_TAGS} fit.", field="tags")
    for tag in cleaned:
        if len(tag) > LONGEST_TAG or not tag.isprintable() or '"' in tag or "\\" in tag:
            raise Invalid(
                f"{tag[:50]!r} cannot be a tag.", field="tags", remedy="Use a short word, for example claims."
            )
    return cleaned


def _clean(tenant: Tenant, changes: PromptChanges) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if "name" in changes:
        values["name"] = validation.clean_name(changes["name"])
    if "description" in changes:
        values["description"] = validation.clean_text(changes["description"], field="description", maximum=4_000)
    if "use_case" in changes:
        use_case = changes["use_case"]
        values["use_case"] = validation.clean_choice(use_case, UseCase, field="use_case") if use_case else ""
    if "tags" in changes:
        values["tags"] = clean_tags(changes["tags"])
    if "owner" in changes:
        owner = changes["owner"]
        if owner is not None and not Membership.objects.for_tenant(tenant).filter(user=owner).exists():
            raise Invalid("There is no such member in this tenant.", field="owner")
        values["owner"] = owner
    if unknown := set(changes) - set(values):
        raise Invalid(f"{', '.join(sorted(unknown))} cannot be changed here.", field=min(unknown))
    return values


def _told(values: dict[str, Any]) -> dict[str, Any]:
    """For the audit trail: people by their address."""

    def told(value: Any) -> Any:
        if isinstance(value, User):
            return value.email
        return [told(each) for each in value] if isinstance(value, list) else value

    return {name: told(value) for name, value in values.items()}
