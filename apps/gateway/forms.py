"""The shape of what the route pages take. The rules live in the services."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from django import forms
from django.http import QueryDict

from apps.gateway.models import Route, RouteTarget
from apps.gateway.services import TargetSpec
from apps.gateway.services.routes import LONGEST_HEDGE_MS, SHORTEST_HEDGE_MS
from apps.gateway.services.targets import HEAVIEST, clean_condition
from apps.gateway.types import Purpose, Strategy
from apps.models.models import Endpoint, Model
from apps.tenants.errors import DomainError

MOST_ROWS: Final = 60
BLANK_ROWS: Final = 2
_FACTS = ("name", "description", "strategy", "sticky", "hedge_after_ms", "shadow_percent", "is_enabled")


class RouteForm(forms.Form):
    name = forms.CharField(max_length=100, help_text="What people read, for example Claims, default.")
    slug = forms.SlugField(
        label="Name in calls",
        max_length=50,
        help_text="What applications put in model: lower-case letters, digits and hyphens. It cannot be changed later.",
    )
    scope = forms.ChoiceField(label="For", choices=[], help_text="Who may call it.")
    description = forms.CharField(max_length=2000, required=False, widget=forms.Textarea(attrs={"rows": 2}))
    strategy = forms.ChoiceField(choices=Strategy.choices, help_text="How its targets share the requests.")
    sticky = forms.BooleanField(
        label="Keep a conversation with its target", required=False, help_text="So that a provider's cache is of use."
    )
    hedge_after_ms = forms.IntegerField(
        label="Ask a second target after, ms",
        required=False,
        min_value=SHORTEST_HEDGE_MS,
        max_value=LONGEST_HEDGE_MS,
        help_text="When the first is silent for so long. Empty: never. Both may be billed.",
    )
    shadow_percent = forms.IntegerField(
        label="Shadow traffic, %",
        min_value=0,
        max_value=100,
        initial=0,
        help_text="Of its requests, so many also go to the shadow target. Its answers are never used.",
    )
    is_enabled = forms.BooleanField(label="In use", required=False, initial=True)
    message = forms.CharField(
        label="What changed, and why",
        max_length=300,
        required=False,
        help_text="Stays with the revision in the route's history.",
    )

    def __init__(self, data: Any = None, *, route: Route | None = None, scopes: list[tuple[str, str]]) -> None:
        initial = {} if route is None else {name: getattr(route, name) for name in _FACTS}
        super().__init__(data, initial=initial)
        self.fields["scope"].choices = scopes  # type: ignore[attr-defined]
        if route is not None:
            del self.fields["slug"], self.fields["scope"]
            return
        del self.fields["message"]
        if len(scopes) == 1:
            self.fields["scope"].widget = forms.HiddenInput()
            self.fields["scope"].initial = scopes[0][0]

    def facts(self) -> dict[str, Any]:
        """What ``create_route`` and ``update_route`` take."""
        return {name: self.cleaned_data[name] for name in _FACTS}


@dataclass(slots=True)
class TargetRow:
    """A row of the targets' table, as it was typed. ``to`` is ``model:SLUG`` or ``endpoint:ID``; empty: no target."""

    to: str = ""
    weight: str = "1"
    condition: str = ""
    purpose: str = Purpose.NORMAL.value
    arm: str = ""
    error: str = ""

    @classmethod
    def of(cls, target: RouteTarget) -> TargetRow:
        to = f"endpoint:{target.endpoint_id}" if target.model is None else f"model:{target.model.slug}"
        return cls(to, str(target.weight), target.condition, target.purpose, target.arm)

    def spec(self, models: Mapping[str, Model], endpoints: Mapping[str, Endpoint]) -> TargetSpec | None:
        """None, with ``error`` set, where something in it is wrong."""
        kind, _, name = self.to.partition(":")
        spec = TargetSpec(purpose=self.purpose, arm=self.arm)
        if kind == "model" and name in models:
            spec["model"] = models[name]
        elif kind == "endpoint" and name in endpoints:
            spec["endpoint"] = endpoints[name]
        else:
            self.error = "There is no such model any more. Choose another."
            return None
        if not (self.weight.isascii() and self.weight.isdigit() and int(self.weight) <= HEAVIEST):
            self.error = f"Its weight is a whole number up to {HEAVIEST:,}."
            return None
        spec["weight"] = int(self.weight)
        try:
            spec["condition"] = clean_condition(self.condition)
        except DomainError as error:
            self.error = str(error)
            return None
        return spec


def rows_of(data: QueryDict) -> list[TargetRow]:
    """The targets that were sent, in the order of their positions; rows without a target are left out."""
    columns = {name: data.getlist(f"target_{name}") for name in ("to", "weight", "condition", "purpose", "arm")}
    places = data.getlist("target_position")
    rows = []
    for number in range(min(len(columns["to"]), MOST_ROWS)):
        values = {name: column[number].strip() if number < len(column) else "" for name, column in columns.items()}
        place = places[number] if number < len(places) else ""
        if values["to"]:
            rows.append(((int(place) if place.isascii() and place.isdigit() else number), number, TargetRow(**values)))
    return [row for _, _, row in sorted(rows, key=lambda each: each[:2])]


def with_blanks(rows: list[TargetRow]) -> list[TargetRow]:
    return [*rows, *(TargetRow() for _ in range(BLANK_ROWS))]
