"""/api/monitors: for people alone to change, as the releases that they may undo are."""

from __future__ import annotations

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from apps.evaluation.models import Monitor, Scorer
from apps.evaluation.selectors import monitors as selectors
from apps.evaluation.serializers.monitors import (
    AlertOut,
    MonitorCheckOut,
    MonitorIn,
    MonitorOut,
    NewMonitor,
    WebhookSecret,
)
from apps.evaluation.services import monitors
from apps.evaluation.services.alerts import retry_alert
from apps.evaluation.services.monitors import MonitorFacts
from apps.evaluation.types import CheckVerdict
from apps.evaluation.webhooks import secret_of
from apps.prompts.selectors import get_prompt_for
from apps.tenants import selectors as tenants
from apps.tenants.access import require
from apps.tenants.errors import Invalid
from apps.tenants.models import Membership, Tenant, User
from apps.tenants.rest.filters import ChoiceFilter, Filters, FlagFilter, TextFilter
from apps.tenants.rest.schema import CONFLICT, NOT_FOUND, operation
from apps.tenants.rest.views import ApiView

MONITORS = "Monitors"


class _OfMonitor(ApiView):
    def found(self, tenant: str, monitor: str) -> Monitor:
        return selectors.get_monitor_for(self.actor, tenant, monitor)

    def renewed(self, monitor: Monitor, code: int = 200) -> Response:
        return self.shown(MonitorOut, self.found(monitor.tenant.slug, monitor.slug), code)

    def facts(self, tenant: Tenant, body: dict[str, Any]) -> MonitorFacts:
        project, prompt = body.pop("project"), body.pop("prompt", "")
        rows = Scorer.objects.for_actor(self.actor).filter(tenant=tenant, slug__in=body["scorers"])
        scorers = list(rows.select_related("tenant"))
        if missing := set(body.pop("scorers")) - {each.slug for each in scorers}:
            raise Invalid(f"There is no scorer {min(missing)[:60]!r}.", field="scorers", code="not_found")
        body["project"] = self.referenced("project", lambda: tenants.get_project_for(self.actor, tenant.slug, project))
        if prompt:
            body["prompt"] = self.referenced("prompt", lambda: get_prompt_for(self.actor, tenant.slug, prompt))
        return MonitorFacts(scorers=scorers, recipients=_members(tenant, body.pop("recipients", [])), **body)


def _members(tenant: Tenant, emails: list[str]) -> list[User]:
    rows = Membership.objects.for_tenant(tenant).filter(user__email__in=emails).select_related("user")
    found = {row.user.email: row.user for row in rows}
    if missing := set(emails) - found.keys():
        raise Invalid(f"{min(missing)[:100]} is no member of the tenant.", field="recipients", code="not_found")
    return list(found.values())


class MonitorFilters(Filters):
    orderings = ("name", "slug", "created_at")
    search_in = ("name", "slug")
    tenant = TextFilter("tenant__slug")
    prompt = TextFilter("prompt__slug")
    model = TextFilter()
    is_paused = FlagFilter()


class MonitorList(_OfMonitor):
    @operation("list-monitors", "List monitors", tag=MONITORS, response=MonitorOut, filters=MonitorFilters, paged=True)
    def get(self, request: Request) -> Response:
        return self.page(selectors.monitors_for(self.actor), MonitorOut, MonitorFilters)

    @operation(
        "create-monitor",
        "Set a monitor up",
        tag=MONITORS,
        request=NewMonitor,
        response=MonitorOut,
        status=201,
        errors=CONFLICT,
        description="For people alone. Its first check is of the window that is open now.",
    )
    def post(self, request: Request) -> Response:
        body = self.body(NewMonitor)
        name, slug = body.pop("tenant"), body.pop("slug", "")
        tenant = self.referenced("tenant", lambda: tenants.get_tenant_for(self.actor, name))
        require(self.actor, "evaluation.monitor", tenant, what="set a monitor up")
        made = monitors.create_monitor(actor=self.actor, tenant=tenant, facts=self.facts(tenant, body), slug=slug)
        return self.renewed(made, 201)


