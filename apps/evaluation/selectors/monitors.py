"""Reads of monitors, always for an actor."""

from __future__ import annotations

from typing import Final

from django.db.models import Prefetch, QuerySet

from apps.evaluation.models import Monitor, MonitorAlert, MonitorCheck
from apps.evaluation.types import CheckKind
from apps.tenants.access import Actor
from apps.tenants.errors import NotFound
from apps.tenants.models import Tenant

WHY: Final = "of a monitor that the actor reached"


def monitors_for(actor: Actor, tenant: Tenant | None = None) -> QuerySet[Monitor]:
    rows = Monitor.objects.for_actor(actor).select_related("tenant", "project", "prompt", "updated_by")
    rows = rows.prefetch_related("scorers", "recipients")
    return rows if tenant is None else rows.filter(tenant=tenant)


def get_monitor_for(actor: Actor, tenant_slug: str, slug: str) -> Monitor:
    monitor = monitors_for(actor).filter(tenant__slug=tenant_slug, slug=slug).first()
    if monitor is None:
        raise NotFound(f"There is no monitor {slug[:60]!r}.")
    return monitor


def checks_of(monitor: Monitor) -> QuerySet[MonitorCheck]:
    """Newest first, with their alerts."""
    rows = MonitorCheck.objects.unscoped(WHY).filter(monitor=monitor, kind=CheckKind.CHECK)
    rows = rows.select_related("monitor__tenant", "evaluation", "rollback", "baseline", "asked_by")
    return rows.prefetch_related(Prefetch("alerts", MonitorAlert.objects.unscoped(WHY))).order_by("-until", "-pk")
