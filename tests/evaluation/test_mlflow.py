"""Runs in a real MLflow, once each, also after it was away; and its own pages behind the portal's login."""

from __future__ import annotations

import socketserver
import textwrap
import threading
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


def swept(world: RunsWorld, slug: str, **axes: Any) -> list[str]:
    """The runs of a sweep on one example, each ended."""
    question = {"messages": [{"role": "user", "content": f"of the sweep {slug}"}]}
    runs: list[str] = world.run(
        """
from apps.evaluation.services.sweeps import Axes, plans_of, start_sweep
version = DatasetVersion.objects.unscoped("test").select_related("dataset").get(pk=version)
versions = ScorerVersion.objects.unscoped("test").filter(scorer__kind__in=kinds)
metrics = [MetricChoice(each) for each in versions.select_related("scorer")]
plan = RunPlan(project=project, dataset_version=version, metrics=metrics, model="fake-chat")
result = [run.public_id for run in start_sweep(actor=ada, plans=plans_of(plan, Axes(**axes)))]
""",
        version=world.dataset(slug, [{"input": question, "expected": "w0"}]),
        kinds=KINDS,
        axes=axes,
    )
    for run in runs:
        assert world.work(run) == "ended"
    return runs


# What MLflow has of some runs: a row each, wherever they are.
_HAS = """
from django.conf import settings
from apps.evaluation import mlflow_log
settings.MLFLOW_TRACKING_URI = url
mlflow = mlflow_log.client()
everywhere = [each.experiment_id for each in mlflow.search_experiments()]
rows = [
    each for each in mlflow.search_runs(everywhere, "tags.`lobby.evaluation` != ''", max_results=1000)
    if each.data.tags["lobby.evaluation"] in wanted
]
result = [
    {
        "run": each.data.tags["lobby.evaluation"],
        "status": each.info.status,
        "experiment": mlflow.get_experiment(each.info.experiment_id).name,
        "parent": each.data.tags["mlflow.parentRunId"],
        "parent_name": mlflow.get_run(each.data.tags["mlflow.parentRunId"]).data.tags["lobby.url"],
        "metrics": each.data.metrics,
        "model": each.data.params["model"],
        "artifacts": sorted(found.path for found in mlflow.list_artifacts(each.info.run_id)),
    }
    for each in rows
]
"""


