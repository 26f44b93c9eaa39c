"""The lines of the spool, one JSON object each.

Per upstream attempt: an ``Intent`` before dispatch and a ``Settlement`` when it ended. Per request: one
``RequestLine``, after its settlements and best in one append with the last of them. Every line stands alone, so that
the drainer needs no other line to record it. Times are Unix milliseconds; ids of requests and attempts are 32
hexadecimal digits.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

# What a reader takes. A value beyond these bounds is no usage but a fault: its line is kept aside, not booked.
Id = Annotated[str, Meta(min_length=1, max_length=32)]
Milliseconds = Annotated[int, Meta(ge=0, le=7_258_118_399_999)]  # to the end of the year 2199
RowId = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Tokens = Annotated[int, Meta(ge=0, le=10**12)]
MOST_PICOUSD = 10**18  # a million dollars
Cost = Annotated[int, Meta(ge=-MOST_PICOUSD, le=MOST_PICOUSD)]
Duration = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Small = Annotated[int, Meta(ge=0, le=2**15 - 1)]


class Line(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who and what, in every line. Ids are those of the database rows; 0 stands for none."""

    request_id: Id
    at: Milliseconds
    tenant_id: RowId = 0
    project_id: RowId = 0
    api_key_id: RowId = 0
    user_id: RowId = 0


class Intent(Line, frozen=True, kw_only=True, omit_defaults=True, tag="intent", tag_field="line"):
    """An attempt is about to be dispatched. ``input_tokens`` and ``units`` are our estimates; they stand if nothing
    better comes."""

    attempt_id: Id
    model_id: RowId
    endpoint_id: RowId
    price_id: RowId = 0
    model_slug: str = ""
    operation: str = ""
    streamed: bool = False
    input_tokens: Tokens = 0
    units: Tokens = 0


class Settlement(Line, frozen=True, kw_only=True, omit_defaults=True, tag="settlement", tag_field="line"):
    """An attempt ended. ``status`` and ``outcome`` are values of ``UsageStatus`` and ``Outcome``."""

    attempt_id: Id
    model_id: RowId
    endpoint_id: RowId
    price_id: RowId = 0
    status: str
    outcome: str
    http_status: Small = 0
    streamed: bool = False
    input_tokens: Tokens = 0
    output_tokens: Tokens = 0
    cached_tokens: Tokens = 0
    cache_write_tokens: Tokens = 0
    cache_write_1h_tokens: Tokens = 0
    reasoning_tokens: Tokens = 0
    audio_input_tokens: Tokens = 0
    audio_output_tokens: Tokens = 0
    image_input_tokens: Tokens = 0
    image_output_tokens: Tokens = 0
    units: Tokens = 0
    cost_picousd: Cost = 0
    duration_ms: Duration = 0
    first_token_ms: Duration | None = None
    upstream_request_id: str = ""


class RequestLine(Line, frozen=True, kw_only=True, omit_defaults=True, tag="request", tag_field="line"):
    """A request was answered, served or denied; ``why`` holds the facts behind the answer."""

    operation: str
    outcome: str
    http_status: Small
    model_slug: str = ""
    streamed: bool = False
    error_code: str = ""
    attempts: Small = 0
    input_tokens: Tokens = 0
    output_tokens: Tokens = 0
    cost_picousd: Cost = 0
    duration_ms: Duration = 0
    first_token_ms: Duration | None = None
    prompt_id: RowId = 0
    prompt_version: Annotated[int, Meta(ge=0, le=2**31 - 1)] = 0
    why: dict[str, Any] = {}


AnyLine = Intent | Settlement | RequestLine
