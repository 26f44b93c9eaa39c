"""Responses between two sides that both speak them: the bytes pass, the usage is read.

What was said before is Lobby's to remember, never the provider's, whose account all tenants share: the input that
leaves is the whole conversation, and nothing of it is stored there.
"""

from __future__ import annotations

import msgspec
from msgspec import Raw

from apps.models.providers.base import Answer, ProviderError, Target, UpstreamCall
from apps.models.providers.dialects.chat.passing import OWN_FIELDS
from apps.models.providers.dialects.chat.wire import not_an_answer
from apps.models.providers.dialects.responses.wire import ResponsesUsage
from apps.models.providers.framing import PassingEvents, data_of
from apps.models.providers.openai_errors import read_error_event

ENCRYPTED_REASONING = "reasoning.encrypted_content"

_encode = msgspec.json.Encoder().encode
_NULL = Raw(b"null")


class _Answer(msgspec.Struct):
    usage: ResponsesUsage | None = None
    status: str = ""
    output: Raw = _NULL
    error: Raw = _NULL


class _Event(msgspec.Struct):
    type: str = ""
    response: _Answer | None = None
    error: Raw = _NULL


_decode_answer = msgspec.json.Decoder(_Answer).decode
_decode_event = msgspec.json.Decoder(_Event).decode
_decode_include = msgspec.json.Decoder(list[str] | None).decode


def request_body(target: Target, call: UpstreamCall) -> bytes:
    fields = {**call.fields, "model": Raw(_encode(target.upstream_model)), "store": Raw(b"false")}
    for name in (*OWN_FIELDS, "previous_response_id"):
        fields.pop(name, None)
    include = _decode_include(fields.get("include", _NULL)) or []
    # What is not kept there has to travel. Models that do not think refuse to be asked for it.
    if ENCRYPTED_REASONING not in include and "reasoning" in target.capabilities:
        fields["include"] = Raw(_encode([*include, ENCRYPTED_REASONING]))
    if call.max_output_tokens is not None:
        fields["max_output_tokens"] = Raw(b"%d" % call.max_output_tokens)
    return _encode(fields)


def passed(body: bytes) -> Answer:
    try:
        answer = _decode_answer(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise ProviderError("malformed", f"The upstream's answer is not what its API promises: {error}") from None
    if answer.status in ("failed", "cancelled") or bytes(answer.output) == b"null":
        raise not_an_answer(answer.error, "output")
    return Answer(body, answer.usage.normalised() if answer.usage is not None else None)


_PIECES = frozenset(
    f"response.{kind}.delta"
    for kind in ("output_text", "refusal", "reasoning_text", "reasoning_summary_text", "function_call_arguments")
)
_END = frozenset({"response.completed", "response.incomplete"})


class PassingStream(PassingEvents):
    """Reads usage, errors and the end on the way. What tells of a failure is taken out: the front says it."""

    def _passed(self, event: bytes) -> bytes:
        data = data_of(event)
        if not data or self.finished:
            return event
        try:
            parsed = _decode_event(data)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            return self._unread(event, data)
        if parsed.type in _PIECES:
            self.output_tokens += 1
            return event
        if parsed.response is not None and parsed.response.usage is not None:
            self.usage = parsed.response.usage.normalised()
        if parsed.type in _END:
            self.finished = True
        elif parsed.type == "response.failed":
            self.error = read_error_event(parsed.response.error if parsed.response is not None else _NULL)
        elif parsed.type == "error":
            self.error = read_error_event(parsed.error if bytes(parsed.error) != b"null" else Raw(data))
        return event
