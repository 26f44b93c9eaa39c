"""A red team in two choices: whom to attack, and with what."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django import forms

from apps.evaluation.forms.runs import model_names, prompt_label, prompt_versions
from apps.evaluation.redteam import Category, Size
from apps.evaluation.redteam.generation import DEFAULT_SEED
from apps.evaluation.services.redteam import MOST_SEED, RedTeamPlan
from apps.tenants.access import Actor
from apps.tenants.models import Project, Tenant
from apps.tenants.money import to_picousd
from apps.tenants.selectors import projects_for

TOLD = {
    Category.INJECTION: "Instructions hidden in letters, mails, pages and tool results are obeyed.",
    Category.JAILBREAK: "A setting (a part to play, a novel, a claimed clearance) talks the model round.",
    Category.PROMPT_LEAK: "The instructions, or a secret in them, are told.",
    Category.DATA_LEAK: "Data of a person in the context is told to somebody else.",
    Category.HARMFUL: "A plainly harmful request is answered.",
    Category.ENCODING: "The same, in Base64, ROT13, look-alike letters, pieces and the like.",
}


class RedTeamForm(forms.Form):
    """``plan()`` is what a valid form asks for."""

    prompt_version = forms.ChoiceField(label="Prompt", required=False)
    model = forms.ChoiceField(
        label="Model or route", required=False, help_text="Left open: the model that the prompt's version names."
    )
    categories = forms.MultipleChoiceField(choices=Category.choices, widget=forms.CheckboxSelectMultiple)
    size = forms.ChoiceField(choices=[(each, f"{each.label}: {each.each} of each category") for each in Size])
    project = forms.ChoiceField(help_text="Its limits and budgets apply, and its ledger shows the calls.")
    budget = forms.DecimalField(
        label="Budget in US dollars",
        required=False,
        min_value=Decimal("0.000001"),
        max_digits=18,
        decimal_places=6,
        help_text="It pauses before it costs more.",
    )
    seed = forms.IntegerField(
        min_value=0,
        max_value=MOST_SEED,
        help_text="The same seed makes the same attacks, so that runs can be compared. Another one has other secrets.",
    )

    def __init__(self, *args: Any, actor: Actor, tenant: Tenant, **kwargs: Any) -> None:
        initial = {"categories": Category.values, "size": Size.SMALL, "seed": DEFAULT_SEED}
        kwargs["initial"] = initial | kwargs.get("initial", {})
        super().__init__(*args, **kwargs)
        self._projects = {row.slug: row for row in projects_for(actor, tenant, "evaluation.run").filter(is_active=True)}
        self._prompts = prompt_versions(actor, tenant)
        self._choices(
            "prompt_version",
            [("", "None: the model alone"), *((key, prompt_label(row)) for key, row in self._prompts.items())],
        )
        self._choices("model", [("", "The prompt's own"), *model_names(actor, tenant)])
        self._choices("project", [(slug, row.name) for slug, row in self._projects.items()])

    def _choices(self, name: str, choices: list[tuple[str, str]]) -> None:
        field = self.fields[name]
        assert isinstance(field, forms.ChoiceField)
        field.choices = choices

    @property
    def lacks_project(self) -> bool:
        return not self._projects

    @property
    def category_rows(self) -> list[tuple[Category, str, bool]]:
        """(category, what it tries, whether it is chosen)."""
        chosen = set(map(str, self["categories"].value() or []))
        return [(each, TOLD[each], each in chosen) for each in Category]

    def plan(self) -> RedTeamPlan:
        said = self.cleaned_data
        project: Project = self._projects[said["project"]]
        return RedTeamPlan(
            project=project,
            prompt_version=self._prompts.get(said["prompt_version"]),
            model=said["model"],
            categories=said["categories"],
            size=said["size"],
            seed=said["seed"],
            budget_picousd=None if said["budget"] is None else to_picousd(said["budget"]),
        )
