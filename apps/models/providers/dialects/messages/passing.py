"""Messages between two sides that both speak them: the bytes pass, the usage is read.

Only the model's name is put in, and what is Lobby's own is taken out.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw

from apps.models.providers.base import Answer, ProviderError, Target, UpstreamCall, Usage
from apps.models.providers.dialects.chat.passing import OWN_FIELDS
from apps.models.providers.dialects.messages.errors import read_error_answer, read_error_event
from apps.models.providers.dialects.messages.wire import MessagesUsage
from apps.models.providers.framing import PassingEvents, data_of

# What is asked for where neither the caller, nor its limits, nor the model's card say how much: the API must be told.
DEFAULT_MAX_TOKENS = 4_096

_encode = msgspec.json.Encoder().encode


class _Message(msgspec.Struct):
    usage: MessagesUsage | None = None


class _Answer(_Message):
    type: str = ""
    content: Raw = Raw(b"null")


class _Delta(msgspec.Struct):
    text: Any = None
    thinking: Any = None
    partial_json: Any = None


class _Event(msgspec.Struct):
    type: str = ""
    message: _Message | None = None
    usage: MessagesUsage | None = None
    delta: _Delta | None = None


class _Count(msgspec.Struct):
    input_tokens: int


_decode_answer = msgspec.json.Decoder(_Answer).decode
_decode_event = msgspec.json.Decoder(_Event).decode
_decode_count = msgspec.json.Decoder(_Count).decode


def request_body(target: Target, call: UpstreamCall) -> bytes:
    fields = _fields(target, call)
    if call.max_output_tokens is not None or "max_tokens" not in fields:
        fields["max_tokens"] = Raw(b"%d" % most_tokens(target, call.max_output_tokens))
    return _encode(fields)


def most_tokens(target: Target, cap: int | None) -> int:
    """The ``max_tokens`` of a caller that named none: ``cap`` is what its limits and budgets leave."""
    return cap or target.max_output_tokens or DEFAULT_MAX_TOKENS


def counting_body(target: Target, call: UpstreamCall) -> bytes:
    return _encode(_fields(target, call))


def _fields(target: Target, call: UpstreamCall) -> dict[str, Raw]:
    fields = {**call.fields, "model": Raw(_encode(target.upstream_model))}
    for name in OWN_FIELDS:
        fields.pop(name, None)
    return fields


def passed(body: bytes) -> Answer:
    try:
        answer = _decode_answer(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise ProviderError("malformed", f"The upstream's answer is not what its API promises: {error}") from None
    if answer.type == "error":
        raise read_error_answer(body)
    if bytes(answer.content) == b"null":
        raise ProviderError("malformed", "The upstream's answer is not what its API promises: it has no 'content'.")
    return Answer(body, answer.usage.normalised() if answer.usage is not None else None)


def counted(body: bytes) -> Answer:
    try:
        _decode_count(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise ProviderError("malformed", f"The upstream's count is not what its API promises: {error}") from None
    return Answer(body, Usage())


class PassingStream(PassingEvents):
    """Reads usage, errors and the end on the way.

    An error event is taken out: what the caller is told of it is not for the decoder to say. The usage that a stream
    begins with is no measure of a stream that breaks off but for its input: it stands once the one at its end has come.
    """

    __slots__ = ("_begun",)

    def __init__(self) -> None:
        super().__init__()
        self._begun: MessagesUsage | None = None

    def _passed(self, event: bytes) -> bytes:
        data = data_of(event)
        if not data or self.finished:
            return event
        try:
            parsed = _decode_event(data)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            return self._unread(event, data)
        match parsed.type:
            case "content_block_delta":
                delta = parsed.delta
                if delta is not None and (delta.text or delta.thinking or delta.partial_json):
                    self.output_tokens += 1
            case "message_start":
                self._begun = parsed.message.usage if parsed.message is not None else None
                self.begun = self._begun.normalised() if self._begun is not None else None
            case "message_delta" if parsed.usage is not None:
                self.usage = parsed.usage.over(self._begun).normalised()
            case "message_stop":
                self.finished = True
            case "error":
                self.error = read_error_event(data)
                return b""
        return event
