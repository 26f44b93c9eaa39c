"""One item at work, in a thread: its call, then its scores. Nothing here touches the database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import structlog

from apps.evaluation import scorers
from apps.evaluation.running.gateway import Answer, CallFailed, Gateway, Halted, Interrupted
from apps.evaluation.running.subjects import NotAskable, Subject, parsed
from apps.evaluation.scorers import Call, ChatCall, EmbeddingCall, Failure, Output, Reply, Sample, SubjectCall, Vectors

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Metric:
    """A scorer of the run, ready to score."""

    version_id: int
    scorer: scorers.Scorer


@dataclass(frozen=True, slots=True)
class Work:
    """An item to be done. ``output`` is there where it was answered before, here or elsewhere."""

    item_id: int
    repetition: int
    sample: Sample | None
    body: Mapping[str, Any]
    call_hash: str
    problem: NotAskable | None = None
    output: Output | None = None
    reused: Reused | None = None
    unscored: tuple[Metric, ...] = ()
    streams: bool = False


@dataclass(frozen=True, slots=True)
class Reused:
    """The answer of an earlier item to the same call."""

    request_id: str
    tool_calls: tuple[Mapping[str, Any], ...]
    cost_picousd: int


@dataclass(frozen=True, slots=True)
class Scored:
    version_id: int
    score: scorers.Score
    cost_picousd: int


@dataclass(frozen=True, slots=True)
class Result:
    """What came of an item. ``halted`` and ``interrupted`` ones go back with what they have; ``unscored_picousd`` is
    the cost of the calls of a score that did not come about, to be made again."""

    work: Work
    answer: Answer | None = None
    error: Failure | None = None
    request_id: str = ""
    tries: int = 0
    scores: tuple[Scored, ...] = ()
    halted: str = ""
    interrupted: bool = False
    unscored_picousd: int = 0

    @property
    def is_done(self) -> bool:
        return not self.halted and not self.interrupted

    @property
    def cost_picousd(self) -> int:
        """Of all that was called for it now."""
        answered = self.answer.cost_picousd if self.answer else 0
        return answered + sum(each.cost_picousd for each in self.scores) + self.unscored_picousd


@dataclass(slots=True)
class Asker:
    """Makes the calls that a scorer asks for, and adds up what they cost."""

    gateway: Gateway
    subject: Subject
    repetition: int
    said: Sequence[Any] = ()  # the example's own messages, as its item sends them
    cost_picousd: int = field(default=0)

    def __call__(self, calls: list[Call]) -> list[Reply]:
        return [self._reply(call) for call in calls]

    def _reply(self, call: Call) -> Reply:
        try:
            if isinstance(call, EmbeddingCall):
                embedded = self.gateway.embed(call.model, call.texts)
                self.cost_picousd += embedded.cost_picousd
                return Vectors(embedded.vectors)
            return self._chat(call)
        except CallFailed as failed:
            failure = Failure(failed.code, failed.message)
            return Vectors(error=failure) if isinstance(call, EmbeddingCall) else Output(error=failure)

    def _chat(self, call: ChatCall | SubjectCall) -> Output:
        if isinstance(call, SubjectCall):
            body = self.subject.body(call.sample, self.repetition, self.said)
        else:
            body = _judge_body(call)
        answer = self.gateway.chat(body, halts=False)
        self.cost_picousd += answer.cost_picousd
        return output_of_answer(answer)


def perform(work: Work, gateway: Gateway, subject: Subject) -> Result:
    """Answer and score. Never raises: what goes wrong is in the result."""
    result = Result(work)
    output = work.output
    if work.problem is not None:
        result = replace(result, error=Failure(work.problem.code, work.problem.message))
        output = Output(error=result.error)
    elif output is None:
        try:
            answer = gateway.chat(work.body, streams=work.streams)
            result = replace(result, answer=answer, request_id=answer.request_id, tries=answer.tries)
            output = output_of_answer(answer)
        except CallFailed as failed:
            failure = Failure(failed.code, failed.message)
            result = replace(result, error=failure, request_id=failed.request_id, tries=failed.tries)
            output = Output(error=failure)
        except Halted as halted:
            return replace(result, halted=str(halted) or "No call can be made now.")
        except Interrupted:
            return replace(result, interrupted=True)
        except Exception as error:
            # Raised, it would end the worker, and the next one would come to the same item.
            log.exception("evaluation_call_failed", item=work.item_id)
            failure = Failure("call_failed", f"The call could not be made ({type(error).__name__}).")
            result = replace(result, error=failure)
            output = Output(error=failure)
    if work.sample is None or result.error is not None:
        return result  # an item without an answer is an error of its own, not one of each scorer's
    if subject.expects_json and output.parsed is None:
        output = replace(output, parsed=parsed(output.text))
    return _scored(result, work.sample, output, gateway, subject)


def _scored(result: Result, sample: Sample, output: Output, gateway: Gateway, subject: Subject) -> Result:
    done: list[Scored] = []
    for metric in result.work.unscored:
        ask = Asker(gateway, subject, result.work.repetition, result.work.body.get("messages", ()))
        try:
            score = scorers.drive(metric.scorer, sample, output, ask)
        except Halted as halted:
            why = str(halted) or "No call can be made now."
            return replace(result, scores=tuple(done), halted=why, unscored_picousd=ask.cost_picousd)
        except Interrupted:
            return replace(result, scores=tuple(done), interrupted=True, unscored_picousd=ask.cost_picousd)
        except Exception as error:  # a call that its scorer made wrong; what else it does wrong ``drive`` takes
            log.exception("scorer_call_failed", scorer=metric.scorer.slug, item=result.work.item_id)
            said = f"{metric.scorer.title} asked for a call that cannot be made ({type(error).__name__})."
            score = scorers.Score.failed("scorer_failed", said)
        done.append(Scored(metric.version_id, score, ask.cost_picousd))
    return replace(result, scores=tuple(done))


def output_of_answer(answer: Answer) -> Output:
    return Output(
        text=answer.text,
        tool_calls=tuple(scorers.ToolCall(each["name"], each["arguments"]) for each in answer.tool_calls),
        finish_reason=answer.finish_reason,
        latency_ms=answer.duration_ms,
        first_token_ms=answer.first_token_ms,
        cost_picodollars=answer.cost_picousd,
        input_tokens=answer.input_tokens,
        output_tokens=answer.output_tokens,
    )


def _judge_body(call: ChatCall) -> dict[str, Any]:
    body: dict[str, Any] = {
        "model": call.model,
        "messages": [{"role": each.role, "content": each.content} for each in call.messages],
        "temperature": call.temperature,
        "max_tokens": call.max_tokens,
        "seed": call.seed,
        "response_format": call.response_format,
    }
    return {name: value for name, value in body.items() if value is not None}


def streams(metrics: Sequence[Metric]) -> bool:
    """Whether answers have to be streamed."""
    return any(scorers.Need.STREAM in metric.scorer.needs for metric in metrics)
