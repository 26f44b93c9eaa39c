"""A monitor in five questions. The rules live in the service."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms
from django.utils import timezone

from apps.evaluation.models import Monitor, Scorer
from apps.evaluation.services.monitors import LEAST_SAMPLED, MOST_SAMPLED, MonitorFacts, can_watch
from apps.evaluation.types import Baseline, ControlChart, MonitorWindow
from apps.gateway.routing.selectors import routes_for
from apps.models.selectors import callable_models_for
from apps.models.types import ModelKind
from apps.prompts.models import Prompt
from apps.prompts.types import DEFAULT_LABEL
from apps.tenants.access import Actor
from apps.tenants.models import Membership, Tenant
from apps.tenants.selectors import projects_for
from apps.tenants.types import Environment

MOMENT = "%Y-%m-%dT%H:%M"
WATCHED = ("prompt", "environment", "label", "model")
FIRST_PERIOD = timedelta(days=7)


def _moment(label: str) -> forms.DateTimeField:
    return forms.DateTimeField(
        label=label, required=False, widget=forms.DateTimeInput(format=MOMENT, attrs={"type": "datetime-local"})
    )


class MonitorForm(forms.Form):
    """``facts()`` is what a valid form asks for. What a monitor watches stays: of one that is there it is not asked."""

    name = forms.CharField(max_length=200, help_text="What its mails and its page are called.")
    prompt = forms.ChoiceField(required=False, help_text="Each version that the label means is sampled for itself.")
    environment = forms.ChoiceField(choices=[*reversed(Environment.choices)], initial=Environment.PROD)
    label = forms.CharField(max_length=50, initial=DEFAULT_LABEL)
    model = forms.ChoiceField(
        label="Or a model or route", required=False, help_text="By the name that applications call it by."
    )
    scorers = forms.MultipleChoiceField(widget=forms.CheckboxSelectMultiple)
    project = forms.ChoiceField(help_text="Judges are called in it, within its limits and budgets.")
    window_minutes = forms.TypedChoiceField(
        label="Checked", choices=MonitorWindow.choices, coerce=int, initial=MonitorWindow.HOUR
    )
    sample_size = forms.IntegerField(
        label="Sample",
        min_value=LEAST_SAMPLED,
        max_value=MOST_SAMPLED,
        initial=50,
        help_text="The most requests of each window that are scored.",
    )
    minimum_sample = forms.IntegerField(
        label="At least",
        min_value=LEAST_SAMPLED,
        max_value=MOST_SAMPLED,
        initial=20,
        help_text="A window with fewer tells nothing, and alerts nobody.",
    )
    baseline = forms.ChoiceField(
        label="Compared with",
        choices=[
            (Baseline.RELEASE, "The version released before; beside a canary, the main version (prompts only)"),
            (Baseline.PERIOD, "A period that was good"),
        ],
        widget=forms.RadioSelect,
        initial=Baseline.PERIOD,
    )
    baseline_since = _moment("The period began")
    baseline_until = _moment("And ended")
    chart = forms.ChoiceField(
        label="Kind of limits",
        choices=[
            (ControlChart.SHEWHART, "Each check by itself: sees a sudden change at once (Shewhart)"),
            (ControlChart.EWMA, "The moving average of the checks: sees a small change that lasts (EWMA)"),
        ],
        widget=forms.RadioSelect,
        initial=ControlChart.SHEWHART,
    )
    sigmas = forms.FloatField(
        label="Width of the limits",
        min_value=1,
        max_value=6,
        initial=3.0,
        help_text="Standard errors from the baseline's mean. With 3 a scorer cries wolf once in 740 checks, with 2"
        " once in 44.",
    )
    recipients = forms.MultipleChoiceField(label="Told by mail", required=False, widget=forms.CheckboxSelectMultiple)
    webhook_url = forms.CharField(
        label="Webhook",
        required=False,
        max_length=500,
        widget=forms.URLInput(attrs={"placeholder": "https://alerts.example.com/lobby"}),
        help_text="Is sent the figures, signed, and never what a request said. Its secret is shown once, when"
        " you save.",
    )
    rolls_back = forms.BooleanField(
        required=False,
        label="Take a canary off its label when it leaves its limits",
        help_text="The label goes back to its release before, with the reason. A version that has all calls is"
        " left alone.",
    )

    def __init__(self, data: Any = None, *, actor: Actor, tenant: Tenant, monitor: Monitor | None = None, **given: Any):
        super().__init__(data, initial=_initial(monitor) | given)
        self.monitor = monitor
        self._projects = {row.slug: row for row in projects_for(actor, tenant).filter(is_active=True).order_by("name")}
        self._prompts = {
            row.slug: row
            for row in Prompt.objects.for_actor(actor).filter(tenant=tenant, is_archived=False).order_by("name")
        }
        rows = Scorer.objects.for_actor(actor).filter(tenant=tenant, is_archived=False).select_related("tenant")
        self._scorers = {row.slug: row for row in rows.order_by("name") if can_watch(row.kind)}
        members = Membership.objects.for_actor(actor).filter(tenant=tenant, user__is_active=True).select_related("user")
        self._people = {str(row.user_id): row.user for row in members.order_by("user__name", "user__email")}
        self._choices("project", [(slug, row.name) for slug, row in self._projects.items()])
        self._choices("scorers", [(slug, row.name) for slug, row in self._scorers.items()])
        self._choices("recipients", [(pk, f"{user} ({user.email})") for pk, user in self._people.items()])
        if monitor is not None:
            for name in WATCHED:
                del self.fields[name]
            return
        self._choices(
            "prompt", [("", "None: a model or a route"), *((slug, row.name) for slug, row in self._prompts.items())]
        )
        models = callable_models_for(actor, tenant).filter(kind=ModelKind.CHAT).order_by("name")
        routes = routes_for(actor).filter(is_enabled=True)
        names = [(row.slug, row.name) for row in models]
        names += [(row.slug, f"{row.name} (route)") for row in routes if row.tenant_id in (None, tenant.pk)]
        self._choices("model", [("", "None: a prompt"), *names])

    def _choices(self, name: str, choices: list[tuple[str, str]]) -> None:
        field = self.fields[name]
        assert isinstance(field, forms.ChoiceField)
        field.choices = choices

    @property
    def lacks(self) -> str:
        """What has to be there first; empty where nothing is wanting."""
        if not self._projects:
            return "project"
        return "" if self._scorers else "scorers"

    @property
    def scorer_rows(self) -> list[tuple[Scorer, bool]]:
        """(scorer, whether it is chosen)."""
        chosen = set(map(str, self["scorers"].value() or []))
        return [(row, slug in chosen) for slug, row in self._scorers.items()]

    def facts(self) -> MonitorFacts:
        values = dict(self.cleaned_data)
        values["project"] = self._projects[values["project"]]
        values["scorers"] = [self._scorers[slug] for slug in values["scorers"]]
        values["recipients"] = [self._people[pk] for pk in values["recipients"]]
        if self.monitor is None:
            values["prompt"] = self._prompts.get(values["prompt"])
        else:
            values |= {name: getattr(self.monitor, name) for name in WATCHED}
        return MonitorFacts(**values)


def _initial(monitor: Monitor | None) -> dict[str, Any]:
    if monitor is None:
        now = timezone.now().replace(second=0, microsecond=0)
        return {"baseline_since": now - FIRST_PERIOD, "baseline_until": now}
    names = (
        "name",
        "window_minutes",
        "sample_size",
        "minimum_sample",
        "baseline",
        "baseline_since",
        "baseline_until",
        "chart",
        "sigmas",
        "webhook_url",
        "rolls_back",
    )
    return {name: getattr(monitor, name) for name in names} | {
        "project": monitor.project.slug,
        "scorers": [each.slug for each in monitor.scorers.all()],
        "recipients": [str(each.pk) for each in monitor.recipients.all()],
    }
