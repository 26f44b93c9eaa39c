"""Where a request would go, without sending it: the gateway's own decisions over a hypothetical request."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from threading import Lock
from typing import Any

from django.conf import settings

from apps.gateway.books import new_id
from apps.gateway.errors import GatewayError
from apps.gateway.models import Route
from apps.gateway.routing.facts import RequestFacts
from apps.gateway.routing.health_selectors import health_as_published
from apps.gateway.routing.plans import Candidate
from apps.gateway.routing.shared_health import read_reports
from apps.gateway.routing.strategies import USUAL_OUTPUT_TOKENS, Asking, drawn, select
from apps.gateway.snapshot import Principal, Snapshot
from apps.gateway.snapshot_loader import load_snapshot
from apps.gateway.types import Purpose
from apps.models.providers.adapters import make_adapters
from apps.tenants.access import Actor, can, require
from apps.tenants.control_plane import control_plane_version
from apps.tenants.errors import Conflict, Invalid
from apps.tenants.models import ApiKey, Project

USUAL_INPUT_TOKENS = 100
_adapters = make_adapters()
_known: Snapshot | None = None
_reading = Lock()


@dataclass(frozen=True, slots=True)
class Simulated:
    endpoint: str
    model: str
    arm: str
    score: float
    cost_picousd: int


@dataclass(frozen=True, slots=True)
class Simulation:
    request_id: str
    strategy: str
    arm: str
    order: tuple[Simulated, ...]
    left_out: tuple[dict[str, str], ...]
    shadow: bool


def simulate(
    *,
    actor: Actor,
    route: Route,
    project: Project,
    api_key: ApiKey | None = None,
    operation: str = "chat.completions",
    tokens: int = USUAL_INPUT_TOKENS,
    max_tokens: int = 0,
    at: datetime | None = None,
    headers: Mapping[str, str] | None = None,
    conversation: str = "",
    request_id: str = "",
    **facts: Any,
) -> Simulation:
    """What the gateway would do with a request of these facts by ``project``. Raises DomainError."""
    if not can(actor, "registry.manage"):
        require(actor, "model.call", project.tenant, project, what="simulate calls of the project")
    if api_key is not None and api_key.project_id != project.pk:
        raise Invalid("The key belongs to another project.", field="key", code="not_found")
    snapshot, now = _snapshot(), time.time()
    principal = _principal(snapshot, project, api_key)
    known = snapshot.routes.get((project.tenant_id, route.slug)) or snapshot.routes.get((0, route.slug))
    request_id = request_id or new_id()
    if known is None or known.id != route.pk:
        why = "not the project's, or switched off" if known is None else "behind the tenant's own route of this name"
        return _refused(route, request_id, why)
    try:
        plan = snapshot.plan(principal, route.slug, now)
    except GatewayError as error:
        return _refused(route, request_id, error.message)
    asking = Asking(
        seed=f"{principal.tenant.id} {conversation}" if conversation and known.sticky else request_id,
        now=now,
        facts=RequestFacts(
            tokens=tokens,
            max_tokens=max_tokens,
            operation=operation,
            tenant=principal.tenant.slug,
            project=principal.project.slug,
            environment=principal.project.environment,
            at=_local(at, principal) if at is not None else datetime.fromtimestamp(now, principal.tenant.zone),
            headers={name.lower(): value for name, value in (headers or {}).items()},
            **{**facts, "country": str(facts.get("country", "")).upper()},
        ),
        input_tokens=tokens,
        output_tokens=max_tokens or USUAL_OUTPUT_TOKENS,
    )
    health = health_as_published(read_reports(), failures=settings.BREAKER_FAILURES, seconds=settings.BREAKER_SECONDS)

    def serves(candidate: Candidate) -> bool:
        endpoint = candidate.endpoint
        adapter = _adapters.get(endpoint.provider_kind)
        return adapter is not None and adapter.serves(operation, endpoint.target)  # type: ignore[arg-type]

    selection = select(plan, health, serves, asking)
    scores = dict(selection.scores)
    return Simulation(
        request_id=request_id,
        strategy=known.strategy.value,
        arm=selection.arm,
        order=tuple(
            Simulated(
                endpoint=each.label,
                model=each.model.slug,
                arm=each.arm,
                score=scores.get(each.label, 0.0),
                cost_picousd=each.endpoint.price_at(now).terms.bound(tokens, asking.output_tokens),
            )
            for each in selection.order
        ),
        left_out=tuple({"endpoint": endpoint, "why": why} for endpoint, why in selection.left_out),
        shadow=bool(plan.fallbacks.get(Purpose.SHADOW)) and drawn(request_id, "shadow") < known.shadow_share,
    )


def _local(at: datetime, principal: Principal) -> datetime:
    try:
        return at.astimezone(principal.tenant.zone)
    except OverflowError:
        raise Invalid("The time lies outside the calendar.", field="at") from None


def _refused(route: Route, request_id: str, why: str) -> Simulation:
    return Simulation(request_id, route.strategy, "", (), ({"endpoint": route.slug, "why": why},), False)


def _principal(snapshot: Snapshot, project: Project, api_key: ApiKey | None) -> Principal:
    if api_key is not None:
        key = snapshot.keys.get(api_key.prefix)
        if key is not None:
            return key.principal
    facts = snapshot.projects.get(project.pk)
    if facts is None:
        raise Conflict(f"{project.name} is not in service.", code="project_inactive")
    return Principal(project=facts)


def _snapshot() -> Snapshot:
    """The control plane as it is now; read anew only when it has changed."""
    global _known
    with _reading:
        if _known is None or _known.version != control_plane_version():
            _known = load_snapshot()
        # Plans are made for principals of a moment: none is kept.
        return replace(_known, _plans={})
