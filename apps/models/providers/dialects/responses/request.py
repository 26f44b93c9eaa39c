"""The Responses API's requests, read from a caller into a conversation.

Source: the public OpenAI API reference, responses. A thought of another API travels in ``encrypted_content``: its
signature, or, behind ``redacted:``, what only that API can read.
"""

from __future__ import annotations

import msgspec
from msgspec import Raw

from apps.models.providers.base import Unreadable, UpstreamCall
from apps.models.providers.conversation import (
    Block,
    Conversation,
    Document,
    Image,
    Message,
    OutputFormat,
    Reasoning,
    Refusal,
    Role,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from apps.models.providers.dialects.chat.request import given
from apps.models.providers.dialects.media import parse_data_url
from apps.models.providers.dialects.responses import wire

# What the front, or Lobby's own memory, has done already.
_HANDLED = frozenset(
    {"model", "stream", "stream_options", "lobby", "prompt", "store", "previous_response_id", "metadata"}
)
# Values that ask for nothing beyond what happens anyway.
_IDLE = {
    "background": (b"false",),
    "truncation": (b'"disabled"',),
    "service_tier": (b'"auto"', b'"default"'),
    "top_logprobs": (b"0",),
    "include": (b"[]", b'["reasoning.encrypted_content"]'),
}
REDACTED = "redacted:"


class _Request(msgspec.Struct):
    input: str | list[wire.Item] = ""
    instructions: str | None = None
    tools: list[wire.Tool] | None = None
    tool_choice: str | wire.ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    text: wire.TextOptions | None = None
    reasoning: wire.ReasoningOptions | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    user: str | None = None


_KNOWN = frozenset(_Request.__struct_fields__)
_decode = msgspec.json.Decoder(_Request).decode
_encode = msgspec.json.Encoder().encode


def conversation(call: UpstreamCall) -> Conversation:
    try:
        asked = _decode(_encode({name: raw for name, raw in call.fields.items() if name in _KNOWN}))
    except msgspec.ValidationError as error:
        raise Unreadable(str(error)) from None
    others = {
        name: raw
        for name, raw in call.fields.items()
        if name not in _KNOWN
        and name not in _HANDLED
        and bytes(raw) != b"null"
        and bytes(raw).replace(b" ", b"") not in _IDLE.get(name, ())
    }
    text = asked.text or wire.TextOptions()
    if text.verbosity not in (None, "medium"):
        others["text.verbosity"] = Raw(_encode(text.verbosity))
    tools = []
    for number, tool in enumerate(asked.tools or []):
        if tool.type == "function":
            tools.append(Tool(tool.name, tool.description, given(tool.parameters), tool.strict))
        else:
            others[f"tools[{number}]"] = Raw(_encode(tool.type))
    return Conversation(
        messages=_messages(asked, others),
        tools=tools,
        tool_choice=_tool_choice(asked.tool_choice, others),
        parallel_tool_calls=asked.parallel_tool_calls if tools else None,
        output_format=_output_format(text.format),
        reasoning=_reasoning(asked.reasoning),
        max_tokens=asked.max_output_tokens,
        temperature=asked.temperature,
        top_p=asked.top_p,
        user=asked.user,
        others=others,
        names={
            "output_format": "text.format",
            "output_format.strict": "text.format.strict",
            "output_format.description": "text.format.description",
            "max_tokens": "max_output_tokens",
            "thinking": "input.reasoning",
            "image_url.detail": "input_image.detail",
        },
    )


def _messages(asked: _Request, others: dict[str, Raw]) -> list[Message]:
    """Items of one speaker that follow each other are one message."""
    messages = [Message("system", [Text(asked.instructions)])] if asked.instructions else []
    items = [wire.Item(role="user", content=asked.input)] if isinstance(asked.input, str) else asked.input
    for number, item in enumerate(items):
        found = _item(item, f"input[{number}]")
        if found is None:
            others[f"input[{number}]"] = Raw(_encode(item.type))
            continue
        role, blocks = found
        if messages and messages[-1].role == role and role != "system" and _may_join(messages[-1], item):
            messages[-1].content += blocks
        else:
            messages.append(Message(role, blocks))
    return messages


def _may_join(before: Message, item: wire.Item) -> bool:
    """Two messages of a user stay two; results of tools, and what an assistant did in one go, belong together."""
    if before.role == "assistant":
        return True
    return item.type == "function_call_output" and isinstance(before.content[-1], ToolResult)


def _item(item: wire.Item, path: str) -> tuple[Role, list[Block]] | None:
    """None for what no other API has."""
    match item.type:
        case "message":
            role: Role
            match item.role:
                case "system" | "developer":
                    role = "system"
                case "user" | "assistant" as role:
                    pass
                case other:
                    raise Unreadable(f"There is no role '{other[:40]}'.", f"{path}.role")
            return role, _parts(item.content, f"{path}.content")
        case "function_call":
            return "assistant", [ToolCall(item.call_id, item.name, item.arguments)]
        case "function_call_output":
            content = _parts(item.output, f"{path}.output")
            return "user", [
                ToolResult(item.call_id, [each for each in content if isinstance(each, Text | Image | Document)])
            ]
        case "reasoning":
            return "assistant", [_thought(item)]
        case "item_reference":
            raise Unreadable("An item that is only named by its id cannot be found: send the item itself.", path)
    return None


def _thought(item: wire.Item) -> Thinking:
    parts = item.content if isinstance(item.content, list) else item.summary or []
    text = "\n\n".join(part.text for part in parts)
    sealed = item.encrypted_content
    if sealed is not None and sealed.startswith(REDACTED):
        return Thinking(redacted=sealed.removeprefix(REDACTED))
    return Thinking(text, signature=sealed)


def _parts(content: str | list[wire.Part] | None, path: str) -> list[Block]:
    if content is None:
        return []
    if isinstance(content, str):
        return [Text(content)]
    return [_part(part, f"{path}[{number}]") for number, part in enumerate(content)]


def _part(part: wire.Part, path: str) -> Block:
    match part.type:
        case "input_text" | "output_text" | "text":
            return Text(part.text)
        case "refusal":
            return Refusal(part.refusal)
        case "input_image" if part.image_url:
            media_type, data = parse_data_url(part.image_url)
            if data:
                return Image(media_type, data, detail=part.detail)
            return Image(url=part.image_url, detail=part.detail)
        case "input_file" if part.file_data:
            media_type, data = parse_data_url(part.file_data)
            return Document(part.filename or "", media_type or "application/pdf", data or part.file_data)
        case "input_file" if part.file_url:
            return Document(part.filename or "", url=part.file_url)
        case "input_image" | "input_file":
            raise Unreadable("What is only named by an id cannot be read by this model's provider.", path)
        case kind:
            raise Unreadable(f"A part of the type '{kind[:40]}' is not known.", path)


def _tool_choice(choice: str | wire.ToolChoice | None, others: dict[str, Raw]) -> ToolChoice | None:
    match choice:
        case None:
            return None
        case "auto" | "none" | "required":
            return ToolChoice(choice)
        case wire.ToolChoice(type="function", name=name):
            return ToolChoice("named", name)
        case str():
            raise Unreadable(f"There is no tool_choice '{choice[:40]}'.", "tool_choice")
    others["tool_choice"] = Raw(_encode(choice.type))
    return None


def _output_format(asked: wire.Format | None) -> OutputFormat | None:
    match asked:
        case None | wire.Format(type="text"):
            return None
        case wire.Format(type="json_object"):
            return OutputFormat("json_object")
        case wire.Format(type="json_schema"):
            return OutputFormat("json_schema", given(asked.schema), asked.name, asked.description, asked.strict)
    raise Unreadable(f"There is no format of the type '{asked.type[:40]}'.", "text.format.type")


def _reasoning(asked: wire.ReasoningOptions | None) -> Reasoning | None:
    if asked is None or (asked.effort is None and asked.summary is None):
        return None
    if asked.effort == "none":
        return Reasoning(enabled=False)
    return Reasoning(effort=asked.effort, summary=asked.summary)
