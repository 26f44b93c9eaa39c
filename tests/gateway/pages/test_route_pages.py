"""The routes' pages: who sees and changes which, and that what is wrong with a target is said beside it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from apps.gateway.models import Route, RouteTarget
from apps.gateway.routing.shared_health import EndpointReport, Report
from apps.gateway.services import TargetSpec, create_route
from apps.models.models import Endpoint, Model
from apps.models.services import create_endpoint, create_model, create_provider, disable_endpoint
from apps.tenants.access import Actor
from tests.cast import Cast

OPERATOR = Actor.system("test")
FACTS = {"name": "Claims", "strategy": "weighted", "shadow_percent": "0", "is_enabled": "on"}


@pytest.fixture
def models(cast: Cast) -> list[Model]:
    provider = create_provider(actor=OPERATOR, slug="up", name="Upstream", base_url="https://192.0.43.7/v1")
    found = []
    for slug in ("writer", "reader"):
        model = create_model(actor=OPERATOR, slug=slug, name=slug.title(), lifecycle="approved", is_open=True)
        create_endpoint(actor=OPERATOR, model=model, provider=provider, upstream_model=f"{slug}-8b")
        found.append(model)
    return found


def as_(cast: Cast, part: str) -> Client:
    client = Client()
    client.force_login(cast[part], backend="django.contrib.auth.backends.ModelBackend")
    if part.startswith("service"):
        client.post("/workspace/", {"tenant": "claims"})
    return client


def targets(*rows: tuple[str, str, str, str]) -> dict[str, Any]:
    """(place, to, weight, condition) of each."""
    return {
        "target_position": [row[0] for row in rows],
        "target_to": [row[1] for row in rows],
        "target_weight": [row[2] for row in rows],
        "target_condition": [row[3] for row in rows],
        "target_purpose": ["normal"] * len(rows),
        "target_arm": [""] * len(rows),
    }


def new(**changes: Any) -> dict[str, Any]:
    return {**FACTS, "scope": "tenant", "slug": "claims-default", **changes}


def shown(route: Route) -> list[tuple[str, int, str]]:
    rows = RouteTarget.objects.unscoped("test").filter(route=route).order_by("position")
    return [(str(row), row.weight, row.condition) for row in rows.select_related("model", "endpoint__provider")]


def test_an_admin_creates_a_route_with_targets_in_their_places(cast: Cast, models: list[Model]) -> None:
    rows = targets(("2", "model:reader", "1", ""), ("1", "model:writer", "3", "tokens > 10"), ("3", "", "1", ""))
    response = as_(cast, "owner").post(reverse("gateway:route-create"), {**new(), **rows})
    route = Route.objects.for_tenant(cast.claims).get(slug="claims-default")
    assert response["Location"] == reverse("gateway:route-detail", args=[route.pk])
    assert shown(route) == [("Writer", 3, "tokens > 10"), ("Reader", 1, "")]
    page = as_(cast, "viewer").get(response["Location"]).content.decode()
    assert "75%" in page
    assert "tokens &gt; 10" in page
    assert reverse("gateway:route-edit", args=[route.pk]) not in page


@pytest.mark.parametrize(
    ("strategy", "sticky", "weighs"),
    [
        ("least_busy", False, True),
        ("latency", False, False),
        ("latency", True, True),
        ("cost", False, False),
        ("conditions", True, False),
        ("priority", True, False),
    ],
)
def test_a_weight_is_shown_where_it_decides_something(
    cast: Cast, models: list[Model], strategy: str, sticky: bool, weighs: bool
) -> None:
    specs: list[TargetSpec] = [{"model": models[0], "weight": 7}, {"model": models[1], "weight": 3}]
    route = create_route(
        actor=OPERATOR, tenant=cast.claims, slug="claims", name="C", strategy=strategy, sticky=sticky, targets=specs
    )
    page = as_(cast, "viewer").get(reverse("gateway:route-detail", args=[route.pk])).content.decode()
    assert ("weight 7" in page) is weighs


def test_what_is_wrong_with_a_target_is_said_beside_it_and_nothing_is_lost(cast: Cast, models: list[Model]) -> None:
    client = as_(cast, "owner")
    for rows, words in (
        (targets(("1", "model:writer", "1", "tokens >")), "at character"),
        (targets(("1", "model:writer", "many", "")), "whole number"),
        (targets(("1", "model:nothing", "1", "")), "no such model"),
        (targets(("1", "endpoint:1", "1", "")), "no such model"),  # single endpoints are for staff
    ):
        response = client.post(reverse("gateway:route-create"), {**new(), **rows})
        assert response.status_code == 422
        page = response.content.decode()
        assert words in page, words
        assert "claims-default" in page
    assert not Route.objects.for_tenant(cast.claims).exists()


def test_a_taken_name_is_said_beside_its_field(cast: Cast, models: list[Model]) -> None:
    response = as_(cast, "owner").post(reverse("gateway:route-create"), new(slug="writer"))
    assert response.status_code == 422
    assert "is the name of a model" in response.content.decode()


def test_editing_puts_the_targets_in_another_order(cast: Cast, models: list[Model]) -> None:
    route = create_route(
        actor=OPERATOR, tenant=cast.claims, slug="claims-default", name="Claims", targets=[{"model": m} for m in models]
    )
    client = as_(cast, "owner")
    url = reverse("gateway:route-edit", args=[route.pk])
    assert "model:writer" in client.get(url).content.decode()
    rows = targets(("2", "model:writer", "1", ""), ("1", "model:reader", "1", ""))
    assert client.post(url, {**FACTS, **rows}).status_code == 302
    assert [each[0] for each in shown(route)] == ["Reader", "Writer"]


def test_staff_choose_single_endpoints_and_make_routes_for_everybody(cast: Cast, models: list[Model]) -> None:
    endpoint = Endpoint.objects.get(model__slug="writer")
    rows = targets(("1", f"endpoint:{endpoint.pk}", "1", ""))
    body = {**new(scope="platform", slug="house"), **rows}
    assert as_(cast, "service_engineer").post(reverse("gateway:route-create"), body).status_code == 302
    route = Route.objects.unscoped("test").get(slug="house")
    assert route.tenant is None
    url = reverse("gateway:route-detail", args=[route.pk])
    page = as_(cast, "developer").get(url).content.decode()
    assert "writer-8b" not in page
    assert "for its staff to know" in page
    assert as_(cast, "owner").post(reverse("gateway:route-edit", args=[route.pk]), FACTS).status_code == 403


def test_the_outsider_finds_no_route_of_another_tenant(cast: Cast, models: list[Model]) -> None:
    route = create_route(actor=OPERATOR, tenant=cast.claims, slug="claims-default", name="Claims canary")
    client = as_(cast, "outsider")
    assert "canary" not in client.get(reverse("gateway:route-list")).content.decode()
    for name in ("detail", "edit"):
        assert client.get(reverse(f"gateway:route-{name}", args=[route.pk])).status_code == 404
    assert client.post(reverse("gateway:route-delete", args=[route.pk])).status_code == 404


@pytest.mark.parametrize(
    "body", [{"target_to": ["model:writer"]}, {"target_to": ["x" * 5000] * 100}, {"target_position": ["-1", "\x00"]}]
)
def test_an_odd_form_is_a_clean_refusal(cast: Cast, models: list[Model], body: dict[str, Any]) -> None:
    assert as_(cast, "owner").post(reverse("gateway:route-create"), {**new(), **body}).status_code in (302, 422)


def publish(directory: Path, *endpoints: EndpointReport) -> None:
    """What a gateway process would."""
    (directory / "health").mkdir(exist_ok=True)
    report = Report("test", time.time(), list(endpoints))
    (directory / "health" / "1.json").write_bytes(msgspec.json.encode(report))


@pytest.fixture
def board(tmp_path: Path, settings: Settings) -> Path:
    settings.REDIS_URL = ""
    settings.DATA_DIR = tmp_path
    return tmp_path


def test_a_simulation_says_where_a_request_would_go_and_why_not_elsewhere(
    cast: Cast, models: list[Model], board: Path
) -> None:
    specs: list[TargetSpec] = [{"model": models[0], "condition": "tokens > 8000"}, {"model": models[1]}]
    route = create_route(
        actor=OPERATOR, tenant=cast.claims, slug="claims-default", name="Claims", strategy="conditions", targets=specs
    )
    url = reverse("gateway:route-simulate", args=[route.pk])
    client = as_(cast, "developer")
    small = client.post(url, {"tokens": "100"}).content.decode()
    assert "Reader at Upstream" in small
    assert "Left out" in small
    large = client.post(url, {"tokens": "9000"}).content.decode()
    assert large.index("Writer at Upstream") < large.index("Reader at Upstream")
    assert as_(cast, "viewer").post(url).status_code == 403
    assert as_(cast, "outsider").post(url).status_code == 404


def test_health_shows_the_worst_first_with_its_reason(cast: Cast, models: list[Model], board: Path) -> None:
    well, ill = Endpoint.objects.get(model=models[1]), Endpoint.objects.get(model=models[0])
    publish(
        board,
        EndpointReport(
            well.pk, requests=40, first_token_ms=(210, 480), duration_ms=(900, 2_000), tokens_per_s=61.0, ok_ago=1.0
        ),
        EndpointReport(
            ill.pk,
            state="open",
            reason="it could not be reached",
            open_for=4.0,
            requests=10,
            failures=10,
            failed_ago=1.0,
            last_error="it could not be reached",
        ),
    )
    url = reverse("gateway:health")
    page = as_(cast, "service_engineer").get(url).content.decode()
    assert page.index('data-state="open"') < page.index('data-state="healthy"')
    assert "It could not be reached; tried again in" in page
    assert "480" in page
    part = as_(cast, "service_engineer").get(url, headers={"HX-Request": "true"}).content.decode()
    assert "<html" not in part
    assert 'data-state="open"' in part
    for name in ("owner", "developer", "outsider"):
        assert as_(cast, name).get(url).status_code == 403


def test_health_of_one_provider_alone(cast: Cast, models: list[Model], board: Path) -> None:
    client = as_(cast, "service_engineer")
    assert "writer" in client.get(reverse("gateway:health"), {"provider": "up"}).content.decode().lower()
    for other in ("nobody", "\x00"):
        assert client.get(reverse("gateway:health"), {"provider": other}).status_code == 200
    assert "No endpoints yet" in client.get(reverse("gateway:health"), {"provider": "nobody"}).content.decode()


def test_an_endpoint_nobody_called_and_one_switched_off(cast: Cast, models: list[Model], board: Path) -> None:
    disable_endpoint(actor=OPERATOR, endpoint=Endpoint.objects.get(model=models[0]))
    page = as_(cast, "service_admin").get(reverse("gateway:health")).content.decode()
    assert 'data-state="unused"' in page
    assert 'data-state="disabled"' in page


def test_the_list_of_providers_has_the_worst_of_each_ones_endpoints(
    cast: Cast, models: list[Model], board: Path
) -> None:
    client, url = as_(cast, "service_engineer"), reverse("gateway:health")
    assert f'id="provider-health-up" hx-boost="false" href="{url}?provider=up"' in (
        client.get(reverse("models:provider-list")).content.decode()
    )
    endpoint = Endpoint.objects.get(model=models[0])
    publish(board, EndpointReport(endpoint.pk, state="open", open_for=3.0, requests=1, failures=1))
    badges = client.get(url, {"by": "provider"}).content.decode()
    assert "<html" not in badges
    assert badges.count('hx-swap-oob="true"') == 1
    assert 'id="provider-health-up"' in badges
    assert "Open" in badges
    assert "1 of 2" in badges
    assert as_(cast, "owner").get(url, {"by": "provider"}).status_code == 403


def test_who_sees_a_routes_targets_sees_how_their_endpoints_are(cast: Cast, models: list[Model], board: Path) -> None:
    endpoint = Endpoint.objects.get(model=models[0])
    publish(board, EndpointReport(endpoint.pk, state="open", open_for=3.0, requests=1, failures=1))
    route = create_route(
        actor=OPERATOR, tenant=cast.claims, slug="claims-default", name="Claims", targets=[{"endpoint": endpoint}]
    )
    url = reverse("gateway:route-detail", args=[route.pk])
    for part in ("service_engineer", "viewer"):
        page = as_(cast, part).get(url).content.decode()
        assert 'data-state="open"' in page or ">Open<" in page
        assert "192.0.43.7" not in page
