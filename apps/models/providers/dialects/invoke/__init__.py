"""The dialect of Amazon Bedrock's InvokeModel: the model maker's own body, whatever it is.

To Bedrock it passes as it came. Elsewhere a body of Anthropic's messages API can be translated, which is what an SDK
for those models on Bedrock sends; embeddings are translated by the adapters (``embeddings.py``); another body is
refused, for nobody else reads it.
"""

from __future__ import annotations

import httpx
import msgspec
from msgspec import Raw

from apps.models.providers.aws.errors import read_error
from apps.models.providers.aws.eventstream import MEDIA_TYPE
from apps.models.providers.base import (
    Answer,
    Operation,
    ProviderError,
    StreamDecoder,
    Target,
    Unreadable,
    UpstreamCall,
)
from apps.models.providers.conversation import Conversation, Reply
from apps.models.providers.dialects.base import EventWriter, FrontDialect
from apps.models.providers.dialects.invoke.shapes import decode_part, shape_of, usage_in
from apps.models.providers.dialects.invoke.stream import MessagesWriter, PassingStream

_ACCEPT = frozenset({"accept", "x-amzn-bedrock-accept"})
_encode = msgspec.json.Encoder().encode


class InvokeDialect:
    operation: Operation = "invoke"
    stream_type = MEDIA_TYPE

    def __init__(self, messages: FrontDialect) -> None:
        """``messages`` is the dialect of Anthropic's API."""
        self._messages = messages

    def body(self, target: Target, call: UpstreamCall) -> bytes:
        if call.max_output_tokens is None:
            return call.content
        if shape_of(call.fields) != "messages":
            raise Unreadable("A limit or a budget bounds this call: name the longest answer in the body.", "body")
        return _encode({**call.fields, "max_tokens": call.max_output_tokens})

    def passed(self, body: bytes) -> Answer:
        """A body need not be JSON, and need not tell a usage: then the headers do (``aws/bedrock.py``)."""
        try:
            return Answer(body, usage_in(decode_part(body)))
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            return Answer(body, None)

    def passing(self, call: UpstreamCall) -> StreamDecoder:
        return PassingStream()

    def error(self, status: int, headers: httpx.Headers, body: bytes) -> ProviderError:
        return read_error(status, headers, body)

    def conversation(self, call: UpstreamCall) -> Conversation:
        if shape_of(call.fields) != "messages":
            raise Unreadable(
                "A body of this shape passes to Amazon Bedrock alone, and this model is served elsewhere. Use converse,"
                " or a body with anthropic_version.",
                "body",
            )
        conversation = self._messages.conversation(_as_messages(call))
        if bytes(call.fields.get("anthropic_beta", b"[]")) not in (b"[]", b"null"):
            conversation.others["anthropic_beta"] = call.fields["anthropic_beta"]
        # A guardrail, a tier, metadata: what Bedrock alone heeds.
        conversation.others |= {
            name: Raw(_encode(value)) for name, value in call.headers.items() if name not in _ACCEPT
        }
        return conversation

    def reply(self, reply: Reply, call: UpstreamCall) -> bytes:
        return self._messages.reply(reply, _as_messages(call))

    def writer(self, call: UpstreamCall) -> EventWriter:
        return MessagesWriter(self._messages.writer(_as_messages(call)))


def _as_messages(call: UpstreamCall) -> UpstreamCall:
    fields = {name: raw for name, raw in call.fields.items() if name not in ("anthropic_version", "anthropic_beta")}
    return UpstreamCall(
        "messages",
        {"model": Raw(_encode(call.model)), **fields},
        stream=call.stream,
        max_output_tokens=call.max_output_tokens,
        wants_usage=True,
        model=call.model,
    )
