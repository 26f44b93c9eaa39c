"""Handing work to the workers, once what it is about is committed.

A row in the database, not the message, is the truth about a job: where the broker is away the message is lost, and the
job's own scheduled sweep finds the row.
"""

from __future__ import annotations

import structlog
from celery import current_app
from django.db import transaction
from kombu.exceptions import OperationalError

log = structlog.get_logger(__name__)


def enqueue(task: str, *arguments: int | str) -> None:
    """``task`` by its name, with plain arguments, after this transaction."""

    def send() -> None:
        try:
            current_app.send_task(task, args=list(arguments), retry=False, ignore_result=True)
        except (OperationalError, OSError) as error:
            log.warning("job_not_sent", task=task, error=type(error).__name__)

    transaction.on_commit(send)
