"""The tenants' tables in the admin, and those of sign-in."""

from __future__ import annotations

from typing import Any

from allauth.account.models import EmailAddress
from allauth.socialaccount.models import SocialAccount, SocialApp, SocialToken
from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django import forms
from django.contrib import admin
from django.contrib.auth.models import Group
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django_celery_beat.models import ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask, SolarSchedule
from django_celery_results.models import GroupResult, TaskResult
from unfold.contrib.filters.admin import RangeDateTimeFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.forms import BaseDialogForm
from unfold.widgets import UnfoldAdminDecimalFieldWidget, UnfoldAdminPasswordWidget, UnfoldAdminTextareaWidget

from apps.tenants import apikeys, money, services
from apps.tenants.access import Actor
from apps.tenants.admin_base import LobbyModelAdmin, ReadOnlyAdmin, ServiceForm, usd
from apps.tenants.models import ApiKey, AuditEntry, Budget, Membership, Project, RateLimit, Tenant, User
from apps.tenants.types import PlatformRole

STATUS_TONES = {
    "active": "success",
    "onboarding": "info",
    "suspended": "danger",
    "offboarded": "warning",
    "revoked": "danger",
    "expired": "warning",
}


class ReasonForm(BaseDialogForm):  # type: ignore[misc]
    reason = forms.CharField(max_length=500, widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}))


def _dialog(title: str, description: str, submit: str, form_class: Any = BaseDialogForm) -> dict[str, Any]:
    return {"title": title, "description": description, "form_submit_text": submit, "form_class": form_class}


