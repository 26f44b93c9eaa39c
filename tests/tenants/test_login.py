"""Signing in with a password: the lockout, the session, closed sign-up."""

from __future__ import annotations

from typing import Any

import pytest
from axes.models import AccessAttempt
from django.core.cache import cache
from django.test import Client
from django.urls import reverse

from apps.tenants import services
from apps.tenants.models import Membership, User
from apps.tenants.types import PlatformRole, Role
from tests.tenants.conftest import OPERATOR, PASSWORD, Cast

LOGIN = "/accounts/login/"


@pytest.fixture(autouse=True)
def empty_cache() -> None:
    """allauth's own rate limits live in the cache, which outlives a test."""
    cache.clear()


def try_login(client: Client, email: str, password: str, **extra: str) -> Any:
    return client.post(LOGIN, {"login": email, "password": password, **extra})


def is_signed_in(client: Client) -> bool:
    return "_auth_user_id" in client.session


def test_right_password_signs_in_and_rotates_the_session(cast: Cast) -> None:
    client = Client()
    client.get(LOGIN)
    session = client.session
    session["before"] = "kept from before"
    session.save()
    client.cookies["sessionid"] = session.session_key or ""
    assert try_login(client, "alice@bank.test", PASSWORD).status_code == 302
    assert is_signed_in(client)
    assert client.session.session_key != session.session_key


def test_failures_lock_the_address_from_here_even_for_the_right_password(cast: Cast, settings: Any) -> None:
    client = Client()
    for _ in range(settings.AXES_FAILURE_LIMIT - 1):
        assert try_login(client, "alice@bank.test", "wrong").status_code == 200
    locked = try_login(client, "Alice@bank.test", "wrong")
    assert locked.status_code == 429
    assert "Too many failed tries" in locked.content.decode()
    assert AccessAttempt.objects.get().username == "alice@bank.test"
    cache.clear()  # so that axes alone answers, and not allauth's own limit
    assert try_login(client, "alice@bank.test", PASSWORD).status_code == 429
    assert not is_signed_in(client)


def test_lockout_of_one_address_leaves_the_others(cast: Cast, settings: Any) -> None:
    client = Client()
    for _ in range(settings.AXES_FAILURE_LIMIT):
        try_login(client, "alice@bank.test", "wrong")
    cache.clear()
    assert try_login(client, "bob@bank.test", PASSWORD).status_code == 302


@pytest.mark.parametrize("target", ["https://evil.test/", "//evil.test/x", "/\\evil.test", "http:evil.test"])
def test_hostile_next_is_ignored(cast: Cast, target: str) -> None:
    answer = try_login(Client(), "alice@bank.test", PASSWORD, next=target)
    assert answer.status_code == 302
    assert answer["Location"] == "/"


def test_next_inside_the_portal_is_followed(cast: Cast) -> None:
    assert try_login(Client(), "alice@bank.test", PASSWORD, next="/keys/")["Location"] == "/keys/"


def test_nobody_signs_themselves_up(db: None) -> None:
    answer = Client().post(
        "/accounts/signup/", {"email": "eve@evil.test", "password1": PASSWORD, "password2": PASSWORD}
    )
    assert "by invitation" in answer.content.decode()
    assert not User.objects.exists()


def test_nobody_changes_their_own_address(cast: Cast) -> None:
    client = cast.client("victor")
    assert client.get("/accounts/email/").status_code == 404
    assert client.post("/accounts/email/", {"action_add": "", "email": "new@bank.test"}).status_code == 404


def test_deactivation_ends_sessions_and_refuses_the_password(cast: Cast) -> None:
    client = cast.client("alice")
    assert client.get(reverse("tenants:key-list")).status_code == 200
    services.deactivate_user(actor=OPERATOR, user=cast.alice)
    assert client.get(reverse("tenants:key-list")).status_code == 302
    again = Client()
    try_login(again, "alice@bank.test", PASSWORD)
    assert not is_signed_in(again)


def test_reactivation_does_not_bring_old_sessions_back(cast: Cast) -> None:
    client = cast.client("alice")
    services.deactivate_user(actor=OPERATOR, user=cast.alice)
    services.reactivate_user(actor=OPERATOR, user=cast.alice)
    assert client.get(reverse("tenants:key-list")).status_code == 302


def test_demotion_ends_the_members_sessions(cast: Cast) -> None:
    client = cast.client("alice")
    membership = Membership.objects.for_tenant(cast.retail).get(user=cast.alice)
    services.change_member_role(actor=OPERATOR, membership=membership, role=Role.VIEWER)
    assert client.get(reverse("tenants:key-list")).status_code == 302


def test_removal_ends_the_members_sessions(cast: Cast) -> None:
    client = cast.client("bob")
    services.remove_member(actor=OPERATOR, membership=Membership.objects.for_tenant(cast.retail).get(user=cast.bob))
    assert client.get(reverse("tenants:key-list")).status_code == 302


def test_loss_of_the_platform_role_closes_the_admin_at_once(cast: Cast) -> None:
    client = cast.client("sam")
    assert client.get("/admin/").status_code == 200
    services.set_platform_role(actor=OPERATOR, user=cast.sam, platform_role=PlatformRole.NONE)
    assert client.get("/admin/").status_code == 302


def test_suspension_leaves_the_tenant_to_be_looked_at_only(cast: Cast) -> None:
    client = cast.client("alice")
    services.suspend_tenant(actor=OPERATOR, tenant=cast.retail, reason="unpaid")
    assert client.get(reverse("tenants:key-list")).status_code == 200
    answer = client.get(reverse("tenants:key-create"))
    assert answer.status_code == 403
    assert "suspended" in answer.content.decode()


def test_offboarding_hides_the_tenant(cast: Cast) -> None:
    client = cast.client("alice")
    services.offboard_tenant(actor=OPERATOR, tenant=cast.retail)
    assert "You belong to no tenant yet" in client.get(reverse("tenants:key-list")).content.decode()
