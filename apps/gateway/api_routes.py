"""/api/routes: what applications call in the place of a model."""

from __future__ import annotations

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from apps.gateway import services
from apps.gateway.models import Route
from apps.gateway.routing import selectors
from apps.gateway.routing.simulation import simulate
from apps.gateway.serializers import (
    NewRevision,
    NewRoute,
    Putting,
    RevisionOut,
    RouteChanges,
    RouteOut,
    Simulation,
    SimulationOut,
)
from apps.gateway.services import TargetSpec
from apps.gateway.types import Strategy
from apps.models import selectors as registry
from apps.tenants.access import require_somewhere
from apps.tenants.rest.filters import ChoiceFilter, Filters, FlagFilter, TextFilter
from apps.tenants.rest.schema import CONFLICT, NOT_FOUND, operation
from apps.tenants.rest.views import ApiView, no_content
from apps.tenants.selectors import get_key_for, get_project_for, get_tenant_for

ROUTES = "Routes"


class RouteFilters(Filters):
    orderings = ("slug", "name", "created_at")
    search_in = ("slug", "name", "description")
    tenant = TextFilter("tenant__slug")
    strategy = ChoiceFilter(choices=Strategy.choices)
    is_enabled = FlagFilter()


class RevisionFilters(Filters):
    orderings = ("number",)
    default_ordering = "-number"


class _RouteView(ApiView):
    def route(self, row: Route, code: int = 200) -> Response:
        """As it is now."""
        return self.shown(RouteOut, selectors.get_route_for(self.actor, row.pk), code)

    def targets(self, body: dict[str, Any]) -> list[TargetSpec] | None:
        """The body's targets, taken out of it and reached for the actor."""
        if "targets" not in body:
            return None
        return [self._target(dict(each)) for each in body.pop("targets")]

    def _target(self, body: dict[str, Any]) -> TargetSpec:
        slug, number = body.pop("model", None), body.pop("endpoint", None)
        spec: TargetSpec = TargetSpec(**body)  # type: ignore[typeddict-item]
        if slug is not None:
            spec["model"] = self.referenced("targets", lambda: registry.get_model_for(self.actor, slug))
        if number is not None:
            spec["endpoint"] = self.referenced("targets", lambda: registry.get_endpoint_for(self.actor, number))
        return spec


class RouteList(_RouteView):
    @operation("list-routes", "List routes", tag=ROUTES, response=RouteOut, filters=RouteFilters, paged=True)
    def get(self, request: Request) -> Response:
        require_somewhere(self.actor, "route.view", what="see routes")
        return self.page(selectors.routes_for(self.actor), RouteOut, RouteFilters)

    @operation(
        "create-route",
        "Create a route",
        tag=ROUTES,
        request=NewRoute,
        response=RouteOut,
        status=201,
        errors=CONFLICT,
        description="A tenant's own, for its admins; without `tenant` the platform's, for its staff.",
    )
    def post(self, request: Request) -> Response:
        body = self.body(NewRoute)
        slug = body.pop("tenant", None)
        tenant = None if slug is None else self.referenced("tenant", lambda: get_tenant_for(self.actor, slug))
        targets = self.targets(body) or []
        route = services.create_route(actor=self.actor, tenant=tenant, targets=targets, **body)
        return self.route(route, 201)


class RouteDetail(_RouteView):
    @operation("get-route", "Get a route", tag=ROUTES, response=RouteOut, errors=NOT_FOUND)
    def get(self, request: Request, id: int) -> Response:
        return self.shown(RouteOut, selectors.get_route_for(self.actor, id))

    @operation(
        "change-route",
        "Change a route",
        tag=ROUTES,
        request=RouteChanges,
        response=RouteOut,
        errors=NOT_FOUND | CONFLICT,
        description="In force within a second, without a restart. `targets` replaces all of them. A guarded route's"
        " targets and strategy are `proposed`, and in force once its gate has let them through.",
    )
    def patch(self, request: Request, id: int) -> Response:
        row = selectors.get_route_for(self.actor, id)
        body = self.body(RouteChanges)
        services.update_route(actor=self.actor, route=row, targets=self.targets(body), **body)
        return self.route(row)

    @operation("delete-route", "Delete a route", tag=ROUTES, status=204, errors=NOT_FOUND)
    def delete(self, request: Request, id: int) -> Response:
        services.delete_route(actor=self.actor, route=selectors.get_route_for(self.actor, id))
        return no_content()


class RevisionList(_RouteView):
    @operation(
        "list-route-revisions",
        "List a route's revisions",
        tag=ROUTES,
        response=RevisionOut,
        filters=RevisionFilters,
        paged=True,
        errors=NOT_FOUND,
        description="What it was told to do, one after the other.",
    )
    def get(self, request: Request, id: int) -> Response:
        return self.page(selectors.revisions_for(self.actor, id), RevisionOut, RevisionFilters)

    @operation(
        "save-route-revision",
        "Save a route's revision",
        tag=ROUTES,
        request=NewRevision,
        response=RevisionOut,
        status=201,
        errors=NOT_FOUND | CONFLICT,
        description="In force at once, or proposed where the route is guarded; `state` tells. Where a revision says the"
        " very same, it is that one.",
    )
    def post(self, request: Request, id: int) -> Response:
        row = selectors.get_route_for(self.actor, id)
        body = self.body(NewRevision)
        saved = services.update_route(actor=self.actor, route=row, targets=self.targets(body), **body)
        revision = saved.proposed or saved.route.revision
        assert revision is not None
        return self.shown(RevisionOut, selectors.get_revision_for(self.actor, id, revision.number), 201)


class RevisionDetail(ApiView):
    @operation("get-route-revision", "Get a route's revision", tag=ROUTES, response=RevisionOut, errors=NOT_FOUND)
    def get(self, request: Request, id: int, number: int) -> Response:
        return self.shown(RevisionOut, selectors.get_revision_for(self.actor, id, number))


class RevisionPutting(ApiView):
    @operation(
        "put-route-revision-in-force",
        "Put a revision in force",
        tag=ROUTES,
        request=Putting,
        response=RevisionOut,
        errors=NOT_FOUND | CONFLICT,
        description="Within a second. Of a guarded route one that was in force before: others are for its gate.",
    )
    def post(self, request: Request, id: int, number: int) -> Response:
        revision = selectors.get_revision_for(self.actor, id, number)
        services.put_in_force(actor=self.actor, revision=revision, **self.body(Putting))
        return self.shown(RevisionOut, selectors.get_revision_for(self.actor, id, number))


class RouteSimulation(ApiView):
    @operation(
        "simulate-route",
        "Simulate a route",
        tag=ROUTES,
        request=Simulation,
        response=SimulationOut,
        errors=NOT_FOUND,
        description="Where a request would go now, and why not elsewhere. Nobody is called, and nothing is counted.",
    )
    def post(self, request: Request, id: int) -> Response:
        row = selectors.get_route_for(self.actor, id)
        body = self.body(Simulation)
        label, prefix = body.pop("project"), body.pop("key", None)
        tenant, _, slug = label.partition("/")
        project = self.referenced("project", lambda: get_project_for(self.actor, tenant, slug))
        key = None if prefix is None else self.referenced("key", lambda: get_key_for(self.actor, prefix))
        return self.shown(SimulationOut, simulate(actor=self.actor, route=row, project=project, api_key=key, **body))
