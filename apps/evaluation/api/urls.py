"""The addresses of evaluation below /api/."""

from django.urls import path

from apps.evaluation.api import datasets, gates, inbox, monitors, redteam, runs

_dataset = "datasets/<str:tenant>/<str:dataset>"
_version = f"{_dataset}/versions/<int:number>"
_run = "evaluations/<str:id>"
_monitor = "monitors/<str:tenant>/<str:monitor>"
urlpatterns = [
    path("prompts/<str:tenant>/<str:prompt>/plan", gates.PromptPlan.as_view(), name="prompt-plan"),
    path("routes/<int:id>/plan", gates.RoutePlan.as_view(), name="route-plan"),
    path("gates", gates.GateList.as_view(), name="gate-list"),
    path("gates/<int:id>", gates.GateDetail.as_view(), name="gate-detail"),
    path("gates/<int:id>/approve", gates.GateApproval.as_view(), name="gate-approve"),
    path("gates/<int:id>/refuse", gates.GateRefusal.as_view(), name="gate-refuse"),
    path("gates/<int:id>/override", gates.GateOverriding.as_view(), name="gate-override"),
    path("gates/<int:id>/widen", gates.GateWiden.as_view(), name="gate-widen"),
    path("comparisons", gates.ComparisonList.as_view(), name="comparison-list"),
    path("comparisons/<int:id>", gates.ComparisonDetail.as_view(), name="comparison-detail"),
    path("datasets", datasets.DatasetList.as_view(), name="dataset-list"),
    path(_dataset, datasets.DatasetDetail.as_view(), name="dataset-detail"),
    path(f"{_dataset}/archive", datasets.DatasetArchiving.as_view(), name="dataset-archive"),
    path(f"{_dataset}/restore", datasets.DatasetRestoring.as_view(), name="dataset-restore"),
    path(f"{_dataset}/examples", datasets.ExampleList.as_view(), name="example-list"),
    path(f"{_dataset}/examples/<int:id>", datasets.ExampleDetail.as_view(), name="example-detail"),
    path(f"{_dataset}/versions", datasets.DatasetVersionList.as_view(), name="dataset-version-list"),
    path(_version, datasets.DatasetVersionDetail.as_view(), name="dataset-version-detail"),
    path(f"{_version}/sign-offs", datasets.DatasetVersionSignOff.as_view(), name="dataset-version-sign-off"),
    path(f"{_version}/changes", datasets.DatasetVersionChanges.as_view(), name="dataset-version-changes"),
    path(f"{_version}/export", datasets.DatasetVersionExport.as_view(), name="dataset-version-export"),
    path(f"{_dataset}/uploads", datasets.UploadList.as_view(), name="upload-list"),
    path(f"{_dataset}/uploads/<int:id>", datasets.UploadDetail.as_view(), name="upload-detail"),
    path(f"{_dataset}/uploads/<int:id>/import", datasets.UploadImport.as_view(), name="upload-import"),
    path(f"{_dataset}/uploads/<int:id>/cancel", datasets.UploadCancelling.as_view(), name="upload-cancel"),
    path("inbox", inbox.InboxOffer.as_view(), name="inbox-offer"),
    path("evaluations", runs.RunList.as_view(), name="evaluation-list"),
    path("evaluations/estimate", runs.RunEstimate.as_view(), name="evaluation-estimate"),
    path("evaluations/sweeps", runs.SweepList.as_view(), name="sweep-list"),
    path("evaluations/sweeps/<str:id>", runs.SweepDetail.as_view(), name="sweep-detail"),
    path(_run, runs.RunDetail.as_view(), name="evaluation-detail"),
    path(f"{_run}/pause", runs.RunPause.as_view(), name="evaluation-pause"),
    path(f"{_run}/resume", runs.RunResume.as_view(), name="evaluation-resume"),
    path(f"{_run}/cancel", runs.RunCancel.as_view(), name="evaluation-cancel"),
    path(f"{_run}/retry", runs.RunRetry.as_view(), name="evaluation-retry"),
    path(f"{_run}/items", runs.ItemList.as_view(), name="evaluation-item-list"),
    path(f"{_run}/red-team", redteam.RedTeamReport.as_view(), name="red-team-report"),
    path(f"{_run}/red-team/findings", redteam.RedTeamFindings.as_view(), name="red-team-findings"),
    path("red-team", redteam.RedTeam.as_view(), name="red-team"),
    path("red-team/estimate", redteam.RedTeamEstimate.as_view(), name="red-team-estimate"),
    path("monitors", monitors.MonitorList.as_view(), name="monitor-list"),
    path(_monitor, monitors.MonitorDetail.as_view(), name="monitor-detail"),
    path(f"{_monitor}/pause", monitors.MonitorPause.as_view(), name="monitor-pause"),
    path(f"{_monitor}/resume", monitors.MonitorResume.as_view(), name="monitor-resume"),
    path(f"{_monitor}/acknowledge", monitors.MonitorAcknowledge.as_view(), name="monitor-acknowledge"),
    path(f"{_monitor}/alerts/<int:id>/retry", monitors.AlertRetry.as_view(), name="monitor-alert-retry"),
    path(f"{_monitor}/secret", monitors.MonitorSecret.as_view(), name="monitor-secret"),
    path(f"{_monitor}/checks", monitors.MonitorChecks.as_view(), name="monitor-check-list"),
    path("scorers", runs.ScorerList.as_view(), name="scorer-list"),
    path("scorers/<str:tenant>/<str:scorer>", runs.ScorerDetail.as_view(), name="scorer-detail"),
]
