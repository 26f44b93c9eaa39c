"""Responses' requests, written for an upstream. Nothing is kept there: each request carries all of the conversation."""

from __future__ import annotations

import hashlib
from typing import Any

from apps.models.providers.base import Target, Unreadable
from apps.models.providers.conversation import (
    Audio,
    Block,
    Conversation,
    Document,
    Image,
    Message,
    OutputFormat,
    Refusal,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolResult,
    Written,
)
from apps.models.providers.dialects.chat.request import effort
from apps.models.providers.dialects.media import data_url
from apps.models.providers.dialects.responses.passing import ENCRYPTED_REASONING


def write(conversation: Conversation, target: Target, *, stream: bool, max_output_tokens: int | None) -> Written:
    dropped = conversation.unsaid("stop", "seed", "presence_penalty", "frequency_penalty", "top_k")
    items: list[dict[str, Any]] = []
    for message in conversation.messages:
        items += _items(message)
        if message.name:
            dropped.append("messages.name")
        for block in message.content:
            if isinstance(block, Thinking) and block.signature is None:
                dropped.append(conversation.name("thinking"))
            elif isinstance(block, ToolResult) and block.is_error:
                dropped.append(conversation.name("is_error"))
    fields: dict[str, Any] = {"model": target.upstream_model, "input": items, "store": False}
    if conversation.tools:
        fields["tools"] = [_tool(tool) for tool in conversation.tools]
    if (choice := conversation.tool_choice) is not None:
        fields["tool_choice"] = {"type": "function", "name": choice.name} if choice.mode == "named" else choice.mode
    if conversation.output_format is not None:
        fields["text"] = {"format": _format(conversation.output_format)}
    if conversation.reasoning is not None:
        much = effort(conversation.reasoning)
        if much is not None and target.can("reasoning"):
            summary = {"summary": conversation.reasoning.summary} if conversation.reasoning.summary else {}
            fields["reasoning"] = {"effort": much, **summary}
        elif conversation.reasoning.enabled:
            dropped.append(conversation.name("reasoning"))
    if "reasoning" in target.capabilities:
        fields["include"] = [ENCRYPTED_REASONING]
    if conversation.cached:
        dropped.append(conversation.name("cache"))
    plain = {
        "max_output_tokens": conversation.max_tokens if conversation.max_tokens is not None else max_output_tokens,
        "parallel_tool_calls": conversation.parallel_tool_calls,
        "temperature": conversation.temperature,
        "top_p": conversation.top_p,
        "user": conversation.user,
    }
    fields |= {name: value for name, value in plain.items() if value is not None}
    if stream:
        fields["stream"] = True
    return Written(fields, tuple(dict.fromkeys(dropped)))


def _items(message: Message) -> list[dict[str, Any]]:
    """Parts in a row are one message; calls, results and thought are items of their own."""
    items: list[dict[str, Any]] = []
    parts: list[dict[str, Any]] = []

    def close() -> None:
        if parts:
            items.append({"type": "message", "role": message.role, "content": parts.copy()})
            parts.clear()

    for block in message.content:
        match block:
            case ToolCall():
                close()
                items.append(
                    {"type": "function_call", "call_id": block.id, "name": block.name, "arguments": block.arguments}
                )
            case ToolResult():
                close()
                items.append({"type": "function_call_output", "call_id": block.id, "output": _output(block)})
            case Thinking():
                close()
                items += _reasoning(block)
            case _:
                parts.append(_part(block, message.role == "assistant"))
    close()
    return items


def _output(result: ToolResult) -> str | list[dict[str, Any]]:
    if all(isinstance(block, Text) for block in result.content):
        return "\n".join(block.text for block in result.content if isinstance(block, Text))
    return [_part(block, False) for block in result.content]


def _reasoning(block: Thinking) -> list[dict[str, Any]]:
    """Thought goes back only as the API itself sealed it: it takes no other."""
    if block.signature is None:
        return []
    id = hashlib.sha256(block.signature.encode()).hexdigest()[:48]
    summary = [{"type": "summary_text", "text": block.text}] if block.text else []
    return [{"type": "reasoning", "id": f"rs_{id}", "summary": summary, "encrypted_content": block.signature}]


def _part(block: Block, is_answer: bool) -> dict[str, Any]:
    match block:
        case Text():
            return {"type": "output_text" if is_answer else "input_text", "text": block.text}
        case Refusal():
            return {"type": "refusal", "refusal": block.text}
        case Image():
            url = block.url or data_url(block.media_type, block.data)
            return {"type": "input_image", "image_url": url, "detail": block.detail or "auto"}
        case Document(text=text) if text:
            return {"type": "input_text", "text": f"{block.name}\n\n{text}" if block.name else text}
        case Document(url=url) if url:
            return {"type": "input_file", "file_url": url}
        case Document():
            file_data = data_url(block.media_type, block.data)
            return {"type": "input_file", "filename": block.name or "document", "file_data": file_data}
        case Audio():
            raise Unreadable("This model's provider takes no sound.")
    raise Unreadable(f"A {type(block).__name__.lower()} cannot stand in a message.")


def _tool(tool: Tool) -> dict[str, Any]:
    described = {} if tool.description is None else {"description": tool.description}
    # Left out it would mean true, unlike in other APIs.
    return {
        "type": "function",
        "name": tool.name,
        **described,
        "parameters": tool.parameters,
        "strict": bool(tool.strict),
    }


def _format(wanted: OutputFormat) -> dict[str, Any]:
    if wanted.mode == "json_object":
        return {"type": "json_object"}
    schema = {
        "type": "json_schema",
        "name": wanted.name,
        "description": wanted.description,
        "schema": wanted.schema,
        "strict": wanted.strict,
    }
    return {name: value for name, value in schema.items() if value is not None}
