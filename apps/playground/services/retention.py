"""Conversations are kept as long as their tenant says, and then are gone for good."""

from __future__ import annotations

from datetime import datetime, timedelta

from apps.playground.models import Conversation
from apps.tenants.models import Tenant

# Each transaction is short: on SQLite others wait for it.
BATCH = 100


def delete_expired(now: datetime) -> int:
    """How many conversations had their last turn longer ago than the tenant keeps them."""
    deleted = 0
    for tenant in Tenant.objects.unscoped("retention of every tenant"):
        before = now - timedelta(days=tenant.retention_days)
        rows = Conversation.objects.for_tenant(tenant).filter(updated_at__lt=before).order_by("pk")
        while ids := list(rows.values_list("pk", flat=True)[:BATCH]):
            Conversation.objects.for_tenant(tenant).filter(pk__in=ids).delete()
            deleted += len(ids)
    return deleted
