"""A scorer's name and its parameters, as fields of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.forms import BoundField

from apps.evaluation.forms.parameters import Choices, ParameterFields
from apps.evaluation.forms.runs import model_names
from apps.evaluation.scorers import Scorer, registry
from apps.evaluation.scorers.errors import ParametersInvalid
from apps.evaluation.scorers.types import Need
from apps.models.types import ModelKind
from apps.tenants.access import Actor
from apps.tenants.errors import DomainError
from apps.tenants.forms import add_domain_error
from apps.tenants.models import Tenant
from apps.tenants.validation import slug_of


def choices_for(actor: Actor, tenant: Tenant) -> Mapping[str, Choices]:
    """What a parameter may name: the models that may be called, and the kinds that a probe may ask."""
    kinds = registry.registry().scorers.values()
    return {
        "chat-model": model_names(actor, tenant),
        "embedding-model": model_names(actor, tenant, ModelKind.EMBEDDING),
        "scorer": [(kind.slug, kind.title) for kind in kinds if Need.SUBJECT not in kind.needs],
    }


class _WithParameters(forms.Form):
    """The fields of ``kind``'s parameters follow its own; without a kind (it is no longer installed) there are none."""

    def __init__(
        self,
        *args: Any,
        kind: type[Scorer] | None,
        values: Mapping[str, Any],
        choices: Mapping[str, Choices],
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._own = list(self.fields)
        self._parameters = None if kind is None else ParameterFields(kind, values, choices)
        if self._parameters is not None:
            self.fields.update(self._parameters.fields)
            self.initial = {**self.initial, **self._parameters.initial}

    @property
    def own_fields(self) -> Sequence[BoundField]:
        return [self[name] for name in self._own]

    @property
    def parameter_fields(self) -> Sequence[BoundField]:
        return [self[name] for name in self.fields if name not in self._own]

    def facts(self) -> dict[str, Any]:
        """What the services take."""
        facts = {name: self.cleaned_data[name] for name in self._own}
        return facts | {"parameters": None if self._parameters is None else self._parameters.values(self.cleaned_data)}

    def refuse(self, error: DomainError) -> None:
        """Show a service's refusal at the field that it is about."""
        if isinstance(error, ParametersInvalid) and self._parameters is not None:
            self.add_error(self._parameters.field_of(error.field), str(error))
        else:
            add_domain_error(self, error)


class ScorerForm(_WithParameters):
    name = forms.CharField(required=False, max_length=200, help_text="Left open: the kind's own.")
    slug = forms.CharField(
        label="Short name",
        required=False,
        max_length=50,
        help_text="In the API and in MLflow; it never changes. Left open: made of the name.",
    )
    description = forms.CharField(required=False, widget=forms.Textarea(attrs={"rows": 2}))

    def clean_slug(self) -> str:
        return self.cleaned_data["slug"] or slug_of(self.cleaned_data.get("name", ""))


class ScorerChangesForm(_WithParameters):
    name = forms.CharField(max_length=200)
    description = forms.CharField(required=False, widget=forms.Textarea(attrs={"rows": 2}))
