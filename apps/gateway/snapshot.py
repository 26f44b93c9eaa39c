"""The control plane as the gateway sees it: one immutable picture in memory, made anew when something changed.

Nothing on a request's path asks the database. What a caller may do with a model (its ``Plan``: the limits and budgets
that cover it, the endpoints that may serve it) is worked out at the first such request and kept with the snapshot.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import IPv4Network, IPv6Network
from zoneinfo import ZoneInfo

from apps.gateway.counters.base import BudgetWindow, Limit
from apps.gateway.errors import AccessEnded, LicenceNotAccepted, ModelNotFound
from apps.gateway.ledger.pricing import FREE, PriceTerms
from apps.gateway.routing.plans import Plan, RouteFacts, access_ended, licence_not_accepted, make_plan, not_found
from apps.gateway.snapshot_prompts import PromptFacts
from apps.models.providers.base import Target
from apps.tenants.periods import period_bounds

MAX_PLANS = 50_000
# When a model's own maximum is not known, the hold assumes this one and the request is capped by it.
ASSUMED_MAX_OUTPUT_TOKENS = 16_384


@dataclass(frozen=True, slots=True)
class TenantFacts:
    id: int
    slug: str
    name: str
    zone: ZoneInfo
    is_active: bool
    regions: frozenset[str]


@dataclass(frozen=True, slots=True)
class ProjectFacts:
    id: int
    slug: str
    name: str
    environment: str
    is_active: bool
    strict: bool  # a parameter that an upstream cannot take is an error
    tenant: TenantFacts
    content_share: float = 0.0  # of its requests, how many are kept with what they say

    @property
    def label(self) -> str:
        return f"{self.tenant.slug}/{self.slug}"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls: a project, by one of its keys or by a member. ``models`` is None when nothing narrows them;
    ``key_prefix`` is the key's.

    ``by_lobby``: the call is one of Lobby's own, a job's or the playground's, and no sample of how the project is used.
    """

    project: ProjectFacts
    api_key_id: int = 0
    user_id: int = 0
    models: frozenset[str] | None = None
    label: str = ""
    key_prefix: str = ""
    by_lobby: bool = False

    @property
    def tenant(self) -> TenantFacts:
        return self.project.tenant


@dataclass(frozen=True, slots=True)
class KeyFacts:
    principal: Principal
    digest: str = field(repr=False)
    scopes: frozenset[str]
    networks: tuple[IPv4Network | IPv6Network, ...]
    expires_at: float | None
    revoked: bool


@dataclass(frozen=True, slots=True)
class UserFacts:
    """A person at the identity provider. ``projects`` are those of the tenants in which their role may call models;
    ``roles`` are by tenant id."""

    id: int
    label: str
    projects: tuple[ProjectFacts, ...]
    roles: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PriceFacts:
    effective_from: float
    price_id: int
    terms: PriceTerms


@dataclass(frozen=True, slots=True)
class EndpointFacts:
    id: int
    provider: str
    provider_kind: str
    region: str
    priority: int
    is_enabled: bool
    simulated: bool
    target: Target
    connect_timeout: float
    first_byte_timeout: float
    idle_timeout: float
    total_timeout: float
    prices: tuple[PriceFacts, ...]  # newest first
    why_off: str = "switched off"  # where it is not enabled
    name: str = ""  # its model's, for people

    def price_at(self, now: float) -> PriceFacts:
        """The price in force at ``now`` (Unix seconds)."""
        for price in self.prices:
            if price.effective_from <= now:
                return price
        return _NO_PRICE

    @property
    def label(self) -> str:
        """As people read it: the model, and where. Of one model's endpoints each has a label of its own."""
        return f"{self.name or self.target.upstream_model} at {self.provider}"


_NO_PRICE = PriceFacts(0.0, 0, FREE)


@dataclass(frozen=True, slots=True)
class ModelFacts:
    id: int
    slug: str
    kind: str
    publisher: str
    created: int
    max_output_tokens: int | None
    is_open: bool
    is_callable: bool  # by its lifecycle
    licence_needs_acceptance: bool
    endpoints: tuple[EndpointFacts, ...]


@dataclass(frozen=True, slots=True)
class RuleFacts:
    """A limit in words, for the message of a denial: what it is and who can change it."""

    text: str
    owner: str


@dataclass(frozen=True, slots=True)
class LimitFacts:
    limit: Limit
    rule: RuleFacts
    tenant_id: int
    project_id: int
    api_key_id: int
    user_id: int
    model: str

    def covers(self, principal: Principal, model: str) -> bool:
        return (
            self.tenant_id == principal.tenant.id
            and self.project_id in (0, principal.project.id)
            and self.api_key_id in (0, principal.api_key_id)
            and self.user_id in (0, principal.user_id)
            and self.model in ("", model)
        )


