"""The Responses API's whole answers, written for a caller."""

from __future__ import annotations

import time
from typing import Any

import msgspec
from msgspec import Raw

from apps.models.providers.base import UpstreamCall, Usage
from apps.models.providers.conversation import Refusal, Reply, StopReason, Text, Thinking, ToolCall
from apps.models.providers.dialects.responses.request import REDACTED
from apps.models.providers.dialects.responses.wire import written

_encode = msgspec.json.Encoder().encode
_NULL = Raw(b"null")
# What a response repeats of its request, and what stands there when that said nothing.
_REPEATED = {
    "instructions": _NULL,
    "max_output_tokens": _NULL,
    "metadata": Raw(b"{}"),
    "parallel_tool_calls": Raw(b"true"),
    "previous_response_id": _NULL,
    "reasoning": Raw(b'{"effort":null,"summary":null}'),
    "store": Raw(b"true"),
    "temperature": _NULL,
    "text": Raw(b'{"format":{"type":"text"}}'),
    "tool_choice": Raw(b'"auto"'),
    "tools": Raw(b"[]"),
    "top_p": _NULL,
    "truncation": Raw(b'"disabled"'),
    "user": _NULL,
}
INCOMPLETE: dict[StopReason, str] = {"length": "max_output_tokens", "content_filter": "content_filter"}


def reply(answer: Reply, call: UpstreamCall) -> bytes:
    id = response_id(answer.id)
    output = [item(block, item_id(id, number), "completed") for number, block in enumerate(answer.content)]
    head = response(id, answer.model, answer.created, call)
    return _encode(finished(head, output, answer.stop, answer.usage))


def response_id(id: str) -> str:
    return id if id.startswith("resp_") else f"resp_{id}"


def item_id(response: str, number: int) -> str:
    return f"item_{response.removeprefix('resp_')}_{number}"


def response(id: str, model: str, created: int, call: UpstreamCall) -> dict[str, Any]:
    """A response that has just begun."""
    return {
        "id": id,
        "object": "response",
        "created_at": created or int(time.time()),
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "model": model,
        "output": [],
        "usage": None,
        **{name: call.fields.get(name, usual) for name, usual in _REPEATED.items()},
    }


def finished(head: dict[str, Any], output: list[Any], stop: StopReason, usage: Usage | None) -> dict[str, Any]:
    reason = INCOMPLETE.get(stop)
    return {
        **head,
        "status": "incomplete" if reason else "completed",
        "incomplete_details": {"reason": reason} if reason else None,
        "output": output,
        "usage": written(usage) if usage is not None else None,
    }


def item(block: Text | Thinking | ToolCall | Refusal, id: str, status: str) -> dict[str, Any]:
    """A block as an item of the output."""
    match block:
        case ToolCall():
            return {
                "type": "function_call",
                "id": id,
                "call_id": block.id,
                "name": block.name,
                "arguments": block.arguments,
                "status": status,
            }
        case Thinking():
            sealed = f"{REDACTED}{block.redacted}" if block.redacted is not None else block.signature
            summary = [{"type": "summary_text", "text": block.text}] if block.text else []
            return {"type": "reasoning", "id": id, "summary": summary, "encrypted_content": sealed}
    return {"type": "message", "id": id, "role": "assistant", "status": status, "content": [part(block)]}


def part(block: Text | Refusal) -> dict[str, Any]:
    if isinstance(block, Refusal):
        return {"type": "refusal", "refusal": block.text}
    return {"type": "output_text", "text": block.text, "annotations": [], "logprobs": []}
