"""Routes and their targets in the admin: one more face of the services."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from apps.gateway.models import Route, RouteTarget
from apps.models import services as registry
from apps.tenants.access import Actor
from apps.tenants.models import AuditEntry, User
from apps.tenants.types import PlatformRole

pytestmark = pytest.mark.django_db
NO_INLINES = {"targets-TOTAL_FORMS": 0, "targets-INITIAL_FORMS": 0}
ROUTE = {
    **NO_INLINES,
    "slug": "drafts",
    "name": "Drafts",
    "strategy": "weighted",
    "shadow_percent": 0,
    "is_enabled": "on",
}


@pytest.fixture
def staff() -> Client:
    client = Client()
    client.force_login(User.objects.create_user("eve@example.com", platform_role=PlatformRole.SERVICE_ENGINEER))
    return client


def post(client: Client, page: str, /, *args: Any, **data: Any) -> str:
    response = client.post(reverse(f"admin:gateway_{page}", args=args), data)
    assert response.status_code in (200, 302)
    return response.content.decode()


def test_a_route_with_a_target_from_beginning_to_end(staff: Client) -> None:
    model = registry.create_model(actor=Actor.system("test"), slug="writer", name="Writer", lifecycle="approved")
    post(staff, "route_add", **ROUTE)
    route = Route.objects.unscoped("test").get()
    target = {"route": route.pk, "model": model.pk, "purpose": "normal", "position": 0, "weight": 2}
    assert "at character 9" in post(staff, "routetarget_add", **target, condition="tokens >")
    post(staff, "routetarget_add", **target, condition="tokens > 5")
    row = RouteTarget.objects.unscoped("test").get()
    assert "tokens &gt; 5" in staff.get(reverse("admin:gateway_route_change", args=[route.pk])).content.decode()
    post(staff, "routetarget_change", row.pk, purpose="normal", position=0, weight=9, condition="")
    post(staff, "route_change", route.pk, **{**ROUTE, "strategy": "cost"})
    row.refresh_from_db()
    route.refresh_from_db()
    assert (row.weight, row.condition, route.strategy) == (9, "", "cost")
    assert staff.get(reverse("admin:gateway_routetarget_changelist")).status_code == 200
    post(staff, "routetarget_delete", row.pk, post="yes")
    post(staff, "route_delete", route.pk, post="yes")
    assert not Route.objects.unscoped("test").exists()
    actions = AuditEntry.objects.unscoped("test").order_by("sequence").values_list("action", flat=True)
    assert [action for action in actions if action.startswith("route.")] == [
        "route.created",
        "route.target_added",
        "route.target_changed",
        "route.updated",
        "route.target_removed",
        "route.deleted",
    ]
