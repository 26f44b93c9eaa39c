"""The workspace: a reader works where they are a member, and nowhere else whatever the session says."""

from __future__ import annotations

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from apps.tenants.models import Membership, Project, Tenant, User
from apps.tenants.types import PlatformRole, Role, TenantStatus
from apps.tenants.workspace import PROJECT_KEY, TENANT_KEY, build_workspace

pytestmark = pytest.mark.django_db


@pytest.fixture
def bank() -> Tenant:
    tenant = Tenant.objects.create(slug="bank", name="Bank")
    Project.objects.create(tenant=tenant, slug="support", name="Support")
    Project.objects.create(tenant=tenant, slug="old", name="Old", is_active=False)
    return tenant


@pytest.fixture
def claims() -> Tenant:
    tenant = Tenant.objects.create(slug="claims", name="Claims")
    Project.objects.create(tenant=tenant, slug="triage", name="Triage")
    return tenant


def member(tenant: Tenant, role: Role = Role.DEVELOPER) -> User:
    user = User.objects.create_user("alice@example.test", "a password of some length", name="Alice")
    Membership.objects.create(tenant=tenant, user=user, role=role)
    return user


def test_a_member_works_in_their_tenant_with_its_active_projects(bank: Tenant, claims: Tenant) -> None:
    workspace = build_workspace(member(bank), {})
    assert workspace.tenant == bank
    assert workspace.role == Role.DEVELOPER
    assert workspace.tenants == [bank]
    assert [project.slug for project in workspace.projects] == ["support"]


def test_a_session_that_names_a_foreign_tenant_is_not_believed(bank: Tenant, claims: Tenant) -> None:
    workspace = build_workspace(member(bank), {TENANT_KEY: "claims", PROJECT_KEY: "triage"})
    assert workspace.tenant == bank
    assert workspace.project is None


def test_somebody_without_a_tenant_has_an_empty_workspace(bank: Tenant) -> None:
    outsider = User.objects.create_user("eve@example.test", "a password of some length")
    workspace = build_workspace(outsider, {TENANT_KEY: "bank"})
    assert workspace.tenant is None
    assert workspace.projects == []


def test_an_offboarded_tenant_is_gone(bank: Tenant) -> None:
    user = member(bank)
    bank.status = TenantStatus.OFFBOARDED
    bank.save()
    assert build_workspace(user, {}).tenant is None


def test_platform_staff_look_into_every_tenant_but_start_in_their_own(bank: Tenant, claims: Tenant) -> None:
    user = member(claims)
    user.platform_role = PlatformRole.SERVICE_ADMIN
    user.save()
    assert build_workspace(user, {}).tenant == claims
    looking = build_workspace(user, {TENANT_KEY: "bank"})
    assert looking.tenant == bank
    assert (looking.role, looking.role_label) == ("", "Platform staff")


def test_three_queries_however_many_tenants(bank: Tenant, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    user = member(bank)
    for number in range(30):
        tenant = Tenant.objects.create(slug=f"t{number}", name=f"T {number}")
        Membership.objects.create(tenant=tenant, user=user, role=Role.VIEWER)
    with django_assert_num_queries(3):
        build_workspace(user, {TENANT_KEY: "t7"})


def test_switching_is_a_post_that_comes_back(client: Client, bank: Tenant, claims: Tenant) -> None:
    user = member(bank)
    Membership.objects.create(tenant=claims, user=user, role=Role.VIEWER)
    client.force_login(user)
    answer = client.post("/workspace/", {"tenant": "claims", "project": "triage", "next": "/usage/"})
    assert (answer.status_code, answer.headers["Location"]) == (302, "/usage/")
    assert client.session[TENANT_KEY] == "claims"
    assert client.session[PROJECT_KEY] == "triage"
    assert client.get("/workspace/").status_code == 405


def test_switching_leads_to_no_other_site(client: Client, bank: Tenant) -> None:
    client.force_login(member(bank))
    for target in ("//evil.test/", "https://evil.test/", "/\\evil.test", "javascript:alert(1)"):
        answer = client.post("/workspace/", {"tenant": "bank", "next": target})
        assert answer.headers["Location"] == "/"


def test_a_foreign_and_a_missing_place_are_the_same_404(client: Client, bank: Tenant, claims: Tenant) -> None:
    client.force_login(member(bank))
    for data in (
        {"tenant": "claims"},
        {"tenant": "missing"},
        {"tenant": "bank", "project": "triage"},
        {"tenant": "bank", "project": "old"},
        {},
    ):
        assert client.post("/workspace/", data).status_code == 404
    assert TENANT_KEY not in client.session


def test_anonymous_readers_are_asked_to_sign_in(client: Client, bank: Tenant) -> None:
    answer = client.post("/workspace/", {"tenant": "bank"})
    assert (answer.status_code, answer.headers["Location"]) == (302, "/accounts/login/?next=/workspace/")


def test_the_style_guide_is_for_staff(client: Client, bank: Tenant) -> None:
    user = member(bank)
    assert client.get("/styleguide/").status_code == 404
    client.force_login(user)
    assert client.get("/styleguide/").status_code == 404
    user.is_staff = True
    user.save()
    assert client.get("/styleguide/").status_code == 200
