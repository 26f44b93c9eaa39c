"""The stretch of calendar that a page about usage shows: chosen in the URL, cut into the buckets of the rollups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from apps.tenants.models import Tenant
from apps.tenants.periods import local_midnight, period_dates
from apps.tenants.types import BudgetPeriod

CHOICES = (
    ("today", "Today"),
    ("7d", "Last 7 days"),
    ("30d", "Last 30 days"),
    ("month", "This month"),
    ("last_month", "Last month"),
    ("custom", "Custom"),
)
LABELS = dict(CHOICES)
LONGEST_DAYS = 400
_UTC = ZoneInfo("UTC")
# Each tenant's day begins at its own midnight. Across tenants a day is told by the UTC date of its noon, which is the
# local date in every zone from UTC-12 to UTC+12.
_TO_NOON = timedelta(hours=12)


@dataclass(frozen=True, slots=True)
class Period:
    """The days ``first`` to ``last``, both included, in ``zone``; of all tenants when ``across_zones``."""

    key: str
    first: date
    last: date
    zone: ZoneInfo
    across_zones: bool = False

    @property
    def label(self) -> str:
        return LABELS[self.key]

    @property
    def days(self) -> int:
        return (self.last - self.first).days + 1

    @property
    def hourly(self) -> bool:
        """One day is shown by the hour."""
        return self.days == 1

    @property
    def since(self) -> datetime:
        return self._start(self.first)

    @property
    def until(self) -> datetime:
        """The first moment after it."""
        return self._start(self.last + timedelta(days=1))

    def _start(self, day: date) -> datetime:
        start = local_midnight(day, self.zone)
        return start - _TO_NOON if self.across_zones and not self.hourly else start

    @property
    def span(self) -> str:
        """As people read it: ``1 – 21 Nov 2026``."""
        first, last = self.first, self.last
        if first == last:
            return f"{last:%-d %b %Y}"
        if (first.year, first.month) == (last.year, last.month):
            return f"{first:%-d} – {last:%-d %b %Y}"
        return f"{first:%-d %b}{'' if first.year == last.year else f' {first.year}'} – {last:%-d %b %Y}"

    def day_of(self, bucket: datetime) -> date:
        """The date that a day's bucket stands for."""
        return (bucket.astimezone(UTC) + _TO_NOON).date() if self.across_zones else bucket.astimezone(self.zone).date()

    def buckets(self) -> list[date] | list[datetime]:
        """Its days; or of a single day its hours, in UTC."""
        if not self.hourly:
            return [self.first + timedelta(days=number) for number in range(self.days)]
        start = self.since.astimezone(UTC)
        hour = start.replace(minute=0, second=0, microsecond=0)
        if hour < start:
            hour += timedelta(hours=1)
        hours = []
        while hour < self.until:
            hours.append(hour)
            hour += timedelta(hours=1)
        return hours

    def place(self, bucket: datetime) -> date | datetime:
        """Which of ``buckets`` a rollup's bucket belongs to."""
        return bucket.astimezone(UTC) if self.hourly else self.day_of(bucket)

    def labels(self) -> list[str]:
        if self.hourly:
            return [f"{hour.astimezone(self.zone):%H:%M}" for hour in self.buckets() if isinstance(hour, datetime)]
        return [f"{day:%-d %b}" for day in self.buckets()]

    def before(self) -> Period:
        """What it is compared with: the same days of the month before, or as many days just before."""
        if self.key in ("month", "last_month"):
            first = period_dates(BudgetPeriod.MONTH, self.first - timedelta(days=1))[0]
            if self.key == "last_month":
                return Period(self.key, first, self.first - timedelta(days=1), self.zone, self.across_zones)
        else:
            first = self.first - timedelta(days=self.days)
        last = min(first + timedelta(days=self.days - 1), self.first - timedelta(days=1))
        return Period(self.key, first, last, self.zone, self.across_zones)

    def query(self) -> dict[str, str]:
        """The URL parameters that choose it."""
        if self.key != "custom":
            return {"period": self.key}
        return {"period": "custom", "from": self.first.isoformat(), "to": self.last.isoformat()}


def zone_of(tenant: Tenant | None) -> ZoneInfo:
    return _UTC if tenant is None else ZoneInfo(tenant.time_zone)


def this_month(tenant: Tenant | None, now: datetime) -> Period:
    """From the month's first day to today."""
    return _period("month", tenant, now)


def period_from(asked: Mapping[str, str], tenant: Tenant | None, now: datetime, default: str = "30d") -> Period:
    """What the URL asks for; the default for what makes no sense."""
    key = asked.get("period", default)
    if key == "custom":
        custom = _custom(asked, tenant, now)
        if custom is not None:
            return custom
    return _period(key if key in LABELS and key != "custom" else default, tenant, now)


def _period(key: str, tenant: Tenant | None, now: datetime) -> Period:
    zone = zone_of(tenant)
    today = now.astimezone(zone).date()
    first, last = today, today
    match key:
        case "7d":
            first = today - timedelta(days=6)
        case "30d":
            first = today - timedelta(days=29)
        case "month":
            first = today.replace(day=1)
        case "last_month":
            last = today.replace(day=1) - timedelta(days=1)
            first = last.replace(day=1)
    return Period(key, first, last, zone, across_zones=tenant is None)


def _custom(asked: Mapping[str, str], tenant: Tenant | None, now: datetime) -> Period | None:
    zone = zone_of(tenant)
    today = now.astimezone(zone).date()
    try:
        first = date.fromisoformat(asked.get("from", ""))
        last = date.fromisoformat(asked.get("to", "") or asked.get("from", ""))
    except ValueError:
        return None
    if last < first:
        first, last = last, first
    last = min(last, today)
    first = min(max(first, last - timedelta(days=LONGEST_DAYS - 1)), last) if first.year >= 2000 else last
    if last.year < 2000:
        return None
    return Period("custom", first, last, zone, across_zones=tenant is None)
