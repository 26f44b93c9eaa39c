"""Reads of the registry, always for an actor.

The hub shows every approved (or deprecated) model to every member of a tenant, so that they know what they can ask
for; what is proposed, in review or retired is for the platform's staff. Whether a tenant may call a model, and why not,
is ``Access``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db.models import (
    Case,
    Count,
    Exists,
    F,
    IntegerField,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    TextField,
    Value,
    When,
)
from django.db.models.functions import Cast, Coalesce, Lower
from django.utils import timezone

from apps.models.models import AccessGrant, Endpoint, Model, Price, Provider
from apps.models.prices import usd_per_mtok
from apps.models.types import CALLABLE_LIFECYCLES, Capability, Lifecycle, ProviderKind
from apps.tenants.access import Actor, can, require
from apps.tenants.errors import NotFound
from apps.tenants.models import Project, Tenant
from apps.tenants.types import TenantStatus

SEEN_BY_MEMBERS = (Lifecycle.APPROVED, Lifecycle.DEPRECATED)
SORTS = {
    "name": "By name",
    "newest": "Newest first",
    "price": "Lowest input price first",
    "context": "Longest context first",
}


@dataclass(frozen=True, slots=True)
class Access:
    """Whether a tenant (in a project) may call a model now. ``code`` is for programs, ``reason`` for people."""

    allowed: bool
    code: str
    reason: str
    expires_at: datetime | None = None

    @property
    def label(self) -> str:
        """In two words, for a badge."""
        return _ACCESS_WORDS[self.code][0]

    @property
    def remedy(self) -> str:
        """Who can change it; empty where it is allowed."""
        return _ACCESS_WORDS[self.code][1]


_ACCESS_WORDS = {
    "open": ("Ready", ""),
    "granted": ("Ready", ""),
    "granted_to_project": ("Ready", ""),
    "no_tenant": ("No tenant", "Ask a tenant admin to add you."),
    "tenant_inactive": ("Tenant not active", "Ask a service admin to reactivate it."),
    "lifecycle": ("Not approved", "Ask a service admin to approve it."),
    "no_endpoint": ("Not served", "Ask a service engineer to enable a provider for it."),
    "residency": ("Runs elsewhere", "Ask a service admin for an endpoint in one of those regions."),
    "expired": ("Grant expired", "Ask a service admin to renew it."),
    "not_granted": ("Needs a grant", "Ask a service admin to grant it."),
    "licence": ("Accept the licence", "A tenant admin accepts it on this page."),
}


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """A model as one tenant sees it. ``price`` is that of the endpoint tried first."""

    model: Model
    access: Access
    price: Price | None
    endpoints: tuple[Endpoint, ...]

    @property
    def capabilities(self) -> list[str]:
        """As people read them."""
        labels = dict(Capability.choices)
        return [labels.get(name, name) for name in self.model.capabilities]

    @property
    def input_usd(self) -> Decimal | None:
        """Per million tokens."""
        return None if self.price is None else usd_per_mtok(self.price.input_picousd)

    @property
    def output_usd(self) -> Decimal | None:
        """Per million tokens."""
        return None if self.price is None else usd_per_mtok(self.price.output_picousd)

    @property
    def is_simulated(self) -> bool:
        return bool(self.endpoints) and all(endpoint.provider.is_simulated for endpoint in self.endpoints)

    @property
    def providers(self) -> list[Provider]:
        return list(dict.fromkeys(endpoint.provider for endpoint in self.endpoints))


@dataclass(frozen=True, slots=True)
class CatalogQuery:
    """What somebody looks for in the hub. Empty means any."""

    text: str = ""
    kind: str = ""
    provider: str = ""
    capabilities: tuple[str, ...] = ()
    lifecycle: str = ""
    callable_only: bool = False
    sort: str = "name"


def models_for(actor: Actor) -> QuerySet[Model]:
    """The models that exist for this actor."""
    if can(actor, "registry.view"):
        return Model.objects.all()
    if not actor.tenants_allowing("model.view"):
        return Model.objects.none()
    return Model.objects.filter(lifecycle__in=SEEN_BY_MEMBERS)


def names_of(slugs: Iterable[str]) -> dict[str, str]:
    """Models' names by slug, for slugs that the reader was shown already; what is no more keeps its slug. One query."""
    wanted = set(slugs)
    named = dict(Model.objects.filter(slug__in=wanted).values_list("slug", "name"))
    return {slug: named.get(slug, slug) for slug in wanted}


def get_model_for(actor: Actor, slug: str) -> Model:
    model = models_for(actor).filter(slug=slug).first()
    if model is None:
        raise NotFound(f"There is no model {slug[:200]!r}.")
    return model


