from __future__ import annotations

from typing import Any

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse
from django_celery_beat.models import IntervalSchedule, PeriodicTask
from django_celery_results.models import TaskResult

from apps.tenants import audit, money, services
from apps.tenants.control_plane import control_plane_version
from apps.tenants.models import ApiKey, AuditEntry, Budget, Membership, Project, RateLimit, Tenant, User
from apps.tenants.types import PlatformRole, Role, TenantStatus
from tests.tenants.conftest import OPERATOR, Cast


def url(model: str, page: str, *args: object) -> str:
    return reverse(f"admin:tenants_{model}_{page}", args=args)


def last_action() -> tuple[str, str]:
    entry = AuditEntry.objects.unscoped("test").first()
    assert entry
    return entry.action, entry.actor_label


def furnish(cast: Cast) -> ApiKey:
    """A row in every table."""
    key = services.create_api_key(actor=cast.actor("bob"), project=cast.chat, name="laptop").api_key
    services.set_rate_limit(actor=OPERATOR, tenant=cast.retail, metric="tokens", limit=1000, api_key=key)
    services.set_budget(actor=OPERATOR, tenant=cast.retail, amount_picousd=12_400_000_000_000, project=cast.chat)
    return key


TABLES = ["tenant", "project", "membership", "user", "apikey", "ratelimit", "budget", "auditentry"]


@pytest.mark.parametrize("who", ["sam", "erin"])
@pytest.mark.parametrize("table", TABLES)
def test_platform_staff_see_list_search_and_row(cast: Cast, table: str, who: str) -> None:
    furnish(cast)
    client = cast.client(who)
    assert client.get(url(table, "changelist")).status_code == 200
    model: Any = next(each for each in admin.site._registry if each._meta.label_lower == f"tenants.{table}")
    row = model._base_manager.first()
    assert client.get(url(table, "changelist") + "?q=retail").status_code == 200
    answer = client.get(url(table, "change", row.pk))
    assert answer.status_code == 200


def test_the_admin_opens_on_lobbys_own_apps(cast: Cast) -> None:
    context = cast.client("sam").get(reverse("admin:index")).context
    apps = [app["app_label"] for app in context["app_list"]]
    assert apps[:5] == ["tenants", "registry", "gateway", "prompts", "evaluation"]
    assert {"axes", "django_celery_results", "socialaccount"} <= set(apps[5:])
    first = context["sidebar_navigation"][0]
    assert first["title"] == "Tenants"
    assert "Audit trail" in [item["title"] for item in first["items"]]


def test_jobs_are_read_and_nothing_else_of_celery_is_there(cast: Cast) -> None:
    every = IntervalSchedule.objects.create(every=5, period="seconds")
    task = PeriodicTask.objects.create(name="registry.discover", task="registry.discover", interval=every)
    result = TaskResult.objects.create(task_id="1", task_name="registry.discover", status="SUCCESS")
    client = cast.client("sam")
    for row in (task, result):
        name = f"admin:{row._meta.app_label}_{row._meta.model_name}"
        assert client.get(reverse(f"{name}_changelist") + "?q=discover").status_code == 200
        page = client.get(reverse(f"{name}_change", args=[row.pk]))
        assert page.status_code == 200
        assert b'name="_save"' not in page.content
        assert client.get(reverse(f"{name}_add")).status_code == 403
        assert client.post(reverse(f"{name}_delete", args=[row.pk]), {"post": "yes"}).status_code == 403
    of_celery = [each.__name__ for each in admin.site._registry if "celery" in each._meta.app_label]
    assert sorted(of_celery) == ["PeriodicTask", "TaskResult"]


@pytest.mark.parametrize("who", ["alice", "oscar", "nora"])
def test_everybody_else_is_kept_out(cast: Cast, who: str) -> None:
    client = cast.client(who)
    for table in TABLES:
        assert client.get(url(table, "changelist")).status_code in {302, 403}
    assert client.get("/admin/").status_code in {302, 403}
    assert client.get("/admin/login/").status_code == 403


def test_anonymous_is_sent_to_the_portals_sign_in(db: None) -> None:
    answer = Client().get("/admin/", follow=True)
    assert answer.redirect_chain[-1][0].startswith("/accounts/login/?next=/admin/")


def test_engineer_changes_limits_and_nothing_else(cast: Cast) -> None:
    client = cast.client("erin")
    assert client.get(url("ratelimit", "add")).status_code == 200
    for table in ("tenant", "project", "membership", "user", "budget"):
        assert client.get(url(table, "add")).status_code == 403


