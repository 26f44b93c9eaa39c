"""Reads of routes, always for an actor.

The platform's routes exist for everybody; what they send to, and on which conditions, is for the platform's staff: a
condition may name another tenant.
"""

from __future__ import annotations

from django.db.models import BooleanField, Exists, ExpressionWrapper, F, OuterRef, Prefetch, Q, QuerySet

from apps.gateway.models import Route, RouteTarget
from apps.gateway.types import Purpose
from apps.models.models import Model
from apps.tenants.access import Actor, can
from apps.tenants.errors import NotFound
from apps.tenants.models import Tenant

WHY = "the platform's own routes"


def routes_for(actor: Actor) -> QuerySet[Route]:
    """The routes that exist for this actor, with the targets that they may read.

    ``shows_targets`` tells whether they may.
    """
    rows = Route.objects.for_actor(actor)
    if actor.tenants_allowing("route.view"):  # in some tenant; None is all of them, and the platform's are among them
        rows = rows | Route.objects.unscoped(WHY).filter(tenant=None)
    targets = RouteTarget.objects.unscoped("the targets of routes reached for the actor")
    targets = targets.select_related("model", "endpoint__model", "endpoint__provider")
    shows = Q(tenant__isnull=False)
    if can(actor, "registry.view"):
        shows = Q(pk__isnull=False)
    else:
        targets = targets.filter(route__tenant__isnull=False)
    rows = rows.annotate(shows_targets=ExpressionWrapper(shows, output_field=BooleanField()))
    return rows.select_related("tenant").prefetch_related(Prefetch("targets", queryset=targets))


def callable_routes_for(actor: Actor, tenant: Tenant, models: QuerySet[Model]) -> list[Route]:
    """The routes that the tenant may name and that send to one of ``models`` at least; its own before the platform's.

    Which ones they send to is not told.
    """
    wanted = models.order_by().values("pk")
    targets = RouteTarget.objects.unscoped("whether a route sends to a model that the actor may call")
    targets = targets.filter(route=OuterRef("pk"), purpose=Purpose.NORMAL)
    targets = targets.filter(Q(model__in=wanted) | Q(endpoint__model__in=wanted))
    rows = routes_for(actor).filter(Q(tenant=tenant) | Q(tenant=None), Exists(targets), is_enabled=True)
    named: dict[str, Route] = {}
    for route in rows.order_by(F("tenant").asc(nulls_last=True), "slug"):
        named.setdefault(route.slug, route)
    return sorted(named.values(), key=lambda route: route.name.lower())


def get_route_for(actor: Actor, pk: int) -> Route:
    route = routes_for(actor).filter(pk=pk).first()
    if route is None:
        raise NotFound("There is no such route.")
    return route


def model_of(target: RouteTarget) -> Model:
    """The model that the target serves. Its relations must be loaded."""
    model = target.model if target.endpoint is None else target.endpoint.model
    assert model is not None  # a constraint of the table
    return model


def route_named(slug: str) -> str:
    """What bears this name, in words; empty when nothing does. For whoever names a model."""
    route = Route.objects.unscoped("names of models and routes do not meet").filter(slug=slug).first()
    if route is None:
        return ""
    return "a route of the platform's" if route.tenant_id is None else "a tenant's route"
