"""Routes through the management API, which is the services: who may, over what, and what is written down."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.cache import cache

from apps.gateway import services
from apps.gateway.models import Route, RouteTarget
from apps.models import services as registry
from apps.models.models import Endpoint, Model
from apps.tenants.access import Actor
from apps.tenants.control_plane import control_plane_version
from apps.tenants.errors import Conflict, Invalid
from apps.tenants.models import AuditEntry
from tests.api.client import Api
from tests.cast import Cast

OPERATOR = Actor.system("test")


@pytest.fixture
def api(cast: Cast) -> Api:
    cache.clear()
    return Api(cast)


@pytest.fixture
def writer(cast: Cast) -> Model:
    """Granted to claims, served by one endpoint."""
    provider = registry.create_provider(
        actor=OPERATOR, slug="upstream", name="Upstream", base_url="https://192.0.43.7/v1", credential_source="none"
    )
    for slug in ("writer", "painter"):
        model = registry.create_model(actor=OPERATOR, slug=slug, name=slug, lifecycle="approved")
        registry.create_endpoint(actor=OPERATOR, model=model, provider=provider, upstream_model=slug)
    found = Model.objects.get(slug="writer")
    registry.grant_access(actor=OPERATOR, tenant=cast.claims, model=found)
    return found


def new(tenant: str | None = "claims", **fields: Any) -> dict[str, Any]:
    return {"slug": "drafts", "name": "Drafts", "tenant": tenant, **fields}


def test_a_tenant_admin_makes_changes_and_deletes_their_own(api: Api, writer: Model) -> None:
    before = control_plane_version()
    targets = [{"model": "writer", "weight": 3, "arm": "a", "condition": "tokens < 8000"}]
    made = api.post("routes", new(targets=targets, strategy="weighted", sticky=True), by="owner")
    assert made.status == 201, made.body
    [target] = made.body["targets"]
    assert (target["model"], target["endpoint"], target["weight"], target["arm"]) == ("writer", None, 3, "a")
    assert control_plane_version() > before
    path = f"routes/{made.body['id']}"
    changed = api.patch(path, {"hedge_after_ms": 300, "targets": [{"model": "writer"}]}, by="owner")
    assert changed.status == 200, changed.body
    assert (changed.body["hedge_after_ms"], changed.body["targets"][0]["condition"]) == (300, "")
    assert api.get(path, by="viewer").body == changed.body
    assert api.delete(path, by="owner").status == 204
    assert api.get(path, by="owner").status == 404
    actions = AuditEntry.objects.for_tenant(api.cast.claims).order_by("sequence").values_list("action", flat=True)
    assert [action for action in actions if action.startswith("route.")] == [
        "route.created",
        "route.updated",
        "route.targets_changed",
        "route.deleted",
    ]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (new(targets=[{"model": "painter"}]), 422, "model_not_callable"),
        (new(targets=[{"model": "missing"}]), 422, "not_found"),
        (new(targets=[{"model": "writer", "condition": "tokens >"}]), 422, "condition_invalid"),
        (new(targets=[{}]), 422, "invalid"),
        (new(targets=[{"model": "writer"}] * 51), 422, "invalid"),
        (new(slug="writer"), 409, "slug_taken"),
        (new(slug="No good"), 422, "invalid"),
        (new(tenant="lending"), 422, "not_found"),
        (new(tenant=None), 403, "permission_denied"),
        (new(shadow_percent=101), 422, "invalid"),
        (new(strategy="best"), 422, "invalid"),
    ],
)
def test_what_a_tenant_admin_may_not(api: Api, writer: Model, body: dict[str, Any], status: int, code: str) -> None:
    answer = api.post("routes", body, by="owner")
    assert answer.status == status, answer.body
    if code != "invalid":
        assert answer.code == code
    assert not Route.objects.unscoped("test").exists()


def test_single_endpoints_are_for_the_platforms_staff(api: Api, writer: Model) -> None:
    endpoint = Endpoint.objects.get(model=writer)
    body = new(targets=[{"endpoint": endpoint.pk}])
    assert api.post("routes", body, by="owner").status == 403
    made = api.post("routes", body, by="service_engineer")
    assert made.status == 201
    assert made.body["targets"][0]["endpoint"] == endpoint.pk
    # What stands there may be kept by the tenant's admin, but not chosen anew.
    assert api.patch(f"routes/{made.body['id']}", {"name": "Other"}, by="owner").status == 200


def test_what_the_platforms_routes_send_to_is_for_its_staff(api: Api, writer: Model) -> None:
    targets = [{"model": "writer", "condition": 'tenant == "lending"'}]
    made = api.post("routes", new(None, targets=targets), by="service_engineer")
    assert made.status == 201
    for who in ("viewer", "owner", "key:reading"):
        seen = api.get(f"routes/{made.body['id']}", by=who)
        assert (seen.status, seen.body["slug"], seen.body["targets"]) == (200, "drafts", None)
        assert "lending" not in str(api.get("routes", by=who).body)
    assert api.patch(f"routes/{made.body['id']}", {"name": "Mine"}, by="owner").status == 403


def test_names_do_not_meet(api: Api, writer: Model) -> None:
    assert api.post("routes", new(), by="owner").status == 201
    assert api.post("routes", new(), by="owner").code == "slug_taken"
    # Another tenant's names are none of one's business, and the platform's do not tell of them either.
    assert api.post("routes", new("lending"), by="outsider").status == 201
    assert api.post("routes", new(None), by="service_admin").status == 201
    with pytest.raises(Conflict, match="route"):
        registry.create_model(actor=OPERATOR, slug="drafts", name="Drafts")


def test_a_route_serves_one_kind(cast: Cast, writer: Model) -> None:
    model = registry.create_model(actor=OPERATOR, slug="embed", name="E", kind="embedding", lifecycle="approved")
    with pytest.raises(Invalid, match="different kinds"):
        services.create_route(
            actor=OPERATOR, tenant=None, slug="mix", name="Mix", targets=[{"model": writer}, {"model": model}]
        )


def test_targets_one_by_one(cast: Cast, writer: Model) -> None:
    route = services.create_route(actor=OPERATOR, tenant=cast.claims, slug="r", name="R")
    first = services.add_target(actor=OPERATOR, route=route, model=writer)
    second = services.add_target(actor=OPERATOR, route=route, model=writer, purpose="shadow")
    assert (first.position, second.position) == (0, 1)
    assert services.update_target(actor=OPERATOR, target=first, weight=7).weight == 7
    services.remove_target(actor=OPERATOR, target=second)
    assert RouteTarget.objects.for_tenant(cast.claims).count() == 1


@pytest.mark.parametrize(
    "request_facts",
    [
        {},
        {"at": "0001-01-01T00:00:00Z"},
        {"at": "9999-12-31T23:59:59Z"},
        {"operation": "nonsense"},
        {"country": "d\n", "headers": {"X-\u00e9": "\u202e"}, "tags": {"": ""}},
        {"tokens": 10**9, "max_tokens": 10**9, "conversation": "x" * 200, "request_id": "\U0001f600"},
    ],
)
def test_a_simulation_survives_odd_requests(api: Api, writer: Model, request_facts: dict[str, Any]) -> None:
    targets = [{"model": "writer", "condition": 'hour >= 0 and header["x-a"] == "" and tag["b"] == ""'}]
    route = api.post("routes", new(targets=targets, strategy="weighted", sticky=True), by="owner").body["id"]
    answer = api.post(f"routes/{route}/simulate", {"project": "claims/triage", **request_facts}, by="developer")
    assert answer.status in (200, 422), answer.body
    if answer.status == 200 and "operation" not in request_facts:
        assert [each["model"] for each in answer.body["order"]] == ["writer"]


def test_who_may_simulate(api: Api, writer: Model) -> None:
    route = api.post("routes", new(targets=[{"model": "writer"}]), by="owner").body["id"]
    path = f"routes/{route}/simulate"
    assert api.post(path, {"project": "claims/triage"}, by="viewer").status == 403
    assert api.post(path, {"project": "lending/loans"}, by="developer").code == "not_found"
    assert api.post(path, {"project": "claims/triage", "key": "aaaaaaaaaa"}, by="developer").code == "not_found"
    assert api.post(path, {"project": "claims/triage"}, by="outsider").status == 404
