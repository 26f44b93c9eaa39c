"""The registry's scheduled work."""

from __future__ import annotations

from celery import shared_task

from apps.models import discovery


@shared_task(name="registry.discover", ignore_result=True)
def discover() -> None:
    """Each minute; which providers are due is decided there (``discovery.discover_due``)."""
    discovery.discover_due()
