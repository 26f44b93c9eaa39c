"""Alerts of monitors: one for each address of a check that is out of control, tried until it is delivered."""

from __future__ import annotations

from typing import Any, Final

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.urls import reverse
from django.utils import timezone

from apps.evaluation import webhooks
from apps.evaluation.models import Monitor, MonitorAlert, MonitorCheck
from apps.evaluation.services.deliveries import DELIVERY_TASK, Withdrawn, deliver_due, mail
from apps.evaluation.types import AlertChannel, AlertStatus, CheckKind, CheckVerdict
from apps.tenants import audit
from apps.tenants.access import Actor, require
from apps.tenants.errors import Conflict
from apps.tenants.jobs import enqueue
from apps.tenants.models import Membership

WHY: Final = "alerts of a monitor, to those whom it names"


def make_alerts(check: MonitorCheck) -> None:
    """In the transaction that decides the check. Whoever has left the tenant is not told; nobody is of what somebody
    looks after already."""
    if (before := _looked_after(check)) is not None:
        check.acknowledged_by, check.acknowledged_at = before.acknowledged_by, before.acknowledged_at
        check.save(update_fields=["acknowledged_by", "acknowledged_at"])
        return
    monitor = check.monitor
    people = monitor.recipients.filter(pk__in=_members(monitor).values("user")).order_by("pk")
    wanted = [(AlertChannel.MAIL, person.email) for person in people]
    if monitor.webhook_url:
        wanted.append((AlertChannel.WEBHOOK, monitor.webhook_url))
    MonitorAlert.objects.bulk_create(
        [MonitorAlert(monitor_check=check, channel=channel, address=address) for channel, address in wanted],
        ignore_conflicts=True,
    )
    if wanted:
        enqueue(DELIVERY_TASK)


def _members(monitor: Monitor) -> QuerySet[Membership]:
    return Membership.objects.for_tenant(monitor.tenant).filter(user__is_active=True)


def _looked_after(check: MonitorCheck) -> MonitorCheck | None:
    """The check before, where somebody looks after it, and nothing else went wrong or was done since."""
    rows = MonitorCheck.objects.unscoped(WHY).filter(
        monitor=check.monitor, kind=CheckKind.CHECK, verdict__in=(CheckVerdict.IN, CheckVerdict.OUT)
    )
    rows = rows.filter(until__lt=check.until).select_related("acknowledged_by").order_by("-until", "-pk")
    before = rows.first()
    if before is None or before.verdict != CheckVerdict.OUT or before.acknowledged_at is None or check.rollback_id:
        return None
    return before if _out(check) <= _out(before) else None


def _out(check: MonitorCheck) -> set[tuple[str, int | None]]:
    return {(row["scorer"], row["version"]) for row in check.statistics if row["verdict"] == CheckVerdict.OUT}


def deliver_alerts() -> int:
    """Those that are due. How many arrived."""
    return deliver_due(MonitorAlert, _send)


@transaction.atomic
def retry_alert(*, actor: Actor, alert: MonitorAlert) -> MonitorAlert:
    """At once, and for as long as a new one is tried."""
    tenant = alert.monitor_check.monitor.tenant
    require(actor, "evaluation.monitor", tenant, what="have an alert sent again")
    if alert.status == AlertStatus.SENT:
        raise Conflict("It was delivered.", code="alert_delivered")
    now = timezone.now()
    MonitorAlert.objects.for_tenant(tenant).filter(pk=alert.pk).exclude(status=AlertStatus.SENT).update(
        status=AlertStatus.WAITING, next_at=now, created_at=now
    )
    audit.record(actor, "monitor.alert_retried", alert.monitor_check.monitor, {"channel": alert.channel}, tenant)
    enqueue(DELIVERY_TASK)
    return alert


def _send(pk: int) -> None:
    alert = (
        MonitorAlert.objects.unscoped(WHY)
        .select_related("monitor_check__monitor__tenant", "monitor_check__monitor__prompt")
        .get(pk=pk)
    )
    if alert.channel == AlertChannel.MAIL:
        if not _members(alert.monitor_check.monitor).filter(user__email=alert.address).exists():
            raise Withdrawn("No active member of the tenant has this address any more.")
        _mail(alert)
    else:
        webhooks.post(alert.monitor_check.monitor, alert.address, _id(alert), payload(alert.monitor_check))


def _id(alert: MonitorAlert) -> str:
    return f"msg_monitor_{alert.pk}"


def _mail(alert: MonitorAlert) -> None:
    check = alert.monitor_check
    monitor = check.monitor
    lines = [
        f"{monitor.name} ({monitor.tenant.name}) left its limits between {check.since:%Y-%m-%d %H:%M} and"
        f" {check.until:%Y-%m-%d %H:%M} UTC.",
        "",
        *(f"- {reason}" for reason in check.reasons),
        "",
        f"The checks, the limits and the sample: {check_url_of(check)}",
    ]
    rolled_back = ", and its canary was rolled back" if check.rollback_id else ""
    mail(
        to=alert.address,
        subject=f"Lobby: {monitor.name} is out of control{rolled_back}",
        lines=lines,
        message_id=_id(alert),
    )


def check_url_of(check: MonitorCheck) -> str:
    """Its line on the monitor's page."""
    monitor = check.monitor
    path = reverse("evaluation:monitor-detail", args=[monitor.tenant.slug, monitor.slug])
    return f"{settings.PORTAL_URL.rstrip('/')}{path}#check-{check.pk}"


def payload(check: MonitorCheck) -> dict[str, Any]:
    """What a receiver is told: figures, and never what a request said."""
    monitor = check.monitor
    return {
        "type": "monitor.out_of_control",
        "timestamp": (check.decided_at or check.created_at).isoformat(),
        "data": {
            "tenant": monitor.tenant.slug,
            "monitor": monitor.slug,
            "prompt": None if monitor.prompt is None else monitor.prompt.slug,
            "label": monitor.label,
            "environment": monitor.environment,
            "model": monitor.model,
            "check": check.pk,
            "since": check.since.isoformat(),
            "until": check.until.isoformat(),
            "reasons": check.reasons,
            "out_of_control": [
                {
                    "scorer": row["scorer"],
                    "prompt_version": row["version"],
                    "n": row["n"],
                    "value": row["compared"],
                    "low": row["low"],
                    "centre": row["centre"],
                    "high": row["high"],
                }
                for row in check.statistics
                if row["verdict"] == CheckVerdict.OUT
            ],
            "rolled_back": check.rollback_id is not None,
            "url": check_url_of(check),
        },
    }
