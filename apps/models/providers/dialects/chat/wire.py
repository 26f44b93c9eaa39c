"""Chat completions' wire types: what we read of its answers, usage above all.

Source: the public OpenAI API reference, chat completions.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from apps.models.providers.base import Answer, ProviderError, Usage
from apps.models.providers.openai_errors import read_error_answer

_encode = msgspec.json.Encoder().encode

# A count above this, a hundred times any model's context, is a fault of the upstream and no usage.
MAX_TOKENS = 100_000_000


# Some servers write 7.0.
Count = int | float | None


class InputDetails(msgspec.Struct):
    cached_tokens: Count = None
    cache_write_tokens: Count = None
    audio_tokens: Count = None
    image_tokens: Count = None


class OutputDetails(msgspec.Struct):
    reasoning_tokens: Count = None
    audio_tokens: Count = None


class ChatUsage(msgspec.Struct):
    prompt_tokens: Count = None
    completion_tokens: Count = None
    total_tokens: Count = None
    prompt_tokens_details: InputDetails | None = None
    completion_tokens_details: OutputDetails | None = None

    def normalised(self) -> Usage | None:
        """None when nothing was told, or the counts cannot be true."""
        if self.prompt_tokens is None and self.completion_tokens is None and self.total_tokens is None:
            return None
        inputs, outputs = (
            self.prompt_tokens_details or InputDetails(),
            self.completion_tokens_details or OutputDetails(),
        )
        asked, said, thought = self.prompt_tokens, self.completion_tokens or 0, outputs.reasoning_tokens or 0
        if asked is None:  # some servers tell the total alone, of embeddings above all
            asked = (self.total_tokens or said) - said
        elif thought > 0 and self.total_tokens == asked + said + thought:
            said += thought  # some servers, Gemini's among them, count thought beside the answer
        return checked(
            Usage(
                input_tokens=_whole(asked),
                output_tokens=_whole(said),
                cached_tokens=_whole(inputs.cached_tokens),
                cache_write_tokens=_whole(inputs.cache_write_tokens),
                reasoning_tokens=_whole(thought),
                audio_input_tokens=_whole(inputs.audio_tokens),
                audio_output_tokens=_whole(outputs.audio_tokens),
                image_input_tokens=_whole(inputs.image_tokens),
            )
        )


def _whole(count: Count) -> int:
    return int(count) if count is not None and count > 0 else 0


def checked(usage: Usage) -> Usage | None:
    """None when the counts cannot be true."""
    most = max(
        usage.input_tokens,
        usage.output_tokens,
        usage.cached_tokens,
        usage.cache_write_tokens,
        usage.reasoning_tokens,
        usage.audio_input_tokens,
        usage.audio_output_tokens,
        usage.image_input_tokens,
    )
    return usage if most <= MAX_TOKENS else None


def written(usage: Usage) -> dict[str, object]:
    """A usage as a chat completion tells it."""
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
            "audio_tokens": usage.audio_input_tokens,
        },
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning_tokens,
            "audio_tokens": usage.audio_output_tokens,
        },
    }


class ContentPart(msgspec.Struct):
    """Of an answer that comes in parts, as Mistral's thinking models give it: texts, and thought made of texts."""

    type: str = ""
    text: str = ""
    thinking: str | list[ContentPart] = ""

    @property
    def thought(self) -> str:
        return self.thinking if isinstance(self.thinking, str) else "".join(part.text for part in self.thinking)


def parts_of(content: str | list[ContentPart] | None) -> list[ContentPart]:
    if isinstance(content, list):
        return content
    return [ContentPart("text", content)] if content else []


# A tool's arguments: JSON in a text, or (some servers) as it is.
Arguments = str | dict[str, msgspec.Raw] | None


def arguments_of(written: Arguments) -> str:
    return _encode(written).decode() if isinstance(written, dict) else written or ""


NOTHING = msgspec.Raw(b"null")


class _Passing(msgspec.Struct):
    """What is read of an answer that passes through: its usage, and whether it is one. The rest stays bytes."""

    usage: ChatUsage | None = None
    choices: msgspec.Raw = NOTHING  # of a chat completion
    data: msgspec.Raw = NOTHING  # of embeddings
    error: msgspec.Raw = NOTHING


_decode_passing = msgspec.json.Decoder(_Passing).decode


def passed(body: bytes, *, holds: Literal["choices", "data"]) -> Answer:
    """An answer that passes as it came, if it ``holds`` what it must."""
    try:
        read = _decode_passing(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise ProviderError("malformed", f"The upstream's answer is not what its API promises: {error}") from None
    if bytes(read.choices if holds == "choices" else read.data) == b"null":
        raise not_an_answer(read.error, holds)
    return Answer(body, read.usage.normalised() if read.usage is not None else None)


def not_an_answer(error: msgspec.Raw, missing: str) -> ProviderError:
    """A 200 that holds no answer: what it says instead, or that it says nothing."""
    if bytes(error) != b"null":
        return read_error_answer(error)
    return ProviderError("malformed", f"The upstream's answer is not what its API promises: it has no '{missing}'.")
