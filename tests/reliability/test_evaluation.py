"""SIGKILL of the worker, again and again, in the midst of a run: every item once in the results, and so in MLflow.

The real Celery worker with its beat, the real gateway, the real MLflow server; only the upstream is a fake.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from apps.evaluation.running.worker import GROUP
from tests.evaluation.world import RunsWorld
from tests.fakes.process import FakeOpenAI
from tests.gateway.world import World
from tests.live import LobbyFactory
from tests.mlflow_server import MlflowServer
from tests.reliability.books import read_books

KILLS = 20 if os.environ.get("LOBBY_TEST_SOAK") else 3
ITEMS = 60 * KILLS
CONCURRENCY = 4
WITHIN = 240.0


def test_a_worker_killed_again_and_again_loses_and_doubles_nothing(
    lobby_template: Path, tmp_path: Path, session_mlflow: MlflowServer
) -> None:
    factory = LobbyFactory(lobby_template, tmp_path)
    with FakeOpenAI(tmp_path / "count.jsonl") as fake:
        lobby = factory({"EVALUATION_LEASE_SECONDS": "2", "MLFLOW_TRACKING_URI": session_mlflow.url}, start=False)
        world = World(lobby, fake)
        try:
            world.start()
            runs = RunsWorld(world)
            model = world.model()
            asked = [{"role": "user", "content": "count to three [[headers_ms=60]]"}]
            examples = [{"input": {"messages": [*asked], "n": n}, "expected": "w0 w1"} for n in range(ITEMS)]
            run = runs.start(runs.dataset("killed", examples), model, concurrency=CONCURRENCY, reuses_answers=False)
            kills = 0
            lobby.start_worker()
            done = 0
            while kills < KILLS:
                # Killed only once it has got on since the last time: so each kill is in the midst of work.
                done = _wait(runs, run, more_than=done)
                lobby.kill("worker")
                kills += 1
                lobby.start_worker()
            _wait(runs, run, more_than=ITEMS - 1)
            facts = _ended(runs, run)
            lobby.stop_process("worker")
            logged = runs.run(_LOGGED, run=run)
            books = read_books(world)
        finally:
            world.close()
            factory.stop()
    assert facts["status"] == "done"
    assert [item["status"] for item in facts["items"]] == ["done"] * ITEMS
    assert len(facts["scores"]) == 3 * ITEMS
    ids = {item["request_id"] for item in facts["items"]}
    assert len(ids) == ITEMS
    # What was answered is in the ledger at its price; what a kill wasted is there, too: at most what was in flight, and
    # what waited to be written with others.
    assert ids <= books.requests.keys()
    assert sum(item["cost"] for item in facts["items"]) == sum(books.requests[each]["cost_picousd"] for each in ids)
    assert 0 <= len(books.requests) - ITEMS <= KILLS * (CONCURRENCY + GROUP)
    # The same numbers in MLflow, in one run.
    assert logged["runs"] == 1
    assert logged["rows"] == ITEMS
    for slug, summary in facts["metrics"].items():
        assert logged["metrics"][slug] == summary["mean"]
    assert logged["metrics"]["items.done"] == ITEMS
    assert logged["metrics"]["cost_usd"] == facts["spent"] / 10**12


_LOGGED = """
import json, pathlib, tempfile
from apps.evaluation import mlflow_log
row = run_named(run)
mlflow = mlflow_log.client()
found = mlflow.search_runs([row.mlflow_experiment_id], f"tags.`lobby.evaluation` = '{run}'")
with tempfile.TemporaryDirectory() as folder:
    table = json.loads(pathlib.Path(mlflow.download_artifacts(found[0].info.run_id, "items.json", folder)).read_text())
result = {"runs": len(found), "metrics": found[0].data.metrics, "rows": len(table["data"])}
"""


def _wait(runs: RunsWorld, run: str, *, more_than: int) -> int:
    """Until more items than that are done; how many are."""
    deadline = time.monotonic() + WITHIN
    while True:
        done: int = runs.run(
            "result = EvaluationItem.objects.unscoped('test').filter(evaluation=run_named(run), status='done').count()",
            run=run,
        )
        if done > more_than:
            return done
        assert time.monotonic() < deadline, f"{done} items are done:\n{runs.world.lobby.output('worker')[-3000:]}"
        time.sleep(0.1)


def _ended(runs: RunsWorld, run: str) -> dict[str, Any]:
    """When it is done and MLflow has it."""
    deadline = time.monotonic() + WITHIN
    while not runs.run(
        "row = run_named(run)\nresult = row.status == 'done' and row.mlflow_status == 'logged'", run=run
    ):
        assert time.monotonic() < deadline, runs.world.lobby.output("worker")[-3000:]
        time.sleep(0.2)
    return runs.facts(run)
