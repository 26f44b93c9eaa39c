"""Gates in the admin: to look at across tenants. Plans are set and decisions are made on their own pages."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from unfold.admin import TabularInline

from apps.evaluation.models import Approval, EvaluationPlan, GateDecision, PlanMetric
from apps.tenants.admin_base import ReadOnlyAdmin


class _Inline(TabularInline):  # type: ignore[misc]
    extra = 0
    tab = True

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return True

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    has_change_permission = has_delete_permission = has_add_permission


class PlanMetricInline(_Inline):
    model = PlanMetric
    fields = ["scorer", "role", "margin"]
    readonly_fields = fields


class ApprovalInline(_Inline):
    model = Approval
    fields = ["user_label", "is_approval", "note", "created_at"]
    readonly_fields = fields


@admin.register(EvaluationPlan)
class EvaluationPlanAdmin(ReadOnlyAdmin[EvaluationPlan]):
    view_action = "evaluation.view"
    list_display = ["prompt", "tenant", "dataset", "environment", "label", "policy", "updated_at"]
    list_filter = ["policy", "environment"]
    search_fields = ["prompt__slug", "prompt__name", "tenant__slug"]
    list_select_related = ["prompt", "tenant", "dataset"]
    inlines = [PlanMetricInline]


@admin.register(GateDecision)
class GateDecisionAdmin(ReadOnlyAdmin[GateDecision]):
    view_action = "evaluation.view"
    list_display = ["pk", "tenant", "prompt", "version", "verdict", "status", "created_at", "decided_at"]
    list_filter = ["status", "verdict"]
    search_fields = ["prompt__slug", "prompt__name", "tenant__slug"]
    list_select_related = ["tenant", "prompt", "version"]
    inlines = [ApprovalInline]
