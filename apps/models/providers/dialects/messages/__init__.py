"""The dialect of Anthropic's Messages API."""

from __future__ import annotations

import httpx

from apps.models.providers.base import Answer, Operation, ProviderError, StreamDecoder, Target, UpstreamCall
from apps.models.providers.conversation import Conversation, Reply, Written
from apps.models.providers.dialects.base import EventReader, EventWriter
from apps.models.providers.dialects.messages import passing, reply, request, writing
from apps.models.providers.dialects.messages.errors import read_error
from apps.models.providers.dialects.messages.stream import MessagesReader, MessagesWriter


class MessagesDialect:
    operation: Operation = "messages"
    stream_type = "text/event-stream"

    def body(self, target: Target, call: UpstreamCall) -> bytes:
        return passing.request_body(target, call)

    def passed(self, body: bytes) -> Answer:
        return passing.passed(body)

    def passing(self, call: UpstreamCall) -> StreamDecoder:
        return passing.PassingStream()

    def error(self, status: int, headers: httpx.Headers, body: bytes) -> ProviderError:
        return read_error(status, headers, body)

    def conversation(self, call: UpstreamCall) -> Conversation:
        return request.conversation(call)

    def reply(self, answer: Reply, call: UpstreamCall) -> bytes:
        return reply.reply(answer, call)

    def writer(self, call: UpstreamCall) -> EventWriter:
        return MessagesWriter(call)

    def write(
        self, conversation: Conversation, target: Target, *, stream: bool, max_output_tokens: int | None
    ) -> Written:
        return writing.write(conversation, target, stream=stream, max_output_tokens=max_output_tokens)

    def read(self, body: bytes) -> Reply:
        return reply.read(body)

    def reader(self) -> EventReader:
        return MessagesReader()


class CountTokensDialect:
    """Counting a message's tokens before it is sent. It costs nothing, so its usage is nothing."""

    operation: Operation = "count_tokens"
    stream_type = "text/event-stream"

    def body(self, target: Target, call: UpstreamCall) -> bytes:
        return passing.counting_body(target, call)

    def passed(self, body: bytes) -> Answer:
        return passing.counted(body)

    def passing(self, call: UpstreamCall) -> StreamDecoder:
        raise ProviderError("malformed", "A count is not streamed.")

    def error(self, status: int, headers: httpx.Headers, body: bytes) -> ProviderError:
        return read_error(status, headers, body)
