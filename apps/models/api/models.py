"""/api/models, /api/prices and /api/grants."""

from __future__ import annotations

from django.db import transaction
from rest_framework.request import Request
from rest_framework.response import Response

from apps.models import selectors, services
from apps.models.prices import Figures
from apps.models.serializers import (
    GrantOut,
    LicenceAcceptance,
    ModelChanges,
    ModelOut,
    NewGrant,
    NewModel,
    NewPrice,
    PriceOut,
)
from apps.models.types import Lifecycle, ModelKind
from apps.tenants import selectors as tenants
from apps.tenants.rest.filters import ChoiceFilter, Filters, FlagFilter, MomentFilter, NumberFilter, TextFilter
from apps.tenants.rest.schema import CONFLICT, NOT_FOUND, operation
from apps.tenants.rest.views import ApiView, no_content

MODELS, PRICES, GRANTS = "Models", "Prices", "Grants"


class ModelFilters(Filters):
    orderings = ("name", "slug", "created_at")
    search_in = ("name", "slug", "publisher", "description")
    kind = ChoiceFilter(choices=ModelKind.choices)
    lifecycle = ChoiceFilter(choices=Lifecycle.choices)
    publisher = TextFilter(max_length=100)
    is_open = FlagFilter()


class ModelList(ApiView):
    @operation("list-models", "List models", tag=MODELS, response=ModelOut, filters=ModelFilters, paged=True)
    def get(self, request: Request) -> Response:
        return self.page(selectors.models_for(self.actor), ModelOut, ModelFilters)

    @operation(
        "create-model",
        "Register a model",
        tag=MODELS,
        request=NewModel,
        response=ModelOut,
        status=201,
        errors=CONFLICT,
        description="For the platform's staff.",
    )
    def post(self, request: Request) -> Response:
        return self.shown(ModelOut, services.create_model(actor=self.actor, **self.body(NewModel)), 201)


class ModelDetail(ApiView):
    @operation("get-model", "Get a model", tag=MODELS, response=ModelOut, errors=NOT_FOUND)
    def get(self, request: Request, model: str) -> Response:
        return self.shown(ModelOut, selectors.get_model_for(self.actor, model))

    @operation(
        "change-model",
        "Change a model",
        tag=MODELS,
        request=ModelChanges,
        response=ModelOut,
        errors=NOT_FOUND | CONFLICT,
        description="For the platform's staff. The lifecycle goes step by step.",
    )
    def patch(self, request: Request, model: str) -> Response:
        row = selectors.get_model_for(self.actor, model)
        changes = self.body(ModelChanges)
        lifecycle = changes.pop("lifecycle", None)
        with transaction.atomic():
            row = services.update_model(actor=self.actor, model=row, **changes)
            if lifecycle is not None:
                row = services.set_lifecycle(actor=self.actor, model=row, lifecycle=lifecycle)
        return self.shown(ModelOut, row)


class PriceFilters(Filters):
    orderings = ("effective_from", "created_at")
    default_ordering = "-effective_from"
    model = TextFilter("model__slug", help_text="Needed by those who are not platform staff.")
    endpoint = NumberFilter("endpoint_id")
    since = MomentFilter("effective_from", lookup_expr="gte")
    until = MomentFilter("effective_from", lookup_expr="lt")


class PriceList(ApiView):
    @operation(
        "list-prices",
        "List prices",
        tag=PRICES,
        response=PriceOut,
        filters=PriceFilters,
        paged=True,
        errors=NOT_FOUND,
        description="With `model`, the history of that model's prices. The whole book is for the platform's staff.",
    )
    def get(self, request: Request) -> Response:
        if slug := request.query_params.get("model"):
            rows = selectors.price_history_for(self.actor, selectors.get_model_for(self.actor, slug))
        else:
            rows = selectors.prices_for(self.actor)
        return self.page(rows.select_related("model"), PriceOut, PriceFilters)

    @operation(
        "add-price",
        "Add a price",
        tag=PRICES,
        request=NewPrice,
        response=PriceOut,
        status=201,
        description="Prices are only ever added: the newest that has begun is in force. For the platform's staff.",
    )
    def post(self, request: Request) -> Response:
        body = self.body(NewPrice)
        slug, number = body.pop("model"), body.pop("endpoint", None)
        model = self.referenced("model", lambda: selectors.get_model_for(self.actor, slug))
        endpoint = None
        if number is not None:
            endpoint = self.referenced("endpoint", lambda: selectors.get_endpoint_for(self.actor, number))
        figures = Figures(
            **{name: body.pop(name) for name in list(body) if name == "unit" or name.endswith("_picousd")}
        )
        price = services.add_price(actor=self.actor, model=model, endpoint=endpoint, figures=figures, **body)
        return self.shown(PriceOut, price, 201)


class GrantFilters(Filters):
    orderings = ("created_at",)
    tenant = TextFilter("tenant__slug")
    project = TextFilter("project__slug")
    model = TextFilter("model__slug")


class GrantList(ApiView):
    @operation("list-grants", "List grants", tag=GRANTS, response=GrantOut, filters=GrantFilters, paged=True)
    def get(self, request: Request) -> Response:
        return self.page(selectors.grants_for(self.actor), GrantOut, GrantFilters)

    @operation(
        "grant-access",
        "Grant access to a model",
        tag=GRANTS,
        request=NewGrant,
        response=GrantOut,
        description="The one grant of this model to the tenant or project: made, or its expiry changed.",
    )
    def post(self, request: Request) -> Response:
        body = self.body(NewGrant)
        slug, name, project_slug = body.pop("tenant"), body.pop("model"), body.pop("project", None)
        tenant = self.referenced("tenant", lambda: tenants.get_tenant_for(self.actor, slug))
        model = self.referenced("model", lambda: selectors.get_model_for(self.actor, name))
        project = None
        if project_slug is not None:
            project = self.referenced("project", lambda: tenants.get_project_for(self.actor, slug, project_slug))
        grant = services.grant_access(actor=self.actor, tenant=tenant, model=model, project=project, **body)
        return self.shown(GrantOut, grant)


class GrantDetail(ApiView):
    @operation("get-grant", "Get a grant", tag=GRANTS, response=GrantOut, errors=NOT_FOUND)
    def get(self, request: Request, id: int) -> Response:
        return self.shown(GrantOut, selectors.get_grant_for(self.actor, id))

    @operation("revoke-access", "Revoke a grant", tag=GRANTS, status=204, errors=NOT_FOUND)
    def delete(self, request: Request, id: int) -> Response:
        services.revoke_access(actor=self.actor, grant=selectors.get_grant_for(self.actor, id))
        return no_content()


class LicenceAccepting(ApiView):
    @operation(
        "accept-licence",
        "Accept a model's licence",
        tag=GRANTS,
        request=LicenceAcceptance,
        response=GrantOut,
        errors=NOT_FOUND | CONFLICT,
        description="For a tenant's admins: for every grant of the model that the tenant has. An open model gets one.",
    )
    def post(self, request: Request) -> Response:
        body = self.body(LicenceAcceptance)
        tenant = self.referenced("tenant", lambda: tenants.get_tenant_for(self.actor, body["tenant"]))
        model = self.referenced("model", lambda: selectors.get_model_for(self.actor, body["model"]))
        return self.shown(GrantOut, services.accept_licence(actor=self.actor, tenant=tenant, model=model))
