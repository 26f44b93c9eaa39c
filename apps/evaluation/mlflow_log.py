"""Runs in MLflow: an experiment per tenant and prompt, model or route, a run per evaluation.

For workers: the client takes seconds to import, and is imported where it is used.

Exactly once: a run bears the tag ``lobby.evaluation``, and is looked for before it is made; whatever is logged twice is
the same, or is overwritten. So whoever is killed, or cut off, in the middle may simply begin again.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import httpx
import structlog
from django.conf import settings
from django.db.models import Prefetch, Q, QuerySet
from django.urls import reverse
from django.utils import timezone

from apps.evaluation.models import Evaluation, EvaluationItem, EvaluationMetric, Score
from apps.evaluation.running import store
from apps.evaluation.types import MlflowStatus, RunStatus, Trigger
from apps.gateway.routing.selectors import route_called
from apps.tenants.money import to_usd

WHY: Final = "finished runs of every tenant are logged"
# A worker that has not logged a run after so long is given up for lost, and another one begins again.
CLAIM: Final = timedelta(seconds=180)
LOGGED_AT_ONCE: Final = 20
LONGEST_TEXT: Final = 2_000
ENDS: Final = {RunStatus.DONE: "FINISHED", RunStatus.FAILED: "FAILED", RunStatus.CANCELLED: "KILLED"}
TABLE: Final = "items.json"
_WITH: Final = ("tenant", "project", "prompt_version__prompt", "dataset_version__dataset", "created_by")

log = structlog.get_logger(__name__)


def log_finished_runs() -> list[str]:
    """Log what has ended and is not logged yet. While MLflow is away nothing is lost: it is done when it is back."""
    if not settings.MLFLOW_TRACKING_URI:
        return []
    waiting = list(_waiting()[:LOGGED_AT_ONCE])
    if not waiting or not is_up():
        return []
    logged = []
    for run in waiting:
        now = timezone.now()
        if not _waiting().filter(pk=run.pk).update(mlflow_claimed_at=now):
            continue
        try:
            log_run(run)
        except Exception as error:  # the client raises whatever its HTTP library does
            log.warning("mlflow_not_logged", evaluation=run.public_id, error=f"{type(error).__name__}: {error}"[:300])
            if is_up():
                continue  # it refuses this one, which is tried again once its claim is over: others have their turn
            _waiting_or_claimed(run).update(mlflow_claimed_at=None)
            break
        logged.append(run.public_id)
    return logged


def _waiting() -> QuerySet[Evaluation]:
    rows = Evaluation.objects.unscoped(WHY).select_related(*_WITH)
    stale = timezone.now() - CLAIM
    free = Q(mlflow_claimed_at=None) | Q(mlflow_claimed_at__lt=stale)
    return rows.filter(free, status__in=ENDS, mlflow_status=MlflowStatus.PENDING, finished_at__isnull=False).order_by(
        "finished_at"
    )


def _waiting_or_claimed(run: Evaluation) -> QuerySet[Evaluation]:
    return Evaluation.objects.unscoped(WHY).filter(pk=run.pk, mlflow_status=MlflowStatus.PENDING)


def is_up() -> bool:
    try:
        return httpx.get(f"{settings.MLFLOW_TRACKING_URI}/health", timeout=3, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def client() -> Any:
    """MLflow's own. Short of patience: whoever waits is a worker with other things to do."""
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    from mlflow import MlflowClient

    return MlflowClient(settings.MLFLOW_TRACKING_URI)


def log_run(run: Evaluation) -> None:
    """Everything about a run that has ended."""
    mlflow = client()
    experiment_id = _experiment(mlflow, run)
    run_id = _find(mlflow, experiment_id, "lobby.evaluation", run.public_id) or _create(mlflow, experiment_id, run)
    ended_at = run.finished_at
    assert ended_at is not None
    from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag

    moment = _milliseconds(ended_at)
    metrics = list(
        EvaluationMetric.objects.unscoped(WHY).filter(evaluation=run).select_related("scorer_version__scorer")
    )
    # MLflow refuses a parameter that has changed, as the gateway's address may have since a run was logged first.
    known = mlflow.get_run(run_id).data.params
    mlflow.log_batch(
        run_id,
        metrics=[Metric(name, value, moment, 0) for name, value in _figures(run, metrics).items()],
        params=[Param(name, value) for name, value in _parameters(run, metrics).items() if name not in known],
        tags=[RunTag("mlflow.loggedArtifacts", json.dumps([{"path": TABLE, "type": "table"}]))],
    )
    version = run.dataset_version
    source = json.dumps({"uri": _portal_url("evaluation:run-detail", run.public_id)})
    dataset = Dataset(
        name=f"{version.dataset.slug} v{version.number}"[:500],
        digest=version.manifest_hash[:36],
        source_type="lobby",
        source=source,
        profile=json.dumps({"examples": version.size}),
    )
    mlflow.log_inputs(run_id, datasets=[DatasetInput(dataset, [InputTag("mlflow.data.context", "evaluation")])])
    with _files(run, metrics) as folder:
        mlflow.log_artifacts(run_id, str(folder))
    mlflow.set_terminated(run_id, ENDS[RunStatus(run.status)], _milliseconds(ended_at))
    # Of a run that was taken up again meanwhile the new end is logged, too.
    Evaluation.objects.unscoped(WHY).filter(pk=run.pk, finished_at=ended_at).update(mlflow_status=MlflowStatus.LOGGED)
    Evaluation.objects.unscoped(WHY).filter(pk=run.pk).update(mlflow_experiment_id=experiment_id, mlflow_run_id=run_id)


