"""The dialect of OpenAI's embeddings."""

from __future__ import annotations

import base64
import struct
from typing import Any

import httpx
import msgspec

from apps.models.providers.base import (
    Answer,
    Operation,
    ProviderError,
    StreamDecoder,
    Target,
    Unreadable,
    UpstreamCall,
)
from apps.models.providers.conversation import Written
from apps.models.providers.dialects.chat.passing import OWN_FIELDS
from apps.models.providers.dialects.chat.wire import NOTHING, ChatUsage, not_an_answer, passed
from apps.models.providers.embedding import EmbeddingReply, EmbeddingRequest
from apps.models.providers.openai_errors import read_error

_encode = msgspec.json.Encoder().encode
_KNOWN = frozenset({"model", "input", "dimensions", "encoding_format", *OWN_FIELDS})


class _Request(msgspec.Struct):
    input: str | list[str | int | list[int]] = []
    dimensions: int | None = None
    encoding_format: str | None = None


class _Vector(msgspec.Struct):
    embedding: list[float]


class _Answer(msgspec.Struct):
    data: list[_Vector] | None = None
    usage: ChatUsage | None = None
    error: msgspec.Raw = NOTHING


_decode_request = msgspec.json.Decoder(_Request).decode
_decode_answer = msgspec.json.Decoder(_Answer).decode


class EmbeddingsDialect:
    operation: Operation = "embeddings"
    stream_type = "text/event-stream"

    def body(self, target: Target, call: UpstreamCall) -> bytes:
        fields = {name: raw for name, raw in call.fields.items() if name not in OWN_FIELDS}
        return _encode({**fields, "model": target.upstream_model})

    def passed(self, body: bytes) -> Answer:
        return passed(body, holds="data")

    def passing(self, call: UpstreamCall) -> StreamDecoder:
        raise ProviderError("malformed", "Embeddings are not streamed.")

    def error(self, status: int, headers: httpx.Headers, body: bytes) -> ProviderError:
        return read_error(status, headers, body)

    # Either side of a translation.

    def request(self, call: UpstreamCall) -> EmbeddingRequest:
        asked = _asked(call)
        inputs = [asked.input] if isinstance(asked.input, str) else asked.input
        texts = [each for each in inputs if isinstance(each, str)]
        if len(texts) != len(inputs):
            raise Unreadable("This model's provider takes texts, not the numbers of another model's tokens.", "input")
        return EmbeddingRequest(texts, asked.dimensions, others=[name for name in call.fields if name not in _KNOWN])

    def reply(self, reply: EmbeddingReply, call: UpstreamCall) -> bytes:
        as_base64 = _asked(call).encoding_format == "base64"
        tokens = reply.usage.input_tokens if reply.usage is not None else 0
        vectors = [_base64(vector) if as_base64 else vector for vector in reply.vectors]
        return _encode(
            {
                "object": "list",
                "data": [
                    {"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(vectors)
                ],
                "model": call.model,
                "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
            }
        )

    def write(self, request: EmbeddingRequest, target: Target) -> Written:
        fields: dict[str, Any] = {"model": target.upstream_model, "input": list(request.inputs)}
        if request.dimensions is not None:
            fields["dimensions"] = request.dimensions
        return Written(fields, (*request.others, *(["input_type"] if request.purpose is not None else [])))

    def read(self, body: bytes) -> EmbeddingReply:
        try:
            answer = _decode_answer(body)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
            raise ProviderError("malformed", f"The upstream's answer is not what its API promises: {error}") from None
        if answer.data is None:
            raise not_an_answer(answer.error, "data")
        usage = answer.usage.normalised() if answer.usage is not None else None
        return EmbeddingReply([each.embedding for each in answer.data], usage)


def _asked(call: UpstreamCall) -> _Request:
    try:
        return _decode_request(_encode({name: raw for name, raw in call.fields.items() if name in _KNOWN}))
    except msgspec.ValidationError as error:
        raise Unreadable(str(error)) from None


def _base64(vector: Any) -> str:
    """Little-endian floats of four bytes, as the API has them."""
    try:
        packed = struct.pack(f"<{len(vector)}f", *vector)
    except OverflowError:
        raise ProviderError("malformed", "The upstream sent a vector with a number that no float holds.") from None
    return base64.b64encode(packed).decode()
