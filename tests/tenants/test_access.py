"""Who may do what: the table, the road, and keys that can never do more than their creator."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.tenants import selectors, services
from apps.tenants.access import (
    ACTIONS,
    KEY_ACTIONS,
    PLATFORM_ACTIONS,
    ROLE_ACTIONS,
    Actor,
    can,
    grantable_scopes,
    require,
)
from apps.tenants.errors import NotFound, PermissionDenied, ScopeError
from apps.tenants.models import ApiKey, AuditEntry, Budget, Membership, Project, RateLimit, Tenant
from apps.tenants.scoping import TenantScopedManager, unscoped
from apps.tenants.types import PlatformRole, Role, Scope
from tests.tenants.conftest import OPERATOR, Cast

SCOPED: list[Any] = [Tenant, Project, Membership, ApiKey, RateLimit, Budget, AuditEntry]


def key_actor(cast: Cast, who: str | None, *scopes: str) -> Actor:
    actor = OPERATOR if who is None else cast.actor(who)
    issued = services.create_api_key(actor=actor, project=cast.chat, name="key", scopes=scopes)
    return Actor.of_api_key(fresh(issued.api_key))


def fresh(key: ApiKey) -> ApiKey:
    return ApiKey.objects.unscoped("test").select_related("project__tenant", "created_by").get(pk=key.pk)


@pytest.mark.parametrize(
    ("action", "allowed"),
    [
        ("tenant.view", {"alice", "bob", "dana", "rita", "victor", "sam", "erin"}),
        ("usage.view", {"alice", "bob", "dana", "rita", "victor", "sam", "erin"}),
        ("apikey.view", {"alice", "bob", "dana", "sam", "erin"}),
        ("apikey.create", {"alice", "bob", "dana", "sam"}),
        ("apikey.revoke", {"alice", "sam"}),
        ("project.update", {"alice", "bob", "sam"}),
        ("project.create", {"alice", "sam"}),
        ("member.manage", {"alice", "sam"}),
        ("limit.manage", {"alice", "sam", "erin"}),
        ("budget.manage", {"alice", "sam"}),
        ("audit.view", {"alice", "sam", "erin"}),
        ("tenant.update", {"alice", "sam"}),
        ("tenant.suspend", {"sam"}),
        ("tenant.create", {"sam"}),
        ("user.manage", {"sam"}),
        ("registry.manage", {"sam", "erin"}),
    ],
)
def test_table_of_roles(cast: Cast, action: str, allowed: set[str]) -> None:
    people = ["alice", "bob", "dana", "rita", "victor", "oscar", "nora", "sam", "erin"]
    assert {name for name in people if can(cast.actor(name), action, cast.retail)} == allowed


def test_every_action_is_somebodys_and_unknown_words_are_bugs(cast: Cast) -> None:
    assert KEY_ACTIONS <= ACTIONS
    assert PLATFORM_ACTIONS[PlatformRole.SERVICE_ADMIN] == ACTIONS
    assert all(actions <= ROLE_ACTIONS[Role.ADMIN] for actions in ROLE_ACTIONS.values())
    with pytest.raises(ValueError, match=r"apikey\.creat'"):
        can(cast.actor("alice"), "apikey.creat", cast.retail)


def test_foreign_is_missing_and_own_is_forbidden(cast: Cast) -> None:
    with pytest.raises(NotFound):
        require(cast.actor("oscar"), "apikey.create", cast.retail)
    with pytest.raises(PermissionDenied, match="Ask a developer"):
        require(cast.actor("victor"), "apikey.create", cast.retail)


def test_inactive_user_may_do_nothing(cast: Cast) -> None:
    for name in ("alice", "sam"):
        services.deactivate_user(actor=OPERATOR, user=getattr(cast, name))
        assert not any(can(cast.actor(name), action, cast.retail) for action in ACTIONS)


def test_suspended_tenant_can_be_seen_and_not_changed(cast: Cast) -> None:
    services.suspend_tenant(actor=OPERATOR, tenant=cast.retail, reason="unpaid")
    alice = cast.actor("alice")
    retail = selectors.get_tenant_for(alice, "retail")
    with pytest.raises(PermissionDenied) as refusal:
        services.create_api_key(actor=alice, project=cast.chat, name="x")
    assert (refusal.value.code, retail.status) == ("tenant_suspended", "suspended")
    services.reactivate_tenant(actor=cast.actor("sam"), tenant=cast.retail)
    services.create_api_key(actor=cast.actor("alice"), project=Project.objects.for_tenant(retail).get(), name="x")


def test_offboarded_tenant_is_gone_for_its_members(cast: Cast) -> None:
    services.offboard_tenant(actor=OPERATOR, tenant=cast.retail)
    with pytest.raises(NotFound):
        selectors.get_tenant_for(cast.actor("alice"), "retail")
    assert selectors.get_tenant_for(cast.actor("sam"), "retail") == cast.retail


# Keys


@pytest.mark.parametrize(
    ("who", "scopes"),
    [
        ("alice", set(Scope.values)),
        ("bob", {Scope.INFERENCE, Scope.MANAGEMENT_READ}),
        ("dana", {Scope.INFERENCE, Scope.MANAGEMENT_READ}),
        ("rita", set()),
        ("victor", set()),
        ("oscar", set()),
        ("sam", set(Scope.values)),
        ("erin", set()),
    ],
)
def test_grantable_scopes(cast: Cast, who: str, scopes: set[str]) -> None:
    assert grantable_scopes(cast.actor(who), cast.retail) == scopes


def test_scope_beyond_the_creators_is_refused(cast: Cast) -> None:
    with pytest.raises(PermissionDenied) as refusal:
        services.create_api_key(
            actor=cast.actor("bob"), project=cast.chat, name="x", scopes=[Scope.INFERENCE, Scope.MANAGEMENT_WRITE]
        )
    assert refusal.value.code == "scope_not_grantable"


def test_inference_key_has_no_management_rights(cast: Cast) -> None:
    actor = key_actor(cast, "alice", Scope.INFERENCE)
    assert not any(can(actor, action, cast.retail) for action in ACTIONS)


def test_reading_key_reads_and_writing_key_writes_inside_its_project(cast: Cast) -> None:
    other = services.create_project(actor=OPERATOR, tenant=cast.retail, slug="batch", name="Batch")
    reading = key_actor(cast, "alice", Scope.MANAGEMENT_READ)
    writing = key_actor(cast, "alice", Scope.MANAGEMENT_WRITE)
    assert can(reading, "apikey.view", cast.retail, cast.chat)
    assert not can(reading, "apikey.create", cast.retail, cast.chat)
    assert can(writing, "apikey.create", cast.retail, cast.chat)
    assert not can(writing, "apikey.create", cast.retail, other)
    assert [each.slug for each in selectors.projects_for(writing)] == ["chat"]
    with pytest.raises(NotFound):
        services.create_api_key(actor=writing, project=other, name="x")
    with pytest.raises(NotFound):
        selectors.get_project_for(writing, "retail", "batch")


def test_key_never_manages_members_tenants_limits_or_audit(cast: Cast) -> None:
    writing = key_actor(cast, "alice", Scope.MANAGEMENT_WRITE, Scope.MANAGEMENT_READ)
    for action in ("member.manage", "member.view", "tenant.update", "project.create", "limit.manage", "audit.view"):
        assert not can(writing, action, cast.retail, cast.chat)


def test_key_sees_limits_and_budgets_of_its_project_only(cast: Cast) -> None:
    other = services.create_project(actor=OPERATOR, tenant=cast.retail, slug="batch", name="Batch")
    for project in (cast.chat, other, None):
        services.set_rate_limit(actor=OPERATOR, tenant=cast.retail, metric="tokens", limit=5, project=project)
        services.set_budget(actor=OPERATOR, tenant=cast.retail, amount_picousd=5, project=project)
    reading = key_actor(cast, "alice", Scope.MANAGEMENT_READ)
    assert [each.project for each in selectors.limits_for(reading)] == [cast.chat]
    assert [each.project for each in selectors.budgets_for(reading)] == [cast.chat]


def test_key_shrinks_with_its_creator(cast: Cast) -> None:
    issued = services.create_api_key(
        actor=cast.actor("alice"), project=cast.chat, name="x", scopes=[Scope.MANAGEMENT_WRITE]
    ).api_key
    membership = Membership.objects.for_tenant(cast.retail).get(user=cast.alice)
    services.change_member_role(actor=OPERATOR, membership=membership, role=Role.VIEWER)
    viewer = Actor.of_api_key(fresh(issued))
    assert can(viewer, "project.view", cast.retail, cast.chat)
    assert not can(viewer, "apikey.create", cast.retail, cast.chat)
    services.remove_member(actor=OPERATOR, membership=membership)
    assert not can(Actor.of_api_key(fresh(issued)), "project.view", cast.retail, cast.chat)


def test_key_of_a_deactivated_creator_manages_nothing(cast: Cast) -> None:
    issued = services.create_api_key(
        actor=cast.actor("sam"), project=cast.chat, name="x", scopes=[Scope.MANAGEMENT_WRITE]
    ).api_key
    assert can(Actor.of_api_key(fresh(issued)), "project.view", cast.retail, cast.chat)
    assert not can(Actor.of_api_key(fresh(issued)), "tenant.suspend", cast.retail)
    services.deactivate_user(actor=OPERATOR, user=cast.sam)
    assert not can(Actor.of_api_key(fresh(issued)), "project.view", cast.retail, cast.chat)


def test_key_cannot_make_a_key_with_more_scopes_than_its_own(cast: Cast) -> None:
    writing = key_actor(cast, "alice", Scope.MANAGEMENT_WRITE)
    with pytest.raises(PermissionDenied):
        services.create_api_key(actor=writing, project=cast.chat, name="x", scopes=[Scope.INFERENCE])
    issued = services.create_api_key(actor=writing, project=cast.chat, name="x", scopes=[Scope.MANAGEMENT_WRITE])
    assert issued.api_key.created_by == cast.alice


@pytest.mark.parametrize("change", [{"revoked_at": timezone.now()}, {"expires_at": timezone.now() - timedelta(1)}])
def test_unusable_key_is_no_actor(cast: Cast, change: dict[str, Any]) -> None:
    issued = services.create_api_key(actor=cast.actor("bob"), project=cast.chat, name="x").api_key
    ApiKey.objects.for_tenant(cast.retail).filter(pk=issued.pk).update(**change)
    with pytest.raises(PermissionDenied):
        Actor.of_api_key(fresh(issued))


def test_key_of_an_archived_project_manages_nothing(cast: Cast) -> None:
    issued = services.create_api_key(
        actor=OPERATOR, project=cast.chat, name="x", scopes=[Scope.MANAGEMENT_READ]
    ).api_key
    assert can(Actor.of_api_key(fresh(issued)), "project.view", cast.retail, cast.chat)
    services.archive_project(actor=OPERATOR, project=cast.chat)
    assert not can(Actor.of_api_key(fresh(issued)), "project.view", cast.retail, cast.chat)


# Scope


@pytest.mark.parametrize("model", SCOPED, ids=lambda model: str(model.__name__))
def test_query_without_a_scope_raises(cast: Cast, model: Any) -> None:
    asks: tuple[Callable[[], Any], ...] = (
        lambda: model.objects.all(),
        lambda: model.objects.filter(pk=1),
        lambda: model.objects.get(pk=1),
        lambda: model.objects.count(),
        lambda: model.objects.exists(),
        lambda: model.objects.first(),
        lambda: model.objects.update(pk=1),
        lambda: model.objects.values_list("pk"),
        lambda: model.objects.in_bulk([1]),
        lambda: model.objects.raw("SELECT 1"),
        lambda: model._default_manager.all(),
    )
    for ask in asks:
        with pytest.raises(ScopeError, match=model.__name__):
            ask()
    assert model.objects.unscoped("test").exists() in {True, False}
    with unscoped("test"):
        assert model.objects.all() is not None
    with pytest.raises(ScopeError):
        model.objects.all()


def test_every_table_that_leads_to_a_tenant_is_scoped() -> None:
    from django.apps import apps

    for model in apps.get_models():
        names = {field.name for field in model._meta.concrete_fields if field.is_relation}
        if model._meta.app_label == "tenants" and names & {"tenant", "project"}:
            assert isinstance(model._default_manager, TenantScopedManager), model


def test_unscoped_wants_a_reason(cast: Cast) -> None:
    with pytest.raises(ValueError, match="why"):
        Project.objects.unscoped("")
    with pytest.raises(ValueError, match="why"), unscoped(""):
        pass


def test_rows_of_an_actor_are_their_tenants_alone(cast: Cast) -> None:
    services.create_api_key(actor=cast.actor("bob"), project=cast.chat, name="a")
    services.create_api_key(actor=cast.actor("oscar"), project=cast.triage, name="b")
    for project in (cast.chat, cast.triage):
        services.set_rate_limit(actor=OPERATOR, tenant=project.tenant, metric="tokens", limit=5, project=project)
        services.set_budget(actor=OPERATOR, tenant=project.tenant, amount_picousd=5, project=project)
    alice, oscar, nora, sam = (cast.actor(name) for name in ("alice", "oscar", "nora", "sam"))
    for read in (
        selectors.tenants_for,
        selectors.projects_for,
        selectors.keys_for,
        selectors.members_for,
        selectors.limits_for,
        selectors.budgets_for,
        selectors.audit_for,
    ):
        own, foreign = set(read(alice)), set(read(oscar))
        assert own
        assert foreign
        assert not own & foreign
        assert set(read(nora)) == set()
        assert own | foreign <= set(read(sam))


def test_relation_stays_inside_its_tenant_even_unscoped(cast: Cast) -> None:
    assert [each.slug for each in cast.retail.projects.all()] == ["chat"]
    assert [each.slug for each in cast.retail.projects.unscoped("test")] == ["chat"]
    assert list(cast.retail.projects.for_actor(cast.actor("oscar"))) == []


def test_djangos_own_machinery_is_not_in_the_way(cast: Cast) -> None:
    cast.chat.refresh_from_db()
    assert Project._base_manager.get(pk=cast.chat.pk).tenant == cast.retail
    services.create_api_key(actor=OPERATOR, project=cast.chat, name="x")
    prefetched = Tenant.objects.unscoped("test").prefetch_related("projects__api_keys").get(slug="retail")
    assert [key.name for project in prefetched.projects.all() for key in project.api_keys.all()] == ["x"]
    cast.chat.delete()
    assert not ApiKey.objects.unscoped("test").exists()


@pytest.mark.parametrize(
    "read",
    [
        lambda actor: selectors.get_tenant_for(actor, "retail"),
        lambda actor: selectors.get_project_for(actor, "retail", "chat"),
        lambda actor: selectors.get_key_for(actor, ApiKey.objects.unscoped("test").values_list("prefix", flat=True)[0]),
        lambda actor: selectors.get_limit_for(
            actor, RateLimit.objects.unscoped("test").values_list("pk", flat=True)[0]
        ),
        lambda actor: selectors.get_budget_for(actor, Budget.objects.unscoped("test").values_list("pk", flat=True)[0]),
        lambda actor: selectors.get_member_for(
            actor, "retail", Membership.objects.unscoped("test").filter(tenant__slug="retail")[0].user_id
        ),
    ],
)
def test_outsider_finds_nothing_where_the_admin_does(cast: Cast, read: Any) -> None:
    services.create_api_key(actor=cast.actor("bob"), project=cast.chat, name="a")
    services.set_rate_limit(actor=OPERATOR, tenant=cast.retail, metric="tokens", limit=5)
    services.set_budget(actor=OPERATOR, tenant=cast.retail, amount_picousd=5)
    assert read(cast.actor("alice"))
    with pytest.raises(NotFound):
        read(cast.actor("oscar"))
