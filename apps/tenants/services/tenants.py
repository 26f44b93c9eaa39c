"""Tenants: onboarding, changing, suspending, offboarding."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypedDict, Unpack

from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.tenants import audit, validation
from apps.tenants.access import Actor, require
from apps.tenants.control_plane import control_plane_changed
from apps.tenants.errors import Conflict, Invalid
from apps.tenants.models import ApiKey, Tenant
from apps.tenants.services.changes import apply_changes
from apps.tenants.types import TenantStatus


class TenantFacts(TypedDict, total=False):
    cost_center: str
    time_zone: str
    residency: Iterable[str]
    retention_days: int
    brand_color: str
    copies_feedback: bool


class TenantChanges(TenantFacts, total=False):
    name: str


_LONGEST_RETENTION_DAYS = 3653  # ten years


def _clean(changes: TenantChanges) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if "name" in changes:
        values["name"] = validation.clean_name(changes["name"])
    if "cost_center" in changes:
        values["cost_center"] = validation.clean_text(changes["cost_center"], field="cost_center", maximum=50)
    if "time_zone" in changes:
        values["time_zone"] = validation.clean_time_zone(changes["time_zone"])
    if "residency" in changes:
        values["residency"] = validation.clean_regions(changes["residency"])
    if "retention_days" in changes:
        values["retention_days"] = validation.clean_number(
            changes["retention_days"], field="retention_days", minimum=1, maximum=_LONGEST_RETENTION_DAYS
        )
    if "brand_color" in changes:
        values["brand_color"] = validation.clean_color(changes["brand_color"])
    if "copies_feedback" in changes:
        values["copies_feedback"] = bool(changes["copies_feedback"])
    if unknown := set(changes) - set(values):
        raise Invalid(f"{', '.join(sorted(unknown))} cannot be changed here.", field=min(unknown))
    return values


@transaction.atomic
def create_tenant(
    *,
    actor: Actor,
    slug: str,
    name: str,
    status: str = TenantStatus.ACTIVE,
    **facts: Unpack[TenantFacts],
) -> Tenant:
    require(actor, "tenant.create", what="create a tenant")
    slug = validation.clean_slug(slug)
    status = validation.clean_choice(status, TenantStatus, field="status")
    if status not in {TenantStatus.ONBOARDING, TenantStatus.ACTIVE}:
        raise Invalid("A new tenant is onboarding or active.", field="status")
    values = {"slug": slug, "status": status, **_clean({"name": name, **facts})}
    try:
        with transaction.atomic():
            tenant = Tenant.objects.create(**values)
    except IntegrityError:
        raise Conflict(f"There is a tenant {slug!r} already.", code="slug_taken", field="slug") from None
    audit.record(actor, "tenant.created", tenant, values, tenant)
    control_plane_changed()
    return tenant


@transaction.atomic
def update_tenant(*, actor: Actor, tenant: Tenant, **changes: Unpack[TenantChanges]) -> Tenant:
    require(actor, "tenant.update", tenant, what="change this tenant")
    values = _clean(changes)
    tenant = _locked(tenant)
    if changed := apply_changes(tenant, values):
        audit.record(actor, "tenant.updated", tenant, changed, tenant)
        control_plane_changed()
    return tenant


@transaction.atomic
def suspend_tenant(*, actor: Actor, tenant: Tenant, reason: str) -> Tenant:
    """Stop the tenant's calls and changes at once. Its people can still look."""
    require(actor, "tenant.suspend", tenant, what="suspend a tenant")
    reason = validation.clean_text(reason, field="reason", maximum=500)
    if not reason:
        raise Invalid("Say why the tenant is suspended.", field="reason")
    tenant = _locked(tenant)
    if tenant.status == TenantStatus.OFFBOARDED:
        raise Conflict("An offboarded tenant cannot be suspended.", code="tenant_offboarded")
    return _set_status(actor, tenant, TenantStatus.SUSPENDED, "tenant.suspended", reason)


@transaction.atomic
def reactivate_tenant(*, actor: Actor, tenant: Tenant) -> Tenant:
    """End a suspension, or end onboarding."""
    require(actor, "tenant.suspend", tenant, what="reactivate a tenant")
    tenant = _locked(tenant)
    if tenant.status == TenantStatus.OFFBOARDED:
        raise Conflict(
            "An offboarded tenant stays so.", code="tenant_offboarded", remedy="Create a new tenant instead."
        )
    return _set_status(actor, tenant, TenantStatus.ACTIVE, "tenant.reactivated", "")


@transaction.atomic
def offboard_tenant(*, actor: Actor, tenant: Tenant, reason: str = "") -> Tenant:
    """The end: members lose sight of it and every key is revoked. Its ledger and audit trail stay."""
    require(actor, "tenant.offboard", tenant, what="offboard a tenant")
    tenant = _locked(tenant)
    ApiKey.objects.for_tenant(tenant).filter(revoked_at=None).update(revoked_at=timezone.now())
    reason = validation.clean_text(reason, field="reason", maximum=500)
    return _set_status(actor, tenant, TenantStatus.OFFBOARDED, "tenant.offboarded", reason)


def _set_status(actor: Actor, tenant: Tenant, status: TenantStatus, action: str, reason: str) -> Tenant:
    if changed := apply_changes(tenant, {"status": status}):
        audit.record(actor, action, tenant, {**changed, **({"reason": reason} if reason else {})}, tenant)
        control_plane_changed()
    return tenant


def _locked(tenant: Tenant) -> Tenant:
    return Tenant.objects.for_tenant(tenant).select_for_update().get()