def _experiment(mlflow: Any, run: Evaluation) -> str:
    from mlflow.exceptions import MlflowException

    if run.sweep:  # its runs are nested under one, and so are in the experiment of the first of them
        rows = Evaluation.objects.unscoped(WHY).select_related(*_WITH).filter(tenant=run.tenant_id, sweep=run.sweep)
        run = rows.order_by("pk").first() or run
    name, tags = experiment_of(run)
    found = mlflow.get_experiment_by_name(name)
    if found is None:
        try:
            return str(mlflow.create_experiment(name, tags=tags))
        except MlflowException:  # somebody else has made it in this moment
            found = mlflow.get_experiment_by_name(name)
            if found is None:
                raise
    if found.lifecycle_stage == "deleted":
        mlflow.restore_experiment(found.experiment_id)
    return str(found.experiment_id)


def experiment_of(run: Evaluation) -> tuple[str, dict[str, str]]:
    """Its name and tags: one for all that is about the same prompt, model or route, whatever version of it."""
    kind, slug = "model", run.model
    if run.prompt_version is not None:
        kind, slug = "prompt", run.prompt_version.prompt.slug
    elif (route := route_called(run.tenant, run.model)) is not None:
        kind, slug = "route", route.slug
    subject = f"{kind} {slug}"
    if run.trigger == Trigger.MONITOR:
        subject = run.dataset_version.dataset.slug.replace("-", " ", 1)
    tags = {"lobby.tenant": run.tenant.slug, "lobby.model": run.model if kind == "prompt" else slug}
    return f"{run.tenant.slug}: {subject}", tags | {f"lobby.{kind}": slug}


def _find(mlflow: Any, experiment_id: str, tag: str, value: str) -> str:
    rows = mlflow.search_runs([experiment_id], f"tags.`{tag}` = '{value}'", max_results=10, order_by=["start_time ASC"])
    return str(rows[0].info.run_id) if rows else ""


def _create(mlflow: Any, experiment_id: str, run: Evaluation) -> str:
    url = _portal_url("evaluation:run-detail", run.public_id)
    tags = {
        "lobby.evaluation": run.public_id,
        "lobby.url": url,
        "lobby.trigger": run.trigger,
        "lobby.project": run.project.slug,
        "mlflow.source.name": "Lobby",
        "mlflow.note.content": f"[{run.name}]({url}) in Lobby.",
    }
    if run.created_by is not None:
        tags["mlflow.user"] = run.created_by.email
    if run.sweep:
        parent = _find(mlflow, experiment_id, "lobby.sweep", run.sweep) or _create_parent(mlflow, experiment_id, run)
        tags["mlflow.parentRunId"] = parent
    started = _milliseconds(run.started_at or run.created_at)
    return str(mlflow.create_run(experiment_id, start_time=started, run_name=run.name, tags=tags).info.run_id)


def _create_parent(mlflow: Any, experiment_id: str, run: Evaluation) -> str:
    """The run under which a sweep's are nested. It has nothing of its own, and so is ended at once."""
    url = _portal_url("evaluation:sweep-detail", run.sweep)
    tags = {
        "lobby.sweep": run.sweep,
        "lobby.url": url,
        "lobby.project": run.project.slug,
        "mlflow.source.name": "Lobby",
        "mlflow.note.content": f"[The sweep]({url}) in Lobby.",
    }
    started = _milliseconds(run.created_at)
    version = run.dataset_version
    name = f"Sweep on {version.dataset.name} v{version.number}"
    made = mlflow.create_run(experiment_id, start_time=started, run_name=name, tags=tags).info.run_id
    first = _find(mlflow, experiment_id, "lobby.sweep", run.sweep)
    if first and first != made:  # another worker was quicker
        mlflow.delete_run(made)
        return first
    mlflow.set_terminated(made, "FINISHED")
    return str(made)


