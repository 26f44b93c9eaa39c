"""Routes: what applications call in the place of a model. The list, one route with its targets, and editing it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from apps.gateway import services
from apps.gateway.forms import RouteForm, TargetRow, rows_of, with_blanks
from apps.gateway.models import Route, RouteRevision, RouteTarget
from apps.gateway.routing import selectors
from apps.gateway.routing.facts import FACTS
from apps.gateway.routing.health_selectors import health_on_route
from apps.gateway.routing.sharing import Sharing
from apps.gateway.routing.simulation import simulate
from apps.gateway.services import TargetSpec
from apps.gateway.types import Guard, Purpose, RevisionState, Strategy
from apps.gateway.views.health import EndpointLine, lines_of
from apps.models import selectors as registry
from apps.models.models import Endpoint, Model
from apps.tenants.access import can, require
from apps.tenants.errors import Conflict, DomainError, Invalid
from apps.tenants.models import Tenant
from apps.tenants.snippets import chat_snippets
from apps.tenants.views.requests import Here, page_of, sorted_by, tenant_page

ORDERS = {"name": "name", "slug": "slug", "created": "created_at"}
SHOWN_REVISIONS = 30
MANY_CHOICES = 5  # from then on one searches
PLATFORM, OWN = "platform", "tenant"
STRATEGIES = {
    Strategy.PRIORITY: "The first that may serve a request and is healthy; the next ones when it fails.",
    Strategy.WEIGHTED: "At random by weight; the others when it fails.",
    Strategy.LEAST_BUSY: "Whoever has the fewest requests in flight for its weight.",
    Strategy.LATENCY: "Whoever was quickest of late, for an answer of this length.",
    Strategy.COST: "The cheapest for this request.",
    Strategy.CONDITIONS: "Those whose condition holds, in order; then those without one.",
}


@dataclass(frozen=True, slots=True)
class ShownRevision:
    """``may_put``: that it be in force is for the reader to say."""

    revision: RouteRevision
    sharing: Sharing
    may_put: bool

    @property
    def strategy(self) -> str:
        return Strategy(self.sharing.strategy).label


@dataclass(frozen=True, slots=True)
class ShownTarget:
    """``share`` is of the requests that every target may serve; None where it depends on the moment. ``weight`` is
    empty where the strategy has none."""

    target: RouteTarget
    share: float | None
    weight: str
    line: EndpointLine | None  # its health, where it is an endpoint


@require_GET
@tenant_page
def route_list(request: HttpRequest, here: Here) -> HttpResponse:
    require(here.actor, "route.view", here.tenant, what="see routes")
    rows = selectors.routes_for(here.actor).filter(Q(tenant=here.tenant) | Q(tenant=None))
    page = page_of(sorted_by(rows, request, ORDERS, "slug"), request)
    return render(request, "gateway/route_list.html", {"page": page, "may_create": bool(_scopes(here))})


@require_GET
@tenant_page
def route_detail(request: HttpRequest, here: Here, pk: int) -> HttpResponse:
    route = selectors.get_route_for(here.actor, pk)
    targets = list(route.targets.all()) if route.shows_targets else []  # type: ignore[attr-defined]
    normal = [target for target in targets if target.purpose == Purpose.NORMAL]
    health, strategy = _health(normal), Strategy(route.strategy)
    context = {
        "may_simulate": _may_simulate(here),
        "route": route,
        "strategy_help": STRATEGIES[strategy],
        "normal": [
            ShownTarget(
                target,
                _share(route, target, normal),
                str(target.weight) if strategy.weighs(sticky=route.sticky) else "",
                health.get(target.endpoint_id or 0),
            )
            for target in normal
        ],
        "others": [target for target in targets if target.purpose != Purpose.NORMAL],
        "shows_targets": route.shows_targets,  # type: ignore[attr-defined]
        "may_manage": _may_manage(here, route),
        "revisions": _history(here, route),
        "tabs": chat_snippets(base_url=settings.GATEWAY_PUBLIC_URL, key="$LOBBY_API_KEY", model=route.slug),
    }
    return render(request, "gateway/route_detail.html", context)


@require_http_methods(["GET", "POST"])
@tenant_page
def route_create(request: HttpRequest, here: Here) -> HttpResponse:
    scopes = _scopes(here)
    if not scopes:
        require(here.actor, "route.manage", here.tenant, what="create routes")
    form = RouteForm(request.POST if request.method == "POST" else None, scopes=scopes)
    rows = rows_of(request.POST)
    if request.method == "POST" and form.is_valid():
        is_platform = form.cleaned_data["scope"] == PLATFORM
        tenant = None if is_platform else here.tenant
        specs = _specs(here, tenant, rows)
        if specs is not None:
            try:
                route = services.create_route(
                    actor=here.actor, tenant=tenant, slug=form.cleaned_data["slug"], targets=specs, **form.facts()
                )
            except DomainError as error:
                _refuse(form, error)
            else:
                messages.success(request, f"{route.name} can be called as {route.slug} within a second.")
                return redirect("gateway:route-detail", route.pk)
    return _form_page(request, here, form, rows, None)


@require_http_methods(["GET", "POST"])
@tenant_page
def route_edit(request: HttpRequest, here: Here, pk: int) -> HttpResponse:
    route = selectors.get_route_for(here.actor, pk)
    _require_manage(here, route)
    form = RouteForm(request.POST if request.method == "POST" else None, route=route, scopes=[])
    rows = rows_of(request.POST) if form.is_bound else [TargetRow.of(target) for target in route.targets.all()]
    if request.method == "POST" and form.is_valid():
        specs = _specs(here, route.tenant, rows)
        if specs is not None:
            try:
                saved = services.update_route(
                    actor=here.actor,
                    route=route,
                    targets=specs,
                    message=form.cleaned_data["message"],
                    **form.facts(),
                )
            except DomainError as error:
                _refuse(form, error)
            else:
                if saved.proposed is None:
                    messages.success(request, f"{route.slug} is changed, in force within a second.")
                else:
                    messages.success(
                        request,
                        f"Revision {saved.proposed.number} is proposed. {route.slug} answers as before until it is in"
                        " force.",
                    )
                return redirect("gateway:route-detail", route.pk)
    return _form_page(request, here, form, rows, route)


@require_POST
@tenant_page
def route_delete(request: HttpRequest, here: Here, pk: int) -> HttpResponse:
    route = selectors.get_route_for(here.actor, pk)
    _require_manage(here, route)
    try:
        services.delete_route(actor=here.actor, route=route)
    except Conflict as error:
        messages.error(request, f"{error} {error.remedy}".strip())
        return redirect("gateway:route-detail", route.pk)
    messages.success(request, f"{route.slug} is deleted. Whoever calls it is told that there is no such model.")
    return redirect("gateway:route-list")


@require_POST
@tenant_page
def revision_put(request: HttpRequest, here: Here, pk: int, number: int) -> HttpResponse:
    """Puts a revision in force: again, or for the first time."""
    revision = selectors.get_revision_for(here.actor, pk, number)
    _require_manage(here, revision.route)
    try:
        services.put_in_force(actor=here.actor, revision=revision, reason=request.POST.get("reason", ""))
    except (Conflict, Invalid) as error:
        messages.error(request, f"{error} {error.remedy}".strip())
    else:
        messages.success(request, f"Revision {number} is in force within a second.")
    return redirect("gateway:route-detail", pk)


@require_POST
@tenant_page
def route_simulate(request: HttpRequest, here: Here, pk: int) -> HttpResponse:
    """Where a request of these facts would go now, without sending it."""
    route = selectors.get_route_for(here.actor, pk)
    asked = request.POST
    project = next((each for each in here.workspace.projects if each.slug == asked.get("project")), None)
    project = project or next(iter(here.workspace.projects), None)
    context: dict[str, Any] = {}
    if project is None:
        context["refusal"] = f"{here.tenant.name} has no project yet, and calls are made by one."
    else:
        try:
            context["simulation"] = simulate(
                actor=here.actor,
                route=route,
                project=project,
                tokens=_count(asked.get("tokens", "")),
                max_tokens=_count(asked.get("max_tokens", "")),
                country=asked.get("country", "")[:2],
                has_images="has_images" in asked,
                has_tools="has_tools" in asked,
                stream="stream" in asked,
            )
        except Conflict as error:
            context["refusal"] = str(error)
    return render(request, "gateway/_route_simulation.html", context)


def _history(here: Here, route: Route) -> list[ShownRevision]:
    if not route.shows_targets:  # type: ignore[attr-defined]
        return []
    manages = _may_manage(here, route)
    shown = []
    for revision in selectors.revisions_of(route)[:SHOWN_REVISIONS]:
        revision.route = route
        by_hand = route.guard != Guard.GATE or revision.in_force_at is not None
        may_put = manages and by_hand and revision.state != RevisionState.IN_FORCE
        shown.append(ShownRevision(revision, Sharing.of_revision(revision), may_put))
    return shown


def _count(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 8 else 0


def _health(targets: list[RouteTarget]) -> dict[int, EndpointLine]:
    endpoints = [target.endpoint for target in targets if target.endpoint is not None]
    lines = lines_of(endpoints, health_on_route(each.pk for each in endpoints)) if endpoints else []
    return {line.endpoint.pk: line for line in lines}


def _may_simulate(here: Here) -> bool:
    return can(here.actor, "registry.manage") or can(here.actor, "model.call", here.tenant)


def _form_page(
    request: HttpRequest, here: Here, form: RouteForm, rows: list[TargetRow], route: Route | None
) -> HttpResponse:
    tenant = route.tenant if route is not None else here.tenant
    models = sorted(_models(here, tenant if route is not None else None), key=lambda each: each.slug)
    endpoints = _endpoints(here)
    context = {
        "form": form,
        "route": route,
        "rows": with_blanks(rows),
        "models": models,
        "endpoints": endpoints,
        "many_choices": len(models) + len(endpoints) > MANY_CHOICES,
        "purposes": Purpose.choices,
        "facts": [(name, words) for name, (_, words) in FACTS.items()],
        "strategies": [(label, STRATEGIES[Strategy(value)]) for value, label in Strategy.choices],
    }
    return render(request, "gateway/route_form.html", context, status=422 if form.is_bound else 200)


def _scopes(here: Here) -> list[tuple[str, str]]:
    scopes = [(OWN, here.tenant.name)] if can(here.actor, "route.manage", here.tenant) else []
    return [*scopes, (PLATFORM, "Everybody: the platform's own")] if can(here.actor, "registry.manage") else scopes


def _may_manage(here: Here, route: Route) -> bool:
    if route.tenant is None:
        return can(here.actor, "registry.manage")
    return can(here.actor, "route.manage", route.tenant)


def _require_manage(here: Here, route: Route) -> None:
    if route.tenant is None:
        require(here.actor, "registry.manage", what="change the platform's routes")
    else:
        require(here.actor, "route.manage", route.tenant, what="change routes")


def _models(here: Here, tenant: Tenant | None) -> list[Model]:
    """What a target may be. Whether the route's tenant may call it is the service's to say."""
    if can(here.actor, "registry.view"):
        return list(registry.models_for(here.actor))
    return list(registry.callable_models_for(here.actor, tenant or here.tenant))


def _endpoints(here: Here) -> list[Endpoint]:
    """Single ones are for the platform's staff to choose."""
    return list(registry.endpoints_for(here.actor)) if can(here.actor, "registry.view") else []


def _specs(here: Here, tenant: Tenant | None, rows: list[TargetRow]) -> list[TargetSpec] | None:
    models = {model.slug: model for model in _models(here, tenant)}
    endpoints = {str(endpoint.pk): endpoint for endpoint in _endpoints(here)}
    specs = [row.spec(models, endpoints) for row in rows]
    return None if None in specs else [spec for spec in specs if spec is not None]


def _refuse(form: RouteForm, error: DomainError) -> None:
    form.add_error(error.field if error.field in form.fields else None, str(error))


def _share(route: Route, target: RouteTarget, normal: list[RouteTarget]) -> float | None:
    if route.strategy == Strategy.WEIGHTED:
        total = sum(each.weight for each in normal)
        return target.weight / total if total else 1 / len(normal)
    if route.strategy == Strategy.PRIORITY:
        return 1.0 if target == normal[0] else 0.0
    return None
