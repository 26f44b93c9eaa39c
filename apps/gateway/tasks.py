"""The gateway's scheduled work."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from apps.gateway.services.contents import delete_expired_contents
from apps.gateway.services.stored_responses import delete_expired_responses


@shared_task(name="gateway.retain", ignore_result=True)
def retain() -> None:
    """Each hour: stored responses and samples that have expired go."""
    delete_expired_responses(timezone.now())
    delete_expired_contents(timezone.now())
