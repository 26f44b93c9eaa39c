"""Runs: a subject answers a dataset's version, and scorers score the answers. The rows are the truth about the job."""

from __future__ import annotations

import secrets

from django.db import models

from apps.evaluation.models.datasets import DatasetVersion, ExampleRevision
from apps.evaluation.models.scorers import ScorerVersion
from apps.evaluation.types import ItemStatus, MetricRole, MlflowStatus, RunStatus, ScoreStatus, Split, Trigger
from apps.prompts.models import PromptVersion
from apps.tenants.models import ApiKey, Project, Tenant, User
from apps.tenants.scoping import TenantScopedManager


def new_public_id() -> str:
    return secrets.token_urlsafe(9)


class Evaluation(models.Model):
    """``prompt_version`` on ``model`` (a model's or a route's slug), or ``model`` alone with the examples' messages.

    Calls are made in ``project`` for ``api_key`` where a key started it, else for ``created_by``, as anybody's are.
    ``spent_picousd`` is what its calls cost, judges included, as the ledger says. Runs of one ``sweep`` were started
    together, and are nested under one run of MLflow's.
    """

    public_id = models.CharField(max_length=16, unique=True, default=new_public_id, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="evaluations")
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="+")
    name = models.CharField(max_length=200)
    prompt_version = models.ForeignKey(
        PromptVersion, null=True, blank=True, on_delete=models.SET_NULL, related_name="evaluations"
    )
    model = models.CharField(max_length=200)
    parameters = models.JSONField(default=dict, blank=True, help_text="Over those of the prompt's version.")
    dataset_version = models.ForeignKey(DatasetVersion, on_delete=models.PROTECT, related_name="evaluations")
    split = models.CharField(max_length=10, choices=Split.choices, blank=True, help_text="Empty means all.")
    repetitions = models.PositiveSmallIntegerField(default=1)
    seed = models.IntegerField(null=True, blank=True)
    baseline = models.ForeignKey("self", null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    sweep = models.CharField(max_length=16, blank=True)
    concurrency = models.PositiveSmallIntegerField(default=16, help_text="Calls at once, at the most.")
    reuses_answers = models.BooleanField(
        default=True, help_text="Takes an answer that the same call was given before, rather than asking again."
    )
    trigger = models.CharField(max_length=10, choices=Trigger.choices, default=Trigger.PERSON)
    status = models.CharField(max_length=10, choices=RunStatus.choices, default=RunStatus.QUEUED)
    error = models.CharField(max_length=500, blank=True, help_text="Why it failed or waits, for its reader.")
    items_total = models.PositiveIntegerField(default=0)
    estimate_picousd = models.BigIntegerField(null=True, blank=True)
    budget_picousd = models.BigIntegerField(null=True, blank=True, help_text="It pauses before it costs more.")
    spent_picousd = models.BigIntegerField(default=0)
    code_version = models.CharField(max_length=64, blank=True)
    mlflow_status = models.CharField(max_length=10, choices=MlflowStatus.choices, default=MlflowStatus.PENDING)
    mlflow_claimed_at = models.DateTimeField(null=True, blank=True, help_text="When a worker began to log it.")
    mlflow_experiment_id = models.CharField(max_length=64, blank=True)
    mlflow_run_id = models.CharField(max_length=64, blank=True)
    created_by = models.ForeignKey(User, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    api_key = models.ForeignKey(ApiKey, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    beat_at = models.DateTimeField(null=True, blank=True, help_text="When a worker last held it.")

    objects = TenantScopedManager(view="evaluation.view")

    class Meta:
        ordering = ["-pk"]
        indexes = [
            models.Index(fields=["tenant", "-id"], name="evaluation_of_tenant"),
            models.Index(fields=["status", "beat_at"], name="evaluation_live"),
            models.Index(fields=["mlflow_status"], name="evaluation_to_log"),
        ]

    def __str__(self) -> str:
        return self.name


class EvaluationMetric(models.Model):
    """A scorer of a run, and when it is done its summary over the run: ``{"mean", "low", "high", "n", "errors"}``."""

    evaluation = models.ForeignKey(Evaluation, on_delete=models.CASCADE, related_name="metrics")
    scorer_version = models.ForeignKey(ScorerVersion, on_delete=models.PROTECT, related_name="+")
    role = models.CharField(max_length=10, choices=MetricRole.choices, default=MetricRole.WATCH)
    margin = models.FloatField(default=0, help_text="How much worse a guard may be, in the scorer's unit.")
    summary = models.JSONField(default=dict, blank=True)

    objects = TenantScopedManager(view="evaluation.view", tenant="evaluation__tenant_id")

    class Meta:
        ordering = ["pk"]
        constraints = [models.UniqueConstraint(fields=["evaluation", "scorer_version"], name="metric_once")]

    def __str__(self) -> str:
        return str(self.scorer_version)


class EvaluationItem(models.Model):
    """One answer of a run. ``call_hash`` covers all that could change it: an equal one's answer is taken again.

    ``leased_until`` keeps an item to one worker (``leased_by``) at a time; one that dies lets go of it by the clock. A
    pending item that has a ``request_id`` was answered, and waits for its scores.
    """

    evaluation = models.ForeignKey(Evaluation, on_delete=models.CASCADE, related_name="items")
    revision = models.ForeignKey(ExampleRevision, on_delete=models.PROTECT, related_name="+")
    position = models.PositiveIntegerField()
    repetition = models.PositiveSmallIntegerField(default=0)
    status = models.CharField(max_length=10, choices=ItemStatus.choices, default=ItemStatus.PENDING)
    leased_until = models.DateTimeField(null=True, blank=True)
    leased_by = models.CharField(max_length=32, blank=True)
    tries = models.PositiveSmallIntegerField(default=0)
    call_hash = models.CharField(max_length=64, blank=True)
    is_reused = models.BooleanField(default=False)
    request_id = models.CharField(max_length=64, blank=True)
    output = models.TextField(blank=True)
    tool_calls = models.JSONField(default=list, blank=True)
    finish_reason = models.CharField(max_length=40, blank=True)
    duration_ms = models.PositiveIntegerField(null=True, blank=True)
    first_token_ms = models.PositiveIntegerField(null=True, blank=True)
    input_tokens = models.PositiveIntegerField(default=0)
    output_tokens = models.PositiveIntegerField(default=0)
    cost_picousd = models.BigIntegerField(default=0)
    saved_picousd = models.BigIntegerField(default=0, help_text="What the answer had cost that was taken again.")
    error_code = models.CharField(max_length=60, blank=True)
    error = models.CharField(max_length=500, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = TenantScopedManager(view="evaluation.view", tenant="evaluation__tenant_id")

    class Meta:
        ordering = ["position", "repetition"]
        constraints = [
            models.UniqueConstraint(fields=["evaluation", "revision", "repetition"], name="item_once"),
        ]
        indexes = [
            models.Index(fields=["evaluation", "status", "position"], name="item_of_run"),
            models.Index(fields=["call_hash"], condition=models.Q(status="done"), name="item_by_call"),
        ]

    def __str__(self) -> str:
        return f"item {self.position}.{self.repetition}"


class Score(models.Model):
    """Without a value when it is an error. ``details`` are the scorer's own, for whoever asks why."""

    item = models.ForeignKey(EvaluationItem, on_delete=models.CASCADE, related_name="scores")
    scorer_version = models.ForeignKey(ScorerVersion, on_delete=models.PROTECT, related_name="+")
    status = models.CharField(max_length=5, choices=ScoreStatus.choices, default=ScoreStatus.OK)
    value = models.FloatField(null=True, blank=True)
    label = models.CharField(max_length=100, blank=True)
    reason = models.TextField(blank=True)
    error_code = models.CharField(max_length=60, blank=True)
    details = models.JSONField(default=dict, blank=True)
    cost_picousd = models.BigIntegerField(default=0)

    objects = TenantScopedManager(view="evaluation.view", tenant="item__evaluation__tenant_id")

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(fields=["item", "scorer_version"], name="score_once"),
            models.CheckConstraint(
                condition=models.Q(status="ok", value__isnull=False) | models.Q(status="error", value__isnull=True),
                name="score_value_or_error",
            ),
        ]

    def __str__(self) -> str:
        return "error" if self.value is None else str(self.value)
