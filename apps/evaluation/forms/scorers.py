"""A scorer's kind, name and parameters. The parameters are JSON, held to the kind's schema by the service."""

from __future__ import annotations

import json
from typing import Any

from django import forms

from apps.evaluation.scorers import registry
from apps.tenants.validation import slug_of


class ScorerForm(forms.Form):
    kind = forms.ChoiceField()
    name = forms.CharField(required=False, max_length=200, help_text="Left open: the kind's own.")
    slug = forms.CharField(
        label="Short name",
        required=False,
        max_length=50,
        help_text="In the API and in MLflow; it never changes. Left open: made of the name.",
    )
    description = forms.CharField(required=False, widget=forms.Textarea(attrs={"rows": 2}))
    parameters = forms.CharField(
        required=False,
        widget=forms.Textarea(attrs={"rows": 14, "class": "mono", "spellcheck": "false"}),
        help_text="JSON. Left open: the kind's defaults.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        kind = self.fields["kind"]
        assert isinstance(kind, forms.ChoiceField)
        kind.choices = [(slug, scorer.title) for slug, scorer in registry.registry().scorers.items()]

    def clean_slug(self) -> str:
        return self.cleaned_data["slug"] or slug_of(self.cleaned_data.get("name", ""))

    def clean_parameters(self) -> dict[str, Any]:
        return parsed(self.cleaned_data["parameters"])


class ScorerChangesForm(forms.Form):
    name = forms.CharField(max_length=200)
    description = forms.CharField(required=False, widget=forms.Textarea(attrs={"rows": 2}))
    parameters = forms.CharField(
        required=False,
        widget=forms.Textarea(attrs={"rows": 14, "class": "mono", "spellcheck": "false"}),
        help_text="JSON. Other parameters make a new version; earlier scores keep theirs.",
    )

    def clean_parameters(self) -> dict[str, Any]:
        return parsed(self.cleaned_data["parameters"])


def parsed(text: str) -> dict[str, Any]:
    if not text.strip():
        return {}
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise forms.ValidationError(f"This is no JSON: {error}.") from None
    if not isinstance(value, dict):
        raise forms.ValidationError('This has to be an object, for example {"texts": ["yes"]}.')
    return value