@pytest.mark.parametrize("table", ["auditentry", "apikey"])
def test_ledgers_and_keys_cannot_be_made_changed_or_deleted(cast: Cast, table: str) -> None:
    key = furnish(cast)
    client = cast.client("sam")
    pk = key.pk if table == "apikey" else AuditEntry.objects.unscoped("test").values_list("pk", flat=True)[0]
    assert client.get(url(table, "add")).status_code == 403
    assert client.post(url(table, "change", pk), {"name": "x"}).status_code == 403
    assert client.post(url(table, "delete", pk), {"post": "yes"}).status_code == 403


def test_secret_of_a_key_is_nowhere(cast: Cast) -> None:
    key = furnish(cast)
    client = cast.client("sam")
    for page in (client.get(url("apikey", "changelist")), client.get(url("apikey", "change", key.pk))):
        assert key.secret_hmac not in page.content.decode()
        assert key.prefix in page.content.decode()


def test_tenant_is_made_by_its_service(cast: Cast) -> None:
    before = control_plane_version()
    form = {"name": "Wealth", "slug": "wealth", "time_zone": "Europe/Paris", "residency": "[]", "retention_days": 30}
    answer = cast.client("sam").post(url("tenant", "add"), form)
    assert answer.status_code == 302, answer.context["adminform"].form.errors
    assert Tenant.objects.unscoped("test").get(slug="wealth").time_zone == "Europe/Paris"
    assert last_action() == ("tenant.created", "sam@bank.test")
    assert control_plane_version() == before + 1
    assert audit.verify().ok


def test_refusal_of_the_service_stands_beside_its_field(cast: Cast) -> None:
    form = {"name": "Wealth", "slug": "wealth", "time_zone": "Mars/Olympus", "residency": "[]", "retention_days": 30}
    answer = cast.client("sam").post(url("tenant", "add"), form)
    assert answer.status_code == 200
    assert "time_zone" in answer.context["adminform"].form.errors
    assert not Tenant.objects.unscoped("test").filter(slug="wealth").exists()


def test_tenant_is_changed_by_its_service(cast: Cast) -> None:
    form = {
        "name": "Retail",
        "time_zone": "UTC",
        "residency": '["eu-west-1"]',
        "retention_days": 7,
        "cost_center": "C1",
    }
    answer = cast.client("sam").post(url("tenant", "change", cast.retail.pk), form)
    assert answer.status_code == 302, answer.context["adminform"].form.errors
    tenant = Tenant.objects.unscoped("test").get(pk=cast.retail.pk)
    assert (tenant.name, tenant.residency, tenant.retention_days, tenant.slug) == ("Retail", ["eu-west-1"], 7, "retail")
    assert last_action()[0] == "tenant.updated"


def test_suspension_asks_for_a_reason_and_takes_a_post(cast: Cast) -> None:
    client = cast.client("sam")
    address = reverse("admin:tenants_tenant_suspend", args=[cast.retail.pk])
    assert client.get(address).status_code == 200
    assert client.post(address, {"_form_submitted": "on", "reason": ""}).status_code == 200
    cast.retail.refresh_from_db()
    assert cast.retail.status == TenantStatus.ACTIVE
    assert client.post(address, {"_form_submitted": "on", "reason": "unpaid"}).status_code == 302
    cast.retail.refresh_from_db()
    assert cast.retail.status == TenantStatus.SUSPENDED


def test_engineer_cannot_suspend(cast: Cast) -> None:
    address = reverse("admin:tenants_tenant_suspend", args=[cast.retail.pk])
    assert cast.client("erin").post(address, {"_form_submitted": "on", "reason": "x"}).status_code == 403
    cast.retail.refresh_from_db()
    assert cast.retail.status == TenantStatus.ACTIVE


