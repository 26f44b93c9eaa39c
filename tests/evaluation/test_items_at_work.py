"""One item at work: whatever is wrong with it stays with it. A worker that it ended would come to it again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import pytest

from apps.evaluation.running.gateway import Gateway, Pace
from apps.evaluation.running.scoring import Metric, Work, perform
from apps.evaluation.running.subjects import Subject
from apps.evaluation.scorers import ChatCall, Message, Output, Sample, Score, Scorer, Steps

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
