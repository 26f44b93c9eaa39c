"""Budget periods follow the tenant's calendar: month ends, leap years, and days of a clock change."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from apps.tenants.periods import local_midnight, period_bounds, period_dates
from apps.tenants.types import BudgetPeriod

# With clock changes at midnight, by half an hour, at the end of a year; and days that a zone skipped altogether.
ZONES = [
    ZoneInfo(name)
    for name in (
        "UTC",
        "Europe/Berlin",
        "America/New_York",
        "America/Sao_Paulo",
        "America/Havana",
        "Africa/Cairo",
        "Asia/Kolkata",
        "Asia/Tehran",
        "Asia/Beirut",
        "Australia/Lord_Howe",
        "Pacific/Apia",
        "Pacific/Chatham",
    )
]
zones = st.sampled_from(ZONES)
periods = st.sampled_from(BudgetPeriod.values)
moments = st.datetimes(datetime(1999, 1, 1), datetime(2060, 1, 1), timezones=st.just(UTC))
LENGTHS = {"day": (1, 1), "week": (7, 7), "month": (28, 31), "quarter": (90, 92), "year": (365, 366)}


@given(periods, zones, moments)
@example("month", ZoneInfo("Europe/Berlin"), datetime(2024, 2, 29, 23, 30, tzinfo=UTC))
@example("day", ZoneInfo("America/Sao_Paulo"), datetime(2018, 11, 4, 3, 0, tzinfo=UTC))
@example("day", ZoneInfo("Pacific/Apia"), datetime(2011, 12, 30, 10, 0, tzinfo=UTC))
@example("year", ZoneInfo("Pacific/Apia"), datetime(2011, 12, 31, 9, 59, tzinfo=UTC))
@example("day", ZoneInfo("America/Havana"), datetime(2025, 11, 2, 5, 30, tzinfo=UTC))
def test_every_moment_lies_in_its_period_and_the_next_begins_where_it_ends(
    period: str, zone: ZoneInfo, moment: datetime
) -> None:
    start, end = period_bounds(period, zone, moment)
    assert start.astimezone(UTC) <= moment < end.astimezone(UTC)
    # Each moment of a period has the same one; the moments on both sides have others, that join without a gap.
    assert period_bounds(period, zone, start) == (start, end)
    assert period_bounds(period, zone, end.astimezone(UTC) - timedelta(microseconds=1)) == (start, end)
    assert period_bounds(period, zone, end)[0] == end
    assert period_bounds(period, zone, start.astimezone(UTC) - timedelta(microseconds=1))[1] == start


@given(periods, zones, moments)
def test_a_period_begins_at_the_first_moment_of_its_first_day(period: str, zone: ZoneInfo, moment: datetime) -> None:
    start, _ = period_bounds(period, zone, moment)
    day = start.astimezone(zone).date()
    just_before = (start.astimezone(UTC) - timedelta(microseconds=1)).astimezone(zone)
    assert just_before.date() < day
    if period == "week":
        assert period_dates(period, moment.astimezone(zone).date())[0].weekday() == 0


@given(periods, st.dates(date(1999, 1, 1), date(2060, 1, 1)))
@example("month", date(2023, 12, 31))
@example("month", date(2024, 2, 29))
@example("quarter", date(2024, 12, 31))
def test_dates_of_a_period(period: str, day: date) -> None:
    first, after = period_dates(period, day)
    least, most = LENGTHS[period]
    assert first <= day < after
    assert least <= (after - first).days <= most
    assert period_dates(period, after)[0] == after
    if period in ("month", "quarter", "year"):
        assert first.day == after.day == 1


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", date(2026, 3, 29), 23),
        ("Europe/Berlin", date(2026, 10, 25), 25),
        ("Europe/Berlin", date(2026, 7, 1), 24),
        ("Australia/Lord_Howe", date(2026, 4, 5), 24.5),
        ("America/Sao_Paulo", date(2018, 11, 4), 23),  # midnight itself was skipped
    ],
)
def test_a_day_of_a_clock_change_is_as_long_as_it_is(zone: str, day: date, hours: float) -> None:
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=ZoneInfo(zone))
    start, end = period_bounds("day", ZoneInfo(zone), noon)
    assert end.astimezone(UTC) - start.astimezone(UTC) == timedelta(hours=hours)


def test_a_skipped_midnight_is_the_moment_after_the_gap() -> None:
    start = local_midnight(date(2018, 11, 4), ZoneInfo("America/Sao_Paulo"))
    assert (start.hour, start.utcoffset()) == (1, timedelta(hours=-2))


def test_february_of_a_leap_year_has_29_days() -> None:
    assert period_dates("month", date(2024, 2, 10)) == (date(2024, 2, 1), date(2024, 3, 1))
    assert period_dates("year", date(2024, 2, 29)) == (date(2024, 1, 1), date(2025, 1, 1))


def test_an_unknown_period_is_an_error() -> None:
    with pytest.raises(ValueError, match="fortnight"):
        period_dates("fortnight", date(2024, 2, 10))
