"""The Messages API's wire types: usage, stop reasons and content blocks.

Source: the public API reference of Anthropic, messages.
"""

from __future__ import annotations

import msgspec
from msgspec import Raw

from apps.models.providers.base import Usage
from apps.models.providers.conversation import StopReason
from apps.models.providers.dialects.chat.wire import checked

# The tool whose input is the answer, where a model cannot be held to a schema in another way.
ANSWER_TOOL = "lobby_answer"

STOP_REASONS: dict[str | None, StopReason] = {
    "end_turn": "stop",
    "pause_turn": "stop",
    "stop_sequence": "stop_sequence",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
WRITTEN_STOPS: dict[StopReason, str] = {
    "stop": "end_turn",
    "stop_sequence": "stop_sequence",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}


class _CacheCreation(msgspec.Struct):
    ephemeral_1h_input_tokens: int | None = None


class _OutputDetails(msgspec.Struct):
    thinking_tokens: int | None = None


class MessagesUsage(msgspec.Struct):
    """Of a whole answer, or cumulative in a stream. ``input_tokens`` leaves out what a cache had or took."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation: _CacheCreation | None = None
    output_tokens_details: _OutputDetails | None = None

    def over(self, earlier: MessagesUsage | None) -> MessagesUsage:
        """This usage with what only ``earlier`` told."""
        if earlier is None:
            return self
        return MessagesUsage(
            *(
                getattr(earlier, name) if (told := getattr(self, name)) is None else told
                for name in self.__struct_fields__
            )
        )

    def normalised(self) -> Usage | None:
        """None when nothing was told, or the counts cannot be true."""
        if self.input_tokens is None and self.output_tokens is None:
            return None
        creation = self.cache_creation or _CacheCreation()
        details = self.output_tokens_details or _OutputDetails()
        read, written = max(self.cache_read_input_tokens or 0, 0), max(self.cache_creation_input_tokens or 0, 0)
        return checked(
            Usage(
                input_tokens=max(self.input_tokens or 0, 0) + read + written,
                output_tokens=max(self.output_tokens or 0, 0),
                cached_tokens=read,
                cache_write_tokens=written,
                cache_write_1h_tokens=min(max(creation.ephemeral_1h_input_tokens or 0, 0), written),
                reasoning_tokens=max(details.thinking_tokens or 0, 0),
            )
        )


def written(usage: Usage | None) -> dict[str, object]:
    """A usage as the Messages API tells it, where the counts are no choice: zeros when nobody told them."""
    usage = usage or Usage()
    told: dict[str, object] = {
        "input_tokens": max(usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens, 0),
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cached_tokens,
        "cache_creation": {
            "ephemeral_5m_input_tokens": max(usage.cache_write_tokens - usage.cache_write_1h_tokens, 0),
            "ephemeral_1h_input_tokens": usage.cache_write_1h_tokens,
        },
        "output_tokens": usage.output_tokens,
    }
    if usage.reasoning_tokens:
        told["output_tokens_details"] = {"thinking_tokens": usage.reasoning_tokens}
    return told


class CacheControl(msgspec.Struct, omit_defaults=True):
    type: str = ""
    ttl: str | None = None


class Source(msgspec.Struct):
    """Of an image or a document: ``base64``, ``text``, ``content``, ``url`` or ``file``."""

    type: str
    media_type: str = ""
    data: str = ""
    url: str = ""
    content: str | list[Block] | None = None


class Citations(msgspec.Struct):
    enabled: bool | None = None


class Block(msgspec.Struct):
    """A content block of any type: each uses the fields that are its own."""

    type: str
    text: str | None = None
    # image and document; a search result's source is its address
    source: Source | str | None = None
    title: str | None = None
    context: str | None = None
    citations: Citations | list[Raw] | None = None
    # thinking, redacted_thinking
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    # tool_use
    id: str | None = None
    name: str | None = None
    input: Raw = Raw(b"{}")
    # tool_result; a search result's texts
    tool_use_id: str | None = None
    content: str | list[Block] | None = None
    is_error: bool | None = None
    cache_control: CacheControl | None = None
