"""The shapes of tenants, projects, members, keys, limits, budgets and audit entries at the management API.

``…Out`` is shown, ``New…`` creates, ``…Changes`` changes. What does not stand in an input cannot be written.
"""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from apps.tenants import apikeys
from apps.tenants.rest.fields import Choice, Flag, Input, Moment, Output, Text, Texts, Usd, Whole
from apps.tenants.services.api_keys import LONGEST_OVERLAP
from apps.tenants.services.limits import LONGEST_WINDOW_SECONDS, MOST
from apps.tenants.types import BudgetPeriod, Environment, Metric, PlatformRole, Role, Scope, TenantStatus

SLUG = "Lower-case letters, digits and hyphens."
PROJECT = "TENANT/PROJECT, for example claims/triage."


def project_label(project: Any) -> str | None:
    return None if project is None else f"{project.tenant.slug}/{project.slug}"


class TenantOut(Output):
    slug = serializers.CharField()
    name = serializers.CharField()
    status = serializers.ChoiceField(TenantStatus.choices)
    cost_center = serializers.CharField()
    time_zone = serializers.CharField()
    residency = serializers.ListField(child=serializers.CharField())
    retention_days = serializers.IntegerField()
    brand_color = serializers.CharField()
    copies_feedback = serializers.BooleanField()
    created_at = Moment()


class TenantChanges(Input):
    name = Text(max_length=200, required=False)
    cost_center = Text(max_length=50, allow_blank=True, required=False)
    time_zone = Text(max_length=64, required=False, help_text="An IANA name such as Europe/Paris.")
    residency = Texts(most=50, longest=30, required=False, help_text="Regions such as eu-central-1; empty means any.")
    retention_days = Whole(min_value=1, max_value=3653, required=False)
    brand_color = Text(max_length=7, allow_blank=True, required=False, help_text="As #4f46e5.")
    copies_feedback = Flag(
        required=False, help_text="Ratings of the playground may be copied, redacted, into rating sets for judges."
    )


class NewTenant(TenantChanges):
    slug = Text(max_length=50, help_text=SLUG)
    name = Text(max_length=200)
    status = Choice([TenantStatus.ONBOARDING, TenantStatus.ACTIVE], required=False)


class Reason(Input):
    reason = Text(max_length=500, allow_blank=True, required=False)


class NeededReason(Input):
    reason = Text(max_length=500)


class Nothing(Input):
    """No fields: the act needs none."""


class ProjectOut(Output):
    tenant = serializers.CharField(source="tenant.slug")
    slug = serializers.CharField()
    name = serializers.CharField()
    description = serializers.CharField()
    environment = serializers.ChoiceField(Environment.choices)
    strict_parameters = serializers.BooleanField()
    content_percent = serializers.IntegerField()
    is_active = serializers.BooleanField(help_text="False once archived.")
    created_at = Moment()


class ProjectChanges(Input):
    name = Text(max_length=200, required=False)
    description = Text(max_length=2000, allow_blank=True, required=False)
    environment = Choice(Environment.choices, required=False)
    strict_parameters = serializers.BooleanField(
        required=False, help_text="Refuse a call with a parameter that the model cannot take, rather than drop it."
    )
    content_percent = Whole(
        min_value=0,
        max_value=100,
        required=False,
        help_text="Of its requests, how many are kept with what they say, redacted, for monitors. For tenant admins.",
    )


class NewProject(ProjectChanges):
    tenant = Text(max_length=50)
    slug = Text(max_length=50, help_text=SLUG)
    name = Text(max_length=200)


class PersonOut(Output):
    id = serializers.IntegerField()
    email = serializers.EmailField()
    name = serializers.CharField()


class MemberOut(Output):
    tenant = serializers.CharField(source="tenant.slug")
    user = PersonOut()
    role = serializers.ChoiceField(Role.choices)
    created_at = Moment()


class MemberChanges(Input):
    role = Choice(Role.choices)


class NewMember(MemberChanges):
    tenant = Text(max_length=50)
    email = Text(max_length=254, help_text="Somebody new gets an invitation.")
    name = Text(max_length=200, allow_blank=True, required=False)


class KeyOut(Output):
    prefix = serializers.CharField(help_text="Names the key; it is no secret.")
    shown_as = serializers.SerializerMethodField()
    name = serializers.CharField()
    project = serializers.SerializerMethodField(help_text=PROJECT)
    scopes = serializers.ListField(child=serializers.ChoiceField(Scope.choices))
    allowed_models = serializers.ListField(child=serializers.CharField(), help_text="Empty: all that are granted.")
    cidrs = serializers.ListField(child=serializers.CharField(), help_text="Empty: from anywhere.")
    is_usable = serializers.BooleanField()
    expires_at = Moment(allow_null=True)
    revoked_at = Moment(allow_null=True)
    last_used_at = Moment(allow_null=True)
    created_at = Moment()
    created_by = serializers.SerializerMethodField()

    def get_shown_as(self, row: Any) -> str:
        return apikeys.shown(row.prefix)

    def get_project(self, row: Any) -> str:
        return project_label(row.project) or ""

    def get_created_by(self, row: Any) -> str | None:
        return row.created_by.email if row.created_by else None


class IssuedKeyOut(Output):
    api_key = serializers.CharField(source="plaintext", help_text="The key itself: shown now and never again.")
    aws_access_key_id = serializers.CharField(help_text="For AWS SDKs, which sign: the pair that stands for the key.")
    aws_secret_access_key = serializers.CharField(help_text="Shown now and never again.")
    key = KeyOut(source="api_key")


