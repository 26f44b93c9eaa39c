"""Chat completions' whole answers: read from an upstream, and written for a caller."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from apps.models.providers.base import ProviderError, UpstreamCall
from apps.models.providers.conversation import Refusal, Reply, StopReason, Text, Thinking, ToolCall
from apps.models.providers.dialects.chat.request import ReasoningDetail
from apps.models.providers.dialects.chat.wire import (
    NOTHING,
    Arguments,
    ChatUsage,
    ContentPart,
    arguments_of,
    not_an_answer,
    parts_of,
    written,
)

STOP_REASONS: dict[str | None, StopReason] = {
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
}
FINISH_REASONS: dict[StopReason, str] = {
    "stop": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "content_filter": "content_filter",
}


class _Function(msgspec.Struct):
    name: str = ""
    arguments: Arguments = None


class _ToolCall(msgspec.Struct):
    id: str = ""
    function: _Function = msgspec.field(default_factory=_Function)


class _Message(msgspec.Struct):
    content: str | list[ContentPart] | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    reasoning_details: list[ReasoningDetail] | None = None
    tool_calls: list[_ToolCall] | None = None


class _Choice(msgspec.Struct):
    message: _Message
    finish_reason: str | None = None


class _Completion(msgspec.Struct):
    choices: list[_Choice] | None = None
    id: str | None = None
    model: str | None = None
    created: float | None = None
    usage: ChatUsage | None = None
    error: msgspec.Raw = NOTHING


_decode = msgspec.json.Decoder(_Completion).decode
_encode = msgspec.json.Encoder().encode


def read(body: bytes) -> Reply:
    try:
        completion = _decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise ProviderError("malformed", f"The upstream's answer is not what its API promises: {error}") from None
    if not completion.choices:
        raise not_an_answer(completion.error, "choices")
    choice = completion.choices[0]
    message = choice.message
    content: list[Text | Thinking | ToolCall | Refusal] = [
        Thinking(each.text, each.signature, each.data) for each in message.reasoning_details or []
    ]
    thought = message.reasoning_content or message.reasoning
    if thought and not content:
        content.append(Thinking(thought))
    for part in parts_of(message.content):
        if part.thought:
            content.append(Thinking(part.thought))
        elif part.text:
            content.append(Text(part.text))
    if message.refusal:
        content.append(Refusal(message.refusal))
    content += [
        ToolCall(call.id, call.function.name, arguments_of(call.function.arguments) or "{}")
        for call in message.tool_calls or []
    ]
    stop = STOP_REASONS.get(choice.finish_reason, "stop")
    if message.tool_calls and stop == "stop":  # some servers say so of a call, too
        stop = "tool_calls"
    usage = completion.usage.normalised() if completion.usage is not None else None
    created = int(completion.created or 0)
    return Reply(completion.id or "", completion.model or "", content, stop, usage, created=created)


def reply(reply: Reply, call: UpstreamCall) -> bytes:
    message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None}
    texts = [block.text for block in reply.content if isinstance(block, Text)]
    if texts:
        message["content"] = "".join(texts)
    for block in reply.content:
        match block:
            case Refusal():
                message["refusal"] = (message["refusal"] or "") + block.text
            case ToolCall():
                function = {"name": block.name, "arguments": block.arguments}
                message.setdefault("tool_calls", []).append({"id": block.id, "type": "function", "function": function})
            case Thinking():
                message["reasoning_content"] = message.get("reasoning_content", "") + block.text
                message.setdefault("reasoning_details", []).append(thought(block))
    body: dict[str, Any] = {
        "id": reply.id,
        "object": "chat.completion",
        "created": reply.created or int(time.time()),
        "model": reply.model,
        "choices": [
            {"index": 0, "message": message, "logprobs": None, "finish_reason": FINISH_REASONS[reply.stop]},
        ],
    }
    if reply.usage is not None:
        body["usage"] = written(reply.usage)
    return _encode(body)


def thought(block: Thinking) -> ReasoningDetail:
    if block.redacted is not None:
        return ReasoningDetail("reasoning.encrypted", data=block.redacted)
    return ReasoningDetail("reasoning.text", block.text, block.signature)
