"""Evaluation's work in the worker. Messages only wake it: the rows say what is to be done."""

from __future__ import annotations

from celery import shared_task

from apps.evaluation.running import store
from apps.evaluation.running.worker import Outcome, Worker
from apps.evaluation.services import runs
from apps.tenants.jobs import enqueue


@shared_task(name=runs.RUN_TASK, ignore_result=True)
def run_evaluation(public_id: str) -> None:
    """Work on a run for a while; then it goes to the end of the queue, so that others have their turn."""
    run = store.find_run(public_id)
    if run is not None and Worker(run).work() is Outcome.MORE:
        enqueue(runs.RUN_TASK, public_id)


@shared_task(name="evaluation.wake", ignore_result=True)
def wake() -> None:
    """Every few seconds: runs that no worker has held for a while are taken up again."""
    runs.wake_runs()
