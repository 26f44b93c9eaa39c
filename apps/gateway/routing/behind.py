"""What stands behind the name that a caller puts in ``model``: two answers are alike only while it is the same."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import msgspec
from django.db.models import Q

from apps.gateway.models import Route, RouteTarget
from apps.gateway.routing.selectors import callable_revision
from apps.gateway.routing.sharing import Sharing
from apps.models.models import Endpoint
from apps.tenants.models import Tenant

WHY = "what a tenant's call would reach; nobody is told"


def behind(tenant: Tenant, called: str) -> str:
    """A digest of how the route shares its requests, where it is one, and of every endpoint that may answer."""
    sharing = _sharing(tenant, called)
    targets = [] if sharing is None else [each for each in sharing.targets if not each.is_shadow]
    facts: list[Any] = [] if sharing is None else [sharing.columns(), [_terms(msgspec.to_builtins(t)) for t in targets]]
    wanted = Q(model__slug=called) if sharing is None else Q(model__slug__in=[each.model for each in targets])
    rows = Endpoint.objects.filter(wanted, is_enabled=True).order_by("pk")
    names = ("model__slug", "provider__kind", "provider__base_url", "upstream_model", "region", "priority", "settings")
    facts += [[name, value] for row in rows.values(*names) for name, value in row.items()]
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()


def _sharing(tenant: Tenant, called: str) -> Sharing | None:
    revision = callable_revision(tenant, called)
    if revision is not None:
        return Sharing.of_revision(revision)
    rows = Route.objects.unscoped(WHY).filter(Q(tenant=tenant) | Q(tenant=None), slug=called, is_enabled=True)
    found = sorted(rows, key=lambda route: route.tenant_id is None)  # the tenant's own before the platform's
    if not found:
        return None
    targets = RouteTarget.objects.unscoped(WHY).filter(route=found[0])
    return Sharing.of_route(found[0], targets.select_related("model", "endpoint__model"))


def _terms(target: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in target.items() if name not in ("to", "arm")}
