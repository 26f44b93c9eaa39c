"""Conversations written as Converse's requests.

What is the model's own (thought, top_k) goes into ``additionalModelRequestFields`` in the words of its maker, which the
upstream model's id tells, or the endpoint's setting ``family`` where the id is an inference profile that does not.
"""

from __future__ import annotations

import hashlib
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
    Message,
    Refusal,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolResult,
    Written,
)
from apps.models.providers.dialects.chat.request import EFFORT_TOKENS
from apps.models.providers.dialects.converse import wire
from apps.models.providers.dialects.messages.writing import unheld

# The tool by whose call a model answers in JSON, where the service itself cannot hold it to a schema.
ANSWER_TOOL = "lobby_json_answer"

_FAMILY = re.compile(r"(?:^|[./:])(amazon|anthropic|cohere|deepseek|meta|mistral|openai|qwen)\.", re.ASCII)
_CACHING = frozenset({"anthropic", "amazon"})
_MIN_THINKING = 1_024
_TOOL_ID = re.compile(r"[a-zA-Z0-9_.:-]{1,64}", re.ASCII)
_METADATA = re.compile(r"[a-zA-Z0-9\s:_@$#=/+,.-]{1,256}", re.ASCII)
_NOT_IN_A_NAME = re.compile(r"[^a-zA-Z0-9\s()\[\]-]+", re.ASCII)
_BLANKS = re.compile(r"\s+")
_ANY_OBJECT = Raw(b'{"type":"object"}')
_NO_SCHEMA = Raw(b'{"type":"object","properties":{}}')
_IMAGES = {media_type: name for name, media_type in wire.IMAGE_FORMATS.items()} | {"image/jpg": "jpeg"}
_DOCUMENTS = {media_type: name for name, media_type in wire.DOCUMENT_FORMATS.items()}
_decode = msgspec.json.Decoder(dict[str, Raw]).decode


def write(conversation: Conversation, target: Target, *, stream: bool, max_output_tokens: int | None) -> Written:
    writer = _Writer(conversation, target)
    return Written(writer.fields(max_output_tokens), tuple(dict.fromkeys(writer.dropped)))


def family_of(target: Target) -> str:
    """Who made the model, as its id says; empty where that is not known."""
    found = _FAMILY.search(target.upstream_model)
    return target.setting("family") or (found[1] if found else "")


