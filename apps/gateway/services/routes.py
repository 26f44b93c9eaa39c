"""Routes and their targets. The platform's are for its staff; a tenant's own are for its admins, over models that it
may call.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypedDict, Unpack

from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from apps.gateway.models import Route, RouteTarget
from apps.gateway.routing.conditions import ConditionError, compile_condition
from apps.gateway.routing.selectors import model_of
from apps.gateway.types import Purpose, Strategy
from apps.models.models import Endpoint, Model
from apps.models.selectors import callable_models_for
from apps.tenants import audit, validation
from apps.tenants.access import Actor, can, require
from apps.tenants.control_plane import control_plane_changed
from apps.tenants.errors import Conflict, Invalid, PermissionDenied
from apps.tenants.models import Tenant
from apps.tenants.services.changes import apply_changes

MOST_TARGETS = 50
HEAVIEST = 10_000
LAST_POSITION = 1_000
SHORTEST_HEDGE_MS, LONGEST_HEDGE_MS = 10, 600_000


class RouteFacts(TypedDict, total=False):
    description: str
    strategy: str
    sticky: bool
    hedge_after_ms: int | None
    shadow_percent: int
    is_enabled: bool


class RouteChanges(RouteFacts, total=False):
    name: str


class TargetFacts(TypedDict, total=False):
    purpose: str
    position: int
    weight: int
    condition: str
    arm: str


class TargetSpec(TargetFacts, total=False):
    """Where to send to: a model, or one endpoint of one."""

    model: Model | None
    endpoint: Endpoint | None


@transaction.atomic
def create_route(
    *,
    actor: Actor,
    tenant: Tenant | None,
    slug: str,
    name: str,
    targets: Iterable[TargetSpec] = (),
    **facts: Unpack[RouteFacts],
) -> Route:
    """Without a tenant it is the platform's."""
    _require(actor, tenant)
    slug = validation.clean_slug(slug)
    values = _clean(RouteChanges(name=name, **facts))
    _check_name_is_free(slug, tenant)
    try:
        with transaction.atomic():
            route = Route(tenant=tenant, slug=slug)
            for field, value in values.items():
                setattr(route, field, value)
            route.save(force_insert=True)
    except IntegrityError:
        raise _taken(slug) from None
    rows = _write_targets(actor, route, list(targets))
    audit.record(actor, "route.created", route, {"slug": slug, **values, "targets": _shown(rows)}, tenant)
    control_plane_changed()
    return route


@transaction.atomic
def update_route(*, actor: Actor, route: Route, **changes: Unpack[RouteChanges]) -> Route:
    _require(actor, route.tenant)
    values = _clean(changes)
    route = _locked(route)
    if changed := apply_changes(route, values):
        audit.record(actor, "route.updated", route, changed, route.tenant)
        control_plane_changed()
    return route


@transaction.atomic
def delete_route(*, actor: Actor, route: Route) -> None:
    """Whoever calls it from then on is told that there is no such model."""
    _require(actor, route.tenant)
    facts = {"slug": route.slug, "targets": _shown(_targets(route))}
    audit.record(actor, "route.deleted", route, facts, route.tenant)
    route.delete()
    control_plane_changed()


@transaction.atomic
def set_targets(*, actor: Actor, route: Route, targets: Iterable[TargetSpec]) -> Route:
    """These targets, in the place of those there were."""
    _require(actor, route.tenant)
    route = _locked(route)
    before = _shown(_targets(route))
    _targets(route).delete()
    after = _shown(_write_targets(actor, route, list(targets)))
    if before != after:
        audit.record(actor, "route.targets_changed", route, {"targets": [before, after]}, route.tenant)
        control_plane_changed()
    return route


@transaction.atomic
def add_target(*, actor: Actor, route: Route, **spec: Unpack[TargetSpec]) -> RouteTarget:
    """Without a position it comes after the route's others."""
    _require(actor, route.tenant)
    route = _locked(route)
    spec.setdefault("position", min(_targets(route).count(), LAST_POSITION))
    [row] = _write_targets(actor, route, [spec])
    audit.record(actor, "route.target_added", route, {"target": _shown([row])[0]}, route.tenant)
    control_plane_changed()
    return row


@transaction.atomic
def update_target(*, actor: Actor, target: RouteTarget, **changes: Unpack[TargetFacts]) -> RouteTarget:
    _require(actor, target.route.tenant)
    values = _clean_target(changes)
    route = _locked(target.route)
    target = _targets(route).get(pk=target.pk)
    if changed := apply_changes(target, values):
        audit.record(actor, "route.target_changed", route, {"target": str(target), **changed}, route.tenant)
        control_plane_changed()
    return target


@transaction.atomic
def remove_target(*, actor: Actor, target: RouteTarget) -> None:
    route = target.route
    _require(actor, route.tenant)
    audit.record(actor, "route.target_removed", route, {"target": str(target)}, route.tenant)
    target.delete()
    control_plane_changed()


def _require(actor: Actor, tenant: Tenant | None) -> None:
    if tenant is None:
        require(actor, "registry.manage", what="change the platform's routes")
    else:
        require(actor, "route.manage", tenant, what="change routes")


def _locked(route: Route) -> Route:
    rows = Route.objects.unscoped("reached on the actor's road").select_related("tenant")
    return rows.select_for_update(of=("self",)).get(pk=route.pk)


def _targets(route: Route) -> QuerySet[RouteTarget]:
    rows = RouteTarget.objects.unscoped("of a route reached on the actor's road").filter(route=route)
    return rows.select_related("model", "endpoint__model", "endpoint__provider")


