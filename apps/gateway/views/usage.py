"""Usage: where the money goes; and how fast a model is."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from functools import partial
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET

from apps.gateway import report_periods, reports, selectors
from apps.gateway.csv_files import Cell
from apps.gateway.report_periods import Period, period_from
from apps.gateway.reports import UsageReport
from apps.gateway.selectors import GroupBy, UsageFilters, UsageGroup
from apps.gateway.views.lists import chosen_project, csv_response, with_parameters
from apps.models.models import Model
from apps.models.providers.base import USAGE_KINDS
from apps.models.selectors import get_model_for
from apps.tenants.access import can
from apps.tenants.money import to_usd
from apps.tenants.views.requests import Here, tenant_page

ALL_TENANTS = "all"
TABLE_HEADS = {
    GroupBy.TENANT: "Tenant",
    GroupBy.MODEL: "Model",
    GroupBy.PROJECT: "Project",
    GroupBy.KEY: "Key",
    GroupBy.USER: "Member",
    GroupBy.STATUS: "Count",
}
GROUPS = [
    (GroupBy.MODEL, "By model"),
    (GroupBy.PROJECT, "By project"),
    (GroupBy.KEY, "By key"),
    (GroupBy.USER, "By member"),
    (GroupBy.STATUS, "By how it was counted"),
]
# A group's parameter in the URL of the requests behind it.
DRILL = {GroupBy.MODEL: "model", GroupBy.PROJECT: "project", GroupBy.KEY: "key", GroupBy.USER: "member"}
SHOWN_GROUPS = 50


@require_GET
@tenant_page
def usage(request: HttpRequest, here: Here) -> HttpResponse:
    """Where the money goes: over time and by group, with the way to the requests behind each figure."""
    across = request.GET.get("tenant") == ALL_TENANTS and can(here.actor, "platform.view")
    tenant = None if across else here.tenant
    now = timezone.now()
    period = period_from(request.GET, tenant, now)
    groups = [(GroupBy.TENANT, "By tenant"), *GROUPS] if across else GROUPS
    group_by = _group_by(request, GroupBy.TENANT if across else GroupBy.MODEL, groups)
    project = None if across else chosen_project(request, here)
    project_id = project.pk if project is not None else None
    filters = UsageFilters(project_id=project_id, model_id=_model_id(request))
    report = reports.usage_report(here.actor, tenant, period, group_by, now, filters)
    if request.GET.get("export") == "csv":
        return _usage_csv(report, across=across)
    other = GroupBy.PROJECT if group_by == GroupBy.MODEL else GroupBy.MODEL
    others = selectors.usage_by(here.actor, tenant, period.since, period.until, other, filters)
    may_see_requests = not across and can(here.actor, "request.view", here.tenant)
    base = _drill_base(period, project, request.GET.get("model", ""))
    links = _bucket_links(period, base) if may_see_requests else []
    context = {
        "report": report,
        "period": period,
        "periods": report_periods.CHOICES,
        "across": across,
        "may_see_platform": can(here.actor, "platform.view"),
        "group_by": group_by,
        "groups": groups,
        "tables": [
            _table(group_by, report.groups, report, base if may_see_requests else None),
            _table(other, others, report, base if may_see_requests else None),
        ],
        "total": report.total,
        "error_rate": reports.error_rate(report.total),
        "deltas": report.deltas(),
        "compared": "on the month before" if period.key in ("month", "last_month") else "on the days before",
        "spend": reports.spend_chart(report, links, partial(_group_name, group_by)),
        "tokens": reports.tokens_chart(report, links),
        "requests": reports.requests_chart(report, links),
        "statuses": [{"label": group.label, "value": group.sums.requests} for group in report.statuses],
        "budgets": [] if across or period.key == "last_month" else _budgets(here, now, project_id),
        "projects": [(each.slug, each.name) for each in here.workspace.projects],
        "project": project,
        "model": request.GET.get("model", ""),
        "export_url": with_parameters(request, export="csv"),
        "requests_url": f"{reverse('gateway:request-list')}?{urlencode(base)}" if may_see_requests else "",
    }
    return render(request, "gateway/usage.html", context)


def _group_by(request: HttpRequest, default: GroupBy, groups: list[tuple[GroupBy, str]]) -> GroupBy:
    asked = request.GET.get("by", "")
    return next((key for key, _ in groups if key == asked), default)


def _model_id(request: HttpRequest) -> int | None:
    """An unknown model has no usage: 0 is nobody's id."""
    slug = request.GET.get("model", "").replace("\x00", "")
    if not slug:
        return None
    return Model.objects.filter(slug=slug).values_list("pk", flat=True).first() or 0


