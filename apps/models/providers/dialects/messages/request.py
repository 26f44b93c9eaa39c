"""A caller's Messages request, read into a conversation.

What only Anthropic's own models can do (server tools and their results, containers, citations) is named among the
conversation's ``others``.
"""

from __future__ import annotations

from collections.abc import Sequence

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
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from apps.models.providers.dialects.chat.request import given
from apps.models.providers.dialects.messages import wire

# What the front itself does, and what is Lobby's own: nothing of these is for an upstream.
_HANDLED = frozenset({"model", "stream", "lobby", "prompt"})
# Values that ask for nothing beyond what happens anyway.
_IDLE = {"service_tier": b'"auto"', "mcp_servers": b"[]", "speed": b'"standard"'}
_TRUE = Raw(b"true")
# Steps of effort beyond what the other APIs have.
_BEYOND = frozenset({"xhigh", "max"})


class _Message(msgspec.Struct):
    role: str
    content: str | list[wire.Block]


class _Tool(msgspec.Struct):
    name: str = ""
    type: str | None = None
    description: str | None = None
    input_schema: Raw = Raw(b"")
    strict: bool | None = None
    cache_control: wire.CacheControl | None = None


class _ToolChoice(msgspec.Struct):
    type: str
    name: str = ""
    disable_parallel_tool_use: bool | None = None


class _Thinking(msgspec.Struct):
    type: str
    budget_tokens: int | None = None
    display: str | None = None


class _Format(msgspec.Struct):
    type: str
    schema: Raw = Raw(b"")


class _OutputConfig(msgspec.Struct):
    effort: str | None = None
    format: _Format | None = None


class _Metadata(msgspec.Struct):
    user_id: str | None = None


class _Request(msgspec.Struct):
    messages: list[_Message] = []
    system: str | list[wire.Block] | None = None
    tools: list[Raw] | None = None
    tool_choice: _ToolChoice | None = None
    thinking: _Thinking | None = None
    output_config: _OutputConfig | None = None
    output_format: _Format | None = None
    metadata: _Metadata | None = None
    cache_control: wire.CacheControl | None = None
    stop_sequences: list[str] | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None


_TOOL_FIELDS = frozenset(_Tool.__struct_fields__)
_KNOWN = frozenset(_Request.__struct_fields__)
_decode = msgspec.json.Decoder(_Request).decode
_decode_tool = msgspec.json.Decoder(_Tool).decode
_decode_fields = msgspec.json.Decoder(dict[str, Raw]).decode
_encode = msgspec.json.Encoder().encode


def conversation(call: UpstreamCall) -> Conversation:
    try:
        asked = _decode(_encode({name: raw for name, raw in call.fields.items() if name in _KNOWN}))
        given_tools = [(_decode_tool(raw), _decode_fields(raw)) for raw in asked.tools or []]
    except msgspec.ValidationError as error:
        raise Unreadable(str(error)) from None
    others = {
        name: raw
        for name, raw in call.fields.items()
        if name not in _KNOWN and name not in _HANDLED and bytes(raw) not in (b"null", _IDLE.get(name))
    }
    if beta := call.headers.get("anthropic-beta"):
        others["anthropic-beta"] = Raw(_encode(beta))
    system = _content(asked.system or [], "system", others)
    messages = [Message("system", system)] if system else []
    messages += [_message(message, number, others) for number, message in enumerate(asked.messages)]
    tools = []
    for number, (tool, said) in enumerate(given_tools):
        if tool.type in (None, "custom"):
            for name in said.keys() - _TOOL_FIELDS:
                others[f"tools[{number}].{name}"] = said[name]
            schema = given(tool.input_schema)
            tools.append(Tool(tool.name, tool.description, schema, tool.strict, _cache(tool.cache_control)))
        else:  # one that Anthropic runs, or whose schema only its models know
            others[f"tools[{number}] ({tool.type})"] = _TRUE
    if asked.cache_control is not None:
        _mark_last(messages, asked.cache_control)
    choice = asked.tool_choice
    output = asked.output_config or _OutputConfig()
    return Conversation(
        messages=messages,
        tools=tools,
        tool_choice=_tool_choice(choice),
        parallel_tool_calls=False if choice is not None and choice.disable_parallel_tool_use else None,
        output_format=_output_format(output.format or asked.output_format),
        reasoning=_reasoning(asked.thinking, output.effort, others),
        max_tokens=asked.max_tokens,
        temperature=asked.temperature,
        top_p=asked.top_p,
        top_k=asked.top_k,
        stop=asked.stop_sequences or [],
        user=asked.metadata.user_id if asked.metadata is not None else None,
        others=others,
        names={
            "output_format": "output_config.format" if output.format is not None else "output_format",
            "reasoning": "thinking" if asked.thinking is not None else "output_config.effort",
            "stop": "stop_sequences",
            "user": "metadata.user_id",
            "parallel_tool_calls": "tool_choice.disable_parallel_tool_use",
            "cache": "cache_control",
        },
    )


def _message(message: _Message, number: int, others: dict[str, Raw]) -> Message:
    content = _content(message.content, f"messages[{number}].content", others)
    match message.role:
        case "user" | "assistant" | "system" as role:
            return Message(role, content)
    raise Unreadable(f"There is no role '{message.role[:40]}'.", f"messages[{number}].role")


def _content(content: str | Sequence[wire.Block], path: str, others: dict[str, Raw]) -> list[Block]:
    if isinstance(content, str):
        return [Text(content)]
    return [block for at, each in enumerate(content) for block in _blocks(each, f"{path}[{at}]", others)]


