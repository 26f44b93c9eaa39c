"""What usage costs: exact, and each part once."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from apps.gateway.ledger.pricing import FREE, PriceTerms, cost_picousd, parts
from apps.models.providers.base import USAGE_KINDS, Usage
from apps.tenants.money import to_picousd

RATES = st.integers(0, 10**9)
COUNTS = st.integers(0, 10**7)


@dataclass
class Price:
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
    unit_picousd: int = 0
    request_picousd: int = 0


@st.composite
def prices(draw: st.DrawFn) -> Price:
    general = {"input_picousd", "output_picousd", "unit_picousd", "request_picousd"}
    rates: dict[str, Any] = {
        each.name: draw(RATES if each.name in general else st.none() | RATES) for each in fields(Price)
    }
    return Price(**rates)


# What an upstream may say, true or not.
told = st.builds(Usage, *(COUNTS for _ in USAGE_KINDS))


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    """Parts are within their wholes."""
    plain, cached, short, hour, heard, seen, said, thought, spoken, drawn, units = (draw(COUNTS) for _ in range(11))
    return Usage(
        input_tokens=plain + cached + short + hour + heard + seen,
        output_tokens=said + thought + spoken + drawn,
        cached_tokens=cached,
        cache_write_tokens=short + hour,
        cache_write_1h_tokens=hour,
        reasoning_tokens=thought,
        audio_input_tokens=heard,
        audio_output_tokens=spoken,
        image_input_tokens=seen,
        image_output_tokens=drawn,
        units=units,
    )


def test_an_invoice_by_hand() -> None:
    # $3 and $15 per million tokens, cached at a tenth, written at one and a quarter, and a cent a request.
    price = Price(3_000_000, 15_000_000, 300_000, 3_750_000, request_picousd=to_picousd("0.01"))
    usage = Usage(10_000, 2_000, cached_tokens=6_000, cache_write_tokens=1_000, reasoning_tokens=500)
    expected = (
        to_picousd("0.009") + to_picousd("0.0018") + to_picousd("0.00375") + to_picousd("0.03") + to_picousd("0.01")
    )
    assert cost_picousd(PriceTerms.of(price), usage) == expected


def test_an_hours_cache_writes_sound_pictures_and_units_have_rates_of_their_own() -> None:
    price = Price(1, 10, 2, 3, 6, 11, 20, 30, 40, 50, 1_000, 7)
    usage = Usage(100, 50, 10, 20, 5, 4, 8, 2, 6, 3, 9)
    # 100 in: 10 cached, 15 + 5 written, 8 of sound, 6 of pictures, 56 plain; 50 out: 4 thought, 2 of sound, 3 of
    # pictures, 41 plain; 9 units.
    expected = 56 + 10 * 2 + 15 * 3 + 5 * 6 + 8 * 20 + 6 * 40 + 41 * 10 + 4 * 11 + 2 * 30 + 3 * 50 + 9 * 1_000 + 7
    assert cost_picousd(PriceTerms.of(price), usage) == expected


def test_what_has_no_rate_costs_the_general_one_of_its_side() -> None:
    terms = PriceTerms.of(Price(input_picousd=3, output_picousd=5, cache_write_picousd=4))
    assert (terms.cached, terms.cache_write, terms.cache_write_1h) == (3, 4, 4)
    assert (terms.audio_input, terms.image_input, terms.audio_output, terms.image_output) == (3, 3, 5, 5)


@given(prices(), usages())
def test_a_cost_is_the_sum_of_its_parts_and_each_token_is_in_one(price: Price, usage: Usage) -> None:
    terms = PriceTerms.of(price)
    lines = parts(terms, usage)
    assert sum(count for _, count, _ in lines) == usage.input_tokens + usage.output_tokens
    whole = sum(count * rate for _, count, rate in lines) + usage.units * terms.unit + terms.request
    assert cost_picousd(terms, usage) == whole


@given(told)
def test_no_part_exceeds_its_whole_once_bounded(usage: Usage) -> None:
    bounded = usage.bounded()
    assert (bounded.input_tokens, bounded.output_tokens, bounded.units) == (
        usage.input_tokens,
        usage.output_tokens,
        usage.units,
    )
    inputs = bounded.cached_tokens + bounded.cache_write_tokens + bounded.audio_input_tokens
    assert inputs + bounded.image_input_tokens <= bounded.input_tokens
    outputs = bounded.reasoning_tokens + bounded.audio_output_tokens + bounded.image_output_tokens
    assert outputs <= bounded.output_tokens
    assert bounded.cache_write_1h_tokens <= bounded.cache_write_tokens
    assert bounded.bounded() == bounded
    assert all(getattr(bounded, name) <= getattr(usage, name) for name in USAGE_KINDS)


@given(usages())
def test_what_fits_is_left_as_it_was_told(usage: Usage) -> None:
    assert usage.bounded() is usage


@given(RATES, RATES, usages())
def test_without_special_rates_the_parts_make_no_difference(input_rate: int, output_rate: int, usage: Usage) -> None:
    terms = PriceTerms.of(Price(input_rate, output_rate))
    assert cost_picousd(terms, usage) == usage.input_tokens * input_rate + usage.output_tokens * output_rate


@given(prices(), usages(), usages())
def test_two_usages_cost_as_much_as_their_sum_and_one_more_request(price: Price, one: Usage, two: Usage) -> None:
    terms = PriceTerms.of(price)
    both = one.plus(two)
    assert cost_picousd(terms, one) + cost_picousd(terms, two) == cost_picousd(terms, both) + terms.request


@given(prices(), told)
def test_no_usage_costs_more_than_its_bound(price: Price, usage: Usage) -> None:
    terms, usage = PriceTerms.of(price), usage.bounded()
    assert cost_picousd(terms, usage) <= terms.bound(usage.input_tokens, usage.output_tokens, usage.units)


@given(prices(), told)
def test_an_upstreams_slip_never_makes_a_cost_negative(price: Price, usage: Usage) -> None:
    assert cost_picousd(PriceTerms.of(price), usage) >= 0


@given(usages())
def test_a_free_model_is_free(usage: Usage) -> None:
    assert cost_picousd(FREE, usage) == 0
