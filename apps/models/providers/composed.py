"""An adapter put together: the dialects that a provider's API speaks, and the service that takes the calls."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Callable, Mapping, Sequence

import httpx
import msgspec

from apps.models.providers.base import (
    CONVERSATIONS,
    Answer,
    Operation,
    Prepared,
    ProviderError,
    StreamDecoder,
    Target,
    UpstreamCall,
    Usage,
)
from apps.models.providers.dialects import DIALECTS, embedding_front
from apps.models.providers.dialects.base import ConversationDialect, Dialect
from apps.models.providers.dialects.opaque import OpaqueDialect
from apps.models.providers.embedding import EmbeddingDialect
from apps.models.providers.framing import NoStream
from apps.models.providers.services import Service
from apps.models.providers.translation import Translation

_encode = msgspec.json.Encoder().encode


class ComposedAdapter:
    """``native`` dialects pass through; every other conversation is translated ``into`` one of them, and other calls
    for embeddings into ``embeddings``. ``usage_in_headers`` reads what an answer's body does not tell.

    An endpoint's setting ``native`` (operations, comma separated; ``usually``, where it is not set) narrows the
    conversations that pass to those that its server knows, ``into``'s own included always. ``also`` are dialects that
    an endpoint may have its calls translated into instead, by its setting ``translate_into``.
    """

    def __init__(
        self,
        service: Service,
        native: Mapping[Operation, Dialect],
        *,
        into: ConversationDialect | None,
        embeddings: EmbeddingDialect | None = None,
        also: Sequence[ConversationDialect] = (),
        usually: str | Callable[[Target], str] = "",
        request_id_header: str = "x-request-id",
        usage_in_headers: Callable[[httpx.Headers], Usage | None] | None = None,
    ) -> None:
        self._service = service
        self._native = native
        self._into = into
        self._embeddings = embeddings
        self._also = {dialect.operation: dialect for dialect in also}
        self._usually = usually
        self.request_id_header = request_id_header
        self._usage_in_headers = usage_in_headers

    def serves(self, operation: Operation, target: Target) -> bool:
        if self._dialect(operation, target) is not None:
            return True
        if operation == "embeddings":
            return self._embeddings is not None
        # Whether the body of an ``invoke`` can be translated is told by its shape, when it is read.
        return self._into is not None and (operation in CONVERSATIONS or operation == "invoke")

    def _dialect(self, operation: Operation, target: Target) -> Dialect | None:
        """The dialect that passes through; None where the call is to be translated."""
        if operation in CONVERSATIONS:
            into = self._translated(target)
            narrowed = target.setting("native")
            if not narrowed:
                narrowed = self._usually(target) if callable(self._usually) else self._usually
            if not narrowed and into is not None and into is not self._into:
                narrowed = into.operation  # the one that was named is all that is known of the server
            if narrowed and into is not None and operation != into.operation:
                known = operation in (name.strip() for name in narrowed.split(","))
                return self._native.get(operation) if known else None
        return self._native.get(operation)

    def _translated(self, target: Target) -> ConversationDialect | None:
        """What this endpoint's calls are translated into."""
        wanted = target.setting("translate_into") if self._also else ""
        return next((dialect for name, dialect in self._also.items() if name == wanted), self._into)

    def _embedding(self, call: UpstreamCall) -> EmbeddingDialect | None:
        """The front's side of a call for embeddings that is to be translated."""
        return embedding_front(call) if self._embeddings is not None else None

    def prepare(self, target: Target, call: UpstreamCall, *, attempt_id: str) -> Prepared:
        dialect = self._dialect(call.operation, target)
        if dialect is not None:
            body = dialect.body(target, call)
            request = self._service.request(target, call.operation, call, body, attempt_id=attempt_id)
            return Prepared(request, tuple(f"prompt.{name}" for name in call.carried))
        front = self._embedding(call)
        if front is not None and self._embeddings is not None:
            written = self._embeddings.write(front.request(call), target)
            operation = self._embeddings.operation
        else:
            into = self._translated(target)
            assert into is not None
            written = into.write(
                call.conversation(), target, stream=call.stream, max_output_tokens=call.max_output_tokens
            )
            operation = into.operation
        request = self._service.request(target, operation, call, _encode(written.fields), attempt_id=attempt_id)
        return Prepared(request, written.dropped)

    def parse(self, target: Target, call: UpstreamCall, headers: httpx.Headers, body: bytes) -> Answer:
        dialect = self._dialect(call.operation, target)
        if isinstance(dialect, OpaqueDialect):
            return dialect.answered(call, headers, body)
        if dialect is not None:
            answer = dialect.passed(body)
            return answer if answer.usage is not None else dataclasses.replace(answer, usage=self._told(headers))
        front = self._embedding(call)
        if front is not None and self._embeddings is not None:
            vectors = self._embeddings.read(body)
            if vectors.usage is None:
                vectors = dataclasses.replace(vectors, usage=self._told(headers))
            return Answer(front.reply(vectors, call), vectors.usage)
        into = self._translated(target)
        assert into is not None
        try:
            reply = into.read(body)
        except UnicodeDecodeError:  # in what a dialect takes over as it stands, such as a tool's arguments
            raise ProviderError("malformed", "The upstream's answer is not valid UTF-8.") from None
        reply.id = reply.id or self._answer_id(headers)
        reply.model = reply.model or call.model
        if reply.usage is None:
            reply.usage = self._told(headers)
        return Answer(DIALECTS[call.operation].reply(reply, call), reply.usage)

    def _told(self, headers: httpx.Headers) -> Usage | None:
        return self._usage_in_headers(headers) if self._usage_in_headers is not None else None

    def _answer_id(self, headers: httpx.Headers) -> str:
        """For answers of an API that gives them no id."""
        return headers.get(self.request_id_header) or secrets.token_hex(12)

    def error(self, status: int, headers: httpx.Headers, body: bytes) -> ProviderError:
        dialect = self._into or next(iter(self._native.values()))
        return dialect.error(status, headers, body)

    def stream_decoder(self, target: Target, call: UpstreamCall, headers: httpx.Headers) -> StreamDecoder:
        dialect = self._dialect(call.operation, target)
        if isinstance(dialect, OpaqueDialect):
            return dialect.streaming(call, headers)
        into = self._translated(target)
        wanted = (dialect or into).stream_type  # type: ignore[union-attr]
        content_type = headers.get("content-type", "")
        if content_type.lower().startswith("application/json"):
            return NoStream(dialect.passed if dialect is not None else into.read)  # type: ignore[union-attr]
        if not content_type.lower().startswith(wanted):
            raise ProviderError("malformed", f"The upstream answered a stream as {content_type or 'nothing known'}.")
        if dialect is not None:
            return dialect.passing(call)
        assert into is not None
        writer = DIALECTS[call.operation].writer(call)
        return Translation(into.reader(), writer, id=self._answer_id(headers), model=call.model)
