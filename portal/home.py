"""What Home shows: this month in figures, budgets, projects, the way in, and for the platform's staff all tenants.

The figures come from the rollups by a number of queries that does not depend on how much there is. The page asks for
them every second while it is looked at; ``month_stamp`` is the one query that tells whether there is anything new.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import Count, Q, QuerySet
from django.utils import timezone

from apps.evaluation.models import GateDecision
from apps.evaluation.selectors.gates import waiting_for
from apps.gateway import reports, selectors
from apps.gateway.models import RequestLog, UsageRecord
from apps.gateway.report_periods import this_month
from apps.gateway.reports import BudgetStanding, UsageReport
from apps.gateway.selectors import GroupBy, RequestFilters, UsageFilters, UsageSums
from apps.gateway.types import Outcome
from apps.models.models import Model, Provider
from apps.models.selectors import callable_models_for, providers_for
from apps.models.types import ModelKind
from apps.tenants.access import Actor, can
from apps.tenants.models import ApiKey, Project, Tenant
from apps.tenants.selectors import keys_for, projects_for, tenants_for, with_key_counts, with_status
from apps.tenants.snippets import EXAMPLE_MODEL, Snippet, chat_snippets
from apps.tenants.types import Scope
from apps.tenants.workspace import Workspace

RECENT_REQUESTS = 5
RECENT_DAYS = 7
SHOWN_MODELS = 5
SHOWN_PROJECTS = 8
SHOWN_BUDGETS = 4
SHOWN_TENANTS = 10
SHOWN_WAITING = 8
# Of the newest records so many are looked at for how the providers are doing.
PROVIDER_WINDOW = 5_000


@dataclass(frozen=True, slots=True)
class Place:
    """Where the reader looks: one tenant (and perhaps one of its projects), or with no tenant the whole platform."""

    actor: Actor
    tenant: Tenant | None
    project: Project | None = None

    @property
    def filters(self) -> UsageFilters:
        return UsageFilters(project_id=self.project.pk if self.project is not None else None)


def month_stamp(place: Place, now: datetime) -> str:
    """Changes when there is a new request, new usage of this month, or a new day. Two queries."""
    month = this_month(place.tenant, now)
    sums = selectors.usage_summary(place.actor, place.tenant, month.since, month.until, place.filters)
    return _stamp(place, sums, now)


def _stamp(place: Place, sums: UsageSums, now: datetime) -> str:
    # A refused request is in no rollup; but whoever sees the requests sees it among the last ones.
    newest = ""
    if place.tenant is not None and can(place.actor, "request.view", place.tenant):
        newest = selectors.newest_request_id(place.actor, place.tenant)
    return f"{this_month(place.tenant, now).last}-{reports.stamp(sums)}-{newest}"


def month_figures(place: Place, now: datetime) -> dict[str, Any]:
    """The key figures of this month, with what the same days of the month before were."""
    month = this_month(place.tenant, now)
    group_by = GroupBy.PROJECT if place.tenant is not None else GroupBy.TENANT
    report = reports.usage_report(place.actor, place.tenant, month, group_by, now, place.filters)
    days = report.by_bucket
    return {
        "report": report,
        "month": month,
        "total": report.total,
        "tokens": report.total.total_tokens,
        "error_rate": reports.error_rate(report.total),
        "deltas": report.deltas(),
        "sparks": {
            "requests": [day.requests for day in days],
            "tokens": [day.total_tokens for day in days],
            "cost": [reports.dollars(day.cost_picousd) for day in days],
            "errors": [reports.error_rate(day) or 0 for day in days],
        },
        "stamp": _stamp(place, report.total, now),
    }


def waiting(place: Place) -> list[GateDecision]:
    """What waits for the reader: releases that they may approve."""
    return [] if place.tenant is None else list(waiting_for(place.actor, place.tenant)[:SHOWN_WAITING])


@dataclass(frozen=True, slots=True)
class ProjectLine:
    project: Project
    keys: int
    sums: UsageSums


def live_part(place: Place, now: datetime) -> dict[str, Any]:
    """What moves while one looks: figures, budgets, projects, the last requests."""
    figures = month_figures(place, now)
    tenant = place.tenant
    if tenant is None:
        return figures | {"tenants": _top_tenants(place.actor, figures["report"])}
    return figures | {
        "budgets": _budgets(place, tenant, now),
        "projects": _projects(place.actor, tenant, figures["report"]),
        "recent": recent_requests(place, now),
        "may_see_requests": can(place.actor, "request.view", tenant),
    }


def _budgets(place: Place, tenant: Tenant, now: datetime) -> list[BudgetStanding]:
    project = place.project
    standings = reports.budget_standings(place.actor, tenant, now)
    return [s for s in standings if project is None or s.budget.project_id in (None, project.pk)][:SHOWN_BUDGETS]


def _projects(actor: Actor, tenant: Tenant, report: UsageReport) -> list[ProjectLine]:
    """The projects that spend most come first."""
    used = {group.key: group.sums for group in report.groups}
    rows = with_key_counts(projects_for(actor, tenant).filter(is_active=True))
    lines = [ProjectLine(each, each.usable_keys, used.get(each.pk, UsageSums())) for each in rows]  # type: ignore[attr-defined]
    lines.sort(key=lambda line: (-line.sums.cost_picousd, -line.sums.requests, line.project.name))
    return lines[:SHOWN_PROJECTS]


def recent_requests(place: Place, now: datetime) -> list[RequestLog]:
    if place.tenant is None or not can(place.actor, "request.view", place.tenant):
        return []
    filters = RequestFilters(
        tenant=place.tenant,
        project_id=place.filters.project_id,
        since=now - timedelta(days=RECENT_DAYS),
    )
    # A job that waits for its limit asks in vain now and then, and the playground has told whoever asked: no news.
    own_refusals = Q(outcome=Outcome.DENIED, why__has_key="by_lobby")
    return list(selectors.requests_for(place.actor, filters).exclude(own_refusals)[:RECENT_REQUESTS])


def way_in(workspace: Workspace) -> dict[str, Any]:
    """How to make the first call: the endpoint, a key, a line to paste, models to try."""
    actor, tenant, project = workspace.actor, workspace.tenant, workspace.project
    assert actor is not None
    assert tenant is not None
    models = list(_models_to_try(actor, tenant, project))
    chat = next((model for model in models if model.kind == ModelKind.CHAT), None)
    return {
        "endpoint": settings.GATEWAY_PUBLIC_URL,
        "key": _key_at_hand(actor, tenant, project),
        "tabs": _snippets(chat),
        "models": models,
        "may_call": can(actor, "model.call", tenant),
        "may_create_key": can(actor, "apikey.create", tenant),
        "may_create_project": can(actor, "project.create", tenant),
        "may_manage_members": can(actor, "member.manage", tenant),
    }


def _snippets(model: Model | None) -> list[Snippet]:
    slug = model.slug if model is not None else EXAMPLE_MODEL
    return chat_snippets(base_url=settings.GATEWAY_PUBLIC_URL, key="$LOBBY_API_KEY", model=slug)


def _models_to_try(actor: Actor, tenant: Tenant, project: Project | None) -> QuerySet[Model]:
    """Those that may be called now: real ones before the simulated, chat before the rest."""
    simulated = Count("endpoints", filter=Q(endpoints__provider__kind="sandbox"))
    rows = callable_models_for(actor, tenant, project).annotate(simulated=simulated)
    return rows.order_by("simulated", "kind", "name")[:SHOWN_MODELS]


def _key_at_hand(actor: Actor, tenant: Tenant, project: Project | None) -> ApiKey | None:
    """The reader's newest usable key that may call models; else the newest of the tenant that they may see."""
    if not can(actor, "apikey.view", tenant):
        return None
    keys = with_status(keys_for(actor, tenant), "active").filter(project__is_active=True)
    keys = keys.filter(scopes__icontains=f'"{Scope.INFERENCE}"')
    if project is not None:
        keys = keys.filter(project=project)
    own = keys.filter(created_by=actor.user).order_by("-created_at").first()
    return own or keys.order_by("-created_at").first()


