"""What the pages about usage show, worked out from the rollups: sums, comparisons, charts, budgets and their forecast.

Every function makes a number of queries that does not depend on how much usage, or how many projects, there are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import Min, Sum

from apps.gateway import selectors
from apps.gateway.ledger.pricing import FREE, parts
from apps.gateway.models import Granularity, UsageRollup
from apps.gateway.report_periods import Period
from apps.gateway.selectors import GroupBy, UsageFilters, UsageGroup, UsagePoint, UsageSums
from apps.gateway.types import UsageStatus
from apps.tenants.access import Actor
from apps.tenants.models import Budget, Tenant
from apps.tenants.money import to_usd
from apps.tenants.periods import period_bounds
from apps.tenants.selectors import budgets_for

# A chart has eight colours: so many groups, and one for the rest.
CHARTED_GROUPS = 7
PACE_DAYS = 7
_ONE_DAY = timedelta(days=1)
EVERYTHING = UsageFilters()


def add(sums: Iterable[UsageSums]) -> UsageSums:
    totals = [0] * len(_FIELDS)
    for each in sums:
        for at, name in enumerate(_FIELDS):
            totals[at] += getattr(each, name)
    return UsageSums(**dict(zip(_FIELDS, totals, strict=True)))


_FIELDS = tuple(field.name for field in fields(UsageSums))


def error_rate(sums: UsageSums) -> float | None:
    """Of all attempts, the share that failed upstream or were interrupted."""
    return sums.errors / sums.requests if sums.requests else None


@dataclass(frozen=True, slots=True)
class Delta:
    """A figure against the same stretch before. ``text`` is empty where there was nothing to compare with."""

    text: str = ""
    direction: str = ""
    tone: str = ""

    @classmethod
    def of_rates(cls, now: float | None, before: float | None) -> Delta:
        """Of two shares, of which less is better: in percentage points."""
        if now is None or before is None:
            return cls()
        points = (now - before) * 100
        if abs(points) < 0.05:
            return cls("0 pts", "flat")
        text = f"{points:+.1f} pts".replace("-", "\N{MINUS SIGN}")
        return cls(text, "up", "bad") if points > 0 else cls(text, "down", "good")

    @classmethod
    def of(cls, now: float | None, before: float | None, *, more_is: str = "") -> Delta:
        """``more_is``: good, bad, or neither."""
        if not before or now is None:
            return cls()
        change = now / before - 1
        if abs(change) < 0.005:
            return cls("0%", "flat")
        text = f"{change:+.0%}" if abs(change) < 10 else f"x{now / before:,.0f}"
        rising = change > 0
        tone = "" if not more_is else "good" if (more_is == "good") == rising else "bad"
        return cls(text.replace("-", "\N{MINUS SIGN}"), "up" if rising else "down", tone)


@dataclass(frozen=True, slots=True)
class UsageReport:
    """One period's usage by one kind of group. ``by_bucket`` has a sum for each of the period's buckets."""

    period: Period
    group_by: GroupBy
    total: UsageSums
    before: UsageSums
    groups: list[UsageGroup]
    by_bucket: list[UsageSums]
    points: list[UsagePoint]
    statuses: list[UsageGroup]

    @property
    def is_empty(self) -> bool:
        return self.total.requests == 0

    def deltas(self) -> dict[str, Delta]:
        now, before = self.total, self.before
        return {
            "requests": Delta.of(now.requests, before.requests),
            "tokens": Delta.of(now.total_tokens, before.total_tokens),
            "cost": Delta.of(now.cost_picousd, before.cost_picousd),
            "errors": Delta.of_rates(error_rate(now), error_rate(before)),
            "first_token": Delta.of(now.mean_first_token_ms, before.mean_first_token_ms, more_is="bad"),
        }


def usage_report(
    actor: Actor,
    tenant: Tenant | None,
    period: Period,
    group_by: GroupBy,
    now: datetime,
    filters: UsageFilters = EVERYTHING,
) -> UsageReport:
    """The period's usage, and that of the stretch before up to the same moment."""
    points = selectors.usage_series(
        actor,
        tenant,
        period.since,
        period.until,
        group_by=group_by,
        granularity=Granularity.HOUR if period.hourly else Granularity.DAY,
        filters=filters,
    )
    by_place: defaultdict[Any, list[UsageSums]] = defaultdict(list)
    by_key: defaultdict[int | str, list[UsageSums]] = defaultdict(list)
    labels: dict[int | str, str] = {}
    for point in points:
        by_place[period.place(point.bucket)].append(point.sums)
        by_key[point.key].append(point.sums)
        labels[point.key] = point.label
    groups = [UsageGroup(key, labels[key], add(sums)) for key, sums in by_key.items()]
    groups.sort(key=lambda group: (-group.sums.cost_picousd, -group.sums.requests, group.label))
    return UsageReport(
        period=period,
        group_by=group_by,
        total=add(group.sums for group in groups),
        before=usage_before(actor, tenant, period, now, filters),
        groups=groups,
        by_bucket=[add(by_place[place]) for place in period.buckets()],
        points=points,
        statuses=statuses_of(actor, tenant, period, filters),
    )


