"""The shape of what the pages of plans and gates take. The rules live in the services."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django import forms

from apps.evaluation.models import Dataset, EvaluationPlan, Scorer
from apps.evaluation.services.plans import PlanFacts, PlannedMetric, may_approve, tenant_of
from apps.evaluation.types import MetricRole, ReleasePolicy, Split
from apps.gateway.models import Route
from apps.prompts.models import Prompt
from apps.prompts.types import DEFAULT_LABEL
from apps.tenants.models import Project, User
from apps.tenants.money import to_picousd, to_usd
from apps.tenants.types import Environment

# What differs on a route's plan: there revisions are decided about, and what they are compared with is in force.
ROUTE_HELP = {
    "split": "Of the dataset's examples; the test split is the one that nothing was tuned on.",
    "approvals_needed": "Never counting the revision's author.",
    "approvers": "Nobody chosen: every developer, data scientist and tenant admin. Never the revision's author.",
    "alpha": "The most often that an even revision may be put in force, as a share.",
    "most_cost_ratio": "Times that of the revision in force, for example 1.2.",
    "most_latency_ratio": "Times that of the revision in force.",
}
SPARE_ROWS = 2
LEAST_ROWS = 3


class PlanForm(forms.Form):
    dataset: forms.ModelChoiceField[Dataset] = forms.ModelChoiceField(
        queryset=None, to_field_name="slug", help_text="Its newest version counts at the time of the gate."
    )
    split = forms.ChoiceField(
        choices=[*Split.choices, ("", "All examples")],
        required=False,
        help_text="Prompts are tuned on the development split; a gate that asks it again flatters.",
    )
    project: forms.ModelChoiceField[Project] = forms.ModelChoiceField(
        queryset=None, to_field_name="slug", help_text="Calls are made in it, within its budgets and limits."
    )
    model = forms.CharField(
        max_length=200,
        required=False,
        help_text="A model's or a route's name; empty means the version's own.",
    )
    environment = forms.ChoiceField(choices=[*reversed(Environment.choices)])
    label = forms.CharField(
        max_length=50,
        initial=DEFAULT_LABEL,
        help_text="A new version is compared with what this label means there.",
    )
    policy = forms.ChoiceField(choices=ReleasePolicy.choices, initial=ReleasePolicy.APPROVAL)
    approvals_needed = forms.IntegerField(
        initial=1,
        min_value=1,
        max_value=5,
        help_text="Never counting the version's author.",
    )
    approvers: forms.ModelMultipleChoiceField[User] = forms.ModelMultipleChoiceField(
        queryset=None,
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="Nobody chosen: every developer, data scientist and tenant admin. Never the version's author.",
    )
    canary_percent = forms.IntegerField(
        initial=100,
        min_value=1,
        max_value=100,
        label="Share of the calls",
        help_text="What the first release gets, in %. It is widened with one click.",
    )
    runs_by_itself = forms.BooleanField(required=False, initial=True, label="On every new version")
    repetitions = forms.IntegerField(
        initial=1,
        min_value=1,
        max_value=20,
        help_text="Answers to each example; two or more measure the noise of the model itself.",
    )
    alpha = forms.FloatField(
        initial=0.05,
        min_value=0.0001,
        max_value=0.4,
        help_text="The most often that an even version may be released, as a share.",
    )
    minimum_pairs = forms.IntegerField(
        initial=30,
        min_value=2,
        help_text="Fewer examples with both answers give no verdict.",
    )
    most_cost_ratio = forms.FloatField(
        required=False,
        min_value=0.01,
        max_value=1000,
        label="Most cost",
        help_text="Times the released version's, for example 1.2.",
    )
    most_latency_ratio = forms.FloatField(
        required=False,
        min_value=0.01,
        max_value=1000,
        label="Most time",
        help_text="Times the released version's.",
    )
    budget_usd = forms.DecimalField(
        required=False,
        min_value=Decimal("0.000001"),
        max_digits=14,
        decimal_places=6,
        label="Budget",
        help_text="US dollars of one evaluation; it pauses before it costs more.",
    )

    def __init__(self, data: Any = None, *, owner: Prompt | Route, plan: EvaluationPlan | None) -> None:
        super().__init__(data, initial=_initial(owner, plan))
        tenant = tenant_of(owner)
        if isinstance(owner, Route):
            for name in ("model", "environment", "label", "canary_percent"):
                del self.fields[name]
            self.fields["runs_by_itself"].label = "On every change of its targets"
            for name, told in ROUTE_HELP.items():
                self.fields[name].help_text = told
        self._choose("dataset", Dataset.objects.for_tenant(tenant).filter(is_archived=False, monitor=None))
        self._choose("approvers", may_approve(tenant.pk))
        self._choose("project", Project.objects.for_tenant(tenant).filter(is_active=True))
        self.scorers = list(Scorer.objects.for_tenant(tenant).filter(is_archived=False).select_related("tenant"))
        self.rows = self._rows(plan)

    def _choose(self, name: str, rows: Any) -> None:
        field = self.fields[name]
        assert isinstance(field, forms.ModelChoiceField)
        field.queryset = rows

    def _rows(self, plan: EvaluationPlan | None) -> list[tuple[str, str, str]]:
        """(scorer, role, margin) of the form's metrics, with some that are empty."""
        if self.is_bound:
            names = [self.data.getlist(name) for name in ("scorer", "role", "margin")]  # type: ignore[attr-defined]
            rows = list(zip(*names, strict=False))
        else:
            metrics = [] if plan is None else plan.metrics.select_related("scorer")
            rows = [(each.scorer.slug, each.role, f"{each.margin:g}" if each.margin else "") for each in metrics]
        spare = max(SPARE_ROWS, LEAST_ROWS - len(rows))
        return [*rows, *[("", MetricRole.GUARD if rows or at else MetricRole.PRIMARY, "") for at in range(spare)]]

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        known = {each.slug: each for each in self.scorers}
        metrics = []
        for scorer, role, margin in self.rows:
            if not scorer:
                continue
            if scorer not in known:
                self.add_error(None, "There is no such scorer in use.")
                continue
            try:
                metrics.append(PlannedMetric(known[scorer], role, float(margin or 0)))
            except ValueError:
                self.add_error(None, f"The margin of {known[scorer].name} is no number.")
        values["metrics"] = metrics
        return values

    def facts(self) -> PlanFacts:
        values = dict(self.cleaned_data)
        budget = values.pop("budget_usd")
        return PlanFacts(**values, budget_picousd=None if budget is None else to_picousd(str(budget)))


def _initial(owner: Prompt | Route, plan: EvaluationPlan | None) -> dict[str, Any]:
    if plan is None:
        if isinstance(owner, Route):
            return {"split": Split.TEST}
        made_for = Dataset.objects.for_tenant(owner.tenant).filter(prompt=owner, is_archived=False, monitor=None)
        dataset = made_for.exclude(versions=None).order_by("pk").values_list("slug", flat=True).first()
        return {"split": Split.TEST, "environment": Environment.PROD, "dataset": dataset}
    names = (
        "split",
        "model",
        "environment",
        "label",
        "policy",
        "approvals_needed",
        "canary_percent",
        "runs_by_itself",
        "repetitions",
        "alpha",
        "minimum_pairs",
        "most_cost_ratio",
        "most_latency_ratio",
    )
    budget = None if plan.budget_picousd is None else to_usd(plan.budget_picousd)
    return {name: getattr(plan, name) for name in names} | {
        "dataset": plan.dataset.slug,
        "project": plan.project.slug,
        "approvers": list(plan.approvers.values_list("pk", flat=True)),
        "budget_usd": budget,
    }
