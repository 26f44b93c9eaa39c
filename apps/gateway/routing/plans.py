"""What covers and serves the calls of one principal to one name: a model's, or a route's.

Made once per snapshot and principal. All that can be said before a request is known is said here: who was granted
what, whose licence waits, where data may go. A candidate that a plan does not have is nowhere: not in a fallback, not
in a shadow.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING

from apps.gateway.errors import AccessEnded, LicenceNotAccepted, ModelNotFound
from apps.gateway.routing.conditions import Check
from apps.gateway.types import Purpose, Strategy

if TYPE_CHECKING:
    from apps.gateway.counters.base import Limit
    from apps.gateway.snapshot import (
        BudgetFacts,
        EndpointFacts,
        LimitFacts,
        ModelFacts,
        Principal,
        RuleFacts,
        Snapshot,
        TenantFacts,
    )


@dataclass(frozen=True, slots=True)
class TargetFacts:
    """A route's target. ``endpoint_id`` is 0 for all of the model's."""

    id: int
    model: str
    endpoint_id: int
    purpose: Purpose
    position: int
    weight: int
    condition: Check | None
    arm: str


@dataclass(frozen=True, slots=True)
class RouteFacts:
    id: int
    slug: str
    name: str
    tenant_id: int  # 0: the platform's
    strategy: Strategy
    sticky: bool
    hedge_after: float | None  # seconds
    shadow_share: float  # 0 to 1
    targets: tuple[TargetFacts, ...]
    revision: int = 0  # its number; 0 where none is known


@dataclass(frozen=True, slots=True)
class Candidate:
    """An endpoint that may serve. ``limits`` are those of its model alone, where the route serves several models."""

    endpoint: EndpointFacts
    model: ModelFacts
    target: TargetFacts | None = None
    limits: tuple[Limit, ...] = ()
    ends_at: float | None = None  # the grant's expiry

    @property
    def label(self) -> str:
        return self.endpoint.label

    @property
    def arm(self) -> str:
        return self.target.arm if self.target is not None else ""


@dataclass(frozen=True, slots=True)
class Plan:
    """``model`` is the one that is called; of a route the first candidate's, of several models one among equals."""

    slug: str  # as the caller names it
    model: ModelFacts
    grant_ends_at: float | None
    licence_accepted: bool  # or nobody asks for it
    limits: tuple[Limit, ...]  # that cover every call; a candidate may have its model's own besides
    rules: dict[str, RuleFacts]
    budgets: tuple[BudgetFacts, ...]
    candidates: tuple[Candidate, ...]
    left_out: tuple[tuple[str, str], ...]  # (endpoint, why)
    capped: bool  # a hard budget or a token limit depends on the bound of the answer
    route: RouteFacts | None = None
    barred: bool = False  # the tenant's regions alone leave nobody, which no waiting changes
    by_grants: bool = False  # of a route: every endpoint that it could ever go to is a candidate, while its grant holds
    fallbacks: dict[Purpose, tuple[Candidate, ...]] = field(default_factory=dict)

    def has_ended(self, now: float) -> bool:
        """Whether the grants of all that a route could go to have ended, which no waiting changes."""
        return self.by_grants and all(each.ends_at is not None and each.ends_at <= now for each in self.candidates)

    def shadow(self) -> Plan | None:
        """The plan of a request that mirrors one of this: the shadow's targets, by position, and nothing besides.

        None without any. It is asked of the plan that the mirrored request has, not of a newer one.
        """
        candidates = self.fallbacks.get(Purpose.SHADOW)
        if self.route is None or not candidates:
            return None
        route = replace(self.route, strategy=Strategy.PRIORITY, sticky=False, hedge_after=None, shadow_share=0.0)
        return replace(self, model=candidates[0].model, candidates=candidates, fallbacks={}, route=route, left_out=())