class BudgetFacts:
    """A budget and the calendar period it is in; the period is worked out again when it ends."""

    __slots__ = (
        "_begins_at",
        "_window",
        "amount",
        "api_key_id",
        "hard",
        "id",
        "period",
        "project_id",
        "rule",
        "tenant",
    )

    def __init__(
        self,
        *,
        id: int,
        tenant: TenantFacts,
        project_id: int,
        api_key_id: int,
        period: str,
        amount: int,
        hard: bool,
        rule: RuleFacts,
    ) -> None:
        self.id = id
        self.tenant = tenant
        self.project_id = project_id
        self.api_key_id = api_key_id
        self.period = period
        self.amount = amount
        self.hard = hard
        self.rule = rule
        self._begins_at = 0.0
        self._window: BudgetWindow | None = None

    def window(self, now: float) -> BudgetWindow:
        window = self._window
        if window is None or not self._begins_at <= now < window.ends_at:
            start, end = self.bounds(now)
            window = BudgetWindow(f"budget:{self.id}:{start:%Y%m%d}", self.amount, self.hard, end.timestamp())
            self._window, self._begins_at = window, start.timestamp()
        return window

    def bounds(self, now: float) -> tuple[datetime, datetime]:
        return period_bounds(self.period, self.tenant.zone, datetime.fromtimestamp(now, self.tenant.zone))

    def covers(self, principal: Principal) -> bool:
        return (
            self.tenant.id == principal.tenant.id
            and self.project_id in (0, principal.project.id)
            and self.api_key_id in (0, principal.api_key_id)
        )


@dataclass(frozen=True, slots=True)
class GrantFacts:
    tenant_id: int
    project_id: int
    expires_at: float | None
    licence_accepted: bool


@dataclass(frozen=True, slots=True)
class Snapshot:
    """``version`` is that of the control plane at the moment of reading."""

    version: int
    keys: dict[str, KeyFacts] = field(repr=False)
    users_by_identity: dict[str, UserFacts] = field(repr=False)
    users: dict[int, UserFacts] = field(repr=False)
    models: dict[str, ModelFacts] = field(repr=False)
    grants: dict[int, tuple[GrantFacts, ...]] = field(repr=False)  # by model id
    limits: dict[int, tuple[LimitFacts, ...]] = field(repr=False)  # by tenant id
    budgets: dict[int, tuple[BudgetFacts, ...]] = field(repr=False)  # by tenant id
    routes: dict[tuple[int, str], RouteFacts] = field(default_factory=dict, repr=False)  # by tenant (0: none) and slug
    # Guarded routes' revisions, by tenant and name (slug@3): to be called, but in no list.
    revisions: dict[tuple[int, str], RouteFacts] = field(default_factory=dict, repr=False)
    projects: dict[int, ProjectFacts] = field(default_factory=dict, repr=False)
    prompts: dict[tuple[int, str], PromptFacts] = field(default_factory=dict, repr=False)  # by tenant id and slug
    _plans: dict[tuple[int, int, int, str], Plan] = field(default_factory=dict, repr=False)

    def plan(self, principal: Principal, slug: str, now: float) -> Plan:
        """How ``principal`` may call ``slug``.

        Raises ``ModelNotFound``, alike for an unknown and a forbidden model; ``LicenceNotAccepted`` only to those who
        could call it otherwise.
        """
        key = (principal.project.id, principal.api_key_id, principal.user_id, slug)
        plan = self._plans.get(key)
        if plan is None:
            plan = make_plan(self, principal, slug)
            if len(self._plans) >= MAX_PLANS:
                self._plans.clear()
            self._plans[key] = plan
        if plan.grant_ends_at is not None and plan.grant_ends_at <= now:
            raise not_found(slug)
        if not plan.licence_accepted:
            raise licence_not_accepted(principal.tenant, plan.model)
        if plan.has_ended(now):
            raise access_ended(principal.tenant, plan)
        return plan

    def callable_plans(self, principal: Principal, now: float) -> list[Plan]:
        """Of every model and route that ``principal`` may call, by name."""
        found = []
        names = {slug for tenant_id, slug in self.routes if tenant_id in (0, principal.tenant.id)}
        for slug in sorted(names | self.models.keys()):
            try:
                found.append(self.plan(principal, slug, now))
            except (ModelNotFound, LicenceNotAccepted, AccessEnded):
                continue
        return found


def principals_of(snapshot: Snapshot, user_id: int) -> Iterable[Principal]:
    """The principals that a signed-in member can act as, one a project."""
    user = snapshot.users.get(user_id)
    for project in user.projects if user else ():
        yield Principal(project=project, user_id=user_id, label=user.label if user else "")
