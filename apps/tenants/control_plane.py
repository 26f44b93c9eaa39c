"""Telling the gateway that something it acts on has changed.

Every service that changes a tenant, project, key, limit, budget, model, endpoint, price or grant calls
``control_plane_changed()`` in its transaction. The gateway refreshes its snapshot when the version has grown: it polls
the row, and with Redis it is told at once.
"""

from __future__ import annotations

import structlog
from django.conf import settings
from django.db import connection, transaction
from django.db.models import F

from apps.tenants.models import ControlPlaneState

CHANNEL = "lobby:control-plane"
STATE_ID = 1
# Any number that nothing else in this database locks.
_ADVISORY_LOCK = 0x10BB7

logger = structlog.get_logger(__name__)


def lock_control_plane() -> None:
    """Wait for, and hold until commit, the right to bump the version and to append to the audit trail.

    One lock for both, taken before either, so that two transactions cannot each hold what the other waits for. SQLite
    needs none: its transactions begin IMMEDIATE, so there is one writer at a time.
    """
    if not connection.in_atomic_block:
        raise RuntimeError("Not inside transaction.atomic(): the record and the act it records must commit together.")
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_ADVISORY_LOCK])


def control_plane_changed() -> None:
    """Bump the version in this transaction; once it has committed, publish it on Redis (where there is one)."""
    lock_control_plane()
    if not ControlPlaneState.objects.filter(pk=STATE_ID).update(version=F("version") + 1):
        ControlPlaneState.objects.create(pk=STATE_ID)
    transaction.on_commit(_publish, robust=True)


def control_plane_version() -> int:
    """The version now; 0 before the first change."""
    return ControlPlaneState.objects.filter(pk=STATE_ID).values_list("version", flat=True).first() or 0


def _publish() -> None:
    if not settings.REDIS_URL:
        return
    import redis

    # A push only makes the gateway quicker; it polls as well. So a Redis that is down must not fail or delay the act.
    try:
        with redis.Redis.from_url(settings.REDIS_URL, socket_connect_timeout=0.5, socket_timeout=0.5) as client:
            client.publish(CHANNEL, str(control_plane_version()))
    except redis.RedisError as error:
        logger.warning("control_plane_publish_failed", error=type(error).__name__)
