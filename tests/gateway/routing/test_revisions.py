"""A route's revisions: every change of how it shares its requests, numbered, with the way back; and proposals."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client
from django.urls import reverse

from apps.gateway import services
from apps.gateway.errors import ModelNotFound
from apps.gateway.models import Route, RouteRevision, RouteTarget
from apps.gateway.routing.selectors import callable_revision
from apps.gateway.signals import route_revision_proposed
from apps.gateway.snapshot import Principal
from apps.gateway.snapshot_loader import load_snapshot
from apps.gateway.types import Guard
from apps.models import services as registry
from apps.models.models import Endpoint, Model
from apps.tenants.access import Actor
from apps.tenants.errors import Conflict, Invalid
from apps.tenants.models import AuditEntry, User
from apps.tenants.types import PlatformRole
from tests.api.client import Api
from tests.cast import Cast

OPERATOR = Actor.system("test")
NAMES = ("writer", "reader", "thinker")


@pytest.fixture
def models(cast: Cast) -> dict[str, Model]:
    provider = registry.create_provider(
        actor=OPERATOR, slug="up", name="Up", base_url="https://192.0.43.7/v1", credential_source="none"
    )
    found = {}
    for slug in NAMES:
        model = registry.create_model(actor=OPERATOR, slug=slug, name=slug.title(), lifecycle="approved", is_open=True)
        registry.create_endpoint(actor=OPERATOR, model=model, provider=provider, upstream_model=slug)
        found[slug] = model
    return found


@pytest.fixture
def route(cast: Cast, models: dict[str, Model]) -> Route:
    return services.create_route(
        actor=cast.actor("owner"),
        tenant=cast.claims,
        slug="drafts",
        name="Drafts",
        targets=[{"model": models["writer"]}],
    )


def guard(cast: Cast, route: Route, how: Guard = Guard.GATE) -> Route:
    return services.guard_route(actor=cast.actor("scientist"), route=route, guard=how)


def history(route: Route) -> list[tuple[int, str, list[str]]]:
    rows = RouteRevision.objects.unscoped("test").filter(route=route).select_related("route").order_by("number")
    return [(row.number, row.state.value, [each["model"] for each in row.targets]) for row in rows]


def targets(route: Route) -> list[str]:
    rows = RouteTarget.objects.unscoped("test").filter(route=route).order_by("position")
    return [row.model.slug if row.model else "" for row in rows.select_related("model")]


def revision(route: Route, number: int) -> RouteRevision:
    return RouteRevision.objects.unscoped("test").select_related("route__tenant").get(route=route, number=number)


def actions(cast: Cast) -> list[str]:
    rows = AuditEntry.objects.for_tenant(cast.claims).order_by("sequence").values_list("action", flat=True)
    return [action for action in rows if action.startswith("route.")]


def test_every_change_of_how_it_shares_is_a_revision_and_nothing_else_is(
    cast: Cast, route: Route, models: dict[str, Model]
) -> None:
    owner = cast.actor("owner")
    assert history(route) == [(1, "in_force", ["writer"])]
    services.update_route(actor=owner, route=route, name="Other", description="D", shadow_percent=5)
    services.set_targets(actor=owner, route=route, targets=[{"model": models["writer"]}])
    assert history(route) == [(1, "in_force", ["writer"])], "nothing of it was said anew"
    both: list[services.TargetSpec] = [{"model": models["reader"]}, {"model": models["writer"]}]
    services.update_route(actor=owner, route=route, strategy="cost", targets=both, message=" Cheaper \n first ")
    assert history(route) == [(1, "past", ["writer"]), (2, "in_force", ["reader", "writer"])]
    row = revision(route, 2)
    assert (row.strategy, row.message, row.author, row.parent) == (
        "cost",
        "Cheaper first",
        cast["owner"],
        revision(route, 1),
    )
    with pytest.raises(TypeError):
        row.save()
    # What was said before is that revision again, whoever says it.
    one: list[services.TargetSpec] = [{"model": models["writer"]}]
    services.update_route(actor=OPERATOR, route=route, strategy="priority", targets=one)
    assert history(route) == [(1, "in_force", ["writer"]), (2, "past", ["reader", "writer"])]
    assert targets(route) == ["writer"]


def test_single_targets_are_revisions_too(cast: Cast, route: Route, models: dict[str, Model]) -> None:
    added = services.add_target(actor=OPERATOR, route=route, model=models["reader"], weight=3)
    services.update_target(actor=OPERATOR, target=added, weight=4)
    services.remove_target(actor=OPERATOR, target=added)
    assert history(route) == [
        (1, "in_force", ["writer"]),
        (2, "past", ["writer", "reader"]),
        (3, "past", ["writer", "reader"]),
    ]


def test_a_revision_is_put_back_in_force_with_all_that_it_says(
    cast: Cast, route: Route, models: dict[str, Model]
) -> None:
    owner = cast.actor("owner")
    endpoint = Endpoint.objects.get(model=models["reader"])
    specs: list[services.TargetSpec] = [{"endpoint": endpoint, "weight": 7, "condition": "tokens < 9", "arm": "a"}]
    services.update_route(actor=OPERATOR, route=route, strategy="weighted", sticky=True, targets=specs)
    services.put_in_force(actor=owner, revision=revision(route, 1), reason="It was better.")
    assert (targets(route), history(route)[0][1]) == (["writer"], "in_force")
    # The tenant's admin may not choose an endpoint, but the way back is theirs.
    services.put_in_force(actor=owner, revision=revision(route, 2))
    route.refresh_from_db()
    row = RouteTarget.objects.unscoped("test").get(route=route)
    assert (row.endpoint, row.weight, row.condition, row.arm) == (endpoint, 7, "tokens < 9", "a")
    assert (route.strategy, route.sticky) == ("weighted", True)
    with pytest.raises(Conflict, match="in force already"):
        services.put_in_force(actor=owner, revision=revision(route, 2))
    assert actions(cast)[-2:] == ["route.revision_in_force"] * 2
    endpoint.delete()
    services.put_in_force(actor=owner, revision=revision(route, 1))
    with pytest.raises(Conflict, match="which is gone"):
        services.put_in_force(actor=owner, revision=revision(route, 2))
    assert targets(route) == ["writer"]


def test_what_may_no_longer_be_called_is_not_put_back(cast: Cast, route: Route, models: dict[str, Model]) -> None:
    services.set_targets(actor=OPERATOR, route=route, targets=[{"model": models["reader"]}])
    Model.objects.filter(slug="writer").update(is_open=False)
    with pytest.raises(Invalid, match="may not call writer"):
        services.put_in_force(actor=cast.actor("owner"), revision=revision(route, 1))


def test_a_guarded_routes_change_is_proposed(
    cast: Cast, route: Route, models: dict[str, Model], django_capture_on_commit_callbacks: Any
) -> None:
    told: list[int] = []

    def hear(*, revision_id: int, **_: Any) -> None:
        told.append(revision_id)

    route_revision_proposed.connect(hear)
    guard(cast, route)
    other: list[services.TargetSpec] = [{"model": models["reader"]}]
    with django_capture_on_commit_callbacks(execute=True):
        saved = services.update_route(
            actor=cast.actor("owner"), route=route, name="Renamed", targets=other, message="Dearer"
        )
    assert saved.proposed == revision(route, 2)
    assert told == [revision(route, 2).pk]
    assert (saved.route.name, targets(route)) == ("Renamed", ["writer"])
    assert history(route) == [(1, "in_force", ["writer"]), (2, "proposed", ["reader"])]
    # Saved again, whatever the words, it is the same proposal: no second chance.
    again = services.set_targets(actor=cast.actor("owner"), route=route, targets=other, message="Please")
    assert again.proposed == revision(route, 2)
    with pytest.raises(Conflict, match="its gate puts revision 2 in force"):
        services.put_in_force(actor=cast.actor("owner"), revision=revision(route, 2))
    services.put_in_force_decided(actor=cast.actor("developer"), revision=revision(route, 2), reason="Better.")
    assert (targets(route), history(route)[1][1]) == (["reader"], "in_force")
    route.refresh_from_db()
    assert route.proposed is None
    # The way back is never refused, and a change back is the way back.
    services.set_targets(actor=cast.actor("owner"), route=route, targets=[{"model": models["writer"]}])
    assert targets(route) == ["writer"]


def test_what_no_caller_could_tell_is_in_force_at_once(cast: Cast, route: Route, models: dict[str, Model]) -> None:
    guard(cast, route)
    shadowed: list[services.TargetSpec] = [
        {"model": models["writer"], "arm": "old", "position": 3},
        {"model": models["reader"], "purpose": "shadow"},
    ]
    assert services.set_targets(actor=OPERATOR, route=route, targets=shadowed).proposed is None
    assert sorted(targets(route)) == ["reader", "writer"]
    fallback: list[services.TargetSpec] = [
        {"model": models["writer"]},
        {"model": models["reader"], "purpose": "fallback_context"},
    ]
    assert services.set_targets(actor=OPERATOR, route=route, targets=fallback).proposed is not None
    for change in ({"strategy": "cost"}, {"sticky": True}, {"hedge_after_ms": 100}):
        assert services.update_route(actor=OPERATOR, route=route, **change).proposed is not None


def test_with_advice_people_put_proposals_in_force(cast: Cast, route: Route, models: dict[str, Model]) -> None:
    guard(cast, route, Guard.ADVICE)
    services.set_targets(actor=OPERATOR, route=route, targets=[{"model": models["reader"]}])
    assert targets(route) == ["writer"]
    services.put_in_force(actor=cast.actor("owner"), revision=revision(route, 2))
    assert targets(route) == ["reader"]


def test_no_side_door_changes_what_a_guarded_route_answers(cast: Cast, route: Route, models: dict[str, Model]) -> None:
    guard(cast, route)
    target = RouteTarget.objects.unscoped("test").select_related("route__tenant").get(route=route)
    with pytest.raises(Conflict, match="evaluated first"):
        services.add_target(actor=OPERATOR, route=route, model=models["reader"])
    with pytest.raises(Conflict, match="evaluated first"):
        services.update_target(actor=OPERATOR, target=target, condition="tokens < 1")
    with pytest.raises(Conflict, match="evaluated first"):
        services.remove_target(actor=OPERATOR, target=target)
    with pytest.raises(Conflict, match="is guarded"):
        services.delete_route(actor=cast.actor("owner"), route=route)
    cache.clear()
    api = Api(cast)
    path = f"routes/{route.pk}"
    changed = api.patch(path, {"targets": [{"model": "reader"}], "strategy": "cost"}, by="owner")
    assert (changed.status, changed.body["revision"], changed.body["proposed"], changed.body["guard"]) == (
        200,
        1,
        2,
        "gate",
    )
    assert [each["model"] for each in changed.body["targets"]] == ["writer"]
    saved = api.post(f"{path}/revisions", {"targets": [{"model": "thinker"}], "message": "Try"}, by="owner")
    assert (saved.status, saved.body["state"], saved.body["called"]) == (201, "proposed", "drafts@3")
    refused = api.post(f"{path}/revisions/3/in-force", {}, by="owner")
    assert (refused.status, refused.code) == (409, "route_guarded")
    assert api.delete(path, by="owner").code == "route_guarded"
    assert api.patch(path, {"guard": "none"}, by="owner").status == 422
    client = Client()
    client.force_login(cast["owner"], backend="django.contrib.auth.backends.ModelBackend")
    facts = {"name": "Drafts", "strategy": "cost", "shadow_percent": "0", "is_enabled": "on", "guard": "none"}
    row = {"target_to": "model:reader", "target_weight": "1", "target_condition": "", "target_purpose": "normal"}
    response = client.post(
        reverse("gateway:route-edit", args=[route.pk]), {**facts, **row, "target_arm": ""}, follow=True
    )
    assert "answers as before until it is in force" in response.content.decode()
    client.post(reverse("gateway:route-revision-put", args=[route.pk, 3]))
    client.post(reverse("gateway:route-delete", args=[route.pk]))
    staff = Client()
    staff.force_login(User.objects.create_user("eve@example.com", platform_role=PlatformRole.SERVICE_ENGINEER))
    inline = {"targets-TOTAL_FORMS": 0, "targets-INITIAL_FORMS": 0}
    body = {**inline, "name": "Drafts", "shadow_percent": 0, "is_enabled": "on", "strategy": "cost", "guard": "none"}
    assert staff.post(reverse("admin:gateway_route_change", args=[route.pk]), body).status_code == 302
    other = {"purpose": "normal", "position": 0, "weight": 9, "condition": "tokens < 1"}
    refused_page = staff.post(reverse("admin:gateway_routetarget_change", args=[target.pk]), other).content.decode()
    assert "evaluated first" in refused_page
    assert staff.get(reverse("admin:gateway_routerevision_changelist")).status_code == 200
    assert (
        staff.post(reverse("admin:gateway_routerevision_change", args=[revision(route, 2).pk]), body).status_code == 403
    )
    route.refresh_from_db()
    assert (route.strategy, route.guard, targets(route), route.revision) == (
        "priority",
        "gate",
        ["writer"],
        revision(route, 1),
    )


def test_the_gateway_knows_a_guarded_routes_revisions_by_name(
    cast: Cast, route: Route, models: dict[str, Model]
) -> None:
    services.set_targets(actor=OPERATOR, route=route, targets=[{"model": models["reader"]}])
    assert not load_snapshot().revisions, "nobody asks for those of a route without a guard"
    guard(cast, route)
    services.set_targets(
        actor=OPERATOR, route=route, targets=[{"model": models["thinker"]}, {"model": models["reader"]}]
    )
    snapshot = load_snapshot()
    assert sorted(snapshot.revisions) == [(cast.claims.pk, f"drafts@{number}") for number in (1, 2, 3)]
    [mine, theirs] = [Principal(project=snapshot.projects[each.pk]) for each in (cast.triage, cast.loans)]
    plan = snapshot.plan(mine, "drafts@3", 0.0)
    assert (plan.slug, [each.model.slug for each in plan.candidates]) == ("drafts@3", ["thinker", "reader"])
    assert plan.route is not None
    assert (plan.route.slug, plan.route.revision) == ("drafts", 3)
    in_force = snapshot.plan(mine, "drafts", 0.0)
    assert in_force.route is not None
    assert (in_force.route.revision, [each.model.slug for each in in_force.candidates]) == (2, ["reader"])
    listed = [each.slug for each in snapshot.callable_plans(mine, 0.0)]
    assert "drafts" in listed
    assert not [name for name in listed if "@" in name]
    with pytest.raises(ModelNotFound):
        snapshot.plan(theirs, "drafts@3", 0.0)
    # A key that names the route may call its revisions; one that names another model may not call what they serve.
    for key, (named, found) in enumerate(((["drafts"], ["thinker", "reader"]), (["reader"], ["reader"])), 1):
        narrowed = Principal(project=snapshot.projects[cast.triage.pk], api_key_id=key, models=frozenset(named))
        assert [each.model.slug for each in snapshot.plan(narrowed, "drafts@3", 0.0).candidates] == found
    assert callable_revision(cast.claims, "drafts@3") == revision(route, 3)
    for name in ("drafts@4", "drafts@", "drafts", "@3", "drafts@x", "drafts@99999999999"):
        assert callable_revision(cast.claims, name) is None
    assert callable_revision(cast.lending, "drafts@3") is None
    services.update_route(actor=OPERATOR, route=route, is_enabled=False)
    assert not load_snapshot().revisions


def test_the_history_is_on_the_routes_page_with_the_way_back(
    cast: Cast, route: Route, models: dict[str, Model]
) -> None:
    services.set_targets(
        actor=cast.actor("owner"), route=route, targets=[{"model": models["reader"]}], message="Reads better"
    )
    page = reverse("gateway:route-detail", args=[route.pk])
    put = reverse("gateway:route-revision-put", args=[route.pk, 1])
    client = Client()
    client.force_login(cast["viewer"], backend="django.contrib.auth.backends.ModelBackend")
    seen = client.get(page).content.decode()
    assert "Reads better" in seen
    assert put not in seen
    assert client.post(put).status_code == 403
    client.force_login(cast["owner"], backend="django.contrib.auth.backends.ModelBackend")
    assert put in client.get(page).content.decode()
    client.post(put, {"reason": "Undo"})
    assert targets(route) == ["writer"]


def test_what_the_platforms_routes_were_is_for_its_staff(cast: Cast, models: dict[str, Model]) -> None:
    house = services.create_route(
        actor=OPERATOR, tenant=None, slug="house", name="House", targets=[{"model": models["writer"]}]
    )
    cache.clear()
    api = Api(cast)
    path = f"routes/{house.pk}/revisions"
    assert api.get(path, by="owner").body["results"] == []
    assert api.get(f"{path}/1", by="owner").status == 404
    assert api.get(f"{path}/1", by="service_engineer").body["targets"][0]["model"] == "writer"
    with pytest.raises(Invalid, match="serve every tenant"):
        services.guard_route(actor=OPERATOR, route=house, guard=Guard.GATE)
