"""The shape of what the datasets' pages take. The rules live in the services."""

from __future__ import annotations

import json
from typing import Any

from django import forms

from apps.evaluation.types import Split
from apps.prompts.models import Prompt
from apps.tenants.models import Tenant


class SchemaField(forms.CharField):
    """A JSON schema as text; empty is none."""

    def __init__(self, **options: Any) -> None:
        widget = forms.Textarea(attrs={"rows": 4, "class": "mono", "spellcheck": "false"})
        super().__init__(required=False, widget=widget, max_length=100_000, **options)

    def clean(self, value: Any) -> dict[str, Any]:
        text = super().clean(value)
        try:
            found = json.loads(text) if text.strip() else {}
        except (ValueError, RecursionError):
            raise forms.ValidationError('This is no JSON. Write it as {"type": "object"}.') from None
        if not isinstance(found, dict):
            raise forms.ValidationError("A schema is an object.")
        return found

    def prepare_value(self, value: Any) -> Any:
        return json.dumps(value, indent=2) if isinstance(value, dict) and value else value or ""


class DatasetFactsForm(forms.Form):
    name = forms.CharField(max_length=200, help_text="What people call it, for example “Golden claims”.")
    prompt: forms.ModelChoiceField[Prompt] = forms.ModelChoiceField(
        queryset=None,
        required=False,
        empty_label="None yet",
        to_field_name="slug",
        help_text="What it tests: its variables become the columns that a file needs.",
    )
    description = forms.CharField(
        required=False, widget=forms.Textarea(attrs={"rows": 3}), help_text="Where it comes from, and what it covers."
    )
    tags = forms.CharField(required=False, help_text="Words to find it by, with commas between them.")
    input_schema = SchemaField(label="Schema of the input", help_text="A JSON schema that each input has to fit.")
    expected_schema = SchemaField(
        label="Schema of the expected answer", help_text="A JSON schema that each expected answer has to fit."
    )

    def __init__(self, *args: Any, tenant: Tenant, **options: Any) -> None:
        super().__init__(*args, **options)
        prompt = self.fields["prompt"]
        assert isinstance(prompt, forms.ModelChoiceField)
        prompt.queryset = Prompt.objects.for_tenant(tenant).filter(is_archived=False).order_by("name")

    def clean_tags(self) -> list[str]:
        return [tag for each in self.cleaned_data["tags"].split(",") if (tag := each.strip())]


class DatasetForm(DatasetFactsForm):
    slug = forms.CharField(
        label="Id", max_length=50, help_text="What the command line and the API call it, for example golden-claims."
    )
    field_order = ("name", "slug")


class ExampleFactsForm(forms.Form):
    """What stands beside an example's input and expected answer."""

    slice = forms.CharField(required=False, max_length=100, help_text="The segment that it stands for.")
    split = forms.ChoiceField(choices=Split.choices, required=False)
    tags = forms.CharField(required=False, max_length=600, help_text="With commas between them.")

    def clean_tags(self) -> list[str]:
        return [tag for each in self.cleaned_data["tags"].split(",") if (tag := each.strip())]

    def clean_split(self) -> str:
        return self.cleaned_data["split"] or Split.TEST
