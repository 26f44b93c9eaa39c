"""The dialect of OpenAI's embeddings."""

from __future__ import annotations

import httpx
import msgspec

from apps.models.providers.base import Answer, Operation, ProviderError, StreamDecoder, Target, UpstreamCall
from apps.models.providers.dialects.chat.passing import OWN_FIELDS, passed
from apps.models.providers.dialects.openai_errors import read_error

_encode = msgspec.json.Encoder().encode


class EmbeddingsDialect:
    operation: Operation = "embeddings"
    stream_type = "text/event-stream"

    def body(self, target: Target, call: UpstreamCall) -> bytes:
        fields = {name: raw for name, raw in call.fields.items() if name not in OWN_FIELDS}
        return _encode({**fields, "model": target.upstream_model})

    def passed(self, body: bytes) -> Answer:
        return passed(body)

    def passing(self, call: UpstreamCall) -> StreamDecoder:
        raise ProviderError("malformed", "Embeddings are not streamed.")

    def error(self, status: int, headers: httpx.Headers, body: bytes) -> ProviderError:
        return read_error(status, headers, body)
