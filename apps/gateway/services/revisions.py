"""Revisions: what a route was told to do, one after the other, and which of them is in force.

A guarded route's change is a proposal: its revision waits until those who guard the route have decided. Of two that are
the same in everything there is one, so that saving a refused change again asks nothing anew. Every function here is
given a route that is locked, but for those that say what an actor may do.
"""

from __future__ import annotations

from typing import Any

import msgspec
import structlog
from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from apps.gateway.models import Route, RouteRevision, RouteTarget
from apps.gateway.routing.sharing import Sharing
from apps.gateway.services.targets import check_models, locked, require_managing, shown, targets_of
from apps.gateway.signals import route_revision_proposed
from apps.gateway.types import Guard
from apps.models.models import Endpoint, Model
from apps.tenants import audit, validation
from apps.tenants.access import Actor, require
from apps.tenants.control_plane import control_plane_changed
from apps.tenants.errors import Conflict, Invalid
from apps.tenants.services.changes import apply_changes

REMEMBERED = 50  # among so many of the newest a change is looked for that was saved before
WHY = "of a route that the actor reached"

log = structlog.get_logger(__name__)


@transaction.atomic
def put_in_force(*, actor: Actor, revision: RouteRevision, reason: str = "") -> Route:
    """The route shares its requests as ``revision`` says, from now on. What was in force once may always be so again.

    Raises:
        Conflict: It is in force; a gate guards the route, and the revision was never in force; or what it sends to is
            gone.
        Invalid: It sends to a model that the tenant may no longer call.
    """
    require_managing(actor, revision.route.tenant)
    reason = " ".join(validation.clean_text(reason, field="reason", maximum=500).split())
    route, revision = _reached(revision)
    known = Sharing.of_revision(in_force(route))
    is_new = revision.in_force_at is None and not Sharing.of_revision(revision).answers_as(known)
    if route.guard == Guard.GATE and is_new:
        raise Conflict(
            f"{route.name} is guarded: its gate puts revision {revision.number} in force.",
            code="route_guarded",
            remedy="Run its gate from its review page, or have a tenant admin override it with a reason.",
        )
    return _put_back(actor, route, revision, reason)


@transaction.atomic
def put_in_force_decided(*, actor: Actor, revision: RouteRevision, reason: str) -> Route:
    """What those who guard the route have decided: nothing else is asked. ``reason`` names the decision."""
    tenant = revision.route.tenant
    require(actor, "gate.approve", tenant, what="put a route's revision in force")
    route, revision = _reached(revision)
    in_force(route)
    return _put_back(actor, route, revision, reason)


@transaction.atomic
def guard_route(*, actor: Actor, route: Route, guard: str) -> Route:
    """For the one that decides about its changes: ``guard`` says how far its word binds people."""
    if route.tenant is None:
        raise Invalid(
            "The platform's routes serve every tenant, so that none of them decides about their changes.",
            field="route",
            code="route_of_platform",
            remedy="Guard a route of the tenant's own.",
        )
    require(actor, "evaluation.plan", route.tenant, what="guard this route")
    route = locked(route)
    in_force(route)
    if apply_changes(route, {"guard": Guard(guard)}):
        control_plane_changed()
    return route


def in_force(route: Route) -> RouteRevision:
    """The revision in force: made now, of a route that has none yet."""
    if route.revision is None:
        _mark(route, new_revision(None, route, Sharing.of_route(route, targets_of(route))))
    assert route.revision is not None
    return route.revision


def new_revision(
    actor: Actor | None, route: Route, sharing: Sharing, message: str = "", parent: RouteRevision | None = None
) -> RouteRevision:
    """The route's next one, so that numbers have no gaps and no twins. Nobody's, without an actor."""
    last = RouteRevision.objects.unscoped(WHY).filter(route=route).aggregate(last=Max("number"))["last"]
    return RouteRevision.objects.create(
        route=route,
        number=(last or 0) + 1,
        **sharing.columns(),
        targets=msgspec.to_builtins(sharing.targets),
        parent=parent,
        message=message,
        author=None if actor is None else actor.user,
        author_label="" if actor is None else actor.label,
    )


def note(actor: Actor, route: Route, message: str = "") -> RouteRevision:
    """That the route's columns and targets are what is in force, after somebody has changed them."""
    sharing = Sharing.of_route(route, targets_of(route))
    current = route.revision
    if current is not None and Sharing.of_revision(current).is_same_as(sharing):
        return current
    revision = _said_before(route, sharing) or new_revision(actor, route, sharing, message, current)
    _mark(route, revision)
    return revision


