"""A front: one operation of an API that callers speak, with that API's own errors.

A front reads a request and names what the gateway has to know of it; the rest passes on as it came. Answers are
written by the dialects (``apps/models/providers/dialects``); what a front writes itself is errors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec
from msgspec import Raw

from apps.gateway.errors import GatewayError
from apps.models.providers.base import Operation

Header = tuple[bytes, bytes]
JSON = b"application/json"


class Options(msgspec.Struct, forbid_unknown_fields=True):
    """What a caller tells Lobby itself, in the field ``lobby``. A slip in it is an error, and never ignored."""

    strict: bool | None = None  # a parameter that the upstream cannot take is an error
    conversation: str | None = None  # where a sticky route is to stay
    tags: dict[str, str] | None = None  # for the conditions of routes
    store: bool | None = None  # false: no sample of the content is kept


class PromptReference(msgspec.Struct):
    """A prompt of the catalog, by id and version or label. ``sticky`` names whom a split label is to stay with."""

    id: str
    version: str | int | None = None
    label: str | None = None
    variables: dict[str, Any] | None = None
    sticky: str | None = None


class Request(Protocol):
    """What the gateway has to know of a request, whatever the API."""

    @property
    def operation(self) -> Operation: ...
    @property
    def model(self) -> str: ...
    @property
    def max_output(self) -> int | None:
        """The most output tokens per choice that the caller asked for; None when it named no maximum."""
        ...

    @property
    def choices(self) -> int: ...
    @property
    def streams(self) -> bool: ...
    @property
    def wants_usage(self) -> bool:
        """Whether the caller asked for the usage in its stream, where the API leaves it out otherwise."""
        ...

    @property
    def prompt(self) -> PromptReference | None: ...
    @property
    def lobby(self) -> Options | None: ...


@dataclass(frozen=True, slots=True)
class Arrived:
    """A call as it came: the path still percent-encoded, the names of the headers in lower case."""

    path: str
    headers: Mapping[bytes, bytes]
    body: bytes


@dataclass(frozen=True, slots=True)
class Parsed:
    """``fields`` are the top-level ones, raw; a body that is no JSON is in ``content``. ``headers`` are those of the
    caller's that an upstream of the same dialect is shown. ``units`` are the most images, seconds, characters or
    searches that it can come to; ``usual_units``, where that is far more than usual, an estimate. ``carried`` are
    parameters of a prompt that the caller's API has no word for."""

    request: Request
    fields: dict[str, Raw]
    content: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    units: int = 0
    usual_units: int | None = None
    carried: Mapping[str, Any] = field(default_factory=dict)

    @property
    def estimated_units(self) -> int:
        return self.units if self.usual_units is None else self.usual_units


class Errors(Protocol):
    """How an API writes its errors: that part of a ``Front``."""

    request_id_header: bytes

    def error(self, error: GatewayError, request_id: str) -> tuple[list[Header], bytes]: ...


class Front(Protocol):
    operation: Operation
    media_types: frozenset[bytes]  # of the bodies it takes
    stream_type: bytes
    request_id_header: bytes  # where the API's clients look for the request's id

    def parse(self, arrived: Arrived) -> Parsed:
        """Raises ``InvalidRequest``, naming the field."""
        ...

    def bounds(self, parsed: Parsed) -> tuple[int, int]:
        """(upper bound, estimate) of the input's tokens; see ``openai.input_bounds``."""
        ...

    def error(self, error: GatewayError, request_id: str) -> tuple[list[Header], bytes]:
        """Headers, among them the content's type, and the body."""
        ...

    def error_event(self, error: GatewayError, request_id: str) -> bytes:
        """The same as the last event of a stream that has begun."""
        ...
