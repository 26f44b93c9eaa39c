"""The words of the prompt catalog, and what a version is made of, as it lies in the database."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from django.db import models
from msgspec import Meta

MOST_MESSAGES = 50
MOST_CHARACTERS = 200_000  # of all messages together
MOST_VARIABLES = 50
MOST_TOOLS = 32
MOST_SHARES = 8
# What a caller gets who names neither a label nor a version.
DEFAULT_LABEL = "live"


class UseCase(models.TextChoices):
    SUMMARISE = "summarise", "Summarise"
    DRAFT = "draft", "Draft and rewrite"
    EXTRACT = "extract", "Extract data"
    CLASSIFY = "classify", "Classify"
    ANSWER = "answer", "Answer from documents"
    ANALYSE = "analyse", "Analyse and reason"
    TRANSLATE = "translate", "Translate"
    CODE = "code", "Write code"
    CONVERSE = "converse", "Converse"


class Decision(models.TextChoices):
    """Why a label points where it points."""

    PERSON = "person", "Released by a person"
    ROLLBACK = "rollback", "Rolled back"
    WITHDRAWAL = "withdrawal", "Withdrawn"
    GATE = "gate", "Released by its gate"


class Message(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """``content`` may hold ``{{name}}`` for a variable and ``{{> slug}}`` for another prompt's text."""

    role: Literal["system", "user", "assistant"]
    content: str


class Parameters(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True, frozen=True):
    """As the gateway takes them, in any dialect; None leaves one to the caller and the model."""

    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    max_tokens: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    seed: Annotated[int, Meta(ge=-(2**53), le=2**53)] | None = None
    stop: Annotated[list[Annotated[str, Meta(min_length=1, max_length=200)]], Meta(max_length=4)] | None = None
    presence_penalty: Annotated[float, Meta(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, Meta(ge=-2, le=2)] | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high"] | None = None


class ToolFunction(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True, frozen=True):
    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    description: Annotated[str, Meta(max_length=4_000)] = ""
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """In the form of the chat completions API, which most people know."""

    function: ToolFunction
    type: Literal["function"] = "function"


class Include(msgspec.Struct, frozen=True):
    """Another prompt's version as it was when it was put in: its text, so that this one never changes by it."""

    slug: str
    number: int
    hash: str
    text: str


class Content(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What a version says. ``variables`` maps each name to its JSON schema, in which ``default`` makes it optional and
    ``examples`` help those who fill it in. ``includes`` is worked out by the server, by what stands in the messages.
    """

    messages: list[Message]
    variables: dict[str, Any] = {}
    parameters: Parameters = Parameters()
    tools: list[Tool] = []
    output_schema: dict[str, Any] | None = None
    model: str = ""
    includes: dict[str, Include] = {}


def plain(value: Any) -> Any:
    """For a JSON field."""
    return msgspec.to_builtins(value)
