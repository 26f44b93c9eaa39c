"""Runs for real: a worker calls a running gateway, in front of a fake upstream that misbehaves when told to."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from apps.evaluation.running.streamed import BrokenOff, whole
from tests.evaluation.world import RunsWorld

_names = (f"set-{number}" for number in itertools.count(1))


def asked(text: str, expected: Any = "w0 w1") -> dict[str, Any]:
    return {"input": {"messages": [{"role": "user", "content": text}]}, "expected": expected}


@pytest.fixture
def world(runs_world: RunsWorld) -> RunsWorld:
    return runs_world


def started(world: RunsWorld, examples: list[dict[str, Any]], **plan: Any) -> str:
    return world.start(world.dataset(next(_names), examples), **plan)


def test_a_run_answers_and_scores_every_example_and_its_calls_are_in_the_ledger(world: RunsWorld) -> None:
    model = world.world.model()
    run = started(world, [asked("one two"), asked("three"), asked("bad [[fail=400]]")], model=model)
    assert world.work(run) == "ended"
    facts = world.facts(run)
    assert facts["status"] == "done"
    assert [item["status"] for item in facts["items"]] == ["done", "done", "error"]
    assert [score[:5] for score in facts["scores"]] == [
        [position, 0, slug, "ok", value]
        for position in range(2)
        for slug, value in (("contains", 1.0), ("exact-match", 0.0), ("normalised-match", 0.0))
    ]
    summary = facts["metrics"]["contains"]
    assert (summary["mean"], summary["n"], summary["errors"]) == (1.0, 2, 0)
    assert 0 < summary["low"] < summary["high"] <= 1
    # An error has no score of 0, and the costs are those of the ledger.
    costs = [item["cost"] for item in facts["items"]]
    assert costs[2] == 0 < min(costs[:2])
    assert facts["spent"] == sum(costs)
    world.world.eventually(lambda: len(logged(world, facts)) == 3, within=20)
    rows = logged(world, facts)
    assert [rows[item["request_id"]]["cost_picousd"] for item in facts["items"]] == costs
    assert {row["user__email"] for row in rows.values()} == {"ada@example.com"}
    assert all(f"evaluation {run}" in row["why"]["caller"] for row in rows.values())


def logged(world: RunsWorld, facts: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The log's rows of a run's requests."""
    rows: dict[str, dict[str, Any]] = world.run(
        """
from apps.gateway.models import RequestLog
rows = RequestLog.objects.unscoped("test").filter(request_id__in=ids)
names = ["request_id", "cost_picousd", "first_token_ms", "user__email", "why"]
result = {row["request_id"]: row for row in rows.values(*names)}
""",
        ids=[item["request_id"] for item in facts["items"]],
    )
    return rows


def test_equal_calls_are_answered_once_and_say_so(world: RunsWorld) -> None:
    version = world.dataset(next(_names), [asked("the very same question")])
    model = world.world.model()
    first = world.start(version, model, repetitions=2)
    assert world.work(first) == "ended"
    assert [item["reused"] for item in world.facts(first)["items"]] == [False, False], "a repetition asks anew"
    calls = len(world.world.fake.attempts())
    again = world.start(version, model, repetitions=2)
    assert world.work(again) == "ended"
    facts = world.facts(again)
    assert [item["reused"] for item in facts["items"]] == [True, True]
    assert facts["spent"] == 0 == facts["items"][0]["cost"]
    assert facts["metrics"]["contains"]["n"] == 2
    assert len(world.world.fake.attempts()) == calls
    fresh = world.start(version, model, reuses_answers=False)
    world.work(fresh)
    assert len(world.world.fake.attempts()) == calls + 1


def test_a_worker_that_lost_its_lease_writes_nothing(world: RunsWorld) -> None:
    run = started(world, [asked("whose is it")])
    result = world.run(
        """
from apps.evaluation.running.scoring import perform
from apps.evaluation.running.gateway import Answer
from apps.evaluation.running.scoring import Result
import datetime
run = store.find_run(public_id)
store.begin(run)
store.make_items(run); store.make_items(run)
slow, quick = Worker(run, "slow"), Worker(run, "quick")
[item] = store.claim(run, "slow", 10)
assert store.claim(run, "quick", 10) == []
past = item.leased_until - datetime.timedelta(hours=1)
EvaluationItem.objects.unscoped("test").filter(pk=item.pk).update(leased_until=past)
assert [each.pk for each in store.claim(run, "quick", 10)] == [item.pk]
from apps.evaluation.running.subjects import Subject
[work] = store.prepare(run, Subject.of(run), [], [item])
said = lambda text: Result(work, Answer(text, (), "stop", "r1", 5, 1, 1, 7))
written = [store.write(run, name, [said(name)]) for name in ("slow", "quick", "slow", "quick")]
items = facts_of(run)["items"]
result = [written, items[0]["output"], len(items)]
""",
        public_id=run,
    )
    assert result == [[0, 1, 0, 0], "quick", 1]