def share_as(
    actor: Actor, route: Route, sharing: Sharing, rows: list[RouteTarget], message: str
) -> tuple[dict[str, Any], RouteRevision | None]:
    """In force at once, or proposed where the route is guarded. ``rows`` are the targets, not saved yet.

    What has changed (``targets`` and the columns, each with what it was and is), and what is proposed.
    """
    current = in_force(route)
    known = Sharing.of_revision(current)
    if sharing.is_same_as(known):
        return {}, None
    revision = _said_before(route, sharing) or new_revision(actor, route, sharing, message, current)
    if route.guard == Guard.NONE or revision.in_force_at is not None or sharing.answers_as(known):
        return _put(route, revision, rows), None
    _propose(actor, route, revision)
    return {}, revision


def refuse_guarded(route: Route) -> None:
    """For what changes a target by itself, and so has no revision to propose."""
    if route.guard != Guard.NONE:
        raise Conflict(
            f"{route.name} is guarded: a change of its targets is proposed, and evaluated first.",
            code="route_guarded",
            remedy="Change them on the route's page in the portal, or at /api/routes.",
        )


def _propose(actor: Actor, route: Route, revision: RouteRevision) -> None:
    route.proposed = revision
    route.save(update_fields=["proposed"])
    told = {
        "revision": revision.number,
        "message": revision.message,
        "targets": [each["to"] for each in revision.targets],
    }
    audit.record(actor, "route.revision_proposed", route, told, route.tenant)
    control_plane_changed()
    told_of = revision.pk
    transaction.on_commit(lambda: _tell(told_of))


def _tell(revision_id: int) -> None:
    for receiver, outcome in route_revision_proposed.send_robust(RouteRevision, revision_id=revision_id):
        if isinstance(outcome, Exception):
            log.error("revision_receiver_failed", receiver=str(receiver), revision=revision_id, exc_info=outcome)


def _reached(revision: RouteRevision) -> tuple[Route, RouteRevision]:
    route = locked(revision.route)
    fresh = RouteRevision.objects.unscoped(WHY).get(pk=revision.pk)
    fresh.route = route
    return route, fresh


def _put_back(actor: Actor, route: Route, revision: RouteRevision, reason: str) -> Route:
    if route.revision_id == revision.pk:
        raise Conflict(f"Revision {revision.number} is in force already.", code="revision_in_force")
    before = None if route.revision is None else route.revision.number
    rows = _rows(route, revision)
    check_models(actor, route, rows)
    changed = _put(route, revision, rows)
    told = {"revision": [before, revision.number], "reason": reason, **changed}
    audit.record(actor, "route.revision_in_force", route, told, route.tenant)
    control_plane_changed()
    return route


def _rows(route: Route, revision: RouteRevision) -> list[RouteTarget]:
    """The revision's targets, not saved yet."""
    targets = Sharing.of_revision(revision).targets
    models = Model.objects.in_bulk([each.model for each in targets if each.endpoint is None], field_name="slug")
    ends = Endpoint.objects.select_related("model", "provider")
    endpoints = ends.in_bulk([each.endpoint for each in targets if each.endpoint is not None])
    rows = []
    for each in targets:
        model, endpoint = (
            (models.get(each.model), None) if each.endpoint is None else (None, endpoints.get(each.endpoint))
        )
        if model is None and endpoint is None:
            raise Conflict(f"Revision {revision.number} sends to {each.to}, which is gone.", code="target_gone")
        rows.append(
            RouteTarget(
                route=route,
                model=model,
                endpoint=endpoint,
                purpose=each.purpose,
                position=each.position,
                weight=each.weight,
                condition=each.condition,
                arm=each.arm,
            )
        )
    return rows


def _put(route: Route, revision: RouteRevision, rows: list[RouteTarget]) -> dict[str, Any]:
    sharing = Sharing.of_revision(revision)
    changed: dict[str, Any] = apply_changes(route, sharing.columns())
    there = targets_of(route)
    before = shown(there)
    if before != shown(rows):
        there.delete()
        changed["targets"] = [before, shown(RouteTarget.objects.bulk_create(rows))]
    _mark(route, revision)
    return changed


def _mark(route: Route, revision: RouteRevision) -> None:
    RouteRevision.objects.unscoped(WHY).filter(pk=revision.pk).update(in_force_at=timezone.now())
    revision.refresh_from_db(fields=["in_force_at"])
    route.revision = revision
    if route.proposed_id == revision.pk:
        route.proposed = None
    route.save(update_fields=["revision", "proposed"])


def _said_before(route: Route, sharing: Sharing) -> RouteRevision | None:
    rows = RouteRevision.objects.unscoped(WHY).filter(route=route).order_by("-number")[:REMEMBERED]
    return next((row for row in rows if Sharing.of_revision(row).is_same_as(sharing)), None)
