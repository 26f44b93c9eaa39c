"""What a condition may ask about a request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Literal

Kind = Literal["number", "text", "flag"]

FACTS: Final[Mapping[str, tuple[Kind, str]]] = {
    "tokens": ("number", "the input's tokens, estimated"),
    "max_tokens": ("number", "the most output tokens that were asked for; 0 when none were named"),
    "stream": ("flag", "the answer is streamed"),
    "has_images": ("flag", "a message holds an image"),
    "has_tools": ("flag", "tools are offered"),
    "operation": ("text", "such as chat.completions"),
    "tenant": ("text", "the tenant's slug"),
    "project": ("text", "the project's slug"),
    "environment": ("text", "the project's: dev, test or prod"),
    "user": ("text", "the person's e-mail address; empty for a key"),
    "role": ("text", "the person's role in the tenant; empty for a key"),
    "country": ("text", "of the person, by a trusted proxy: DE; empty when unknown"),
    "hour": ("number", "0 to 23, in the tenant's time zone"),
    "weekday": ("text", "mon to sun, in the tenant's time zone"),
}
WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True, slots=True)
class RequestFacts:
    """The facts of one request. ``headers`` are those that begin with ``x-``, in lower case."""

    tokens: int = 0
    max_tokens: int = 0
    stream: bool = False
    has_images: bool = False
    has_tools: bool = False
    operation: str = "chat.completions"
    tenant: str = ""
    project: str = ""
    environment: str = ""
    user: str = ""
    role: str = ""
    country: str = ""
    at: datetime = field(default_factory=lambda: datetime.now(UTC))  # in the tenant's zone
    headers: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def hour(self) -> int:
        return self.at.hour

    @property
    def weekday(self) -> str:
        return WEEKDAYS[self.at.weekday()]
