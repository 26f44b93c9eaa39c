"""Prices, exactly: whole picodollars per token, which are US dollars per million tokens times 10^6.

List prices come from the genai-prices package's bundled snapshot, read offline (its updater is never started). What
a flat price row cannot say is left out and named in the row's source: tiers (the base tier is taken), off-peak hours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from datetime import UTC, datetime, time
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from apps.models.errors import PriceInexact
from apps.models.models import Price
from apps.models.types import PriceUnit

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice

PACKAGE: Final = "genai-prices"
MAX_PICOUSD: Final = 10**15  # 1,000 dollars per token; far below what the column holds, far above any price
_PER_TOKEN: Final = 10**6  # from dollars per million tokens
_PER_REQUEST: Final = 10**9  # from dollars per thousand requests
_PICOUSD: Final = 10**12
# What the snapshot calls units, and how many picodollars a unit costs where it says a dollar.
_UNITS: Final = {
    "input_audio_hours": (PriceUnit.SECOND, Fraction(_PICOUSD, 3600)),
    "audio_hours": (PriceUnit.SECOND, Fraction(_PICOUSD, 3600)),
    "input_mchars": (PriceUnit.CHARACTER, Fraction(_PICOUSD, 10**6)),
}


@dataclass(frozen=True, slots=True)
class Figures:
    """What a price row says, in picodollars per token, per ``unit`` and per request. None: see ``Price``."""

    input_picousd: int = 0
    output_picousd: int = 0
    cached_input_picousd: int | None = None
    cache_write_picousd: int | None = None
    cache_write_1h_picousd: int | None = None
    reasoning_picousd: int | None = None
    audio_input_picousd: int | None = None
    audio_output_picousd: int | None = None
    image_input_picousd: int | None = None
    image_output_picousd: int | None = None
    unit: str = ""
    unit_picousd: int = 0
    request_picousd: int = 0

    @classmethod
    def of(cls, price: Price) -> Figures:
        return cls(**{each.name: getattr(price, each.name) for each in fields(cls)})


@dataclass(frozen=True, slots=True)
class ListPrice:
    """A price of the snapshot, from ``since`` on (None: from before anybody kept count)."""

    figures: Figures
    since: datetime | None
    source: str


@dataclass(frozen=True, slots=True)
class Listing:
    """What the snapshot knows of a model. ``prices`` is in order of time, and empty where it is not sold by tokens."""

    name: str
    publisher: str
    description: str
    context_tokens: int | None
    is_deprecated: bool
    prices: tuple[ListPrice, ...]


def figures_per_million(price: Price) -> list[tuple[str, Decimal]]:
    """A price as people read it, in US dollars per million tokens: input and output first, then what differs."""
    figures = [("Input", price.input_picousd), ("Output", price.output_picousd)]
    cache_write = price.input_picousd if price.cache_write_picousd is None else price.cache_write_picousd
    for label, amount, usual in (
        ("Cached input", price.cached_input_picousd, price.input_picousd),
        ("Cache write", price.cache_write_picousd, price.input_picousd),
        ("Cache write, 1 h", price.cache_write_1h_picousd, cache_write),
        ("Reasoning", price.reasoning_picousd, price.output_picousd),
        ("Sound in", price.audio_input_picousd, price.input_picousd),
        ("Sound out", price.audio_output_picousd, price.output_picousd),
        ("Images in", price.image_input_picousd, price.input_picousd),
        ("Images out", price.image_output_picousd, price.output_picousd),
    ):
        if amount is not None and amount != usual:
            figures.append((label, amount))
    return [(label, usd_per_mtok(amount)) for label, amount in figures]


def picousd_per_token(usd_per_mtok: Decimal, *, field: str | None = None) -> int:
    """Exactly. Raises PriceInexact where that is no whole, sensible number of picodollars."""
    return _exact(usd_per_mtok, _PER_TOKEN, "US dollars per million tokens", field)


def picousd_per_request(usd_per_thousand: Decimal, *, field: str | None = None) -> int:
    """Exactly. Raises PriceInexact where that is no whole, sensible number of picodollars."""
    return _exact(usd_per_thousand, _PER_REQUEST, "US dollars per thousand requests", field)


def picousd_per_unit(usd: Decimal, *, field: str | None = None) -> int:
    """Exactly. Raises PriceInexact where that is no whole, sensible number of picodollars."""
    return _exact(usd, _PICOUSD, "US dollars per unit", field)


def usd_per_mtok(picousd: int) -> Decimal:
    """US dollars per million tokens, exactly."""
    return Decimal(picousd) / _PER_TOKEN


def _exact(value: Decimal, factor: int, unit: str, field: str | None) -> int:
    if not value.is_finite() or value < 0:
        raise PriceInexact(f"{value} is no price; write {unit}, zero or more.", field=field)
    # Reject by magnitude first: Fraction would spell out every digit of an exponent that somebody made up.
    if value and not -40 < value.adjusted() < 12:
        raise PriceInexact(f"{value} {unit} is out of range.", field=field)
    amount = Fraction(value) * factor
    if amount.denominator != 1 or amount > MAX_PICOUSD:
        raise PriceInexact(f"{value} {unit} has more digits than Lobby keeps (a picodollar per token).", field=field)
    return int(amount)


def package_version() -> str:
    return version(PACKAGE)


@lru_cache(maxsize=4096)
def find_listing(upstream_model: str, base_url: str, sold_as: str = "") -> Listing | None:
    """What the snapshot knows of a provider's model.

    Args:
        base_url: Which provider: the snapshot knows many by their API's address.
        sold_as: The snapshot's id of the provider whose list price holds where the address is a stranger's (a proxy
            in front of OpenAI, for example). The source then says so.
    """
    # Half a second and some 40 MB: only the processes that register models pay for it.
    from genai_prices.data_snapshot import get_snapshot

    snapshot = get_snapshot()
    note = ""
    try:
        provider = snapshot.find_provider(None, None, f"{base_url}/")
    except LookupError:
        if not sold_as:
            return None
        provider = snapshot.find_provider(None, sold_as, None)
        note = f"list price of {provider.name}"
    model = provider.find_model(upstream_model, all_providers=snapshot.providers)
    if model is None:
        return None
    return Listing(
        name=model.name or "",
        publisher=provider.name,
        description=model.description or "",
        context_tokens=model.context_window,
        is_deprecated=bool(model.deprecated),
        prices=tuple(_list_prices(model, note)),
    )


def _list_prices(model: ModelInfo, note: str) -> list[ListPrice]:
    from genai_prices.types import ModelPrice, StartDateConstraint

    if isinstance(model.prices, ModelPrice):
        return _list_price(model.prices, None, [note])
    notes = [note]
    rows: list[ListPrice] = []
    if any(each.constraint and not isinstance(each.constraint, StartDateConstraint) for each in model.prices):
        notes.append("off-peak hours left out")
    for each in model.prices:
        if each.constraint is None:
            rows += _list_price(each.prices, None, notes)
        elif isinstance(each.constraint, StartDateConstraint):
            rows += _list_price(each.prices, datetime.combine(each.constraint.start_date, time(), UTC), notes)
    return rows


def _list_price(price: ModelPrice, since: datetime | None, notes: list[str]) -> list[ListPrice]:
    from genai_prices.types import TieredPrices

    notes = [note for note in notes if note]
    values: dict[str, Decimal] = {}
    for key, value in price.__dict__.items():
        if isinstance(value, TieredPrices):
            values[key] = value.base
            if "base tier" not in notes:
                notes.append("base tier")
        elif isinstance(value, Decimal):
            values[key] = value
    unit = next((key for key in _UNITS if key in values), None)
    if "input_mtok" not in values and unit is None:
        return []  # sold by the page or by something else that no row can say

    def amount(key: str, factor: int | Fraction = _PER_TOKEN) -> int | None:
        if key not in values:
            return None
        exact = Fraction(values[key]) * factor
        if exact.denominator != 1 and "rounded up" not in notes:
            notes.append("rounded up")
        return math.ceil(exact)

    figures = Figures(
        input_picousd=amount("input_mtok") or 0,
        output_picousd=amount("output_mtok") or 0,
        cached_input_picousd=amount("cache_read_mtok"),
        cache_write_picousd=amount("cache_write_mtok"),
        cache_write_1h_picousd=amount("cache_write_1h_mtok"),
        reasoning_picousd=amount("output_reasoning_mtok"),
        audio_input_picousd=amount("input_audio_mtok"),
        audio_output_picousd=amount("output_audio_mtok"),
        image_input_picousd=amount("input_image_mtok"),
        image_output_picousd=amount("output_image_mtok"),
        unit=_UNITS[unit][0].value if unit else "",
        unit_picousd=(amount(unit, _UNITS[unit][1]) or 0) if unit else 0,
        request_picousd=amount("requests_kcount", _PER_REQUEST) or 0,
    )
    source = f"{PACKAGE} {package_version()}" + (f" ({', '.join(notes)})" if notes else "")
    return [ListPrice(figures, since, source[:200])]
