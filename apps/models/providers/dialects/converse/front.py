"""Converse's requests, read from a caller into a conversation."""

from __future__ import annotations

import msgspec
from msgspec import Raw

from apps.models.providers.base import Unreadable, UpstreamCall
from apps.models.providers.conversation import (
    Audio,
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
from apps.models.providers.dialects.converse import wire

_HANDLED = frozenset({*wire.ConverseRequest.__struct_fields__, "lobby", "prompt"})
_decode = msgspec.json.Decoder(wire.ConverseRequest).decode
_encode = msgspec.json.Encoder().encode
_MORE = "additionalModelRequestFields"


class _Thinking(msgspec.Struct):
    type: str = "enabled"
    budget_tokens: int | None = None


def conversation(call: UpstreamCall) -> Conversation:
    try:
        asked = _decode(_encode({name: raw for name, raw in call.fields.items() if name in _HANDLED}))
    except msgspec.ValidationError as error:
        raise Unreadable(str(error)) from None
    others = {name: raw for name, raw in call.fields.items() if name not in _HANDLED and bytes(raw) != b"null"}
    system = _system(asked.system, others)
    config = asked.inferenceConfig or wire.InferenceConfig()
    more = dict(asked.additionalModelRequestFields or {})
    more.pop("lobby", None)
    reasoning, reasoning_name = _reasoning(more)
    output = asked.outputConfig or wire.OutputConfig()
    if reasoning is None and output.effort:
        reasoning, reasoning_name = Reasoning(effort=output.effort), "outputConfig.effort"
    elif reasoning is not None and output.effort and reasoning.effort is None:
        reasoning.effort = output.effort
    top_k = _number(more.pop("top_k", None))
    others |= {f"{_MORE}.{name}": raw for name, raw in more.items()}
    if asked.requestMetadata:
        others["requestMetadata"] = call.fields["requestMetadata"]
    tools, choice = _tools(asked.toolConfig, others)
    return Conversation(
        messages=[
            *([Message("system", system)] if system else []),
            *(_message(message, number, others) for number, message in enumerate(asked.messages)),
        ],
        tools=tools,
        tool_choice=choice,
        output_format=_output_format(output.textFormat),
        reasoning=reasoning,
        max_tokens=config.maxTokens,
        temperature=config.temperature,
        top_p=config.topP,
        top_k=top_k,
        stop=config.stopSequences or [],
        others=others,
        names={
            "output_format": "outputConfig.textFormat",
            "reasoning": reasoning_name,
            "max_tokens": "inferenceConfig.maxTokens",
            "temperature": "inferenceConfig.temperature",
            "top_p": "inferenceConfig.topP",
            "top_k": f"{_MORE}.top_k",
            "stop": "inferenceConfig.stopSequences",
            "tools": "toolConfig.tools",
            "tool_choice": "toolConfig.toolChoice",
            "cache": "cachePoint",
            "thinking": "reasoningContent",
            "is_error": "toolResult.status",
            "output_format.description": "outputConfig.textFormat.structure.jsonSchema.description",
        },
    )


def _number(raw: Raw | None) -> int | None:
    if raw is None:
        return None
    try:
        return msgspec.json.decode(raw, type=int)
    except msgspec.ValidationError:
        raise Unreadable("It has to be a whole number.", f"{_MORE}.top_k") from None


def _reasoning(more: dict[str, Raw]) -> tuple[Reasoning | None, str]:
    """As the models of Anthropic and of OpenAI take it, and what the caller calls it."""
    for name in ("thinking", "reasoning_config", "reasoning_effort"):
        raw = more.pop(name, None)
        if raw is None:
            continue
        path = f"{_MORE}.{name}"
        try:
            if name == "reasoning_effort":
                return Reasoning(effort=msgspec.json.decode(raw, type=str)), path
            thinking = msgspec.json.decode(raw, type=_Thinking)
        except msgspec.ValidationError as error:
            raise Unreadable(str(error), path) from None
        return Reasoning(enabled=thinking.type != "disabled", budget_tokens=thinking.budget_tokens), path
    return None, f"{_MORE}.thinking"


def _system(blocks: list[wire.SystemBlock], others: dict[str, Raw]) -> list[Block]:
    content: list[Block] = []
    for number, block in enumerate(blocks):
        if block.text is not None:
            content.append(Text(block.text))
        elif block.guardContent is not None:
            content.append(_guarded(block.guardContent, f"system[{number}]", others))
        elif block.cachePoint is not None:
            _mark(content, block.cachePoint, others)
    return content


def _mark(content: list[Block], point: wire.CachePoint, others: dict[str, Raw]) -> None:
    """What comes before a cache point is the prefix to be kept."""
    if content and hasattr(content[-1], "cache"):
        content[-1].cache = point.ttl or "5m"
    else:
        others["cachePoint"] = Raw(b"{}")


def _message(message: wire.Message, number: int, others: dict[str, Raw]) -> Message:
    content: list[Block] = []
    for at, block in enumerate(message.content):
        if block.cachePoint is not None:
            _mark(content, block.cachePoint, others)
        else:
            content += _block(block, f"messages[{number}].content[{at}]", others)
    match message.role:
        case "user" | "assistant" | "system" as role:
            return Message(role, content)
        case role:
            raise Unreadable(f"There is no role '{role[:40]}'.", f"messages[{number}].role")


def _block(block: wire.Block, path: str, others: dict[str, Raw]) -> list[Block]:
    match block:
        case wire.Block(document=wire.Media() as document):
            about: list[Block] = [Text(document.context)] if document.context else []
            return [*about, _document(document, f"{path}.document", others)]
    return [_one(block, path, others)]


def _one(block: wire.Block, path: str, others: dict[str, Raw]) -> Block:
    match block:
        case wire.Block(text=str(text)):
            return Text(text)
        case wire.Block(image=wire.Media() as image):
            return _image(image, f"{path}.image")
        case wire.Block(audio=wire.Media() as audio):
            return Audio(audio.format, _bytes(audio, f"{path}.audio"))
        case wire.Block(toolUse=wire.ToolUse() as use):
            return ToolCall(use.toolUseId, use.name, bytes(use.input).decode())
        case wire.Block(toolResult=wire.ToolResult() as result):
            where = f"{path}.toolResult.content"
            content = [_result(each, f"{where}[{at}]", others) for at, each in enumerate(result.content)]
            return ToolResult(result.toolUseId, content, result.status == "error")
        case wire.Block(reasoningContent=wire.Reasoning(reasoningText=wire.ReasoningText() as thought)):
            return Thinking(thought.text, thought.signature)
        case wire.Block(reasoningContent=wire.Reasoning(redactedContent=str(redacted))):
            return Thinking(redacted=redacted)
        case wire.Block(guardContent=wire.Guarded() as guarded):
            return _guarded(guarded, path, others)
        case wire.Block(citationsContent=wire.Citations() as cited):
            others[f"{path}.citationsContent.citations"] = Raw(b"[]")
            return Text("".join(each.text for each in cited.content or []))
        case wire.Block(searchResult=wire.SearchResult() as found):
            return _found(found, f"{path}.searchResult", others)
    kinds = [name for name in block.__struct_fields__ if getattr(block, name) is not None]
    known = f"'{kinds[0]}'" if kinds else "a block of a kind that is not known"
    raise Unreadable(f"This model's provider cannot read {known}.", path)


def _result(block: wire.ResultBlock, path: str, others: dict[str, Raw]) -> Text | Image | Document:
    match block:
        case wire.ResultBlock(text=str(text)):
            return Text(text)
        case wire.ResultBlock(json=data) if bytes(data):
            return Text(bytes(data).decode())
        case wire.ResultBlock(image=wire.Media() as image):
            return _image(image, f"{path}.image")
        case wire.ResultBlock(document=wire.Media() as document):
            if document.context:
                others[f"{path}.document.context"] = Raw(_encode(document.context))
            return _document(document, f"{path}.document", others)
        case wire.ResultBlock(searchResult=wire.SearchResult() as found):
            return _found(found, f"{path}.searchResult", others)
    raise Unreadable("This model's provider cannot read a block of this kind.", path)


def _found(found: wire.SearchResult, path: str, others: dict[str, Raw]) -> Document:
    _cited(found.citations, path, others)
    text = "\n".join([found.source, *(each.text for each in found.content)])
    return Document(name=found.title, media_type="text/plain", text=text)


def _cited(asked: wire.Cited | None, path: str, others: dict[str, Raw]) -> None:
    if asked is not None and asked.enabled:
        others[f"{path}.citations"] = Raw(b"{}")


def _guarded(guarded: wire.Guarded, path: str, others: dict[str, Raw]) -> Text | Image:
    """What it holds passes on; that only this is to be guarded is Bedrock's own."""
    others[f"{path}.guardContent"] = Raw(b"{}")
    if guarded.text is not None:
        return Text(guarded.text.text)
    if guarded.image is not None:
        return _image(guarded.image, f"{path}.guardContent.image")
    raise Unreadable("It holds neither text nor image.", f"{path}.guardContent")


def _image(image: wire.Media, path: str) -> Image:
    return Image(wire.IMAGE_FORMATS.get(image.format, f"image/{image.format}"), _bytes(image, path))


def _document(document: wire.Media, path: str, others: dict[str, Raw]) -> Document:
    _cited(document.citations, path, others)
    media_type = wire.DOCUMENT_FORMATS.get(document.format or "txt", "application/octet-stream")
    source = document.source
    if source.text is not None or source.content is not None:
        text = source.text if source.text is not None else "\n".join(each.text for each in source.content or [])
        return Document(document.name, media_type, text=text)
    return Document(document.name, media_type, _bytes(document, path))


def _bytes(media: wire.Media, path: str) -> str:
    if media.source.bytes is None:
        raise Unreadable("What lies in S3 cannot be read by this model's provider: send its bytes.", f"{path}.source")
    return media.source.bytes


def _tools(config: wire.ToolConfig | None, others: dict[str, Raw]) -> tuple[list[Tool], ToolChoice | None]:
    if config is None:
        return [], None
    tools: list[Tool] = []
    for number, tool in enumerate(config.tools):
        if tool.toolSpec is not None:
            spec = tool.toolSpec
            tools.append(Tool(spec.name, spec.description, given(spec.inputSchema.json), spec.strict))
        elif tool.cachePoint is not None:
            if tools:
                tools[-1].cache = tool.cachePoint.ttl or "5m"
        else:
            others[f"toolConfig.tools[{number}]"] = Raw(b"{}")
    match config.toolChoice:
        case wire.ToolChoice(tool=wire.Named() as named):
            return tools, ToolChoice("named", named.name)
        case wire.ToolChoice(any=dict()):
            return tools, ToolChoice("required")
        case wire.ToolChoice(auto=dict()):
            return tools, ToolChoice("auto")
    return tools, None


def _output_format(asked: wire.TextFormat | None) -> OutputFormat | None:
    if asked is None:
        return None
    schema = asked.structure.jsonSchema
    if asked.type != "json_schema" or schema is None:
        raise Unreadable(f"There is no format '{asked.type[:40]}'.", "outputConfig.textFormat")
    try:
        msgspec.json.decode(schema.schema, type=dict[str, Raw])
    except msgspec.MsgspecError as error:
        where = "outputConfig.textFormat.structure.jsonSchema.schema"
        raise Unreadable(f"It is no JSON object: {error}", where) from None
    return OutputFormat("json_schema", Raw(schema.schema.encode()), schema.name or "answer", schema.description, True)
