"""A worker at a run, in front of a gateway that answers as the test wishes: budgets, and runs that are paused."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from django.db import connections
from pytest_django import Settings

from apps.evaluation.models import Evaluation
from apps.evaluation.running import store
from apps.evaluation.running.worker import Outcome, Worker
from apps.evaluation.services.runs import cancel_run
from apps.evaluation.types import RunStatus
from tests.cast import Cast
from tests.evaluation.gating import dataset, model, run_of, scorer

COST = 10


class _Answering(ThreadingHTTPServer):
    """Each call costs 10. The ``held``th one waits until it may ``go``."""

    held = 0
    called = 0

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.reached, self.go = threading.Event(), threading.Event()


class _Handler(BaseHTTPRequestHandler):
    server: _Answering

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.called += 1
        time.sleep(0.02)
        if self.server.called == self.server.held:
            self.server.reached.set()
            self.server.go.wait(20)
        body = json.dumps({"choices": [{"message": {"content": "yes"}}]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("x-lobby-cost-picousd", str(COST))
        self.send_header("x-lobby-request-id", f"req-{self.server.called}")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads it."""


@pytest.fixture
def gateway(settings: Settings) -> Iterator[_Answering]:
    with _Answering() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        settings.GATEWAY_URL = f"http://127.0.0.1:{server.server_address[1]}"
        yield server
        server.go.set()
        server.shutdown()
        thread.join()


def begun(cast: Cast, size: int, **values: object) -> Evaluation:
    model(cast)
    run = run_of(cast, dataset(cast, size), "Watched", scorer(cast))
    facts = {"items_total": size, "concurrency": 1, "created_by": cast["scientist"]} | values
    rows = Evaluation.objects.unscoped("test").filter(pk=run.pk)
    rows.update(**facts)
    return rows.get()


def found(run: Evaluation) -> Evaluation:
    row = store.find_run(run.public_id)
    assert row is not None
    return row


def in_a_thread(run: Evaluation, outcomes: list[Outcome], seconds: float) -> threading.Thread:
    def work() -> None:
        outcomes.append(Worker(found(run)).work(seconds))
        connections.close_all()

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_what_was_spent_before_makes_no_call_look_dearer(cast: Cast, gateway: _Answering) -> None:
    run = begun(cast, 20, budget_picousd=10 * COST, spent_picousd=6 * COST)
    assert Worker(found(run)).work() == Outcome.ENDED
    run.refresh_from_db()
    assert (run.status, run.spent_picousd) == (RunStatus.PAUSED, 10 * COST)


@pytest.mark.django_db(transaction=True)
def test_a_budget_counts_what_other_workers_of_the_run_spend(cast: Cast, gateway: _Answering) -> None:
    gateway.held = 3
    run = begun(cast, 200, budget_picousd=100 * COST)
    outcomes: list[Outcome] = []
    thread = in_a_thread(run, outcomes, 20)
    assert gateway.reached.wait(20)
    Evaluation.objects.unscoped("test").filter(pk=run.pk).update(spent_picousd=98 * COST)
    gateway.go.set()
    thread.join()
    run.refresh_from_db()
    assert (outcomes, run.status) == ([Outcome.ENDED], RunStatus.PAUSED)
    assert gateway.called < 40, "what it had spent by itself would have let it make 100 calls"


@pytest.mark.django_db(transaction=True)
def test_a_worker_that_was_told_to_stop_leaves_a_run_that_goes_on_again_to_others(
    cast: Cast, gateway: _Answering, settings: Settings
) -> None:
    settings.EVALUATION_LEASE_SECONDS = 1
    gateway.held = 1
    run = begun(cast, 40)
    outcomes: list[Outcome] = []
    thread = in_a_thread(run, outcomes, 6)
    assert gateway.reached.wait(20)
    rows = Evaluation.objects.unscoped("test").filter(pk=run.pk)
    rows.update(status=RunStatus.PAUSED)
    time.sleep(0.8)  # it hears of that while its call goes on
    rows.update(status=RunStatus.RUNNING)
    time.sleep(0.5)
    gateway.go.set()
    thread.join()
    assert outcomes == [Outcome.ENDED]
    assert store.items_of(run.pk).filter(status="done").count() == 1


@pytest.mark.django_db(transaction=True)
def test_what_was_in_flight_when_a_run_was_cancelled_counts_in_its_summary(
    cast: Cast, gateway: _Answering, settings: Settings
) -> None:
    settings.EVALUATION_LEASE_SECONDS = 1
    gateway.held = 2
    run = begun(cast, 40)
    outcomes: list[Outcome] = []
    thread = in_a_thread(run, outcomes, 20)
    assert gateway.reached.wait(20)
    cancel_run(actor=cast.actor("scientist"), run=run)
    time.sleep(0.5)
    gateway.go.set()
    thread.join()
    run.refresh_from_db()
    assert (outcomes, run.status) == ([Outcome.ENDED], RunStatus.CANCELLED)
    assert store.counts(run.pk)["done"] == run.metrics.get().summary["n"] == 2
