"""Grants: which tenant, or project of it, may call a model that is not open to all."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.utils import timezone

from apps.models.models import AccessGrant, Model
from apps.tenants import audit, validation
from apps.tenants.access import Actor, require
from apps.tenants.control_plane import control_plane_changed
from apps.tenants.errors import Conflict, Invalid, NotFound
from apps.tenants.models import Project, Tenant
from apps.tenants.services.changes import apply_changes


@transaction.atomic
def grant_access(
    *,
    actor: Actor,
    tenant: Tenant,
    model: Model,
    project: Project | None = None,
    expires_at: datetime | None = None,
) -> AccessGrant:
    """The one grant of this model to the tenant (or the project): made, or its expiry changed where there is one."""
    require(actor, "access.grant", tenant, what="grant access to models")
    if project is not None and project.tenant_id != tenant.pk:
        raise Invalid("The project belongs to another tenant.", field="project")
    expires_at = validation.clean_expiry(expires_at)
    # The tenant's row is the lock: two people who grant the same at once make one row.
    Tenant.objects.for_tenant(tenant).select_for_update().get()
    grant = AccessGrant.objects.for_tenant(tenant).filter(project=project, model=model).first()
    facts = {"model": model.slug, "project": None if project is None else project.slug}
    if grant is None:
        accepted = AccessGrant.objects.for_tenant(tenant).filter(model=model, licence_accepted_at__isnull=False).first()
        grant = AccessGrant.objects.create(
            tenant=tenant,
            project=project,
            model=model,
            expires_at=expires_at,
            granted_by=actor.user,
            licence_accepted_at=accepted.licence_accepted_at if accepted else None,
        )
        audit.record(actor, "access.granted", grant, {**facts, "expires_at": expires_at}, tenant)
        control_plane_changed()
    elif changed := apply_changes(grant, {"expires_at": expires_at}):
        audit.record(actor, "access.changed", grant, {**facts, **changed}, tenant)
        control_plane_changed()
    return grant


@transaction.atomic
def accept_licence(*, actor: Actor, tenant: Tenant, model: Model) -> AccessGrant:
    """The tenant accepts the model's licence, for every grant that it has of the model. Idempotent.

    An open model has no grant to note it in, so the tenant gets one: the model stays its to call should it close.
    Raises NotFound where the tenant may not call the model in any case.
    """
    require(actor, "licence.accept", tenant, what="accept licences")
    Tenant.objects.for_tenant(tenant).select_for_update().get()
    model = Model.objects.select_for_update().get(pk=model.pk)
    if not model.licence_needs_acceptance:
        raise Conflict(f"The licence of {model.name} needs no acceptance.", code="no_acceptance_needed")
    grants = list(AccessGrant.objects.for_tenant(tenant).filter(model=model).order_by("project_id", "pk"))
    whole = next((grant for grant in grants if grant.project_id is None), None)
    if model.is_open and whole is None:
        whole = AccessGrant.objects.create(tenant=tenant, model=model)
        grants.insert(0, whole)
    if not grants:
        raise NotFound(f"{tenant.name} has no grant of {model.name}.")
    now = timezone.now()
    waiting = [grant for grant in grants if grant.licence_accepted_at is None]
    for grant in waiting:
        apply_changes(grant, {"licence_accepted_at": now})
    if waiting:
        facts = {"model": model.slug, "licence": model.licence, "licence_url": model.licence_url}
        audit.record(actor, "licence.accepted", whole or grants[0], facts, tenant)
        control_plane_changed()
    return whole or grants[0]


@transaction.atomic
def revoke_access(*, actor: Actor, grant: AccessGrant) -> None:
    require(actor, "access.grant", grant.tenant, what="revoke access to models")
    facts = {"model": grant.model.slug, "project": None if grant.project is None else grant.project.slug}
    audit.record(actor, "access.revoked", grant, facts, grant.tenant)
    grant.delete()
    control_plane_changed()
