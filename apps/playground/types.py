"""The words of the playground, and what a column is made of, as it comes over the socket and lies in the database."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from django.db import models
from msgspec import Meta

from apps.prompts.types import UseCase as UseCase  # one list for what people use models for

MOST_COLUMNS = 4
MOST_CHARACTERS = 200_000  # of a message or a system prompt
MOST_TOOLS = 32
MOST_ATTACHMENTS = 8
MOST_ATTACHED_BYTES = 6 * 1024 * 1024
IMAGE_TYPES = frozenset({"image/png", "image/jpeg", "image/webp", "image/gif"})


class AnswerStatus(models.TextChoices):
    RUNNING = "running", "Running"
    DONE = "done", "Done"
    STOPPED = "stopped", "Stopped"
    FAILED = "failed", "Failed"
    INTERRUPTED = "interrupted", "Interrupted"


# What a model gets to see as its own words in the next turn.
READ_ON = frozenset({AnswerStatus.DONE, AnswerStatus.STOPPED, AnswerStatus.INTERRUPTED})


class Verdict(models.TextChoices):
    UP = "up", "Good"
    DOWN = "down", "Bad"


class Reason(models.TextChoices):
    """Why an answer is bad, as chips on the page."""

    FABRICATED = "fabricated", "Fabricated"
    INAPPROPRIATE = "inappropriate", "Inappropriate"
    UNSAFE = "unsafe", "Unsafe"
    WRONG = "wrong", "Wrong"
    UNHELPFUL = "unhelpful", "Unhelpful"
    TOO_LONG = "too_long", "Too long"


class TriageStatus(models.TextChoices):
    OPEN = "open", "Open"
    CONFIRMED = "confirmed", "Confirmed"
    RESOLVED = "resolved", "Resolved"


class Winner(models.TextChoices):
    """Of a blind comparison. A and B are the places on the page, which the server had shuffled."""

    A = "a", "A is better"
    B = "b", "B is better"
    TIE = "tie", "Tie"
    BOTH_BAD = "both_bad", "Both are bad"


class RatingKind(models.TextChoices):
    """What a rating set is made of."""

    THUMBS = "thumbs", "Thumbs on answers"
    VOTES = "votes", "Blind votes"


class Parameters(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True, frozen=True):
    """As the gateway takes them; None leaves one to the model."""

    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    max_tokens: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    seed: Annotated[int, Meta(ge=-(2**53), le=2**53)] | None = None
    stop: Annotated[list[Annotated[str, Meta(min_length=1, max_length=200)]], Meta(max_length=4)] | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high"] | None = None


class PromptChoice(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True, frozen=True):
    """A prompt of the catalog, by a label (in the project's environment) or by a version, and its variables' values."""

    id: Annotated[str, Meta(min_length=1, max_length=50)]
    label: Annotated[str, Meta(max_length=50)] = ""
    version: Annotated[int, Meta(ge=1, le=2**31 - 1)] | None = None
    variables: dict[str, Any] = {}


class Column(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True, frozen=True):
    """One column: what is asked of which model or route. ``schema`` is the JSON schema that the answer has to fill.

    With a ``prompt``, an empty ``model`` is the prompt's own; the prompt has its own words in the place of ``system``.
    """

    model: Annotated[str, Meta(max_length=200)] = ""
    system: Annotated[str, Meta(max_length=MOST_CHARACTERS)] = ""
    parameters: Parameters = Parameters()
    tools: Annotated[list[dict[str, Any]], Meta(max_length=MOST_TOOLS)] = []
    schema: dict[str, Any] | None = None
    prompt: PromptChoice | None = None


class Attached(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A file beside a message: an image in base64, or a text as it is."""

    name: Annotated[str, Meta(min_length=1, max_length=200)]
    media_type: Annotated[str, Meta(max_length=100)]
    data: Annotated[str, Meta(min_length=1)]

    @property
    def is_image(self) -> bool:
        return self.media_type.startswith("image/")


def column_of(value: Any) -> Column:
    """A column as it lies in the database."""
    return msgspec.convert(value, Column)


def plain(value: msgspec.Struct) -> dict[str, Any]:
    """For a JSON field."""
    made: dict[str, Any] = msgspec.to_builtins(value)
    return made
