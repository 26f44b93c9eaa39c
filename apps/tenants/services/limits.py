"""Rate limits: so many requests or tokens per window, so many requests at once."""

from __future__ import annotations

from typing import Any, TypedDict, Unpack

from django.db import transaction

from apps.tenants import audit, validation
from apps.tenants.access import Actor, require
from apps.tenants.control_plane import control_plane_changed
from apps.tenants.errors import Invalid
from apps.tenants.models import ApiKey, Project, RateLimit, Tenant, User
from apps.tenants.services.changes import apply_changes
from apps.tenants.services.subjects import check_subject
from apps.tenants.types import Metric

MOST = 10**15
LONGEST_WINDOW_SECONDS = 31 * 86400


class LimitChanges(TypedDict, total=False):
    limit: int
    window_seconds: int


def _clean(changes: LimitChanges) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if "limit" in changes:
        values["limit"] = validation.clean_number(changes["limit"], field="limit", minimum=1, maximum=MOST)
    if "window_seconds" in changes:
        values["window_seconds"] = validation.clean_number(
            changes["window_seconds"], field="window_seconds", minimum=1, maximum=LONGEST_WINDOW_SECONDS
        )
    if unknown := set(changes) - set(values):
        raise Invalid(f"{', '.join(sorted(unknown))} cannot be changed here.", field=min(unknown))
    return values


@transaction.atomic
def set_rate_limit(
    *,
    actor: Actor,
    tenant: Tenant,
    metric: str,
    limit: int,
    window_seconds: int = 60,
    project: Project | None = None,
    api_key: ApiKey | None = None,
    user: User | None = None,
    model: str = "",
) -> RateLimit:
    """The one limit of this subject, metric and window: made, or changed where there is one."""
    require(actor, "limit.manage", tenant, what="change rate limits")
    metric = validation.clean_choice(metric, Metric, field="metric")
    values = _clean({"limit": limit, "window_seconds": window_seconds})
    if metric == Metric.CONCURRENCY:
        values["window_seconds"] = 60  # Concurrency has no window: one value, so that there is one row.
    model = (validation.clean_model_names([model], field="model") or [""])[0]
    project = check_subject(tenant, project, api_key, user)
    # The tenant's row is the lock: two admins who set the same limit at once make one row.
    Tenant.objects.for_tenant(tenant).select_for_update().get()
    subject: dict[str, Any] = {"project": project, "api_key": api_key, "user": user, "model": model, "metric": metric}
    row = RateLimit.objects.for_tenant(tenant).filter(**subject, window_seconds=values["window_seconds"]).first()
    if row is not None:
        return _change(actor, row, values)
    row = RateLimit.objects.create(**{"tenant": tenant, **subject, **values})
    audit.record(actor, "limit.created", row, _facts(row), tenant)
    control_plane_changed()
    return row


@transaction.atomic
def update_rate_limit(*, actor: Actor, rate_limit: RateLimit, **changes: Unpack[LimitChanges]) -> RateLimit:
    require(actor, "limit.manage", rate_limit.tenant, what="change rate limits")
    values = _clean(changes)
    rows = RateLimit.objects.for_tenant(rate_limit.tenant).select_related("tenant")
    return _change(actor, rows.select_for_update(of=("self",)).get(pk=rate_limit.pk), values)


@transaction.atomic
def delete_rate_limit(*, actor: Actor, rate_limit: RateLimit) -> None:
    require(actor, "limit.manage", rate_limit.tenant, what="change rate limits")
    audit.record(actor, "limit.deleted", rate_limit, _facts(rate_limit), rate_limit.tenant)
    rate_limit.delete()
    control_plane_changed()


def _change(actor: Actor, row: RateLimit, values: dict[str, Any]) -> RateLimit:
    if changed := apply_changes(row, values):
        audit.record(actor, "limit.updated", row, {**_facts(row), **changed}, row.tenant)
        control_plane_changed()
    return row


def _facts(row: RateLimit) -> dict[str, Any]:
    return {
        "metric": row.metric,
        "limit": row.limit,
        "window_seconds": row.window_seconds,
        "project": row.project.slug if row.project else None,
        "api_key": row.api_key.prefix if row.api_key else None,
        "user": row.user.email if row.user else None,
        "model": row.model or None,
    }