def _budgets(here: Here, now: datetime, project_id: int | None) -> list[reports.BudgetStanding]:
    standings = reports.budget_standings(here.actor, here.tenant, now)
    return [each for each in standings if project_id is None or each.budget.project_id in (None, project_id)]


def _drill_base(period: Period, project: Any, model: str) -> dict[str, str]:
    base = {**period.query(), "project": project.slug if project is not None else ""}
    return {**base, "model": model} if model else base


def _bucket_links(period: Period, base: dict[str, str]) -> list[str]:
    if period.hourly:
        return []
    path = reverse("gateway:request-list")
    links = []
    for day in period.buckets():
        asked = {**base, "period": "custom", "from": f"{day:%Y-%m-%d}", "to": f"{day:%Y-%m-%d}"}
        links.append(f"{path}?{urlencode(asked)}")
    return links


def _table(
    group_by: GroupBy, groups: list[UsageGroup], report: UsageReport, base: dict[str, str] | None
) -> dict[str, Any]:
    """The groups as rows, with their share of the cost, or of the requests where nothing costs."""
    costly = report.total.cost_picousd > 0
    whole = report.total.cost_picousd if costly else report.total.requests
    path = reverse("gateway:request-list")
    rows = []
    for group in groups[:SHOWN_GROUPS]:
        part = group.sums.cost_picousd if costly else group.sums.requests
        rows.append(
            {
                "label": _group_name(group_by, group),
                "sums": group.sums,
                # Of one model they are of one sort; of several they cannot be added up.
                "units": group.sums.units if group_by == GroupBy.MODEL else 0,
                "error_rate": reports.error_rate(group.sums),
                "share": part / whole if whole else None,
                "bar": min(part * 1000 // whole, 1000) if whole else 0,
                "url": _drill_url(path, group_by, group, base),
            }
        )
    label = TABLE_HEADS[group_by]
    return {"id": group_by, "label": label, "rows": rows, "more": max(len(groups) - SHOWN_GROUPS, 0)}


def _group_name(group_by: GroupBy, group: UsageGroup) -> str:
    if not group.key and group_by in (GroupBy.USER, GroupBy.KEY):
        return "API keys, not a member" if group_by == GroupBy.USER else "Members in the portal, without a key"
    return group.label.capitalize() if group_by == GroupBy.STATUS else group.label


def _drill_url(path: str, group_by: GroupBy, group: UsageGroup, base: dict[str, str] | None) -> str:
    name = DRILL.get(group_by)
    if base is None or name is None or not group.key:
        return ""
    values: dict[GroupBy, str] = {
        GroupBy.MODEL: group.label,
        GroupBy.PROJECT: group.label.partition("/")[2],
        GroupBy.KEY: str(group.key),
        GroupBy.USER: str(group.key),
    }
    return f"{path}?{urlencode({**base, name: values[group_by]})}"


def _usage_csv(report: UsageReport, *, across: bool) -> HttpResponse:
    """A line per bucket and group: what the page's charts and tables are made of."""
    head = ["from_utc", "day" if not report.period.hourly else "hour", str(report.group_by)]
    head += ["requests", "errors", *USAGE_KINDS, "cost_usd"]

    def rows() -> Iterator[list[Cell]]:
        for point in report.points:
            place = report.period.place(point.bucket)
            sums = point.sums
            yield [
                point.bucket.isoformat(timespec="seconds"),
                f"{place:%H:%M}" if report.period.hourly else f"{place:%Y-%m-%d}",
                point.label,
                sums.requests,
                sums.errors,
                *(getattr(sums, name) for name in USAGE_KINDS),
                to_usd(sums.cost_picousd),
            ]

    scope = "all-tenants" if across else "usage"
    return csv_response(head, rows(), f"{scope}-{report.period.first}-to-{report.period.last}-by-{report.group_by}.csv")


@require_GET
@tenant_page
def model_speed(request: HttpRequest, here: Here, slug: str) -> HttpResponse:
    """How fast the model answers here, and how often this tenant called it in the last seven days."""
    model = get_model_for(here.actor, slug)
    now = timezone.now()
    week = period_from({"period": "7d"}, here.tenant, now)
    report = reports.usage_report(here.actor, here.tenant, week, GroupBy.STATUS, now, UsageFilters(model_id=model.pk))
    context = {
        "speed": selectors.model_speed(model),
        "total": report.total,
        "error_rate": reports.error_rate(report.total),
        "spark": [sums.requests for sums in report.by_bucket],
        "usage_url": f"{reverse('gateway:usage')}?{urlencode({'model': slug, 'period': '7d', 'project': ''})}",
        "tenant": here.tenant,
    }
    return render(request, "gateway/_model_speed.html", context)
