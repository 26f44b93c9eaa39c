"""Converse's whole answers: read from an upstream, and written for a caller."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw

from apps.models.providers.base import ProviderError, UpstreamCall, Usage
from apps.models.providers.conversation import Refusal, Reply, StopReason, Text, Thinking, ToolCall
from apps.models.providers.dialects.converse.request import ANSWER_TOOL
from apps.models.providers.dialects.converse.wire import (
    STOP_REASONS,
    WRITTEN_STOPS,
    Block,
    Message,
    TokenUsage,
    written,
)


class _Output(msgspec.Struct):
    message: Message | None = None


class _Answer(msgspec.Struct):
    output: _Output
    stopReason: str
    usage: TokenUsage | None = None


_decode = msgspec.json.Decoder(_Answer).decode
_encode = msgspec.json.Encoder().encode


def read(body: bytes) -> Reply:
    try:
        answer = _decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise ProviderError("malformed", f"The upstream's answer is not what its API promises: {error}") from None
    message = answer.output.message
    content = [read for block in (message.content if message else []) for read in _read(block)]
    stop = stop_reason(answer.stopReason, any(isinstance(block, ToolCall) for block in content))
    usage = answer.usage.normalised() if answer.usage is not None else None
    return Reply("", "", content, stop, usage)


def stop_reason(told: str, calls: bool) -> StopReason:
    """An answer that came by the tool for answers calls no tool of the caller's."""
    stop = STOP_REASONS.get(told, "stop")
    return "stop" if stop == "tool_calls" and not calls else stop


def _read(block: Block) -> list[Text | Thinking | ToolCall | Refusal]:
    if block.text is not None:
        return [Text(block.text)]
    if block.toolUse is not None:
        arguments = bytes(block.toolUse.input).decode()
        if block.toolUse.name == ANSWER_TOOL:
            return [Text(arguments)]
        return [ToolCall(block.toolUse.toolUseId, block.toolUse.name, arguments)]
    if block.reasoningContent is not None:
        thought = block.reasoningContent.reasoningText
        if thought is not None:
            return [Thinking(thought.text, thought.signature)]
        return [Thinking(redacted=block.reasoningContent.redactedContent)]
    if block.citationsContent is not None:
        return [Text("".join(each.text for each in block.citationsContent.content or []))]
    return []


def reply(reply: Reply, call: UpstreamCall) -> bytes:
    content: list[dict[str, Any]] = []
    for block in reply.content:
        match block:
            case Text(text) | Refusal(text):
                content.append({"text": text})
            case Thinking(redacted=str(redacted)):
                content.append({"reasoningContent": {"redactedContent": redacted}})
            case Thinking(text, signature):
                thought = {"text": text, **({"signature": signature} if signature is not None else {})}
                content.append({"reasoningContent": {"reasoningText": thought}})
            case ToolCall():
                use = {"toolUseId": block.id, "name": block.name, "input": tool_input(block.arguments)}
                content.append({"toolUse": use})
    return _encode(
        {
            "output": {"message": {"role": "assistant", "content": content}},
            "stopReason": WRITTEN_STOPS[reply.stop],
            "usage": written(reply.usage or Usage()),
            "metrics": {"latencyMs": 0},
        }
    )


def tool_input(arguments: str) -> Raw | str:
    """A model may write what is no JSON: then its text, which the caller sees to be no object."""
    try:
        msgspec.json.decode(arguments.encode())
    except (msgspec.MsgspecError, RecursionError):
        return arguments
    return Raw(arguments.encode())
