"""Budgets: so much money per calendar period of the tenant's zone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypedDict, Unpack

from django.db import transaction

from apps.tenants import audit, validation
from apps.tenants.access import Actor, require
from apps.tenants.control_plane import control_plane_changed
from apps.tenants.errors import Invalid
from apps.tenants.models import ApiKey, Budget, Project, Tenant
from apps.tenants.services.changes import apply_changes
from apps.tenants.services.subjects import check_subject
from apps.tenants.types import BudgetPeriod

MOST_PICOUSD = 9 * 10**18  # nine million USD: what 64 bits hold


class BudgetChanges(TypedDict, total=False):
    amount_picousd: int
    thresholds: Iterable[int]
    hard_stop: bool


def _clean(changes: BudgetChanges) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if "amount_picousd" in changes:
        values["amount_picousd"] = validation.clean_number(
            changes["amount_picousd"], field="amount_picousd", minimum=0, maximum=MOST_PICOUSD
        )
    if "thresholds" in changes:
        numbers = {
            validation.clean_number(number, field="thresholds", minimum=1, maximum=100)
            for number in changes["thresholds"]
        }
        values["thresholds"] = sorted(numbers)
    if "hard_stop" in changes:
        values["hard_stop"] = bool(changes["hard_stop"])
    if unknown := set(changes) - set(values):
        raise Invalid(f"{', '.join(sorted(unknown))} cannot be changed here.", field=min(unknown))
    return values


@transaction.atomic
def set_budget(
    *,
    actor: Actor,
    tenant: Tenant,
    period: str = BudgetPeriod.MONTH,
    project: Project | None = None,
    api_key: ApiKey | None = None,
    **changes: Unpack[BudgetChanges],
) -> Budget:
    """The one budget of this subject and period: made, or changed where there is one. A new one needs an amount."""
    require(actor, "budget.manage", tenant, what="change budgets")
    period = validation.clean_choice(period, BudgetPeriod, field="period")
    values = _clean(changes)
    project = check_subject(tenant, project, api_key)
    Tenant.objects.for_tenant(tenant).select_for_update().get()
    row = Budget.objects.for_tenant(tenant).filter(project=project, api_key=api_key, period=period).first()
    if row is not None:
        return _change(actor, row, values)
    if "amount_picousd" not in values:
        raise Invalid("A budget needs an amount.", field="amount_picousd")
    row = Budget.objects.create(
        **{"tenant": tenant, "project": project, "api_key": api_key, "period": period, **values}
    )
    audit.record(actor, "budget.created", row, _facts(row), tenant)
    control_plane_changed()
    return row


@transaction.atomic
def update_budget(*, actor: Actor, budget: Budget, **changes: Unpack[BudgetChanges]) -> Budget:
    require(actor, "budget.manage", budget.tenant, what="change budgets")
    values = _clean(changes)
    rows = Budget.objects.for_tenant(budget.tenant).select_related("tenant")
    return _change(actor, rows.select_for_update(of=("self",)).get(pk=budget.pk), values)


@transaction.atomic
def delete_budget(*, actor: Actor, budget: Budget) -> None:
    require(actor, "budget.manage", budget.tenant, what="change budgets")
    audit.record(actor, "budget.deleted", budget, _facts(budget), budget.tenant)
    budget.delete()
    control_plane_changed()


def _change(actor: Actor, row: Budget, values: dict[str, Any]) -> Budget:
    if changed := apply_changes(row, values):
        audit.record(actor, "budget.updated", row, {**_facts(row), **changed}, row.tenant)
        control_plane_changed()
    return row


def _facts(row: Budget) -> dict[str, Any]:
    return {
        "period": row.period,
        "amount_picousd": row.amount_picousd,
        "thresholds": row.thresholds,
        "hard_stop": row.hard_stop,
        "project": row.project.slug if row.project else None,
        "api_key": row.api_key.prefix if row.api_key else None,
    }