def statuses_of(
    actor: Actor, tenant: Tenant | None, period: Period, filters: UsageFilters = EVERYTHING
) -> list[UsageGroup]:
    """How the tokens are known, in the order measured, estimated, interrupted, reconciled."""
    found = selectors.usage_by(actor, tenant, period.since, period.until, GroupBy.STATUS, filters)
    order = list(UsageStatus.values)
    return sorted(
        (UsageGroup(group.key, str(UsageStatus(str(group.key)).label), group.sums) for group in found),
        key=lambda group: order.index(str(group.key)),
    )


def usage_before(
    actor: Actor, tenant: Tenant | None, period: Period, now: datetime, filters: UsageFilters = EVERYTHING
) -> UsageSums:
    """The stretch before the period, and only as far into it as ``now`` is into the period."""
    before = period.before()
    if now >= period.until or before.days < period.days:
        return selectors.usage_summary(actor, tenant, before.since, before.until, filters)
    today = Period("custom", before.last, before.last, before.zone, before.across_zones)
    cut = today.since + (now - Period("custom", period.last, period.last, period.zone, period.across_zones).since)
    parts = [selectors.usage_summary(actor, tenant, today.since, cut, filters)]
    if before.days > 1:
        rest = Period(before.key, before.first, before.last - _ONE_DAY, before.zone, before.across_zones)
        parts.append(selectors.usage_summary(actor, tenant, rest.since, rest.until, filters))
    return add(parts)


# Charts: what ``components/chart.html`` takes.


def dollars(picousd: int) -> float:
    """For a chart's axis; nothing is added up in it."""
    return float(to_usd(picousd))


def spend_chart(report: UsageReport, links: Sequence[str], name: Callable[[UsageGroup], str]) -> dict[str, Any]:
    """Spend over time, stacked by group: the dearest by name, the others together."""
    places = {place: at for at, place in enumerate(report.period.buckets())}
    named = report.groups if len(report.groups) <= CHARTED_GROUPS + 1 else report.groups[:CHARTED_GROUPS]
    lines: dict[int | str, list[float]] = {group.key: [0.0] * len(places) for group in named}
    others = [0.0] * len(places)
    for point in report.points:
        at = places.get(report.period.place(point.bucket))
        if at is not None:
            lines.get(point.key, others)[at] += dollars(point.sums.cost_picousd)
    series = [{"name": name(group), "values": lines[group.key]} for group in named]
    if len(named) < len(report.groups):
        series.append({"name": f"{len(report.groups) - len(named)} others", "values": others})
    return {"labels": report.period.labels(), "series": series, "links": list(links), "stacked": True}


def tokens_chart(report: UsageReport, links: Sequence[str] = ()) -> dict[str, Any]:
    """Tokens by kind. Parts are taken out of their whole, so that the bars add up."""
    kinds: dict[str, list[int]] = {}
    for sums in report.by_bucket:
        for name, count, _ in parts(FREE, sums):
            kinds.setdefault(name, []).append(count)
    series = [{"name": name, "values": values} for name, values in kinds.items() if name == "Input" or any(values)]
    return {"labels": report.period.labels(), "series": series, "links": list(links), "stacked": True}


def requests_chart(report: UsageReport, links: Sequence[str] = ()) -> dict[str, Any]:
    """Requests that went well and those that did not."""
    return {
        "labels": report.period.labels(),
        "series": [
            {"name": "Answered", "values": [s.requests - s.errors for s in report.by_bucket]},
            {"name": "Failed or interrupted", "values": [s.errors for s in report.by_bucket], "tone": "danger"},
        ],
        "links": list(links),
        "stacked": True,
    }


