from __future__ import annotations

from typing import Any

import pytest
from django.urls import reverse

from apps.tenants import money, services
from apps.tenants.models import Budget, Membership, Project, RateLimit, User
from apps.tenants.types import Role
from tests.tenants.conftest import OPERATOR, Cast


def detail(cast: Cast) -> str:
    return reverse("tenants:project-detail", args=["retail", "chat"])


def at(page: str) -> str:
    return reverse(f"tenants:{page}", args=["retail", "chat"])


def test_tenant_admin_makes_edits_archives_and_restores_a_project(cast: Cast) -> None:
    client = cast.client("alice")
    form = {"name": "Batch scoring", "slug": "batch", "environment": "prod", "description": "Nightly."}
    answer = client.post(reverse("tenants:project-create"), form)
    assert answer["Location"] == reverse("tenants:project-detail", args=["retail", "batch"])
    edit = reverse("tenants:project-edit", args=["retail", "batch"])
    assert (
        client.post(
            edit, {"name": "Scoring", "environment": "test", "slug": "other", "strict_parameters": "on"}
        ).status_code
        == 302
    )
    project = Project.objects.for_tenant(cast.retail).get(slug="batch")
    assert (project.name, project.environment, project.strict_parameters) == ("Scoring", "test", True)
    archive = reverse("tenants:project-archive", args=["retail", "batch"])
    client.post(archive)
    project.refresh_from_db()
    assert not project.is_active
    client.post(archive, {"restore": "1"})
    project.refresh_from_db()
    assert project.is_active


@pytest.mark.parametrize("changes", [{"slug": "Not A Slug"}, {"slug": "chat"}, {"name": ""}, {"environment": "moon"}])
def test_bad_project_form_answers_422(cast: Cast, changes: dict[str, str]) -> None:
    form = {"name": "Batch", "slug": "batch", "environment": "prod", **changes}
    answer = cast.client("alice").post(reverse("tenants:project-create"), form)
    assert answer.status_code == 422
    assert set(answer.context["form"].errors) == set(changes)


def test_limits_and_budgets_are_set_and_removed_on_the_page(cast: Cast) -> None:
    client = cast.client("alice")
    limit = {"metric": "requests", "limit": "600", "window_seconds": "60", "model": ""}
    assert client.post(at("limit-set"), limit).status_code == 302
    budget = {"amount": "250.5", "period": "month", "thresholds": "50, 80%", "hard_stop": "on"}
    assert client.post(at("budget-set"), budget).status_code == 302
    page = client.get(detail(cast)).content.decode()
    assert "600 requests per minute" in page
    assert "$250.50" in page
    row = Budget.objects.for_tenant(cast.retail).get()
    assert (row.amount_picousd, row.thresholds, row.project) == (money.to_picousd("250.5"), [50, 80], cast.chat)
    client.post(reverse("tenants:budget-delete", args=[row.pk]))
    client.post(reverse("tenants:limit-delete", args=[RateLimit.objects.for_tenant(cast.retail).get().pk]))
    assert not Budget.objects.for_tenant(cast.retail).exists()
    assert not RateLimit.objects.for_tenant(cast.retail).exists()


def test_setting_again_begins_with_what_is_there_and_says_what_was_replaced(cast: Cast) -> None:
    client = cast.client("alice")
    client.post(at("limit-set"), {"metric": "requests", "limit": "600", "window_seconds": "60", "model": ""})
    client.post(at("budget-set"), {"amount": "120", "period": "month", "thresholds": "80", "hard_stop": ""})
    form = client.get(at("budget-set")).context["form"]
    assert [form[name].value() for name in ("amount", "thresholds", "hard_stop")] == ["120", "80", False]
    form = client.get(at("limit-set") + "?metric=requests").context["form"]
    assert form["limit"].value() == 600
    budget = {"amount": "0.001", "period": "month", "thresholds": "80", "hard_stop": "on"}
    assert "Replaced $120.00 by $0.001." in client.post(at("budget-set"), budget, follow=True).content.decode()
    limit = {"metric": "requests", "limit": "5", "window_seconds": "60", "model": ""}
    said = "Replaced 600 requests per minute by 5 requests per minute."
    assert said in client.post(at("limit-set"), limit, follow=True).content.decode()


def test_budget_too_big_for_the_ledger_is_refused_beside_its_field(cast: Cast) -> None:
    form = {"amount": "9999999", "period": "month", "thresholds": "", "hard_stop": "on"}
    answer = cast.client("alice").post(at("budget-set"), form)
    assert answer.status_code == 422
    assert "amount" in answer.context["form"].errors


