"""What the snapshot works out by itself."""

from __future__ import annotations

from datetime import UTC, datetime

from apps.gateway.snapshot import BudgetFacts, RuleFacts
from tests.gateway.routing.making import TENANT


def test_a_moment_has_its_own_period_whatever_was_asked_before() -> None:
    """A request that began before midnight may ask after one that began later."""
    budget = BudgetFacts(
        id=1, tenant=TENANT, project_id=0, api_key_id=0, period="day", amount=5, hard=True, rule=RuleFacts("r", "o")
    )
    midnight = datetime(2026, 11, 27, tzinfo=UTC).timestamp()
    before, after = budget.window(midnight - 0.1), budget.window(midnight)
    assert (before.key, before.ends_at) == ("budget:1:20261126", midnight)
    assert after.key == "budget:1:20261127"
    assert budget.window(midnight - 0.1) == before
    assert budget.window(midnight + 5) == after
