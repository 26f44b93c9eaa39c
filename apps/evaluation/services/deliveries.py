"""What is tried until it arrives: with growing pauses, by one worker at a time, for days.

At least once: a worker that dies between sending and writing has it sent again, under the same id (``webhook-id``, the
mail's ``Message-ID``), by which a receiver knows it.
"""

from __future__ import annotations

import smtplib
from collections.abc import Callable
from datetime import timedelta
from email.utils import parseaddr
from typing import Final

import structlog
from django.conf import settings
from django.core.mail import EmailMessage
from django.db.models import F, Q
from django.utils import timezone

from apps.evaluation.models import GateNotice, MonitorAlert
from apps.evaluation.types import AlertStatus
from apps.evaluation.webhooks import NotDelivered

DELIVERY_TASK: Final = "evaluation.alert"
WHY: Final = "what is to be delivered, to those who are to be told"
LEASE: Final = timedelta(seconds=60)  # longer than a try may take
FIRST_PAUSE: Final = timedelta(seconds=30)
LONGEST_PAUSE: Final = timedelta(hours=1)
GIVEN_UP_AFTER: Final = timedelta(days=3)
AT_ONCE: Final = 50

log = structlog.get_logger(__name__)


class Withdrawn(Exception):
    """There is nothing to tell any more; says why."""


def deliver_due(kind: type[MonitorAlert] | type[GateNotice], send: Callable[[int], None]) -> int:
    """Those that are due. ``send`` is given a row's id, and raises ``NotDelivered``, ``Withdrawn``, or what a mail
    server's client raises. How many arrived."""
    due = Q(status=AlertStatus.WAITING, next_at__lte=timezone.now()) & (
        Q(leased_until=None) | Q(leased_until__lt=timezone.now())
    )
    rows = kind.objects.unscoped(WHY)
    delivered = 0
    for pk in list(rows.filter(due).order_by("next_at").values_list("pk", flat=True)[:AT_ONCE]):
        # Of several workers that look at once, one sends.
        if rows.filter(due, pk=pk).update(leased_until=timezone.now() + LEASE, tries=F("tries") + 1):
            delivered += _deliver(kind, pk, send)
    return delivered


def mail(*, to: str, subject: str, lines: list[str], message_id: str) -> None:
    domain = parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2] or "localhost"
    EmailMessage(
        subject=" ".join(subject.split()),
        body="\n".join(lines),
        to=[to],
        headers={"Message-ID": f"<{message_id}@{domain}>"},
    ).send()


def _deliver(kind: type[MonitorAlert] | type[GateNotice], pk: int, send: Callable[[int], None]) -> bool:
    rows = kind.objects.unscoped(WHY).filter(pk=pk)
    try:
        send(pk)
    except Withdrawn as reason:
        rows.update(status=AlertStatus.FAILED, leased_until=None, error=str(reason)[:300])
        return False
    except (NotDelivered, smtplib.SMTPException, OSError) as error:
        why = str(error) if isinstance(error, NotDelivered) else f"The mail server: {type(error).__name__}."
        _failed(kind, pk, why)
        return False
    rows.update(status=AlertStatus.SENT, sent_at=timezone.now(), leased_until=None, error="")
    return True


def _failed(kind: type[MonitorAlert] | type[GateNotice], pk: int, why: str) -> None:
    now = timezone.now()
    row = kind.objects.unscoped(WHY).only("tries", "created_at").get(pk=pk)
    pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(row.tries - 1, 10))
    given_up = now - row.created_at > GIVEN_UP_AFTER
    kind.objects.unscoped(WHY).filter(pk=pk).update(
        status=AlertStatus.FAILED if given_up else AlertStatus.WAITING,
        next_at=now + pause,
        leased_until=None,
        error=why[:300],
    )
    log.warning("not_delivered", kind=kind.__name__, id=pk, tries=row.tries, given_up=given_up)
