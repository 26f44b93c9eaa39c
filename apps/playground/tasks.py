"""The playground's scheduled work."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from apps.playground.services import delete_expired, interrupt_answers


@shared_task(name="playground.retain", ignore_result=True)
def retain() -> None:
    """Each hour: conversations older than their tenant keeps them go; answers that lost their process are closed."""
    delete_expired(timezone.now())
    interrupt_answers()
