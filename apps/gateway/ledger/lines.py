"""The lines of the spool, one JSON object each.

Per upstream attempt: an ``Intent`` before dispatch and a ``Settlement`` when it ended. Per request: one
``RequestLine``, after its settlements and best in one append with the last of them. Every line stands alone, so that
the drainer needs no other line to record it. Times are Unix milliseconds; ids of requests and attempts are 32
hexadecimal digits.
"""

from __future__ import annotations

from typing import Any

import msgspec


class Line(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who and what, in every line. Ids are those of the database rows; 0 stands for none."""

    request_id: str
    at: int
    tenant_id: int = 0
    project_id: int = 0
    api_key_id: int = 0
    user_id: int = 0


class Intent(Line, frozen=True, kw_only=True, omit_defaults=True, tag="intent", tag_field="line"):
    """An attempt is about to be dispatched. ``input_tokens`` is our estimate; it stands if nothing better comes."""

    attempt_id: str
    model_id: int
    endpoint_id: int
    price_id: int = 0
    model_slug: str = ""
    operation: str = ""
    streamed: bool = False
    input_tokens: int = 0


class Settlement(Line, frozen=True, kw_only=True, omit_defaults=True, tag="settlement", tag_field="line"):
    """An attempt ended. ``status`` and ``outcome`` are values of ``UsageStatus`` and ``Outcome``."""

    attempt_id: str
    model_id: int
    endpoint_id: int
    price_id: int = 0
    status: str
    outcome: str
    http_status: int = 0
    streamed: bool = False
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    cost_picousd: int = 0
    duration_ms: int = 0
    first_token_ms: int | None = None
    upstream_request_id: str = ""


class RequestLine(Line, frozen=True, kw_only=True, omit_defaults=True, tag="request", tag_field="line"):
    """A request was answered, served or denied; ``why`` holds the facts behind the answer."""

    operation: str
    outcome: str
    http_status: int
    model_slug: str = ""
    streamed: bool = False
    error_code: str = ""
    attempts: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_picousd: int = 0
    duration_ms: int = 0
    first_token_ms: int | None = None
    why: dict[str, Any] = {}


AnyLine = Intent | Settlement | RequestLine