def had(world: RunsWorld, url: str, runs: list[str]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = world.run(_HAS, url=url, wanted=runs)
    return rows


def again(world: RunsWorld, runs: list[str]) -> None:
    """As if nobody had noted that these were logged."""
    world.run(
        """
rows = Evaluation.objects.unscoped("test").filter(public_id__in=wanted)
rows.update(mlflow_status="pending", mlflow_claimed_at=None)
""",
        wanted=runs,
    )


def test_runs_that_end_while_the_server_is_down_are_logged_once_when_it_is_back(
    runs_world: RunsWorld, session_mlflow: MlflowServer
) -> None:
    """A sweep over models, nested under one run. The server is killed; once more before Lobby knows that it has all."""
    world = runs_world
    other = world.world.model()
    earlier = swept(world, "before-it-went")
    while log(world, session_mlflow.url):  # other tests' runs wait, too
        pass
    (before,) = had(world, session_mlflow.url, earlier)
    session_mlflow.kill()
    try:
        runs = swept(world, "while-away", models=["fake-chat", other], parameters={"temperature": [0, 1]})
        assert len(runs) == 4
        assert log(world, session_mlflow.url) == []
        waiting = "result = [run_named(run).mlflow_status for run in wanted]"
        assert world.run(waiting, wanted=runs) == ["pending"] * 4
        # It went away before Lobby knew that the earlier one had arrived: the same is logged over itself.
        again(world, earlier)
    finally:
        session_mlflow.start()
    logged = log(world, session_mlflow.url)
    assert sorted(logged) == sorted(runs + earlier)
    assert had(world, session_mlflow.url, earlier) == [before]
    rows = had(world, session_mlflow.url, runs)
    assert sorted(row["run"] for row in rows) == sorted(runs), "each once"
    assert len({row["parent"] for row in rows}) == 1
    assert {row["experiment"] for row in rows} == {"acme: model fake-chat"}
    assert sorted(row["model"] for row in rows) == sorted(["fake-chat", other] * 2)
    assert "/evaluations/sweeps/" in rows[0]["parent_name"]
    by_run = {row["run"]: row for row in rows}
    for run in runs:
        means = {slug: summary["mean"] for slug, summary in world.facts(run)["metrics"].items()}
        assert {slug: by_run[run]["metrics"][slug] for slug in means} == means
    # The same once all of a sweep had arrived.
    again(world, runs)
    assert sorted(log(world, session_mlflow.url)) == sorted(runs)
    assert {row["run"]: row for row in had(world, session_mlflow.url, runs)} == by_run


def test_what_was_half_logged_when_the_server_went_is_made_whole(
    runs_world: RunsWorld, session_mlflow: MlflowServer
) -> None:
    world = runs_world
    (run,) = swept(world, "half-logged")
    world.run(
        """
from django.conf import settings
from apps.evaluation import mlflow_log
settings.MLFLOW_TRACKING_URI = url
row, mlflow = store.find_run(run), mlflow_log.client()
mlflow_log._create(mlflow, mlflow_log._experiment(mlflow, row), row)
Evaluation.objects.unscoped("test").filter(pk=row.pk).update(mlflow_claimed_at=None)
""",
        url=session_mlflow.url,
        run=run,
    )
    assert run in log(world, session_mlflow.url)
    (row,) = had(world, session_mlflow.url, [run])
    assert row["status"] == "FINISHED"
    assert row["metrics"]["contains"] == world.facts(run)["metrics"]["contains"]["mean"]
    assert row["artifacts"] == ["items.json", "summary.json"]


def test_a_run_that_mlflow_refuses_does_not_hold_up_the_others(
    runs_world: RunsWorld, session_mlflow: MlflowServer
) -> None:
    """One was logged, its errors were tried again, and Lobby has another address meanwhile: MLflow lets no parameter
    be changed. Another has a name that MLflow does not take."""
    world = runs_world
    (moved,), (refused,), (fine,) = swept(world, "moved"), swept(world, "refused"), swept(world, "fine")
    while log(world, session_mlflow.url):
        pass
    again(world, [moved, refused, fine])
    world.run("Evaluation.objects.unscoped('test').filter(public_id=run).update(parameters={'a\\nb': 1})", run=refused)
    elsewhere = f"""
from django.test import override_settings
with override_settings(GATEWAY_URL="http://127.0.0.1:1"):
{textwrap.indent(_LOG, "    ")}
"""
    logged: list[str] = world.run(elsewhere, url=session_mlflow.url)
    assert logged == [moved, fine]
    assert log(world, session_mlflow.url) == []
    again(world, [refused])
    world.run("Evaluation.objects.unscoped('test').filter(public_id=run).update(parameters={})", run=refused)
    assert log(world, session_mlflow.url) == [refused]


def test_each_run_is_logged_once_with_its_numbers_also_when_mlflow_was_away(
    runs_world: RunsWorld, session_mlflow: MlflowServer
) -> None:
    world = runs_world
    log(world, session_mlflow.url)  # what other tests left
    question = {"messages": [{"role": "user", "content": "of a sweep"}]}
    version = world.dataset("mlflow", [{"input": question, "expected": "w0"}] * 1)
    sweep: list[str] = world.run(
        """
from apps.evaluation.services.sweeps import start_sweep
version = DatasetVersion.objects.unscoped("test").select_related("dataset").get(pk=version)
versions = ScorerVersion.objects.unscoped("test").filter(scorer__kind__in=kinds)
metrics = [MetricChoice(each) for each in versions.select_related("scorer")]
plans = [
    RunPlan(project=project, dataset_version=version, metrics=metrics, model="fake-chat", seed=seed) for seed in (1, 2)
]
result = [run.public_id for run in start_sweep(actor=ada, plans=plans)]
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
    again(world, sweep[:1])
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


@pytest.mark.django_db
def test_mlflow_that_goes_away_in_the_middle_of_an_answer_is_told_as_that(cast: Cast, settings: Settings) -> None:
    class CutOff(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(65_536)
            self.request.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")

    client = Client(headers={"host": "testserver"})
    client.force_login(cast["service_admin"], backend=BACKEND)
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), CutOff) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            settings.MLFLOW_TRACKING_URI = f"http://127.0.0.1:{server.server_address[1]}"
            answer = client.get("/mlflow/")
        finally:
            server.shutdown()
            thread.join()
    assert answer.status_code == 503
    assert b"MLflow does not answer" in answer.content
