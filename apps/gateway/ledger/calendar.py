"""Where a moment falls: the hour in UTC, and the day in its tenant's time zone."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import structlog

from apps.tenants.models import Tenant
from apps.tenants.periods import local_midnight

log = structlog.get_logger(__name__)

HOUR_MS = 3_600_000
ZONES_SECONDS = 30.0
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def hour_start(milliseconds: int) -> datetime:
    """When the hour (in UTC) of a moment began."""
    return _EPOCH + timedelta(hours=milliseconds // HOUR_MS)


def day_bounds(zone: ZoneInfo, moment: datetime) -> tuple[datetime, datetime]:
    """When the local day of a moment began and ends, in UTC: 23, 24 or 25 hours, or whatever the zone made of it."""
    day = moment.astimezone(zone).date()
    end = day + timedelta(days=1)
    return local_midnight(day, zone).astimezone(UTC), local_midnight(end, zone).astimezone(UTC)


class DayBuckets:
    """Finds the tenant's day of a moment. ``learn`` reads the tenants' zones, and notices a change in half a minute."""

    def __init__(self) -> None:
        self._zones: dict[int, ZoneInfo] = {}
        self._read_at = 0.0
        self._days: dict[str, tuple[int, int, datetime]] = {}

    def learn(self, tenant_ids: Iterable[int]) -> None:
        """Know the zones of these tenants. Raises ``django.db.Error``."""
        if time.monotonic() - self._read_at > ZONES_SECONDS:
            self._zones.clear()
            self._read_at = time.monotonic()
        unknown = [pk for pk in tenant_ids if pk not in self._zones]
        if unknown:
            rows = Tenant.objects.unscoped("the drainer counts every tenant's days").filter(pk__in=unknown)
            names = dict(rows.order_by().values_list("pk", "time_zone"))
            self._zones.update((pk, _zone(names.get(pk, "UTC"))) for pk in unknown)

    def start(self, tenant_id: int, milliseconds: int) -> datetime:
        """When the tenant's day of this moment began. A tenant that is no more counts in UTC."""
        zone = self._zones[tenant_id]
        known = self._days.get(zone.key)
        if known is None or not known[0] <= milliseconds < known[1]:
            start, end = day_bounds(zone, _EPOCH + timedelta(milliseconds=milliseconds))
            known = self._days[zone.key] = (_ms(start), _ms(end), start)
        return known[2]


def _ms(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown (ZoneInfoNotFoundError is a KeyError), or no name at all
        log.error("unknown_time_zone", zone=name)
        return ZoneInfo("UTC")
