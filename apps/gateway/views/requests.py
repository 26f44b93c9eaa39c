"""Requests, and why one was answered as it was."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from apps.gateway import report_periods, selectors
from apps.gateway.csv_files import Cell
from apps.gateway.explanation import explain
from apps.gateway.models import RequestLog
from apps.gateway.report_periods import Period, period_from
from apps.gateway.selectors import GroupBy, RequestFilters, UsageGroup
from apps.gateway.types import Outcome
from apps.gateway.views.lists import chosen_project, csv_response, with_parameters
from apps.tenants.access import can, require
from apps.tenants.errors import NotFound
from apps.tenants.money import to_usd
from apps.tenants.rest.pagination import paginate
from apps.tenants.selectors import keys_for
from apps.tenants.views.requests import Here, tenant_page

PER_PAGE = 50
EXPORTED = 10_000
WRITTEN_WITHIN_MS = 30_000
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
    ("no_access", "Access has ended"),
    ("no_endpoint", "No endpoint"),
    ("residency", "No endpoint in its regions"),
    ("upstream_unreachable", "Provider unreachable"),
    ("upstream_timeout_first_byte", "Provider too slow"),
    ("upstream_disconnected", "Provider broke off"),
    ("provider_rate_limited", "Provider's own limit"),
    ("provider_credential", "Provider refused Lobby"),
    ("client_closed_request", "Caller left"),
    ("server_stopped", "Server stopped"),
]


@require_GET
@tenant_page
def request_list(request: HttpRequest, here: Here) -> HttpResponse:
    """The requests of this tenant as their callers saw them, refusals included."""
    require(here.actor, "request.view", here.tenant, what="see this tenant's requests")
    period = period_from(request.GET, here.tenant, timezone.now(), default="7d")
    project = chosen_project(request, here)
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
        "export_url": with_parameters(request, export="csv"),
        "exported": EXPORTED,
    }
    return render(request, "gateway/request_list.html", context)


def _request_selects(request: HttpRequest, here: Here, project: Any, asked: dict[str, str]) -> list[dict[str, Any]]:
    models = sorted({group.label for group in _used_models(here)} | ({asked["model"]} if asked["model"] else set()))
    keys = [
        (str(key.pk), f"{key.name} ({key.project.name})") for key in keys_for(here.actor, here.tenant)[:KEYS_OFFERED]
    ]
    codes = [*ERROR_CODES]
    if asked["code"] and asked["code"] not in dict(codes):
        codes.append((asked["code"], asked["code"]))
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
    head = ["request_id", "at_utc", "project", "key", "member", "route", "model", "operation", "streamed"]
    head += ["outcome", "http_status", "error_code", "attempts", "input_tokens", "output_tokens", "cost_usd"]
    head += ["duration_ms", "first_token_ms"]

    def lines() -> Iterator[list[Cell]]:
        row: RequestLog
        for row in rows[:EXPORTED].iterator(chunk_size=EXPORT_CHUNK):
            yield [
                row.request_id,
                row.at.isoformat(timespec="milliseconds"),
                row.project.slug if row.project is not None else "",
                row.api_key.name if row.api_key is not None else "",
                row.user.email if row.user is not None else "",
                row.route_slug,
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

    return csv_response(head, lines(), f"requests-{period.first}-to-{period.last}.csv")


@require_GET
@tenant_page
def request_detail(request: HttpRequest, here: Here, request_id: str) -> HttpResponse:
    """The why of one request: as a page, or in the list's side panel."""
    try:
        row = selectors.get_request_for(here.actor, request_id)
    except NotFound:
        if not _is_recent(request_id):
            raise
        # Whoever follows an answer's "why" at once may be quicker than the ledger.
        pending = render(request, "gateway/request_pending.html", status=404)
        pending.headers["Refresh"] = "1"
        return pending
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


def _is_recent(request_id: str) -> bool:
    """Whether an id was given in the last seconds: it begins with its milliseconds, whoever's it is."""
    try:
        age_ms = time.time() * 1000 - int(request_id[:12], 16)
    except ValueError:
        return False
    return 0 <= age_ms < WRITTEN_WITHIN_MS


def _output_rate(row: RequestLog) -> float | None:
    """Tokens a second, after the first."""
    if row.first_token_ms is None or row.output_tokens < 2 or row.duration_ms <= row.first_token_ms:
        return None
    return row.output_tokens * 1000 / (row.duration_ms - row.first_token_ms)
