"""What a budget has spent so far, for counters that do not know it (a new process, a new period, an emptied Redis)."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path

from django.db.models import Sum

from apps.gateway.ledger import files
from apps.gateway.models import Granularity, UsageRollup

POLL_SECONDS = 0.05


def budget_spent(
    *, tenant_id: int, project_id: int, api_key_id: int, since: datetime, spool_dir: Path, wait_seconds: float
) -> int:
    """Picodollars settled since the period began, from the day rollups.

    What a process that died left in the spool is waited for, at most ``wait_seconds``: else a restart would forget the
    spend of its last second. What living ones have not drained yet (about a second of
    traffic) is not in it.
    """
    ends = time.monotonic() + wait_seconds
    while files.has_orphans(spool_dir) and time.monotonic() < ends:
        time.sleep(POLL_SECONDS)
    rows = UsageRollup.objects.unscoped("the counters' seed").filter(
        granularity=Granularity.DAY, tenant_id=tenant_id, bucket__gte=since
    )
    if project_id:
        rows = rows.filter(project_id=project_id)
    if api_key_id:
        rows = rows.filter(api_key_id=api_key_id)
    return int(rows.aggregate(total=Sum("cost_picousd"))["total"] or 0)
