"""Running a scorer: its calls, its needs, and what becomes of its faults."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from apps.evaluation.scorers.base import Scorer, Steps
from apps.evaluation.scorers.types import Call, Need, Output, Reply, Sample, Score

log = structlog.get_logger(__name__)


def begin(scorer: Scorer, sample: Sample, output: Output) -> Steps:
    """The scorer's steps behind the checks that are the same for all: this never raises, it returns an error's score.

    Drive it as any generator (``send(None)``, then the replies), in whichever way calls are made; ``drive`` is one way.
    """
    if output.error is not None:
        cause = output.error
        return Score.failed("no_output", f"There is no answer to score: {cause.message}", cause=cause.code)
    if lacking := _lacking(scorer.needs, sample):
        return lacking
    try:
        made: object = yield from scorer.steps(sample, output)
        if not isinstance(made, Score):
            raise TypeError(f"{scorer.slug} returned {type(made).__name__} in the place of a Score.")
        return made
    except Exception as error:
        # One example's fault must not end a run of ten thousand; it is counted there, and told here.
        log.exception("scorer_failed", scorer=scorer.slug, example=sample.id)
        return Score.failed("scorer_failed", f"{scorer.title} failed on this example ({type(error).__name__}).")


def drive(
    scorer: Scorer, sample: Sample, output: Output, ask: Callable[[list[Call]], list[Reply]] | None = None
) -> Score:
    """Score one answer; ``ask`` makes the calls and returns one reply for each, in order.

    A call that fails is a reply with an ``error``. What ``ask`` itself raises is the caller's and goes through.
    """
    steps = begin(scorer, sample, output)
    try:
        calls = next(steps)
        while True:
            if ask is None:
                steps.close()
                return Score.failed("no_models", f"{scorer.title} calls models, and none are at hand here.")
            calls = steps.send(ask(calls))
    except StopIteration as done:
        score: Score = done.value
        return score


def _lacking(needs: frozenset[Need], sample: Sample) -> Score | None:
    if Need.EXPECTED in needs and not sample.expected:
        return Score.failed("no_expected", "The example has no expected value.")
    if Need.CONTEXT in needs and not any(text.strip() for text in sample.context):
        return Score.failed("no_context", "The example has no context.")
    if Need.BASELINE in needs and (sample.baseline is None or sample.baseline.error is not None):
        return Score.failed("no_baseline", "There is no other answer to compare with.")
    return None