@pytest.mark.parametrize("who", ["bob", "dana", "rita", "victor"])
def test_other_roles_look_and_change_nothing(cast: Cast, who: str) -> None:
    services.set_rate_limit(actor=OPERATOR, tenant=cast.retail, metric="tokens", limit=5, project=cast.chat)
    client = cast.client(who)
    assert client.get(reverse("tenants:project-list")).status_code == 200
    page = client.get(detail(cast))
    assert page.status_code == 200
    assert reverse("tenants:limit-set", args=["retail", "chat"]) not in page.content.decode()
    assert client.get(reverse("tenants:project-create")).status_code == 403
    assert client.post(at("project-archive")).status_code == 403
    assert client.get(at("limit-set")).status_code == 403
    assert client.get(at("budget-set")).status_code == 403
    limit = RateLimit.objects.for_tenant(cast.retail).get()
    assert client.post(reverse("tenants:limit-delete", args=[limit.pk])).status_code == 403
    assert RateLimit.objects.for_tenant(cast.retail).exists()


def test_outsider_gets_404_everywhere_as_for_what_is_missing(cast: Cast) -> None:
    limit = services.set_rate_limit(actor=OPERATOR, tenant=cast.retail, metric="tokens", limit=5, project=cast.chat)
    budget = services.set_budget(actor=OPERATOR, tenant=cast.retail, amount_picousd=5, project=cast.chat)
    client = cast.client("oscar")
    for path in ("project-detail", "project-edit", "limit-set", "budget-set"):
        assert client.get(at(path)).status_code == 404
        assert client.get(reverse(f"tenants:{path}", args=["retail", "missing"])).status_code == 404
    for path in ("project-archive", "limit-set", "budget-set", "project-edit"):
        assert client.post(at(path)).status_code == 404
    assert client.post(reverse("tenants:limit-delete", args=[limit.pk])).status_code == 404
    assert client.post(reverse("tenants:budget-delete", args=[budget.pk])).status_code == 404
    assert client.post(reverse("tenants:limit-delete", args=[limit.pk + 999])).status_code == 404
    assert b"Support chat" not in client.get(reverse("tenants:project-list")).content


def test_lists_cost_the_same_queries_for_3_rows_and_300(cast: Cast) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    client = cast.client("alice")

    def cost(page: str) -> int:
        with CaptureQueriesContext(connection) as queries:
            assert client.get(reverse(page)).status_code == 200
        return len(queries)

    few = cost("tenants:project-list"), cost("tenants:member-list")
    Project.objects.bulk_create([Project(tenant=cast.retail, slug=f"p{n}", name=f"P{n}") for n in range(300)])
    users = User.objects.bulk_create([User(email=f"u{n}@bank.test") for n in range(300)])
    Membership.objects.bulk_create([Membership(tenant=cast.retail, user=user) for user in users])
    assert (cost("tenants:project-list"), cost("tenants:member-list")) == few


# Members


def test_tenant_admin_adds_changes_and_removes_a_member(cast: Cast) -> None:
    client = cast.client("alice")
    form = {"email": "new@bank.test", "name": "New", "role": Role.VIEWER}
    assert client.post(reverse("tenants:member-add"), form).status_code == 302
    user = User.objects.get(email="new@bank.test")
    assert client.post(reverse("tenants:member-role", args=[user.pk]), {"role": Role.REVIEWER}).status_code == 302
    assert Membership.objects.for_tenant(cast.retail).get(user=user).role == Role.REVIEWER
    assert client.post(reverse("tenants:member-remove", args=[user.pk])).status_code == 302
    assert not Membership.objects.for_tenant(cast.retail).filter(user=user).exists()


def test_member_twice_is_refused_beside_the_address(cast: Cast) -> None:
    answer = cast.client("alice").post(
        reverse("tenants:member-add"), {"email": "bob@bank.test", "role": Role.VIEWER, "name": ""}
    )
    assert answer.status_code == 422
    assert "email" in answer.context["form"].errors


def test_last_admin_cannot_leave_by_the_page(cast: Cast) -> None:
    answer = cast.client("alice").post(reverse("tenants:member-remove", args=[cast.alice.pk]), follow=True)
    assert "last tenant admin" in answer.content.decode()
    assert Membership.objects.for_tenant(cast.retail).filter(user=cast.alice).exists()


@pytest.mark.parametrize("who", ["bob", "dana", "rita", "victor"])
def test_other_roles_see_members_and_change_none(cast: Cast, who: str) -> None:
    client = cast.client(who)
    assert client.get(reverse("tenants:member-list")).status_code == 200
    assert client.get(reverse("tenants:member-add")).status_code == 403
    client.post(reverse("tenants:member-role", args=[getattr(cast, who).pk]), {"role": Role.ADMIN})
    client.post(reverse("tenants:member-remove", args=[cast.alice.pk]))
    membership = Membership.objects.for_tenant(cast.retail)
    assert membership.get(user=getattr(cast, who)).role != Role.ADMIN
    assert membership.filter(user=cast.alice).exists()


def test_outsider_touches_no_member_of_another_tenant(cast: Cast) -> None:
    client = cast.client("oscar")
    for user in (cast.bob.pk, 999_999):
        assert client.post(reverse("tenants:member-role", args=[user]), {"role": Role.VIEWER}).status_code == 404
        assert client.post(reverse("tenants:member-remove", args=[user])).status_code == 404
    page: Any = client.get(reverse("tenants:member-list"))
    assert b"bob@bank.test" not in page.content
