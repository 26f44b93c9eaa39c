"""The addresses of evaluation's pages."""

from django.urls import path

from apps.evaluation.views import comparisons, datasets, examples, gates, inbox, plans, runs, scorers, uploads, versions

app_name = "evaluation"
_prompt = "prompts/<slug:tenant>/<slug:prompt>/"
_one = "datasets/<slug:tenant>/<slug:dataset>/"
_run = "evaluations/runs/<slug:run>/"
_scorer = "scorers/<slug:tenant>/<slug:scorer>/"
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
    path("datasets/", datasets.dataset_list, name="dataset-list"),
    path("datasets/new/", datasets.dataset_create, name="dataset-create"),
    path(_one, examples.dataset_detail, name="dataset-detail"),
    path(_one + "facts/", datasets.dataset_edit, name="dataset-edit"),
    path(_one + "archive/", datasets.dataset_archive, name="dataset-archive"),
    path(_one + "examples/new/", examples.example_create, name="example-create"),
    path(_one + "examples/<int:pk>/", examples.example_detail, name="example-detail"),
    path(_one + "examples/<int:pk>/remove/", examples.example_remove, name="example-remove"),
    path(_one + "versions/", versions.version_list, name="dataset-version-list"),
    path(_one + "versions/freeze/", versions.version_freeze, name="dataset-version-freeze"),
    path(_one + "versions/<int:number>/", versions.version_detail, name="dataset-version"),
    path(_one + "versions/<int:number>/sign/", versions.version_sign, name="dataset-version-sign"),
    path(_one + "versions/<int:number>/export/", versions.version_export, name="dataset-version-export"),
    path(_one + "uploads/", uploads.upload_list, name="upload-list"),
    path(_one + "uploads/new/", uploads.upload_create, name="upload-create"),
    path(_one + "uploads/<int:pk>/", uploads.upload_detail, name="upload-detail"),
    path(_one + "uploads/<int:pk>/progress/", uploads.upload_progress, name="upload-progress"),
    path(_one + "uploads/<int:pk>/import/", uploads.upload_import, name="upload-import"),
    path(_one + "uploads/<int:pk>/cancel/", uploads.upload_cancel, name="upload-cancel"),
    path("inbox/", inbox.inbox_list, name="inbox"),
    path("inbox/decide/", inbox.inbox_decide, name="inbox-decide"),
    path("inbox/<int:pk>/", inbox.inbox_item, name="inbox-item"),
    path("evaluations/", runs.run_list, name="run-list"),
    path("evaluations/new/", runs.run_create, name="run-create"),
    path("evaluations/new/estimate/", runs.run_estimate, name="run-estimate"),
    path(_run, runs.run_detail, name="run-detail"),
    path(_run + "progress/", runs.run_progress, name="run-progress"),
    path(_run + "act/", runs.run_act, name="run-act"),
    path(_run + "items/<int:pk>/", runs.run_item, name="run-item"),
    path("scorers/", scorers.scorer_list, name="scorer-list"),
    path("scorers/new/", scorers.scorer_create, name="scorer-create"),
    path("scorers/defaults/", scorers.scorer_defaults, name="scorer-defaults"),
    path(_scorer, scorers.scorer_detail, name="scorer-detail"),
    path(_scorer + "archive/", scorers.scorer_archive, name="scorer-archive"),
    path(_scorer + "calibrate/", scorers.judge_calibrate, name="judge-calibrate"),
]
