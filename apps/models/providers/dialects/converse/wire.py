"""Converse's wire types, as far as they are read.

Source: the public API reference of Amazon Bedrock Runtime, Converse and ConverseStream. Bytes are base64 in its JSON.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, Raw

from apps.models.providers.base import Usage
from apps.models.providers.conversation import StopReason
from apps.models.providers.dialects.chat.wire import checked

STOP_REASONS: dict[str, StopReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop_sequence",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
}
WRITTEN_STOPS: dict[StopReason, str] = {
    "stop": "end_turn",
    "stop_sequence": "stop_sequence",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "content_filtered",
}
IMAGE_FORMATS = {"png": "image/png", "jpeg": "image/jpeg", "gif": "image/gif", "webp": "image/webp"}
DOCUMENT_FORMATS = {
    "pdf": "application/pdf",
    "csv": "text/csv",
    "doc": "application/msword",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "xls": "application/vnd.ms-excel",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "html": "text/html",
    "txt": "text/plain",
    "md": "text/markdown",
}
AUDIO_FORMATS = frozenset(
    ["mp3", "opus", "wav", "aac", "flac", "mp4", "ogg", "mkv", "mka", "x-aac", "m4a", "mpeg", "mpga", "pcm", "webm"]
)


# To msgspec ``Raw | None`` would be null alone, so an empty one stands for none.
NO_JSON = Raw(b"")


class S3Location(msgspec.Struct):
    uri: str


class Source(msgspec.Struct):
    """Of an image, a document or a sound: one of these."""

    bytes: str | None = None
    s3Location: S3Location | None = None
    text: str | None = None
    content: list[TextBlock] | None = None


class TextBlock(msgspec.Struct):
    text: str


class Cited(msgspec.Struct):
    """Whether the answer is to cite it."""

    enabled: bool = False


class Media(msgspec.Struct):
    source: Source
    format: str = ""
    name: str = ""
    context: str | None = None
    citations: Cited | None = None


class CachePoint(msgspec.Struct):
    type: str
    ttl: str | None = None


class Guarded(msgspec.Struct):
    text: TextBlock | None = None
    image: Media | None = None


class ToolUse(msgspec.Struct):
    toolUseId: str
    name: str
    input: Raw


class ReasoningText(msgspec.Struct):
    text: str
    signature: str | None = None


class Reasoning(msgspec.Struct):
    reasoningText: ReasoningText | None = None
    redactedContent: str | None = None


class Citations(msgspec.Struct):
    content: list[TextBlock] | None = None


class SearchResult(msgspec.Struct):
    source: str
    title: str
    content: list[TextBlock]
    citations: Cited | None = None


class ResultBlock(msgspec.Struct):
    """What a tool's result is made of: one of these."""

    text: str | None = None
    json: Raw = NO_JSON
    image: Media | None = None
    document: Media | None = None
    video: dict[str, Raw] | None = None
    searchResult: SearchResult | None = None


class ToolResult(msgspec.Struct):
    toolUseId: str
    content: list[ResultBlock]
    status: str | None = None


class Block(msgspec.Struct):
    """What a message is made of: one of these."""

    text: str | None = None
    image: Media | None = None
    document: Media | None = None
    video: dict[str, Raw] | None = None
    audio: Media | None = None
    toolUse: ToolUse | None = None
    toolResult: ToolResult | None = None
    guardContent: Guarded | None = None
    cachePoint: CachePoint | None = None
    reasoningContent: Reasoning | None = None
    citationsContent: Citations | None = None
    searchResult: SearchResult | None = None
    toolAddition: dict[str, Raw] | None = None
    toolRemoval: dict[str, Raw] | None = None


class Message(msgspec.Struct):
    role: str
    content: list[Block]


class SystemBlock(msgspec.Struct):
    text: str | None = None
    guardContent: Guarded | None = None
    cachePoint: CachePoint | None = None


class InferenceConfig(msgspec.Struct):
    maxTokens: Annotated[int, Meta(ge=1)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=1)] | None = None
    topP: Annotated[float, Meta(ge=0, le=1)] | None = None
    stopSequences: list[str] | None = None


class InputSchema(msgspec.Struct):
    json: Raw = NO_JSON


class ToolSpec(msgspec.Struct):
    name: Annotated[str, Meta(min_length=1, max_length=64)]
    inputSchema: InputSchema
    description: str | None = None
    strict: bool | None = None


class Tool(msgspec.Struct):
    toolSpec: ToolSpec | None = None
    systemTool: dict[str, Raw] | None = None
    cachePoint: CachePoint | None = None


class Named(msgspec.Struct):
    name: str


class ToolChoice(msgspec.Struct):
    auto: dict[str, Raw] | None = None
    any: dict[str, Raw] | None = None
    tool: Named | None = None


class ToolConfig(msgspec.Struct):
    tools: Annotated[list[Tool], Meta(min_length=1)]
    toolChoice: ToolChoice | None = None


class JsonSchema(msgspec.Struct):
    schema: str
    name: str | None = None
    description: str | None = None


class FormatStructure(msgspec.Struct):
    jsonSchema: JsonSchema | None = None


class TextFormat(msgspec.Struct):
    type: str
    structure: FormatStructure


class OutputConfig(msgspec.Struct):
    textFormat: TextFormat | None = None
    effort: str | None = None


class ConverseRequest(msgspec.Struct):
    """The body; the model's name stands in the path."""

    messages: list[Message] = []
    system: list[SystemBlock] = []
    inferenceConfig: InferenceConfig | None = None
    toolConfig: ToolConfig | None = None
    additionalModelRequestFields: dict[str, Raw] | None = None
    outputConfig: OutputConfig | None = None
    requestMetadata: dict[str, str] | None = None


class CacheDetail(msgspec.Struct):
    ttl: str = ""
    inputTokens: int = 0


class TokenUsage(msgspec.Struct):
    inputTokens: int | None = None
    outputTokens: int | None = None
    cacheReadInputTokens: int | None = None
    cacheWriteInputTokens: int | None = None
    cacheDetails: list[CacheDetail] | None = None

    def normalised(self) -> Usage | None:
        """``inputTokens`` leaves out what the cache had or got. None when nothing was told, or the counts cannot be
        true."""
        if self.inputTokens is None and self.outputTokens is None:
            return None
        read, wrote = max(self.cacheReadInputTokens or 0, 0), max(self.cacheWriteInputTokens or 0, 0)
        for_an_hour = sum(max(detail.inputTokens, 0) for detail in self.cacheDetails or [] if detail.ttl == "1h")
        return checked(
            Usage(
                input_tokens=max(self.inputTokens or 0, 0) + read + wrote,
                output_tokens=max(self.outputTokens or 0, 0),
                cached_tokens=read,
                cache_write_tokens=wrote,
                cache_write_1h_tokens=min(for_an_hour, wrote),
            )
        )


def written(usage: Usage) -> dict[str, object]:
    """A usage as Converse tells it."""
    told: dict[str, object] = {
        "inputTokens": max(usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens, 0),
        "outputTokens": usage.output_tokens,
        "totalTokens": usage.input_tokens + usage.output_tokens,
        "cacheReadInputTokens": usage.cached_tokens,
        "cacheWriteInputTokens": usage.cache_write_tokens,
    }
    if usage.cache_write_1h_tokens:
        for_five_minutes = usage.cache_write_tokens - usage.cache_write_1h_tokens
        told["cacheDetails"] = [
            {"ttl": ttl, "inputTokens": tokens}
            for ttl, tokens in (("1h", usage.cache_write_1h_tokens), ("5m", for_five_minutes))
            if tokens
        ]
    return told
