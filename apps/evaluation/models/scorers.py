"""Scorers as a tenant has set them up, their versions, and how far judges agree with people."""

from __future__ import annotations

from typing import Any, Final

from django.core.validators import MinValueValidator
from django.db import models

from apps.evaluation.types import Direction, Source, ValueKind
from apps.tenants.models import Tenant, User
from apps.tenants.scoping import TenantScopedManager


class Scorer(models.Model):
    """``kind`` is the slug of a scorer of ``apps.evaluation.scorers`` (or of an entry point)."""

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="scorers")
    slug = models.SlugField(max_length=50)
    name = models.CharField(max_length=200)
    description = models.TextField(blank=True)
    kind = models.CharField(max_length=50)
    owner = models.ForeignKey(User, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    is_archived = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = TenantScopedManager(view="evaluation.view")

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["tenant", "slug"], name="scorer_slug_unique_in_tenant")]

    def __str__(self) -> str:
        return self.name


class ScorerVersion(models.Model):
    """Immutable: what a score was made by. ``fingerprint`` covers the kind's code version and the parameters.

    ``low`` and ``high`` bound its values; null where there is no bound.
    """

    scorer = models.ForeignKey(Scorer, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField(validators=[MinValueValidator(1)])
    parameters = models.JSONField(default=dict, blank=True)
    fingerprint = models.CharField(max_length=64)
    direction = models.CharField(max_length=10, choices=Direction.choices)
    value_kind = models.CharField(max_length=12, choices=ValueKind.choices)
    low = models.FloatField(null=True, blank=True)
    high = models.FloatField(null=True, blank=True)
    unit = models.CharField(max_length=20, blank=True)
    created_by = models.ForeignKey(User, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    objects = TenantScopedManager(view="evaluation.view", tenant="scorer__tenant_id")

    class Meta:
        ordering = ["scorer", "-number"]
        constraints = [
            models.UniqueConstraint(fields=["scorer", "number"], name="scorer_version_number_unique"),
            models.UniqueConstraint(fields=["scorer", "fingerprint"], name="scorer_version_content_unique"),
        ]

    def __str__(self) -> str:
        return f"{self.scorer} v{self.number}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise TypeError("A scorer's version never changes: save a new one.")
        super().save(*args, **kwargs)


RATINGS_FROM: Final = {
    Source.UPLOAD: "from labelled files",
    Source.FEEDBACK: "from playground feedback",
    Source.REVIEW: "from reviews",
    Source.PERSON: "written by hand",
}


class JudgeCalibration(models.Model):
    """How far a judge agreed with people. The newest one that has not expired counts; one with a ``reason`` was set by
    the judge's owner in the place of a measurement."""

    version = models.ForeignKey(ScorerVersion, on_delete=models.CASCADE, related_name="calibrations")
    source = models.CharField(max_length=300, help_text="Whose ratings: a dataset's version, or feedback since when.")
    sources = models.JSONField(
        default=dict, blank=True, help_text="How many of the ratings came from where: counts by an example's source."
    )
    pairs = models.PositiveIntegerField(default=0)
    kappa = models.FloatField(null=True, blank=True)
    kappa_low = models.FloatField(null=True, blank=True, help_text="Of the 95 % interval.")
    kappa_high = models.FloatField(null=True, blank=True)
    accuracy = models.FloatField(null=True, blank=True)
    baseline_accuracy = models.FloatField(
        null=True, blank=True, help_text="Of always giving the answer that people gave most."
    )
    by_slice = models.JSONField(default=dict, blank=True)
    is_sufficient = models.BooleanField()
    lacks = models.JSONField(
        default=list, blank=True, help_text="Why gates do not rely on it, in sentences; empty where they do."
    )
    reason = models.CharField(max_length=500, blank=True)
    created_by = models.ForeignKey(User, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()

    objects = TenantScopedManager(view="evaluation.view", tenant="version__scorer__tenant_id")

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"calibration of {self.version}"

    @property
    def sources_told(self) -> list[tuple[str, int]]:
        """(where the ratings came from, how many)."""
        return [(RATINGS_FROM.get(name, name), count) for name, count in self.sources.items()]