class MonitorDetail(_OfMonitor):
    @operation("get-monitor", "Get a monitor", tag=MONITORS, response=MonitorOut, errors=NOT_FOUND)
    def get(self, request: Request, tenant: str, monitor: str) -> Response:
        return self.shown(MonitorOut, self.found(tenant, monitor))

    @operation(
        "set-monitor",
        "Change a monitor",
        tag=MONITORS,
        request=MonitorIn,
        response=MonitorOut,
        errors=NOT_FOUND,
        description="As a whole, but for what it watches: that stays. Another webhook has another secret.",
    )
    def put(self, request: Request, tenant: str, monitor: str) -> Response:
        row = self.found(tenant, monitor)
        require(self.actor, "evaluation.monitor", row.tenant, what="change this monitor")
        facts = self.facts(row.tenant, self.body(MonitorIn))
        return self.renewed(monitors.update_monitor(actor=self.actor, monitor=row, facts=facts))

    @operation(
        "delete-monitor",
        "Delete a monitor",
        tag=MONITORS,
        status=204,
        errors=NOT_FOUND | CONFLICT,
        description="With its checks, alerts and samples. What it released stays, and so does the audit trail.",
    )
    def delete(self, request: Request, tenant: str, monitor: str) -> Response:
        monitors.delete_monitor(actor=self.actor, monitor=self.found(tenant, monitor))
        return Response(status=204)


class MonitorPause(_OfMonitor):
    @operation("pause-monitor", "Pause a monitor", tag=MONITORS, response=MonitorOut, errors=NOT_FOUND)
    def post(self, request: Request, tenant: str, monitor: str) -> Response:
        return self.renewed(monitors.pause_monitor(actor=self.actor, monitor=self.found(tenant, monitor)))


class MonitorResume(_OfMonitor):
    @operation("resume-monitor", "Resume a monitor", tag=MONITORS, response=MonitorOut, errors=NOT_FOUND)
    def post(self, request: Request, tenant: str, monitor: str) -> Response:
        row = self.found(tenant, monitor)
        return self.renewed(monitors.pause_monitor(actor=self.actor, monitor=row, is_paused=False))


class MonitorAcknowledge(_OfMonitor):
    @operation(
        "acknowledge-monitor",
        "Acknowledge a monitor's alerts",
        tag=MONITORS,
        response=MonitorOut,
        errors=NOT_FOUND,
        description="Says that one looks after what is out of control.",
    )
    def post(self, request: Request, tenant: str, monitor: str) -> Response:
        row = self.found(tenant, monitor)
        monitors.acknowledge(actor=self.actor, monitor=row)
        return self.renewed(row)


class MonitorSecret(_OfMonitor):
    @operation(
        "renew-monitor-webhook-secret",
        "Make another secret for a monitor's webhook",
        tag=MONITORS,
        response=WebhookSecret,
        errors=NOT_FOUND | CONFLICT,
        description="By which a receiver checks that a message came from here. It is shown this once; the one before"
        " signs nothing more.",
    )
    def post(self, request: Request, tenant: str, monitor: str) -> Response:
        row = monitors.renew_secret(actor=self.actor, monitor=self.found(tenant, monitor))
        return self.shown(WebhookSecret, {"secret": secret_of(row)})


class AlertRetry(_OfMonitor):
    @operation(
        "retry-monitor-alert",
        "Send an alert again",
        tag=MONITORS,
        response=AlertOut,
        errors=NOT_FOUND | CONFLICT,
        description="At once, and for as long as a new one is tried. Not one that was delivered.",
    )
    def post(self, request: Request, tenant: str, monitor: str, id: int) -> Response:
        alert = selectors.get_alert_of(self.found(tenant, monitor), id)
        retry_alert(actor=self.actor, alert=alert)
        alert.refresh_from_db()
        return self.shown(AlertOut, alert)


class CheckFilters(Filters):
    orderings = ("until",)
    default_ordering = "-until"
    verdict = ChoiceFilter(choices=CheckVerdict.choices)


class MonitorChecks(_OfMonitor):
    @operation(
        "list-monitor-checks",
        "List a monitor's checks",
        tag=MONITORS,
        response=MonitorCheckOut,
        filters=CheckFilters,
        paged=True,
        errors=NOT_FOUND,
    )
    def get(self, request: Request, tenant: str, monitor: str) -> Response:
        return self.page(selectors.checks_of(self.found(tenant, monitor)), MonitorCheckOut, CheckFilters)

    @operation(
        "check-monitor",
        "Have a monitor check now",
        tag=MONITORS,
        response=MonitorCheckOut,
        status=201,
        errors=NOT_FOUND,
        description="Of the window that ends now. It is decided once its sample is scored.",
    )
    def post(self, request: Request, tenant: str, monitor: str) -> Response:
        check = monitors.check_now(actor=self.actor, monitor=self.found(tenant, monitor))
        return self.shown(MonitorCheckOut, selectors.checks_of(check.monitor).get(pk=check.pk), 201)