def callable_models_for(
    actor: Actor, tenant: Tenant, project: Project | None = None, *, with_price: bool = False
) -> QuerySet[Model]:
    """The models that the tenant (in the project) may call now. Nothing for an actor who does not see the tenant.

    ``with_price`` lets ``catalog_entries`` tell the prices.
    """
    rows = models_for(actor) if can(actor, "model.view", tenant, project) else Model.objects.none()
    if with_price:
        rows = _with_price(rows)
    return _callable(_with_access(rows, tenant, project), tenant)


def search_models(
    actor: Actor, query: CatalogQuery, tenant: Tenant | None = None, project: Project | None = None
) -> QuerySet[Model]:
    """The hub's answer to a query, in its order; a page of it goes to ``catalog_entries``."""
    if tenant is not None and not can(actor, "model.view", tenant):
        raise NotFound("There is no such tenant.")
    rows = _with_access(_with_price(models_for(actor)), tenant, project)
    for word in query.text.split()[:8]:
        rows = rows.filter(
            Q(slug__icontains=word)
            | Q(name__icontains=word)
            | Q(publisher__icontains=word)
            | Q(description__icontains=word)
        )
    if query.kind:
        rows = rows.filter(kind=query.kind)
    if query.provider:
        at_provider = Endpoint.objects.filter(model=OuterRef("pk"), provider__slug=query.provider, is_enabled=True)
        rows = rows.filter(Exists(at_provider))
    if query.lifecycle:
        rows = rows.filter(lifecycle=query.lifecycle)
    if query.capabilities:
        rows = rows.annotate(capabilities_text=Cast("capabilities", TextField()))
        for capability in query.capabilities:
            rows = rows.filter(capabilities_text__contains=f'"{capability}"')
    if query.callable_only:
        rows = _callable(rows, tenant)
    match query.sort:
        case "newest":
            return rows.order_by("-created_at", "-pk")
        case "price":
            return rows.order_by(F("input_picousd").asc(nulls_last=True), Lower("name"), "pk")
        case "context":
            return rows.order_by(F("context_tokens").desc(nulls_last=True), Lower("name"), "pk")
    text = query.text.strip()
    if not text:
        return rows.order_by(Lower("name"), "pk")
    # What is called so comes before what only speaks of it.
    called = Q(name__icontains=text) | Q(slug__icontains=text)
    return rows.order_by(Case(When(called, then=0), default=1), Lower("name"), "pk")


def catalog_entries(
    models: Iterable[Model], tenant: Tenant | None = None, project: Project | None = None
) -> list[CatalogEntry]:
    """The entries of one page of ``search_models``: three more queries, however long the page."""
    page = list(models)
    ids = [model.pk for model in page]
    endpoints: dict[int, list[Endpoint]] = {}
    for endpoint in Endpoint.objects.filter(model_id__in=ids).select_related("provider").order_by("priority", "id"):
        if is_live(endpoint):
            endpoints.setdefault(endpoint.model_id, []).append(endpoint)
    prices = Price.objects.in_bulk([each for model in page if (each := getattr(model, "price_id", None)) is not None])
    grants: dict[int, list[AccessGrant]] = {}
    if tenant is not None:
        for grant in _grants(tenant, project).filter(model_id__in=ids):
            grants.setdefault(grant.model_id, []).append(grant)
    return [
        CatalogEntry(
            model=model,
            access=_access(model, tenant, grants.get(model.pk, []), endpoints.get(model.pk, [])),
            price=prices.get(getattr(model, "price_id", None) or 0),
            endpoints=tuple(endpoints.get(model.pk, ())),
        )
        for model in page
    ]


def get_entry_for(
    actor: Actor, slug: str, tenant: Tenant | None = None, project: Project | None = None
) -> CatalogEntry:
    """One model as the tenant sees it, with its price. Raises NotFound."""
    rows = _with_price(models_for(actor)).filter(slug=slug)
    if tenant is not None and not can(actor, "model.view", tenant):
        raise NotFound("There is no such tenant.")
    entries = catalog_entries(rows[:1], tenant, project)
    if not entries:
        raise NotFound(f"There is no model {slug[:200]!r}.")
    return entries[0]


def is_live(endpoint: Endpoint) -> bool:
    """Whether the gateway may send to it. The provider must be loaded."""
    return endpoint.is_enabled and endpoint.provider.is_enabled


