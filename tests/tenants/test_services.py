from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.db import connections
from django.utils import timezone

from apps.tenants import apikeys, audit, services
from apps.tenants.control_plane import control_plane_version
from apps.tenants.errors import Conflict, DomainError, Invalid, NotFound, PermissionDenied
from apps.tenants.models import ApiKey, AuditEntry, Budget, Membership, Project, RateLimit, Tenant, User
from apps.tenants.types import PlatformRole, Role, Scope
from tests.tenants.conftest import OPERATOR, Cast, make_cast


def membership_of(tenant: Tenant, user: User) -> Membership:
    return Membership.objects.for_tenant(tenant).get(user=user)


def actions() -> list[str]:
    return list(AuditEntry.objects.unscoped("test").order_by("sequence").values_list("action", flat=True))


# Every act is refused to the outsider as if there were nothing, and to the viewer as not theirs.

ACTS: dict[str, Any] = {
    "update_tenant": lambda cast, actor: services.update_tenant(actor=actor, tenant=cast.retail, name="X"),
    "create_project": lambda cast, actor: services.create_project(actor=actor, tenant=cast.retail, slug="x", name="X"),
    "update_project": lambda cast, actor: services.update_project(actor=actor, project=cast.chat, name="X"),
    "archive_project": lambda cast, actor: services.archive_project(actor=actor, project=cast.chat),
    "restore_project": lambda cast, actor: services.restore_project(actor=actor, project=cast.chat),
    "add_member": lambda cast, actor: services.add_member(
        actor=actor, tenant=cast.retail, user=cast.nora, role=Role.VIEWER
    ),
    "invite_member": lambda cast, actor: services.invite_member(
        actor=actor, tenant=cast.retail, email="x@bank.test", role=Role.VIEWER
    ),
    "change_member_role": lambda cast, actor: services.change_member_role(
        actor=actor, membership=membership_of(cast.retail, cast.rita), role=Role.ADMIN
    ),
    "remove_member": lambda cast, actor: services.remove_member(
        actor=actor, membership=membership_of(cast.retail, cast.rita)
    ),
    "create_api_key": lambda cast, actor: services.create_api_key(actor=actor, project=cast.chat, name="x"),
    "revoke_api_key": lambda cast, actor: services.revoke_api_key(actor=actor, api_key=a_key(cast)),
    "rotate_api_key": lambda cast, actor: services.rotate_api_key(actor=actor, api_key=a_key(cast)),
    "set_rate_limit": lambda cast, actor: services.set_rate_limit(
        actor=actor, tenant=cast.retail, metric="tokens", limit=9
    ),
    "update_rate_limit": lambda cast, actor: services.update_rate_limit(actor=actor, rate_limit=a_limit(cast), limit=9),
    "delete_rate_limit": lambda cast, actor: services.delete_rate_limit(actor=actor, rate_limit=a_limit(cast)),
    "set_budget": lambda cast, actor: services.set_budget(actor=actor, tenant=cast.retail, amount_picousd=9),
    "update_budget": lambda cast, actor: services.update_budget(actor=actor, budget=a_budget(cast), amount_picousd=9),
    "delete_budget": lambda cast, actor: services.delete_budget(actor=actor, budget=a_budget(cast)),
}
PLATFORM_ACTS: dict[str, Any] = {
    "create_tenant": lambda cast, actor: services.create_tenant(actor=actor, slug="x", name="X"),
    "suspend_tenant": lambda cast, actor: services.suspend_tenant(actor=actor, tenant=cast.retail, reason="x"),
    "reactivate_tenant": lambda cast, actor: services.reactivate_tenant(actor=actor, tenant=cast.retail),
    "offboard_tenant": lambda cast, actor: services.offboard_tenant(actor=actor, tenant=cast.retail),
    "create_user": lambda cast, actor: services.create_user(actor=actor, email="x@bank.test"),
    "invite_user": lambda cast, actor: services.invite_user(actor=actor, email="x@bank.test"),
    "set_password": lambda cast, actor: services.set_password(actor=actor, user=cast.nora, password="a" * 30),
    "set_platform_role": lambda cast, actor: services.set_platform_role(
        actor=actor, user=cast.nora, platform_role=PlatformRole.SERVICE_ADMIN
    ),
    "deactivate_user": lambda cast, actor: services.deactivate_user(actor=actor, user=cast.nora),
    "reactivate_user": lambda cast, actor: services.reactivate_user(actor=actor, user=cast.nora),
}


