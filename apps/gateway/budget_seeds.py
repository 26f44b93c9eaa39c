"""What a budget has spent so far, for counters that do not know it (a new process, a new period, an emptied Redis)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from django.db.models import Sum

from apps.gateway.ledger import files
from apps.gateway.models import Granularity, UsageRollup
from apps.gateway.snapshot import BudgetFacts

POLL_SECONDS = 0.05


def read_spent(
    budgets: Sequence[BudgetFacts], now: float, spool_dir: Path, wait_seconds: float
) -> dict[str, tuple[int, float]]:
    """Picodollars settled in each budget's present period, with the period's end, by its window's key.

    From the day rollups. What a process that died left in the spool is waited for, at most ``wait_seconds``: else a
    restart would forget the spend of its last second. What living ones have not drained yet (about a second of
    traffic) is not in it.
    """
    ends = time.monotonic() + wait_seconds
    while files.has_orphans(spool_dir) and time.monotonic() < ends:
        time.sleep(POLL_SECONDS)
    windows = [budget.window(now) for budget in budgets]
    return {window.key: (_spent(budget, now), window.ends_at) for budget, window in zip(budgets, windows, strict=True)}


def _spent(budget: BudgetFacts, now: float) -> int:
    rows = UsageRollup.objects.unscoped("the counters' seed").filter(
        granularity=Granularity.DAY, tenant_id=budget.tenant.id, bucket__gte=budget.bounds(now)[0]
    )
    if budget.project_id:
        rows = rows.filter(project_id=budget.project_id)
    if budget.api_key_id:
        rows = rows.filter(api_key_id=budget.api_key_id)
    return int(rows.aggregate(total=Sum("cost_picousd"))["total"] or 0)
