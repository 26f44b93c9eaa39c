"""The shape of what the tenants' pages take. The rules live in the services; ``add_domain_error`` shows theirs."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django import forms
from django.utils import timezone

from apps.tenants import access, money, selectors
from apps.tenants.access import Actor
from apps.tenants.errors import DomainError
from apps.tenants.models import Budget, Project, RateLimit, Tenant
from apps.tenants.types import BudgetPeriod, Environment, Metric, Role, Scope

LIFETIMES = [("30", "30 days"), ("90", "90 days"), ("365", "1 year"), ("never", "Never"), ("date", "On a date…")]
OVERLAPS = [("0", "At once"), ("1", "After 1 hour"), ("24", "After 24 hours"), ("168", "After 7 days")]
WINDOWS = [(60, "per minute"), (3600, "per hour"), (86400, "per day")]


def add_domain_error(form: forms.Form, error: DomainError) -> None:
    """Put a service's refusal beside the field that it is about, else above the form."""
    form.add_error(error.field if error.field in form.fields else None, str(error))


def _words(text: str) -> list[str]:
    return text.replace(",", " ").split()


class KeyForm(forms.Form):
    project: forms.ModelChoiceField[Project] = forms.ModelChoiceField(
        queryset=None, help_text="The application that will use it.", empty_label=None
    )
    name = forms.CharField(
        max_length=100,
        help_text="What it is for, for example “nightly batch” or “laptop of Ada”. You will see it in usage.",
    )
    scopes = forms.MultipleChoiceField(
        label="May", choices=Scope.choices, widget=forms.CheckboxSelectMultiple, initial=[Scope.INFERENCE]
    )
    lifetime = forms.ChoiceField(label="Expires", choices=LIFETIMES, initial="90")
    expires_on = forms.DateField(
        label="Last day",
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}),
        help_text="Only for “On a date…”. It works until the end of that day in the tenant's time zone.",
    )
    allowed_models = forms.CharField(
        label="Models",
        required=False,
        help_text="Names, separated by commas. Empty means every model that the project may call.",
    )
    cidrs = forms.CharField(
        label="Networks",
        required=False,
        help_text="Where it may be used from, for example 10.20.0.0/16. Empty means anywhere.",
    )

    def __init__(self, *args: Any, actor: Actor, tenant: Tenant, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        projects = selectors.projects_for(actor, tenant, "apikey.create").filter(is_active=True).order_by("name")
        self.fields["project"].queryset = projects  # type: ignore[attr-defined]
        granted = access.grantable_scopes(actor, tenant)
        self.fields["scopes"].choices = [  # type: ignore[attr-defined]
            (scope, f"{name} ({scope})") for scope, name in Scope.choices if scope in granted
        ]
        self._tenant = tenant

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        if data.get("lifetime") == "date" and not data.get("expires_on"):
            self.add_error("expires_on", "Choose the last day.")
        return data

    @property
    def expires_at(self) -> dt.datetime | None:
        lifetime = self.cleaned_data["lifetime"]
        if lifetime == "never":
            return None
        if lifetime == "date":
            import zoneinfo

            day = self.cleaned_data["expires_on"] + dt.timedelta(days=1)
            return dt.datetime.combine(day, dt.time(), zoneinfo.ZoneInfo(self._tenant.time_zone))
        return timezone.now() + dt.timedelta(days=int(lifetime))

    def values(self) -> dict[str, Any]:
        """What ``create_api_key`` takes."""
        data = self.cleaned_data
        return {
            "project": data["project"],
            "name": data["name"],
            "scopes": data["scopes"],
            "allowed_models": _words(data["allowed_models"]),
            "cidrs": _words(data["cidrs"]),
            "expires_at": self.expires_at,
        }


class RotateForm(forms.Form):
    overlap = forms.TypedChoiceField(label="The old key stops working", choices=OVERLAPS, coerce=int, initial="24")


class ProjectForm(forms.Form):
    name = forms.CharField(max_length=200, help_text="What people call the application.")
    slug = forms.SlugField(
        label="Short name",
        max_length=50,
        help_text="For URLs and the command line: lower-case letters, digits and hyphens. It cannot be changed later.",
    )
    environment = forms.ChoiceField(choices=Environment.choices, initial=Environment.DEV)
    description = forms.CharField(required=False, max_length=2000, widget=forms.Textarea(attrs={"rows": 3}))
    strict_parameters = forms.BooleanField(
        required=False,
        label="Refuse parameters that a model cannot take",
        help_text="Otherwise they are dropped, and named in the answer's header x-lobby-dropped-params.",
    )
    content_percent = forms.IntegerField(
        required=False,
        min_value=0,
        max_value=100,
        initial=0,
        label="Samples for monitors, in %",
        help_text="The share of requests of which question and answer are kept, for monitors to score, until the "
        "tenant's retention ends. Personal data is replaced first, and a request with “store”: false is never kept. "
        "0 keeps nothing. A tenant admin decides it.",
    )

    def clean_content_percent(self) -> int:
        return self.cleaned_data["content_percent"] or 0


class ProjectEditForm(ProjectForm):
    slug = None  # type: ignore[assignment]

    def __init__(self, *args: Any, may_consent: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Disabled, it keeps its value whatever is sent.
        self.fields["content_percent"].disabled = not may_consent


class MemberForm(forms.Form):
    email = forms.EmailField(
        label="E-mail", help_text="Somebody new gets an account and a mail that says how to come in."
    )
    name = forms.CharField(required=False, max_length=200)
    role = forms.ChoiceField(choices=Role.choices, initial=Role.DEVELOPER)


class RoleForm(forms.Form):
    role = forms.ChoiceField(choices=Role.choices)


class LimitForm(forms.Form):
    metric = forms.ChoiceField(
        label="Of what",
        choices=Metric.choices,
        help_text="A limit of the same thing, window and model is replaced.",
    )
    limit = forms.IntegerField(label="At most", min_value=1)
    window_seconds = forms.TypedChoiceField(
        label="Window", choices=WINDOWS, coerce=int, help_text="Concurrent requests have none."
    )
    model = forms.CharField(required=False, max_length=200, help_text="Only calls of this model. Empty means all.")


class BudgetForm(forms.Form):
    amount = forms.DecimalField(label="Amount in USD", min_value=0, max_digits=19, decimal_places=12)
    period = forms.ChoiceField(
        choices=BudgetPeriod.choices,
        initial=BudgetPeriod.MONTH,
        help_text="A budget of the same period is replaced.",
    )
    thresholds = forms.CharField(
        required=False,
        initial="50, 80, 100",
        help_text="Percentages at which the owners are told, separated by commas.",
    )
    hard_stop = forms.BooleanField(
        required=False, initial=True, label="Refuse requests that it cannot cover", help_text="Otherwise only warn."
    )

    def clean_thresholds(self) -> list[int]:
        words = _words(self.cleaned_data["thresholds"].replace("%", " "))
        if not all(word.isdigit() for word in words):
            raise forms.ValidationError("Write whole percentages, for example 50, 80, 100.")
        return [int(word) for word in words]

    def values(self) -> dict[str, Any]:
        """What ``set_budget`` takes."""
        data = self.cleaned_data
        return {
            "amount_picousd": money.to_picousd(data["amount"]),
            "period": data["period"],
            "thresholds": data["thresholds"],
            "hard_stop": data["hard_stop"],
        }

    @staticmethod
    def initial_of(budget: Budget) -> dict[str, Any]:
        return {
            "amount": money.to_usd(budget.amount_picousd),
            "period": budget.period,
            "thresholds": ", ".join(str(each) for each in budget.thresholds),
            "hard_stop": budget.hard_stop,
        }


def project_initial(project: Project) -> dict[str, Any]:
    return {
        "name": project.name,
        "environment": project.environment,
        "description": project.description,
        "strict_parameters": project.strict_parameters,
        "content_percent": project.content_percent,
    }


def limit_initial(row: RateLimit | None) -> dict[str, Any]:
    """What the form begins with where there is such a limit already: setting it replaces that one."""
    if row is None:
        return {}
    return {"metric": row.metric, "limit": row.limit, "window_seconds": row.window_seconds, "model": row.model}


def budget_initial(row: Budget | None) -> dict[str, Any]:
    """As ``limit_initial``."""
    if row is None:
        return {}
    return {
        "amount": f"{money.to_usd(row.amount_picousd).normalize():f}",
        "period": row.period,
        "thresholds": ", ".join(str(percent) for percent in row.thresholds),
        "hard_stop": row.hard_stop,
    }
