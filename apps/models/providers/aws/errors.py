"""Errors of Amazon's services: the name in ``x-amzn-errortype`` or in the body, the text in ``message``.

Source: the public API references of Amazon Bedrock Runtime and Amazon SageMaker Runtime, common errors.
"""

from __future__ import annotations

import re

import httpx
import msgspec

from apps.models.providers.base import ErrorKind, ProviderError, Refusal, no_words
from apps.models.providers.openai_errors import MAX_ERROR_TEXT, TOO_LONG, kind_of, retry_after, word

_KINDS: dict[str, ErrorKind] = {
    "ThrottlingException": "rate_limited",
    "TooManyRequestsException": "rate_limited",
    "ServiceQuotaExceededException": "rate_limited",
    "ModelNotReadyException": "overloaded",
    "ModelTimeoutException": "timeout",
    "ModelErrorException": "overloaded",
    "ModelStreamErrorException": "overloaded",
    "ModelError": "overloaded",
    "ModelStreamError": "overloaded",
    "InternalServerException": "overloaded",
    "InternalFailure": "overloaded",
    "InternalDependencyException": "overloaded",
    "InternalStreamFailure": "overloaded",
    "ServiceUnavailableException": "overloaded",
    "ServiceUnavailable": "overloaded",
    "ValidationException": "caller",
    "ValidationError": "caller",
    "AccessDeniedException": "credential",
    "UnrecognizedClientException": "credential",
    "InvalidSignatureException": "credential",
    "IncompleteSignature": "credential",
    "MissingAuthenticationTokenException": "credential",
    "ExpiredTokenException": "credential",
    "InvalidClientTokenId": "credential",
    "ResourceNotFoundException": "caller",
}
_OF_THE_MODEL = frozenset({"ModelError", "ModelErrorException", "ModelStreamErrorException"})
_ORIGINALS: dict[int, ErrorKind] = {400: "caller", 413: "caller", 422: "caller", 429: "rate_limited"}
_BLOCKED = re.compile(r"content (filter|policy)|guardrail|responsible ai", re.IGNORECASE)


class _Body(msgspec.Struct):
    type: str = msgspec.field(default="", name="__type")
    code: str = ""
    message: str = ""
    Message: str = ""
    OriginalMessage: str = ""
    OriginalStatusCode: int | None = None
    originalStatusCode: int | None = None

    @property
    def original(self) -> int | None:
        """SageMaker's word for it, or Bedrock's."""
        return self.OriginalStatusCode if self.OriginalStatusCode is not None else self.originalStatusCode


_decode = msgspec.json.Decoder(_Body).decode


def read_error(status: int, headers: httpx.Headers, body: bytes) -> ProviderError:
    """A response that is no 200."""
    parsed = _parsed(body)
    name = _name(headers.get("x-amzn-errortype", "") or parsed.type or parsed.code)
    kind = _KINDS.get(name) or kind_of(status)
    if name in _OF_THE_MODEL:  # the model's own container says who is at fault
        kind = _ORIGINALS.get(parsed.original or 0, kind)
    if status in (401, 403) and kind == "caller":  # never the caller's own key: that was Lobby's to check
        kind = "credential"
    if status == 429 and kind == "overloaded":
        kind = "rate_limited"
    return _error(kind, name, _text(parsed) or no_words(status), status, retry_after(headers))


def read_exception(name: str, payload: bytes, *, begun: bool) -> ProviderError:
    """An exception's message in a stream; its name begins with a small letter there. ``begun`` when some of the answer
    has come: from then on what was had is charged, whoever is at fault."""
    parsed = _parsed(payload)
    name = _name(name[:1].upper() + name[1:])
    kind = _KINDS.get(name, "overloaded")
    if name in _OF_THE_MODEL:
        kind = _ORIGINALS.get(parsed.original or 0, kind)
    text = _text(parsed) or "The upstream reported an error in the stream."
    error = _error(kind, name, text, 400 if kind == "caller" and not begun else 0, None)
    error.phase = "stream"
    return error


def _parsed(body: bytes) -> _Body:
    try:
        return _decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return _Body()  # not JSON (a page of some proxy): the status alone speaks


def _text(body: _Body) -> str:
    return (body.message or body.Message or body.OriginalMessage)[:MAX_ERROR_TEXT]


def _name(text: str) -> str:
    """``com.amazonaws.x#ThrottlingException:http://…`` and the like, as the bare name."""
    return (word(text.partition(":")[0].rpartition("#")[2]) or "").strip()


def _error(kind: ErrorKind, name: str, text: str, status: int, retry_after: float | None) -> ProviderError:
    refusal: Refusal = ""
    if kind == "caller":
        refusal = "context_window" if TOO_LONG.search(text) else "content_policy" if _BLOCKED.search(text) else ""
    code = "context_length_exceeded" if refusal == "context_window" else name or None
    return ProviderError(kind, text, status=status, retry_after=retry_after, code=code, refusal=refusal)
