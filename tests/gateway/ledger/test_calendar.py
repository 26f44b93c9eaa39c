"""Hours and days of the rollups, over changes of the clock and ends of months, in every zone there is."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from apps.gateway.ledger.calendar import DayBuckets, day_bounds, hour_start
from apps.tenants.models import Tenant

ZONES = st.sampled_from(sorted(available_timezones() - {"localtime", "Factory"})).map(ZoneInfo)
MOMENTS = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))
# Midnight skipped (Cairo, Beirut), midnight twice (Havana, St John's), a day left out (Apia), half hours (Lord Howe).
CHANGES = [
    ("Africa/Cairo", datetime(2024, 4, 25, 22, 30, tzinfo=UTC)),
    ("Asia/Beirut", datetime(2024, 3, 30, 22, 0, tzinfo=UTC)),
    ("America/Havana", datetime(2024, 11, 3, 4, 59, tzinfo=UTC)),
    ("America/St_Johns", datetime(2010, 11, 7, 2, 30, 30, tzinfo=UTC)),
    ("Pacific/Apia", datetime(2011, 12, 30, 10, 0, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2024, 4, 6, 15, 15, tzinfo=UTC)),
    ("Europe/Berlin", datetime(2026, 10, 25, 1, 0, tzinfo=UTC)),
    ("America/New_York", datetime(2026, 2, 28, 5, 0, tzinfo=UTC)),
]


def with_changes(test: Callable[..., None]) -> Callable[..., None]:
    for name, moment in CHANGES:
        test = example(zone=ZoneInfo(name), moment=moment)(test)
    return test


@with_changes
@given(zone=ZONES, moment=MOMENTS)
def test_a_day_begins_at_the_first_moment_of_its_date(zone: ZoneInfo, moment: datetime) -> None:
    start, end = day_bounds(zone, moment)
    date = moment.astimezone(zone).date()
    assert start <= moment
    assert start.astimezone(zone).date() == date
    assert (start - timedelta(microseconds=1)).astimezone(zone).date() != date
    # The next begins where this ends, and is another date.
    assert end.astimezone(zone).date() > date
    assert timedelta(hours=20) <= end - start <= timedelta(hours=28)


@with_changes
@given(zone=ZONES, moment=MOMENTS)
def test_all_moments_of_a_date_have_one_bucket(zone: ZoneInfo, moment: datetime) -> None:
    start, _ = day_bounds(zone, moment)
    for minutes in range(0, 26 * 60, 30):
        other = start + timedelta(minutes=minutes)
        same = other.astimezone(zone).date() == moment.astimezone(zone).date()
        assert (day_bounds(zone, other)[0] == start) == same


@given(MOMENTS)
def test_an_hour_is_cut_at_its_minutes(moment: datetime) -> None:
    milliseconds = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    assert hour_start(milliseconds) == moment.replace(minute=0, second=0, microsecond=0)


def test_a_month_in_utc_and_in_a_tenants_zone_end_apart() -> None:
    last = datetime(2026, 3, 31, 23, 30, tzinfo=UTC)
    assert day_bounds(ZoneInfo("UTC"), last)[0] == datetime(2026, 3, 31, tzinfo=UTC)
    assert day_bounds(ZoneInfo("Europe/Berlin"), last)[0] == datetime(2026, 3, 31, 22, tzinfo=UTC)  # April there


@pytest.mark.django_db
def test_tenants_have_their_own_days_whatever_the_order_of_asking() -> None:
    zones = ["Asia/Kolkata", "UTC", "America/Los_Angeles", "not/a-zone"]
    tenants = [Tenant.objects.create(slug=f"t{n}", name=f"T{n}", time_zone=zone) for n, zone in enumerate(zones)]
    days = DayBuckets()
    days.learn([tenant.pk for tenant in tenants] + [10**6])
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    for hours in [0, 30, 5, 29, 18, 19, 7, 8, 0]:
        moment = datetime(2026, 6, 1, tzinfo=UTC) + timedelta(hours=hours)
        milliseconds = (moment - epoch) // timedelta(milliseconds=1)
        for tenant, zone in zip(tenants, [*zones[:3], "UTC"], strict=True):
            assert days.start(tenant.pk, milliseconds) == day_bounds(ZoneInfo(zone), moment)[0]
        assert days.start(10**6, milliseconds) == day_bounds(ZoneInfo("UTC"), moment)[0]