def test_a_worker_does_not_take_again_what_it_is_at(world: RunsWorld) -> None:
    run = started(world, [asked("held for long")])
    result = world.run(
        """
import datetime
run = store.find_run(public_id)
store.begin(run)
store.make_items(run)
[item] = store.claim(run, "slow", 10)
past = item.leased_until - datetime.timedelta(hours=1)
EvaluationItem.objects.unscoped("test").filter(pk=item.pk).update(leased_until=past)
result = [[each.pk for each in store.claim(run, name, 10)] == [item.pk] for name in ("slow", "quick")]
""",
        public_id=run,
    )
    assert result == [False, True], "its lease ran out: another one's, not the same worker's a second time"


def test_of_many_equal_answers_the_newest_alone_is_read(world: RunsWorld) -> None:
    version = world.dataset(next(_names), [asked("asked time and again")])
    for _ in range(3):
        world.work(world.start(version, reuses_answers=False))
    run = world.start(version)
    made, is_newest = world.run(
        """
from django.db.models.signals import post_init
from apps.evaluation.running.subjects import Subject
run = store.find_run(public_id)
store.begin(run)
store.make_items(run)
items = store.claim(run, "one", 10)
made = []
count = lambda instance, **_: made.append(instance.pk)
post_init.connect(count, sender=EvaluationItem)
[work] = store.prepare(run, Subject.of(run), [], items)
post_init.disconnect(count, sender=EvaluationItem)
answered = EvaluationItem.objects.unscoped("test").filter(call_hash=work.call_hash, status="done")
result = [len(made), work.reused.request_id == answered.latest("pk").request_id]
""",
        public_id=run,
    )
    assert (made, is_newest) == (1, True)


def test_answers_are_not_reused_once_the_models_name_stands_for_another(world: RunsWorld) -> None:
    model = world.world.model()
    version = world.dataset(next(_names), [asked("who are you")])
    world.work(world.start(version, model, reuses_answers=False))

    def reuses() -> bool:
        run = world.start(version, model)
        world.work(run)
        return bool(world.facts(run)["items"][0]["reused"])

    assert reuses()
    world.run(
        """
from apps.models.models import Endpoint
Endpoint.objects.filter(model__slug=model).update(settings={"max_tokens_field": "max_tokens"})
result = None
""",
        model=model,
    )
    assert [reuses(), reuses()] == [False, True]


def test_a_run_pauses_at_its_budget_and_goes_on_with_a_larger_one(world: RunsWorld) -> None:
    model = world.world.model()
    examples = [asked(f"priced {number}") for number in range(20)]
    run = started(world, examples, model=model, concurrency=2, budget_picousd=60_000_000)
    assert world.work(run) == "ended"
    facts = world.facts(run)
    done = [item for item in facts["items"] if item["status"] == "done"]
    assert facts["status"] == "paused"
    assert "budget" in facts["error"]
    assert 0 < len(done) < 20
    assert facts["spent"] <= 60_000_000
    world.run("runs.resume_run(actor=ada, run=run_named(run), budget_picousd=10**12)", run=run)
    assert world.work(run) == "ended"
    after = world.facts(run)
    assert after["status"] == "done"
    assert len(after["scores"]) == 60
    assert after["spent"] == sum(item["cost"] for item in after["items"])


