"""Prices are exact, only ever added, and follow the list until somebody knows better."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from django.utils import timezone
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ModelPrice, TieredPrices
from hypothesis import given
from hypothesis import strategies as st

from apps.models.errors import PriceInexact
from apps.models.models import Endpoint, Model, Price
from apps.models.prices import (
    MAX_PICOUSD,
    Figures,
    Listing,
    ListPrice,
    find_listing,
    picousd_per_request,
    picousd_per_token,
    usd_per_mtok,
)
from apps.models.selectors import price_at
from apps.models.services import add_price, seed_list_prices
from apps.models.types import ModelKind
from apps.tenants.access import Actor
from apps.tenants.errors import Invalid, PermissionDenied
from apps.tenants.models import AuditEntry
from tests.models.conftest import People

OPENAI = "https://api.openai.com/v1"


@given(st.integers(0, MAX_PICOUSD))
def test_picodollars_and_dollars_per_million_convert_without_loss(picousd: int) -> None:
    assert picousd_per_token(usd_per_mtok(picousd)) == picousd


@given(st.decimals(min_value=0, max_value=10**6, allow_nan=False, allow_infinity=False))
def test_a_price_is_exact_or_refused(usd: Decimal) -> None:
    exact = Fraction(usd) * 10**6
    try:
        amount = picousd_per_token(usd)
    except PriceInexact:
        assert exact.denominator != 1
    else:
        assert amount == exact


@pytest.mark.parametrize("usd", ["-1", "NaN", "Infinity", "0.0000001", "1e300", "1e-300", "1e999999", "10000000000"])
def test_what_is_no_sensible_price_is_refused(usd: str) -> None:
    with pytest.raises(PriceInexact):
        picousd_per_token(Decimal(usd))


def test_dollars_per_thousand_requests_are_exact() -> None:
    assert picousd_per_request(Decimal("2.5")) == 2_500_000_000


@pytest.mark.parametrize(
    ("name", "figures"),
    [
        ("gpt-4o", Figures(2_500_000, 10_000_000, cached_input_picousd=1_250_000)),
        ("gpt-4o-mini", Figures(150_000, 600_000, cached_input_picousd=75_000)),
        ("gpt-4o-2024-08-06", Figures(2_500_000, 10_000_000, cached_input_picousd=1_250_000)),
        ("text-embedding-3-small", Figures(20_000, 0)),
    ],
)
def test_known_models_have_their_published_price(name: str, figures: Figures) -> None:
    listing = find_listing(name, OPENAI)
    assert listing is not None
    assert listing.prices[-1].figures == figures
    assert listing.prices[-1].source.startswith("genai-prices ")


def test_every_price_of_the_package_is_taken_exactly_or_said_to_be_rounded() -> None:
    checked = 0
    for provider in get_snapshot().providers:
        for model in provider.models:
            if not isinstance(model.prices, ModelPrice) or model.prices.input_mtok is None:
                continue
            listing = find_listing(model.id, "https://unknown.example", provider.id)
            if listing is None or len(listing.prices) != 1:
                continue  # its own id matches another model's rule first
            price = model.prices.input_mtok
            base = price.base if isinstance(price, TieredPrices) else price
            row = listing.prices[0]
            if Fraction(base) * 10**6 == row.figures.input_picousd:
                checked += 1
            assert isinstance(row.figures.input_picousd, int)
            if "rounded up" in row.source:
                assert row.figures.input_picousd >= Fraction(base) * 10**6
            if isinstance(price, TieredPrices):
                assert "base tier" in row.source
    assert checked > 1000


def test_a_price_that_changed_has_a_row_for_each_time() -> None:
    listing = find_listing("o3", OPENAI)
    assert listing is not None
    assert [(row.since, row.figures.input_picousd) for row in listing.prices] == [
        (None, 10_000_000),
        (datetime(2025, 6, 10, tzinfo=UTC), 2_000_000),
    ]


def test_a_strangers_server_has_no_list_price_unless_it_sells_somebodys() -> None:
    assert find_listing("gpt-4o", "http://127.0.0.1:9000/v1") is None
    sold = find_listing("gpt-4o", "http://127.0.0.1:9000/v1", "openai")
    assert sold is not None
    assert "list price of OpenAI" in sold.prices[-1].source


@pytest.mark.parametrize(
    ("name", "unit", "picousd"), [("whisper-1", "second", 10**8), ("tts-1", "character", 15 * 10**6)]
)
def test_what_is_sold_by_the_piece_has_its_price_per_unit(name: str, unit: str, picousd: int) -> None:
    listing = find_listing(name, OPENAI)
    assert listing is not None
    assert listing.prices[-1].figures == Figures(unit=unit, unit_picousd=picousd)


def test_every_kind_of_token_that_the_package_prices_has_its_own_rate() -> None:
    written = find_listing("claude-sonnet-4-5", "https://api.anthropic.com")
    heard = find_listing("gemini-2.5-flash", "https://generativelanguage.googleapis.com")
    assert written is not None
    assert heard is not None
    assert written.prices[-1].figures.cache_write_1h_picousd == 6_000_000
    assert heard.prices[-1].figures.audio_input_picousd == 1_000_000


def test_a_price_per_unit_names_the_unit_of_the_models_kind(model: Model, operator: Actor) -> None:
    for figures in (Figures(unit_picousd=5), Figures(unit="image", unit_picousd=5)):
        with pytest.raises(Invalid) as refused:
            add_price(actor=operator, model=model, figures=figures)
        assert refused.value.field == "unit"
    model.kind = ModelKind.IMAGE
    assert add_price(actor=operator, model=model, figures=Figures(unit="image", unit_picousd=5)).unit_picousd == 5


def test_an_unknown_model_is_not_guessed() -> None:
    assert find_listing("no-such-model", OPENAI) is None


def test_the_newest_begun_price_holds_and_the_endpoints_own_comes_first(model: Model, operator: Actor) -> None:
    endpoint = model.endpoints.get()
    now = timezone.now()

    def add(amount: int, days: int, at: Endpoint | None = None) -> Price:
        return add_price(
            actor=operator,
            model=model,
            endpoint=at,
            figures=Figures(amount, amount),
            effective_from=now + timedelta(days=days),
        )

    assert price_at(model, endpoint, now) is None
    first, second, announced = add(1, -10), add(2, -5), add(3, 5)
    assert price_at(model, endpoint, now) == second
    assert price_at(model, endpoint, now - timedelta(days=6)) == first
    assert price_at(model, endpoint, now + timedelta(days=6)) == announced
    assert price_at(model, endpoint, now - timedelta(days=11)) is None
    own = add(9, -8, endpoint)
    assert price_at(model, endpoint, now) == own
    assert price_at(model, None, now) == second
    correction = add(10, -8, endpoint)
    assert price_at(model, endpoint, now) == correction


def test_a_price_is_audited_and_belongs_to_whoever_added_it(people: People, model: Model) -> None:
    price = add_price(
        actor=people.actor("engineer"), model=model, figures=Figures(1_000_000, 2_000_000), source="Contract 7"
    )
    assert price.created_by == people["engineer"]
    entry = AuditEntry.objects.unscoped("test").first()
    assert entry is not None
    assert (entry.action, entry.data["input_picousd"]) == ("price.added", 1_000_000)


@pytest.mark.parametrize("name", ["admin", "developer", "outsider"])
def test_only_platform_staff_set_prices(people: People, model: Model, name: str) -> None:
    with pytest.raises(PermissionDenied):
        add_price(actor=people.actor(name), model=model, figures=Figures(0, 0))
    assert not Price.objects.exists()


def test_a_price_that_cannot_be_is_refused(model: Model, operator: Actor) -> None:
    for figures in (Figures(-1, 0), Figures(0, MAX_PICOUSD + 1), Figures(0, 0, reasoning_picousd=-5)):
        with pytest.raises(Invalid):
            add_price(actor=operator, model=model, figures=figures)
    with pytest.raises(Invalid):
        add_price(actor=operator, model=model, figures=Figures(0, 0), effective_from=datetime(2026, 1, 1))


def listing(*prices: tuple[int, datetime | None], version: str = "1") -> Listing:
    rows = tuple(ListPrice(Figures(amount, amount), since, f"genai-prices {version}") for amount, since in prices)
    return Listing("Name", "Publisher", "", None, False, rows)


def test_the_list_is_followed_by_new_rows_and_never_by_edits(model: Model, operator: Actor) -> None:
    endpoint = model.endpoints.get()
    now = timezone.now()
    later = now + timedelta(days=30)

    def seed(given: Listing) -> list[int]:
        rows = seed_list_prices(actor=operator, endpoint=endpoint, listing=given, now=now)
        return [row.input_picousd for row in rows]

    assert seed(listing((5, None), (7, later))) == [5, 7]
    assert seed(listing((5, None), (7, later))) == []
    assert seed(listing((6, None), (7, later), version="2")) == [6]
    assert [row.input_picousd for row in Price.objects.order_by("id")] == [5, 7, 6]
    assert price_at(model, endpoint, later) == Price.objects.get(input_picousd=7)


def test_a_price_added_by_hand_is_not_overruled_by_the_list(model: Model, operator: Actor) -> None:
    endpoint = model.endpoints.get()
    by_hand = add_price(actor=operator, model=model, figures=Figures(3, 3), source="Contract 7")
    assert seed_list_prices(actor=operator, endpoint=endpoint, listing=listing((5, None)), now=timezone.now()) == []
    assert price_at(model, endpoint, timezone.now()) == by_hand
