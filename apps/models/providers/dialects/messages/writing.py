"""A conversation written as a Messages request, for an upstream."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

import msgspec
from msgspec import Raw

from apps.models.providers.base import Target, Unreadable
from apps.models.providers.conversation import (
    Audio,
    Block,
    Conversation,
    Document,
    Image,
    OutputFormat,
    Reasoning,
    Refusal,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolResult,
    Written,
)
from apps.models.providers.dialects.chat.request import EFFORT_TOKENS
from apps.models.providers.dialects.messages.passing import most_tokens
from apps.models.providers.dialects.messages.wire import ANSWER_TOOL

# The least that a model may be given to think with.
MIN_BUDGET = 1_024
MAX_TEMPERATURE = 1.0

_ANY_OBJECT = Raw(b'{"type":"object"}')
_NO_PARAMETERS = Raw(b'{"type":"object","properties":{}}')
_EFFORTS = frozenset({"low", "medium", "high"})
_NOT_IN_IDS = re.compile(r"[^a-zA-Z0-9_-]")
# claude-opus-4-6, claude-sonnet-4-5-20250929, claude-opus-5: the generation's two numbers.
_GENERATION = re.compile(r"claude-[a-z]+-(?P<major>\d{1,2})(?:-(?P<minor>\d{1,2})(?!\d))?(?!\d)")

_decode_object = msgspec.json.Decoder(dict[str, Raw]).decode


def write(conversation: Conversation, target: Target, *, stream: bool, max_output_tokens: int | None) -> Written:
    dropped = conversation.unsaid("seed", "presence_penalty", "frequency_penalty")
    most = conversation.max_tokens
    if most is None:
        most = most_tokens(target, max_output_tokens)
    fields: dict[str, Any] = {"model": target.upstream_model, "max_tokens": most}
    system = _written_system(conversation)
    if system:
        fields["system"] = system
    fields["messages"] = _written_messages(conversation, dropped)
    forced = _write_tools(conversation, target, fields, dropped)
    thinks = _write_reasoning(conversation, target, fields, dropped, most=most, forced=forced)
    _write_sampling(conversation, target, fields, dropped, thinks=thinks)
    if conversation.stop:
        fields["stop_sequences"] = conversation.stop
    if conversation.user is not None:
        fields["metadata"] = {"user_id": conversation.user}
    if stream:
        fields["stream"] = True
    return Written(fields, tuple(dict.fromkeys(dropped)))


def _written_system(conversation: Conversation) -> str | list[dict[str, Any]]:
    blocks = [
        _with_cache({"type": "text", "text": block.text}, block.cache)
        for message in conversation.spoken
        if message.role == "system"
        for block in message.content
        if isinstance(block, Text) and block.text.strip()
    ]
    if len(blocks) == 1 and "cache_control" not in blocks[0]:
        text: str = blocks[0]["text"]
        return text
    return blocks


def _written_messages(conversation: Conversation, dropped: list[str]) -> list[dict[str, Any]]:
    """One message a turn: the results of all tools that a turn called stand in the next one, before all else."""
    written: list[dict[str, Any]] = []
    for message in conversation.spoken:
        if message.name:
            dropped.append("messages.name")
        if message.role == "system":
            continue
        content = [each for block in message.content if (each := _written_block(block, conversation, dropped))]
        if not content:
            continue
        if written and written[-1]["role"] == message.role:
            written[-1]["content"] += content
        else:
            written.append({"role": message.role, "content": content})
    for turn in written:
        turn["content"].sort(key=lambda block: block["type"] != "tool_result")
    return written


def _written_block(block: Block, conversation: Conversation, dropped: list[str]) -> dict[str, Any] | None:
    """None where nothing is left to say: the API takes no empty text, and no thought that it did not sign."""
    written: dict[str, Any] | None
    match block:
        case Text(text) | Refusal(text):
            written = {"type": "text", "text": text} if text.strip() else None
        case Image():
            written = _written_image(block, conversation, dropped)
        case Document():
            written = _written_document(block)
        case Thinking(redacted=str() as data):
            return {"type": "redacted_thinking", "data": data}
        case Thinking(text, signature=str() as signature) if signature:
            return {"type": "thinking", "thinking": text, "signature": signature}
        case Thinking():
            dropped.append(conversation.name("thinking"))
            return None
        case ToolCall():
            arguments = tool_input(block.arguments)
            written = {"type": "tool_use", "id": _id(block.id), "name": block.name, "input": arguments}
        case ToolResult():
            content = [each for part in block.content if (each := _written_block(part, conversation, dropped))]
            written = {"type": "tool_result", "tool_use_id": _id(block.id), "content": content}
            if block.is_error:
                written["is_error"] = True
        case Audio():
            raise Unreadable("This model's provider takes no sound.")
    cache = getattr(block, "cache", None)
    return _with_cache(written, cache) if written is not None else None


def _with_cache(block: dict[str, Any], cache: str | None) -> dict[str, Any]:
    if cache is not None:
        block["cache_control"] = {"type": "ephemeral", "ttl": cache} if cache == "1h" else {"type": "ephemeral"}
    return block


def _written_image(block: Image, conversation: Conversation, dropped: list[str]) -> dict[str, Any]:
    if block.detail not in (None, "auto"):
        dropped.append(conversation.name("image_url.detail"))
    if block.url:
        return {"type": "image", "source": {"type": "url", "url": block.url}}
    return {"type": "image", "source": {"type": "base64", "media_type": block.media_type, "data": block.data}}


def _written_document(block: Document) -> dict[str, Any]:
    named = {"title": block.name} if block.name else {}
    source: dict[str, str]
    if block.text:
        source = {"type": "text", "media_type": "text/plain", "data": block.text}
    elif block.url:
        source = {"type": "url", "url": block.url}
    elif block.media_type == "application/pdf":
        source = {"type": "base64", "media_type": block.media_type, "data": block.data}
    elif block.media_type.startswith("text/"):
        try:
            text = base64.b64decode(block.data, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError, ValueError):
            raise Unreadable("A document of text is no base64 of UTF-8.") from None
        source = {"type": "text", "media_type": "text/plain", "data": text}
    else:
        raise Unreadable(
            f"This model's provider takes documents as PDF or plain text, not as {block.media_type[:80] or 'unknown'}."
        )
    return {"type": "document", "source": source, **named}


def _id(id: str) -> str:
    """The API takes letters, digits, ``_`` and ``-``; other APIs' ids may hold more."""
    return _NOT_IN_IDS.sub("_", id) or "_"


