"""Whose fault an error is, as servers that speak like OpenAI's tell it: by it a breaker is opened, or is not."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest
from msgspec import Raw

from apps.models.providers.dialects.messages import errors as messages_errors
from apps.models.providers.openai_errors import read_error, read_error_event


@pytest.mark.parametrize(
    ("told", "kind", "refusal"),
    [
        ({"code": "invalid_image_url"}, "caller", ""),
        ({"code": "image_content_policy_violation"}, "caller", ""),
        ({"code": 400, "type": "BadRequestError"}, "caller", ""),
        ({"code": None, "type": "invalid_request_error"}, "caller", ""),
        ({"code": "context_length_exceeded"}, "caller", "context_window"),
        ({"code": "rate_limit_exceeded"}, "rate_limited", ""),
        ({"code": 429}, "rate_limited", ""),
        ({"code": "server_error"}, "overloaded", ""),
        ({}, "overloaded", ""),
    ],
)
def test_an_error_in_a_stream_says_whose_fault_it_is(told: dict[str, object], kind: str, refusal: str) -> None:
    error = read_error_event(Raw(json.dumps({"message": "No.", **told}).encode()))
    assert (error.kind, error.refusal) == (kind, refusal)


@pytest.mark.parametrize(
    ("type", "kind"),
    [("invalid_request_error", "caller"), ("rate_limit_error", "rate_limited"), ("api_error", "overloaded")],
)
def test_an_error_in_a_stream_of_messages_does_so_too(type: str, kind: str) -> None:
    assert messages_errors.read_error_event(json.dumps({"error": {"type": type}}).encode()).kind == kind


def test_a_time_to_wait_may_be_a_date_or_milliseconds() -> None:
    def told(**headers: str) -> float | None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return read_error(429, httpx.Headers(named), b"").retry_after

    soon = told(retry_after=format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True))
    assert soon is not None
    assert 80 < soon <= 90
    assert told(retry_after="Wed, 21 Oct 2015 07:28:00 GMT") == 0.0
    assert told(retry_after="Someday, 99 Nov") is None
    assert told(retry_after="2", retry_after_ms="1500") == 1.5
    assert told(retry_after="2", retry_after_ms="soon") == 2.0


@pytest.mark.parametrize(("told", "seconds"), [("2.5", 2.5), ("-1", 0.0), ("inf", None), ("nan", None), ("soon", None)])
def test_only_a_finite_time_to_wait_is_one(told: str, seconds: float | None) -> None:
    assert read_error(429, httpx.Headers({"retry-after": told}), b"").retry_after == seconds


@pytest.mark.parametrize(
    ("body", "words", "refusal"),
    [
        ({"error": {"message": "No", "code": "context_length_exceeded"}}, "No", "context_window"),
        (
            {"error": {"message": "This model's maximum context length is 4096 tokens.", "code": 400}},
            "4096",
            "context_window",
        ),
        (
            {"object": "error", "message": "The maximum context length is 4096 tokens.", "code": 400},
            "4096",
            "context_window",
        ),
        (
            {
                "error": {
                    "message": "the request exceeds the available context size",
                    "type": "exceed_context_size_error",
                }
            },
            "available",
            "context_window",
        ),
        ({"error": {"message": "too long", "code": "invalid_value"}}, "too long", ""),
        ({"error": "Plain words"}, "Plain words", ""),
        ({"detail": "Not that one"}, "Not that one", ""),
        ({"detail": [{"loc": ["body", "top_p"], "msg": "too large", "type": "x"}]}, "body.top_p: too large", ""),
        ({"detail": [{"msg": "no"}]}, "no", ""),
        ({"detail": {"odd": 1}}, "The upstream answered 400.", ""),
        ([], "The upstream answered 400.", ""),
    ],
)
def test_a_servers_words_are_read_where_it_puts_them(body: object, words: str, refusal: str) -> None:
    """So that a caller learns what is wrong, and an input that is too long goes to the chain for it."""
    error = read_error(400, httpx.Headers(), json.dumps(body).encode())
    assert (error.kind, error.refusal) == ("caller", refusal)
    assert words in error.message
    assert error.code == ("context_length_exceeded" if refusal else error.code)