def test_limits_are_waited_for_and_an_empty_project_budget_pauses_the_run(world: RunsWorld) -> None:
    model = world.world.model()
    version = world.dataset(
        next(_names), [asked(f"limited {number} [[first=2 key=k{number} fail=429]]") for number in range(3)]
    )
    run = world.start(version, model)
    assert world.work(run) == "ended"
    facts = world.facts(run)
    assert facts["status"] == "done"
    assert {item["status"] for item in facts["items"]} == {"done"}
    world.run(
        """
services.set_budget(actor=actor, tenant=tenant, project=project, amount_picousd=1, period="month")
"""
    )

    def refused() -> dict[str, Any] | None:
        poor = world.start(version, model, reuses_answers=False)
        world.work(poor)
        facts = world.facts(poor)
        return facts if facts["status"] == "paused" else None

    world.world.eventually(lambda: refused() is not None, within=20)  # the gateway hears of the budget in a moment
    poor = refused()
    world.run(
        """
from apps.tenants.control_plane import control_plane_changed
Budget.objects.unscoped("test").filter(project=project).delete()
control_plane_changed()
"""
    )
    assert poor is not None
    assert "budget" in poor["error"]
    assert all(item["status"] == "pending" for item in poor["items"])


def test_errors_are_tried_again_and_what_is_right_stays(world: RunsWorld) -> None:
    run = started(world, [asked("right"), asked("wrong at first [[first=1 key=again fail=400]]")])
    assert world.work(run) == "ended"
    first = world.facts(run)
    assert [item["status"] for item in first["items"]] == ["done", "error"]
    world.run("runs.retry_errors(actor=ada, run=run_named(run))", run=run)
    assert world.work(run) == "ended"
    after = world.facts(run)
    assert [item["status"] for item in after["items"]] == ["done", "done"]
    assert after["items"][0]["request_id"] == first["items"][0]["request_id"]
    assert len(after["scores"]) == 6


def test_pause_resume_and_cancel(world: RunsWorld) -> None:
    run = started(world, [asked(f"kept {number}") for number in range(4)])
    world.run("runs.pause_run(actor=ada, run=run_named(run))", run=run)
    assert world.work(run) == "ended"
    assert world.facts(run)["items"] == []
    world.run("runs.resume_run(actor=ada, run=run_named(run))", run=run)
    assert world.work(run) == "ended"
    assert world.facts(run)["status"] == "done"
    other = started(world, [asked("never")])
    world.run("runs.cancel_run(actor=ada, run=run_named(run))", run=other)
    assert world.work(other) == "ended"
    assert world.facts(other)["status"] == "cancelled"


def test_a_prompt_saved_a_moment_before_its_run_is_waited_for(world: RunsWorld) -> None:
    """The gateway hears of it up to a second later; that pauses no run, and is no error of an example."""
    version = world.dataset(next(_names), [{"input": {"claim": text}, "expected": text} for text in ("hail", "fire")])
    model = world.world.model()
    for text in ("Sort", "Order", "File"):
        run = world.run(
            """
version = DatasetVersion.objects.unscoped("test").select_related("dataset").get(pk=version)
scorer = ScorerVersion.objects.unscoped("test").select_related("scorer").get(scorer__kind="contains")
prompt = prompts.create_prompt(actor=ada, tenant=tenant, slug=text.lower(), name=text)
content = {"messages": [{"role": "user", "content": text + " {{claim}}"}], "model": model}
saved = prompts.save_version(actor=ada, prompt=prompt, content=content).version
plan = RunPlan(
    project=project, dataset_version=version, metrics=[MetricChoice(scorer)], model=model, prompt_version=saved
)
result = runs.start_run(actor=ada, plan=plan).public_id
""",
            version=version,
            model=model,
            text=text,
        )
        assert world.work(run) == "ended"
        facts = world.facts(run)
        assert (facts["status"], facts["error"]) == ("done", "")
        assert [(item["status"], item["tries"]) for item in facts["items"]] == [("done", 1)] * 2


def test_runs_that_no_worker_holds_are_woken_once(world: RunsWorld) -> None:
    run = started(world, [asked("lost")])
    woken = world.run(
        """
import datetime
long_ago = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
Evaluation.objects.unscoped("test").filter(public_id=run).update(created_at=long_ago)
result = [run in runs.wake_runs(), run in runs.wake_runs()]
runs.cancel_run(actor=ada, run=run_named(run))
""",
        run=run,
    )
    assert woken == [True, False]


