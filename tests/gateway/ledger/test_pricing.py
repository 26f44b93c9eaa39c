"""What usage costs: exact, and each part once."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from apps.gateway.ledger.pricing import FREE, PriceTerms, cost_picousd
from apps.tenants.money import to_picousd

RATES = st.integers(0, 10**9)
COUNTS = st.integers(0, 10**7)


@dataclass
class Price:
    input_picousd: int = 0
    output_picousd: int = 0
    cached_input_picousd: int | None = None
    cache_write_picousd: int | None = None
    reasoning_picousd: int | None = None
    request_picousd: int = 0


@dataclass(frozen=True)
class Usage:
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0


@st.composite
def prices(draw: st.DrawFn) -> Price:
    special = st.none() | RATES
    return Price(draw(RATES), draw(RATES), draw(special), draw(special), draw(special), draw(RATES))


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    """Parts are within their wholes."""
    plain, cached, written, said, thought = (draw(COUNTS) for _ in range(5))
    return Usage(plain + cached + written, said + thought, cached, written, thought)


def test_an_invoice_by_hand() -> None:
    # $3 and $15 per million tokens, cached at a tenth, written at one and a quarter, and a cent a request.
    price = Price(3_000_000, 15_000_000, 300_000, 3_750_000, None, to_picousd("0.01"))
    usage = Usage(10_000, 2_000, 6_000, 1_000, 500)
    expected = (
        to_picousd("0.009") + to_picousd("0.0018") + to_picousd("0.00375") + to_picousd("0.03") + to_picousd("0.01")
    )
    assert cost_picousd(PriceTerms.of(price), usage) == expected


@given(prices(), usages())
def test_each_token_is_charged_once_at_its_own_rate(price: Price, usage: Usage) -> None:
    cached = price.input_picousd if price.cached_input_picousd is None else price.cached_input_picousd
    written = price.input_picousd if price.cache_write_picousd is None else price.cache_write_picousd
    thought = price.output_picousd if price.reasoning_picousd is None else price.reasoning_picousd
    rates = (
        (usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens, price.input_picousd),
        (usage.cached_tokens, cached),
        (usage.cache_write_tokens, written),
        (usage.output_tokens - usage.reasoning_tokens, price.output_picousd),
        (usage.reasoning_tokens, thought),
        (1, price.request_picousd),
    )
    assert cost_picousd(PriceTerms.of(price), usage) == sum(count * rate for count, rate in rates)


@given(RATES, RATES, usages())
def test_without_special_rates_the_parts_make_no_difference(input_rate: int, output_rate: int, usage: Usage) -> None:
    terms = PriceTerms.of(Price(input_rate, output_rate))
    assert cost_picousd(terms, usage) == usage.input_tokens * input_rate + usage.output_tokens * output_rate


@given(prices(), usages(), usages())
def test_two_usages_cost_as_much_as_their_sum_and_one_more_request(price: Price, one: Usage, two: Usage) -> None:
    terms = PriceTerms.of(price)
    both = Usage(*(getattr(one, name) + getattr(two, name) for name in Usage.__dataclass_fields__))
    assert cost_picousd(terms, one) + cost_picousd(terms, two) == cost_picousd(terms, both) + terms.request


@given(prices(), usages())
def test_no_usage_costs_more_than_its_bound(price: Price, usage: Usage) -> None:
    terms = PriceTerms.of(price)
    assert cost_picousd(terms, usage) <= terms.bound(usage.input_tokens, usage.output_tokens)


@given(prices(), st.tuples(COUNTS, COUNTS, COUNTS, COUNTS, COUNTS))
def test_an_upstreams_slip_never_makes_a_cost_negative(price: Price, counts: tuple[int, int, int, int, int]) -> None:
    assert cost_picousd(PriceTerms.of(price), Usage(*counts)) >= 0


@given(usages())
def test_a_free_model_is_free(usage: Usage) -> None:
    assert cost_picousd(FREE, usage) == 0