def may_go_to(tenant: Tenant, endpoint: Endpoint) -> bool:
    """Whether the tenant's data may be processed there, as the gateway decides. The provider must be loaded."""
    return not tenant.residency or endpoint.region in tenant.residency or endpoint.provider.is_simulated


def tenants_shut_out(actor: Actor, regions: Collection[str]) -> list[Tenant]:
    """The active tenants whose allowed regions have none of these: what runs there alone, they cannot use.

    An unknown region ("") is in nobody's.
    """
    require(actor, "registry.view", what="see which tenants can use a provider")
    restricted = Tenant.objects.for_actor(actor).filter(status=TenantStatus.ACTIVE).exclude(residency=[])
    return [tenant for tenant in restricted.order_by("name") if not set(tenant.residency) & set(regions)]


def price_at(model: Model, endpoint: Endpoint | None, at: datetime) -> Price | None:
    """The price in force at ``at``: the newest that had begun, the endpoint's own before the model's."""
    begun = Price.objects.filter(model=model, effective_from__lte=at).order_by("-effective_from", "-id")
    own = begun.filter(endpoint=endpoint).first() if endpoint is not None else None
    return own or begun.filter(endpoint=None).first()


def price_history_for(actor: Actor, model: Model) -> QuerySet[Price]:
    """The prices of a model and of its endpoints, newest first, announced ones included."""
    get_model_for(actor, model.slug)
    rows = Price.objects.filter(model=model).select_related("endpoint__provider")
    return rows.order_by("-effective_from", "-id")


def grants_for(actor: Actor, tenant: Tenant | None = None, model: Model | None = None) -> QuerySet[AccessGrant]:
    rows = AccessGrant.objects.for_actor(actor).select_related("tenant", "project", "model", "granted_by")
    if tenant is not None:
        rows = rows.filter(tenant=tenant)
    return rows if model is None else rows.filter(model=model)


def get_grant_for(actor: Actor, pk: int) -> AccessGrant:
    grant = grants_for(actor).filter(pk=pk).first()
    if grant is None:
        raise NotFound("There is no such grant.")
    return grant


def providers_for(actor: Actor) -> QuerySet[Provider]:
    """For the platform's staff: with their addresses and where their credentials come from."""
    require(actor, "registry.view", what="see the providers")
    return Provider.objects.all()


def get_provider_for(actor: Actor, slug: str) -> Provider:
    provider = providers_for(actor).filter(slug=slug).first()
    if provider is None:
        raise NotFound(f"There is no provider {slug[:60]!r}.")
    return provider


def endpoints_for(actor: Actor, model: Model | None = None) -> QuerySet[Endpoint]:
    require(actor, "registry.view", what="see the endpoints")
    rows = Endpoint.objects.select_related("model", "provider")
    return rows if model is None else rows.filter(model=model)


def endpoints_at(actor: Actor, provider: Provider) -> QuerySet[Endpoint]:
    """A provider's, those in use first, each with ``is_priced`` and ``grants``, how many its model has."""
    own = Q(endpoint=None) | Q(endpoint=OuterRef("pk"))
    prices = Price.objects.filter(own, model=OuterRef("model"), effective_from__lte=timezone.now())
    grants = AccessGrant.objects.unscoped("how many grants a model has, for the platform's staff")
    counts = grants.filter(model=OuterRef("model")).order_by().values("model").annotate(number=Count("pk"))
    rows = endpoints_for(actor).filter(provider=provider)
    rows = rows.annotate(is_priced=Exists(prices), grants=Coalesce(Subquery(counts.values("number")), 0))
    return rows.order_by("-is_enabled", "upstream_model")


def get_endpoint_for(actor: Actor, pk: int) -> Endpoint:
    endpoint = endpoints_for(actor).filter(pk=pk).first()
    if endpoint is None:
        raise NotFound("There is no such endpoint.")
    return endpoint


def prices_for(actor: Actor, model: Model | None = None) -> QuerySet[Price]:
    require(actor, "registry.view", what="see the price book")
    rows = Price.objects.select_related("model", "endpoint__provider", "created_by")
    return rows if model is None else rows.filter(model=model)


def provider_choices_for(actor: Actor) -> list[tuple[str, str]]:
    """(slug, name) of the providers that offer something this actor sees, for the hub's filter."""
    offered = Endpoint.objects.filter(provider=OuterRef("pk"), is_enabled=True, model__in=models_for(actor))
    rows = Provider.objects.filter(Exists(offered), is_enabled=True).order_by("name")
    return list(rows.values_list("slug", "name"))


