"""Telling the gateway that something it acts on has changed.

Every service that changes a tenant, project, key, limit, budget, model, endpoint, price or grant calls
``control_plane_changed()`` in its transaction. The gateway polls the row, and reads its snapshot anew when the version
has grown.
"""

from __future__ import annotations

from django.db import connection
from django.db.models import F

from apps.tenants.models import ControlPlaneState

STATE_ID = 1
# Any number that nothing else in this database locks.
_ADVISORY_LOCK = 0x10BB7


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
    """Bump the version in this transaction."""
    lock_control_plane()
    if not ControlPlaneState.objects.filter(pk=STATE_ID).update(version=F("version") + 1):
        ControlPlaneState.objects.create(pk=STATE_ID)


def control_plane_version() -> int:
    """The version now; 0 before the first change."""
    return ControlPlaneState.objects.filter(pk=STATE_ID).values_list("version", flat=True).first() or 0
