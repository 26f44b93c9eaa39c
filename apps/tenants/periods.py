"""Calendar periods in a tenant's time zone, and what months and daylight saving do to them."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from apps.tenants.types import BudgetPeriod


def period_bounds(period: str, zone: ZoneInfo, moment: datetime) -> tuple[datetime, datetime]:
    """When the calendar period around ``moment`` begins and ends: local midnights, so a day may last 23 or 25 hours."""
    first, after = period_dates(period, moment.astimezone(zone).date())
    return local_midnight(first, zone), local_midnight(after, zone)


def period_dates(period: str, day: date) -> tuple[date, date]:
    """The first day of the period that holds ``day``, and the first day after it. Weeks begin on Monday."""
    match period:
        case BudgetPeriod.DAY:
            return day, day + timedelta(days=1)
        case BudgetPeriod.WEEK:
            monday = day - timedelta(days=day.weekday())
            return monday, monday + timedelta(days=7)
        case BudgetPeriod.MONTH:
            return day.replace(day=1), _month_start(day.year, day.month + 1)
        case BudgetPeriod.QUARTER:
            month = (day.month - 1) // 3 * 3 + 1
            return date(day.year, month, 1), _month_start(day.year, month + 3)
        case BudgetPeriod.YEAR:
            return date(day.year, 1, 1), date(day.year + 1, 1, 1)
        case _:
            raise ValueError(f"unknown period {period!r}")


def local_midnight(day: date, zone: ZoneInfo) -> datetime:
    """The first moment of ``day`` in ``zone``: where a clock change skips midnight, the moment after the gap."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=zone)
    # Through UTC and back: a local time inside a gap comes out as the real time on the other side of it.
    return midnight.astimezone(ZoneInfo("UTC")).astimezone(zone)


def _month_start(year: int, month: int) -> date:
    return date(year + (month - 1) // 12, (month - 1) % 12 + 1, 1)
