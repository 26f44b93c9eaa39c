"""A run in three choices: what, on which dataset, with which scorers. More of the first makes a sweep of it."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from django import forms

from apps.evaluation.errors import RunRefused
from apps.evaluation.models import ScorerVersion
from apps.evaluation.running.subjects import RECORDED
from apps.evaluation.scorers.suites import STANDARD, SUITES
from apps.evaluation.selectors import runs as selectors
from apps.evaluation.services.runs import MetricChoice, RunPlan
from apps.evaluation.services.suites import with_suite
from apps.evaluation.services.sweeps import Axes, plans_of
from apps.evaluation.types import Split
from apps.gateway.routing.selectors import routes_for
from apps.models.selectors import callable_models_for
from apps.models.types import ModelKind
from apps.prompts.models import PromptVersion
from apps.tenants.access import Actor
from apps.tenants.models import Project, Tenant
from apps.tenants.money import to_picousd
from apps.tenants.selectors import projects_for

NO_PROMPT = "The model alone, with the examples' own messages"


def _budget(label: str, help_text: str = "") -> forms.DecimalField:
    return forms.DecimalField(
        label=label,
        required=False,
        min_value=Decimal("0.000001"),
        max_digits=18,
        decimal_places=6,
        help_text=help_text,
    )


class ResumeForm(forms.Form):
    """``budget`` is a new bound, for a run that paused at its old one."""

    budget = _budget("New budget in US dollars")

    def budget_picousd(self) -> int | None:
        said = self.cleaned_data["budget"]
        return None if said is None else to_picousd(said)


class RunForm(forms.Form):
    """``plans()`` is what a valid form asks for: one run, or several that are one sweep."""

    prompt_version = forms.ChoiceField(label="Prompt", required=False)
    model = forms.ChoiceField(required=False, help_text="Left open: the model that the prompt's version names.")
    dataset_version = forms.ChoiceField(label="Dataset")
    split = forms.ChoiceField(
        required=False, choices=[("", "All examples"), *Split.choices], help_text="Prompts are tuned on development."
    )
    suite = forms.ChoiceField(
        required=False,
        choices=[("", "None"), *((each.slug, f"{each.title}: {each.description}") for each in SUITES.values())],
        help_text="A set of scorers, to which others may be added. Those that you do not have yet are set up.",
    )
    scorers = forms.MultipleChoiceField(required=False, widget=forms.CheckboxSelectMultiple)
    project = forms.ChoiceField(help_text="Its limits and budgets apply, and its ledger shows the calls.")
    name = forms.CharField(required=False, max_length=200, help_text="Left open: what it is made of.")
    repetitions = forms.IntegerField(
        min_value=1, max_value=20, initial=1, help_text="Each example so many times, to see how far answers vary."
    )
    seed = forms.IntegerField(required=False, min_value=0, max_value=2**31 - 1000)
    budget = _budget("Budget in US dollars", "It pauses before it costs more.")
    also_models = forms.MultipleChoiceField(
        label="Tried beside it",
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="Models and routes, beside the one above.",
    )
    also_versions = forms.CharField(
        label="Further versions",
        required=False,
        max_length=200,
        help_text="Of the prompt: their numbers, such as 2, 3.",
    )
    parameters = forms.CharField(
        label="Parameters",
        required=False,
        max_length=2_000,
        widget=forms.Textarea(attrs={"rows": 3, "placeholder": "temperature: 0, 0.7, 1"}),
        help_text="One on a line, over the prompt's own. Several values, with commas between them, are each tried.",
    )
    reuse = forms.BooleanField(
        label="Take answers again that the same call was given before",
        required=False,
        initial=True,
    )

    def __init__(self, *args: Any, actor: Actor, tenant: Tenant, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._actor, self._tenant = actor, tenant
        self._projects = {row.slug: row for row in projects_for(actor, tenant, "evaluation.run").filter(is_active=True)}
        self._datasets = {
            f"{row.dataset.slug}@{row.number}": row for row in selectors.dataset_versions_for(actor, tenant)
        }
        self._scorers = {str(row.pk): row for row in selectors.newest_scorer_versions(actor, tenant)}
        self._prompts = prompt_versions(actor, tenant)
        self._choices(
            "prompt_version", [("", NO_PROMPT), *((key, prompt_label(row)) for key, row in self._prompts.items())]
        )
        self._choices(
            "model",
            [
                ("", "The prompt's own"),
                *model_names(actor, tenant),
                (RECORDED, "None: the answers that the examples bring"),
            ],
        )
        self._choices("also_models", model_names(actor, tenant))
        self._choices(
            "dataset_version",
            [
                (key, f"{row.dataset.name}, version {row.number} ({row.size:,} examples)")
                for key, row in self._datasets.items()
            ],
        )
        if not self._scorers and self.initial.get("model") != RECORDED:
            self.fields["suite"].initial = STANDARD
        self._choices("scorers", [(key, row.scorer.name) for key, row in self._scorers.items()])
        self._choices("project", [(slug, row.name) for slug, row in self._projects.items()])

    def _choices(self, name: str, choices: list[tuple[str, str]]) -> None:
        field = self.fields[name]
        assert isinstance(field, forms.ChoiceField)
        field.choices = choices

    @property
    def lacks(self) -> str:
        """What has to be there first; empty where nothing is wanting."""
        if not self._projects:
            return "project"
        return "" if self._datasets else "dataset"

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if not cleaned.get("suite") and not cleaned.get("scorers") and "scorers" not in self.errors:
            self.add_error("scorers", "Choose a suite, or at least one scorer.")
        return cleaned

    @property
    def scorer_rows(self) -> list[tuple[ScorerVersion, bool]]:
        """(version, whether it is chosen)."""
        chosen = set(map(str, self["scorers"].value() or []))
        return [(row, key in chosen) for key, row in self._scorers.items()]

    def clean_also_versions(self) -> list[int]:
        try:
            return [int(each) for each in self.cleaned_data["also_versions"].replace(",", " ").split()]
        except ValueError:
            raise forms.ValidationError("Write numbers, with commas between them.") from None

    def clean_parameters(self) -> dict[str, list[Any]]:
        """The values of each, as JSON where they are; what is none is a word."""
        found: dict[str, list[Any]] = {}
        for line in self.cleaned_data["parameters"].splitlines():
            name, colon, values = line.partition(":")
            if not line.strip():
                continue
            if not colon or not name.strip() or not values.strip():
                raise forms.ValidationError(f"Write “{line.strip()[:60]}” as a name, a colon and its values.")
            found[name.strip()] = [_value(each.strip()) for each in values.split(",") if each.strip()]
        return found

    @property
    def is_sweep(self) -> bool:
        """Whether the part for several is in use, or wrong."""
        names = ("also_models", "also_versions", "parameters")
        return any(self[name].value() or self[name].errors for name in names)

    def plans(self) -> list[RunPlan]:
        """Sets up what the suite lacks. Raises ``RunRefused``."""
        said, plan = self.cleaned_data, self._plan()
        versions: list[PromptVersion] = []
        if said["also_versions"]:
            first = plan.prompt_version
            if first is None:
                raise RunRefused("Choose a prompt first.", field="also_versions")
            for number in (first.number, *said["also_versions"]):
                version = self._prompts.get(f"{first.prompt.slug}@{number}")
                if version is None:
                    raise RunRefused(f"{first.prompt.name} has no version {number}.", field="also_versions")
                versions.append(version)
        models = [plan.model or _model_of(plan.prompt_version), *said["also_models"]] if said["also_models"] else []
        return plans_of(plan, Axes(versions, models, said["parameters"]))

    def _plan(self) -> RunPlan:
        said = self.cleaned_data
        project: Project = self._projects[said["project"]]
        metrics = [MetricChoice(self._scorers[key]) for key in said["scorers"]]
        if said["suite"]:
            metrics = with_suite(actor=self._actor, tenant=self._tenant, suite=said["suite"], metrics=metrics)
        return RunPlan(
            project=project,
            dataset_version=self._datasets[said["dataset_version"]],
            metrics=metrics,
            prompt_version=self._prompts.get(said["prompt_version"]),
            model=said["model"],
            split=said["split"],
            repetitions=said["repetitions"],
            seed=said["seed"],
            name=said["name"],
            budget_picousd=None if said["budget"] is None else to_picousd(said["budget"]),
            reuses_answers=said["reuse"],
        )


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _model_of(version: PromptVersion | None) -> str:
    return "" if version is None else version.model


def prompt_versions(actor: Actor, tenant: Tenant) -> dict[str, PromptVersion]:
    """What may be chosen, as ``slug@number``."""
    versions = PromptVersion.objects.for_actor(actor).filter(prompt__tenant=tenant, prompt__is_archived=False)
    rows = versions.select_related("prompt__tenant").order_by("prompt__name", "-number")
    return {f"{row.prompt.slug}@{row.number}": row for row in rows}


def model_names(actor: Actor, tenant: Tenant, kind: ModelKind = ModelKind.CHAT) -> list[tuple[str, str]]:
    """(slug, name) of the models and, of those that chat, the routes that may be called."""
    models = callable_models_for(actor, tenant).filter(kind=kind).order_by("name")
    names = [(model.slug, model.name) for model in models]
    if kind != ModelKind.CHAT:
        return names
    routes = routes_for(actor).filter(is_enabled=True)
    return names + [(row.slug, f"{row.name} (route)") for row in routes if row.tenant_id in (None, tenant.pk)]


def prompt_label(version: PromptVersion) -> str:
    return f"{version.prompt.name}, version {version.number}"
