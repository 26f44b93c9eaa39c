"""Two evaluations beside each other: what the statistics made of them, kept so that a page need not count again."""

from __future__ import annotations

from django.db import models

from apps.evaluation.models.runs import Evaluation
from apps.evaluation.types import ComparisonStatus, Verdict
from apps.tenants.models import Tenant, User
from apps.tenants.scoping import TenantScopedManager


class Comparison(models.Model):
    """``evidence`` is what ``apps.evaluation.evidence`` made of the two; a worker makes it, once both are done."""

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+")
    baseline = models.ForeignKey(Evaluation, on_delete=models.CASCADE, related_name="+")
    candidate = models.ForeignKey(Evaluation, on_delete=models.CASCADE, related_name="comparisons")
    terms = models.JSONField(default=dict, help_text="What it was weighed by.")
    status = models.CharField(max_length=10, choices=ComparisonStatus.choices, default=ComparisonStatus.WAITING)
    verdict = models.CharField(max_length=12, choices=Verdict.choices, blank=True)
    evidence = models.JSONField(default=dict, blank=True)
    error = models.CharField(max_length=500, blank=True, help_text="Why there is no evidence, for its reader.")
    created_by = models.ForeignKey(User, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    weighed_at = models.DateTimeField(null=True, blank=True)

    objects = TenantScopedManager(view="evaluation.view")

    class Meta:
        ordering = ["-pk"]
        constraints = [models.UniqueConstraint(fields=["baseline", "candidate"], name="comparison_once")]
        indexes = [models.Index(fields=["status"], name="comparison_waiting")]

    def __str__(self) -> str:
        return f"{self.candidate} against {self.baseline}"
