"""/api/usage and /api/requests: the ledger's sums, and each request with its "why". Read only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from apps.gateway import selectors
from apps.gateway.models import Granularity
from apps.gateway.selectors import GroupBy, UsageGroup, UsagePoint, UsageSums
from apps.gateway.serializers import RequestDetailOut, RequestOut, SeriesOut, SummaryOut
from apps.gateway.types import Outcome
from apps.tenants.access import require_somewhere
from apps.tenants.errors import NotFound
from apps.tenants.models import Tenant
from apps.tenants.rest.errors import InvalidQuery
from apps.tenants.rest.filters import ChoiceFilter, Filters, FlagFilter, MomentFilter, TextFilter, cleaned
from apps.tenants.rest.schema import NOT_FOUND, operation
from apps.tenants.rest.views import ApiView
from apps.tenants.selectors import get_tenant_for

USAGE, REQUESTS = "Usage", "Requests"
DEFAULT_RANGE = timedelta(days=30)
LONGEST_RANGE = timedelta(days=3 * 366)
LONGEST_HOURLY = timedelta(days=62)
MOST_POINTS = 20_000


class SummaryFilters(Filters):
    tenant = TextFilter(help_text="A tenant's slug; without it, all that you may see.")
    since = MomentFilter(help_text="Default: 30 days before `until`.")
    until = MomentFilter(help_text="Default: now.")
    group_by = ChoiceFilter(choices=[(each.value, each.value) for each in GroupBy])


class SeriesFilters(SummaryFilters):
    granularity = ChoiceFilter(choices=Granularity.choices, help_text="Default: hours below two days, else days.")


@dataclass(frozen=True, slots=True)
class _Summary:
    since: datetime
    until: datetime
    total: UsageSums
    groups: list[UsageGroup]


@dataclass(frozen=True, slots=True)
class _Series:
    since: datetime
    until: datetime
    points: list[UsagePoint]


class _UsageView(ApiView):
    def asked(self, filters: type[Filters]) -> tuple[Tenant | None, datetime, datetime, str, str]:
        """(tenant, since, until, group_by, granularity) of the query. Raises InvalidQuery."""
        require_somewhere(self.actor, "usage.view", what="see usage")
        query = cleaned(self.request, filters)
        until = query.get("until") or timezone.now()
        since = query.get("since") or until - DEFAULT_RANGE
        granularity = query.get("granularity") or ""
        longest = LONGEST_HOURLY if granularity == Granularity.HOUR else LONGEST_RANGE
        if not timedelta() < until - since <= longest:
            raise InvalidQuery(f"since: it has to lie before until, by at most {longest.days} days.", field="since")
        group_by = query.get("group_by") or ""
        if group_by == GroupBy.KEY:
            require_somewhere(self.actor, "apikey.view", what="see API keys")
        return self._tenant(query.get("tenant") or ""), since, until, group_by, granularity

    def _tenant(self, slug: str) -> Tenant | None:
        if not slug:
            return None
        try:
            return get_tenant_for(self.actor, slug)
        except NotFound as error:
            raise InvalidQuery(error.message, field="tenant", code="not_found") from None


class UsageSummary(_UsageView):
    @operation(
        "usage-summary",
        "Sum up usage",
        tag=USAGE,
        response=SummaryOut,
        filters=SummaryFilters,
        description="Requests, tokens and cost in a range, as a whole and by group. Whole hours below two days, "
        "else whole days in each tenant's time zone: a bucket counts when it begins in the range.",
    )
    def get(self, request: Request) -> Response:
        tenant, since, until, group_by, _ = self.asked(SummaryFilters)
        total = selectors.usage_summary(self.actor, tenant, since, until)
        groups = selectors.usage_by(self.actor, tenant, since, until, group_by) if group_by else []
        return self.shown(SummaryOut, _Summary(since, until, total, groups))


class UsageSeries(_UsageView):
    @operation(
        "usage-series",
        "Usage over time",
        tag=USAGE,
        response=SeriesOut,
        filters=SeriesFilters,
        description="The sums of each bucket and group (by default: model).",
    )
    def get(self, request: Request) -> Response:
        tenant, since, until, group_by, granularity = self.asked(SeriesFilters)
        points = selectors.usage_series(
            self.actor, tenant, since, until, group_by=group_by or GroupBy.MODEL, granularity=granularity
        )
        if len(points) > MOST_POINTS:
            raise InvalidQuery(
                f"since: {len(points):,} points are more than the {MOST_POINTS:,} of one answer.",
                field="since",
                remedy="Ask for a shorter range, one tenant, or days.",
            )
        return self.shown(SeriesOut, _Series(since, until, points))


class RequestFilters(Filters):
    orderings = ("at",)
    default_ordering = "-at"
    tenant = TextFilter("tenant__slug")
    project = TextFilter("project__slug")
    key = TextFilter("api_key__prefix", help_text="The prefix of an API key.")
    user = TextFilter("user__email", lookup_expr="iexact", max_length=254)
    model = TextFilter("model_slug")
    operation = TextFilter(max_length=30, help_text="For example chat.completions.")
    outcome = ChoiceFilter(choices=Outcome.choices)
    error_code = TextFilter(max_length=64)
    streamed = FlagFilter()
    since = MomentFilter("at", lookup_expr="gte")
    until = MomentFilter("at", lookup_expr="lt")


class RequestList(ApiView):
    @operation("list-requests", "List requests", tag=REQUESTS, response=RequestOut, filters=RequestFilters, paged=True)
    def get(self, request: Request) -> Response:
        require_somewhere(self.actor, "request.view", what="see requests")
        return self.page(selectors.requests_for(self.actor), RequestOut, RequestFilters)


class RequestDetail(ApiView):
    @operation(
        "get-request",
        "Get a request, and why it went as it did",
        tag=REQUESTS,
        response=RequestDetailOut,
        errors=NOT_FOUND,
        description="`id` is what the answer carried in the header x-lobby-request-id.",
    )
    def get(self, request: Request, id: str) -> Response:
        return self.shown(RequestDetailOut, selectors.get_request_for(self.actor, id))
