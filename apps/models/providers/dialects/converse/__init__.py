"""The dialect of Amazon Bedrock's Converse and ConverseStream."""

from __future__ import annotations

import httpx

from apps.models.providers.aws.errors import read_error
from apps.models.providers.aws.eventstream import MEDIA_TYPE
from apps.models.providers.base import Answer, Operation, ProviderError, StreamDecoder, Target, UpstreamCall
from apps.models.providers.conversation import Conversation, Reply, Written
from apps.models.providers.dialects.base import EventReader, EventWriter
from apps.models.providers.dialects.converse import front, passing, reply, request
from apps.models.providers.dialects.converse.stream import ConverseReader, ConverseWriter, PassingStream


class ConverseDialect:
    operation: Operation = "converse"
    stream_type = MEDIA_TYPE

    def body(self, target: Target, call: UpstreamCall) -> bytes:
        return passing.request_body(target, call)

    def passed(self, body: bytes) -> Answer:
        return passing.passed(body)

    def passing(self, call: UpstreamCall) -> StreamDecoder:
        return PassingStream()

    def error(self, status: int, headers: httpx.Headers, body: bytes) -> ProviderError:
        return read_error(status, headers, body)

    def conversation(self, call: UpstreamCall) -> Conversation:
        return front.conversation(call)

    def reply(self, answer: Reply, call: UpstreamCall) -> bytes:
        return reply.reply(answer, call)

    def writer(self, call: UpstreamCall) -> EventWriter:
        return ConverseWriter(call)

    def write(
        self, conversation: Conversation, target: Target, *, stream: bool, max_output_tokens: int | None
    ) -> Written:
        return request.write(conversation, target, stream=stream, max_output_tokens=max_output_tokens)

    def read(self, body: bytes) -> Reply:
        return reply.read(body)

    def reader(self) -> EventReader:
        return ConverseReader()
