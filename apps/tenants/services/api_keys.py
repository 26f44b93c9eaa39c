"""API keys: issue, revoke, rotate. The plaintext leaves here once, in ``IssuedKey``, and is stored nowhere."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from apps.tenants import apikeys, audit, validation
from apps.tenants.access import Actor, can, grantable_scopes, require
from apps.tenants.control_plane import control_plane_changed
from apps.tenants.errors import Conflict, Invalid, NotFound, PermissionDenied
from apps.tenants.models import ApiKey, Budget, Project, RateLimit
from apps.tenants.types import Scope, TenantStatus

LONGEST_OVERLAP = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A new key and its plaintext, which is kept out of ``repr`` so that no log line or traceback shows it."""

    api_key: ApiKey
    plaintext: str = field(repr=False)

    @property
    def aws_access_key_id(self) -> str:
        """What the key stands for towards AWS SDKs, which sign their requests and show no key."""
        return apikeys.aws_access_key_id(self.api_key.prefix)

    @property
    def aws_secret_access_key(self) -> str:
        return apikeys.aws_secret_access_key(self.api_key.prefix, self.api_key.secret_hmac)


@transaction.atomic
def create_api_key(
    *,
    actor: Actor,
    project: Project,
    name: str,
    scopes: Iterable[str] = (Scope.INFERENCE,),
    allowed_models: Iterable[str] = (),
    cidrs: Iterable[str] = (),
    expires_at: datetime | None = None,
) -> IssuedKey:
    """A key of ``project``. Its scopes are at most what ``actor`` may grant.

    Raises:
        PermissionDenied: The actor may not create keys, or not with one of the scopes (code ``scope_not_grantable``).
    """
    require(actor, "apikey.create", project.tenant, project, what="create an API key")
    if not project.is_active:
        raise Conflict(f"The project {project.name} is archived.", code="project_archived", field="project")
    if project.tenant.status == TenantStatus.OFFBOARDED:
        raise Conflict(f"The tenant {project.tenant.name} is offboarded.", code="tenant_offboarded", field="project")
    name = validation.clean_name(name, maximum=100)
    wanted = list(dict.fromkeys(validation.clean_choice(scope, Scope, field="scopes") for scope in scopes))
    if not wanted:
        raise Invalid("A key needs at least one scope.", field="scopes")
    if excess := set(wanted) - grantable_scopes(actor, project.tenant):
        raise PermissionDenied(
            f"You may not grant {', '.join(sorted(excess))}.",
            code="scope_not_grantable",
            field="scopes",
            remedy="Ask a tenant admin to create this key.",
        )
    return _issue(
        actor,
        project,
        action="apikey.created",
        name=name,
        scopes=wanted,
        allowed_models=validation.clean_model_names(allowed_models),
        cidrs=validation.clean_cidrs(cidrs),
        expires_at=validation.clean_expiry(expires_at),
    )


@transaction.atomic
def revoke_api_key(*, actor: Actor, api_key: ApiKey, reason: str = "") -> ApiKey:
    """For good. Revoking a revoked key changes nothing."""
    api_key = _locked(api_key)
    _require_control(actor, api_key, "revoke this API key")
    reason = validation.clean_text(reason, field="reason", maximum=500)
    if api_key.revoked_at is None:
        api_key.revoked_at = timezone.now()
        api_key.save(update_fields=["revoked_at"])
        data = {"prefix": api_key.prefix, "project": api_key.project.slug}
        audit.record(
            actor, "apikey.revoked", api_key, {**data, **({"reason": reason} if reason else {})}, api_key.project.tenant
        )
        control_plane_changed()
    return api_key


@transaction.atomic
def rotate_api_key(*, actor: Actor, api_key: ApiKey, overlap: timedelta = timedelta(hours=24)) -> IssuedKey:
    """A successor with the same name, scopes, models, networks, limits and budgets; the old key works for ``overlap``.

    The successor keeps the old key's expiry. During the overlap each of the two keys has its own counters.
    """
    if not timedelta() <= overlap <= LONGEST_OVERLAP:
        raise Invalid(f"The overlap has to lie between 0 and {LONGEST_OVERLAP.days} days.", field="overlap")
    old = _locked(api_key)
    _require_control(actor, old, "rotate this API key")
    require(actor, "apikey.create", old.project.tenant, old.project, what="create an API key")
    if not old.is_usable:
        raise Conflict("This key is revoked or expired.", code="key_unusable", remedy="Create a new key instead.")
    if excess := set(old.scopes) - grantable_scopes(actor, old.project.tenant):
        raise PermissionDenied(
            f"You may not grant {', '.join(sorted(excess))}.",
            code="scope_not_grantable",
            remedy="Ask a tenant admin to rotate this key.",
        )
    issued = _issue(
        actor,
        old.project,
        action="apikey.rotated",
        name=old.name,
        scopes=old.scopes,
        allowed_models=old.allowed_models,
        cidrs=old.cidrs,
        expires_at=old.expires_at,
        rotated_from=old,
    )
    tenant = old.project.tenant
    _copy_to(issued.api_key, list(RateLimit.objects.for_tenant(tenant).filter(api_key=old)))
    _copy_to(issued.api_key, list(Budget.objects.for_tenant(tenant).filter(api_key=old)))
    end = timezone.now() + overlap
    if old.expires_at is None or end < old.expires_at:
        old.expires_at = end
        old.save(update_fields=["expires_at"])
    return issued


def _copy_to(api_key: ApiKey, rows: list[RateLimit] | list[Budget]) -> None:
    for row in rows:
        row.pk = None
        row._state.adding = True
        row.api_key = api_key
        row.save(force_insert=True)


def _issue(
    actor: Actor, project: Project, *, action: str, rotated_from: ApiKey | None = None, **values: Any
) -> IssuedKey:
    new = apikeys.generate()
    row: dict[str, Any] = {
        "project": project,
        "prefix": new.prefix,
        "secret_hmac": new.secret_hmac,
        "created_by": actor.user,
        "rotated_from": rotated_from,
        **values,
    }
    api_key = ApiKey.objects.create(**row)
    data = {"prefix": new.prefix, "project": project.slug, **values}
    if rotated_from is not None:
        data["rotated_from"] = rotated_from.prefix
    audit.record(actor, action, api_key, data, project.tenant)
    control_plane_changed()
    return IssuedKey(api_key, new.plaintext)


def _require_control(actor: Actor, api_key: ApiKey, what: str) -> None:
    project = api_key.project
    if can(actor, "apikey.revoke", project.tenant, project):
        return
    own = actor.user is not None and api_key.created_by_id == actor.user.pk
    action = "apikey.revoke_own" if own else "apikey.revoke"
    if not can(actor, "apikey.view", project.tenant, project):
        raise NotFound("There is no such API key.")
    require(actor, action, project.tenant, project, what=what)


def _locked(api_key: ApiKey) -> ApiKey:
    rows = ApiKey.objects.unscoped("just reached on an access road; the caller checks its tenant")
    return rows.select_related("project__tenant").select_for_update(of=("self",)).get(pk=api_key.pk)
