"""/api/limits and /api/budgets. There is one row for each subject: setting it again changes it."""

from __future__ import annotations

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from apps.tenants import selectors, services
from apps.tenants.rest.filters import ChoiceFilter, Filters, FlagFilter, TextFilter
from apps.tenants.rest.schema import NOT_FOUND, operation
from apps.tenants.rest.views import ApiView, no_content
from apps.tenants.serializers import BudgetChanges, BudgetOut, LimitChanges, LimitOut, NewBudget, NewLimit
from apps.tenants.types import BudgetPeriod, Metric

LIMITS, BUDGETS = "Limits", "Budgets"


class _Subjects(ApiView):
    def subjects(self, body: dict[str, Any]) -> dict[str, Any]:
        """The body's ``tenant``, ``project``, ``key`` and ``user``, taken out of it and reached for the actor."""
        slug, project, key, user = (body.pop(name, None) for name in ("tenant", "project", "key", "user"))
        found: dict[str, Any] = {
            "tenant": self.referenced("tenant", lambda: selectors.get_tenant_for(self.actor, slug))
        }
        if project is not None:
            found["project"] = self.referenced("project", lambda: selectors.get_project_for(self.actor, slug, project))
        if key is not None:
            found["api_key"] = self.referenced("key", lambda: selectors.get_key_for(self.actor, key))
        if user is not None:
            found["user"] = self.referenced("user", lambda: selectors.get_member_for(self.actor, slug, user)).user
        return found


class LimitFilters(Filters):
    orderings = ("created_at",)
    tenant = TextFilter("tenant__slug")
    project = TextFilter("project__slug")
    key = TextFilter("api_key__prefix", help_text="The prefix of an API key.")
    model = TextFilter("model")
    metric = ChoiceFilter(choices=Metric.choices)


class LimitList(_Subjects):
    @operation("list-limits", "List rate limits", tag=LIMITS, response=LimitOut, filters=LimitFilters, paged=True)
    def get(self, request: Request) -> Response:
        return self.page(selectors.limits_for(self.actor), LimitOut, LimitFilters)

    @operation(
        "set-limit",
        "Set a rate limit",
        tag=LIMITS,
        request=NewLimit,
        response=LimitOut,
        description="The one limit of this subject, metric and window: made, or changed where there is one.",
    )
    def post(self, request: Request) -> Response:
        body = self.body(NewLimit)
        return self.shown(LimitOut, services.set_rate_limit(actor=self.actor, **self.subjects(body), **body))


class LimitDetail(ApiView):
    @operation("get-limit", "Get a rate limit", tag=LIMITS, response=LimitOut, errors=NOT_FOUND)
    def get(self, request: Request, id: int) -> Response:
        return self.shown(LimitOut, selectors.get_limit_for(self.actor, id))

    @operation(
        "change-limit", "Change a rate limit", tag=LIMITS, request=LimitChanges, response=LimitOut, errors=NOT_FOUND
    )
    def patch(self, request: Request, id: int) -> Response:
        row = selectors.get_limit_for(self.actor, id)
        return self.shown(
            LimitOut, services.update_rate_limit(actor=self.actor, rate_limit=row, **self.body(LimitChanges))
        )

    @operation("delete-limit", "Delete a rate limit", tag=LIMITS, status=204, errors=NOT_FOUND)
    def delete(self, request: Request, id: int) -> Response:
        services.delete_rate_limit(actor=self.actor, rate_limit=selectors.get_limit_for(self.actor, id))
        return no_content()


class BudgetFilters(Filters):
    orderings = ("created_at",)
    tenant = TextFilter("tenant__slug")
    project = TextFilter("project__slug")
    key = TextFilter("api_key__prefix", help_text="The prefix of an API key.")
    period = ChoiceFilter(choices=BudgetPeriod.choices)
    hard_stop = FlagFilter()


class BudgetList(_Subjects):
    @operation("list-budgets", "List budgets", tag=BUDGETS, response=BudgetOut, filters=BudgetFilters, paged=True)
    def get(self, request: Request) -> Response:
        return self.page(selectors.budgets_for(self.actor), BudgetOut, BudgetFilters)

    @operation(
        "set-budget",
        "Set a budget",
        tag=BUDGETS,
        request=NewBudget,
        response=BudgetOut,
        description="The one budget of this subject and period: made, or changed where there is one.",
    )
    def post(self, request: Request) -> Response:
        body = self.body(NewBudget)
        return self.shown(BudgetOut, services.set_budget(actor=self.actor, **self.subjects(body), **body))


class BudgetDetail(ApiView):
    @operation("get-budget", "Get a budget", tag=BUDGETS, response=BudgetOut, errors=NOT_FOUND)
    def get(self, request: Request, id: int) -> Response:
        return self.shown(BudgetOut, selectors.get_budget_for(self.actor, id))

    @operation(
        "change-budget", "Change a budget", tag=BUDGETS, request=BudgetChanges, response=BudgetOut, errors=NOT_FOUND
    )
    def patch(self, request: Request, id: int) -> Response:
        row = selectors.get_budget_for(self.actor, id)
        return self.shown(BudgetOut, services.update_budget(actor=self.actor, budget=row, **self.body(BudgetChanges)))

    @operation("delete-budget", "Delete a budget", tag=BUDGETS, status=204, errors=NOT_FOUND)
    def delete(self, request: Request, id: int) -> Response:
        services.delete_budget(actor=self.actor, budget=selectors.get_budget_for(self.actor, id))
        return no_content()
