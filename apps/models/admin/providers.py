"""Providers and endpoints in the admin. Credentials are written here and never shown."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from unfold.decorators import action
from unfold.enums import ActionVariant
from unfold.widgets import (
    UnfoldAdminPasswordWidget,
)

from apps.models import discovery, services
from apps.models.admin.base import EndpointInline, RegistryAdmin, dialog
from apps.models.connection import try_connection
from apps.models.models import Endpoint, Provider
from apps.tenants.access import Actor
from apps.tenants.admin_base import ServiceForm
from apps.tenants.errors import Conflict


class SettingsForm(ServiceForm):
    """Of a row with ``settings``, which left empty are none."""

    def clean_settings(self) -> dict[str, str]:
        return self.cleaned_data["settings"] or {}


class ProviderForm(SettingsForm):
    credential = forms.CharField(
        required=False,
        strip=True,
        widget=UnfoldAdminPasswordWidget(render_value=False, attrs={"autocomplete": "off"}),
        help_text="Stored encrypted and never shown again. Empty keeps the one there is, unless the server changes.",
    )


@admin.register(Provider)
class ProviderAdmin(RegistryAdmin):
    form = ProviderForm
    list_display = ["name", "slug", "kind", "base_url", "credential_source", "is_enabled", "last_seen_at", "last_error"]
    list_filter = ["kind", "is_enabled", "credential_source", "from_environment"]
    search_fields = ["name", "slug", "base_url"]
    inlines = [EndpointInline]
    actions_detail = ["test_it", "discover", "enable", "disable"]
    _state = ["is_enabled", "from_environment", "missing_since", "last_seen_at", "last_error", "created_at"]
    _credential = ["credential_source", "credential_env", "credential_secret", "credential_secret_key"]
    _of_environment = ["base_url", "settings", *_credential, "auto_discover"]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        credential = [*self._credential]
        if self._manages(request) and not (obj and obj.from_environment):
            credential.append("credential")
        groups: list[Any] = [
            (None, {"fields": ["name", "slug", "kind", "base_url", "settings", "auto_discover"]}),
            ("Credential", {"fields": credential}),
        ]
        return [*groups, ("State", {"fields": self._state})] if obj else groups

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None:
            return []
        return [*self._state, "slug", "kind", *(self._of_environment if obj.from_environment else [])]

    def create(self, actor: Actor, form: Any) -> Provider:
        data = dict(form.cleaned_data)
        return services.create_provider(actor=actor, secret=data.pop("credential"), **data)

    def update(self, actor: Actor, row: Provider, form: Any) -> Provider:
        data = dict(form.cleaned_data)
        secret = data.pop("credential", "")
        return services.update_provider(actor=actor, provider=row, secret=secret, **data)

    @action(
        description="Discover models",
        permissions=["act"],
        dialog=dialog(
            "Ask this provider for its models?", "New ones are registered; vanished ones disabled.", "Discover"
        ),
    )
    def discover(self, request: HttpRequest, form: Any, object_id: int) -> HttpResponse:
        provider = Provider.objects.get(pk=object_id)
        return self.act_from_dialog(
            request,
            f"The models of {provider} are up to date.",
            lambda actor: discovery.discover_provider(actor=actor, provider=provider),
        )

    @action(
        description="Test the connection",
        permissions=["act"],
        dialog=dialog("Test the connection?", "It is asked for its list of models. Nothing is billed.", "Test"),
    )
    def test_it(self, request: HttpRequest, form: Any, object_id: int) -> HttpResponse:
        provider = Provider.objects.get(pk=object_id)

        def test(actor: Actor) -> None:
            report = try_connection(actor=actor, provider=provider)
            if not report.is_ok:
                raise Conflict(report.title, code=report.outcome.value, remedy=report.remedy)

        return self.act_from_dialog(request, f"{provider} answers.", test)

    @action(
        description="Enable",
        permissions=["act"],
        dialog=dialog("Enable this provider?", "Calls may go to it again.", "Enable"),
    )
    def enable(self, request: HttpRequest, form: Any, object_id: int) -> HttpResponse:
        provider = Provider.objects.get(pk=object_id)
        return self.act_from_dialog(
            request,
            f"{provider} is enabled.",
            lambda actor: services.enable_provider(actor=actor, provider=provider),
        )

    @action(
        description="Disable",
        permissions=["act"],
        variant=ActionVariant.DANGER,
        dialog=dialog("Disable this provider?", "Nothing is sent to it any more; its history stays.", "Disable"),
    )
    def disable(self, request: HttpRequest, form: Any, object_id: int) -> HttpResponse:
        provider = Provider.objects.get(pk=object_id)
        return self.act_from_dialog(
            request,
            f"{provider} is disabled.",
            lambda actor: services.disable_provider(actor=actor, provider=provider),
        )


@admin.register(Endpoint)
class EndpointAdmin(RegistryAdmin):
    form = SettingsForm
    list_display = ["model", "provider", "upstream_model", "region", "priority", "is_enabled", "missing_since"]
    list_filter = ["is_enabled", "provider", "region"]
    list_select_related = ["model", "provider"]
    search_fields = ["upstream_model", "model__slug", "model__name", "provider__name"]
    autocomplete_fields = ["model", "provider"]
    actions_detail = ["enable", "disable"]
    _state = ["is_enabled", "from_discovery", "missing_since", "created_at"]
    _identity = ["model", "provider", "upstream_model"]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        groups: list[Any] = [
            (None, {"fields": [*self._identity, "region", "priority"]}),
            (
                "Timeouts, in milliseconds",
                {"fields": ["connect_timeout_ms", "first_byte_timeout_ms", "idle_timeout_ms", "total_timeout_ms"]},
            ),
            ("For the adapter", {"fields": ["settings"]}),
        ]
        return [*groups, ("State", {"fields": self._state})] if obj else groups

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return [*self._state, *self._identity] if obj else []

    def create(self, actor: Actor, form: Any) -> Endpoint:
        return services.create_endpoint(actor=actor, **form.cleaned_data)

    def update(self, actor: Actor, row: Endpoint, form: Any) -> Endpoint:
        return services.update_endpoint(actor=actor, endpoint=row, **form.cleaned_data)

    @action(
        description="Enable",
        permissions=["act"],
        dialog=dialog("Enable this endpoint?", "Calls may go to it again.", "Enable"),
    )
    def enable(self, request: HttpRequest, form: Any, object_id: int) -> HttpResponse:
        endpoint = Endpoint.objects.get(pk=object_id)
        return self.act_from_dialog(
            request,
            f"{endpoint} is enabled.",
            lambda actor: services.enable_endpoint(actor=actor, endpoint=endpoint),
        )

    @action(
        description="Disable",
        permissions=["act"],
        variant=ActionVariant.DANGER,
        dialog=dialog("Disable this endpoint?", "Its model is called at its other endpoints, if any.", "Disable"),
    )
    def disable(self, request: HttpRequest, form: Any, object_id: int) -> HttpResponse:
        endpoint = Endpoint.objects.get(pk=object_id)
        return self.act_from_dialog(
            request,
            f"{endpoint} is disabled.",
            lambda actor: services.disable_endpoint(actor=actor, endpoint=endpoint),
        )