def a_key(cast: Cast) -> ApiKey:
    return services.create_api_key(actor=OPERATOR, project=cast.chat, name="x").api_key


def a_limit(cast: Cast) -> RateLimit:
    return services.set_rate_limit(actor=OPERATOR, tenant=cast.retail, metric="requests", limit=5)


def a_budget(cast: Cast) -> Budget:
    return services.set_budget(actor=OPERATOR, tenant=cast.retail, amount_picousd=5)


def test_every_service_is_in_the_tables() -> None:
    listed = {name for name in services.__all__ if name[0].islower()} - {"update_user"}
    assert listed == set(ACTS) | set(PLATFORM_ACTS)


@pytest.mark.parametrize("name", sorted(ACTS))
@pytest.mark.parametrize(("who", "error"), [("oscar", NotFound), ("nora", NotFound), ("victor", PermissionDenied)])
def test_act_is_refused_to_outsiders_and_viewers(cast: Cast, name: str, who: str, error: type[DomainError]) -> None:
    actor = cast.actor(who)
    if "key" in name and name != "create_api_key" and who == "victor":
        error = NotFound  # a viewer sees no keys at all
    with pytest.raises(error):
        ACTS[name](cast, actor)
    assert actor.label not in set(AuditEntry.objects.unscoped("test").values_list("actor_label", flat=True))


@pytest.mark.parametrize("name", sorted(ACTS))
def test_tenant_admin_acts_with_a_record_and_a_new_version(cast: Cast, name: str) -> None:
    if name == "restore_project":
        services.archive_project(actor=OPERATOR, project=cast.chat)
    before = control_plane_version()
    ACTS[name](cast, cast.actor("alice"))
    assert AuditEntry.objects.unscoped("test").filter(actor=cast.alice, tenant=cast.retail).exists()
    assert control_plane_version() > before
    assert audit.verify().ok


@pytest.mark.parametrize("name", sorted(PLATFORM_ACTS))
@pytest.mark.parametrize("who", ["alice", "oscar", "nora", "erin"])
def test_platform_act_is_for_service_admins(cast: Cast, name: str, who: str) -> None:
    with pytest.raises((PermissionDenied, NotFound)):
        PLATFORM_ACTS[name](cast, cast.actor(who))


@pytest.mark.parametrize("name", sorted(PLATFORM_ACTS))
def test_service_admin_acts(cast: Cast, name: str) -> None:
    PLATFORM_ACTS[name](cast, cast.actor("sam"))
    assert audit.verify().ok


# Tenants


def test_offboarding_revokes_every_key(cast: Cast) -> None:
    key, foreign = a_key(cast), services.create_api_key(actor=OPERATOR, project=cast.triage, name="x").api_key
    services.offboard_tenant(actor=cast.actor("sam"), tenant=cast.retail)
    key.refresh_from_db()
    foreign.refresh_from_db()
    assert (key.is_usable, foreign.is_usable) == (False, True)
    for act in (services.reactivate_tenant, lambda **kw: services.suspend_tenant(reason="x", **kw)):
        with pytest.raises(Conflict):
            act(actor=cast.actor("sam"), tenant=cast.retail)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "x" * 201),
        ("name", "a\x00b"),
        ("time_zone", "Europe/Atlantis"),
        ("residency", ["nowhere; drop"]),
        ("retention_days", 0),
        ("retention_days", True),
        ("brand_color", "red"),
        ("cost_center", "x" * 51),
    ],
)
def test_bad_value_is_refused_and_named(cast: Cast, field: str, value: Any) -> None:
    with pytest.raises(Invalid) as refusal:
        services.update_tenant(actor=OPERATOR, tenant=cast.retail, **{field: value})
    assert refusal.value.field == field