def tool_input(arguments: str) -> Raw | dict[str, str]:
    """A tool's arguments as the object that they must be here; what a model wrote that is none stays to be read."""
    if not arguments.strip():
        return {}
    try:
        _decode_object(arguments)
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        return {"raw_arguments": arguments}
    return Raw(arguments.encode())


def _write_tools(conversation: Conversation, target: Target, fields: dict[str, Any], dropped: list[str]) -> bool:
    """Tools, their choice and the answer's form; whether the model must call a tool.

    One rule for the form: a model that can be held to a JSON schema is; of every other, and for JSON without a schema,
    the answer is the input of a tool that it must call.
    """
    holds = target.can("json_schema")
    tools = [_written_tool(tool, conversation, dropped, strict=holds) for tool in conversation.tools]
    choice = conversation.tool_choice
    form = conversation.output_format
    mode = {"required": "any", "named": "tool"}.get(choice.mode, choice.mode) if choice is not None else ""
    if form is not None and form.mode == "json_schema" and form.schema is not None and holds:
        fields["output_config"] = {"format": {"type": "json_schema", "schema": form.schema}}
        if form.description:
            dropped.append(conversation.name("output_format.description"))
    elif form is not None and mode not in ("any", "tool"):
        # Whoever calls a tool of the caller's first answers in form later.
        dropped += unheld(conversation)
        only = not tools or mode == "none"
        tools = [_answer_tool(form)] if only else [*tools, _answer_tool(form)]
        mode = "tool" if only else "any"
        choice = None
    if not tools:
        return False
    fields["tools"] = tools
    if conversation.parallel_tool_calls is False and mode != "none":
        mode = mode or "auto"
    if mode:
        fields["tool_choice"] = {"type": mode}
        if mode == "tool":
            fields["tool_choice"]["name"] = choice.name if choice is not None else ANSWER_TOOL
        if conversation.parallel_tool_calls is False and mode != "none":
            fields["tool_choice"]["disable_parallel_tool_use"] = True
    return mode in ("any", "tool")