class NewKey(Input):
    project = Text(max_length=101, help_text=PROJECT)
    name = Text(max_length=100)
    scopes = serializers.ListField(
        child=Choice(Scope.choices), required=False, allow_empty=False, max_length=10, help_text="Default: inference."
    )
    allowed_models = Texts(required=False, help_text="Empty: all that are granted.")
    cidrs = Texts(longest=50, required=False, help_text="Networks it may be used from; empty means any.")
    expires_at = Moment(required=False, allow_null=True)


class Rotation(Input):
    overlap_hours = Whole(
        min_value=0,
        max_value=int(LONGEST_OVERLAP.total_seconds() // 3600),
        required=False,
        help_text="How long the old key goes on working; default 24.",
    )


class LimitOut(Output):
    id = serializers.IntegerField()
    tenant = serializers.CharField(source="tenant.slug")
    project = serializers.SerializerMethodField(help_text=PROJECT)
    key = serializers.SerializerMethodField(help_text="The prefix of an API key.")
    user = serializers.SerializerMethodField(help_text="A member's e-mail address.")
    model = serializers.CharField(help_text="Empty: every model.")
    metric = serializers.ChoiceField(Metric.choices)
    limit = serializers.IntegerField()
    window_seconds = serializers.IntegerField(help_text="Without meaning for concurrency.")
    created_at = Moment()

    def get_project(self, row: Any) -> str | None:
        return None if row.project is None else f"{row.tenant.slug}/{row.project.slug}"

    def get_key(self, row: Any) -> str | None:
        return row.api_key.prefix if row.api_key else None

    def get_user(self, row: Any) -> str | None:
        return row.user.email if row.user else None


class LimitChanges(Input):
    limit = Whole(min_value=1, max_value=MOST, required=False)
    window_seconds = Whole(min_value=1, max_value=LONGEST_WINDOW_SECONDS, required=False)


class NewLimit(Input):
    tenant = Text(max_length=50)
    project = Text(max_length=50, required=False, allow_null=True, help_text="A project of the tenant, by its slug.")
    key = Text(max_length=20, required=False, allow_null=True, help_text="The prefix of an API key of the tenant.")
    user = Whole(min_value=1, max_value=2**63 - 1, required=False, allow_null=True, help_text="The id of a member.")
    model = Text(max_length=200, allow_blank=True, required=False, help_text="A model's name; empty: every model.")
    metric = Choice(Metric.choices)
    limit = Whole(min_value=1, max_value=MOST)
    window_seconds = Whole(min_value=1, max_value=LONGEST_WINDOW_SECONDS, required=False, help_text="Default 60.")


class BudgetOut(Output):
    id = serializers.IntegerField()
    tenant = serializers.CharField(source="tenant.slug")
    project = serializers.SerializerMethodField(help_text=PROJECT)
    key = serializers.SerializerMethodField(help_text="The prefix of an API key.")
    period = serializers.ChoiceField(BudgetPeriod.choices)
    amount_usd = Usd(source="amount_picousd")
    thresholds = serializers.ListField(child=serializers.IntegerField(), help_text="Percentages.")
    hard_stop = serializers.BooleanField()
    created_at = Moment()

    def get_project(self, row: Any) -> str | None:
        return None if row.project is None else f"{row.tenant.slug}/{row.project.slug}"

    def get_key(self, row: Any) -> str | None:
        return row.api_key.prefix if row.api_key else None


class BudgetChanges(Input):
    amount_usd = Usd(source="amount_picousd", required=False)
    thresholds = serializers.ListField(
        child=Whole(min_value=1, max_value=100), max_length=100, required=False, help_text="Percentages to warn at."
    )
    hard_stop = Flag(required=False, help_text="Refuse calls that the budget cannot cover. Default true.")


class NewBudget(BudgetChanges):
    tenant = Text(max_length=50)
    project = Text(max_length=50, required=False, allow_null=True, help_text="A project of the tenant, by its slug.")
    key = Text(max_length=20, required=False, allow_null=True, help_text="The prefix of an API key of the tenant.")
    period = Choice(BudgetPeriod.choices, required=False, help_text="Default month.")


class AuditOut(Output):
    sequence = serializers.IntegerField()
    at = Moment()
    tenant = serializers.SerializerMethodField()
    actor = serializers.CharField(source="actor_label")
    action = serializers.CharField()
    target_type = serializers.CharField()
    target_id = serializers.CharField()
    target = serializers.CharField(source="target_label")
    data = serializers.DictField()  # type: ignore[assignment]
    previous_hash = serializers.CharField()
    hash = serializers.CharField()

    def get_tenant(self, row: Any) -> str | None:
        return row.tenant.slug if row.tenant_id else None


class StandingOut(Output):
    tenant = serializers.CharField()
    name = serializers.CharField()
    status = serializers.ChoiceField(TenantStatus.choices)
    role = serializers.ChoiceField(Role.choices)

    def to_representation(self, instance: Any) -> dict[str, Any]:
        tenant, role = instance
        return {"tenant": tenant.slug, "name": tenant.name, "status": tenant.status, "role": role}


class MyKeyOut(Output):
    prefix = serializers.CharField()
    name = serializers.CharField()
    project = serializers.SerializerMethodField(help_text=PROJECT)
    scopes = serializers.ListField(child=serializers.ChoiceField(Scope.choices))

    def get_project(self, row: Any) -> str:
        return project_label(row.project) or ""


class MeOut(Output):
    kind = serializers.ChoiceField(["user", "api_key"])
    user = PersonOut(allow_null=True, help_text="The person, or a key's creator; null for a key of the command line.")
    platform_role = serializers.ChoiceField(PlatformRole.choices)
    key = MyKeyOut(allow_null=True)
    tenants = StandingOut(many=True)
