"""Runs in a real MLflow, once each, also after it was away; and its own pages behind the portal's login."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from tests.cast import Cast
from tests.evaluation.world import KINDS, RunsWorld
from tests.mlflow_server import MlflowServer
from tests.servers import free_port

BACKEND = "django.contrib.auth.backends.ModelBackend"
_LOG = """
from django.conf import settings
from apps.evaluation import mlflow_log
settings.MLFLOW_TRACKING_URI = url
result = mlflow_log.log_finished_runs()
"""


def log(world: RunsWorld, url: str) -> list[str]:
    logged: list[str] = world.run(_LOG, url=url)
    return logged


def test_each_run_is_logged_once_with_its_numbers_also_when_mlflow_was_away(
    runs_world: RunsWorld, session_mlflow: MlflowServer
) -> None:
    world = runs_world
    log(world, session_mlflow.url)  # what other tests left
    question = {"messages": [{"role": "user", "content": "of a sweep"}]}
    version = world.dataset("mlflow", [{"input": question, "expected": "w0"}] * 1)
    sweep: list[str] = world.run(
        """
version = DatasetVersion.objects.unscoped("test").select_related("dataset").get(pk=version)
versions = ScorerVersion.objects.unscoped("test").filter(scorer__kind__in=kinds)
metrics = [MetricChoice(each) for each in versions.select_related("scorer")]
plans = [
    RunPlan(project=project, dataset_version=version, metrics=metrics, model="fake-chat", seed=seed) for seed in (1, 2)
]
result = [run.public_id for run in runs.start_sweep(actor=ada, plans=plans)]
""",
        version=version,
        kinds=KINDS,
    )
    for run in sweep:
        assert world.work(run) == "ended"
    assert log(world, f"http://127.0.0.1:{free_port()}") == [], "MLflow is away: nothing is lost"
    assert sorted(log(world, session_mlflow.url)) == sorted(sweep)
    assert log(world, session_mlflow.url) == []
    # A worker that was killed after it had logged begins again: the same runs, not others.
    world.run(
        """
rows = Evaluation.objects.unscoped("test").filter(public_id=run)
rows.update(mlflow_status="pending", mlflow_claimed_at=None)
""",
        run=sweep[0],
    )
    assert log(world, session_mlflow.url) == [sweep[0]]
    seen: dict[str, Any] = world.run(
        """
row = run_named(sweep[0])
mlflow = mlflow_log_client()
rows = mlflow.search_runs([row.mlflow_experiment_id], "tags.`lobby.evaluation` != ''")
mine = [each for each in rows if each.data.tags["lobby.evaluation"] in sweep]
one = next(each for each in mine if each.info.run_id == row.mlflow_run_id)
result = {
    "experiment": mlflow.get_experiment(row.mlflow_experiment_id).name,
    "runs": len(mine),
    "parents": len({each.data.tags["mlflow.parentRunId"] for each in mine}),
    "metrics": one.data.metrics,
    "params": one.data.params,
    "tags": one.data.tags,
    "status": one.info.status,
    "digest": one.inputs.dataset_inputs[0].dataset.digest,
    "manifest": row.dataset_version.manifest_hash,
    "artifacts": sorted(each.path for each in mlflow.list_artifacts(row.mlflow_run_id)),
}
""".replace("mlflow_log_client()", "__import__('apps.evaluation.mlflow_log', fromlist=['client']).client()"),
        sweep=sweep,
    )
    assert (seen["runs"], seen["parents"], seen["status"]) == (2, 1, "FINISHED")
    assert seen["experiment"] == "acme: model fake-chat"
    facts = world.facts(sweep[0])
    assert {slug: seen["metrics"][slug] for slug in facts["metrics"]} == {
        slug: summary["mean"] for slug, summary in facts["metrics"].items()
    }
    assert seen["params"]["dataset"] == "mlflow"
    assert seen["params"]["seed"] in {"1", "2"}
    assert seen["params"]["scorer.contains"].startswith("contains v1 (")
    assert seen["tags"]["lobby.url"].endswith(f"/evaluations/runs/{sweep[0]}/")
    assert seen["manifest"].startswith(seen["digest"])
    assert seen["artifacts"] == ["items.json", "summary.json"]


@pytest.mark.django_db
def test_mlflows_pages_are_behind_the_portals_login(
    cast: Cast, session_mlflow: MlflowServer, settings: Settings
) -> None:
    settings.MLFLOW_TRACKING_URI = session_mlflow.url
    client = Client(headers={"host": "testserver"})
    client.force_login(cast["service_engineer"], backend=BACKEND)
    page = client.get("/mlflow/")
    assert page.status_code == 200
    assert b"<title>MLflow</title>" in page.content
    assert "'unsafe-eval'" in page["Content-Security-Policy"]
    search = "/mlflow/ajax-api/2.0/mlflow/experiments/search"
    body = b'{"max_results": 1}'

    def ask(**headers: str) -> int:
        return client.post(search, body, content_type="application/json", headers=headers).status_code

    assert ask(**{"sec-fetch-site": "same-origin", "origin": "http://testserver"}) == 200
    assert ask(**{"sec-fetch-site": "cross-site", "origin": "http://testserver"}) == 403
    assert ask(origin="https://elsewhere.example") == 403
    assert ask() == 403, "a form of somebody else's page, in a browser that says nothing"
    client.force_login(cast["owner"], backend=BACKEND)
    assert client.get("/mlflow/").status_code == 403
    settings.MLFLOW_TRACKING_URI = f"http://127.0.0.1:{free_port()}"
    client.force_login(cast["service_admin"], backend=BACKEND)
    away = client.get("/mlflow/")
    assert away.status_code == 503
    assert b"MLflow does not answer" in away.content