def make_plan(snapshot: Snapshot, principal: Principal, slug: str) -> Plan:
    """Raises ``ModelNotFound``, alike for what is unknown and what is forbidden."""
    route = snapshot.routes.get((principal.tenant.id, slug)) or snapshot.routes.get((0, slug))
    if route is None:
        route = snapshot.revisions.get((principal.tenant.id, slug))
    if route is not None:
        return _RoutePlan(snapshot, principal, route, slug).make()
    model = snapshot.models.get(slug)
    if model is None or (principal.models is not None and slug not in principal.models):
        raise not_found(slug)
    access = _access(snapshot, principal, model)
    if access is None:
        raise not_found(slug)
    kept, left_out, elsewhere = _endpoints(model, principal.tenant)
    covering, budgets = _covering(snapshot, principal, (slug,)), _budgets(snapshot, principal)
    return Plan(
        slug=slug,
        model=model,
        grant_ends_at=access.ends_at,
        licence_accepted=access.licence_accepted,
        limits=tuple(covered.limit for covered in covering),
        rules={covered.limit.key: covered.rule for covered in covering},
        budgets=budgets,
        candidates=tuple(Candidate(endpoint, model) for endpoint in kept),
        left_out=left_out,
        capped=_is_capped(covering, budgets),
        barred=0 < elsewhere == len(left_out) and not kept,
    )


@dataclass(frozen=True, slots=True)
class _Access:
    ends_at: float | None
    licence_accepted: bool


def _access(snapshot: Snapshot, principal: Principal, model: ModelFacts) -> _Access | None:
    """None where the principal's tenant and project may not call the model at all."""
    if not model.is_callable:
        return None
    grants = [
        grant
        for grant in snapshot.grants.get(model.id, ())
        if grant.tenant_id == principal.tenant.id and grant.project_id in (0, principal.project.id)
    ]
    if not grants and not model.is_open:
        return None
    accepted = [grant for grant in grants if grant.licence_accepted]
    ends = [grant.expires_at for grant in accepted if model.licence_needs_acceptance] or [
        grant.expires_at for grant in grants
    ]
    # The longest of several grants counts.
    ends_at = None if model.is_open or None in ends else max(end for end in ends if end is not None)
    return _Access(ends_at, bool(accepted) or not model.licence_needs_acceptance)


def _endpoints(
    model: ModelFacts, tenant: TenantFacts, only: int = 0
) -> tuple[list[EndpointFacts], tuple[tuple[str, str], ...], int]:
    """The model's endpoints (or the one) that are switched on and stand where the tenant's data may go.

    Then those left out, and how many of them only because they run elsewhere.
    """
    kept, left_out, elsewhere = [], [], 0
    for endpoint in sorted(model.endpoints, key=lambda endpoint: (endpoint.priority, endpoint.id)):
        if only and endpoint.id != only:
            continue
        if not endpoint.is_enabled:
            left_out.append((endpoint.label, endpoint.why_off))
        elif tenant.regions and endpoint.region not in tenant.regions and not endpoint.simulated:
            elsewhere += 1
            allowed = ", ".join(sorted(tenant.regions))
            left_out.append((endpoint.label, f"runs in {endpoint.region or 'an unknown region'}; allowed: {allowed}"))
        else:
            kept.append(endpoint)
    return kept, tuple(left_out), elsewhere


def _covering(snapshot: Snapshot, principal: Principal, names: Iterable[str]) -> list[LimitFacts]:
    limits = snapshot.limits.get(principal.tenant.id, ())
    return [limit for limit in limits if any(limit.covers(principal, name) for name in names)]


def _budgets(snapshot: Snapshot, principal: Principal) -> tuple[BudgetFacts, ...]:
    return tuple(budget for budget in snapshot.budgets.get(principal.tenant.id, ()) if budget.covers(principal))


def _is_capped(covering: Iterable[LimitFacts], budgets: Iterable[BudgetFacts]) -> bool:
    return any(budget.hard for budget in budgets) or any(covered.limit.metric == "tokens" for covered in covering)


