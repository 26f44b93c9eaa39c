"""The dialect of OpenAI's chat completions, which most servers speak."""

from __future__ import annotations

import httpx

from apps.models.providers.base import Answer, Operation, ProviderError, StreamDecoder, Target, UpstreamCall
from apps.models.providers.conversation import Conversation, Reply, Written
from apps.models.providers.dialects.base import EventReader, EventWriter
from apps.models.providers.dialects.chat import passing, reply, request
from apps.models.providers.dialects.chat.stream import ChatReader, ChatWriter
from apps.models.providers.dialects.chat.wire import passed
from apps.models.providers.openai_errors import read_error


class ChatDialect:
    """``max_tokens_field`` is what the servers of a kind call an answer's maximum, where an endpoint does not say."""

    operation: Operation = "chat.completions"
    stream_type = "text/event-stream"

    def __init__(self, *, max_tokens_field: str = "max_completion_tokens") -> None:
        self._max_tokens_field = max_tokens_field

    def body(self, target: Target, call: UpstreamCall) -> bytes:
        return passing.request_body(target, call, target.setting("max_tokens_field", self._max_tokens_field))

    def passed(self, body: bytes) -> Answer:
        return passed(body, holds="choices")

    def passing(self, call: UpstreamCall) -> StreamDecoder:
        return passing.PassingStream(wants_usage=call.wants_usage)

    def error(self, status: int, headers: httpx.Headers, body: bytes) -> ProviderError:
        return read_error(status, headers, body)

    def conversation(self, call: UpstreamCall) -> Conversation:
        return request.conversation(call)

    def reply(self, answer: Reply, call: UpstreamCall) -> bytes:
        return reply.reply(answer, call)

    def writer(self, call: UpstreamCall) -> EventWriter:
        return ChatWriter(call)

    def write(
        self, conversation: Conversation, target: Target, *, stream: bool, max_output_tokens: int | None
    ) -> Written:
        return request.write(
            conversation,
            target,
            stream=stream,
            max_output_tokens=max_output_tokens,
            max_tokens_field=target.setting("max_tokens_field", self._max_tokens_field),
        )

    def read(self, body: bytes) -> Reply:
        return reply.read(body)

    def reader(self) -> EventReader:
        return ChatReader()
