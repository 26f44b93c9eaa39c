"""Models, prices and grants in the admin."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from unfold.decorators import action, display
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminDecimalFieldWidget,
)

from apps.models import services
from apps.models.admin.base import EndpointInline, PriceInline, RegistryAdmin, dialog, per_million
from apps.models.models import AccessGrant, Model, Price
from apps.models.prices import Figures, picousd_per_request, picousd_per_token, picousd_per_unit
from apps.models.types import Capability
from apps.tenants.access import Actor, can
from apps.tenants.admin_base import LobbyModelAdmin, ServiceForm

LIFECYCLE_TONES = {
    "Approved": "success",
    "Proposed": "info",
    "In review": "info",
    "Deprecated": "warning",
    "Retired": "danger",
}


class ModelForm(ServiceForm):
    capabilities = forms.MultipleChoiceField(
        choices=Capability.choices, required=False, widget=UnfoldAdminCheckboxSelectMultipleWidget
    )


@admin.register(Model)
class RegisteredModelAdmin(RegistryAdmin):
    form = ModelForm
    list_display = ["name", "slug", "kind", "publisher", "lifecycle_shown", "is_open", "context_tokens", "created_at"]
    list_filter = ["kind", "lifecycle", "is_open", "endpoints__provider"]
    search_fields = ["name", "slug", "publisher"]
    readonly_fields = ["created_at"]
    inlines = [EndpointInline, PriceInline]
    fieldsets = [
        (None, {"fields": ["name", "slug", "kind", "publisher", "lifecycle", "is_open"]}),
        ("What it is", {"fields": ["description", "intended_use", "out_of_scope_use"]}),
        ("Licence", {"fields": ["licence", "licence_url", "licence_needs_acceptance"]}),
        ("What it can", {"fields": ["capabilities", "context_tokens", "max_output_tokens", "created_at"]}),
    ]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return [*super().get_readonly_fields(request, obj), *(["slug"] if obj else [])]

    @display(description="Lifecycle", label=LIFECYCLE_TONES, ordering="lifecycle")
    def lifecycle_shown(self, row: Model) -> str:
        return row.get_lifecycle_display()

    def create(self, actor: Actor, form: Any) -> Model:
        return services.create_model(actor=actor, **form.cleaned_data)

    def update(self, actor: Actor, row: Model, form: Any) -> Model:
        data = dict(form.cleaned_data)
        lifecycle = data.pop("lifecycle")
        services.set_lifecycle(actor=actor, model=row, lifecycle=lifecycle)
        return services.update_model(actor=actor, model=row, **data)


def _dollars(label: str, *, required: bool = False, help_text: str = "") -> forms.DecimalField:
    return forms.DecimalField(
        label=label, required=required, min_value=0, help_text=help_text, widget=UnfoldAdminDecimalFieldWidget
    )


class PriceForm(ServiceForm):
    """Dollars for people; the row has picodollars. The service says what is too fine to be kept exactly."""

    input_usd = _dollars("Input, $ per 1M tokens", help_text="Empty: nothing.")
    output_usd = _dollars("Output, $ per 1M tokens", help_text="Empty: nothing.")
    cached_input_usd = _dollars("Cached input, $ per 1M tokens", help_text="Empty: as input.")
    cache_write_usd = _dollars("Cache write, $ per 1M tokens", help_text="Empty: as input.")
    cache_write_1h_usd = _dollars("Cache write for an hour, $ per 1M tokens", help_text="Empty: as cache write.")
    reasoning_usd = _dollars("Reasoning, $ per 1M tokens", help_text="Empty: as output.")
    audio_input_usd = _dollars("Sound in, $ per 1M tokens", help_text="Empty: as input.")
    audio_output_usd = _dollars("Sound out, $ per 1M tokens", help_text="Empty: as output.")
    image_input_usd = _dollars("Images in, $ per 1M tokens", help_text="Empty: as input.")
    image_output_usd = _dollars("Images out, $ per 1M tokens", help_text="Empty: as output.")
    unit_usd = _dollars("Per unit, $", help_text="An image, a second, a character or a search, as the unit says.")
    request_usd = _dollars("Requests, $ per thousand")

    def figures(self) -> Figures:
        """Raises PriceInexact naming the field."""

        def tokens(name: str) -> int | None:
            value: Decimal | None = self.cleaned_data[name]
            return None if value is None else picousd_per_token(value, field=name)

        return Figures(
            input_picousd=tokens("input_usd") or 0,
            output_picousd=tokens("output_usd") or 0,
            cached_input_picousd=tokens("cached_input_usd"),
            cache_write_picousd=tokens("cache_write_usd"),
            cache_write_1h_picousd=tokens("cache_write_1h_usd"),
            reasoning_picousd=tokens("reasoning_usd"),
            audio_input_picousd=tokens("audio_input_usd"),
            audio_output_picousd=tokens("audio_output_usd"),
            image_input_picousd=tokens("image_input_usd"),
            image_output_picousd=tokens("image_output_usd"),
            unit=self.cleaned_data["unit"],
            unit_picousd=picousd_per_unit(self.cleaned_data["unit_usd"] or Decimal(0), field="unit_usd"),
            request_picousd=picousd_per_request(self.cleaned_data["request_usd"] or Decimal(0), field="request_usd"),
        )


@admin.register(Price)
class PriceAdmin(RegistryAdmin):
    """Prices are added and never changed: a correction is a new row."""

    changes = False
    form = PriceForm
    list_display = ["model", "endpoint", "effective_from", "input_shown", "output_shown", "source", "created_by"]
    list_filter = ["effective_from", "endpoint__provider"]
    list_select_related = ["model", "endpoint__provider", "created_by"]
    search_fields = ["model__slug", "model__name", "source"]
    autocomplete_fields = ["model", "endpoint"]
    date_hierarchy = "effective_from"
    _kinds = ["input", "output", "cached_input", "cache_write", "cache_write_1h", "reasoning"]
    _kinds += ["audio_input", "audio_output", "image_input", "image_output"]
    _written = [*(f"{kind}_usd" for kind in _kinds), "unit", "unit_usd", "request_usd"]
    _kept = [*(f"{kind}_picousd" for kind in _kinds), "unit", "unit_picousd", "request_picousd"]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        about = ["model", "endpoint", "effective_from", "source"]
        return [*about, *self._kept, "created_by", "created_at"] if obj else [*about, *self._written]

    @display(description="Input, $ per 1M", ordering="input_picousd")
    def input_shown(self, row: Price) -> str:
        return per_million(row.input_picousd)

    @display(description="Output, $ per 1M", ordering="output_picousd")
    def output_shown(self, row: Price) -> str:
        return per_million(row.output_picousd)

    def create(self, actor: Actor, form: Any) -> Price:
        data = form.cleaned_data
        return services.add_price(
            actor=actor,
            model=data["model"],
            endpoint=data["endpoint"],
            effective_from=data["effective_from"],
            source=data["source"],
            figures=form.figures(),
        )


@admin.register(AccessGrant)
class AccessGrantAdmin(LobbyModelAdmin[AccessGrant]):
    view_action = "registry.view"
    manage_action = "access.grant"
    deletes = True
    list_display = ["model", "tenant", "project", "expires_at", "licence_accepted_at", "granted_by", "created_at"]
    list_filter = ["tenant", "expires_at"]
    list_select_related = ["model", "tenant", "project", "granted_by"]
    search_fields = ["model__slug", "model__name", "tenant__name", "tenant__slug", "project__name"]
    autocomplete_fields = ["model", "tenant", "project"]
    actions_detail = ["accept_licence"]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ["model", "tenant", "project", "expires_at", *(["licence_accepted_at"] if obj else [])]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ["model", "tenant", "project", "licence_accepted_at"] if obj else []

    def create(self, actor: Actor, form: Any) -> AccessGrant:
        return services.grant_access(actor=actor, **form.cleaned_data)

    def update(self, actor: Actor, row: AccessGrant, form: Any) -> AccessGrant:
        return services.grant_access(
            actor=actor,
            tenant=row.tenant,
            model=row.model,
            project=row.project,
            expires_at=form.cleaned_data["expires_at"],
        )

    def remove(self, actor: Actor, row: AccessGrant) -> None:
        services.revoke_access(actor=actor, grant=row)

    def has_accept_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return can(self.actor(request), "licence.accept")

    @action(
        description="Accept the licence",
        permissions=["accept"],
        dialog=dialog(
            "Accept the model's licence for this tenant?", "It covers every grant of the model to it.", "Accept"
        ),
    )
    def accept_licence(self, request: HttpRequest, form: Any, object_id: int) -> HttpResponse:
        grant = AccessGrant.objects.unscoped("admin").select_related("tenant", "model").get(pk=object_id)
        return self.act_from_dialog(
            request,
            f"{grant.tenant} has accepted the licence of {grant.model}.",
            lambda actor: services.accept_licence(actor=actor, tenant=grant.tenant, model=grant.model),
        )