@admin.register(Tenant)
class TenantAdmin(LobbyModelAdmin[Tenant]):
    manage_action = "tenant.create"
    list_display = ["name", "slug", "status_shown", "cost_center", "time_zone", "retention_days", "created_at"]
    list_filter = ["status", "time_zone"]
    search_fields = ["name", "slug", "cost_center"]
    readonly_fields = ["status", "created_at"]
    fieldsets = [
        (None, {"fields": ["name", "slug", "status", "cost_center"]}),
        ("Rules", {"fields": ["time_zone", "residency", "retention_days", "copies_feedback"]}),
        ("Look", {"fields": ["brand_color", "created_at"]}),
    ]
    actions_detail = ["suspend", "reactivate", "offboard"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return [*super().get_readonly_fields(request, obj), *(["slug"] if obj else [])]

    @display(description="Status", label=STATUS_TONES, ordering="status")
    def status_shown(self, row: Tenant) -> str:
        return row.status

    def create(self, actor: Actor, form: Any) -> Tenant:
        return services.create_tenant(actor=actor, **form.cleaned_data)

    def update(self, actor: Actor, row: Tenant, form: Any) -> Tenant:
        return services.update_tenant(actor=actor, tenant=row, **form.cleaned_data)

    def has_suspend_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return self._manages(request)

    @action(
        description="Suspend",
        permissions=["suspend"],
        variant=ActionVariant.DANGER,
        dialog=_dialog("Suspend this tenant?", "Its calls are refused within a second.", "Suspend", ReasonForm),
    )
    def suspend(self, request: HttpRequest, form: Any, object_id: int) -> HttpResponse:
        tenant = self.get_queryset(request).get(pk=object_id)
        return self.act_from_dialog(
            request,
            f"{tenant} is suspended.",
            lambda actor: services.suspend_tenant(actor=actor, tenant=tenant, reason=form.cleaned_data["reason"]),
        )

    @action(
        description="Reactivate",
        permissions=["suspend"],
        dialog=_dialog("Reactivate this tenant?", "Its keys work again.", "Reactivate"),
    )
    def reactivate(self, request: HttpRequest, form: Any, object_id: int) -> HttpResponse:
        tenant = self.get_queryset(request).get(pk=object_id)
        return self.act_from_dialog(
            request, f"{tenant} is active.", lambda actor: services.reactivate_tenant(actor=actor, tenant=tenant)
        )

    @action(
        description="Offboard",
        permissions=["suspend"],
        variant=ActionVariant.DANGER,
        dialog=_dialog(
            "Offboard this tenant for good?", "Every key is revoked and its members lose sight of it.", "Offboard"
        ),
    )
    def offboard(self, request: HttpRequest, form: Any, object_id: int) -> HttpResponse:
        tenant = self.get_queryset(request).get(pk=object_id)
        return self.act_from_dialog(
            request, f"{tenant} is offboarded.", lambda actor: services.offboard_tenant(actor=actor, tenant=tenant)
        )


@admin.register(Project)
class ProjectAdmin(LobbyModelAdmin[Project]):
    manage_action = "project.create"
    list_display = ["name", "tenant", "slug", "environment", "is_active", "created_at"]
    list_filter = ["environment", "is_active", "tenant"]
    list_select_related = ["tenant"]
    search_fields = ["name", "slug", "tenant__name", "tenant__slug"]
    autocomplete_fields = ["tenant"]
    readonly_fields = ["is_active", "created_at"]
    actions_detail = ["archive", "restore"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return [*super().get_readonly_fields(request, obj), *(["tenant", "slug"] if obj else [])]

    def create(self, actor: Actor, form: Any) -> Project:
        return services.create_project(actor=actor, **form.cleaned_data)

    def update(self, actor: Actor, row: Project, form: Any) -> Project:
        return services.update_project(actor=actor, project=row, **form.cleaned_data)

    def has_archive_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return self._manages(request)

    @action(
        description="Archive",
        permissions=["archive"],
        variant=ActionVariant.DANGER,
        dialog=_dialog("Archive this project?", "Its keys are refused within a second.", "Archive"),
    )
    def archive(self, request: HttpRequest, form: Any, object_id: int) -> HttpResponse:
        project = self.get_queryset(request).get(pk=object_id)
        return self.act_from_dialog(
            request, f"{project} is archived.", lambda actor: services.archive_project(actor=actor, project=project)
        )

    @action(
        description="Restore",
        permissions=["archive"],
        dialog=_dialog("Restore this project?", "Its keys work again.", "Restore"),
    )
    def restore(self, request: HttpRequest, form: Any, object_id: int) -> HttpResponse:
        project = self.get_queryset(request).get(pk=object_id)
        return self.act_from_dialog(
            request, f"{project} is restored.", lambda actor: services.restore_project(actor=actor, project=project)
        )


@admin.register(Membership)
class MembershipAdmin(LobbyModelAdmin[Membership]):
    manage_action = "member.manage"
    deletes = True
    list_display = ["user", "tenant", "role", "created_at"]
    list_filter = ["role", "tenant"]
    list_select_related = ["user", "tenant"]
    search_fields = ["user__email", "user__name", "tenant__name", "tenant__slug"]
    autocomplete_fields = ["tenant", "user"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ["tenant", "user"] if obj else []

    def create(self, actor: Actor, form: Any) -> Membership:
        return services.add_member(actor=actor, **form.cleaned_data)

    def update(self, actor: Actor, row: Membership, form: Any) -> Membership:
        return services.change_member_role(actor=actor, membership=row, role=form.cleaned_data["role"])

    def remove(self, actor: Actor, row: Membership) -> None:
        services.remove_member(actor=actor, membership=row)


class UserForm(ServiceForm):
    password = forms.CharField(
        required=False,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
        help_text="Empty: they come in by single sign-on, or choose one through “forgot password”.",
    )


@admin.register(User)
class UserAdmin(LobbyModelAdmin[User]):
    view_action = "user.view"
    manage_action = "user.manage"
    form = UserForm
    list_display = ["email", "name", "platform_role_shown", "is_active", "last_login", "date_joined"]
    list_filter = ["platform_role", "is_active"]
    search_fields = ["email", "name"]
    ordering = ["email"]
    readonly_fields = ["is_active", "last_login", "date_joined"]
    actions_detail = ["deactivate", "reactivate"]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None:
            return ["email", "name", "platform_role", "password"]
        return ["email", "name", "platform_role", "is_active", "last_login", "date_joined"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return [*super().get_readonly_fields(request, obj), *(["email"] if obj else [])]

    @display(description="Platform role", label={"Service admin": "danger", "Service engineer": "info"})
    def platform_role_shown(self, row: User) -> str:
        return str(PlatformRole(row.platform_role).label) if row.platform_role else ""

    def create(self, actor: Actor, form: Any) -> User:
        data = form.cleaned_data
        return services.create_user(
            actor=actor,
            email=data["email"],
            name=data["name"],
            platform_role=data["platform_role"],
            password=data["password"] or None,
        )

    def update(self, actor: Actor, row: User, form: Any) -> User:
        fresh = User.objects.get(pk=row.pk)
        services.update_user(actor=actor, user=fresh, name=form.cleaned_data["name"])
        return services.set_platform_role(actor=actor, user=fresh, platform_role=form.cleaned_data["platform_role"])

    def has_deactivate_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return self._manages(request)

    @action(
        description="Deactivate",
        permissions=["deactivate"],
        variant=ActionVariant.DANGER,
        dialog=_dialog("Deactivate this user?", "Their sessions end at once.", "Deactivate"),
    )
    def deactivate(self, request: HttpRequest, form: Any, object_id: int) -> HttpResponse:
        user = User.objects.get(pk=object_id)
        return self.act_from_dialog(
            request, f"{user} is deactivated.", lambda actor: services.deactivate_user(actor=actor, user=user)
        )

    @action(
        description="Reactivate",
        permissions=["deactivate"],
        dialog=_dialog("Reactivate this user?", "They can sign in again.", "Reactivate"),
    )
    def reactivate(self, request: HttpRequest, form: Any, object_id: int) -> HttpResponse:
        user = User.objects.get(pk=object_id)
        return self.act_from_dialog(
            request, f"{user} is active.", lambda actor: services.reactivate_user(actor=actor, user=user)
        )


@admin.register(ApiKey)
class ApiKeyAdmin(ReadOnlyAdmin[ApiKey]):
    """Looked at and revoked here; made under Keys, whose page shows the secret once."""

    manage_action = "apikey.revoke"
    list_display = ["name", "prefix_shown", "project", "tenant", "status_shown", "expires_at", "last_used_at"]
    list_filter = [("expires_at", RangeDateTimeFilter), ("revoked_at", admin.EmptyFieldListFilter), "project__tenant"]
    list_select_related = ["project__tenant", "created_by"]
    search_fields = ["name", "prefix", "project__name", "project__tenant__name"]
    exclude = ["secret_hmac"]
    actions_detail = ["revoke"]

    @display(description="Prefix", ordering="prefix")
    def prefix_shown(self, row: ApiKey) -> str:
        return format_html("<code>{}</code>", apikeys.shown(row.prefix))

    @display(description="Tenant", ordering="project__tenant__name")
    def tenant(self, row: ApiKey) -> str:
        return row.project.tenant.name

    @display(description="Status", label=STATUS_TONES)
    def status_shown(self, row: ApiKey) -> str:
        return row.status

    def has_revoke_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return self._manages(request)

    @action(
        description="Revoke",
        permissions=["revoke"],
        variant=ActionVariant.DANGER,
        dialog=_dialog("Revoke this key for good?", "Calls with it are refused within a second.", "Revoke", ReasonForm),
    )
    def revoke(self, request: HttpRequest, form: Any, object_id: int) -> HttpResponse:
        key = self.get_queryset(request).get(pk=object_id)
        return self.act_from_dialog(
            request,
            f"{key} is revoked.",
            lambda actor: services.revoke_api_key(actor=actor, api_key=key, reason=form.cleaned_data["reason"]),
        )


@admin.register(RateLimit)
class RateLimitAdmin(LobbyModelAdmin[RateLimit]):
    view_action = "limit.view"
    manage_action = "limit.manage"
    deletes = True
    list_display = ["__str__", "tenant", "project", "api_key", "user", "model"]
    list_filter = ["metric", "tenant"]
    list_select_related = ["tenant", "project", "api_key", "user"]
    search_fields = ["tenant__name", "project__name", "api_key__name", "model"]
    autocomplete_fields = ["tenant", "project", "api_key", "user"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ["tenant", "project", "api_key", "user", "model", "metric"] if obj else []

    def create(self, actor: Actor, form: Any) -> RateLimit:
        return services.set_rate_limit(actor=actor, **form.cleaned_data)

    def update(self, actor: Actor, row: RateLimit, form: Any) -> RateLimit:
        return services.update_rate_limit(actor=actor, rate_limit=row, **form.cleaned_data)

    def remove(self, actor: Actor, row: RateLimit) -> None:
        services.delete_rate_limit(actor=actor, rate_limit=row)


class BudgetForm(ServiceForm):
    """Dollars for people; the row has picodollars."""

    amount = forms.DecimalField(
        label="Amount in USD", min_value=0, max_digits=19, decimal_places=12, widget=UnfoldAdminDecimalFieldWidget
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            self.initial["amount"] = money.to_usd(self.instance.amount_picousd)


@admin.register(Budget)
class BudgetAdmin(LobbyModelAdmin[Budget]):
    view_action = "budget.view"
    manage_action = "budget.manage"
    deletes = True
    form = BudgetForm
    list_display = ["tenant", "project", "api_key", "period", "amount", "hard_stop"]
    list_filter = ["period", "hard_stop", "tenant"]
    list_select_related = ["tenant", "project", "api_key"]
    search_fields = ["tenant__name", "project__name", "api_key__name"]
    autocomplete_fields = ["tenant", "project", "api_key"]
    fields = ["tenant", "project", "api_key", "period", "amount", "thresholds", "hard_stop"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        if not self._manages(request):
            return ["tenant", "project", "api_key", "period", "amount_shown", "thresholds", "hard_stop"]
        return ["tenant", "project", "api_key", "period"] if obj else []

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fields = ["tenant", "project", "api_key", "period", "amount", "thresholds", "hard_stop"]
        return fields if self._manages(request) else [f"{f}_shown" if f == "amount" else f for f in fields]

    @display(description="Amount", ordering="amount_picousd")
    def amount(self, row: Budget) -> str:
        return usd(row.amount_picousd)

    @display(description="Amount")
    def amount_shown(self, row: Budget) -> str:
        return usd(row.amount_picousd)

    @staticmethod
    def _values(form: Any) -> dict[str, Any]:
        data = dict(form.cleaned_data)
        data["amount_picousd"] = money.to_picousd(data.pop("amount"))
        return data

    def create(self, actor: Actor, form: Any) -> Budget:
        return services.set_budget(actor=actor, **self._values(form))

    def update(self, actor: Actor, row: Budget, form: Any) -> Budget:
        return services.update_budget(actor=actor, budget=row, **self._values(form))

    def remove(self, actor: Actor, row: Budget) -> None:
        services.delete_budget(actor=actor, budget=row)


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin[AuditEntry]):
    view_action = "audit.view"
    list_display = ["sequence", "at", "actor_label", "action", "target_label", "tenant"]
    list_display_links = ["sequence"]
    list_filter = ["action", ("at", RangeDateTimeFilter), "tenant"]
    list_select_related = ["tenant"]
    search_fields = ["actor_label", "target_label", "action"]
    fields = [
        "sequence",
        "at",
        "tenant",
        "actor_label",
        "action",
        "target_type",
        "target_id",
        "target_label",
        "data",
        "previous_hash",
        "hash",
    ]


# What other packages register: themed, and by the platform's roles. Applications and tokens of sign-on hold secrets;
# when which job runs is in the settings, which a start goes by.
OF_OTHERS = (
    *(Group, SocialApp, SocialToken, EmailAddress, SocialAccount, AccessAttempt, AccessFailureLog, AccessLog),
    *(PeriodicTask, IntervalSchedule, CrontabSchedule, SolarSchedule, ClockedSchedule, TaskResult, GroupResult),
)
for model in OF_OTHERS:
    if admin.site.is_registered(model):
        admin.site.unregister(model)


@admin.register(SocialAccount)
class SocialAccountAdmin(ReadOnlyAdmin[SocialAccount]):
    """Who a user is at the identity provider: issuer + subject. Deleting it means that they must sign on anew."""

    view_action = "user.view"
    manage_action = "user.manage"
    deletes = True
    list_display = ["user", "uid", "last_login", "date_joined"]
    list_select_related = ["user"]
    search_fields = ["user__email", "uid"]
    fields = ["user", "provider", "uid", "last_login", "date_joined"]


@admin.register(AccessAttempt)
class AccessAttemptAdmin(ReadOnlyAdmin[AccessAttempt]):
    """Failed logins that count towards a lockout; deleting one lifts it."""

    view_action = "user.view"
    manage_action = "user.manage"
    deletes = True
    list_display = ["username", "ip_address", "failures_since_start", "attempt_time"]
    search_fields = ["username", "ip_address"]
    fields = ["username", "ip_address", "failures_since_start", "attempt_time", "user_agent"]


@admin.register(AccessLog)
class AccessLogAdmin(ReadOnlyAdmin[AccessLog]):
    view_action = "user.view"
    list_display = ["username", "ip_address", "attempt_time", "logout_time"]
    list_filter = [("attempt_time", RangeDateTimeFilter)]
    search_fields = ["username", "ip_address"]
    fields = ["username", "ip_address", "attempt_time", "logout_time", "user_agent"]


@admin.register(PeriodicTask)
class PeriodicTaskAdmin(ReadOnlyAdmin[PeriodicTask]):
    list_display = ["name", "interval", "crontab", "enabled", "last_run_at", "total_run_count"]
    list_filter = ["enabled"]
    list_select_related = ["interval", "crontab"]
    search_fields = ["name", "task"]
    fields = ["name", "task", "interval", "crontab", "enabled", "last_run_at", "total_run_count", "date_changed"]


@admin.register(TaskResult)
class TaskResultAdmin(ReadOnlyAdmin[TaskResult]):
    list_display = ["task_name", "status", "date_created", "date_done", "worker"]
    list_filter = ["status", ("date_created", RangeDateTimeFilter)]
    search_fields = ["task_id", "task_name"]
    fields = [
        *(
            "task_id",
            "task_name",
            "periodic_task_name",
            "status",
            "worker",
            "date_created",
            "date_started",
            "date_done",
        ),
        *("task_args", "task_kwargs", "result", "traceback"),
    ]