class _RoutePlan:
    """The making of one route's plan. ``called`` is its slug, or a revision's name: limits and keys name the slug."""

    def __init__(self, snapshot: Snapshot, principal: Principal, route: RouteFacts, called: str) -> None:
        self._called = called
        self._snapshot = snapshot
        self._principal = principal
        self._route = route
        self._left_out: list[tuple[str, str]] = []
        self._unlicensed: ModelFacts | None = None
        self._elsewhere = self._off = 0

    def make(self) -> Plan:
        snapshot, principal, route = self._snapshot, self._principal, self._route
        models = principal.models
        # A key that names the route may call what the route serves; one that does not, what it names.
        narrowed = models is not None and route.slug not in models
        by_purpose: dict[Purpose, list[tuple[TargetFacts, ModelFacts, _Access, EndpointFacts]]] = {}
        for number, target in enumerate(route.targets, 1):
            model = snapshot.models.get(target.model)
            hidden = f"target {number}"  # what one may not call is not named either
            if model is None or (narrowed and models is not None and model.slug not in models):
                self._left_out.append((hidden, "not allowed for the caller"))
                continue
            access = _access(snapshot, principal, model)
            if access is None:
                self._left_out.append((hidden, "not approved, or not granted to the caller"))
                continue
            if not access.licence_accepted:
                self._unlicensed = model
                self._left_out.append((model.slug, "its licence has not been accepted"))
                continue
            kept, left_out, elsewhere = _endpoints(model, principal.tenant, target.endpoint_id)
            self._left_out += left_out
            if target.purpose == Purpose.NORMAL:
                self._elsewhere += elsewhere
                self._off += len(left_out) - elsewhere
            by_purpose.setdefault(target.purpose, []).extend((target, model, access, each) for each in kept)
        return self._plan(by_purpose)

    def _plan(self, found: dict[Purpose, list[tuple[TargetFacts, ModelFacts, _Access, EndpointFacts]]]) -> Plan:
        snapshot, principal, route = self._snapshot, self._principal, self._route
        normal = found.get(Purpose.NORMAL, [])
        model = normal[0][1] if normal else self._any_allowed()
        # A model whose kind was changed since no longer belongs.
        found = {purpose: [each for each in rows if each[1].kind == model.kind] for purpose, rows in found.items()}
        slugs = {each[1].slug for rows in found.values() for each in rows}
        budgets = _budgets(snapshot, principal)
        common = _covering(snapshot, principal, (route.slug,))
        own = {slug: [each for each in _covering(snapshot, principal, (slug,)) if each.model] for slug in slugs}
        if len(slugs) == 1:  # then its limits cover every call
            common, own = [*common, *own.popitem()[1]], {}
        every = [*common, *(each for rows in own.values() for each in rows)]
        own_limits = {slug: tuple(each.limit for each in rows) for slug, rows in own.items()}
        candidates = {
            purpose: tuple(
                Candidate(endpoint, model, target, own_limits.get(model.slug, ()), access.ends_at)
                for target, model, access, endpoint in rows
            )
            for purpose, rows in found.items()
        }
        return Plan(
            slug=self._called,
            model=model,
            grant_ends_at=None,  # each candidate has its own
            licence_accepted=True,
            limits=tuple(covered.limit for covered in common),
            rules={covered.limit.key: covered.rule for covered in every},
            budgets=budgets,
            candidates=candidates.pop(Purpose.NORMAL, ()),
            left_out=tuple(self._left_out),
            capped=_is_capped(every, budgets),
            route=route,
            barred=self._elsewhere > 0 and not self._off and not normal,
            by_grants=not self._off and bool(normal),
            fallbacks=candidates,
        )

    def _any_allowed(self) -> ModelFacts:
        """A model to speak of when no endpoint of any may serve now. Raises where none may be called at all."""
        for target in self._route.targets:
            model = self._snapshot.models.get(target.model)
            if model is None or target.purpose != Purpose.NORMAL:
                continue
            access = _access(self._snapshot, self._principal, model)
            models = self._principal.models
            allowed = models is None or self._route.slug in models or model.slug in models
            if access is not None and access.licence_accepted and allowed:
                return model
        if self._unlicensed is not None:
            raise licence_not_accepted(self._principal.tenant, self._unlicensed)
        raise not_found(self._called)


def not_found(slug: str) -> ModelNotFound:
    shown = "".join(character for character in slug if character.isprintable())[:100]
    return ModelNotFound(
        f"The model '{shown}' does not exist or you do not have access to it. GET /v1/models lists those you can call.",
        param="model",
    )


def access_ended(tenant: TenantFacts, plan: Plan) -> AccessEnded:
    ended = {each.model.slug: each.ends_at for each in plan.candidates if each.ends_at is not None}
    days = ", ".join(f"{slug} on {datetime.fromtimestamp(at, tenant.zone):%Y-%m-%d}" for slug, at in ended.items())
    return AccessEnded(
        f"The route '{plan.slug}' has nothing left that tenant {tenant.slug} may call: its access has ended ({days})."
        " A service admin can renew it.",
        param="model",
        rule=f"the access of {tenant.slug} to what the route {plan.slug} serves, which has ended",
    )


def licence_not_accepted(tenant: TenantFacts, model: ModelFacts) -> LicenceNotAccepted:
    return LicenceNotAccepted(
        f"The licence of '{model.slug}' must be accepted before it is called: an admin of tenant {tenant.slug} can do"
        " that on the model's page in Lobby's portal.",
        param="model",
        rule=f"the licence of {model.slug}, which {tenant.slug} has not accepted",
    )
