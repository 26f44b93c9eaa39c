"""The shape of what the catalog's pages take. The rules live in the services."""

from __future__ import annotations

from typing import Any

from django import forms

from apps.prompts.models import Prompt
from apps.prompts.types import DEFAULT_LABEL, UseCase
from apps.tenants.models import Membership, User
from apps.tenants.types import Environment
from apps.tenants.validation import slug_of


class PromptForm(forms.Form):
    name = forms.CharField(max_length=200, help_text="What people call it, for example “Claims triage”.")
    slug = forms.CharField(
        label="Id",
        max_length=50,
        required=False,
        help_text="What applications send as the prompt's id; it never changes. Left empty it is made of the name.",
    )
    description = forms.CharField(
        required=False, widget=forms.Textarea(attrs={"rows": 3}), help_text="What it is for, and what it is not for."
    )
    use_case = forms.ChoiceField(required=False, choices=[("", "Not stated"), *UseCase.choices])
    tags = forms.CharField(required=False, help_text="Words to find it by, with commas between them.")

    def clean_slug(self) -> str:
        return self.cleaned_data["slug"] or slug_of(self.cleaned_data.get("name", ""))

    def clean_tags(self) -> list[str]:
        return [tag for each in self.cleaned_data["tags"].split(",") if (tag := each.strip())]


class PromptFactsForm(PromptForm):
    slug = None  # type: ignore[assignment]
    owner: forms.ModelChoiceField[User] = forms.ModelChoiceField(
        queryset=None, required=False, empty_label="Nobody", help_text="Who answers for it."
    )

    def __init__(self, *args: Any, prompt: Prompt, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        members = Membership.objects.for_tenant(prompt.tenant).values("user_id")
        owner = self.fields["owner"]
        assert isinstance(owner, forms.ModelChoiceField)
        owner.queryset = User.objects.filter(pk__in=members).order_by("name", "email")


class ForkForm(forms.Form):
    name = forms.CharField(max_length=200)
    slug = forms.CharField(label="Id", max_length=50, help_text="What your applications will send.")


class ReleaseForm(forms.Form):
    """``version_N`` holds a version's weight; empty leaves it out."""

    environment = forms.ChoiceField(choices=[*reversed(Environment.choices)])
    label = forms.CharField(
        max_length=50,
        initial=DEFAULT_LABEL,
        help_text=f"Applications that name no label get “{DEFAULT_LABEL}”.",
    )
    reason = forms.CharField(
        max_length=500,
        required=False,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text="Why now: what it mends, what was tried.",
    )

    def weights(self) -> dict[int, int]:
        found: dict[int, int] = {}
        for name, text in self.data.items():
            number = name.removeprefix("version_")
            if name.startswith("version_") and number.isascii() and number.isdigit() and len(number) < 10:
                text = text.strip()
                if text and text != "0":
                    found[int(number)] = int(text) if text.isascii() and text.isdigit() and len(text) < 6 else -1
        return found