def _parameters(run: Evaluation, metrics: list[EvaluationMetric]) -> dict[str, str]:
    dataset, version = run.dataset_version, run.prompt_version
    values: dict[str, Any] = {
        "model": run.model,
        "endpoint": settings.GATEWAY_URL,
        "dataset": dataset.dataset.slug,
        "dataset_version": dataset.number,
        "dataset_hash": dataset.manifest_hash,
        "split": run.split or "all",
        "repetitions": run.repetitions,
        "seed": "" if run.seed is None else run.seed,
        "code_version": run.code_version,
    }
    if version is not None:
        values |= {
            "prompt": version.prompt.slug,
            "prompt_version": version.number,
            "prompt_hash": version.content_hash,
        }
    values |= {f"parameters.{name}": json.dumps(value) for name, value in run.parameters.items()}
    for metric in metrics:
        scorer = metric.scorer_version
        values[f"scorer.{scorer.scorer.slug}"] = f"{scorer.scorer.kind} v{scorer.number} ({scorer.fingerprint})"
    return {name: str(value)[:6_000] for name, value in values.items() if str(value)}


def _figures(run: Evaluation, metrics: list[EvaluationMetric]) -> dict[str, float]:
    counts = store.counts(run.pk)
    figures: dict[str, float] = {f"items.{status}": float(count) for status, count in counts.items()}
    figures["cost_usd"] = float(to_usd(run.spent_picousd))
    for metric in metrics:
        slug = metric.scorer_version.scorer.slug
        for name, label in (("mean", slug), ("low", f"{slug}.low"), ("high", f"{slug}.high")):
            if metric.summary.get(name) is not None:
                figures[label] = float(metric.summary[name])
        figures[f"{slug}.errors"] = float(metric.summary.get("errors", 0))
    return figures


@contextmanager
def _files(run: Evaluation, metrics: list[EvaluationMetric]) -> Iterator[Path]:
    """The artifacts in a folder that goes when they are logged: the items as MLflow shows tables, and the summaries."""
    slugs = {metric.scorer_version_id: metric.scorer_version.scorer.slug for metric in metrics}
    with tempfile.TemporaryDirectory(prefix="lobby-mlflow-") as name:
        folder = Path(name)
        summary = {slugs[metric.scorer_version_id]: metric.summary for metric in metrics}
        (folder / "summary.json").write_text(json.dumps(summary, indent=1, ensure_ascii=False), encoding="utf-8")
        version = run.prompt_version
        if version is not None:
            prompt = {"slug": version.prompt.slug, "number": version.number, "messages": version.messages}
            (folder / "prompt.json").write_text(json.dumps(prompt, indent=1, ensure_ascii=False), encoding="utf-8")
        with (folder / TABLE).open("w", encoding="utf-8") as file:
            columns = [*_COLUMNS, *slugs.values()]
            file.write('{"columns": ' + json.dumps(columns) + ', "data": [')
            for number, row in enumerate(_rows(run, list(slugs))):
                file.write((",\n" if number else "") + json.dumps(row, ensure_ascii=False))
            file.write("]}")
        yield folder


_COLUMNS = (
    "example",
    "repetition",
    "slice",
    "status",
    "input",
    "expected",
    "output",
    "reused",
    "duration_ms",
    "first_token_ms",
    "input_tokens",
    "output_tokens",
    "cost_usd",
    "request_id",
    "error",
)


def _rows(run: Evaluation, scorers: list[int]) -> Iterator[list[Any]]:
    items = (
        EvaluationItem.objects.unscoped(WHY)
        .filter(evaluation=run)
        .select_related("revision__example")
        .prefetch_related(Prefetch("scores", Score.objects.unscoped(WHY)))
        .order_by("position", "repetition")
    )
    # What production requests said goes when the tenant's retention says so, of which MLflow knows nothing.
    tells = run.trigger != Trigger.MONITOR
    for item in items.iterator(500):
        values = {score.scorer_version_id: score.value for score in item.scores.all()}
        yield [
            item.revision.example.key,
            item.repetition,
            item.revision.slice,
            item.status,
            json.dumps(item.revision.input, ensure_ascii=False)[:LONGEST_TEXT] if tells else "",
            json.dumps(item.revision.expected, ensure_ascii=False)[:LONGEST_TEXT],
            item.output[:LONGEST_TEXT] if tells else "",
            item.is_reused,
            item.duration_ms,
            item.first_token_ms,
            item.input_tokens,
            item.output_tokens,
            float(to_usd(item.cost_picousd)),
            item.request_id,
            item.error,
            *(values.get(scorer) for scorer in scorers),
        ]


def _portal_url(name: str, *arguments: str) -> str:
    return settings.PORTAL_URL.rstrip("/") + reverse(name, args=arguments)


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
