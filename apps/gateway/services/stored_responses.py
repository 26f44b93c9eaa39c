"""Responses that can be gone on from (``previous_response_id``): kept per project, until they expire.

The gateway crosses into the database here once to read and once to write, and only for callers of the Responses API
that ask for it. A project's responses are its own: another's and a missing one look alike.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec
from django.db.models import QuerySet
from django.utils import timezone
from msgspec import Raw

from apps.gateway.models import StoredResponse
from apps.gateway.snapshot import Principal
from apps.tenants.models import Tenant

# As long as OpenAI keeps them; a tenant that keeps less for less.
MOST_DAYS = 30
WHY = "a principal of the gateway reaches its own project's responses"
# Each transaction is short: on SQLite others wait for it.
BATCH = 500

_decode_items = msgspec.json.Decoder(list[Raw]).decode
_encode = msgspec.json.Encoder().encode


def recall(principal: Principal, response_id: str) -> list[Raw] | None:
    """What was said up to and in a response, as items; None where the project has no such response."""
    row = _find(principal, response_id)
    return None if row is None else _decode_items(row.items)


def read(principal: Principal, response_id: str) -> bytes | None:
    """The response as it was answered."""
    row = _find(principal, response_id)
    return None if row is None else row.body.encode()


def remember(principal: Principal, response_id: str, items: list[Raw], body: bytes) -> None:
    """Keep a response as long as its tenant keeps anything; not at all where that is zero days."""
    days = Tenant.objects.unscoped(WHY).values_list("retention_days", flat=True).get(pk=principal.tenant.id)
    if not days:
        return
    StoredResponse.objects.unscoped(WHY).update_or_create(
        project_id=principal.project.id,
        response_id=response_id[:200],
        defaults={
            "tenant_id": principal.tenant.id,
            "items": _encode(items).decode(),
            "body": body.decode(),
            "expires_at": timezone.now() + timedelta(days=min(days, MOST_DAYS)),
        },
    )


def forget(principal: Principal, response_id: str) -> bool:
    """Whether there was such a response."""
    deleted, _ = _rows(principal, response_id).delete()
    return bool(deleted)


def delete_expired_responses(now: datetime) -> int:
    """How many were due. A tenant that has shortened its retention meanwhile is heeded."""
    deleted = 0
    for tenant in Tenant.objects.unscoped("retention of every tenant"):
        rows = StoredResponse.objects.for_tenant(tenant)
        due = rows.filter(expires_at__lte=now) | rows.filter(created_at__lt=now - timedelta(days=tenant.retention_days))
        while ids := list(due.order_by("pk").values_list("pk", flat=True)[:BATCH]):
            rows.filter(pk__in=ids).delete()
            deleted += len(ids)
    return deleted


def _find(principal: Principal, response_id: str) -> StoredResponse | None:
    return _rows(principal, response_id).filter(expires_at__gt=timezone.now()).first()


def _rows(principal: Principal, response_id: str) -> QuerySet[StoredResponse]:
    if "\0" in response_id:  # PostgreSQL takes no such text, not even to look for it
        return StoredResponse.objects.unscoped(WHY).none()
    rows = StoredResponse.objects.unscoped(WHY).filter(tenant_id=principal.tenant.id, project_id=principal.project.id)
    return rows.filter(response_id=response_id)
