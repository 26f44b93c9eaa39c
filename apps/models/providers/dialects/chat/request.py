"""Chat completions' requests: read from a caller into a conversation, and written for an upstream.

Source: the public OpenAI API reference, chat completions. ``reasoning_content`` and ``reasoning_details`` are no part
of it; several servers write thought there, and their clients send it back.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw

from apps.models.providers.base import Target, Unreadable, UpstreamCall
from apps.models.providers.conversation import (
    Audio,
    Block,
    Conversation,
    Document,
    Image,
    Message,
    OutputFormat,
    Reasoning,
    Refusal,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Written,
)
from apps.models.providers.dialects.media import data_url, parse_data_url

# What the front itself does, and what is Lobby's own: nothing of these is for an upstream.
_HANDLED = frozenset({"model", "stream", "stream_options", "lobby", "prompt"})
# Values that ask for nothing beyond what happens anyway.
_IDLE = {
    "n": b"1",
    "logprobs": b"false",
    "store": b"false",
    "modalities": b'["text"]',
    "logit_bias": b"{}",
    "service_tier": b'"auto"',
}
# A budget of thought as an effort, and the other way about: the nearest of the steps that both APIs document.
EFFORT_TOKENS = {"minimal": 1_024, "low": 2_048, "medium": 8_192, "high": 24_576}


# JSON that passes as it came. To msgspec ``Raw | None`` would be null alone, so an empty one stands for none.
_NOTHING = Raw(b"")


def given(raw: Raw) -> Raw | None:
    """``raw`` unless it was left out, or null."""
    return raw if bytes(raw) not in (b"", b"null") else None


class _ImageUrl(msgspec.Struct):
    url: str
    detail: str | None = None


class _InputAudio(msgspec.Struct):
    data: str
    format: str


class _File(msgspec.Struct):
    file_data: str | None = None
    file_id: str | None = None
    filename: str | None = None


class _Part(msgspec.Struct):
    type: str
    text: str = ""
    refusal: str = ""
    image_url: _ImageUrl | None = None
    input_audio: _InputAudio | None = None
    file: _File | None = None


class _Function(msgspec.Struct):
    name: str
    arguments: str = ""
    description: str | None = None
    parameters: Raw = _NOTHING
    strict: bool | None = None


class _ToolCall(msgspec.Struct):
    id: str = ""
    type: str = "function"
    function: _Function | None = None


class ReasoningDetail(msgspec.Struct, omit_defaults=True):
    type: str
    text: str = ""
    signature: str | None = None
    data: str | None = None


class _Message(msgspec.Struct):
    role: str
    content: str | list[_Part] | None = None
    name: str | None = None
    refusal: str | None = None
    tool_calls: list[_ToolCall] | None = None
    function_call: _Function | None = None  # the older way to call one tool
    audio: Raw = _NOTHING
    tool_call_id: str | None = None
    reasoning_content: str | None = None
    reasoning_details: list[ReasoningDetail] | None = None


class _Tool(msgspec.Struct):
    type: str
    function: _Function | None = None


class _Named(msgspec.Struct):
    function: _Function


class _JsonSchema(msgspec.Struct):
    name: str = "answer"
    description: str | None = None
    schema: Raw = _NOTHING
    strict: bool | None = None


class _Format(msgspec.Struct):
    type: str
    json_schema: _JsonSchema | None = None


class _Request(msgspec.Struct):
    messages: list[_Message] = []
    tools: list[_Tool] | None = None
    tool_choice: str | _Named | None = None
    parallel_tool_calls: bool | None = None
    response_format: _Format | None = None
    reasoning_effort: str | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: str | list[str] | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
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
        if name not in _KNOWN and name not in _HANDLED and bytes(raw) not in (b"null", _IDLE.get(name))
    }
    tools = [
        Tool(tool.function.name, tool.function.description, given(tool.function.parameters), tool.function.strict)
        for tool in asked.tools or []
        if tool.function is not None
    ]
    for number, tool in enumerate(asked.tools or []):
        if tool.function is None:
            others[f"tools[{number}]"] = Raw(_encode(tool.type))
    return Conversation(
        messages=[_message(message, number, others) for number, message in enumerate(asked.messages)],
        tools=tools,
        tool_choice=_tool_choice(asked.tool_choice),
        parallel_tool_calls=asked.parallel_tool_calls,
        output_format=_output_format(asked.response_format),
        reasoning=_reasoning(asked.reasoning_effort),
        max_tokens=asked.max_completion_tokens if asked.max_completion_tokens is not None else asked.max_tokens,
        temperature=asked.temperature,
        top_p=asked.top_p,
        top_k=asked.top_k,
        stop=[asked.stop] if isinstance(asked.stop, str) else asked.stop or [],
        seed=asked.seed,
        presence_penalty=asked.presence_penalty or None,
        frequency_penalty=asked.frequency_penalty or None,
        user=asked.user,
        others=others,
        names={
            "output_format": "response_format",
            "reasoning": "reasoning_effort",
            "output_format.strict": "response_format.json_schema.strict",
            "output_format.description": "response_format.json_schema.description",
            "thinking": "reasoning_content",
            "max_tokens": "max_tokens" if asked.max_completion_tokens is None else "max_completion_tokens",
        },
    )


def _message(message: _Message, number: int, others: dict[str, Raw]) -> Message:
    content = [_block(part, f"messages[{number}].content[{at}]") for at, part in enumerate(_parts(message.content))]
    match message.role:
        case "system" | "developer":
            return Message("system", content, message.name)
        case "tool" | "function":
            result = ToolResult(
                message.tool_call_id or message.name or "",
                [block for block in content if isinstance(block, Text | Image | Document)],
            )
            return Message("user", [result])
        case "assistant":
            thought: list[Block] = [
                Thinking(each.text, each.signature, each.data) for each in message.reasoning_details or []
            ]
            if not thought and message.reasoning_content:
                thought = [Thinking(message.reasoning_content)]
            if message.refusal:
                content.append(Refusal(message.refusal))
            if given(message.audio) is not None:  # what it said before, by its id
                others[f"messages[{number}].audio"] = message.audio
            calls = []
            for at, each in enumerate(message.tool_calls or []):
                if each.function is not None:
                    calls.append(ToolCall(each.id, each.function.name, each.function.arguments))
                else:
                    others[f"messages[{number}].tool_calls[{at}]"] = Raw(_encode(each.type))
            if (called := message.function_call) is not None:  # its result names it by its name
                calls.append(ToolCall(called.name, called.name, called.arguments))
            return Message("assistant", [*thought, *content, *calls], message.name)
        case "user":
            return Message("user", content, message.name)
        case role:
            raise Unreadable(f"There is no role '{role[:40]}'.", f"messages[{number}].role")


def _parts(content: str | list[_Part] | None) -> list[_Part]:
    if content is None:
        return []
    return [_Part("text", text=content)] if isinstance(content, str) else content


def _block(part: _Part, path: str) -> Block:
    match part.type:
        case "text":
            return Text(part.text)
        case "refusal":
            return Refusal(part.refusal)
        case "image_url" if part.image_url is not None:
            media_type, data = parse_data_url(part.image_url.url)
            if data:
                return Image(media_type, data, detail=part.image_url.detail)
            return Image(url=part.image_url.url, detail=part.image_url.detail)
        case "input_audio" if part.input_audio is not None:
            return Audio(part.input_audio.format, part.input_audio.data)
        case "file" if part.file is not None and part.file.file_data:
            media_type, data = parse_data_url(part.file.file_data)
            return Document(part.file.filename or "", media_type or "application/pdf", data or part.file.file_data)
        case "file":
            raise Unreadable("A file that is only named by an id cannot be read by this model's provider.", path)
        case kind:
            raise Unreadable(f"A part of the type '{kind[:40]}' is not known.", path)


def _tool_choice(choice: str | _Named | None) -> ToolChoice | None:
    match choice:
        case None:
            return None
        case "auto" | "none" | "required":
            return ToolChoice(choice)
        case str():
            raise Unreadable(f"There is no tool_choice '{choice[:40]}'.", "tool_choice")
    return ToolChoice("named", choice.function.name)


def _output_format(asked: _Format | None) -> OutputFormat | None:
    match asked:
        case None | _Format(type="text"):
            return None
        case _Format(type="json_object"):
            return OutputFormat("json_object")
        case _Format(type="json_schema", json_schema=_JsonSchema() as schema):
            return OutputFormat("json_schema", given(schema.schema), schema.name, schema.description, schema.strict)
    raise Unreadable(f"There is no response_format of the type '{asked.type[:40]}'.", "response_format.type")


def _reasoning(effort: str | None) -> Reasoning | None:
    if effort is None:
        return None
    return Reasoning(enabled=False) if effort == "none" else Reasoning(effort=effort)


# For an upstream.


def write(
    conversation: Conversation, target: Target, *, stream: bool, max_output_tokens: int | None, max_tokens_field: str
) -> Written:
    dropped = conversation.unsaid()
    fields: dict[str, Any] = {"model": target.upstream_model, "messages": _written_messages(conversation, dropped)}
    if conversation.tools:
        fields["tools"] = [_written_tool(tool) for tool in conversation.tools]
    if conversation.tool_choice is not None:
        named = conversation.tool_choice.mode == "named"
        fields["tool_choice"] = (
            {"type": "function", "function": {"name": conversation.tool_choice.name}}
            if named
            else conversation.tool_choice.mode
        )
    if conversation.output_format is not None:
        fields["response_format"] = _written_format(conversation.output_format)
    if conversation.reasoning is not None:
        much = effort(conversation.reasoning)
        if much is not None and target.can("reasoning"):
            fields["reasoning_effort"] = much
        elif conversation.reasoning.enabled:
            dropped.append(conversation.name("reasoning"))
        if conversation.reasoning.summary is not None:
            dropped.append(conversation.name("reasoning.summary"))
    if conversation.stop:
        fields["stop"] = conversation.stop
    most = conversation.max_tokens if conversation.max_tokens is not None else max_output_tokens
    plain = {
        max_tokens_field: most,
        "parallel_tool_calls": conversation.parallel_tool_calls,
        "temperature": conversation.temperature,
        "top_p": conversation.top_p,
        "seed": conversation.seed,
        "presence_penalty": conversation.presence_penalty,
        "frequency_penalty": conversation.frequency_penalty,
        "user": conversation.user,
    }
    if conversation.top_k is not None:
        if "top_k" in target.setting("accepts").split(","):  # vLLM and others take it; OpenAI does not
            plain["top_k"] = conversation.top_k
        else:
            dropped.append(conversation.name("top_k"))
    if conversation.cached:
        dropped.append(conversation.name("cache"))
    fields |= {name: value for name, value in plain.items() if value is not None}
    if stream:
        fields |= {"stream": True, "stream_options": {"include_usage": True}}
    return Written(fields, tuple(dict.fromkeys(dropped)))


def effort(reasoning: Reasoning) -> str | None:
    if not reasoning.enabled:
        return None
    if reasoning.effort is not None or reasoning.budget_tokens is None:
        return reasoning.effort or "medium"
    budget = reasoning.budget_tokens
    return next((effort for effort, tokens in EFFORT_TOKENS.items() if budget <= tokens), "high")


def _written_messages(conversation: Conversation, dropped: list[str]) -> list[dict[str, Any]]:
    written: list[dict[str, Any]] = []
    for message in conversation.messages:
        if message.role == "assistant":
            written.append(_written_assistant(message))
            if any(isinstance(block, Thinking) and not block.text for block in message.content):
                dropped.append(conversation.name("thinking"))  # sealed, as only its own API can read it
            continue
        parts: list[dict[str, Any]] = []
        for block in message.content:
            if isinstance(block, ToolResult):
                if block.is_error:
                    dropped.append(conversation.name("is_error"))
                texts = [each.text for each in block.content if isinstance(each, Text)]
                written.append({"role": "tool", "tool_call_id": block.id, "content": "\n".join(texts)})
                # A tool's message holds text alone: what else it brought follows as the user's.
                parts += [_written_part(each) for each in block.content if not isinstance(each, Text)]
            else:
                parts.append(_written_part(block))
        if parts:
            named = {"name": message.name} if message.name else {}
            written.append({"role": message.role, "content": _flat(parts), **named})
    return written


def _written_assistant(message: Message) -> dict[str, Any]:
    written: dict[str, Any] = {"role": "assistant", **({"name": message.name} if message.name else {})}
    parts, calls, thought = [], [], []
    for block in message.content:
        match block:
            case ToolCall():
                function = {"name": block.name, "arguments": block.arguments}
                calls.append({"id": block.id, "type": "function", "function": function})
            case Thinking():
                thought.append(block.text)
            case Refusal():
                written["refusal"] = block.text
            case _:
                parts.append(_written_part(block))
    written["content"] = _flat(parts) if parts else None
    if any(thought):
        written["reasoning_content"] = "\n".join(filter(None, thought))
    if calls:
        written["tool_calls"] = calls
    return written


def _flat(parts: list[dict[str, Any]]) -> str | list[dict[str, Any]]:
    """One text stands for itself: older servers know no parts."""
    return parts[0]["text"] if len(parts) == 1 and parts[0]["type"] == "text" else parts


def _written_part(block: Block) -> dict[str, Any]:
    match block:
        case Text():
            return {"type": "text", "text": block.text}
        case Image():
            url = block.url or data_url(block.media_type, block.data)
            return {
                "type": "image_url",
                "image_url": {"url": url, **({"detail": block.detail} if block.detail else {})},
            }
        case Document(text=text) if text:
            return {"type": "text", "text": f"{block.name}\n\n{text}" if block.name else text}
        case Document(url=url) if url:
            raise Unreadable("A document by its address cannot be read by this model's provider: send its content.")
        case Document():
            file = {"filename": block.name or "document", "file_data": data_url(block.media_type, block.data)}
            return {"type": "file", "file": file}
        case Audio():
            return {"type": "input_audio", "input_audio": {"data": block.data, "format": block.format}}
        case Refusal():
            return {"type": "refusal", "refusal": block.text}
    raise Unreadable(f"A {type(block).__name__.lower()} cannot stand in a user's message.")


def _written_tool(tool: Tool) -> dict[str, Any]:
    function = {
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters,
        "strict": tool.strict,
    }
    return {"type": "function", "function": {name: value for name, value in function.items() if value is not None}}


def _written_format(wanted: OutputFormat) -> dict[str, Any]:
    if wanted.mode == "json_object":
        return {"type": "json_object"}
    schema = {
        "name": wanted.name,
        "description": wanted.description,
        "schema": wanted.schema,
        "strict": wanted.strict,
    }
    return {
        "type": "json_schema",
        "json_schema": {name: value for name, value in schema.items() if value is not None},
    }
