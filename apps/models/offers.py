"""Choosing models from what a provider lists, by hand: for providers whose list is not followed by itself."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from apps.models.discovery import AUDITED_NAMES, add_listed, list_models, listing_of, price_listed
from apps.models.models import Endpoint, Model, Provider
from apps.models.prices import Figures, Listing, usd_per_mtok
from apps.models.services import create_endpoint, create_model
from apps.models.types import Lifecycle, ModelKind
from apps.models.upstream_listing import ListedModel
from apps.tenants import audit
from apps.tenants.access import Actor, require
from apps.tenants.control_plane import control_plane_changed
from apps.tenants.errors import Conflict, Invalid
from apps.tenants.services.changes import apply_changes


@dataclass(frozen=True, slots=True)
class Offer:
    """A model of a provider's list, as somebody chooses it. ``listing`` is what the price package knows of it."""

    listed: ListedModel
    listing: Listing | None
    is_registered: bool

    @property
    def price(self) -> Figures | None:
        return self.listing.prices[-1].figures if self.listing is not None and self.listing.prices else None

    @property
    def input_usd(self) -> Decimal | None:
        """Per million tokens."""
        return None if self.price is None else usd_per_mtok(self.price.input_picousd)

    @property
    def output_usd(self) -> Decimal | None:
        return None if self.price is None else usd_per_mtok(self.price.output_picousd)


def offers_of(*, actor: Actor, provider: Provider) -> list[Offer]:
    """Ask the provider for what it lists. Raises DiscoveryFailed, CredentialError, UrlRefused."""
    require(actor, "registry.manage", what="choose models")
    listing = list_models(provider)
    known = set(Endpoint.objects.filter(provider=provider).values_list("upstream_model", flat=True))
    offers = [Offer(listed, listing_of(provider, listed), listed.upstream_model in known) for listed in listing.models]
    return sorted(offers, key=lambda offer: (offer.is_registered, offer.listed.kind, offer.listed.upstream_model))


def register_models(*, actor: Actor, provider: Provider, upstream_models: Collection[str]) -> list[Endpoint]:
    """Register the chosen ones of the provider's list, with their list prices. What is registered already stays.

    Raises Invalid for a name that it does not list; Conflict where a name is taken by another kind of model.
    """
    require(actor, "registry.manage", what="register models")
    listed = {each.upstream_model: each for each in list_models(provider).models}
    if unknown := [name for name in upstream_models if name not in listed]:
        raise Invalid(f"{provider.name} lists no {unknown[0][:100]!r}.", field="models")
    now = timezone.now()
    added = []
    with transaction.atomic():
        provider = Provider.objects.select_for_update().get(pk=provider.pk)
        known = set(Endpoint.objects.filter(provider=provider).values_list("upstream_model", flat=True))
        for name in upstream_models:
            if name in known:
                continue
            endpoint = add_listed(provider, listed[name])
            if endpoint is None:
                raise Conflict(f"{name} is the name of another kind of model already.", code="slug_taken")
            price_listed(actor, endpoint, listed[name], now)
            added.append(endpoint)
        apply_changes(provider, {"last_seen_at": now, "last_error": ""})
        if added:
            names = [endpoint.upstream_model for endpoint in added[:AUDITED_NAMES]]
            audit.record(actor, "provider.models_registered", provider, {"added": names})
            control_plane_changed()
    return added


@transaction.atomic
def name_model(
    *,
    actor: Actor,
    provider: Provider,
    upstream_model: str,
    slug: str = "",
    kind: str = ModelKind.CHAT,
    endpoint_settings: dict[str, str] | None = None,
) -> tuple[Endpoint, bool]:
    """Register a model that no list has, by its name at the provider: (its endpoint, whether the model is new).

    A new one is approved and open, or proposed, as one chosen from a list would be; an old one gets an endpoint more.
    """
    require(actor, "registry.manage", what="register models")
    slug = slug or upstream_model
    known = Model.objects.filter(slug=slug).first()
    is_open = settings.DISCOVERED_MODELS_OPEN
    model = known or create_model(
        actor=actor,
        slug=slug,
        name=slug,
        kind=kind,
        lifecycle=Lifecycle.APPROVED if is_open else Lifecycle.PROPOSED,
        is_open=is_open,
    )
    endpoint = create_endpoint(
        actor=actor, model=model, provider=provider, upstream_model=upstream_model, settings=endpoint_settings or {}
    )
    price_listed(actor, endpoint, ListedModel(endpoint.upstream_model, ModelKind(model.kind)), timezone.now())
    return endpoint, known is None
