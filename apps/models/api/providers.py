"""/api/providers and /api/endpoints: for the platform's staff."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response

from apps.models import offers, selectors, services
from apps.models.connection import try_connection
from apps.models.serializers import (
    ChosenModels,
    ConnectionReport,
    ConnectionTest,
    Credential,
    EndpointChanges,
    EndpointOut,
    NewEndpoint,
    NewProvider,
    OffersOut,
    ProviderChanges,
    ProviderOut,
    RegisteredOut,
)
from apps.models.types import ProviderKind
from apps.tenants.rest.filters import ChoiceFilter, Filters, FlagFilter, TextFilter
from apps.tenants.rest.schema import CONFLICT, NOT_FOUND, operation
from apps.tenants.rest.views import ApiView
from apps.tenants.serializers import Nothing

PROVIDERS, ENDPOINTS = "Providers", "Endpoints"


class ProviderFilters(Filters):
    orderings = ("name", "slug", "created_at")
    search_in = ("name", "slug", "base_url")
    kind = ChoiceFilter(choices=ProviderKind.choices)
    is_enabled = FlagFilter()


class ProviderList(ApiView):
    @operation(
        "list-providers", "List providers", tag=PROVIDERS, response=ProviderOut, filters=ProviderFilters, paged=True
    )
    def get(self, request: Request) -> Response:
        return self.page(selectors.providers_for(self.actor), ProviderOut, ProviderFilters)

    @operation(
        "create-provider",
        "Register a provider",
        tag=PROVIDERS,
        request=NewProvider,
        response=ProviderOut,
        status=201,
        errors=CONFLICT,
    )
    def post(self, request: Request) -> Response:
        provider = services.create_provider(actor=self.actor, **self.body(NewProvider))
        return self.shown(ProviderOut, provider, 201)


class ProviderDetail(ApiView):
    @operation("get-provider", "Get a provider", tag=PROVIDERS, response=ProviderOut, errors=NOT_FOUND)
    def get(self, request: Request, provider: str) -> Response:
        return self.shown(ProviderOut, selectors.get_provider_for(self.actor, provider))

    @operation(
        "change-provider",
        "Change a provider",
        tag=PROVIDERS,
        request=ProviderChanges,
        response=ProviderOut,
        errors=NOT_FOUND | CONFLICT,
        description="Another server (scheme, host or port) needs its credential in the same call.",
    )
    def patch(self, request: Request, provider: str) -> Response:
        row = selectors.get_provider_for(self.actor, provider)
        return self.shown(
            ProviderOut, services.update_provider(actor=self.actor, provider=row, **self.body(ProviderChanges))
        )


class ProviderCredential(ApiView):
    @operation(
        "set-provider-credential",
        "Store a provider's credential",
        tag=PROVIDERS,
        request=Credential,
        response=ProviderOut,
        errors=NOT_FOUND | CONFLICT,
        description="Encrypted; it replaces whatever the provider had, and is never shown.",
    )
    def put(self, request: Request, provider: str) -> Response:
        row = selectors.get_provider_for(self.actor, provider)
        return self.shown(ProviderOut, services.set_credential(actor=self.actor, provider=row, **self.body(Credential)))


class ProviderTest(ApiView):
    @operation(
        "test-provider",
        "Test the connection to a provider",
        tag=PROVIDERS,
        request=ConnectionTest,
        response=ConnectionReport,
        errors=NOT_FOUND,
        description="A tiny real call. A failure is an answer, too: its `outcome` tells a wrong key, region, model or"
        " address apart.",
    )
    def post(self, request: Request, provider: str) -> Response:
        row = selectors.get_provider_for(self.actor, provider)
        body = self.body(ConnectionTest)
        report = try_connection(
            actor=self.actor, provider=row, upstream_model=body.get("model", ""), settings=body.get("settings")
        )
        return self.shown(ConnectionReport, report)


class ProviderModels(ApiView):
    @operation(
        "list-provider-models",
        "List what a provider offers",
        tag=PROVIDERS,
        response=OffersOut,
        errors=NOT_FOUND,
        description="Asked of the provider now; with the list prices that are known.",
    )
    def get(self, request: Request, provider: str) -> Response:
        row = selectors.get_provider_for(self.actor, provider)
        return self.shown(OffersOut, {"results": offers.offers_of(actor=self.actor, provider=row)})

    @operation(
        "register-provider-models",
        "Register models that a provider offers",
        tag=PROVIDERS,
        request=ChosenModels,
        response=RegisteredOut,
        errors=NOT_FOUND | CONFLICT,
        description="Each with an endpoint at the provider and its list price. Those there are stay as they are.",
    )
    def post(self, request: Request, provider: str) -> Response:
        row = selectors.get_provider_for(self.actor, provider)
        chosen = self.body(ChosenModels)["models"]
        added = offers.register_models(actor=self.actor, provider=row, upstream_models=chosen)
        return self.shown(RegisteredOut, {"registered": len(added)})


class ProviderEnabling(ApiView):
    @operation(
        "enable-provider", "Enable a provider", tag=PROVIDERS, request=Nothing, response=ProviderOut, errors=NOT_FOUND
    )
    def post(self, request: Request, provider: str) -> Response:
        row = selectors.get_provider_for(self.actor, provider)
        self.body(Nothing)
        return self.shown(ProviderOut, services.enable_provider(actor=self.actor, provider=row))


class ProviderDisabling(ApiView):
    @operation(
        "disable-provider",
        "Disable a provider",
        tag=PROVIDERS,
        request=Nothing,
        response=ProviderOut,
        errors=NOT_FOUND,
        description="Nothing is sent to it any more; its endpoints and history stay.",
    )
    def post(self, request: Request, provider: str) -> Response:
        row = selectors.get_provider_for(self.actor, provider)
        self.body(Nothing)
        return self.shown(ProviderOut, services.disable_provider(actor=self.actor, provider=row))


class EndpointFilters(Filters):
    orderings = ("created_at", "priority", "upstream_model")
    search_in = ("upstream_model", "model__slug", "provider__slug")
    model = TextFilter("model__slug")
    provider = TextFilter("provider__slug", max_length=50)
    region = TextFilter(max_length=50)
    is_enabled = FlagFilter()


class EndpointList(ApiView):
    @operation(
        "list-endpoints", "List endpoints", tag=ENDPOINTS, response=EndpointOut, filters=EndpointFilters, paged=True
    )
    def get(self, request: Request) -> Response:
        return self.page(selectors.endpoints_for(self.actor), EndpointOut, EndpointFilters)

    @operation(
        "create-endpoint",
        "Register an endpoint",
        tag=ENDPOINTS,
        request=NewEndpoint,
        response=EndpointOut,
        status=201,
        errors=CONFLICT,
    )
    def post(self, request: Request) -> Response:
        body = self.body(NewEndpoint)
        model_slug, provider_slug = body.pop("model"), body.pop("provider")
        provider = self.referenced("provider", lambda: selectors.get_provider_for(self.actor, provider_slug))
        model = self.referenced("model", lambda: selectors.get_model_for(self.actor, model_slug))
        endpoint = services.create_endpoint(actor=self.actor, model=model, provider=provider, **body)
        return self.shown(EndpointOut, endpoint, 201)


class EndpointDetail(ApiView):
    @operation("get-endpoint", "Get an endpoint", tag=ENDPOINTS, response=EndpointOut, errors=NOT_FOUND)
    def get(self, request: Request, id: int) -> Response:
        return self.shown(EndpointOut, selectors.get_endpoint_for(self.actor, id))

    @operation(
        "change-endpoint",
        "Change an endpoint",
        tag=ENDPOINTS,
        request=EndpointChanges,
        response=EndpointOut,
        errors=NOT_FOUND | CONFLICT,
    )
    def patch(self, request: Request, id: int) -> Response:
        row = selectors.get_endpoint_for(self.actor, id)
        return self.shown(
            EndpointOut, services.update_endpoint(actor=self.actor, endpoint=row, **self.body(EndpointChanges))
        )


class EndpointEnabling(ApiView):
    @operation(
        "enable-endpoint", "Enable an endpoint", tag=ENDPOINTS, request=Nothing, response=EndpointOut, errors=NOT_FOUND
    )
    def post(self, request: Request, id: int) -> Response:
        row = selectors.get_endpoint_for(self.actor, id)
        self.body(Nothing)
        return self.shown(EndpointOut, services.enable_endpoint(actor=self.actor, endpoint=row))


class EndpointDisabling(ApiView):
    @operation(
        "disable-endpoint",
        "Disable an endpoint",
        tag=ENDPOINTS,
        request=Nothing,
        response=EndpointOut,
        errors=NOT_FOUND,
    )
    def post(self, request: Request, id: int) -> Response:
        row = selectors.get_endpoint_for(self.actor, id)
        self.body(Nothing)
        return self.shown(EndpointOut, services.disable_endpoint(actor=self.actor, endpoint=row))
