"""Alerts of monitors: one for each address of a check that is out of control, tried until it is delivered.

At least once: a worker that dies between sending and writing has it sent again, under the same id (``webhook-id``, the
mail's ``Message-ID``), by which a receiver knows it.
"""

from __future__ import annotations

import smtplib
from datetime import timedelta
from email.utils import parseaddr
from typing import Any, Final

import structlog
from django.conf import settings
from django.core.mail import EmailMessage
from django.db import transaction
from django.db.models import F, Q
from django.urls import reverse
from django.utils import timezone

from apps.evaluation import webhooks
from apps.evaluation.models import MonitorAlert, MonitorCheck
from apps.evaluation.types import AlertChannel, AlertStatus, CheckVerdict
from apps.evaluation.webhooks import NotDelivered
from apps.tenants import audit
from apps.tenants.access import Actor, require
from apps.tenants.errors import Conflict
from apps.tenants.jobs import enqueue
from apps.tenants.models import Membership

ALERT_TASK: Final = "evaluation.alert"
WHY: Final = "alerts of a monitor, to those whom it names"
LEASE: Final = timedelta(seconds=60)  # longer than a try may take
FIRST_PAUSE: Final = timedelta(seconds=30)
LONGEST_PAUSE: Final = timedelta(hours=1)
GIVEN_UP_AFTER: Final = timedelta(days=3)
AT_ONCE: Final = 50

log = structlog.get_logger(__name__)


def make_alerts(check: MonitorCheck) -> None:
    """In the transaction that decides the check. Whoever has left the tenant is not told."""
    monitor = check.monitor
    members = Membership.objects.for_tenant(monitor.tenant).filter(user__is_active=True).values("user")
    people = monitor.recipients.filter(pk__in=members).order_by("pk")
    wanted = [(AlertChannel.MAIL, person.email) for person in people]
    if monitor.webhook_url:
        wanted.append((AlertChannel.WEBHOOK, monitor.webhook_url))
    MonitorAlert.objects.bulk_create(
        [MonitorAlert(monitor_check=check, channel=channel, address=address) for channel, address in wanted],
        ignore_conflicts=True,
    )
    if wanted:
        enqueue(ALERT_TASK)


def deliver_alerts() -> int:
    """Those that are due. How many arrived."""
    now = timezone.now()
    due = Q(status=AlertStatus.WAITING, next_at__lte=now) & (Q(leased_until=None) | Q(leased_until__lt=now))
    rows = MonitorAlert.objects.unscoped(WHY)
    delivered = 0
    for pk in list(rows.filter(due).order_by("next_at").values_list("pk", flat=True)[:AT_ONCE]):
        # Of several workers that look at once, one sends.
        if rows.filter(due, pk=pk).update(leased_until=timezone.now() + LEASE, tries=F("tries") + 1):
            delivered += _deliver(pk)
    return delivered


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
    enqueue(ALERT_TASK)
    return alert


def _deliver(pk: int) -> bool:
    alert = (
        MonitorAlert.objects.unscoped(WHY)
        .select_related("monitor_check__monitor__tenant", "monitor_check__monitor__prompt")
        .get(pk=pk)
    )
    try:
        if alert.channel == AlertChannel.MAIL:
            _mail(alert)
        else:
            webhooks.post(alert.monitor_check.monitor, alert.address, _id(alert), payload(alert.monitor_check))
    except (NotDelivered, smtplib.SMTPException, OSError) as error:
        _failed(alert, str(error) if isinstance(error, NotDelivered) else f"The mail server: {type(error).__name__}.")
        return False
    MonitorAlert.objects.unscoped(WHY).filter(pk=pk).update(
        status=AlertStatus.SENT, sent_at=timezone.now(), leased_until=None, error=""
    )
    return True


def _failed(alert: MonitorAlert, why: str) -> None:
    now = timezone.now()
    pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(alert.tries - 1, 10))
    given_up = now - alert.created_at > GIVEN_UP_AFTER
    MonitorAlert.objects.unscoped(WHY).filter(pk=alert.pk).update(
        status=AlertStatus.FAILED if given_up else AlertStatus.WAITING,
        next_at=now + pause,
        leased_until=None,
        error=why[:300],
    )
    log.warning("alert_not_delivered", alert=alert.pk, channel=alert.channel, tries=alert.tries, given_up=given_up)


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
    domain = parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2] or "localhost"
    EmailMessage(
        subject=f"Lobby: {' '.join(monitor.name.split())} is out of control"
        + (", and its canary was rolled back" if check.rollback_id else ""),
        body="\n".join(lines),
        to=[alert.address],
        headers={"Message-ID": f"<{_id(alert)}@{domain}>"},
    ).send()


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