def _grants(tenant: Tenant, project: Project | None) -> QuerySet[AccessGrant]:
    """The grants that cover the project; without one, those to the whole tenant or any project of it."""
    rows = AccessGrant.objects.for_tenant(tenant).select_related("project")
    return rows if project is None else rows.filter(Q(project=None) | Q(project=project))


def _with_access(rows: QuerySet[Model], tenant: Tenant | None, project: Project | None) -> QuerySet[Model]:
    live = Endpoint.objects.filter(model=OuterRef("pk"), is_enabled=True, provider__is_enabled=True)
    if tenant is not None and tenant.residency:
        live = live.filter(Q(region__in=tenant.residency) | Q(provider__kind=ProviderKind.SANDBOX))
    granted: Any = Value(False)
    accepted: Any = Value(False)
    if tenant is not None:
        in_force = Q(expires_at=None) | Q(expires_at__gt=timezone.now())
        mine = _grants(tenant, project).filter(in_force, model=OuterRef("pk"))
        granted, accepted = Exists(mine), Exists(mine.filter(licence_accepted_at__isnull=False))
    return rows.annotate(has_endpoint=Exists(live), is_granted=granted, is_licence_accepted=accepted)


def _callable(rows: QuerySet[Model], tenant: Tenant | None) -> QuerySet[Model]:
    if tenant is None or tenant.status != TenantStatus.ACTIVE:
        return rows.none()
    served = Q(lifecycle__in=CALLABLE_LIFECYCLES, has_endpoint=True)
    accepted = Q(licence_needs_acceptance=False) | Q(is_licence_accepted=True)
    return rows.filter(served & (Q(is_open=True) | Q(is_granted=True)) & accepted)


def _with_price(rows: QuerySet[Model]) -> QuerySet[Model]:
    """Adds ``price_id`` and ``input_picousd``: those in force at the endpoint that is tried first."""
    first = Endpoint.objects.filter(model=OuterRef("pk"), is_enabled=True, provider__is_enabled=True)
    prices = (
        Price.objects.filter(model=OuterRef("pk"), effective_from__lte=timezone.now())
        .filter(Q(endpoint=None) | Q(endpoint=OuterRef("first_endpoint_id")))
        .annotate(rank=Case(When(endpoint=None, then=Value(1)), default=Value(0), output_field=IntegerField()))
        .order_by("rank", "-effective_from", "-id")
    )
    return rows.annotate(
        first_endpoint_id=Subquery(first.order_by("priority", "id").values("pk")[:1]),
    ).annotate(price_id=Subquery(prices.values("pk")[:1]), input_picousd=Subquery(prices.values("input_picousd")[:1]))


def _access(model: Model, tenant: Tenant | None, grants: list[AccessGrant], endpoints: list[Endpoint]) -> Access:
    if tenant is None:
        return Access(False, "no_tenant", "You belong to no tenant, and calls are made for one.")
    if tenant.status != TenantStatus.ACTIVE:
        return Access(False, "tenant_inactive", f"{tenant.name} is {tenant.get_status_display().lower()}.")
    if model.lifecycle not in CALLABLE_LIFECYCLES:
        label = Lifecycle(model.lifecycle).label.lower()
        return Access(False, "lifecycle", f"The model is {label}.")
    if not endpoints:
        return Access(False, "no_endpoint", "No provider serves it at the moment.")
    if not any(may_go_to(tenant, endpoint) for endpoint in endpoints):
        places = ", ".join(sorted({endpoint.region or "an unknown region" for endpoint in endpoints}))
        reason = f"It runs in {places}; {tenant.name} allows only {', '.join(sorted(tenant.residency))}."
        return Access(False, "residency", reason)
    now = timezone.now()
    valid = [grant for grant in grants if grant.expires_at is None or grant.expires_at > now]
    if (model.is_open or valid) and model.licence_needs_acceptance:
        valid = [grant for grant in valid if grant.licence_accepted_at is not None]
        if not valid:
            return Access(False, "licence", f"{tenant.name} has not accepted its licence yet.")
    if model.is_open:
        return Access(True, "open", "Open to every tenant.")
    if not valid:
        if grants:
            return Access(False, "expired", f"The grant to {tenant.name} has expired.")
        return Access(False, "not_granted", f"Not granted to {tenant.name}.")
    whole = [grant for grant in valid if grant.project_id is None]
    chosen = max(whole or valid, key=lambda grant: (grant.expires_at is None, grant.expires_at or now))
    if whole:
        return Access(True, "granted", f"Granted to {tenant.name}.", chosen.expires_at)
    names = ", ".join(sorted(str(grant.project) for grant in valid))
    return Access(True, "granted_to_project", f"Granted to {names} of {tenant.name}.", chosen.expires_at)
