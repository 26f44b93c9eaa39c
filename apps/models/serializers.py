"""The shapes of providers, models, endpoints, prices and grants at the management API.

``…Out`` is shown, ``New…`` creates, ``…Changes`` changes. A provider's credential is only ever written.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from apps.models.connection import Outcome
from apps.models.errors import PriceInexact
from apps.models.prices import picousd_per_token, usd_per_mtok
from apps.models.services.endpoints import LONGEST_TIMEOUT_MS, LOWEST_PRIORITY
from apps.models.services.models import MOST_TOKENS
from apps.models.types import Capability, CredentialSource, Lifecycle, ModelKind, PriceUnit, ProviderKind
from apps.tenants.rest.fields import (
    Choice,
    Flag,
    Input,
    Moment,
    Output,
    Text,
    Usd,
    Whole,
    write_decimal,
)
from apps.tenants.serializers import PROJECT

PER_MTOK_PATTERN = r"^[0-9]{1,9}(\.[0-9]{1,6})?$"


@extend_schema_field(
    {
        "type": "string",
        "pattern": PER_MTOK_PATTERN,
        "examples": ["2.5"],
        "description": "US dollars per million tokens, exactly.",
    }
)
class UsdPerMtok(serializers.Field[int, str, str, Any]):
    """Picodollars per token inside; outside the figure that price lists print."""

    def to_internal_value(self, data: Any) -> int:
        digits = data.replace(".", "", 1) if isinstance(data, str) else ""
        if len(digits) > 25 or not (digits.isascii() and digits.isdigit()):
            raise ValidationError('Write US dollars per million tokens as a text, such as "2.50".', code="invalid")
        try:
            return picousd_per_token(Decimal(data))
        except PriceInexact as error:
            raise ValidationError(error.message, code=error.code) from None

    def to_representation(self, value: int) -> str:
        return write_decimal(usd_per_mtok(value))


class ProviderOut(Output):
    slug = serializers.CharField()
    name = serializers.CharField()
    kind = serializers.ChoiceField(ProviderKind.choices)
    base_url = serializers.CharField()
    credential_source = serializers.ChoiceField(CredentialSource.choices)
    settings = serializers.DictField(child=serializers.CharField(), help_text="What its kind needs: a region, ….")
    credential_env = serializers.CharField(help_text="The environment variable's name; never its value.")
    credential_secret = serializers.CharField(help_text="The name or ARN of the secret in AWS Secrets Manager.")
    credential_secret_key = serializers.CharField(help_text="The key in it, where the secret is JSON.")
    has_credential = serializers.SerializerMethodField(help_text="One is stored, encrypted. It is never shown.")
    is_enabled = serializers.BooleanField()
    from_environment = serializers.BooleanField()
    auto_discover = serializers.BooleanField()
    missing_since = Moment(allow_null=True)
    last_seen_at = Moment(allow_null=True)
    last_error = serializers.CharField()
    created_at = Moment()

    def get_has_credential(self, row: Any) -> bool:
        return bool(row.credential_encrypted)


class ProviderChanges(Input):
    name = Text(max_length=100, required=False)
    base_url = Text(
        max_length=500,
        allow_blank=True,
        required=False,
        help_text="Another server needs its credential again. Empty: the kind's own, where it has one.",
    )
    settings = serializers.DictField(
        child=Text(max_length=500, allow_blank=True),
        required=False,
        help_text="All of them: those of the kind, as short texts; no secrets. See docs/providers.md.",
    )
    credential_source = Choice(CredentialSource.choices, required=False)
    credential_env = Text(max_length=100, allow_blank=True, required=False)
    credential_secret = Text(max_length=512, allow_blank=True, required=False)
    credential_secret_key = Text(max_length=100, allow_blank=True, required=False)
    auto_discover = Flag(required=False)
    secret = Text(
        max_length=4000, write_only=True, required=False, help_text="The credential, for the source `database`."
    )


class NewProvider(ProviderChanges):
    slug = Text(max_length=50, help_text="Lower-case letters, digits and hyphens.")
    name = Text(max_length=100)
    kind = Choice(ProviderKind.choices, required=False, help_text="Default openai_compatible.")


class Credential(Input):
    secret = Text(max_length=4000, write_only=True)


class PriceOut(Output):
    id = serializers.IntegerField()
    model = serializers.CharField(source="model.slug")
    endpoint = serializers.IntegerField(source="endpoint_id", allow_null=True, help_text="Null: wherever it is called.")
    effective_from = Moment()
    input_usd_per_mtok = UsdPerMtok(source="input_picousd")
    output_usd_per_mtok = UsdPerMtok(source="output_picousd")
    cached_input_usd_per_mtok = UsdPerMtok(source="cached_input_picousd", allow_null=True, help_text="Null: as input.")
    cache_write_usd_per_mtok = UsdPerMtok(source="cache_write_picousd", allow_null=True, help_text="Null: as input.")
    cache_write_1h_usd_per_mtok = UsdPerMtok(
        source="cache_write_1h_picousd", allow_null=True, help_text="Null: as cache write."
    )
    reasoning_usd_per_mtok = UsdPerMtok(source="reasoning_picousd", allow_null=True, help_text="Null: as output.")
    audio_input_usd_per_mtok = UsdPerMtok(source="audio_input_picousd", allow_null=True, help_text="Null: as input.")
    audio_output_usd_per_mtok = UsdPerMtok(source="audio_output_picousd", allow_null=True, help_text="Null: as output.")
    image_input_usd_per_mtok = UsdPerMtok(source="image_input_picousd", allow_null=True, help_text="Null: as input.")
    image_output_usd_per_mtok = UsdPerMtok(source="image_output_picousd", allow_null=True, help_text="Null: as output.")
    unit = serializers.CharField(help_text="What is sold by the piece: image, second, character, search; or nothing.")
    unit_usd = Usd(source="unit_picousd", help_text="Per unit.")
    request_usd = Usd(source="request_picousd", help_text="Per request.")
    source = serializers.CharField(help_text="Where the figures come from.")  # type: ignore[assignment]
    created_at = Moment()


class NewPrice(Input):
    model = Text(max_length=200, help_text="The model's name.")
    endpoint = Whole(min_value=1, max_value=2**63 - 1, required=False, allow_null=True)
    effective_from = Moment(required=False, allow_null=True, help_text="Default: now.")
    input_usd_per_mtok = UsdPerMtok(source="input_picousd", required=False)
    output_usd_per_mtok = UsdPerMtok(source="output_picousd", required=False)
    cached_input_usd_per_mtok = UsdPerMtok(source="cached_input_picousd", required=False, allow_null=True)
    cache_write_usd_per_mtok = UsdPerMtok(source="cache_write_picousd", required=False, allow_null=True)
    cache_write_1h_usd_per_mtok = UsdPerMtok(source="cache_write_1h_picousd", required=False, allow_null=True)
    reasoning_usd_per_mtok = UsdPerMtok(source="reasoning_picousd", required=False, allow_null=True)
    audio_input_usd_per_mtok = UsdPerMtok(source="audio_input_picousd", required=False, allow_null=True)
    audio_output_usd_per_mtok = UsdPerMtok(source="audio_output_picousd", required=False, allow_null=True)
    image_input_usd_per_mtok = UsdPerMtok(source="image_input_picousd", required=False, allow_null=True)
    image_output_usd_per_mtok = UsdPerMtok(source="image_output_picousd", required=False, allow_null=True)
    unit = Choice(PriceUnit.choices, required=False, allow_blank=True, help_text="As the model's kind is metered.")
    unit_usd = Usd(source="unit_picousd", required=False)
    request_usd = Usd(source="request_picousd", required=False)
    source = Text(max_length=200, allow_blank=True, required=False)  # type: ignore[assignment]


class ModelOut(Output):
    slug = serializers.CharField(help_text="The name that applications put in `model`.")
    name = serializers.CharField()
    kind = serializers.ChoiceField(ModelKind.choices)
    publisher = serializers.CharField()
    description = serializers.CharField()
    intended_use = serializers.CharField()
    out_of_scope_use = serializers.CharField()
    lifecycle = serializers.ChoiceField(Lifecycle.choices)
    licence = serializers.CharField()
    licence_url = serializers.CharField()
    licence_needs_acceptance = serializers.BooleanField(
        help_text="A tenant calls it only once one of its admins has accepted the licence."
    )
    context_tokens = serializers.IntegerField(allow_null=True)
    max_output_tokens = serializers.IntegerField(allow_null=True)
    capabilities = serializers.ListField(child=serializers.ChoiceField(Capability.choices))
    is_open = serializers.BooleanField(help_text="Every active tenant may call it without a grant.")
    created_at = Moment()


class ModelChanges(Input):
    name = Text(max_length=200, required=False)
    kind = Choice(ModelKind.choices, required=False)
    publisher = Text(max_length=100, allow_blank=True, required=False)
    description = Text(max_length=4000, allow_blank=True, required=False)
    intended_use = Text(max_length=4000, allow_blank=True, required=False)
    out_of_scope_use = Text(max_length=4000, allow_blank=True, required=False)
    licence = Text(max_length=100, allow_blank=True, required=False)
    licence_url = Text(max_length=500, allow_blank=True, required=False, help_text="Where it can be read.")
    licence_needs_acceptance = Flag(required=False)
    context_tokens = Whole(min_value=1, max_value=MOST_TOKENS, allow_null=True, required=False)
    max_output_tokens = Whole(min_value=1, max_value=MOST_TOKENS, allow_null=True, required=False)
    capabilities = serializers.ListField(child=Choice(Capability.choices), max_length=20, required=False)
    is_open = Flag(required=False)
    lifecycle = Choice(Lifecycle.choices, required=False, help_text="Only the next steps of its present one.")


class NewModel(ModelChanges):
    slug = Text(max_length=200, help_text="The name that applications put in `model`.")
    name = Text(max_length=200)
    lifecycle = Choice(Lifecycle.choices, required=False, help_text="Default proposed.")


class EndpointOut(Output):
    id = serializers.IntegerField()
    model = serializers.CharField(source="model.slug")
    provider = serializers.CharField(source="provider.slug")
    upstream_model = serializers.CharField(help_text="The provider's own name of the model.")
    region = serializers.CharField()
    priority = serializers.IntegerField(help_text="Lower is tried first.")
    is_enabled = serializers.BooleanField()
    connect_timeout_ms = serializers.IntegerField()
    first_byte_timeout_ms = serializers.IntegerField()
    idle_timeout_ms = serializers.IntegerField()
    total_timeout_ms = serializers.IntegerField()
    settings = serializers.DictField(child=serializers.CharField())
    from_discovery = serializers.BooleanField()
    missing_since = Moment(allow_null=True)
    created_at = Moment()


class EndpointChanges(Input):
    region = Text(max_length=30, allow_blank=True, required=False)
    priority = Whole(min_value=0, max_value=LOWEST_PRIORITY, required=False)
    connect_timeout_ms = Whole(min_value=1, max_value=LONGEST_TIMEOUT_MS, required=False)
    first_byte_timeout_ms = Whole(min_value=1, max_value=LONGEST_TIMEOUT_MS, required=False)
    idle_timeout_ms = Whole(min_value=1, max_value=LONGEST_TIMEOUT_MS, required=False)
    total_timeout_ms = Whole(min_value=1, max_value=LONGEST_TIMEOUT_MS, required=False)
    settings = serializers.DictField(
        child=Text(max_length=500, allow_blank=True),
        required=False,
        help_text="All of them: those of the provider's kind, as short texts; no secrets.",
    )


class NewEndpoint(EndpointChanges):
    model = Text(max_length=200, help_text="The model's name.")
    provider = Text(max_length=50, help_text="The provider's slug.")
    upstream_model = Text(max_length=300)


class GrantOut(Output):
    id = serializers.IntegerField()
    tenant = serializers.CharField(source="tenant.slug")
    project = serializers.SerializerMethodField(help_text=f"{PROJECT} Null: the whole tenant.")
    model = serializers.CharField(source="model.slug")
    expires_at = Moment(allow_null=True)
    licence_accepted_at = Moment(allow_null=True, help_text="When the tenant accepted the model's licence.")
    granted_by = serializers.SerializerMethodField()
    created_at = Moment()

    def get_project(self, row: Any) -> str | None:
        return None if row.project is None else f"{row.tenant.slug}/{row.project.slug}"

    def get_granted_by(self, row: Any) -> str | None:
        return row.granted_by.email if row.granted_by else None


class NewGrant(Input):
    tenant = Text(max_length=50)
    project = Text(max_length=50, required=False, allow_null=True, help_text="A project of the tenant; none: all.")
    model = Text(max_length=200, help_text="The model's name.")
    expires_at = Moment(required=False, allow_null=True, help_text="None: for good.")


class LicenceAcceptance(Input):
    tenant = Text(max_length=50)
    model = Text(max_length=200, help_text="The model's name.")


class ConnectionTest(Input):
    model = Text(
        max_length=300,
        allow_blank=True,
        required=False,
        help_text="The provider's own name of a model, which is then called with a few tokens. None: only its list.",
    )
    settings = serializers.DictField(
        child=Text(max_length=500, allow_blank=True), required=False, help_text="An endpoint's, as for a new one."
    )


class ConnectionReport(Output):
    outcome = serializers.ChoiceField([(each.value, each.value) for each in Outcome])
    title = serializers.CharField(help_text="What is so, in words.")
    remedy = serializers.CharField(help_text="What to do about it.")
    field = serializers.CharField(help_text="The value to look at, such as `credential` or `settings/region`.")
    said = serializers.CharField(help_text="What the provider said, without the credential.")
    ms = serializers.IntegerField()


class OfferOut(Output):
    upstream_model = serializers.CharField(source="listed.upstream_model", help_text="The provider's own name.")
    name = serializers.CharField(source="listed.name")
    kind = serializers.ChoiceField(ModelKind.choices, source="listed.kind")
    is_registered = serializers.BooleanField()
    input_usd_per_mtok = UsdPerMtok(source="price.input_picousd", allow_null=True, help_text="Null: not known.")
    output_usd_per_mtok = UsdPerMtok(source="price.output_picousd", allow_null=True)


class OffersOut(Output):
    results = OfferOut(many=True)


class ChosenModels(Input):
    models = serializers.ListField(child=Text(max_length=300), max_length=2000, help_text="Names from the list.")


class RegisteredOut(Output):
    registered = serializers.IntegerField(help_text="How many were not registered before.")
