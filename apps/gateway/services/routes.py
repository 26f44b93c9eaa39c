"""Routes and their targets. The platform's are for its staff; a tenant's own are for its admins, over models that it
may call.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, TypedDict, Unpack

from django.db import IntegrityError, transaction
from django.db.models import RestrictedError

from apps.gateway.models import Route, RouteRevision, RouteTarget
from apps.gateway.routing.sharing import COLUMNS, Sharing
from apps.gateway.services.revisions import in_force, note, refuse_guarded, share_as
from apps.gateway.services.targets import (
    LAST_POSITION,
    TargetFacts,
    TargetSpec,
    clean_target,
    locked,
    require_managing,
    shown,
    targets_from,
    targets_of,
)
from apps.gateway.types import Guard, Strategy
from apps.models.models import Model
from apps.tenants import audit, validation
from apps.tenants.access import Actor
from apps.tenants.control_plane import control_plane_changed
from apps.tenants.errors import Conflict, Invalid
from apps.tenants.models import Tenant
from apps.tenants.services.changes import apply_changes

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


class Saved(NamedTuple):
    """``proposed`` is what is not in force yet of what was saved; None where all of it is."""

    route: Route
    proposed: RouteRevision | None


@transaction.atomic
def create_route(
    *,
    actor: Actor,
    tenant: Tenant | None,
    slug: str,
    name: str,
    targets: Iterable[TargetSpec] = (),
    message: str = "",
    **facts: Unpack[RouteFacts],
) -> Route:
    """Without a tenant it is the platform's. ``message`` goes with its first revision."""
    require_managing(actor, tenant)
    message = _clean_message(message)
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
    rows = RouteTarget.objects.bulk_create(targets_from(actor, route, list(targets)))
    note(actor, route, message)
    audit.record(actor, "route.created", route, {"slug": slug, **values, "targets": shown(rows)}, tenant)
    control_plane_changed()
    return route


@transaction.atomic
def update_route(
    *,
    actor: Actor,
    route: Route,
    targets: Iterable[TargetSpec] | None = None,
    message: str = "",
    **changes: Unpack[RouteChanges],
) -> Saved:
    """``targets`` stand in the place of those there were.

    How it shares its requests (targets, strategy, sticky, hedging) is a revision, of which ``message`` says what
    changed. A guarded route's is proposed, and not in force yet; everything else is at once.
    """
    require_managing(actor, route.tenant)
    values = _clean(changes)
    message = _clean_message(message)
    route = locked(route)
    columns = {name: values.pop(name) for name in COLUMNS if name in values}
    there = list(targets_of(route))
    if targets is None:
        rows = [_anew(row) for row in there]
    else:
        rows = targets_from(actor, route, list(targets))
    changed: dict[str, Any] = apply_changes(route, values)
    shared, proposed = share_as(actor, route, Sharing.of_route(route, rows, **columns), rows, message)
    other_targets = shared.pop("targets", None)
    changed |= shared
    if changed:
        audit.record(actor, "route.updated", route, changed, route.tenant)
    if other_targets:
        audit.record(actor, "route.targets_changed", route, {"targets": other_targets}, route.tenant)
    if changed or other_targets:
        control_plane_changed()
    return Saved(route, proposed)


@transaction.atomic
def delete_route(*, actor: Actor, route: Route) -> None:
    """Whoever calls it from then on is told that there is no such model.

    Raises ``Conflict`` for one that is guarded, or that decisions were made about.
    """
    require_managing(actor, route.tenant)
    route = locked(route)
    if route.guard != Guard.NONE:
        raise Conflict(
            f"{route.name} is guarded: under its name nothing new may answer unseen.",
            code="route_guarded",
            remedy="Remove its evaluation plan first, or switch the route off.",
        )
    facts = {"slug": route.slug, "targets": shown(targets_of(route))}
    audit.record(actor, "route.deleted", route, facts, route.tenant)
    try:
        route.delete()
    except RestrictedError:
        raise Conflict(
            f"Decisions were made about {route.name}, and stay for good.",
            code="route_has_decisions",
            remedy="Switch the route off: it is then refused as if it were not there.",
        ) from None
    control_plane_changed()


@transaction.atomic
def set_targets(*, actor: Actor, route: Route, targets: Iterable[TargetSpec], message: str = "") -> Saved:
    """These targets, in the place of those there were; or proposed, where the route is guarded."""
    return update_route(actor=actor, route=route, targets=targets, message=message)


@transaction.atomic
def add_target(*, actor: Actor, route: Route, **spec: Unpack[TargetSpec]) -> RouteTarget:
    """Without a position it comes after the route's others."""
    require_managing(actor, route.tenant)
    route = _open(route)
    there = list(targets_of(route))
    spec.setdefault("position", min(len(there), LAST_POSITION))
    [row] = RouteTarget.objects.bulk_create(targets_from(actor, route, [spec], there))
    note(actor, route)
    audit.record(actor, "route.target_added", route, {"target": shown([row])[0]}, route.tenant)
    control_plane_changed()
    return row


@transaction.atomic
def update_target(*, actor: Actor, target: RouteTarget, **changes: Unpack[TargetFacts]) -> RouteTarget:
    require_managing(actor, target.route.tenant)
    values = clean_target(changes)
    route = _open(target.route)
    target = targets_of(route).get(pk=target.pk)
    if changed := apply_changes(target, values):
        note(actor, route)
        audit.record(actor, "route.target_changed", route, {"target": str(target), **changed}, route.tenant)
        control_plane_changed()
    return target


@transaction.atomic
def remove_target(*, actor: Actor, target: RouteTarget) -> None:
    require_managing(actor, target.route.tenant)
    route = _open(target.route)
    audit.record(actor, "route.target_removed", route, {"target": str(target)}, route.tenant)
    target.delete()
    note(actor, route)
    control_plane_changed()


def _open(route: Route) -> Route:
    """Locked, for a change that is in force at once."""
    route = locked(route)
    refuse_guarded(route)
    in_force(route)
    return route


def _anew(row: RouteTarget) -> RouteTarget:
    names = ("model", "endpoint", "purpose", "position", "weight", "condition", "arm")
    return RouteTarget(route=row.route, **{name: getattr(row, name) for name in names})


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


def _clean_message(message: str) -> str:
    return " ".join(validation.clean_text(message, field="message", maximum=300).split())


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
