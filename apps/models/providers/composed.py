"""An adapter put together: the dialects that a provider's API speaks, and the service that takes the calls."""

from __future__ import annotations

from collections.abc import Mapping

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
)
from apps.models.providers.dialects import DIALECTS
from apps.models.providers.dialects.base import ConversationDialect, Dialect
from apps.models.providers.services import Service
from apps.models.providers.translation import Translation

_encode = msgspec.json.Encoder().encode


class ComposedAdapter:
    """``native`` dialects pass through; every other conversation is translated ``into`` one of them.

    An endpoint's setting ``native`` (operations, comma separated) narrows the native ones to those that its server
    knows, ``into``'s own included always.
    """

    def __init__(
        self,
        service: Service,
        native: Mapping[Operation, Dialect],
        *,
        into: ConversationDialect | None,
        request_id_header: str = "x-request-id",
    ) -> None:
        self._service = service
        self._native = native
        self._into = into
        self.request_id_header = request_id_header

    def serves(self, operation: Operation, target: Target) -> bool:
        return operation in self._native or (self._into is not None and operation in CONVERSATIONS)

    def prepare(self, target: Target, call: UpstreamCall, *, attempt_id: str) -> Prepared:
        dialect = self._native.get(call.operation)
        if dialect is not None:
            body = dialect.body(target, call)
            return Prepared(self._service.request(target, call.operation, call, body, attempt_id=attempt_id))
        assert self._into is not None
        written = self._into.write(
            call.conversation(), target, stream=call.stream, max_output_tokens=call.max_output_tokens
        )
        request = self._service.request(
            target, self._into.operation, call, _encode(written.fields), attempt_id=attempt_id
        )
        return Prepared(request, written.dropped)

    def parse(self, call: UpstreamCall, headers: httpx.Headers, body: bytes) -> Answer:
        dialect = self._native.get(call.operation)
        if dialect is not None:
            return dialect.passed(body)
        assert self._into is not None
        reply = self._into.read(body)
        return Answer(DIALECTS[call.operation].reply(reply, call), reply.usage)

    def error(self, status: int, headers: httpx.Headers, body: bytes) -> ProviderError:
        dialect = self._into or next(iter(self._native.values()))
        return dialect.error(status, headers, body)

    def stream_decoder(self, call: UpstreamCall, headers: httpx.Headers) -> StreamDecoder:
        dialect = self._native.get(call.operation)
        wanted = (dialect or self._into).stream_type  # type: ignore[union-attr]
        content_type = headers.get("content-type", "")
        if not content_type.startswith(wanted):
            raise ProviderError("malformed", f"The upstream answered a stream as {content_type or 'nothing known'}.")
        if dialect is not None:
            return dialect.passing(call)
        assert self._into is not None
        return Translation(self._into.reader(), DIALECTS[call.operation].writer(call))