@pytest.mark.parametrize("slug", ["", "Retail", "a b", "-a", "a-", "a/b", "ä", "x" * 51, "a\nb"])
def test_bad_slug_is_refused(cast: Cast, slug: str) -> None:
    with pytest.raises(Invalid):
        services.create_tenant(actor=OPERATOR, slug=slug, name="X")
    with pytest.raises(Invalid):
        services.create_project(actor=OPERATOR, tenant=cast.retail, slug=slug, name="X")


def test_taken_slug_is_a_conflict_and_the_transaction_lives_on(cast: Cast) -> None:
    with pytest.raises(Conflict, match="'retail'"):
        services.create_tenant(actor=OPERATOR, slug="retail", name="X")
    with pytest.raises(Conflict, match="'chat'"):
        services.create_project(actor=OPERATOR, tenant=cast.retail, slug="chat", name="X")
    assert services.create_project(actor=OPERATOR, tenant=cast.claims, slug="chat", name="X").slug == "chat"


def test_fields_outside_the_list_cannot_be_assigned(cast: Cast) -> None:
    for field in ("status", "slug", "id", "created_at"):
        with pytest.raises(Invalid):
            services.update_tenant(actor=OPERATOR, tenant=cast.retail, **{field: "x"})  # type: ignore[arg-type]
    for field in ("tenant", "tenant_id", "is_active"):
        with pytest.raises(Invalid):
            services.update_project(actor=OPERATOR, project=cast.chat, **{field: 1})  # type: ignore[arg-type]


def test_change_without_a_difference_is_no_act(cast: Cast) -> None:
    before, version = actions(), control_plane_version()
    services.update_tenant(actor=OPERATOR, tenant=cast.retail, name=cast.retail.name)
    services.revoke_api_key(actor=OPERATOR, api_key=(key := a_key(cast)))
    made = actions()
    services.revoke_api_key(actor=OPERATOR, api_key=key)
    assert actions() == made
    assert len(made) == len(before) + 2
    assert control_plane_version() == version + 2


# Members


def test_last_tenant_admin_stays_unless_the_platform_acts(cast: Cast) -> None:
    alice = membership_of(cast.retail, cast.alice)
    for act in (
        lambda actor: services.change_member_role(actor=actor, membership=alice, role=Role.VIEWER),
        lambda actor: services.remove_member(actor=actor, membership=alice),
    ):
        with pytest.raises(Conflict) as refusal:
            act(cast.actor("alice"))
        assert refusal.value.code == "last_admin"
    services.change_member_role(actor=OPERATOR, membership=membership_of(cast.retail, cast.bob), role=Role.ADMIN)
    services.remove_member(actor=cast.actor("alice"), membership=alice)


def test_invitation_of_somebody_new_makes_a_passwordless_account_and_a_mail(
    cast: Cast, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        membership = services.invite_member(
            actor=cast.actor("alice"), tenant=cast.retail, email="New@Bank.Test", role=Role.REVIEWER
        )
    assert (membership.user.email, membership.user.has_usable_password()) == ("New@bank.test", False)
    assert [message.to for message in mail.outbox] == [["New@bank.test"]]
    with pytest.raises(Conflict):
        services.invite_member(actor=cast.actor("alice"), tenant=cast.retail, email="NEW@bank.test", role="viewer")
    assert User.objects.filter(email__iexact="new@bank.test").count() == 1


@pytest.mark.backends
@pytest.mark.django_db(transaction=True)
def test_two_admins_who_demote_each_other_at_once_do_not_both_succeed() -> None:
    cast = make_cast()
    services.change_member_role(actor=OPERATOR, membership=membership_of(cast.retail, cast.bob), role=Role.ADMIN)
    pairs = [(cast.actor("alice"), cast.bob), (cast.actor("bob"), cast.alice)]
    start, refused = threading.Barrier(2), []

    def demote(actor: Any, victim: User) -> None:
        try:
            start.wait(10)
            services.change_member_role(actor=actor, membership=membership_of(cast.retail, victim), role=Role.VIEWER)
        except DomainError as error:
            refused.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=demote, args=pair) for pair in pairs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    admins = Membership.objects.for_tenant(cast.retail).filter(role=Role.ADMIN)
    assert (len(refused), admins.count()) == (1, 1)


# Users


