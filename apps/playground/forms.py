"""The shape of what the playground's forms take. The rules live in the services."""

from __future__ import annotations

from django import forms

from apps.playground.types import UseCase


class ExampleForm(forms.Form):
    title = forms.CharField(max_length=200, help_text="What it is good for, in a few words.")
    use_case = forms.ChoiceField(choices=UseCase.choices)
    tags = forms.CharField(required=False, help_text="Separated by commas, at most 8.", max_length=300)
    note = forms.CharField(
        required=False,
        label="Why it is worth reading",
        widget=forms.Textarea(attrs={"rows": 3}),
        max_length=4_000,
    )

    def tags_list(self) -> list[str]:
        return [tag for tag in self.cleaned_data["tags"].split(",") if tag.strip()]


class NewPromptForm(forms.Form):
    name = forms.CharField(max_length=200)
    slug = forms.CharField(label="Id", max_length=50, help_text="What applications send. It never changes.")
    use_case = forms.ChoiceField(required=False, choices=[("", "Not stated"), *UseCase.choices])
