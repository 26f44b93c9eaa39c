"""The addresses of evaluation below /api/."""

from django.urls import path

from apps.evaluation.api import gates

urlpatterns = [
    path("prompts/<str:tenant>/<str:prompt>/plan", gates.PromptPlan.as_view(), name="prompt-plan"),
    path("gates", gates.GateList.as_view(), name="gate-list"),
    path("gates/<int:id>", gates.GateDetail.as_view(), name="gate-detail"),
    path("gates/<int:id>/approve", gates.GateApproval.as_view(), name="gate-approve"),
    path("gates/<int:id>/refuse", gates.GateRefusal.as_view(), name="gate-refuse"),
    path("gates/<int:id>/override", gates.GateOverriding.as_view(), name="gate-override"),
    path("gates/<int:id>/widen", gates.GateWiden.as_view(), name="gate-widen"),
    path("comparisons", gates.ComparisonList.as_view(), name="comparison-list"),
    path("comparisons/<int:id>", gates.ComparisonDetail.as_view(), name="comparison-detail"),
]