def test_address_is_one_whatever_its_case(cast: Cast) -> None:
    with pytest.raises(Conflict):
        services.create_user(actor=OPERATOR, email="ALICE@bank.test")


def test_weak_password_is_refused(cast: Cast) -> None:
    for password in ("short", "password123", "alice@bank.test"):
        with pytest.raises(Invalid) as refusal:
            services.set_password(actor=OPERATOR, user=cast.alice, password=password)
        assert refusal.value.field == "password"


def test_own_name_may_be_changed_and_nobody_elses(cast: Cast) -> None:
    services.update_user(actor=cast.actor("victor"), user=cast.victor, name="Vic")
    with pytest.raises(PermissionDenied):
        services.update_user(actor=cast.actor("victor"), user=cast.alice, name="Vic")


def test_platform_role_decides_on_the_admin(cast: Cast) -> None:
    user = services.set_platform_role(actor=OPERATOR, user=cast.nora, platform_role=PlatformRole.SERVICE_ENGINEER)
    assert (user.is_staff, user.is_superuser) == (True, False)
    user = services.set_platform_role(actor=OPERATOR, user=cast.nora, platform_role=PlatformRole.NONE)
    assert (user.is_staff, user.is_superuser) == (False, False)


# Keys


def test_key_is_stored_as_an_hmac_and_shown_by_nothing(cast: Cast) -> None:
    issued = services.create_api_key(actor=cast.actor("bob"), project=cast.chat, name="laptop")
    prefix, secret = apikeys.split(issued.plaintext) or ("", "")
    key = ApiKey.objects.for_tenant(cast.retail).get(prefix=prefix)
    assert apikeys.verify(secret, key.secret_hmac)
    assert secret not in repr(issued) + repr(key) + str(key)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", " "),
        ("scopes", []),
        ("scopes", ["root"]),
        ("cidrs", ["10.0.0.1/8"]),
        ("cidrs", ["::/200"]),
        ("allowed_models", ["../x"]),
        ("expires_at", timezone.now() - timedelta(days=1)),
        ("expires_at", timezone.now().replace(tzinfo=None) + timedelta(days=1)),
    ],
)
def test_bad_key_is_refused_and_named(cast: Cast, field: str, value: object) -> None:
    with pytest.raises(Invalid) as refusal:
        services.create_api_key(actor=OPERATOR, project=cast.chat, **{"name": "x", field: value})  # type: ignore[arg-type]
    assert refusal.value.field == field


def test_networks_are_kept_in_canonical_form(cast: Cast) -> None:
    issued = services.create_api_key(
        actor=OPERATOR, project=cast.chat, name="x", cidrs=["192.0.2.7", "2001:DB8::/32", "192.0.2.7"]
    )
    assert issued.api_key.cidrs == ["192.0.2.7/32", "2001:db8::/32"]


def test_archived_project_gets_no_key(cast: Cast) -> None:
    project = services.archive_project(actor=OPERATOR, project=cast.chat)
    with pytest.raises(Conflict):
        services.create_api_key(actor=OPERATOR, project=project, name="x")


def test_rotation_carries_scopes_models_networks_limits_and_budgets_over(cast: Cast) -> None:
    old = services.create_api_key(
        actor=cast.actor("alice"),
        project=cast.chat,
        name="nightly",
        scopes=[Scope.INFERENCE, Scope.MANAGEMENT_READ],
        allowed_models=["sandbox-chat"],
        cidrs=["10.0.0.0/8"],
        expires_at=timezone.now() + timedelta(days=90),
    ).api_key
    services.set_rate_limit(actor=OPERATOR, tenant=cast.retail, metric="tokens", limit=7, api_key=old)
    services.set_budget(actor=OPERATOR, tenant=cast.retail, amount_picousd=7, api_key=old)
    with pytest.raises(PermissionDenied):
        services.rotate_api_key(actor=cast.actor("bob"), api_key=old)
    new = services.rotate_api_key(actor=cast.actor("alice"), api_key=old, overlap=timedelta(hours=1))
    key = new.api_key
    expires = old.expires_at
    old.refresh_from_db()
    assert (key.name, key.scopes, key.allowed_models, key.cidrs) == (
        old.name,
        old.scopes,
        old.allowed_models,
        old.cidrs,
    )
    assert (key.expires_at, key.rotated_from, key.prefix == old.prefix) == (expires, old, False)
    assert old.is_usable
    assert old.expires_at is not None
    assert old.expires_at < timezone.now() + timedelta(hours=1, seconds=5)
    assert [each.limit for each in key.rate_limits.all()] == [7]
    assert [each.amount_picousd for each in key.budgets.all()] == [7]
    assert old.rate_limits.count() == 1