def _check_name_is_free(slug: str, tenant: Tenant | None) -> None:
    # NULLs differ in a unique constraint, and what is the platform's own cannot be a tenant's as well.
    taken = Route.objects.unscoped("the platform's names").filter(tenant=None, slug=slug).exists()
    if taken or (tenant is not None and Route.objects.for_tenant(tenant).filter(slug=slug).exists()):
        raise _taken(slug)
    if Model.objects.filter(slug=slug).exists():
        raise Conflict(
            f"{slug!r} is the name of a model.", code="slug_taken", field="slug", remedy="Give the route another one."
        )


def _taken(slug: str) -> Conflict:
    return Conflict(f"There is a route {slug!r} already.", code="slug_taken", field="slug")


def _clean(changes: RouteChanges) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if "name" in changes:
        values["name"] = validation.clean_name(changes["name"], maximum=100)
    if "description" in changes:
        values["description"] = validation.clean_text(changes["description"], field="description", maximum=2000)
    if "strategy" in changes:
        values["strategy"] = validation.clean_choice(changes["strategy"], Strategy, field="strategy")
    if "sticky" in changes:
        values["sticky"] = bool(changes["sticky"])
    if "hedge_after_ms" in changes:
        after = changes["hedge_after_ms"]
        if after is not None:
            after = validation.clean_number(
                after, field="hedge_after_ms", minimum=SHORTEST_HEDGE_MS, maximum=LONGEST_HEDGE_MS
            )
        values["hedge_after_ms"] = after
    if "shadow_percent" in changes:
        values["shadow_percent"] = validation.clean_number(
            changes["shadow_percent"], field="shadow_percent", minimum=0, maximum=100
        )
    if "is_enabled" in changes:
        values["is_enabled"] = bool(changes["is_enabled"])
    if unknown := set(changes) - set(values):
        raise Invalid(f"{', '.join(sorted(unknown))} cannot be changed here.", field=min(unknown))
    return values


def _clean_target(changes: TargetFacts) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if "purpose" in changes:
        values["purpose"] = validation.clean_choice(changes["purpose"], Purpose, field="purpose")
    if "position" in changes:
        values["position"] = validation.clean_number(
            changes["position"], field="position", minimum=0, maximum=LAST_POSITION
        )
    if "weight" in changes:
        values["weight"] = validation.clean_number(changes["weight"], field="weight", minimum=0, maximum=HEAVIEST)
    if "condition" in changes:
        values["condition"] = clean_condition(changes["condition"])
    if "arm" in changes:
        values["arm"] = changes["arm"] and validation.clean_slug(changes["arm"], field="arm")
    if unknown := set(changes) - set(values):
        raise Invalid(f"{', '.join(sorted(unknown))} cannot be changed here.", field=min(unknown))
    return values


def clean_condition(text: str) -> str:
    """Empty means always. Raises Invalid, saying where it goes wrong."""
    text = text.strip()
    if text:
        try:
            compile_condition(text)
        except ConditionError as error:
            raise Invalid(
                f"{error}.", field="condition", code="condition_invalid", remedy="See docs/routing.md for the language."
            ) from None
    return text


def _write_targets(actor: Actor, route: Route, specs: list[TargetSpec]) -> list[RouteTarget]:
    there = list(_targets(route))
    if len(there) + len(specs) > MOST_TARGETS:
        raise Invalid(f"A route has at most {MOST_TARGETS} targets.", field="targets")
    rows = []
    for position, spec in enumerate(specs):
        model, endpoint = spec.get("model"), spec.get("endpoint")
        if (model is None) == (endpoint is None):
            raise Invalid("A target is a model or an endpoint: name one of them.", field="targets")
        facts = {name: value for name, value in spec.items() if name not in ("model", "endpoint")}
        values = _clean_target(TargetFacts(**{"position": position, **facts}))  # type: ignore[typeddict-item]
        rows.append(RouteTarget(route=route, model=model, endpoint=endpoint, **values))
    _check_models(actor, route, there, rows)
    return RouteTarget.objects.bulk_create(rows)


def _check_models(actor: Actor, route: Route, there: Sequence[RouteTarget], rows: Sequence[RouteTarget]) -> None:
    kinds = {model_of(row).kind for row in (*there, *rows)}
    if len(kinds) > 1:
        raise Invalid(
            f"The targets are of different kinds ({', '.join(sorted(kinds))}): a route serves one.", field="targets"
        )
    tenant = route.tenant
    if tenant is None:
        return
    if any(row.endpoint is not None for row in rows) and not can(actor, "registry.view"):
        raise PermissionDenied(
            "Single endpoints are for the platform's staff to choose.", remedy="Name models: all of their endpoints."
        )
    wanted = {model_of(row).pk: model_of(row) for row in rows}
    allowed = set(callable_models_for(actor, tenant).filter(pk__in=wanted).values_list("pk", flat=True))
    for pk, model in wanted.items():
        if pk not in allowed:
            raise Invalid(
                f"{tenant.name} may not call {model.slug}.",
                field="targets",
                code="model_not_callable",
                remedy="Ask a service admin to grant it.",
            )


def _shown(rows: Iterable[RouteTarget]) -> list[dict[str, Any]]:
    """For the audit trail."""
    return [
        {
            "to": str(row),
            "purpose": str(row.purpose),
            "position": row.position,
            "weight": row.weight,
            "condition": row.condition,
            "arm": row.arm,
        }
        for row in rows
    ]