class _Writer:
    def __init__(self, conversation: Conversation, target: Target) -> None:
        self._conversation = conversation
        self._target = target
        self._family = family_of(target)
        self._caching = self._family in _CACHING
        self._documents: set[str] = set()
        self.dropped = conversation.unsaid("seed", "presence_penalty", "frequency_penalty")

    def fields(self, max_output_tokens: int | None) -> dict[str, Any]:
        asked = self._conversation
        if (asked.cached and not self._caching) or asked.cached_inside:
            self._drop("cache")
        fields: dict[str, Any] = {}
        system: list[dict[str, Any]] = []
        messages: list[dict[str, Any]] = []
        for message in asked.spoken:
            if message.name:
                self._drop("messages.name")
            content = self._content(message)
            if message.role == "system":
                system += content
            elif messages and messages[-1]["role"] == message.role:
                messages[-1]["content"] += content  # the service wants the two sides to alternate
            elif content:
                messages.append({"role": message.role, "content": content})
        if system:
            fields["system"] = system
        fields["messages"] = messages
        more: dict[str, Any] = {}
        config: dict[str, Any] = {}
        most = asked.max_tokens if asked.max_tokens is not None else max_output_tokens
        thinks = self._thinking(more, most)
        if most is not None:
            config["maxTokens"] = most
        self._sampling(config, more, thinks)
        if asked.stop:
            config["stopSequences"] = asked.stop
        if config:
            fields["inferenceConfig"] = config
        self._tools(fields)
        if more:
            fields["additionalModelRequestFields"] = more
        if asked.parallel_tool_calls is False and asked.tools:
            self._drop("parallel_tool_calls")
        if asked.user is not None:
            if _METADATA.fullmatch(asked.user):
                fields["requestMetadata"] = {"user": asked.user}
            else:
                self._drop("user")
        fields |= guardrail(self._target)
        return fields

    def _drop(self, field: str) -> None:
        self.dropped.append(self._conversation.name(field))

    # What the model itself is told.

    def _thinking(self, more: dict[str, Any], most: int | None) -> bool:
        """Whether one of Anthropic's models is to think, which narrows what else it takes."""
        asked = self._conversation.reasoning
        if asked is None or (not asked.enabled and self._family == "anthropic"):  # as they do anyway
            return False
        effort = asked.effort or _effort(asked.budget_tokens)
        if asked.summary is not None and self._family != "anthropic":  # whose models show what they thought
            self._drop("reasoning.summary")
        if not asked.enabled or not self._target.can("reasoning"):
            self._drop("reasoning")
            return False
        match self._family:
            case "anthropic":
                budget = asked.budget_tokens or EFFORT_TOKENS.get(effort, EFFORT_TOKENS["high"])
                if most is not None:
                    budget = min(budget, most - 1)
                if budget >= _MIN_THINKING and not self._must_not_think:
                    more["thinking"] = {"type": "enabled", "budget_tokens": budget}
                    return True
                self._drop("reasoning")
            case "openai":
                more["reasoning_effort"] = "low" if effort == "minimal" else effort
            case "amazon":
                effort = "low" if effort == "minimal" else effort
                more["reasoningConfig"] = {"type": "enabled", "maxReasoningEffort": effort}
            case _:
                self._drop("reasoning")
        return False

    @property
    def _answers_by_tool(self) -> bool:
        """Whether an answer in JSON is had by a tool that the model has to call."""
        wanted = self._conversation.output_format
        if wanted is None:
            return False
        usual = "native" if wanted.schema is not None and self._target.can("json_schema") else "tool"
        return wanted.schema is None or self._target.setting("structured_output", usual) == "tool"

    @property
    def _must_not_think(self) -> bool:
        """Anthropic's models do not think where a tool is forced, nor go on from a call whose thought is gone."""
        choice = self._conversation.tool_choice
        if self._answers_by_tool or (choice is not None and choice.mode in ("required", "named")):
            return True
        said = [message.content for message in self._conversation.messages if message.role == "assistant"]
        if not said or not any(isinstance(block, ToolCall) for block in said[-1]):
            return False
        return not any(isinstance(block, Thinking) and (block.signature or block.redacted) for block in said[-1])

    def _sampling(self, config: dict[str, Any], more: dict[str, Any], thinks: bool) -> None:
        asked = self._conversation
        if asked.temperature is not None:
            if thinks:  # Anthropic's models think at their own temperature
                if asked.temperature != 1:
                    self._drop("temperature")
            else:
                config["temperature"] = min(asked.temperature, 1.0)
                if asked.temperature > 1:
                    self._drop("temperature")
        if asked.top_p is not None:
            config["topP"] = asked.top_p
        if asked.top_k is not None:
            match self._family:
                case "anthropic" if not thinks:
                    more["top_k"] = asked.top_k
                case "mistral" | "qwen":
                    more["top_k"] = asked.top_k
                case "cohere":
                    more["k"] = asked.top_k
                case "amazon":
                    more["inferenceConfig"] = {"topK": asked.top_k}
                case _:
                    self._drop("top_k")

    def _tools(self, fields: dict[str, Any]) -> None:
        asked = self._conversation
        tools: list[dict[str, Any]] = []
        for tool in asked.tools:
            tools.append(self._tool(tool))
            self._point(tools, tool.cache)
        choice: str = asked.tool_choice.mode if asked.tool_choice is not None else ""
        used = self._used_tools()
        if choice == "none" and not used:
            tools = []
        elif choice == "none" and tools:
            self._drop("tool_choice")  # a history with calls wants its tools named, and then they may be called
            choice = ""
        if used and not tools:
            tools = [{"toolSpec": {"name": name, "inputSchema": {"json": _NO_SCHEMA}}} for name in used]
        wanted = asked.output_format
        if wanted is not None and self._answers_by_tool:
            self.dropped += unheld(asked)
            description = wanted.description or "Give the answer by calling this."
            schema = wanted.schema if wanted.schema is not None else _ANY_OBJECT
            tools.append(
                {"toolSpec": {"name": ANSWER_TOOL, "description": description, "inputSchema": {"json": schema}}}
            )
            if choice != "named":
                choice = "required" if len(tools) > 1 else "answer"
        elif wanted is not None and wanted.schema is not None:
            definition = {"schema": bytes(wanted.schema).decode(), "name": wanted.name}
            if wanted.description:
                definition["description"] = wanted.description
            fields["outputConfig"] = {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": definition}}}
        if not tools:
            return
        config: dict[str, Any] = {"tools": tools}
        match choice:
            case "required":
                config["toolChoice"] = {"any": {}}
            case "named" if asked.tool_choice is not None:
                config["toolChoice"] = {"tool": {"name": asked.tool_choice.name}}
            case "answer":
                config["toolChoice"] = {"tool": {"name": ANSWER_TOOL}}
            case "auto":
                config["toolChoice"] = {"auto": {}}
        fields["toolConfig"] = config

    def _tool(self, tool: Tool) -> dict[str, Any]:
        spec: dict[str, Any] = {"name": tool.name}
        if tool.description:
            spec["description"] = tool.description
        spec["inputSchema"] = {"json": tool.parameters if tool.parameters is not None else _NO_SCHEMA}
        if tool.strict:
            if self._target.can("json_schema"):
                spec["strict"] = True
            else:
                self.dropped.append(f"tools[{tool.name}].strict")
        return {"toolSpec": spec}

    def _used_tools(self) -> list[str]:
        """The tools that the history speaks of: the service refuses such a history where no tool is named."""
        blocks = [block for message in self._conversation.messages for block in message.content]
        names = dict.fromkeys(block.name for block in blocks if isinstance(block, ToolCall))
        if not names and any(isinstance(block, ToolResult) for block in blocks):
            return ["tool"]
        return list(names)

    # What is said.

    def _content(self, message: Message) -> list[dict[str, Any]]:
        content: list[dict[str, Any]] = []
        for block in message.content:
            written = self._block(block, message)
            if written is not None:
                content.append(written)
                self._point(content, getattr(block, "cache", None))
        return content

    def _point(self, after: list[dict[str, Any]], cache: str | None) -> None:
        if cache is not None and self._caching:
            after.append({"cachePoint": {"type": "default", **({"ttl": cache} if cache != "5m" else {})}})

    def _block(self, block: Block, message: Message) -> dict[str, Any] | None:
        """None for what says nothing: the service refuses empty texts."""
        match block:
            case Text(text) | Refusal(text):
                return {"text": text} if text.strip() else None
            case Image():
                return self._image(block)
            case Document():
                return {"document": self._document(block)}
            case Audio(format, data):
                if format not in wire.AUDIO_FORMATS:
                    raise Unreadable(f"Sound of the format '{format[:20]}' cannot be read by this model's provider.")
                return {"audio": {"format": format, "source": {"bytes": data}}}
            case ToolCall():
                return {
                    "toolUse": {"toolUseId": _tool_id(block.id), "name": block.name, "input": _input(block.arguments)}
                }
            case ToolResult():
                content = [self._result(each) for each in block.content] or [{"text": ""}]
                result: dict[str, Any] = {"toolUseId": _tool_id(block.id), "content": content}
                if block.is_error:
                    result["status"] = "error"
                return {"toolResult": result}
            case Thinking(redacted=str(redacted)):
                return {"reasoningContent": {"redactedContent": redacted}}
            case Thinking(text, str(signature)):
                return {"reasoningContent": {"reasoningText": {"text": text, "signature": signature}}}
        # Thought without its signature is refused by the models that take any, and the conversation goes on without.
        self._drop("thinking")
        return None

    def _result(self, block: Text | Image | Document) -> dict[str, Any]:
        match block:
            case Text(text):
                return {"text": text}
            case Image():
                return self._image(block)
            case Document():
                return {"document": self._document(block)}

    def _image(self, image: Image) -> dict[str, Any]:
        if image.detail not in (None, "auto"):
            self._drop("image_url.detail")
        return {"image": _image(image)}

    def _document(self, document: Document) -> dict[str, Any]:
        written: dict[str, Any] = {"name": self._document_name(document.name)}
        if document.text:
            return {"format": _DOCUMENTS.get(document.media_type, "txt"), **written, "source": {"text": document.text}}
        if document.url:
            raise Unreadable("A document by its address cannot be read by this model's provider: send its content.")
        media_type = document.media_type.partition(";")[0].strip()
        kind = _DOCUMENTS.get(media_type) or _by_extension(document.name)
        if not kind:
            shown = media_type[:60] or "an unknown type"
            raise Unreadable(f"A document of {shown} cannot be read by this model's provider.")
        return {"format": kind, **written, "source": {"bytes": document.data}}

    def _document_name(self, name: str) -> str:
        """The service takes few characters, and no name twice."""
        stem = name.rpartition(".")[0] or name
        clean = _BLANKS.sub(" ", _NOT_IN_A_NAME.sub(" ", stem)).strip()[:180] or "document"
        unique, number = clean, 1
        while unique in self._documents:
            number += 1
            unique = f"{clean} {number}"
        self._documents.add(unique)
        return unique


def guardrail(target: Target) -> dict[str, Any]:
    """The endpoint's guardrail, as the request's own field."""
    identifier, version = target.setting("guardrail_id"), target.setting("guardrail_version")
    if not identifier:
        return {}
    return {"guardrailConfig": {"guardrailIdentifier": identifier, "guardrailVersion": version or "DRAFT"}}


def _effort(budget: int | None) -> str:
    if budget is None:
        return "medium"
    return next((effort for effort, tokens in EFFORT_TOKENS.items() if budget <= tokens), "high")


def _image(image: Image) -> dict[str, Any]:
    if not image.data:
        raise Unreadable("An image by its address cannot be read by this model's provider: send its bytes as base64.")
    kind = _IMAGES.get(image.media_type)
    if kind is None:
        raise Unreadable(f"An image of the type '{image.media_type[:40]}' cannot be read by this model's provider.")
    return {"format": kind, "source": {"bytes": image.data}}


def _by_extension(name: str) -> str:
    extension = name.rpartition(".")[2].lower()
    return extension if extension in wire.DOCUMENT_FORMATS else ""


def _tool_id(id: str) -> str:
    """Another provider's id of a call need not be one that the service takes; a call and its result stay together."""
    return id if _TOOL_ID.fullmatch(id) else f"call_{hashlib.sha256(id.encode()).hexdigest()[:32]}"


def _input(arguments: str) -> Raw | dict[str, str]:
    """The service takes an object alone; what a model wrote wrong is shown to it as it was."""
    try:
        _decode(arguments.encode() or b"{}")
    except (msgspec.MsgspecError, RecursionError):
        return {"invalid_json": arguments}
    return Raw(arguments.encode() or b"{}")
