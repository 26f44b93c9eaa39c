"""Monitors: what production requests get is sampled, scored and compared with a baseline, window after window."""

from __future__ import annotations

import secrets

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils import timezone

from apps.evaluation.models.datasets import Dataset
from apps.evaluation.models.deliveries import Delivery
from apps.evaluation.models.runs import Evaluation
from apps.evaluation.models.scorers import Scorer
from apps.evaluation.types import (
    AlertChannel,
    Baseline,
    CheckKind,
    CheckVerdict,
    ControlChart,
    MonitorWindow,
)
from apps.prompts.models import Prompt, Release
from apps.tenants.models import Project, Tenant, User
from apps.tenants.scoping import TenantScopedManager
from apps.tenants.types import Environment


def new_webhook_nonce() -> str:
    return secrets.token_urlsafe(12)


class Monitor(models.Model):
    """Watches a prompt's ``label`` in ``environment``, or ``model`` (a model's or a route's name, as callers say it).

    Judges are called in ``project``, for ``updated_by``. ``dataset`` holds its samples; no page lists it. Limits lie
    ``sigmas`` standard errors from the baseline's centre; a sample of fewer than ``minimum_sample`` scores tells
    nothing. ``next_at`` is when the next window can be checked.
    """

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="monitors")
    slug = models.SlugField(max_length=50)
    name = models.CharField(max_length=200)
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="+")
    dataset = models.OneToOneField(Dataset, on_delete=models.RESTRICT, related_name="monitor")
    prompt = models.ForeignKey(Prompt, null=True, blank=True, on_delete=models.CASCADE, related_name="monitors")
    environment = models.CharField(max_length=10, choices=Environment.choices, blank=True)
    label = models.SlugField(max_length=50, blank=True)
    model = models.CharField(max_length=200, blank=True)
    scorers = models.ManyToManyField(Scorer, related_name="+")
    window_minutes = models.PositiveIntegerField(choices=MonitorWindow.choices, default=MonitorWindow.HOUR)
    sample_size = models.PositiveIntegerField(default=50, help_text="Requests of a window that are scored.")
    minimum_sample = models.PositiveIntegerField(default=20)
    baseline = models.CharField(max_length=10, choices=Baseline.choices, default=Baseline.PERIOD)
    baseline_since = models.DateTimeField(null=True, blank=True)
    baseline_until = models.DateTimeField(null=True, blank=True)
    chart = models.CharField(max_length=10, choices=ControlChart.choices, default=ControlChart.SHEWHART)
    sigmas = models.FloatField(default=3.0, validators=[MinValueValidator(1), MaxValueValidator(6)])
    recipients = models.ManyToManyField(User, related_name="+", help_text="Members who are told by mail.")
    webhook_url = models.CharField(max_length=500, blank=True)
    webhook_nonce = models.CharField(max_length=16, default=new_webhook_nonce, editable=False)
    rolls_back = models.BooleanField(default=False, help_text="A canary that is out of control.")
    is_paused = models.BooleanField(default=False)
    next_at = models.DateTimeField(default=timezone.now)
    updated_by = models.ForeignKey(User, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    objects = TenantScopedManager(view="evaluation.view")

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(fields=["tenant", "slug"], name="monitor_slug_unique_in_tenant"),
            models.CheckConstraint(
                condition=models.Q(prompt__isnull=False, model="")
                | (models.Q(prompt__isnull=True) & ~models.Q(model="")),
                name="monitor_watches_one_thing",
            ),
        ]
        indexes = [models.Index(fields=["is_paused", "next_at"], name="monitor_due")]

    def __str__(self) -> str:
        return self.name

    @property
    def watched(self) -> str:
        """In words."""
        if self.prompt is None:
            return self.model
        return f"{self.prompt.name}, “{self.label}” in {self.get_environment_display().lower()}"


class MonitorCheck(models.Model):
    """Decided once. One for each window; and those of the kind ``baseline``, which others compare with.

    ``reference`` names the version that a baseline is of, empty where it is a period. ``arms`` tells of each version
    how many requests were found and sampled; ``statistics`` each arm's figures by scorer; ``reasons`` are sentences.
    ``evaluation`` is the run that scored the sample. ``release`` is what the label meant; ``rollback`` what was
    released in its place. Of one that is out of control ``acknowledged_by`` is who said that they look after it.
    """

    monitor = models.ForeignKey(Monitor, on_delete=models.CASCADE, related_name="checks")
    kind = models.CharField(max_length=10, choices=CheckKind.choices, default=CheckKind.CHECK)
    since = models.DateTimeField()
    until = models.DateTimeField()
    reference = models.CharField(max_length=20, blank=True)
    baseline = models.ForeignKey("self", null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    evaluation = models.OneToOneField(
        Evaluation, null=True, blank=True, on_delete=models.SET_NULL, related_name="monitor_check"
    )
    release = models.ForeignKey(Release, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    arms = models.JSONField(default=list, blank=True)
    verdict = models.CharField(max_length=12, choices=CheckVerdict.choices, blank=True)
    statistics = models.JSONField(default=list, blank=True)
    reasons = models.JSONField(default=list, blank=True)
    rollback = models.ForeignKey(
        Release, null=True, blank=True, on_delete=models.SET_NULL, related_name="monitor_checks"
    )
    asked_by = models.ForeignKey(User, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    decided_at = models.DateTimeField(null=True, blank=True)
    acknowledged_by = models.ForeignKey(User, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    acknowledged_at = models.DateTimeField(null=True, blank=True)

    objects = TenantScopedManager(view="evaluation.view", tenant="monitor__tenant_id")

    class Meta:
        ordering = ["-until", "-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["monitor", "since", "until"], condition=models.Q(kind="check"), name="check_once_per_window"
            )
        ]
        indexes = [
            models.Index(fields=["monitor", "kind", "-until"], name="check_of_monitor"),
            models.Index(fields=["created_at"], condition=models.Q(verdict=""), name="check_undecided"),
        ]

    def __str__(self) -> str:
        return f"check of {self.since:%Y-%m-%d %H:%M} to {self.until:%H:%M} UTC"


class MonitorAlert(Delivery):
    """One for each address of a check that is out of control: tried until it is delivered, or given up after days."""

    monitor_check = models.ForeignKey(
        MonitorCheck, on_delete=models.CASCADE, related_name="alerts", db_column="check_id"
    )
    channel = models.CharField(max_length=10, choices=AlertChannel.choices)
    address = models.CharField(max_length=500, help_text="A mail address or a URL.")

    objects = TenantScopedManager(view="evaluation.view", tenant="monitor_check__monitor__tenant_id")

    class Meta:
        ordering = ["pk"]
        constraints = [models.UniqueConstraint(fields=["monitor_check", "channel", "address"], name="alert_once")]
        indexes = [models.Index(fields=["next_at"], condition=models.Q(status="waiting"), name="alert_due")]

    def __str__(self) -> str:
        return f"alert to {self.address}"