def test_rotation_at_once_ends_the_old_key(cast: Cast) -> None:
    old = a_key(cast)
    services.rotate_api_key(actor=OPERATOR, api_key=old, overlap=timedelta())
    old.refresh_from_db()
    assert not old.is_usable
    with pytest.raises(Conflict):
        services.rotate_api_key(actor=OPERATOR, api_key=old)


@pytest.mark.parametrize("overlap", [timedelta(seconds=-1), timedelta(days=31)])
def test_overlap_is_bounded(cast: Cast, overlap: timedelta) -> None:
    with pytest.raises(Invalid):
        services.rotate_api_key(actor=OPERATOR, api_key=a_key(cast), overlap=overlap)


def test_creator_of_a_key_cannot_be_deleted(cast: Cast) -> None:
    from django.db.models import ProtectedError

    services.create_api_key(actor=cast.actor("bob"), project=cast.chat, name="x")
    with pytest.raises(ProtectedError):
        cast.bob.delete()


# Limits and budgets


def test_same_limit_set_twice_is_one_row(cast: Cast) -> None:
    first = services.set_rate_limit(actor=OPERATOR, tenant=cast.retail, metric="concurrency", limit=5)
    again = services.set_rate_limit(
        actor=OPERATOR, tenant=cast.retail, metric="concurrency", limit=9, window_seconds=3600
    )
    assert (first.pk, again.limit) == (again.pk, 9)
    other = services.set_rate_limit(actor=OPERATOR, tenant=cast.retail, metric="concurrency", limit=5, model="gpt")
    assert other.pk != first.pk


def test_limit_of_a_key_belongs_to_its_project(cast: Cast) -> None:
    key = a_key(cast)
    row = services.set_rate_limit(actor=OPERATOR, tenant=cast.retail, metric="tokens", limit=5, api_key=key)
    assert row.project == cast.chat


def test_subjects_of_another_tenant_are_refused(cast: Cast) -> None:
    foreign = services.create_api_key(actor=OPERATOR, project=cast.triage, name="x").api_key
    alice = cast.actor("alice")
    subjects: list[dict[str, Any]] = [{"project": cast.triage}, {"api_key": foreign}, {"user": cast.oscar}]
    for subject in subjects:
        with pytest.raises(Invalid):
            services.set_rate_limit(actor=alice, tenant=cast.retail, metric="tokens", limit=5, **subject)
    for subject in subjects[:2]:
        with pytest.raises(Invalid):
            services.set_budget(actor=alice, tenant=cast.retail, amount_picousd=5, **subject)


def test_budget_is_exact_and_bounded(cast: Cast) -> None:
    budget = services.set_budget(actor=OPERATOR, tenant=cast.retail, amount_picousd=1, thresholds=[80, 50, 80])
    assert (budget.amount_picousd, budget.thresholds, budget.hard_stop) == (1, [50, 80], True)
    for amount in (-1, 2**63, 1.5, True):
        with pytest.raises(Invalid):
            services.update_budget(actor=OPERATOR, budget=budget, amount_picousd=amount)  # type: ignore[arg-type]
    with pytest.raises(Invalid):
        services.set_budget(actor=OPERATOR, tenant=cast.retail, period="day")
    with pytest.raises(Invalid):
        services.update_budget(actor=OPERATOR, budget=budget, thresholds=[0])


def test_project_that_a_stale_instance_names_is_read_anew(cast: Cast) -> None:
    stale = Project.objects.for_tenant(cast.retail).get(pk=cast.chat.pk)
    services.update_project(actor=OPERATOR, project=cast.chat, name="Newer")
    services.update_project(actor=OPERATOR, project=stale, description="d")
    stale.refresh_from_db()
    assert (stale.name, stale.description) == ("Newer", "d")
