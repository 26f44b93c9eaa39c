"""What an operator compares with a provider's invoice: requests, tokens by kind and cost.

The JSON (``TotalsReport``): ``since`` (null: from the beginning) and ``until`` in ISO 8601, ``undrained_bytes`` (what
is in the spool and not in these figures yet; 0 when the figures are complete), and blocks of the same shape: ``total``,
``by_status`` (by measured, estimated, interrupted, reconciled), ``by_project`` (by TENANT/PROJECT), each project with
its own ``by_status``, ``by_provider`` (by its short name, what its invoice is held against) and ``by_model`` (by its
name in calls); ``unknown`` is what was deleted since. A block has ``requests`` (upstream attempts, as a provider counts
them), ``errors``, ``input_tokens`` with its parts ``cached_tokens``, ``cache_write_tokens`` (and of these
``cache_write_1h_tokens``), ``audio_input_tokens`` and ``image_input_tokens``, ``output_tokens`` with its parts
``reasoning_tokens``, ``audio_output_tokens`` and ``image_output_tokens``, ``units`` (images, seconds, characters and
searches, of whatever model), and ``cost_usd``, an exact decimal in a string. A test of a connection is no request, and
is in none of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from django.db import models
from django.db.models import Case, Count, Sum, Value, When
from django.utils import timezone

from apps.gateway.ledger import files
from apps.gateway.ledger.store import ERRORS
from apps.gateway.models import Granularity, UsageRecord, UsageRollup
from apps.gateway.types import UsageStatus
from apps.models.providers.base import USAGE_KINDS
from apps.tenants.models import Project, Tenant
from apps.tenants.money import to_usd

_DURATION = re.compile(r"(\d+)\s*([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_SUMMED = (
    "requests",
    "errors",
    *USAGE_KINDS,
    "cost_picousd",
)
WHY = "the operator's totals"


class Totals(msgspec.Struct):
    requests: int = 0
    errors: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    reasoning_tokens: int = 0
    audio_input_tokens: int = 0
    audio_output_tokens: int = 0
    image_input_tokens: int = 0
    image_output_tokens: int = 0
    units: int = 0
    cost_picousd: int = 0

    def add(self, row: Mapping[str, Any]) -> None:
        for name in _SUMMED:
            setattr(self, name, getattr(self, name) + int(row[f"sum_{name}"] or 0))

    def shown(self) -> dict[str, Any]:
        shown: dict[str, Any] = {name: getattr(self, name) for name in _SUMMED if name != "cost_picousd"}
        return shown | {"cost_usd": f"{to_usd(self.cost_picousd):f}"}


class ProjectTotals(msgspec.Struct):
    total: Totals
    by_status: dict[str, Totals]

    @classmethod
    def empty(cls) -> ProjectTotals:
        return cls(Totals(), {status: Totals() for status in UsageStatus.values})


class TotalsReport(msgspec.Struct):
    since: datetime | None
    until: datetime
    undrained_bytes: int
    total: Totals
    by_status: dict[str, Totals]
    by_project: dict[str, ProjectTotals]
    by_provider: dict[str, Totals]
    by_model: dict[str, Totals]

    def shown(self) -> dict[str, Any]:
        return {
            "since": self.since.isoformat() if self.since else None,
            "until": self.until.isoformat(),
            "undrained_bytes": self.undrained_bytes,
            "total": self.total.shown(),
            "by_status": {status: totals.shown() for status, totals in self.by_status.items()},
            "by_project": {
                label: project.total.shown()
                | {"by_status": {status: totals.shown() for status, totals in project.by_status.items()}}
                for label, project in self.by_project.items()
            },
            "by_provider": {slug: block.shown() for slug, block in self.by_provider.items()},
            "by_model": {slug: block.shown() for slug, block in self.by_model.items()},
        }


def parse_since(text: str, now: datetime) -> datetime:
    """A moment (ISO 8601; UTC where it names no zone), or how long ago: ``90s``, ``30m``, ``24h``, ``7d``, ``2w``.

    Raises ``ValueError``.
    """
    duration = _DURATION.fullmatch(text.strip())
    try:
        if duration:
            return now - timedelta(**{_UNITS[duration[2]]: int(duration[1])})
        moment = datetime.fromisoformat(text.strip())
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"{text!r} is neither a time such as 2026-11-21T08:00Z nor a duration such as 24h.") from None


def totals(spool: Path, *, since: datetime | None = None, project: Project | None = None) -> TotalsReport:
    """Add up the ledger from ``since`` on.

    Rollups are read, and single records only up to the first full hour; for the providers, which no rollup knows, all
    records are.
    """
    until = timezone.now()
    # Looked at first: what is drained meanwhile is in the figures, and may be told as backlog; never the reverse.
    undrained = files.undrained_bytes(spool)
    whole = ProjectTotals.empty()
    by_ids: dict[tuple[int, int], ProjectTotals] = {}
    for row in _rows(since, project):
        entry = by_ids.setdefault((row["tenant_id"] or 0, row["project_id"] or 0), ProjectTotals.empty())
        for block in (whole, entry):
            block.total.add(row)
            block.by_status[row["status"]].add(row)
    by_provider, by_model = _where(since, project)
    return TotalsReport(since, until, undrained, whole.total, whole.by_status, _labelled(by_ids), by_provider, by_model)


def _where(since: datetime | None, project: Project | None) -> tuple[dict[str, Totals], dict[str, Totals]]:
    """By provider and by model, the dearest first."""
    providers: dict[str, Totals] = {}
    models: dict[str, Totals] = {}
    for row in _records(since, None, project, "endpoint__provider__slug", "model__slug"):
        for blocks, name in ((providers, row["endpoint__provider__slug"]), (models, row["model__slug"])):
            blocks.setdefault(name or "unknown", Totals()).add(row)
    return _dearest_first(providers), _dearest_first(models)


def _dearest_first(blocks: dict[str, Totals]) -> dict[str, Totals]:
    return dict(sorted(blocks.items(), key=lambda each: (-each[1].cost_picousd, each[0])))


def _rows(since: datetime | None, project: Project | None) -> Iterable[Mapping[str, Any]]:
    rollups = UsageRollup.objects.unscoped(WHY)
    if since is None:
        rollups = rollups.filter(granularity=Granularity.DAY)
    else:
        edge = since.replace(minute=0, second=0, microsecond=0)
        if edge != since:
            edge += timedelta(hours=1)
            yield from _records(since, edge, project, "tenant_id", "project_id", "status")
        rollups = rollups.filter(granularity=Granularity.HOUR, bucket__gte=edge)
    if project is not None:
        rollups = rollups.filter(tenant_id=project.tenant_id, project_id=project.pk)
    sums = {f"sum_{name}": Sum(name) for name in _SUMMED}
    yield from rollups.order_by().values("tenant_id", "project_id", "status").annotate(**sums)


def _records(
    since: datetime | None, until: datetime | None, project: Project | None, *by: str
) -> Iterable[Mapping[str, Any]]:
    records = UsageRecord.objects.unscoped(WHY)
    if since is not None:
        records = records.filter(at__gte=since)
    if until is not None:
        records = records.filter(at__lt=until)
    if project is not None:
        records = records.filter(tenant_id=project.tenant_id, project_id=project.pk)
    sums: dict[str, Any] = {f"sum_{name}": Sum(name) for name in _SUMMED[2:]}
    failed = Case(When(outcome__in=ERRORS, then=Value(1)), default=Value(0), output_field=models.IntegerField())
    yield from (records.order_by().values(*by).annotate(sum_requests=Count("*"), sum_errors=Sum(failed), **sums))


def _labelled(by_ids: dict[tuple[int, int], ProjectTotals]) -> dict[str, ProjectTotals]:
    """TENANT/PROJECT for the ids; what is no more keeps its number."""
    tenants = dict(
        Tenant.objects.unscoped(WHY).filter(pk__in={tenant for tenant, _ in by_ids}).values_list("pk", "slug")
    )
    projects = dict(
        Project.objects.unscoped(WHY).filter(pk__in={project for _, project in by_ids}).values_list("pk", "slug")
    )
    named = {
        f"{tenants.get(tenant, f'#{tenant}')}/{projects.get(project, f'#{project}')}": entry
        for (tenant, project), entry in by_ids.items()
    }
    return dict(sorted(named.items()))
