"""Whole answers of the Messages API: read from an upstream, and written for a caller."""

from __future__ import annotations

from typing import Any

import msgspec

from apps.models.providers.base import ProviderError, UpstreamCall
from apps.models.providers.conversation import Refusal, Reply, Text, Thinking, ToolCall
from apps.models.providers.dialects.messages import wire
from apps.models.providers.dialects.messages.errors import read_error_answer
from apps.models.providers.dialects.messages.writing import tool_input


class StopDetails(msgspec.Struct):
    explanation: str | None = None


class _Message(msgspec.Struct):
    content: list[wire.Block] | None = None
    type: str = ""
    id: str = ""
    model: str = ""
    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: StopDetails | None = None
    usage: wire.MessagesUsage | None = None


_decode = msgspec.json.Decoder(_Message).decode
_encode = msgspec.json.Encoder().encode


def read(body: bytes) -> Reply:
    try:
        message = _decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise ProviderError("malformed", f"The upstream's answer is not what its API promises: {error}") from None
    if message.type == "error":
        raise read_error_answer(body)
    if message.content is None:
        raise ProviderError("malformed", "The upstream's answer is not what its API promises: it has no 'content'.")
    content: list[Text | Thinking | ToolCall | Refusal] = []
    called = answered = False
    for block in message.content:
        match block.type:
            case "text" if block.text:
                content.append(Text(block.text))
            case "thinking":
                content.append(Thinking(block.thinking or "", block.signature))
            case "redacted_thinking":
                content.append(Thinking(redacted=block.data or ""))
            case "tool_use":
                arguments = bytes(block.input).decode()
                if block.name == wire.ANSWER_TOOL:
                    answered = True
                    content.append(Text(arguments))
                else:
                    called = True
                    content.append(ToolCall(block.id or "", block.name or "", arguments))
    stop = wire.STOP_REASONS.get(message.stop_reason, "stop")
    if stop == "tool_calls" and answered and not called:
        stop = "stop"
    if stop == "content_filter" and not content:
        content.append(Refusal(refusal_text(message.stop_details)))
    usage = message.usage.normalised() if message.usage is not None else None
    return Reply(message.id, message.model, content, stop, usage, message.stop_sequence)


def refusal_text(details: StopDetails | None) -> str:
    return (details.explanation if details is not None else None) or "The model declined to answer."


def reply(reply: Reply, call: UpstreamCall) -> bytes:
    stop = reply.stop
    if stop == "stop" and any(isinstance(block, Refusal) for block in reply.content):
        stop = "content_filter"
    return _encode(
        {
            "id": reply.id,
            "type": "message",
            "role": "assistant",
            "model": reply.model or call.model,
            "content": [_written(block) for block in reply.content],
            "stop_reason": wire.WRITTEN_STOPS[stop],
            "stop_sequence": reply.stop_sequence,
            "usage": wire.written(reply.usage),
        }
    )


def _written(block: Text | Thinking | ToolCall | Refusal) -> dict[str, Any]:
    match block:
        case Thinking(redacted=str() as data):
            return {"type": "redacted_thinking", "data": data}
        case Thinking(text, signature):
            return {"type": "thinking", "thinking": text, "signature": signature or ""}
        case ToolCall(id, name, arguments):
            return {"type": "tool_use", "id": id, "name": name, "input": tool_input(arguments)}
    return {"type": "text", "text": block.text}
