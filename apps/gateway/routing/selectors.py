"""Reads of routes, always for an actor.

The platform's routes exist for everybody; what they send to, and on which conditions, is for the platform's staff: a
condition may name another tenant.
"""

from __future__ import annotations

from django.db.models import BooleanField, Exists, ExpressionWrapper, F, OuterRef, Prefetch, Q, QuerySet, Subquery

from apps.gateway.models import Route, RouteRevision, RouteTarget
from apps.gateway.types import Guard, Purpose
from apps.models.models import Model
from apps.tenants.access import Actor, can
from apps.tenants.errors import NotFound
from apps.tenants.models import Tenant

WHY = "the platform's own routes"
CALLABLE_REVISIONS = 20  # of one guarded route, besides the one in force


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
    rows = rows.select_related("tenant", "revision", "proposed")
    return rows.prefetch_related(Prefetch("targets", queryset=targets))


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


def revisions_of(route: Route) -> QuerySet[RouteRevision]:
    """Newest first. ``route`` was reached for the actor, who may read its targets."""
    rows = RouteRevision.objects.unscoped("of a route reached for the actor").filter(route=route)
    return rows.select_related("route", "author", "parent").order_by("-number")


def revisions_for(actor: Actor, pk: int) -> QuerySet[RouteRevision]:
    """None of a route whose targets are not for the actor to know."""
    route = get_route_for(actor, pk)
    return revisions_of(route) if _shows(route) else revisions_of(route).none()


def get_revision_for(actor: Actor, pk: int, number: int) -> RouteRevision:
    """Of a route whose targets the actor may read."""
    route = get_route_for(actor, pk)
    revision = revisions_of(route).filter(number=min(number, 2**31 - 1)).first() if _shows(route) else None
    if revision is None:
        raise NotFound(f"{route.name} has no revision {number}.")
    revision.route = route
    return revision


def callable_revisions(why: str) -> QuerySet[RouteRevision]:
    """Guarded routes' revisions that the gateway knows by name: the one in force, and the newest."""
    newest = RouteRevision.objects.unscoped(why).filter(route=OuterRef("route")).order_by("-number").values("number")
    rows = RouteRevision.objects.unscoped(why).select_related("route")
    rows = rows.filter(route__is_enabled=True, route__tenant__isnull=False).exclude(route__guard=Guard.NONE)
    rows = rows.annotate(newest=Subquery(newest[:1]))
    return rows.filter(Q(pk=F("route__revision")) | Q(number__gt=F("newest") - CALLABLE_REVISIONS))


def callable_revision(tenant: Tenant, called: str) -> RouteRevision | None:
    """By its name in calls, such as ``claims-default@3``."""
    slug, _, number = called.rpartition("@")
    if not slug or not (number.isascii() and number.isdigit()) or len(number) > 9:
        return None
    rows = callable_revisions("of the tenant that calls").filter(route__tenant=tenant, route__slug=slug)
    return rows.filter(number=int(number)).first()


def route_called(tenant: Tenant, called: str) -> Route | None:
    """The route that a name in the tenant's calls stands for: its own, or that of a revision, callable still or not."""
    slug, _, number = called.rpartition("@")
    names = [called, slug] if slug and number.isascii() and number.isdigit() else [called]
    rows = Route.objects.unscoped("of the tenant that calls").filter(Q(tenant=tenant) | Q(tenant=None), slug__in=names)
    return rows.order_by(F("tenant").asc(nulls_last=True), "pk").first()


def _shows(route: Route) -> bool:
    return bool(route.shows_targets)  # type: ignore[attr-defined]


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
