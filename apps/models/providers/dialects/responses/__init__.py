"""The dialect of OpenAI's Responses API."""

from __future__ import annotations

import httpx

from apps.models.providers.base import Answer, Operation, ProviderError, StreamDecoder, Target, UpstreamCall
from apps.models.providers.conversation import Conversation, Reply, Written
from apps.models.providers.dialects.base import EventReader, EventWriter
from apps.models.providers.dialects.responses import answers, passing, reply, request, writing
from apps.models.providers.dialects.responses.reader import ResponsesReader
from apps.models.providers.dialects.responses.stream import ResponsesWriter
from apps.models.providers.openai_errors import read_error


class ResponsesDialect:
    operation: Operation = "responses"
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
        return ResponsesWriter(call)

    def write(
        self, conversation: Conversation, target: Target, *, stream: bool, max_output_tokens: int | None
    ) -> Written:
        return writing.write(conversation, target, stream=stream, max_output_tokens=max_output_tokens)

    def read(self, body: bytes) -> Reply:
        return answers.read(body)

    def reader(self) -> EventReader:
        return ResponsesReader()
