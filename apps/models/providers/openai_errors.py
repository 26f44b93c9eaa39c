"""Errors as the OpenAI API writes them, and as every server that speaks like it does."""

from __future__ import annotations

import math
import re
import time
from email.utils import parsedate_to_datetime

import httpx
import msgspec

from apps.models.providers.base import ErrorKind, ProviderError, Refusal, no_words

MAX_ERROR_TEXT = 2_000
MAX_ERROR_WORD = 200

CALLER_STATUSES = frozenset({400, 404, 405, 409, 413, 415, 422})
CREDENTIAL_STATUSES = frozenset({401, 402, 403})

# How the codes begin by which a stream of responses ends for its caller's sake.
CALLER_CODES = ("invalid_", "image_", "unsupported_image", "empty_image", "failed_to_download_image")

_NO_WORDS_IN_STREAM = "The upstream reported an error in the stream."

REFUSALS: dict[str | None, Refusal] = {
    "context_length_exceeded": "context_window",
    "content_filter": "content_policy",
    "content_policy_violation": "content_policy",
}


class ErrorDetail(msgspec.Struct):
    message: str = ""
    type: str | None = None
    param: str | None = None
    code: str | int | None = None


# What servers say that have no code for it, such as vLLM and llama.cpp.
TOO_LONG = re.compile(
    r"too long|too many (input )?tokens|context (window|length|size)|exceeds? the (model|maximum).*(tokens|context)"
    r"|maximum (context|number of (input )?tokens)|input is too large",
    re.IGNORECASE,
)


class _Field(msgspec.Struct):
    """What FastAPI says of a field."""

    msg: str = ""
    loc: list[str | int] = []


class _ErrorBody(msgspec.Struct):
    """Some servers say it without an ``error`` around it: ``message`` (vLLM, once), ``detail`` (FastAPI)."""

    error: ErrorDetail | str | None = None
    message: str | None = None
    detail: str | list[_Field] | None = None

    def told(self) -> ErrorDetail:
        if self.error is not None:
            return ErrorDetail(self.error) if isinstance(self.error, str) else self.error
        if isinstance(self.detail, list):
            fields = (f"{'.'.join(map(str, each.loc))}: {each.msg}" if each.loc else each.msg for each in self.detail)
            return ErrorDetail("; ".join(fields))
        return ErrorDetail(self.message or self.detail or "")


_decode_error = msgspec.json.Decoder(_ErrorBody | list[_ErrorBody]).decode  # Google's surface answers with a list
_decode_detail = msgspec.json.Decoder(ErrorDetail | str).decode


def read_error(status: int, headers: httpx.Headers, body: bytes) -> ProviderError:
    """A response that is no 200."""
    detail = ErrorDetail()
    try:
        answer = _decode_error(body)
        if isinstance(answer, list):
            answer = answer[0] if answer else _ErrorBody()
        detail = answer.told()
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        pass  # not JSON (an HTML page of some proxy): the status alone speaks
    kind = kind_of(status)
    code, refusal = _refusal(kind, detail)
    return ProviderError(
        kind,
        detail.message[:MAX_ERROR_TEXT] or no_words(status),
        status=status,
        retry_after=retry_after(headers),
        code=code,
        type=word(detail.type),
        param=word(detail.param),
        refusal=refusal,
    )


def read_error_event(raw: msgspec.Raw) -> ProviderError:
    """The ``error`` of an event in a stream."""
    try:
        detail = _decode_detail(raw)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        detail = ""
    if isinstance(detail, str):
        detail = ErrorDetail(message=detail)
    kind = _kind_in_stream(detail)
    code, refusal = _refusal(kind, detail)
    return ProviderError(
        kind,
        detail.message[:MAX_ERROR_TEXT] or _NO_WORDS_IN_STREAM,
        code=code,
        type=word(detail.type),
        param=word(detail.param),
        phase="stream",
        refusal=refusal,
    )


def read_error_answer(raw: msgspec.Raw) -> ProviderError:
    """The ``error`` that stands in the place of an answer whose status is 200 all the same: some routers do so."""
    error = read_error_event(raw)
    error.phase = "answer"
    if error.message == _NO_WORDS_IN_STREAM:
        error.message = "The upstream answered 200 with an error."
    return error


def _refusal(kind: ErrorKind, detail: ErrorDetail) -> tuple[str | None, Refusal]:
    """(code, refusal): by the code, or by the words where it is none or but the status again."""
    code = word(detail.code)
    if code in REFUSALS:
        return code, REFUSALS[code]
    if kind == "caller" and (code is None or code.isdigit()) and TOO_LONG.search(detail.message):
        return "context_length_exceeded", "context_window"
    return code, ""


def _kind_in_stream(detail: ErrorDetail) -> ErrorKind:
    """There is no status there: some servers name one, others say it in a word."""
    if isinstance(detail.code, int):
        return kind_of(detail.code)
    if detail.code == "rate_limit_exceeded":
        return "rate_limited"
    code = detail.code or ""
    if detail.type == "invalid_request_error" or code in REFUSALS or code.startswith(CALLER_CODES):
        return "caller"
    return "overloaded"


def kind_of(status: int) -> ErrorKind:
    """What a status means, whatever the API."""
    if status in CALLER_STATUSES:
        return "caller"
    if status in CREDENTIAL_STATUSES:
        return "credential"
    return "rate_limited" if status == 429 else "timeout" if status in (408, 504) else "overloaded"


def retry_after(headers: httpx.Headers) -> float | None:
    """Seconds from now: as ``retry-after-ms`` gives them, which some providers add, or ``Retry-After``, in seconds or
    as a date (RFC 9110, section 10.2.3)."""
    milliseconds = _number(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return max(0.0, milliseconds / 1000)
    said = headers.get("retry-after", "")
    seconds = _number(said)
    if seconds is None and said[:1].isalpha():
        try:
            seconds = parsedate_to_datetime(said).timestamp() - time.time()
        except (ValueError, OverflowError):
            return None
    return None if seconds is None else max(0.0, seconds)


def _number(text: str) -> float | None:
    """None for what is no finite number."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def word(value: str | int | None) -> str | None:
    return None if value is None else str(value)[:MAX_ERROR_WORD]
