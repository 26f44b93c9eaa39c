"""What a run evaluates: what is asked of it for an example, and what a scorer sees of both."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from apps.evaluation.models import Evaluation, EvaluationItem, ExampleRevision
from apps.evaluation.scorers import Failure, Message, Output, Sample, ToolCall
from apps.gateway.routing.behind import behind
from apps.prompts.errors import VariablesInvalid
from apps.prompts.models import PromptVersion
from apps.prompts.rendering import Template

# In the place of a model's name: no model is asked, each example brings the answer that was given once.
RECORDED: Final = "recorded"
ANSWER: Final = "answer"
# Beside it, for a judge that compares: the answer that people compared it with.
BASELINE_ANSWER: Final = "baseline_answer"


class NotAskable(Exception):
    """The example does not fit what is evaluated; the message says how."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Subject:
    """A prompt's version on a model, or a model alone. ``behind`` is a digest of what its name stands for now."""

    model: str
    parameters: Mapping[str, Any]
    seed: int | None = None
    prompt_slug: str = ""
    prompt_number: int = 0
    prompt_hash: str = ""
    template: Template | None = field(default=None, repr=False)
    expects_json: bool = False
    behind: str = ""

    @classmethod
    def of(cls, evaluation: Evaluation) -> Subject:
        """The prompt's version must be loaded with its prompt."""
        made = make_subject(evaluation.prompt_version, evaluation.model, evaluation.parameters, evaluation.seed)
        return made if made.is_recorded else replace(made, behind=behind(evaluation.tenant, evaluation.model))

    def sample(self, revision: ExampleRevision, baseline: Output | None = None) -> Sample:
        """The example as scorers see it. Raises ``NotAskable``."""
        given, expected = revision.input, revision.expected
        if self.is_recorded:
            other = given.get(BASELINE_ANSWER)
            if baseline is None and isinstance(other, str):
                baseline = Output(text=other)
            given = {name: value for name, value in given.items() if name not in (ANSWER, BASELINE_ANSWER)}
            # What people thought of the answer is not for whoever judges it.
            expected = expected.get("reference") if isinstance(expected, dict) else None
        variables, messages = self._split(given)
        return Sample(
            id=str(revision.example_id),
            messages=tuple(messages),
            variables=variables,
            expected=expected_of(expected),
            context=tuple(map(str, revision.context)),
            tags=tuple(map(str, revision.tags)),
            baseline=baseline,
            rendered=self._rendered,
            render=None if self.template is None else self._render,
        )

    @property
    def is_recorded(self) -> bool:
        return self.template is None and self.model == RECORDED

    def recorded(self, revision: ExampleRevision) -> Output:
        """The answer that the example brings: a text, or an object with the ``text`` and what it took. Raises
        ``NotAskable``."""
        answer = revision.input.get(ANSWER)
        if isinstance(answer, str):
            return Output(text=answer)
        if not isinstance(answer, Mapping) or not isinstance(answer.get("text"), str):
            raise NotAskable("no_recorded_answer", f"The example's input has no text {ANSWER!r}.")
        calls = [each for each in _list(answer.get("tool_calls")) if isinstance(each, Mapping)]
        return Output(
            text=answer["text"],
            tool_calls=tuple(ToolCall(str(each.get("name", "")), str(each.get("arguments", ""))) for each in calls),
            finish_reason=str(answer.get("finish_reason") or "")[:40],
            latency_ms=_count(answer.get("duration_ms")),
            first_token_ms=_count(answer.get("first_token_ms")),
            cost_picodollars=_count(answer.get("cost_picousd"), below=2**53),
            input_tokens=_count(answer.get("input_tokens")),
            output_tokens=_count(answer.get("output_tokens")),
        )

    def _split(self, given: Mapping[str, Any]) -> tuple[dict[str, Any], list[Message]]:
        said = [_message(each) for each in _list(given.get("messages")) if isinstance(each, Mapping)]
        if self.template is None:
            values = {name: value for name, value in given.items() if name != "messages"}
            if not said:
                said = [Message("user", _question(values))]
            return values, said
        # A dataset may hold more than this version asks for: what it does not know is left out.
        known = self.template.content.variables
        values = {name: value for name, value in given.items() if name in known}
        try:
            rendered = self.template.render(values)
        except VariablesInvalid as error:
            raise NotAskable("prompt_variables_invalid", error.message) from None
        return values, [*(Message(each.role, each.content) for each in rendered), *said]

    @property
    def _rendered(self) -> int:
        """How many messages of a sample are the prompt's."""
        return 0 if self.template is None else len(self.template.content.messages)

    def _render(self, variables: Mapping[str, Any]) -> tuple[Message, ...] | None:
        assert self.template is not None
        try:
            return tuple(Message(each.role, each.content) for each in self.template.render(variables))
        except VariablesInvalid:
            return None

    def body(self, sample: Sample, repetition: int = 0, said: Sequence[Any] | None = None) -> dict[str, Any]:
        """The call that asks for ``sample``; the gateway renders the prompt itself. ``said`` are the example's own
        messages as they came, with what a scorer does not see (images, calls of tools): that is sent as well, also
        where a scorer has changed the words."""
        body: dict[str, Any] = {"model": self.model, **self.parameters}
        if self.seed is not None:
            body["seed"] = self.seed + repetition
        own = sample.messages[self._rendered :]
        came = [each for each in said or () if isinstance(each, Mapping)]
        if len(came) != len(own):
            came = [{"role": each.role, "content": each.content} for each in own]
        messages = [_in_words_of(message, each) for message, each in zip(own, came, strict=True)]
        if self.template is None:
            return {**body, "messages": messages}
        body["prompt"] = {
            "id": self.prompt_slug,
            "version": self.prompt_number,
            "variables": dict(sample.variables),
        }
        return {**body, "messages": messages} if messages else body

    def hash_of(self, revision: ExampleRevision, repetition: int) -> str:
        """Of the call that would be made for it now. Raises ``NotAskable``."""
        body = self.body(self.sample(revision), repetition, said_in(revision))
        return self.call_hash(body, repetition)

    def call_hash(self, body: Mapping[str, Any], repetition: int) -> str:
        """Equal where nothing that could change the answer differs. A repetition is never another one's answer."""
        identity = json.dumps([body, self.prompt_hash, self.behind, repetition], sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()


def make_subject(version: PromptVersion | None, model: str, parameters: Mapping[str, Any], seed: int | None) -> Subject:
    if version is None:
        return Subject(model, dict(parameters), seed)
    content = version.content
    return Subject(
        model=model,
        parameters=dict(parameters),
        seed=seed,
        prompt_slug=version.prompt.slug,
        prompt_number=version.number,
        prompt_hash=version.content_hash,
        template=Template(content),
        expects_json=content.output_schema is not None,
    )


def said_in(revision: ExampleRevision) -> list[Any]:
    """The example's own messages as they came."""
    return _list(revision.input.get("messages"))


def expected_of(value: Any) -> tuple[Any, ...]:
    """The right answers: each item of a list of plain values is one; anything else is the one itself."""
    if value is None:
        return ()
    if isinstance(value, list) and value and not any(isinstance(each, dict | list) for each in value):
        return tuple(value)
    return (value,)


def output_of(item: EvaluationItem, *, expects_json: bool = False) -> Output:
    """An item's answer as scorers see it; what a reused one costs is what it had cost."""
    if item.error_code and not item.output:
        return Output(error=Failure(item.error_code, item.error))
    calls = tuple(
        ToolCall(str(each.get("name", "")), str(each.get("arguments", "")))
        for each in item.tool_calls
        if isinstance(each, Mapping)
    )
    return Output(
        text=item.output,
        parsed=parsed(item.output) if expects_json else None,
        tool_calls=calls,
        finish_reason=item.finish_reason,
        latency_ms=item.duration_ms,
        first_token_ms=item.first_token_ms,
        cost_picodollars=item.saved_picousd if item.is_reused else item.cost_picousd,
        input_tokens=item.input_tokens,
        output_tokens=item.output_tokens,
    )


def parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _count(value: Any, below: int = 2**31) -> int | None:
    """None, too, of what is too large for its column."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < below else None


def _message(each: Mapping[str, Any]) -> Message:
    content = each.get("content")
    if isinstance(content, list):
        content = "\n".join(str(part.get("text", "")) for part in content if isinstance(part, Mapping))
    return Message(str(each.get("role", "user")), "" if content is None else str(content))


def _in_words_of(message: Message, came: Mapping[str, Any]) -> Mapping[str, Any]:
    """The message as it came, unless its words are others now."""
    if _message(came) == message:
        return came
    content: Any = came.get("content")
    if isinstance(content, list):
        others = [part for part in content if not (isinstance(part, Mapping) and "text" in part)]
        return {**came, "content": [{"type": "text", "text": message.content}, *others]}
    return {**came, "content": message.content}


def _question(values: Mapping[str, Any]) -> str:
    """What to ask a model that no prompt speaks to: the one text of the example, or all of its fields by name."""
    texts = [value for value in values.values() if isinstance(value, str)]
    if len(values) == 1 and texts:
        return texts[0]
    if not values:
        raise NotAskable("nothing_to_ask", "The example has neither messages nor values.")
    return "\n".join(
        f"{name}: {value if isinstance(value, str) else json.dumps(value)}" for name, value in values.items()
    )