def _blocks(block: wire.Block, path: str, others: dict[str, Raw]) -> list[Block]:
    cache = _cache(block.cache_control)
    if isinstance(block.citations, list) or (block.citations is not None and block.citations.enabled):
        others["citations"] = _TRUE
    match block.type:
        case "text":
            return [Text(_needed(block.text, path, "text"), cache)]
        case "image":
            return [_image(block, path, cache)]
        case "document":
            context: list[Block] = [Text(block.context)] if block.context else []
            return [*context, _document(block, path, cache)]
        case "thinking":
            return [Thinking(_needed(block.thinking, path, "thinking"), block.signature)]
        case "redacted_thinking":
            return [Thinking(redacted=_needed(block.data, path, "data"))]
        case "tool_use":
            id, name = _needed(block.id, path, "id"), _needed(block.name, path, "name")
            return [ToolCall(id, name, bytes(block.input).decode(), cache)]
        case "tool_result":
            found = _content(block.content or [], f"{path}.content", others)
            content = [each for each in found if isinstance(each, Text | Image | Document)]
            return [ToolResult(_needed(block.tool_use_id, path, "tool_use_id"), content, bool(block.is_error), cache)]
        case "search_result":
            texts = [each.text or "" for each in block.content or [] if isinstance(each, wire.Block)]
            address = block.source if isinstance(block.source, str) else ""
            return [Text("\n".join(filter(None, [block.title, address, *texts])), cache)]
    # What Anthropic's own tools did, or holds there: an upstream of another kind has no word for it.
    others[f"{path} ({block.type[:40]})"] = _TRUE
    return []


def _image(block: wire.Block, path: str, cache: str | None) -> Image:
    match block.source:
        case wire.Source(type="base64") as source:
            return Image(source.media_type, source.data, cache=cache)
        case wire.Source(type="url") as source:
            return Image(url=source.url, cache=cache)
        case wire.Source(type="file"):
            raise Unreadable("An image that is only named by an id cannot be read by this model's provider.", path)
    raise Unreadable("An image has a source of the type 'base64' or 'url'.", f"{path}.source")


def _document(block: wire.Block, path: str, cache: str | None) -> Document:
    name = block.title or ""
    match block.source:
        case wire.Source(type="base64") as source:
            return Document(name, source.media_type or "application/pdf", source.data, cache=cache)
        case wire.Source(type="text") as source:
            return Document(name, "text/plain", text=source.data, cache=cache)
        case wire.Source(type="content", content=str() as text):
            return Document(name, "text/plain", text=text, cache=cache)
        case wire.Source(type="content", content=list() as parts):
            if all(part.type == "text" for part in parts):
                return Document(name, "text/plain", text="\n".join(part.text or "" for part in parts), cache=cache)
            raise Unreadable("A document made of images cannot be read by this model's provider.", f"{path}.source")
        case wire.Source(type="url") as source:
            return Document(name, url=source.url, cache=cache)
        case wire.Source(type="file"):
            raise Unreadable("A file that is only named by an id cannot be read by this model's provider.", path)
    raise Unreadable("A document has a source of the type 'base64', 'text', 'content' or 'url'.", f"{path}.source")


def _needed(value: str | None, path: str, name: str) -> str:
    if value is None:
        raise Unreadable(f"'{path}.{name}' is missing.", f"{path}.{name}")
    return value


def _cache(control: wire.CacheControl | None) -> str | None:
    return None if control is None else control.ttl or "5m"


def _mark_last(messages: list[Message], control: wire.CacheControl) -> None:
    """The mark of the whole request stands at its last block that can bear one."""
    for message in reversed(messages):
        for block in reversed(message.content):
            if hasattr(block, "cache"):
                block.cache = block.cache or _cache(control)
                return


def _tool_choice(choice: _ToolChoice | None) -> ToolChoice | None:
    match choice:
        case None:
            return None
        case _ToolChoice(type="auto" | "none" as mode):
            return ToolChoice(mode)
        case _ToolChoice(type="any"):
            return ToolChoice("required")
        case _ToolChoice(type="tool", name=name):
            return ToolChoice("named", name)
    raise Unreadable(f"There is no tool_choice of the type '{choice.type[:40]}'.", "tool_choice.type")


def _output_format(asked: _Format | None) -> OutputFormat | None:
    match asked:
        case None:
            return None
        case _Format(type="json_schema", schema=schema) if given(schema) is not None:
            return OutputFormat("json_schema", schema, strict=True)
    raise Unreadable("An output format has the type 'json_schema' and a schema.", "output_config.format")


def _reasoning(thinking: _Thinking | None, effort: str | None, others: dict[str, Raw]) -> Reasoning | None:
    if thinking is not None and thinking.display == "omitted":
        others["thinking.display"] = _TRUE
    if effort in _BEYOND:
        others[f"output_config.effort ({effort}, taken as high)"] = _TRUE
        effort = "high"
    match thinking:
        case None:
            return Reasoning(effort=effort) if effort is not None else None
        case _Thinking(type="disabled" | "between_tools"):
            return Reasoning(enabled=False)
        case _Thinking(type="adaptive"):
            return Reasoning(effort=effort)
        case _Thinking(type="enabled", budget_tokens=budget):
            return Reasoning(effort=effort, budget_tokens=budget)
    raise Unreadable(f"There is no thinking of the type '{thinking.type[:40]}'.", "thinking.type")