def test_project_member_limit_and_budget_are_made_by_their_services(cast: Cast) -> None:
    client = cast.client("sam")
    form: dict[str, object] = {"tenant": cast.retail.pk, "name": "Batch", "slug": "batch"}
    form |= {"environment": "prod", "content_percent": "0"}
    assert client.post(url("project", "add"), form).status_code == 302
    project = Project.objects.unscoped("test").get(slug="batch")
    form = {"tenant": cast.retail.pk, "user": cast.nora.pk, "role": Role.REVIEWER}
    assert client.post(url("membership", "add"), form).status_code == 302
    form = {"tenant": cast.retail.pk, "project": project.pk, "metric": "requests", "limit": 5, "window_seconds": 60}
    assert client.post(url("ratelimit", "add"), form).status_code == 302
    form = {
        "tenant": cast.retail.pk,
        "project": project.pk,
        "period": "month",
        "amount": "12.5",
        "thresholds": "[50]",
        "hard_stop": "on",
    }
    assert client.post(url("budget", "add"), form).status_code == 302
    assert RateLimit.objects.unscoped("test").get().limit == 5
    budget = Budget.objects.unscoped("test").get()
    assert budget.amount_picousd == money.to_picousd("12.5")
    assert "$12.50" in client.get(url("budget", "changelist")).content.decode()
    form = {"amount": "20", "thresholds": "[]", "hard_stop": "on"}
    assert client.post(url("budget", "change", budget.pk), form).status_code == 302
    budget.refresh_from_db()
    assert budget.amount_picousd == money.to_picousd("20")
    actions = set(AuditEntry.objects.unscoped("test").filter(actor=cast.sam).values_list("action", flat=True))
    assert actions == {"project.created", "member.added", "limit.created", "budget.created", "budget.updated"}


def test_limit_of_a_foreign_project_is_refused(cast: Cast) -> None:
    form = {
        "tenant": cast.retail.pk,
        "project": cast.triage.pk,
        "metric": "requests",
        "limit": 5,
        "window_seconds": 60,
    }
    answer = cast.client("sam").post(url("ratelimit", "add"), form)
    assert answer.status_code == 200
    assert "project" in answer.context["adminform"].form.errors


def test_deletions_are_audited_one_by_one_also_in_bulk(cast: Cast) -> None:
    furnish(cast)
    client = cast.client("sam")
    limit = RateLimit.objects.unscoped("test").get()
    assert client.post(url("ratelimit", "delete", limit.pk), {"post": "yes"}).status_code == 302
    assert last_action()[0] == "limit.deleted"
    members = list(Membership.objects.for_tenant(cast.retail).filter(user__in=[cast.rita, cast.victor]))
    form = {"action": "delete_selected", "_selected_action": [each.pk for each in members], "post": "yes"}
    assert client.post(url("membership", "changelist"), form).status_code == 302
    assert AuditEntry.objects.unscoped("test").filter(action="member.removed").count() == 2
    assert audit.verify().ok


def test_user_is_made_promoted_and_deactivated_by_services(cast: Cast) -> None:
    client = cast.client("sam")
    form = {"email": "new@bank.test", "name": "New", "platform_role": "", "password": ""}
    answer = client.post(url("user", "add"), form)
    assert answer.status_code == 302, answer.context["adminform"].form.errors
    user = User.objects.get(email="new@bank.test")
    assert not user.has_usable_password()
    assert not user.is_staff
    form = {"name": "New", "platform_role": PlatformRole.SERVICE_ENGINEER}
    assert client.post(url("user", "change", user.pk), form).status_code == 302
    user.refresh_from_db()
    assert (user.platform_role, user.is_staff, user.is_superuser) == ("service_engineer", True, False)
    address = reverse("admin:tenants_user_deactivate", args=[user.pk])
    assert client.post(address, {"_form_submitted": "on"}).status_code == 302
    user.refresh_from_db()
    assert not user.is_active


def test_flags_of_the_user_cannot_be_smuggled_in(cast: Cast) -> None:
    form = {"name": "Victor", "platform_role": "", "is_superuser": "on", "is_staff": "on", "session_epoch": "0"}
    assert cast.client("sam").post(url("user", "change", cast.victor.pk), form).status_code == 302
    cast.victor.refresh_from_db()
    assert (cast.victor.is_superuser, cast.victor.is_staff) == (False, False)


def test_last_service_admin_stays(cast: Cast) -> None:
    form = {"name": "Sam", "platform_role": ""}
    answer = cast.client("sam").post(url("user", "change", cast.sam.pk), form)
    assert "last service admin" in answer.content.decode()
    cast.sam.refresh_from_db()
    assert cast.sam.platform_role == PlatformRole.SERVICE_ADMIN


def test_lists_cost_the_same_queries_for_3_rows_and_50(cast: Cast) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    client = cast.client("sam")

    def cost() -> int:
        with CaptureQueriesContext(connection) as queries:
            client.get(url("apikey", "changelist"))
        return len(queries)

    def add(first: int, last: int) -> None:
        ApiKey.objects.bulk_create(
            [
                ApiKey(project=cast.chat, name=f"k{n}", prefix=f"bulk{n:06}", secret_hmac="0" * 64, created_by=cast.bob)
                for n in range(first, last)
            ]
        )

    add(0, 3)
    few = cost()
    add(3, 45)
    assert cost() == few