def unheld(conversation: Conversation) -> list[str]:
    """What a caller is told who asked that the answer be held to its schema, where it is had by a tool."""
    form, strict = conversation.output_format, conversation.names.get("output_format.strict")
    return [strict] if form is not None and form.strict and strict is not None else []


def _written_tool(tool: Tool, conversation: Conversation, dropped: list[str], *, strict: bool) -> dict[str, Any]:
    written: dict[str, Any] = {"name": tool.name}
    if tool.description:
        written["description"] = tool.description
    written["input_schema"] = tool.parameters if tool.parameters is not None else _NO_PARAMETERS
    if tool.strict:
        if strict:
            written["strict"] = True
        else:
            dropped.append("tools.strict")
    return _with_cache(written, tool.cache)


def _answer_tool(form: OutputFormat) -> dict[str, Any]:
    return {
        "name": ANSWER_TOOL,
        "description": form.description or "Give the final answer by calling this tool.",
        "input_schema": form.schema if form.schema is not None else _ANY_OBJECT,
    }


def _write_reasoning(
    conversation: Conversation,
    target: Target,
    fields: dict[str, Any],
    dropped: list[str],
    *,
    most: int,
    forced: bool,
) -> bool:
    """How much to think; whether the model does. It cannot while it is made to call a tool."""
    reasoning = conversation.reasoning
    if reasoning is None:
        return False
    adaptive = thinks_adaptively(target)
    if not reasoning.enabled:
        if adaptive and target.can("reasoning"):
            fields["thinking"] = {"type": "disabled"}
        return False
    budget = min(_budget(reasoning), most - 1)
    if forced or not target.can("reasoning") or (not adaptive and budget < MIN_BUDGET):
        dropped.append(conversation.name("reasoning"))
        return False
    if not adaptive:
        fields["thinking"] = {"type": "enabled", "budget_tokens": budget}
        return True
    fields["thinking"] = {"type": "adaptive"}
    effort = reasoning.effort or (_nearest(reasoning.budget_tokens) if reasoning.budget_tokens is not None else None)
    if effort is not None:
        fields.setdefault("output_config", {})["effort"] = effort if effort in _EFFORTS else _nearest_word(effort)
    return True


def thinks_adaptively(target: Target) -> bool:
    """Whether the model is told an effort rather than a budget: from Claude 4.6 on. The endpoint's setting ``thinking``
    (``adaptive`` or ``budget``) says it of models whose names do not."""
    said = target.setting("thinking")
    return said == "adaptive" if said else _generation(target) >= (4, 6)


def _budget(reasoning: Reasoning) -> int:
    if reasoning.budget_tokens is not None:
        return max(reasoning.budget_tokens, MIN_BUDGET)
    return EFFORT_TOKENS.get(reasoning.effort or "medium", EFFORT_TOKENS["high"])


def _nearest(budget: int) -> str:
    return next((effort for effort in ("low", "medium", "high") if budget <= EFFORT_TOKENS[effort]), "high")


def _nearest_word(effort: str) -> str:
    return "low" if effort == "minimal" else "high"


def takes_sampling(target: Target) -> bool:
    """Whether the model may be told how to sample: until Claude 4.6. The endpoint's setting ``sampling`` (``taken`` or
    ``refused``) says it of models whose names do not."""
    said = target.setting("sampling")
    return said != "refused" if said else _generation(target) < (4, 7)


def _generation(target: Target) -> tuple[int, int]:
    """By the model's name; (0, 0) where that does not tell."""
    found = _GENERATION.search(target.upstream_model)
    return (int(found["major"]), int(found["minor"] or 0)) if found is not None else (0, 0)


def _write_sampling(
    conversation: Conversation, target: Target, fields: dict[str, Any], dropped: list[str], *, thinks: bool
) -> None:
    """While a model thinks, its sampling is its own. Other APIs' temperatures go up to 2: what is above 1 is named."""
    asked = {name: getattr(conversation, name) for name in ("temperature", "top_p", "top_k")}
    sampling = {name: value for name, value in asked.items() if value is not None}
    if thinks or not takes_sampling(target):
        dropped += [conversation.name(name) for name, value in sampling.items() if value != 1 or name == "top_k"]
        return
    if sampling.get("temperature", 0) > MAX_TEMPERATURE:
        dropped.append(conversation.name("temperature"))
        sampling["temperature"] = MAX_TEMPERATURE
    fields |= sampling
