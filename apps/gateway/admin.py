"""The gateway in the admin: routes to change, and the ledger to look at, of which nothing is ever written here."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.core.paginator import Paginator
from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import cached_property
from unfold.admin import TabularInline
from unfold.decorators import display

from apps.gateway import services
from apps.gateway.models import RequestLog, Route, RouteRevision, RouteTarget, UsageRecord, UsageRollup
from apps.gateway.routing.sharing import COLUMNS
from apps.gateway.types import Guard
from apps.tenants.access import Actor
from apps.tenants.admin_base import LobbyModelAdmin, ReadOnlyAdmin, counted, usd

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


class TargetInline(TabularInline):  # type: ignore[misc]
    """The route's targets, with links to where they are changed."""

    model = RouteTarget
    extra = 0
    show_change_link = True
    tab = True
    fields = ["purpose", "position", "model", "endpoint", "weight", "condition", "arm"]
    readonly_fields = fields

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return True

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    has_change_permission = has_delete_permission = has_add_permission


class _RoutingAdmin(LobbyModelAdmin[Any]):
    view_action = "registry.view"
    manage_action = "registry.manage"
    deletes = True


@admin.register(Route)
class RouteAdmin(_RoutingAdmin):
    list_display: ClassVar[list[str]] = [
        "slug", "name", "tenant", "strategy", "sticky", "hedge_after_ms", "shadow_percent", "is_enabled", "guard",
    ]  # fmt: skip
    list_filter: ClassVar[list[str]] = ["strategy", "is_enabled", "guard", "tenant"]
    list_select_related: ClassVar[list[str]] = ["tenant"]
    search_fields: ClassVar[list[str]] = ["slug", "name", "tenant__slug"]
    autocomplete_fields: ClassVar[list[str]] = ["tenant"]
    inlines: ClassVar[list[Any]] = [TargetInline]
    _facts: ClassVar[list[str]] = [
        "name", "description", "strategy", "sticky", "hedge_after_ms", "shadow_percent", "is_enabled",
    ]  # fmt: skip

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ["tenant", "slug", *self._facts]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None:
            return []
        # How a guarded route shares its requests is proposed on its page.
        return ["tenant", "slug"] if obj.guard == Guard.NONE else ["tenant", "slug", *COLUMNS]

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Its revisions go with it, though nobody deletes them by themselves."""
        objects, counts, needed, protected = super().get_deleted_objects(objs, request)
        return objects, counts, needed - {RouteRevision._meta.verbose_name}, protected

    def create(self, actor: Actor, form: Any) -> Route:
        return services.create_route(actor=actor, **form.cleaned_data)

    def update(self, actor: Actor, row: Route, form: Any) -> Route:
        return services.update_route(actor=actor, route=row, **form.cleaned_data).route

    def remove(self, actor: Actor, row: Route) -> None:
        services.delete_route(actor=actor, route=row)


@admin.register(RouteRevision)
class RouteRevisionAdmin(ReadOnlyAdmin[RouteRevision]):
    """What a route was told to do, one after the other. Put in force on the route's page."""

    view_action = "registry.view"
    list_display: ClassVar[list[str]] = [
        "route",
        "number",
        "strategy",
        "message",
        "author",
        "created_at",
        "in_force_at",
    ]
    list_select_related: ClassVar[list[str]] = ["route", "author"]
    search_fields: ClassVar[list[str]] = ["route__slug", "route__name", "message"]


@admin.register(RouteTarget)
class RouteTargetAdmin(_RoutingAdmin):
    list_display: ClassVar[list[str]] = [
        "route", "purpose", "position", "model", "endpoint", "weight", "condition", "arm",
    ]  # fmt: skip
    list_filter: ClassVar[list[str]] = ["purpose", "route"]
    list_select_related: ClassVar[list[str]] = ["route", "model", "endpoint__provider"]
    search_fields: ClassVar[list[str]] = ["route__slug", "model__slug", "endpoint__upstream_model", "arm"]
    autocomplete_fields: ClassVar[list[str]] = ["route", "model", "endpoint"]
    _identity: ClassVar[list[str]] = ["route", "model", "endpoint"]
    _facts: ClassVar[list[str]] = ["purpose", "position", "weight", "condition", "arm"]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return [*self._identity, *self._facts]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self._identity if obj else []

    def create(self, actor: Actor, form: Any) -> RouteTarget:
        return services.add_target(actor=actor, **form.cleaned_data)

    def update(self, actor: Actor, row: RouteTarget, form: Any) -> RouteTarget:
        return services.update_target(actor=actor, target=row, **form.cleaned_data)

    def remove(self, actor: Actor, row: RouteTarget) -> None:
        services.remove_target(actor=actor, target=row)


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

    @display(description="Input")
    def tokens_in(self, row: Any) -> str:
        return counted(row.input_tokens, "token")

    @display(description="Output")
    def tokens_out(self, row: Any) -> str:
        return counted(row.output_tokens, "token")

    @display(description="Duration")
    def duration(self, row: Any) -> str:
        return "–" if row.duration_ms is None else f"{row.duration_ms:,} ms"

    @display(description="Cost")
    def cost(self, row: Any) -> str:
        return usd(row.cost_picousd)


@admin.register(RequestLog)
class RequestLogAdmin(LedgerAdmin):
    view_action = "request.view"
    list_display: ClassVar[list[str]] = [
        "at", "tenant", "project", "model_slug", "outcome_shown", "http_status", "tokens_in", "tokens_out",
        "cost", "duration", "request_id",
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
        "at", "tenant", "project", "model", "outcome_shown", "status_shown", "tokens_in", "tokens_out",
        "cost", "duration", "attempt_id",
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
        "tokens_in", "tokens_out", "cost",
    ]  # fmt: skip
    list_filter: ClassVar[list[str]] = ["granularity", "status"]
    list_select_related: ClassVar[list[str]] = []
    exclude: ClassVar[list[str]] = ["cost_picousd"]
    readonly_fields: ClassVar[list[str]] = ["cost"]
