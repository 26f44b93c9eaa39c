"""Evaluation in the admin: to look at across tenants. What can be done to it is done on its own pages."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from unfold.admin import TabularInline

from apps.evaluation.models import (
    Approval,
    Dataset,
    DatasetVersion,
    Evaluation,
    EvaluationPlan,
    Example,
    ExampleRevision,
    GateDecision,
    InboxItem,
    JudgeCalibration,
    PlanMetric,
    Scorer,
    SignOff,
    Upload,
)
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
    list_display = ["prompt", "route", "tenant", "dataset", "environment", "label", "policy", "updated_at"]
    list_filter = ["policy", "environment"]
    search_fields = ["prompt__slug", "prompt__name", "route__slug", "tenant__slug"]
    list_select_related = ["prompt", "route", "tenant", "dataset"]
    inlines = [PlanMetricInline]


@admin.register(GateDecision)
class GateDecisionAdmin(ReadOnlyAdmin[GateDecision]):
    view_action = "evaluation.view"
    list_display = ["pk", "tenant", "prompt", "version", "route", "revision", "verdict", "status", "decided_at"]
    list_filter = ["status", "verdict"]
    search_fields = ["prompt__slug", "prompt__name", "route__slug", "tenant__slug"]
    list_select_related = ["tenant", "prompt", "version", "route", "revision"]
    inlines = [ApprovalInline]


@admin.register(Dataset)
class DatasetAdmin(ReadOnlyAdmin[Dataset]):
    view_action = "dataset.view"
    list_display = ["name", "slug", "tenant", "prompt", "owner", "is_archived", "updated_at"]
    list_filter = ["is_archived", "tenant"]
    search_fields = ["name", "slug", "description"]
    list_select_related = ["tenant", "prompt", "owner"]


@admin.register(DatasetVersion)
class DatasetVersionAdmin(ReadOnlyAdmin[DatasetVersion]):
    view_action = "dataset.view"
    list_display = ["dataset", "number", "size", "message", "created_by", "created_at"]
    search_fields = ["dataset__name", "dataset__slug", "manifest_hash"]
    list_select_related = ["dataset", "created_by"]


@admin.register(Example)
class ExampleAdmin(ReadOnlyAdmin[Example]):
    view_action = "dataset.view"
    list_display = ["key", "dataset", "is_removed", "created_at"]
    search_fields = ["key", "dataset__name", "dataset__slug"]
    list_select_related = ["dataset"]


@admin.register(ExampleRevision)
class ExampleRevisionAdmin(ReadOnlyAdmin[ExampleRevision]):
    view_action = "dataset.view"
    list_display = ["example", "number", "source", "split", "slice", "scrub", "created_by", "created_at"]
    list_filter = ["source", "split", "scrub"]
    search_fields = ["example__key", "content_hash", "source_ref"]
    list_select_related = ["example", "created_by"]


@admin.register(SignOff)
class SignOffAdmin(ReadOnlyAdmin[SignOff]):
    view_action = "dataset.view"
    list_display = ["version", "user_label", "is_approval", "note", "created_at"]
    list_filter = ["is_approval"]
    list_select_related = ["version__dataset"]


@admin.register(Upload)
class UploadAdmin(ReadOnlyAdmin[Upload]):
    view_action = "dataset.view"
    list_display = ["file_name", "dataset", "format", "size", "status", "rows_added", "rows_refused", "created_by"]
    list_filter = ["status", "format"]
    search_fields = ["file_name", "dataset__name", "dataset__slug"]
    list_select_related = ["dataset", "created_by"]


@admin.register(InboxItem)
class InboxItemAdmin(ReadOnlyAdmin[InboxItem]):
    view_action = "dataset.view"
    list_display = ["pk", "tenant", "prompt", "source", "cluster", "status", "scrub", "created_at"]
    list_filter = ["status", "source", "scrub", "tenant"]
    search_fields = ["source_ref", "cluster"]
    list_select_related = ["tenant", "prompt"]


@admin.register(Evaluation)
class EvaluationAdmin(ReadOnlyAdmin[Evaluation]):
    view_action = "evaluation.view"
    list_display = ["name", "tenant", "model", "status", "items_total", "mlflow_status", "created_by", "created_at"]
    list_filter = ["status", "trigger", "mlflow_status", "tenant"]
    search_fields = ["name", "public_id", "model"]
    list_select_related = ["tenant", "created_by"]


@admin.register(Scorer)
class ScorerAdmin(ReadOnlyAdmin[Scorer]):
    view_action = "evaluation.view"
    list_display = ["name", "slug", "kind", "tenant", "owner", "is_archived", "created_at"]
    list_filter = ["kind", "is_archived", "tenant"]
    search_fields = ["name", "slug", "kind"]
    list_select_related = ["tenant", "owner"]


@admin.register(JudgeCalibration)
class JudgeCalibrationAdmin(ReadOnlyAdmin[JudgeCalibration]):
    view_action = "evaluation.view"
    list_display = ["version", "source", "pairs", "kappa", "is_sufficient", "reason", "expires_at"]
    list_filter = ["is_sufficient"]
    list_select_related = ["version__scorer"]
