"""Mail and webhooks that are tried until they arrive."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from apps.evaluation.types import AlertStatus


class Delivery(models.Model):
    """One address that is to be told once. ``leased_until`` keeps it to one worker at a time; a worker that dies
    between sending and writing has it sent again, under the same id, by which a receiver knows it."""

    status = models.CharField(max_length=10, choices=AlertStatus.choices, default=AlertStatus.WAITING)
    tries = models.PositiveSmallIntegerField(default=0)
    next_at = models.DateTimeField(default=timezone.now)
    leased_until = models.DateTimeField(null=True, blank=True)
    error = models.CharField(max_length=300, blank=True, help_text="Why the last try failed.")
    created_at = models.DateTimeField(auto_now_add=True)
    sent_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        abstract = True
