"""Prices: only ever added. The newest that has begun is in force; a correction is a new row."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from apps.models import selectors
from apps.models.models import Endpoint, Model, Price
from apps.models.prices import MAX_PICOUSD, PACKAGE, Figures, Listing, ListPrice
from apps.models.types import UNITS
from apps.tenants import audit, validation
from apps.tenants.access import Actor, require
from apps.tenants.control_plane import control_plane_changed
from apps.tenants.errors import Invalid


@transaction.atomic
def add_price(
    *,
    actor: Actor,
    model: Model,
    figures: Figures,
    endpoint: Endpoint | None = None,
    effective_from: datetime | None = None,
    source: str = "",
) -> Price:
    """A price from ``effective_from`` (None: now) on, for the model everywhere or at one of its endpoints."""
    require(actor, "registry.manage", what="set prices")
    if endpoint is not None and endpoint.model_id != model.pk:
        raise Invalid("The endpoint serves another model.", field="endpoint")
    effective_from = timezone.now() if effective_from is None else effective_from
    if timezone.is_naive(effective_from):
        raise Invalid("The moment from which the price holds has no time zone.", field="effective_from")
    values = asdict(figures)
    for field, amount in values.items():
        if amount is not None and field != "unit":
            validation.clean_number(amount, field=field, minimum=0, maximum=MAX_PICOUSD)
    _check_unit(model, figures)
    price = Price.objects.create(
        model=model,
        endpoint=endpoint,
        effective_from=effective_from,
        source=validation.clean_text(source, field="source", maximum=200),
        created_by=actor.user,
        **values,
    )
    facts = {"model": model.slug, "endpoint": None if endpoint is None else str(endpoint), **values}
    audit.record(actor, "price.added", price, {**facts, "effective_from": effective_from, "source": price.source})
    control_plane_changed()
    return price


def _check_unit(model: Model, figures: Figures) -> None:
    """A price per unit names the unit that the model's kind is metered in."""
    if not figures.unit:
        if figures.unit_picousd:
            raise Invalid("Name the unit of this price.", field="unit")
        return
    wanted = UNITS.get(model.kind)
    if figures.unit != wanted:
        sold = f"by the {wanted}" if wanted else "by tokens"
        raise Invalid(f"A model of the kind {model.kind} is metered {sold}.", field="unit")


@transaction.atomic
def seed_list_prices(*, actor: Actor, endpoint: Endpoint, listing: Listing, now: datetime) -> list[Price]:
    """Bring an endpoint's prices up to the package's: the one in force now, and those that it announces.

    Whoever added a price by hand knows better than a list: from then on the list is not followed here.
    """
    own_or_model = Q(endpoint=endpoint) | Q(endpoint=None)
    rows = list(Price.objects.filter(own_or_model, model=endpoint.model).order_by("effective_from", "id"))
    if any(not row.source.startswith(PACKAGE) for row in rows):
        return []
    wanted: list[tuple[ListPrice, datetime]] = []
    known = [price for price in listing.prices if price.figures.unit in ("", UNITS.get(endpoint.model.kind))]
    begun = [price for price in known if price.since is None or price.since <= now]
    if begun:
        in_force = selectors.price_at(endpoint.model, endpoint, now)
        current = begun[-1]
        if in_force is None:
            wanted.append((current, current.since or now))
        elif Figures.of(in_force) != current.figures:
            wanted.append((current, now))
    announced = {row.effective_from for row in rows}
    wanted += [
        (price, price.since)
        for price in known
        if price.since is not None and price.since > now and price.since not in announced
    ]
    return [
        add_price(
            actor=actor,
            model=endpoint.model,
            endpoint=endpoint,
            figures=price.figures,
            effective_from=since,
            source=price.source,
        )
        for price, since in wanted
    ]
