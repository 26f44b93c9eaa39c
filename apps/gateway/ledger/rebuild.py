"""Making the rollups anew from the records: to prove that they are equal, and to mend them where they are not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC

from django.db import connection, transaction

from apps.gateway.ledger import store
from apps.gateway.ledger.calendar import DayBuckets
from apps.gateway.ledger.lines import Settlement
from apps.gateway.models import UsageRecord, UsageRollup

WHY = "rollups are made anew for every tenant"
_KEY = store.ROLLUP_KEY.split()
_SUMS = store.ROLLUP_SUMS.split()


@dataclass(slots=True)
class RebuildReport:
    """Rollup rows as they should be, and how those in the database differed."""

    rows: int = 0
    missing: int = 0
    extra: int = 0
    different: int = 0

    @property
    def equal(self) -> bool:
        return not (self.missing or self.extra or self.different)


def rebuild_rollups(*, write: bool) -> RebuildReport:
    """Compare every rollup with the sum of its records and, with ``write``, set it right. One tenant at a time.

    A tenant whose time zone was changed gets its past days cut anew.
    """
    report = RebuildReport()
    for tenant_id in _tenants():
        with transaction.atomic():
            if connection.vendor == "postgresql":
                # The drainer inserts records and then bumps rollups, in one transaction. Behind this lock either both
                # are seen or neither. (On SQLite the transaction itself holds the one write lock.)
                with connection.cursor() as cursor:
                    cursor.execute(f'LOCK TABLE "{UsageRollup._meta.db_table}" IN SHARE ROW EXCLUSIVE MODE')
            _rebuild(tenant_id, report, write=write)
    return report


def _tenants() -> list[int]:
    used = UsageRecord.objects.unscoped(WHY).order_by().values_list("tenant_id", flat=True).distinct()
    rolled = UsageRollup.objects.unscoped(WHY).order_by().values_list("tenant_id", flat=True).distinct()
    return sorted({pk or 0 for pk in used} | set(rolled))


def _rebuild(tenant_id: int, report: RebuildReport, *, write: bool) -> None:
    days = DayBuckets()
    days.learn([tenant_id])
    right = store.Rollups(days)
    for records in store.in_batches(_records(tenant_id), 2000):
        right.add(records)
    wrong: list[int] = []
    rows = UsageRollup.objects.unscoped(WHY).filter(tenant_id=tenant_id).order_by()
    for pk, *values in rows.values_list("pk", *_KEY, *_SUMS).iterator(chunk_size=2000):
        values[2] = values[2].astimezone(UTC)
        key = tuple(values[: len(_KEY)])
        expected = right.sums.get(key)
        if expected == values[len(_KEY) :]:
            del right.sums[key]
            report.rows += 1
            continue
        wrong.append(pk)
        if expected is None:
            report.extra += 1
        else:
            report.different += 1
    report.rows += len(right.sums)
    report.missing += len(right.sums) - (len(wrong) - report.extra)
    if write:
        for batch in store.in_batches(wrong, 500):
            UsageRollup.objects.unscoped(WHY).filter(pk__in=batch).delete()
        store.add_to_rollups(right)


def _records(tenant_id: int) -> Iterator[Settlement]:
    rows = UsageRecord.objects.unscoped(WHY).order_by()
    rows = rows.filter(tenant_id=tenant_id) if tenant_id else rows.filter(tenant_id__isnull=True)
    for row in rows.iterator(chunk_size=2000):
        yield store.as_settlement(row)
