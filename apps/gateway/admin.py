"""The ledger in the admin: to look at, search and filter. Nothing is ever written here."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.core.paginator import Paginator
from django.urls import reverse
from django.utils.functional import cached_property
from unfold.decorators import display

from apps.gateway.models import RequestLog, UsageRecord, UsageRollup
from apps.tenants.admin_base import ReadOnlyAdmin, usd

COUNTED_ROWS = 10_000
OUTCOME_TONES = {
    "ok": "success",
    "denied": "warning",
    "invalid": "warning",
    "cancelled": "info",
    "upstream_error": "danger",
    "interrupted": "danger",
    "measured": "success",
    "estimated": "warning",
    "reconciled": "info",
}


class LedgerPaginator(Paginator):  # type: ignore[type-arg]
    """Counts no further than anybody pages: counting millions of rows would cost more than showing fifty."""

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        return int(rows.order_by()[: COUNTED_ROWS + 1].count())


class LedgerAdmin(ReadOnlyAdmin[Any]):
    paginator = LedgerPaginator
    # Newest first by the key, which rows get in the order of their drain: an order that costs nothing.
    ordering: ClassVar[list[str]] = ["-pk"]
    sortable_by: ClassVar[list[str]] = []
    list_select_related: ClassVar[list[str]] = ["tenant", "project"]

    @display(description="Outcome", label=OUTCOME_TONES)
    def outcome_shown(self, row: Any) -> str:
        return str(row.outcome)

    @display(description="Cost")
    def cost(self, row: Any) -> str:
        return usd(row.cost_picousd)


@admin.register(RequestLog)
class RequestLogAdmin(LedgerAdmin):
    view_action = "request.view"
    list_display: ClassVar[list[str]] = [
        "request_id", "at", "tenant", "project", "model_slug", "outcome_shown", "http_status", "input_tokens",
        "output_tokens", "cost", "duration_ms",
    ]  # fmt: skip
    list_filter: ClassVar[list[str]] = ["outcome", "operation", "streamed", "tenant"]
    search_fields: ClassVar[list[str]] = ["request_id__exact"]
    search_help_text = "A whole request id"
    exclude: ClassVar[list[str]] = ["cost_picousd", "why"]
    readonly_fields: ClassVar[list[str]] = ["cost"]

    def view_on_site(self, row: RequestLog) -> str:
        """The request's page tells its why in words."""
        return reverse("gateway:request-detail", args=[row.request_id])


@admin.register(UsageRecord)
class UsageRecordAdmin(LedgerAdmin):
    view_action = "request.view"
    list_display: ClassVar[list[str]] = [
        "attempt_id", "at", "tenant", "project", "model", "outcome_shown", "status_shown", "input_tokens",
        "output_tokens", "cost", "duration_ms",
    ]  # fmt: skip
    list_filter: ClassVar[list[str]] = ["status", "outcome", "tenant"]
    list_select_related: ClassVar[list[str]] = ["tenant", "project", "model"]
    search_fields: ClassVar[list[str]] = ["attempt_id__exact", "request_id__exact"]
    search_help_text = "A whole attempt or request id"
    exclude: ClassVar[list[str]] = ["cost_picousd"]
    readonly_fields: ClassVar[list[str]] = ["cost"]

    @display(description="Usage", label=OUTCOME_TONES)
    def status_shown(self, row: UsageRecord) -> str:
        return row.status


@admin.register(UsageRollup)
class UsageRollupAdmin(LedgerAdmin):
    view_action = "usage.view"
    list_display: ClassVar[list[str]] = [
        "bucket", "granularity", "tenant_id", "project_id", "model_id", "status", "requests", "errors",
        "input_tokens", "output_tokens", "cost",
    ]  # fmt: skip
    list_filter: ClassVar[list[str]] = ["granularity", "status"]
    list_select_related: ClassVar[list[str]] = []
    exclude: ClassVar[list[str]] = ["cost_picousd"]
    readonly_fields: ClassVar[list[str]] = ["cost"]
