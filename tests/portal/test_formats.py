"""How numbers are written: what a reader compares must never mislead."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal import formats


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (7, "7"),
        (999, "999"),
        (1_000, "1K"),
        (1_234, "1.2K"),
        (99_940, "99.9K"),
        (99_960, "100K"),
        (999_499, "999K"),
        (999_950, "1M"),
        (1_234_567, "1.2M"),
        (-2_500, "-2.5K"),
        (4_200_000_000, "4.2B"),
        (0.25, "0.25"),
        (None, "–"),
        (float("nan"), "–"),
    ],
)
def test_compact_picks_the_unit_after_rounding(value: float | None, text: str) -> None:
    assert formats.compact(value) == text


@pytest.mark.parametrize(
    ("picousd", "text"),
    [
        (0, "$0.00"),
        (1, "<$0.000001"),
        (4_200_000_000, "$0.0042"),
        (83_880_000, "$0.0000839"),
        (54_720_000_000, "$0.0547"),
        (500_000_000_000, "$0.50"),
        (999_999_999_999, "$1.00"),
        (12_400_000_000_000, "$12.40"),
        (4_180_220_000_000_000, "$4,180.22"),
        (-54_720_000_000, "-$0.0547"),
        (None, "–"),
    ],
)
def test_money_shows_the_digits_that_count(picousd: int | None, text: str) -> None:
    assert formats.usd(picousd) == text


def test_a_decimal_is_taken_to_be_dollars() -> None:
    assert formats.usd(Decimal("3.5")) == "$3.50"
    assert formats.usd_exact(Decimal("3.5")) == "$3.50"


@given(st.integers(min_value=-(10**18), max_value=10**18))
def test_exact_money_loses_no_picodollar(picousd: int) -> None:
    text = formats.usd_exact(picousd)
    assert Decimal(text.replace("$", "").replace(",", "")) * 10**12 == picousd


@given(st.integers(min_value=10**6, max_value=10**18))
def test_short_money_is_within_half_a_percent_or_half_a_cent(picousd: int) -> None:
    shown = Decimal(formats.usd(picousd).replace("$", "").replace(",", "")) * 10**12
    assert abs(shown - picousd) <= max(Decimal(picousd) * Decimal("0.005"), Decimal(5 * 10**9))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.43, "0.43 ms"),
        (9.5, "9.5 ms"),
        (430, "430 ms"),
        (999.6, "1 s"),
        (2_100, "2.1 s"),
        (59_940, "59.9 s"),
        (59_960, "1 min"),
        (95_000, "1 min 35 s"),
        (3_600_000, "1 h"),
        (7_500_000, "2 h 5 min"),
        (None, "–"),
    ],
)
def test_durations_change_their_unit(value: float | None, text: str) -> None:
    assert formats.ms(value) == text


def test_one_token_is_singular() -> None:
    assert (formats.tokens(1), formats.tokens(12_400), formats.tokens(None)) == ("1 token", "12.4K tokens", "–")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "just now"),
        (44, "just now"),
        (46, "1 min ago"),
        (180, "3 min ago"),
        (7_200, "2 h ago"),
        (3 * 86_400, "3 d ago"),
        (60 * 86_400, "2 mo ago"),
        (800 * 86_400, "2 y ago"),
        (-30, "in a moment"),
        (-2 * 86_400, "in 2 d"),
    ],
)
def test_relative_times(seconds: int, text: str) -> None:
    now = dt.datetime(2026, 11, 21, tzinfo=dt.UTC)
    assert formats.relative(now - dt.timedelta(seconds=seconds), now) == text


@pytest.mark.parametrize(
    ("name", "text"),
    [("Ada Lovelace", "AL"), ("ada.lovelace@bank.test", "AL"), ("Plato", "PL"), ("", "?"), ("@", "?"), ("Ä b C", "ÄC")],
)
def test_initials_are_never_empty(name: str, text: str) -> None:
    assert formats.initials(name) == text


@given(st.lists(st.floats(min_value=-1e9, max_value=1e9), max_size=60))
def test_a_sparkline_stays_in_its_box(values: list[float]) -> None:
    points = formats.sparkline_points(values)
    assert len(points) == (0 if not values else max(2, len(values)))
    assert all(0 <= x <= 100 and 0 <= y <= 28 for x, y in points)


def test_zeros_lie_on_the_floor_of_a_sparkline() -> None:
    assert [y for _, y in formats.sparkline_points([0, 10, 0])] == [26, 2, 26]
