"""The shape of what the provider pages take. The rules live in the services."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django import forms

from apps.models.models import Provider
from apps.models.provider_settings import KINDS, KindFacts, Setting
from apps.models.types import CredentialSource, ModelKind, ProviderKind
from apps.tenants.errors import DomainError
from apps.tenants.wording import listed_in_words

# The sandbox registers itself.
KIND_CHOICES = [(kind.value, kind.label) for kind in ProviderKind if kind is not ProviderKind.SANDBOX]
# Which fields go with which source of the credential.
SOURCE_FIELDS: Mapping[str, tuple[str, ...]] = {
    CredentialSource.DATABASE: ("secret",),
    CredentialSource.ENVIRONMENT: ("credential_env",),
    CredentialSource.SECRETS_MANAGER: ("credential_secret", "credential_secret_key"),
}


class ProviderForm(forms.Form):
    """The fields of one kind of provider and one source of its credential: ask again for others."""

    def __init__(
        self,
        data: Any = None,
        *,
        kind: str,
        source: str = "",
        provider: Provider | None = None,
        restricted: Sequence[str] = (),
    ) -> None:
        """``restricted`` are the names of tenants with allowed regions, for whom it matters where the provider runs."""
        facts = KINDS[kind]
        self.kind = facts
        self.provider = provider
        self.source = source if source in facts.sources else facts.sources[0].value
        self.setting_names = [setting.name for setting in facts.settings]
        super().__init__(data, initial=_initial(provider))
        place = next((each for each in facts.settings if each.name == "region"), None)
        if provider is not None and provider.from_environment:
            self._add_what_no_variable_tells(place)
        else:
            self._add_everything(facts, provider)
        if place is not None and not place.required and restricted and "region" in self.fields:
            names = listed_in_words(restricted, most=5)
            allow = "allows" if len(restricted) == 1 else "allow"
            self.fields[
                "region"
            ].help_text = f"{names} {allow} named regions only, and can use it only if this is one of theirs."

    def _add_what_no_variable_tells(self, place: Setting | None) -> None:
        """Of a provider that the environment made: its name, and where it runs (AWS's region is a variable)."""
        self.fields["name"] = forms.CharField(max_length=100, help_text="What people read.")
        self.setting_names = [] if place is None or place.required else [place.name]
        if place is not None and not place.required:
            self.fields[place.name] = setting_field(place)

    def _add_everything(self, facts: KindFacts, provider: Provider | None) -> None:
        self.fields["name"] = forms.CharField(max_length=100, help_text="What people read, for example Bedrock Europe.")
        if provider is None:
            self.fields["slug"] = forms.SlugField(
                label="Short name",
                max_length=50,
                help_text="For URLs and the API: lower-case letters, digits and hyphens. It cannot be changed later.",
            )
        for setting in facts.settings:
            if setting.name in _of_source(self.source):
                self.fields[setting.name] = setting_field(setting)
        self.fields["base_url"] = forms.CharField(
            label="Address", max_length=500, required=not facts.address, help_text=facts.address_help
        )
        if facts.sources[0] is not CredentialSource.NONE or len(facts.sources) > 1:
            self.fields["credential_source"] = forms.ChoiceField(
                label="Where its credential is kept",
                choices=[(source.value, source.label) for source in facts.sources],
                initial=self.source,
            )
        self._add_credential(facts, provider)

    def _add_credential(self, facts: KindFacts, provider: Provider | None) -> None:
        kept = provider is not None and provider.credential_source == self.source and self.source == "database"
        made = {
            "secret": forms.CharField(
                label=facts.credential_label,
                required=not kept,
                max_length=4096,
                widget=forms.PasswordInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
                help_text="Stored encrypted and never shown again. "
                + ("Empty keeps the one there is, unless the address changes." if kept else facts.credential_help),
            ),
            "credential_env": forms.CharField(
                label="Environment variable",
                max_length=100,
                help_text="The variable's name: it ends in _API_KEY or begins with LOBBY_PROVIDER_.",
            ),
            "credential_secret": forms.CharField(
                label="Secret", max_length=512, help_text="Its name or ARN. Names begin with lobby/."
            ),
            "credential_secret_key": forms.CharField(
                label="Key in the secret",
                max_length=100,
                required=False,
                help_text="Where the secret is JSON. Empty: the whole secret.",
            ),
        }
        for name in SOURCE_FIELDS.get(self.source, ()):
            self.fields[name] = made[name]

    def values(self) -> dict[str, Any]:
        """What ``create_provider`` and ``update_provider`` take."""
        data = dict(self.cleaned_data)
        settings = {name: data.pop(name, "") for name in self.setting_names}
        if self.provider is not None and self.provider.from_environment:
            return {**data, "settings": {**self.provider.settings, **settings}}
        values: dict[str, Any] = {"credential_env": "", "credential_secret": "", "credential_secret_key": ""}
        values |= {"credential_source": self.source, "settings": settings, **data}
        return values

    def add_refusal(self, error: DomainError) -> None:
        """Beside the field that it is about, else above the form."""
        field = (error.field or "").removeprefix("settings/")
        if field == "credential":
            field = next((name for name in SOURCE_FIELDS.get(self.source, ())), "credential_source")
        self.add_error(field if field in self.fields else None, str(error))


class EndpointForm(forms.Form):
    """A model that no list names: an endpoint's name and its settings."""

    def __init__(self, data: Any = None, *, kind: str) -> None:
        facts = KINDS[kind]
        self.setting_names = [setting.name for setting in facts.endpoint_settings]
        super().__init__(data)
        self.fields["upstream_model"] = forms.CharField(
            label=facts.model_label, max_length=300, help_text=facts.model_help
        )
        self.fields["upstream_model"].widget.attrs["placeholder"] = facts.model_example
        self.fields["slug"] = forms.CharField(
            label="Name in calls",
            max_length=200,
            required=False,
            help_text="What applications put in model. Empty: the same. A registered model gets one more endpoint.",
        )
        self.fields["kind"] = forms.ChoiceField(choices=ModelKind.choices)
        for setting in facts.endpoint_settings:
            self.fields[setting.name] = setting_field(setting, required=False)

    def settings(self) -> dict[str, str]:
        return {name: self.cleaned_data.get(name, "") for name in self.setting_names}

    def add_refusal(self, error: DomainError) -> None:
        field = (error.field or "").removeprefix("settings/")
        self.add_error(field if field in self.fields else None, str(error))


def setting_field(setting: Setting, *, required: bool | None = None) -> forms.Field:
    wanted = setting.required if required is None else required
    help_text = setting.help
    if setting.default and not setting.choices:
        help_text += f" Empty: {setting.default}."
    if setting.choices:
        first = [] if setting.default else [("", "As usual")]
        return forms.ChoiceField(
            label=setting.label,
            choices=[*first, *setting.choices],
            initial=setting.default,
            required=wanted,
            help_text=help_text,
        )
    field = forms.CharField(label=setting.label, max_length=500, required=wanted, help_text=help_text)
    if setting.example:
        field.widget.attrs["placeholder"] = setting.example
    return field


def _of_source(source: str) -> frozenset[str]:
    """The settings that are of use with a source: a role and a profile with AWS's own, a key's id with the others."""
    names = {"region", "api_version", "guardrail_id", "guardrail_version"}
    names |= {"role_arn", "external_id", "profile"} if source == CredentialSource.AWS else {"access_key_id"}
    return frozenset(names)


def _initial(provider: Provider | None) -> dict[str, Any]:
    if provider is None:
        return {}
    names = ("name", "base_url", "credential_source", "credential_env", "credential_secret", "credential_secret_key")
    return {**provider.settings, **{name: getattr(provider, name) for name in names}}
