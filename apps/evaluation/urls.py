"""The addresses of evaluation's pages."""

from django.urls import path

from apps.evaluation.views import comparisons, gates, plans

app_name = "evaluation"
_prompt = "prompts/<slug:tenant>/<slug:prompt>/"
urlpatterns = [
    path(_prompt + "plan/", plans.plan, name="plan"),
    path(_prompt + "plan/remove/", plans.plan_remove, name="plan-remove"),
    path(_prompt + "gates/", gates.prompt_gates, name="prompt-gates"),
    path(_prompt + "versions/<int:number>/review/", gates.version_review, name="version-review"),
    path(_prompt + "versions/<int:number>/gate/", gates.gate_open, name="gate-open"),
    path("gates/<int:pk>/answer/", gates.gate_answer, name="gate-answer"),
    path("gates/<int:pk>/override/", gates.gate_override, name="gate-override"),
    path("gates/<int:pk>/widen/", gates.gate_widen, name="gate-widen"),
    path("evaluations/compare/", comparisons.compare, name="compare"),
    path("evaluations/compare/weigh/", comparisons.weigh, name="weigh"),
]