def test_recorded_answers_are_scored_without_a_call(world: RunsWorld) -> None:
    """What people thought of an answer is not shown to whoever judges it."""
    calls = len(world.world.fake.attempts())
    examples = [
        {"input": {"question": "How many?", "answer": answer}, "expected": {"rating": rating, "reference": "two"}}
        for answer, rating in (("two", "good"), ("three", "bad"))
    ]
    run = started(world, examples, model="recorded")
    assert world.work(run) == "ended"
    facts = world.facts(run)
    assert facts["status"] == "done"
    assert [item["output"] for item in facts["items"]] == ["two", "three"]
    assert [score[4] for score in facts["scores"] if score[2] == "exact-match"] == [1.0, 0.0]
    assert len(world.world.fake.attempts()) == calls
    assert facts["spent"] == 0


def test_with_a_scorer_of_the_first_token_answers_are_streamed(world: RunsWorld) -> None:
    """Answers that were not streamed are no answers to take again; one that breaks off is asked for again."""
    model = world.world.model()
    version = world.dataset(next(_names), [asked("slow [[ttft_ms=30 delay_ms=20]]"), asked("quick")])
    plain = world.start(version, model)
    assert world.work(plain) == "ended"
    run = world.start(version, model, streamed=True)
    assert world.work(run) == "ended"
    facts = world.facts(run)
    for before, after in zip(world.facts(plain)["items"], facts["items"], strict=True):
        assert not after["reused"]
        assert after["output"] == before["output"] != ""
        assert after["cost"] == before["cost"] > 0
        assert before["ms"][0] is None
        assert 0 <= after["ms"][0] <= after["ms"][1]
    first, duration = facts["items"][0]["ms"]
    assert first >= 30
    assert duration >= first + 100, "eight pieces, 20 ms apart"
    assert facts["metrics"]["first-token"]["n"] == 2
    assert facts["spent"] == sum(item["cost"] for item in facts["items"])
    world.world.eventually(lambda: len(logged(world, facts)) == 2, within=20)
    rows = logged(world, facts)
    assert [rows[item["request_id"]]["first_token_ms"] for item in facts["items"]] == [
        item["ms"][0] for item in facts["items"]
    ]
    again = world.start(version, model, streamed=True)
    assert world.work(again) == "ended"
    assert [(item["reused"], item["ms"]) for item in world.facts(again)["items"]] == [
        (True, item["ms"]) for item in facts["items"]
    ]


def test_a_stream_that_breaks_off_is_asked_for_again_and_in_the_end_an_error(world: RunsWorld) -> None:
    cut = [asked("at first [[first=1 key=cut fail=error_event at=3]]"), asked("always [[fail=close_mid at=3]]")]
    run = world.start(world.dataset(next(_names), cut), world.world.model(), streamed=True)
    assert world.work(run) == "ended"
    facts = world.facts(run)
    assert [(item["status"], item["tries"]) for item in facts["items"]] == [("done", 2), ("error", 4)]
    assert facts["items"][0]["output"].startswith("w0 w1")
    assert facts["items"][1]["error_code"]
    assert facts["metrics"]["first-token"]["n"] == 1


def test_pieces_of_a_stream_make_one_answer() -> None:
    events = """: a comment
data: {"choices": [{"index": 0, "delta": {"role": "assistant", "content": "Let me "}}]}

data: {"choices": [{"index": 1, "delta": {"content": "another choice"}}]}

data: {"choices": [{"index": 0, "delta": {"content": "see.", "tool_calls": [{"index": 1, "id": "b", "function": \
{"name": "tell", "arguments": ""}}, {"index": 0, "id": "a", "function": {"name": "look", "arguments": "{\\"at\\""}}]}}]}

data: {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"arguments": ": 1}"}}]}, \
"finish_reason": "tool_calls"}]}

data: {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 4}}

: lobby {"cost_picousd": 12, "duration_ms": 34, "first_token_ms": 5}

data: [DONE]

""".replace("\\\n", "")
    body, figures = whole(events)
    assert body == {
        "choices": [
            {
                "message": {
                    "content": "Let me see.",
                    "tool_calls": [
                        {"function": {"name": "look", "arguments": '{"at": 1}'}},
                        {"function": {"name": "tell", "arguments": ""}},
                    ],
                },
                "finish_reason": "tool_calls",
            }
        ],
        "usage": {"prompt_tokens": 3, "completion_tokens": 4},
    }
    assert figures == {"cost_picousd": 12, "duration_ms": 34, "first_token_ms": 5}
    with pytest.raises(BrokenOff):
        whole(events.partition("data: [DONE]")[0])
    with pytest.raises(ValueError, match="Expecting"):
        whole("data: half an ev")
