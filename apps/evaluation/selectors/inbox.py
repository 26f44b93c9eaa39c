"""The golden-set inbox of a tenant."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import Count, Exists, OuterRef, QuerySet

from apps.evaluation.models import InboxItem
from apps.evaluation.types import InboxStatus, Source
from apps.gateway.models import RequestContent
from apps.tenants.access import Actor
from apps.tenants.errors import NotFound
from apps.tenants.models import Tenant


@dataclass(frozen=True, slots=True)
class InboxQuery:
    status: str = InboxStatus.OPEN
    source: str = ""
    prompt: str = ""
    cluster: str = ""


def inbox_for(actor: Actor, tenant: Tenant, query: InboxQuery = InboxQuery()) -> QuerySet[InboxItem]:
    rows = InboxItem.objects.for_actor(actor).filter(tenant=tenant, status=query.status)
    rows = rows.select_related("prompt", "tenant", "created_by", "decided_by", "example__dataset")
    if query.source in Source.values:
        rows = rows.filter(source=query.source)
    if query.prompt:
        rows = rows.filter(prompt__slug=query.prompt)
    if query.cluster:
        rows = rows.filter(cluster=query.cluster)
    return rows


def clusters_of(actor: Actor, tenant: Tenant) -> list[tuple[str, int]]:
    """Of the open items, largest first."""
    rows = InboxItem.objects.for_actor(actor).filter(tenant=tenant, status=InboxStatus.OPEN).exclude(cluster="")
    found = rows.order_by().values_list("cluster").annotate(n=Count("pk")).order_by("-n", "cluster")
    return [(str(cluster), n) for cluster, n in found[:30]]


def inbox_prompts(actor: Actor, tenant: Tenant) -> list[tuple[str, str]]:
    rows = InboxItem.objects.for_actor(actor).filter(tenant=tenant, prompt__isnull=False)
    return list(rows.order_by("prompt__name").values_list("prompt__slug", "prompt__name").distinct()[:100])


def failed_requests_for(actor: Actor, tenant: Tenant) -> QuerySet[RequestContent]:
    """Sampled requests that failed at their provider and were never offered, of projects whose requests the actor may
    see. Newest first."""
    offered = InboxItem.objects.for_tenant(tenant).filter(source=Source.REQUEST, source_ref=OuterRef("request_id"))
    rows = RequestContent.objects.for_actor(actor).filter(tenant=tenant, project__content_percent__gt=0)
    return rows.exclude(error="").filter(~Exists(offered)).order_by("-at", "-pk")


def get_item_for(actor: Actor, tenant: Tenant, pk: int) -> InboxItem:
    rows = InboxItem.objects.for_actor(actor).filter(tenant=tenant, pk=min(pk, 2**63 - 1))
    item = rows.select_related("prompt", "tenant", "created_by", "example__dataset").first()
    if item is None:
        raise NotFound("There is no such item in the inbox.")
    return item


def items_for(actor: Actor, tenant: Tenant, keys: Iterable[int]) -> list[InboxItem]:
    """Those of them that there are."""
    return list(InboxItem.objects.for_actor(actor).filter(tenant=tenant, pk__in=list(keys)))
