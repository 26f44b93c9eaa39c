"""Evaluation's work in the worker. Messages only wake it: the rows say what is to be done."""

from __future__ import annotations

from typing import Any

from celery import shared_task

from apps.evaluation import mlflow_log
from apps.evaluation.models import Evaluation
from apps.evaluation.running import store
from apps.evaluation.running.worker import Outcome, Worker
from apps.evaluation.sampling import forget_expired
from apps.evaluation.services import alerts, checks, gates, inbox, runs, uploads
from apps.evaluation.services.deliveries import DELIVERY_TASK
from apps.evaluation.types import Trigger
from apps.tenants.jobs import enqueue


@shared_task(name=runs.RUN_TASK, ignore_result=True)
def run_evaluation(public_id: str) -> None:
    """Work on a run for a while; then it goes to the end of the queue, so that others have their turn."""
    run = store.find_run(public_id)
    if run is None:
        return
    match Worker(run).work():
        case Outcome.MORE:
            enqueue(runs.RUN_TASK, public_id)
        case Outcome.ENDED:
            enqueue("evaluation.log")


@shared_task(name="evaluation.wake", ignore_result=True)
def wake() -> None:
    """Every few seconds: runs that no worker has held for a while are taken up again."""
    runs.wake_runs()


@shared_task(name="evaluation.log", ignore_result=True)
def log_to_mlflow() -> None:
    """When a run has ended, and now and then for what MLflow was away for."""
    mlflow_log.log_finished_runs()


# Gates.


def gate_new_version(*, version_id: int, **_: Any) -> None:
    """A receiver, after the commit of a prompt's new version."""
    enqueue("evaluation.gate_version", version_id)


def gate_proposed_revision(*, revision_id: int, **_: Any) -> None:
    """A receiver, after the commit of a guarded route's proposal."""
    enqueue("evaluation.gate_revision", revision_id)


def gate_may_be_decided(*, evaluation: Evaluation, **_: Any) -> None:
    """A receiver, after a run has ended."""
    enqueue("evaluation.monitor" if evaluation.trigger == Trigger.MONITOR else "evaluation.decide_gates")


@shared_task(name="evaluation.gate_version", ignore_result=True)
def gate_version(version_id: int) -> None:
    gates.open_gate_of_new_version(version_id)


@shared_task(name="evaluation.gate_revision", ignore_result=True)
def gate_revision(revision_id: int) -> None:
    gates.open_gate_of_revision(revision_id)


@shared_task(name=gates.DECIDE_TASK, ignore_result=True)
def decide_gate(decision_id: int) -> None:
    gates.decide_gate(decision_id)


@shared_task(name="evaluation.weigh", ignore_result=True)
def weigh(comparison_id: int) -> None:
    gates.weigh_comparison(comparison_id)


@shared_task(name="evaluation.decide_gates", ignore_result=True)
def decide_gates() -> None:
    """When a run has ended, and every few seconds for those whose message was lost."""
    gates.decide_gates()


# Monitors.


@shared_task(name="evaluation.monitor", ignore_result=True)
def monitor() -> None:
    """When a monitor's run has ended, and every few seconds: what is due is opened, what is scored is decided."""
    checks.decide_checks()
    checks.open_due_checks()


@shared_task(name=DELIVERY_TASK, ignore_result=True)
def deliver() -> None:
    """When somebody is to be told, and every few seconds for what did not arrive: alerts, and gates that wait."""
    alerts.deliver_alerts()
    gates.deliver_notices()


@shared_task(name="evaluation.retain", ignore_result=True)
def retain() -> None:
    """Each hour: samples of which the request is no longer kept go."""
    forget_expired()


# Datasets.


@shared_task(name=uploads.PREPARE_TASK, ignore_result=True)
def prepare_upload(upload_pk: int) -> None:
    uploads.prepare_upload(upload_pk)


@shared_task(name=uploads.IMPORT_TASK, ignore_result=True)
def import_upload(upload_pk: int) -> None:
    uploads.run_import(upload_pk)


@shared_task(name=inbox.SORT_TASK, ignore_result=True)
def sort_inbox(tenant_pk: int) -> None:
    inbox.sort_inbox(tenant_pk)


@shared_task(name="evaluation.sweep", ignore_result=True)
def sweep() -> None:
    """Each minute: what a lost message, or a worker that died, left behind."""
    uploads.sweep_uploads()
    inbox.sort_inboxes()