# The platform.


@dataclass(frozen=True, slots=True)
class TenantLine:
    tenant: Tenant | None
    name: str
    sums: UsageSums
    bar: int


def _top_tenants(actor: Actor, report: UsageReport) -> list[TenantLine]:
    groups = report.groups[:SHOWN_TENANTS]
    tenants = {each.pk: each for each in tenants_for(actor).filter(pk__in=[group.key for group in groups])}
    top = max((group.sums.cost_picousd for group in groups), default=0)
    return [
        TenantLine(
            tenants.get(int(group.key)),
            group.label,
            group.sums,
            group.sums.cost_picousd * 1000 // top if top else 0,
        )
        for group in groups
    ]


@dataclass(frozen=True, slots=True)
class ProviderLine:
    """``state`` is a word of the badge: healthy, degraded, down, disabled, pending."""

    provider: Provider
    state: str
    note: str
    attempts: int
    failed: int


def provider_lines(actor: Actor, now: datetime) -> list[ProviderLine]:
    """How each provider is doing, by the last hour's attempts (of the newest few thousand) and by its own list."""
    attempts = _attempts_by_provider(now)
    return [_provider_line(each, *attempts.get(each.pk, (0, 0))) for each in providers_for(actor).order_by("name")]


def _attempts_by_provider(now: datetime) -> dict[int, tuple[int, int]]:
    newest = UsageRecord.objects.unscoped("how the providers are doing, for the platform's staff")
    last = newest.order_by("-pk").values_list("pk", flat=True).first()
    if last is None:
        return {}
    rows = newest.filter(pk__gt=last - PROVIDER_WINDOW, at__gte=now - timedelta(hours=1), endpoint__isnull=False)
    counted = (
        rows.order_by()
        .values_list("endpoint__provider_id")
        .annotate(attempts=Count("pk"), failed=Count("pk", filter=Q(outcome=Outcome.UPSTREAM_ERROR)))
    )
    return {provider: (attempts, failed) for provider, attempts, failed in counted}


def _provider_line(provider: Provider, attempts: int, failed: int) -> ProviderLine:
    def line(state: str, note: str) -> ProviderLine:
        return ProviderLine(provider, state, note, attempts, failed)

    if not provider.is_enabled:
        return line("disabled", "Switched off.")
    if provider.missing_since is not None:
        return line("down", "The environment no longer names it.")
    if attempts:
        share = failed / attempts
        told = f"{attempts - failed:,} of {attempts:,} attempts went well in the last hour."
        return line("down" if share > 0.5 else "degraded" if share > 0.05 else "healthy", told)
    if provider.last_error:
        return line("degraded", provider.last_error)
    if provider.is_simulated:
        return line("healthy", "Built in; always there.")
    if provider.last_seen_at is None:
        return line("pending", "Not heard from yet.")
    return line("healthy", "Answers; no calls in the last hour.")


def greeting(name: str, zone_now: datetime | None = None) -> str:
    hour = (zone_now or timezone.localtime()).hour
    part = "morning" if 5 <= hour < 12 else "afternoon" if 12 <= hour < 18 else "evening"
    return f"Good {part}, {name}"
