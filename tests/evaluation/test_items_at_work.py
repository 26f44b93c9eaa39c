"""One item at work: whatever is wrong with it stays with it. A worker that it ended would come to it again."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest
from django.db import connections, transaction

from apps.evaluation.models import EvaluationItem, ExampleRevision
from apps.evaluation.running import store
from apps.evaluation.running.gateway import Gateway, Pace
from apps.evaluation.running.scoring import Metric, Work, perform
from apps.evaluation.running.subjects import Subject
from apps.evaluation.scorers import ChatCall, Message, Output, Sample, Score, Scorer, Steps
from apps.evaluation.scorers.registry import make
from tests.cast import Cast
from tests.evaluation.gating import dataset, run_of, scorer

SAMPLE = Sample("1", (Message("user", "one two"),))


class Brought(Scorer):
    """As a package may bring it: its call holds what JSON does not."""

    slug = "brought"
    title = "Brought scorer"
    description = "Asks for what cannot be sent."
    format: ClassVar[dict[str, object]] = {"type": object()}

    def steps(self, sample: Sample, output: Output) -> Steps:
        yield [ChatCall("sandbox-judge", sample.messages, response_format=self.format)]
        return Score(1.0)


@pytest.mark.backends
@pytest.mark.django_db(transaction=True)
def test_workers_that_claim_at_once_share_what_waits(cast: Cast) -> None:
    run = run_of(cast, dataset(cast, 12), "Shared", scorer(cast))
    run.items_total = 12
    store.make_items(run)
    claimed = threading.Event()
    others: list[EvaluationItem] = []

    def other() -> None:
        with transaction.atomic():
            others.extend(store.claim(run, "other", 4))
            claimed.set()
            time.sleep(0.5)  # this worker's items look free until the transaction ends
        connections.close_all()

    thread = threading.Thread(target=other)
    thread.start()
    claimed.wait()
    mine = store.claim(run, "mine", 4)
    thread.join()
    assert [item.position for item in others] == [0, 1, 2, 3]
    assert [item.position for item in mine] == [4, 5, 6, 7]
    assert [item.position for item in store.claim(run, "mine", 9)] == [8, 9, 10, 11]


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    """At an address that it never comes to: what is tried here cannot even be written down."""
    made = Gateway("http://127.0.0.1:9", lambda: "token", Pace(1))
    yield made
    made.close()


def test_a_scorer_that_asks_for_an_impossible_call_is_an_error_of_the_score(gateway: Gateway) -> None:
    work = Work(1, 0, SAMPLE, {}, "", output=Output(text="w0"), unscored=(Metric(7, Brought()),))
    result = perform(work, gateway, Subject("sandbox-chat", {}))
    assert result.is_done
    assert result.error is None
    [scored] = result.scores
    assert scored.score.error is not None
    assert scored.score.error.code == "scorer_failed"
    assert "Brought scorer" in scored.score.error.message


def test_an_example_that_cannot_be_sent_is_an_error_of_its_item(gateway: Gateway) -> None:
    body = {"model": "sandbox-chat", "messages": [{"role": "user", "content": "half a pair: \ud83d"}]}
    result = perform(Work(1, 0, SAMPLE, body, "hash"), gateway, Subject("sandbox-chat", {}))
    assert result.is_done
    assert result.error is not None
    assert result.error.code == "call_failed"


def test_a_field_called_messages_that_is_no_conversation_ends_no_worker(cast: Cast) -> None:
    data = dataset(cast, 2)
    revisions = ExampleRevision.objects.unscoped("test").filter(example__dataset=data.dataset)
    revisions.update(input={"messages": 5, "claim": "Hail."})
    run = run_of(cast, data, "Counted", scorer(cast))
    run.items_total = 2
    store.make_items(run)
    first, second = store.prepare(run, Subject("sandbox-chat", {}), (), store.claim(run, "mine", 2))
    assert (first.problem, second.problem) == (None, None)
    assert first.body["messages"] == [{"role": "user", "content": "Hail."}]


def test_a_recorded_figure_that_no_column_holds_is_left_out() -> None:
    """As of nanoseconds in the place of milliseconds: PostgreSQL would refuse it, and what is written with it."""
    answer = {"text": "w0", "duration_ms": 3_000_000_000, "first_token_ms": 40, "output_tokens": 2**31}
    output = Subject("recorded", {}).recorded(ExampleRevision(input={"answer": answer | {"cost_picousd": 2**40}}))
    assert (output.latency_ms, output.first_token_ms, output.output_tokens) == (None, 40, None)
    assert output.cost_picodollars == 2**40


class Asking(Scorer):
    """Asks twice, as a judge does that swaps the positions."""

    slug = "asking"
    title = "Asking scorer"
    description = "Asks a model twice."

    def steps(self, sample: Sample, output: Output) -> Steps:
        for _ in range(2):
            yield [ChatCall("sandbox-judge", sample.messages)]
        return Score(1.0)


class _Listens(BaseHTTPRequestHandler):
    """A gateway that remembers what it was asked."""

    heard: ClassVar[list[dict[str, object]]] = []

    def do_POST(self) -> None:
        self.heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        body = json.dumps({"choices": [{"message": {"content": "hail"}}]}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads it."""


def test_a_probe_asks_again_with_the_examples_images_and_calls_of_tools() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    said = [
        {"role": "user", "content": "Look first."},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "a roof"},
        {"role": "user", "content": [{"type": "text", "text": "what is it?"}, image]},
    ]
    subject = Subject("m", {})
    sample = subject.sample(ExampleRevision(input={"messages": said}, expected="hail"))
    body = subject.body(sample, 0, said)
    assert body["messages"] == said
    probe = Metric(7, make("robustness", {"kinds": ["case"]}))
    with ThreadingHTTPServer(("127.0.0.1", 0), _Listens) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        made = Gateway(f"http://127.0.0.1:{server.server_address[1]}", lambda: "token", Pace(1))
        result = perform(Work(1, 0, sample, body, "", output=Output("hail"), unscored=(probe,)), made, subject)
        made.close()
        server.shutdown()
        thread.join()
    assert result.scores[0].score.value == 0.0
    [asked] = _Listens.heard
    messages = asked["messages"]
    assert isinstance(messages, list)
    assert messages[:3] == said[:3]
    text, picture = messages[3]["content"]
    assert picture == image
    assert text["text"].casefold().strip() == "what is it?" != text["text"].strip()


class _PaysOnce(BaseHTTPRequestHandler):
    """A gateway whose budget is spent by the first call."""

    called = 0

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        type(self).called += 1
        said: dict[str, object] = {"choices": [{"message": {"content": "yes"}}]}
        if self.called > 1:
            said = {"error": {"message": "The budget is spent.", "code": "budget_exceeded"}}
        body = json.dumps(said).encode()
        self.send_response(200 if self.called == 1 else 402)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("x-lobby-cost-picousd", "7")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads it."""


def test_what_a_halted_judge_has_called_is_paid_for() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _PaysOnce) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        made = Gateway(f"http://127.0.0.1:{server.server_address[1]}", lambda: "token", Pace(1))
        work = Work(1, 0, SAMPLE, {}, "", output=Output(text="w0"), unscored=(Metric(7, Asking()),))
        result = perform(work, made, Subject("sandbox-chat", {}))
        made.close()
        server.shutdown()
        thread.join()
    assert (result.halted, result.scores) == ("The budget is spent.", ())
    assert result.cost_picousd == 7
