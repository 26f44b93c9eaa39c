"""Errors as the Messages API writes them.

Source: the public API reference of Anthropic, errors.
"""

from __future__ import annotations

import httpx
import msgspec

from apps.models.providers.base import ErrorKind, ProviderError, Refusal, no_words
from apps.models.providers.openai_errors import MAX_ERROR_TEXT, kind_of, retry_after, word

_KINDS: dict[str, ErrorKind] = {
    "authentication_error": "credential",
    "permission_error": "credential",
    "billing_error": "credential",
    "rate_limit_error": "rate_limited",
    "overloaded_error": "overloaded",
    "timeout_error": "timeout",
}
# What only the words of a 400 tell: whose mistake it is, and whether another model may not mind.
_OURS = ("credit balance is too low",)
_REFUSALS: tuple[tuple[str, Refusal], ...] = (
    ("prompt is too long", "context_window"),
    ("exceed context limit", "context_window"),
    ("content filtering policy", "content_policy"),
)
# The codes by which callers of the other APIs know these two.
_CODES: dict[Refusal, str] = {"context_window": "context_length_exceeded", "content_policy": "content_policy_violation"}


class _Detail(msgspec.Struct):
    message: str = ""
    type: str | None = None


class _Body(msgspec.Struct):
    error: _Detail | None = None


_decode = msgspec.json.Decoder(_Body).decode


def read_error(status: int, headers: httpx.Headers, body: bytes) -> ProviderError:
    """A response that is no 200."""
    detail = _detail(body)
    kind = _KINDS.get(detail.type or "", kind_of(status))
    said = detail.message.lower()
    refusal: Refusal = ""
    if kind == "caller":
        if any(words in said for words in _OURS):
            kind = "credential"
        refusal = next((meaning for words, meaning in _REFUSALS if words in said), "")
    return ProviderError(
        kind,
        detail.message[:MAX_ERROR_TEXT] or no_words(status),
        status=status,
        retry_after=retry_after(headers),
        code=_CODES.get(refusal) or (None if kind == "caller" else word(detail.type)),
        type=word(detail.type),
        refusal=refusal,
    )


def read_error_event(data: bytes) -> ProviderError:
    """An ``error`` event in a stream."""
    detail = _detail(data)
    return ProviderError(
        _KINDS.get(detail.type or "", "caller" if detail.type == "invalid_request_error" else "overloaded"),
        detail.message[:MAX_ERROR_TEXT] or "The upstream reported an error in the stream.",
        code=word(detail.type),
        type=word(detail.type),
        phase="stream",
    )


def read_error_answer(body: bytes) -> ProviderError:
    """An error in the place of an answer whose status is 200 all the same."""
    error = read_error_event(body)
    error.phase = "answer"
    return error


def _detail(body: bytes) -> _Detail:
    try:
        return _decode(body).error or _Detail()
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return _Detail()  # not JSON (an HTML page of some proxy): the status alone speaks
