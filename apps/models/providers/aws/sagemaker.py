"""The adapter of Amazon SageMaker's endpoints: what a container of one's own speaks, in Amazon's envelope.

The endpoint's setting ``container`` tells which: ``openai`` (vLLM, LMI, TGI's messages API) or ``tgi`` (TGI's generate
API).
"""

from __future__ import annotations

import httpx

from apps.models.providers.aws.errors import read_error, read_exception
from apps.models.providers.aws.eventstream import MEDIA_TYPE, MessageReader
from apps.models.providers.aws.services import AwsService, sagemaker_headers, sagemaker_path
from apps.models.providers.base import (
    Answer,
    Operation,
    Prepared,
    ProviderError,
    StreamDecoder,
    Target,
    UpstreamCall,
    Usage,
)
from apps.models.providers.composed import ComposedAdapter
from apps.models.providers.dialects import CHAT, EMBEDDINGS
from apps.models.providers.dialects.base import Dialect
from apps.models.providers.dialects.tgi import TgiDialect

_CONTENT_TYPE = "x-amzn-sagemaker-content-type"


class SageMakerAdapter:
    request_id_header = "x-amzn-requestid"

    def __init__(self) -> None:
        service = AwsService("sagemaker", sagemaker_path, sagemaker_headers)
        natives: dict[Operation, Dialect] = {"chat.completions": CHAT, "embeddings": EMBEDDINGS}
        header = self.request_id_header
        self._openai = ComposedAdapter(service, natives, into=CHAT, embeddings=EMBEDDINGS, request_id_header=header)
        self._tgi = ComposedAdapter(service, {}, into=TgiDialect(), request_id_header=header)

    def _container(self, target: Target) -> ComposedAdapter:
        return self._tgi if target.setting("container") == "tgi" else self._openai

    def serves(self, operation: Operation, target: Target) -> bool:
        return self._container(target).serves(operation, target)

    def prepare(self, target: Target, call: UpstreamCall, *, attempt_id: str) -> Prepared:
        return self._container(target).prepare(target, call, attempt_id=attempt_id)

    def parse(self, target: Target, call: UpstreamCall, headers: httpx.Headers, body: bytes) -> Answer:
        return self._container(target).parse(target, call, headers, body)

    def error(self, status: int, headers: httpx.Headers, body: bytes) -> ProviderError:
        return read_error(status, headers, body)

    def stream_decoder(self, target: Target, call: UpstreamCall, headers: httpx.Headers) -> StreamDecoder:
        content_type = headers.get("content-type", "")
        if not content_type.startswith(MEDIA_TYPE):
            raise ProviderError("malformed", f"The upstream answered a stream as {content_type or 'nothing known'}.")
        inside = headers.get(_CONTENT_TYPE, "text/event-stream")
        within = httpx.Headers({**headers, "content-type": inside})
        return Unwrapping(self._container(target).stream_decoder(target, call, within))


class Unwrapping:
    """The container's stream out of the parts that it came in: a ``StreamDecoder`` about another."""

    __slots__ = ("_inner", "_reader", "begun", "error", "finished", "output_tokens", "usage")

    media_type = ""

    def __init__(self, inner: StreamDecoder) -> None:
        self._inner = inner
        self._reader = MessageReader()
        self.usage: Usage | None = None
        self.begun: Usage | None = None
        self.finished = False
        self.output_tokens = 0
        self.error: ProviderError | None = None

    def feed(self, block: bytes) -> bytes:
        out = []
        inner = self._inner
        for message in self._reader.feed(block):
            if message.kind != "event":
                self.error = read_exception(message.name, message.payload, begun=inner.output_tokens > 0)
                break
            out.append(inner.feed(message.payload))
            self.error = inner.error
            if inner.finished or inner.error is not None:
                break
        self.usage, self.finished, self.output_tokens = inner.usage, inner.finished, inner.output_tokens
        self.begun = inner.begun
        return b"".join(out)

    def end(self) -> bytes:
        if self._reader.pending:
            raise ProviderError("disconnected", "The upstream ended its stream too early.", phase="stream")
        out = self._inner.end()
        self.usage = self._inner.usage
        return out
