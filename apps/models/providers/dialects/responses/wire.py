"""The Responses API's wire types: its items, and what we read of its answers.

Source: the public OpenAI API reference, responses.
"""

from __future__ import annotations

import msgspec

from apps.models.providers.base import Usage
from apps.models.providers.dialects.chat.wire import checked


class InputDetails(msgspec.Struct):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class OutputDetails(msgspec.Struct):
    reasoning_tokens: int | None = None


class ResponsesUsage(msgspec.Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    input_tokens_details: InputDetails | None = None
    output_tokens_details: OutputDetails | None = None

    def normalised(self) -> Usage | None:
        """None when nothing was told, or the counts cannot be true."""
        if self.input_tokens is None and self.output_tokens is None:
            return None
        inputs = self.input_tokens_details or InputDetails()
        outputs = self.output_tokens_details or OutputDetails()
        return checked(
            Usage(
                input_tokens=max(self.input_tokens or 0, 0),
                output_tokens=max(self.output_tokens or 0, 0),
                cached_tokens=max(inputs.cached_tokens or 0, 0),
                cache_write_tokens=max(inputs.cache_write_tokens or 0, 0),
                reasoning_tokens=max(outputs.reasoning_tokens or 0, 0),
            )
        )


def written(usage: Usage) -> dict[str, object]:
    """A usage as a response tells it."""
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }


class Part(msgspec.Struct):
    """A part of a message, or of a tool's output."""

    type: str
    text: str = ""
    refusal: str = ""
    image_url: str | None = None
    detail: str | None = None
    file_data: str | None = None
    file_url: str | None = None
    file_id: str | None = None
    filename: str | None = None


class Item(msgspec.Struct):
    """An item of the input. Without ``type`` it is a message."""

    type: str = "message"
    role: str = ""
    content: str | list[Part] | None = None
    id: str | None = None
    call_id: str = ""
    name: str = ""
    arguments: str = ""
    output: str | list[Part] | None = None
    summary: list[Part] | None = None
    encrypted_content: str | None = None


class Tool(msgspec.Struct):
    type: str
    name: str = ""
    description: str | None = None
    parameters: msgspec.Raw = msgspec.Raw(b"")
    strict: bool | None = None


class ToolChoice(msgspec.Struct):
    type: str
    name: str = ""


class Format(msgspec.Struct):
    type: str
    name: str = "answer"
    description: str | None = None
    schema: msgspec.Raw = msgspec.Raw(b"")
    strict: bool | None = None


class TextOptions(msgspec.Struct):
    format: Format | None = None
    verbosity: str | None = None


class ReasoningOptions(msgspec.Struct):
    effort: str | None = None
    summary: str | None = None