# Budgets.


@dataclass(frozen=True, slots=True)
class BudgetStanding:
    """What a budget has spent in its present period, and where it will end at the pace of the last days."""

    budget: Budget
    spent: int
    starts_at: datetime
    ends_at: datetime
    forecast: int

    @property
    def scope(self) -> str:
        budget = self.budget
        if budget.api_key is not None:
            return f"Key {budget.api_key.name}"
        return budget.project.name if budget.project is not None else budget.tenant.name

    @property
    def share(self) -> float:
        return self.spent / self.budget.amount_picousd if self.budget.amount_picousd else 1.0

    @property
    def left(self) -> int:
        return max(self.budget.amount_picousd - self.spent, 0)

    @property
    def tone(self) -> str:
        if self.spent >= self.budget.amount_picousd:
            return "danger"
        return "warn" if self.forecast > self.budget.amount_picousd else ""

    @property
    def verdict(self) -> str:
        if self.tone == "danger":
            return "Used up: requests are refused" if self.budget.hard_stop else "Exceeded; it only warns"
        return "Likely to run out before it renews" if self.tone == "warn" else "On track"

    # For the bar, which takes numbers: hundredths of a percent, so that no money is a float.
    @property
    def bar(self) -> int:
        return min(round(self.share * 10_000), 10_000)

    @property
    def bar_forecast(self) -> int:
        amount = self.budget.amount_picousd
        return min(self.forecast * 10_000 // amount, 10_000) if amount else 10_000


def budget_standings(actor: Actor, tenant: Tenant, now: datetime) -> list[BudgetStanding]:
    """Every budget of the tenant that the actor may see; those in trouble first. A query for each kind of period."""
    budgets = list(budgets_for(actor, tenant))
    if not budgets:
        return []
    zone = ZoneInfo(tenant.time_zone)
    bounds = {period: period_bounds(period, zone, now) for period in {budget.period for budget in budgets}}
    spent = {period: _spend_by_scope(tenant, start, end) for period, (start, end) in bounds.items()}
    pace = _daily_pace(tenant, zone, now)
    standings = []
    for budget in budgets:
        start, end = bounds[budget.period]
        used = _covered(spent[budget.period], budget)
        days_left = Decimal((end - now).total_seconds()) / 86_400
        forecast = used + int(_covered(pace, budget) * days_left)
        standings.append(BudgetStanding(budget, used, start, end, forecast))
    return sorted(standings, key=lambda each: (each.budget.project_id is not None, -each.share, each.budget.pk))


_Scopes = list[tuple[int, int, int]]  # project, key, picodollars


def _spend_by_scope(tenant: Tenant, start: datetime, end: datetime) -> _Scopes:
    rows = UsageRollup.objects.for_tenant(tenant).filter(granularity=Granularity.DAY, bucket__gte=start, bucket__lt=end)
    found = rows.order_by().values_list("project_id", "api_key_id").annotate(total=Sum("cost_picousd"))
    return [(project, key, int(total or 0)) for project, key, total in found]


def _daily_pace(tenant: Tenant, zone: ZoneInfo, now: datetime) -> _Scopes:
    """Picodollars a day: the mean of the last seven whole days, or of as many as there has been usage."""
    today, _ = period_bounds("day", zone, now)
    since, _ = period_bounds("day", zone, now - PACE_DAYS * _ONE_DAY)
    rows = UsageRollup.objects.for_tenant(tenant).filter(
        granularity=Granularity.DAY, bucket__gte=since, bucket__lt=today
    )
    found = list(
        rows.order_by().values_list("project_id", "api_key_id").annotate(total=Sum("cost_picousd"), first=Min("bucket"))
    )
    if not found:
        return []
    days = max(1, round((today - min(first for *_, first in found)) / _ONE_DAY))
    return [(project, key, int(total or 0) // days) for project, key, total, _ in found]


def _covered(scopes: _Scopes, budget: Budget) -> int:
    return sum(
        amount
        for project, key, amount in scopes
        if budget.project_id in (None, project) and budget.api_key_id in (None, key)
    )


def stamp(sums: UsageSums) -> str:
    """Changes with whatever is added: a page that was shown it need not be drawn again."""
    return f"{sums.requests}-{sums.errors}-{sums.input_tokens + sums.output_tokens}-{sums.cost_picousd}"
