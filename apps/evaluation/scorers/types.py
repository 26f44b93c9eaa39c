"""The words of scoring: what was asked, what was answered, what it is worth, and the calls that a scorer may need."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from apps.evaluation.types import Direction, ValueKind

__all__ = [
    "Call", "ChatCall", "Direction", "EmbeddingCall", "Failure", "Message", "Need", "Output", "Reply", "Sample",
    "Score", "SubjectCall", "ToolCall", "ValueKind", "Vectors",
]  # fmt: skip


class Need(StrEnum):
    """What a scorer cannot do without."""

    EXPECTED = "expected"  # the example has an expected value
    CONTEXT = "context"  # the example has documents that the answer should rest on
    BASELINE = "baseline"  # another answer to the same example
    JUDGE = "judge"  # a model that judges: ChatCall
    WRITER = "writer"  # a model that says the question in other words, and judges nothing: ChatCall
    EMBEDDINGS = "embeddings"  # a model that embeds: EmbeddingCall
    SUBJECT = "subject"  # what is being evaluated answers again: SubjectCall
    SANDBOX = "sandbox"  # a process in which code may run
    STREAM = "stream"  # the answer is streamed, so that its first piece has a time of its own


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no answer, or no score. ``code`` is for programs to count by, ``message`` for people."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Message:
    role: str
    content: str


@dataclass(frozen=True, slots=True)
class ToolCall:
    name: str
    arguments: str  # as the model wrote them: JSON, one hopes


@dataclass(frozen=True, slots=True)
class Output:
    """One answer of a model. Figures are None where nobody measured them."""

    text: str = ""
    parsed: Any = None  # of a structured answer; None where there is none
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str = ""
    latency_ms: float | None = None
    first_token_ms: float | None = None
    cost_picodollars: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    error: Failure | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """One example as scorers see it.

    Args:
        id: The example's; a seed of whatever is drawn by chance.
        messages: What the model was asked: a prompt's messages, rendered, and then the example's own.
        variables: What they were rendered from.
        expected: Values of which each is right.
        context: Documents that the answer should rest on.
        baseline: What the other side of a comparison answered.
        rendered: How many of the messages are the prompt's.
        render: Those messages by other variables, or None where the prompt does not take these.
    """

    id: str
    messages: tuple[Message, ...] = ()
    variables: Mapping[str, Any] = field(default_factory=dict)
    expected: tuple[Any, ...] = ()
    context: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    baseline: Output | None = None
    rendered: int = 0
    render: Callable[[Mapping[str, Any]], tuple[Message, ...] | None] | None = field(
        default=None, compare=False, repr=False
    )

    @property
    def question(self) -> str:
        """The last thing that the user said, or the variables where there are no messages."""
        for message in reversed(self.messages):
            if message.role == "user":
                return message.content
        return "\n".join(f"{name}: {value}" for name, value in self.variables.items())


@dataclass(frozen=True, slots=True)
class Score:
    """A value, or the failure that stands in its place: an error is a status and never a 0.

    Args:
        value: A finite number in the scorer's range; None exactly when there is an ``error``.
        label: The verdict as a word, where there is one.
        reason: Why, in a sentence, for a person.
        details: More, as plain JSON values.
    """

    value: float | None
    label: str = ""
    reason: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)
    error: Failure | None = None

    def __post_init__(self) -> None:
        # A package's scorer may bring anything; what is none of these could not be written down.
        if not isinstance(self.value, int | float | None):
            raise TypeError(f"A score is a number, and no {type(self.value).__name__}.")
        parts: tuple[tuple[object, type], ...] = ((self.label, str), (self.reason, str), (self.details, Mapping))
        if not all(isinstance(part, kind) for part, kind in parts):
            raise TypeError("A score's label and reason are texts, and its details a mapping.")
        if (self.value is None) != (self.error is not None):
            raise ValueError("A score has either a value or an error.")
        if self.value is not None and not math.isfinite(self.value):
            raise ValueError(f"{self.value} is no score.")

    @property
    def status(self) -> str:
        return "error" if self.error else "ok"

    @classmethod
    def passed(cls, passed: bool, reason: str = "", **details: Any) -> Score:
        """A binary score."""
        return cls(float(passed), "pass" if passed else "fail", reason, details)

    @classmethod
    def failed(cls, code: str, message: str, **details: Any) -> Score:
        return cls(None, reason=message, details=details, error=Failure(code, message))


# What a scorer may ask for, and what it is sent.


@dataclass(frozen=True, slots=True)
class ChatCall:
    """Ask ``model`` in these words. Answered by an ``Output``."""

    model: str
    messages: tuple[Message, ...]
    response_format: Mapping[str, Any] | None = None
    temperature: float | None = 0.0
    max_tokens: int | None = None
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class SubjectCall:
    """Let what is being evaluated (the same prompt and model) answer ``sample``. An ``Output`` comes back."""

    sample: Sample


@dataclass(frozen=True, slots=True)
class EmbeddingCall:
    """Embed ``texts``. Answered by ``Vectors`` in their order."""

    model: str
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Vectors:
    vectors: tuple[tuple[float, ...], ...] = ()
    error: Failure | None = None


Call = ChatCall | SubjectCall | EmbeddingCall
Reply = Output | Vectors
