"""Sharing across tenants: a version is published to all, and anybody may fork it into their own catalog."""

from __future__ import annotations

import msgspec
from django.db import transaction

from apps.prompts.content import whole_messages
from apps.prompts.models import Prompt, PromptVersion, Publication
from apps.prompts.services.prompts import create_prompt, locked
from apps.prompts.services.versions import store_version
from apps.tenants import audit, validation
from apps.tenants.access import Actor, can, require
from apps.tenants.errors import NotFound
from apps.tenants.models import Tenant
from apps.tenants.services.changes import apply_changes


@transaction.atomic
def publish_version(*, actor: Actor, version: PromptVersion, note: str = "") -> Publication:
    """Every tenant may read and fork it from now on. Again, it only changes the note."""
    prompt = version.prompt
    require(actor, "prompt.publish", prompt.tenant, what="publish this prompt to every tenant")
    note = " ".join(validation.clean_text(note, field="note", maximum=500).split())
    publication, created = Publication.objects.unscoped("of the version just reached").get_or_create(
        version=version, defaults={"note": note, "published_by": actor.user}
    )
    if not created and not apply_changes(publication, {"note": note}):
        return publication
    audit.record(actor, "prompt.published", prompt, {"version": version.number, "note": note}, prompt.tenant)
    return publication


@transaction.atomic
def withdraw_publication(*, actor: Actor, version: PromptVersion) -> None:
    """What was forked stays. Nothing happens where it is not published."""
    prompt = version.prompt
    require(actor, "prompt.publish", prompt.tenant, what="withdraw this publication")
    deleted, _ = Publication.objects.unscoped("of the version just reached").filter(version=version).delete()
    if deleted:
        audit.record(actor, "prompt.publication_withdrawn", prompt, {"version": version.number}, prompt.tenant)


@transaction.atomic
def fork_version(
    *, actor: Actor, version: PromptVersion, tenant: Tenant, slug: str, name: str = "", message: str = ""
) -> Prompt:
    """A prompt of ``tenant`` that begins with ``version``: one of its own, or a published one of another tenant's.

    The prompts that another tenant's version includes are not there to be included: their texts become its own.
    """
    source = version.prompt
    own = can(actor, "prompt.view", source.tenant)
    if not own and not Publication.objects.unscoped("is it published").filter(version=version).exists():
        raise NotFound("There is no such published prompt.")
    prompt = create_prompt(
        actor=actor,
        tenant=tenant,
        slug=slug,
        name=name or source.name,
        description=source.description,
        use_case=source.use_case,
        tags=list(source.tags),
    )
    prompt.forked_from = version
    prompt.forked_label = f"{source.tenant.name}: {source.name}, version {version.number}"[:300]
    prompt.save(update_fields=["forked_from", "forked_label"])
    content = version.content
    if source.tenant_id != tenant.pk:
        content = msgspec.structs.replace(content, messages=whole_messages(content), includes={})
    store_version(actor, locked(prompt), content, message or f"Forked from {prompt.forked_label}"[:300])
    audit.record(actor, "prompt.forked", prompt, {"from": prompt.forked_label}, tenant)
    return prompt
