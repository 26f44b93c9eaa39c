"""InvokeModel's bodies, which are each model maker's own: told apart by their fields, and what is known of them.

Source: the public Amazon Bedrock user guide, "Inference request parameters and response fields".
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec
from msgspec import Raw

from apps.models.providers.base import Usage
from apps.models.providers.dialects.chat.wire import ChatUsage, Count, InputDetails, OutputDetails, checked
from apps.models.providers.dialects.messages.wire import MessagesUsage

Shape = Literal["messages", "titan_embedding", "cohere_embedding", "other"]

# Where a model of each maker is told the longest answer: the path of the field.
_MAXIMA: tuple[tuple[str, ...], ...] = (
    ("max_tokens",),
    ("max_completion_tokens",),
    ("max_tokens_to_sample",),
    ("max_gen_len",),
    ("maxTokens",),
    ("inferenceConfig", "maxTokens"),
    ("inferenceConfig", "max_new_tokens"),
    ("textGenerationConfig", "maxTokenCount"),
)
_decode_object = msgspec.json.Decoder(dict[str, Raw]).decode
_encode = msgspec.json.Encoder().encode


class _Usage(MessagesUsage):
    """Of any shape: Anthropic's, OpenAI's and Nova's have no name in common."""

    prompt_tokens: Count = None
    completion_tokens: Count = None
    prompt_tokens_details: InputDetails | None = None
    completion_tokens_details: OutputDetails | None = None
    inputTokens: int | None = None
    outputTokens: int | None = None
    cacheReadInputTokenCount: int | None = None
    cacheWriteInputTokenCount: int | None = None


class Metrics(msgspec.Struct):
    """What the service itself adds to a stream's last part."""

    inputTokenCount: int = 0
    outputTokenCount: int = 0
    cacheReadInputTokenCount: int = 0
    cacheWriteInputTokenCount: int = 0

    def normalised(self) -> Usage | None:
        return counted(
            self.inputTokenCount,
            self.outputTokenCount,
            self.cacheReadInputTokenCount,
            self.cacheWriteInputTokenCount,
        )


class _Message(msgspec.Struct):
    usage: _Usage | None = None


class Part(msgspec.Struct):
    """Of a body or of a stream's part, whatever its shape: what tells usage and the end."""

    type: str = ""
    usage: _Usage | None = None
    message: _Message | str | None = None
    inputTextTokenCount: int | None = None
    metrics: Metrics | None = msgspec.field(default=None, name="amazon-bedrock-invocationMetrics")


decode_part = msgspec.json.Decoder(Part).decode


def shape_of(fields: Iterable[str]) -> Shape:
    names = set(fields)
    if "anthropic_version" in names:
        return "messages"
    if "inputText" in names and "textGenerationConfig" not in names:
        return "titan_embedding"
    if "texts" in names and "input_type" in names:
        return "cohere_embedding"
    return "other"


def maximum(fields: dict[str, Raw]) -> int | None:
    """The longest answer that the caller asked for."""
    found = [number for path in _MAXIMA if (number := _number_at(fields, path)) is not None]
    return max(found) if found else None


def _number_at(fields: dict[str, Raw], path: tuple[str, ...]) -> int | None:
    raw = fields.get(path[0])
    try:
        for name in path[1:]:
            raw = _decode_object(raw).get(name) if raw is not None else None
        number = msgspec.json.decode(raw, type=int) if raw is not None else None
    except msgspec.MsgspecError:
        return None
    return number if number is not None and number > 0 else None


def usage_in(part: Part) -> Usage | None:
    """What a body or a part tells by itself."""
    told = part.usage or (part.message.usage if isinstance(part.message, _Message) else None)
    if told is None:
        return counted(part.inputTextTokenCount, 0) if part.inputTextTokenCount is not None else None
    if told.prompt_tokens is not None:
        details = told.prompt_tokens_details, told.completion_tokens_details
        return ChatUsage(told.prompt_tokens, told.completion_tokens, None, *details).normalised()
    if told.inputTokens is not None:
        return counted(
            told.inputTokens,
            told.outputTokens or 0,
            told.cacheReadInputTokenCount or 0,
            told.cacheWriteInputTokenCount or 0,
        )
    return told.normalised()


def counted(inputs: int, outputs: int, read: int = 0, wrote: int = 0) -> Usage | None:
    """``inputs`` leaves out what the cache had or got. None when the counts cannot be true."""
    inputs, outputs, read, wrote = (max(count, 0) for count in (inputs, outputs, read, wrote))
    return checked(Usage(inputs + read + wrote, outputs, cached_tokens=read, cache_write_tokens=wrote))
