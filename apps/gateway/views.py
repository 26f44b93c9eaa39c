"""Usage, requests, and why a request was answered as it was."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from functools import partial
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET

from apps.gateway import report_periods, reports, selectors
from apps.gateway.csv_files import Cell, csv_lines
from apps.gateway.explanation import explain
from apps.gateway.models import RequestLog
from apps.gateway.report_periods import Period, period_from
from apps.gateway.reports import UsageReport
from apps.gateway.selectors import GroupBy, RequestFilters, UsageFilters, UsageGroup
from apps.gateway.types import Outcome
from apps.models.models import Model
from apps.models.selectors import get_model_for
from apps.tenants.access import can, require
from apps.tenants.money import to_usd
from apps.tenants.rest.pagination import paginate
from apps.tenants.selectors import keys_for
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
PER_PAGE = 50
EXPORTED = 10_000
EXPORT_CHUNK = 500
KEYS_OFFERED = 100
ORDERS = {"at": "at", "cost": "cost_picousd", "duration": "duration_ms", "in": "input_tokens", "out": "output_tokens"}
ANSWERS = [("yes", "Streamed"), ("no", "In one piece")]
# As the gateway says them (apps/gateway/errors.py, exchange.py); others are reached from a request's own page.
ERROR_CODES = [
    ("rate_limit_exceeded", "Rate limit"),
    ("request_over_limit", "Larger than a limit"),
    ("budget_exceeded", "Budget"),
    ("model_not_found", "Model not granted"),
    ("no_endpoint", "No endpoint"),
    ("upstream_unreachable", "Provider unreachable"),
    ("upstream_timeout_first_byte", "Provider too slow"),
    ("upstream_disconnected", "Provider broke off"),
    ("provider_rate_limited", "Provider's own limit"),
    ("provider_credential", "Provider refused Lobby"),
    ("client_closed_request", "Caller left"),
    ("server_stopped", "Server stopped"),
]


# Usage.


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
    project = None if across else _chosen_project(request, here)
    filters = UsageFilters(project_id=project and project.pk, model_id=_model_id(request))
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
        "budgets": [] if across or period.key == "last_month" else _budgets(here, now, project and project.pk),
        "projects": [(each.slug, each.name) for each in here.workspace.projects],
        "project": project,
        "model": request.GET.get("model", ""),
        "export_url": _with(request, export="csv"),
        "requests_url": f"{reverse('gateway:request-list')}?{urlencode(base)}" if may_see_requests else "",
    }
    return render(request, "gateway/usage.html", context)


def _group_by(request: HttpRequest, default: GroupBy, groups: list[tuple[GroupBy, str]]) -> GroupBy:
    asked = request.GET.get("by", "")
    return next((key for key, _ in groups if key == asked), default)


def _chosen_project(request: HttpRequest, here: Here) -> Any:
    """The project that the URL names; else the one chosen in the sidebar. An empty name means all."""
    asked = request.GET.get("project")
    if asked is None:
        return here.workspace.project
    return next((each for each in here.workspace.projects if each.slug == asked), None)


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
    head += ["requests", "errors", "input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens"]
    head += ["reasoning_tokens", "cost_usd"]

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
                sums.input_tokens,
                sums.output_tokens,
                sums.cached_tokens,
                sums.cache_write_tokens,
                sums.reasoning_tokens,
                to_usd(sums.cost_picousd),
            ]

    scope = "all-tenants" if across else "usage"
    return _csv_response(
        head, rows(), f"{scope}-{report.period.first}-to-{report.period.last}-by-{report.group_by}.csv"
    )


def _csv_response(head: list[str], rows: Iterator[list[Cell]], name: str) -> HttpResponse:
    response = StreamingHttpResponse(csv_lines(head, rows), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response  # type: ignore[return-value]  # it is what a view may return


def _with(request: HttpRequest, **changes: str) -> str:
    query = request.GET.copy()
    for name, value in changes.items():
        query[name] = value
    query.pop("cursor", None)
    return f"?{query.urlencode()}"


# Requests.


@require_GET
@tenant_page
def request_list(request: HttpRequest, here: Here) -> HttpResponse:
    """The requests of this tenant as their callers saw them, refusals included."""
    require(here.actor, "request.view", here.tenant, what="see this tenant's requests")
    period = period_from(request.GET, here.tenant, timezone.now(), default="7d")
    project = _chosen_project(request, here)
    asked = {name: request.GET.get(name, "").replace("\x00", "").strip() for name in ("q", "model", "code")}
    outcome = request.GET.get("outcome", "")
    answer = request.GET.get("answer", "")
    filters = RequestFilters(
        tenant=here.tenant,
        project_id=project.pk if project is not None else None,
        api_key_id=_number(request, "key"),
        user_id=_number(request, "member"),
        model_slug=asked["model"],
        outcome=outcome if outcome in Outcome.values else "",
        error_code=asked["code"][:64],
        streamed={"yes": True, "no": False}.get(answer),
        request_id=asked["q"].lower()[:32],
        # Somebody who has an id looks for that request, whenever it was.
        since=None if asked["q"] else period.since,
        until=None if asked["q"] else period.until,
    )
    rows = selectors.requests_for(here.actor, filters)
    if request.GET.get("export") == "csv":
        return _requests_csv(rows, period)
    page = paginate(rows, ordering=_ordering(request), size=PER_PAGE, cursor=request.GET.get("cursor", ""))
    is_default = not any(request.GET.get(name) for name in ("q", "model", "code", "outcome", "answer", "key", "member"))
    context = {
        "rows": page.rows,
        "next_url": _page_url(request, page.next),
        "previous_url": _page_url(request, page.previous),
        "period": period,
        "periods": report_periods.CHOICES,
        "search": asked["q"],
        "filtered": not is_default or project is not None,
        "reset_url": "" if is_default else f"{request.path}?{urlencode(period.query())}",
        "member": request.GET.get("member", ""),
        "selects": _request_selects(request, here, project, asked),
        "export_url": _with(request, export="csv"),
        "exported": EXPORTED,
    }
    return render(request, "gateway/request_list.html", context)


def _request_selects(request: HttpRequest, here: Here, project: Any, asked: dict[str, str]) -> list[dict[str, Any]]:
    models = sorted({group.label for group in _used_models(here)} | ({asked["model"]} if asked["model"] else set()))
    keys = [
        (str(key.pk), f"{key.name} ({key.project.name})") for key in keys_for(here.actor, here.tenant)[:KEYS_OFFERED]
    ]
    codes = ERROR_CODES if asked["code"] in dict([*ERROR_CODES, ("", "")]) else [*ERROR_CODES, (asked["code"],) * 2]
    return [
        {
            "name": "project",
            "label": "Any project",
            "options": [(each.slug, each.name) for each in here.workspace.projects],
            "value": project.slug if project is not None else "",
        },
        {"name": "model", "label": "Any model", "options": [(slug, slug) for slug in models], "value": asked["model"]},
        {"name": "key", "label": "Any key", "options": keys, "value": request.GET.get("key", "")},
        {
            "name": "outcome",
            "label": "Any outcome",
            "options": Outcome.choices,
            "value": request.GET.get("outcome", ""),
        },
        {"name": "code", "label": "Any error", "options": codes, "value": asked["code"]},
        {"name": "answer", "label": "Any answer", "options": ANSWERS, "value": request.GET.get("answer", "")},
    ]


def _used_models(here: Here) -> list[UsageGroup]:
    """What this tenant has called in the last month or two: what there is to filter by."""
    now = timezone.now()
    month = report_periods.this_month(here.tenant, now)
    return selectors.usage_by(here.actor, here.tenant, month.before().since, month.until, GroupBy.MODEL)


def _number(request: HttpRequest, name: str) -> int | None:
    value = request.GET.get(name, "")
    if not value:
        return None
    return int(value) if value.isascii() and value.isdigit() and len(value) < 19 else 0


def _ordering(request: HttpRequest) -> str:
    wanted = request.GET.get("sort", "")
    column = ORDERS.get(wanted.removeprefix("-"))
    if column is None:
        return "-at"
    return f"-{column}" if wanted.startswith("-") else column


def _page_url(request: HttpRequest, cursor: str) -> str:
    if not cursor:
        return ""
    query = request.GET.copy()
    query["cursor"] = cursor
    return f"?{query.urlencode()}"


def _requests_csv(rows: Any, period: Period) -> HttpResponse:
    head = ["request_id", "at_utc", "project", "key", "member", "model", "operation", "streamed", "outcome"]
    head += ["http_status", "error_code", "attempts", "input_tokens", "output_tokens", "cost_usd", "duration_ms"]
    head += ["first_token_ms"]

    def lines() -> Iterator[list[Cell]]:
        row: RequestLog
        for row in rows[:EXPORTED].iterator(chunk_size=EXPORT_CHUNK):
            yield [
                row.request_id,
                row.at.isoformat(timespec="milliseconds"),
                row.project.slug if row.project is not None else "",
                row.api_key.name if row.api_key is not None else "",
                row.user.email if row.user is not None else "",
                row.model_slug,
                row.operation,
                "yes" if row.streamed else "no",
                row.outcome,
                row.http_status,
                row.error_code,
                row.attempts,
                row.input_tokens,
                row.output_tokens,
                to_usd(row.cost_picousd),
                row.duration_ms,
                row.first_token_ms,
            ]

    return _csv_response(head, lines(), f"requests-{period.first}-to-{period.last}.csv")


@require_GET
@tenant_page
def request_detail(request: HttpRequest, here: Here, request_id: str) -> HttpResponse:
    """The why of one request: as a page, or in the list's side panel."""
    row = selectors.get_request_for(here.actor, request_id)
    records = selectors.attempts_of(row)
    context = {
        "row": row,
        "why": explain(row, records),
        "total_tokens": row.input_tokens + row.output_tokens,
        "output_rate": _output_rate(row),
        "may_change_limits": row.tenant is not None and can(here.actor, "limit.manage", row.tenant),
    }
    in_panel = request.headers.get("HX-Target") == "request-panel-body"
    return render(request, "gateway/_request_why.html" if in_panel else "gateway/request_detail.html", context)


def _output_rate(row: RequestLog) -> float | None:
    """Tokens a second, after the first."""
    if row.first_token_ms is None or row.output_tokens < 2 or row.duration_ms <= row.first_token_ms:
        return None
    return row.output_tokens * 1000 / (row.duration_ms - row.first_token_ms)


# A model's speed, for its card.


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
