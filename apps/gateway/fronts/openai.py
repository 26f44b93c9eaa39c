"""OpenAI's chat completions and embeddings, as a front: what a caller may send, checked field by field."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from apps.gateway.errors import GatewayError, InvalidRequest
from apps.gateway.fronts.base import JSON, Arrived, Header, Options, Parsed, PromptReference
from apps.gateway.fronts.parsing import parse_json
from apps.models.providers.base import Operation

# What an image may cost in tokens at the most, whatever its bytes: an upper bound for the hold. Published figures go
# from 85 to 8,512 (a small image in high detail at a small model). Files and sounds are bounded by their bytes as text
# is.
TOKENS_PER_IMAGE = 10_000
USUAL_TOKENS_PER_IMAGE = 1_000
# A file that is only named may fill a model's whole context.
TOKENS_PER_NAMED_FILE = 200_000

Positive = Annotated[int, Meta(ge=1)]


class StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class Part(msgspec.Struct):
    type: str


class Message(msgspec.Struct):
    role: str
    content: str | list[Part] | None = None
    name: str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    tool_call_id: str | None = None


class ToolFunction(msgspec.Struct):
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(msgspec.Struct):
    type: str
    function: ToolFunction | None = None


class ChatRequest(msgspec.Struct):
    """``POST /v1/chat/completions``. Source: the public OpenAI API reference, chat completions."""

    model: Annotated[str, Meta(min_length=1, max_length=200)]
    messages: Annotated[list[Message], Meta(min_length=1)] | UnsetType = UNSET
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Positive | None = None
    max_completion_tokens: Positive | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    presence_penalty: Annotated[float, Meta(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, Meta(ge=-2, le=2)] | None = None
    logit_bias: dict[str, float] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    stop: str | list[str] | None = None
    seed: int | None = None
    user: str | None = None
    tools: list[Tool] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    functions: list[dict[str, Any]] | None = None
    function_call: str | dict[str, Any] | None = None
    response_format: dict[str, Any] | None = None
    reasoning_effort: str | None = None
    modalities: list[str] | None = None
    audio: dict[str, Any] | None = None
    prediction: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    store: bool | None = None
    service_tier: str | None = None
    verbosity: str | None = None
    prompt_cache_key: str | None = None
    safety_identifier: str | None = None
    web_search_options: dict[str, Any] | None = None
    prompt: PromptReference | None = None
    lobby: Options | None = None

    operation: ClassVar[Operation] = "chat.completions"

    @property
    def max_output(self) -> int | None:
        """The most output tokens per choice that the caller asked for; None when it named no maximum.

        Both fields pass on, and a server heeds the one that it knows: so the larger one is the bound.
        """
        named = [number for number in (self.max_completion_tokens, self.max_tokens) if number is not None]
        return max(named) if named else None

    @property
    def choices(self) -> int:
        return self.n or 1

    @property
    def streams(self) -> bool:
        return bool(self.stream)

    @property
    def wants_usage(self) -> bool:
        return self.stream_options is not None and bool(self.stream_options.include_usage)


class EmbeddingRequest(msgspec.Struct):
    """``POST /v1/embeddings``. Source: the public OpenAI API reference, embeddings."""

    model: Annotated[str, Meta(min_length=1, max_length=200)]
    input: (
        Annotated[str, Meta(min_length=1)] | Annotated[list[str | int | list[int]], Meta(min_length=1, max_length=2048)]
    )
    dimensions: Positive | None = None
    encoding_format: str | None = None
    user: str | None = None
    lobby: Options | None = None

    operation: ClassVar[Operation] = "embeddings"
    max_output = 0
    choices = 1
    streams = False
    wants_usage = False
    prompt = None


_decode_chat = msgspec.json.Decoder(ChatRequest).decode
_decode_embedding = msgspec.json.Decoder(EmbeddingRequest).decode

# What does not come before the model, of the fields that we know. A prediction is charged where it does not come true.
_NO_INPUT = frozenset({*ChatRequest.__struct_fields__, *EmbeddingRequest.__struct_fields__}) - {
    *("messages", "tools", "functions", "response_format", "prediction", "input", "prompt")
}
_image_url = re.compile(rb'"image_url"\s*:\s*(?:\{[^{}]*?"url"\s*:\s*)?"')


class OpenAIErrors:
    """Errors in the shape of the OpenAI API, whose official client picks its exception by the status."""

    stream_type = b"text/event-stream; charset=utf-8"
    request_id_header = b"x-request-id"

    def error(self, error: GatewayError, request_id: str) -> tuple[list[Header], bytes]:
        return [(b"content-type", JSON)], error.body()

    def error_event(self, error: GatewayError, request_id: str) -> bytes:
        return b"data: " + error.body() + b"\n\n"


class ChatFront(OpenAIErrors):
    operation: Operation = "chat.completions"
    media_types = frozenset({JSON})

    def parse(self, arrived: Arrived) -> Parsed:
        request, fields = parse_json(_decode_chat, arrived.body)
        if request.messages is UNSET and request.prompt is None:
            raise InvalidRequest(
                "'messages' is missing: send at least one message.", param="messages", code="missing_field"
            )
        return Parsed(request, fields)

    def bounds(self, parsed: Parsed) -> tuple[int, int]:
        return input_bounds(parsed.fields)


class EmbeddingsFront(OpenAIErrors):
    operation: Operation = "embeddings"
    media_types = frozenset({JSON})

    def parse(self, arrived: Arrived) -> Parsed:
        return Parsed(*parse_json(_decode_embedding, arrived.body))

    def bounds(self, parsed: Parsed) -> tuple[int, int]:
        return input_bounds(parsed.fields)


def input_bounds(fields: dict[str, Raw]) -> tuple[int, int]:
    """(upper bound, estimate) of the input's tokens.

    A byte-level tokenizer makes at most one token of a byte, and the JSON around a message is longer than the tokens
    that frame it: so the bytes are a bound that holds for every model. Four bytes a token is the usual estimate. A
    field that the API does not have may be one that a server puts before its model.
    """
    size = bound = estimate = 0
    for name, raw in fields.items():
        if name in _NO_INPUT:
            continue
        data = bytes(raw)
        size += len(data)
        if name == "messages" and b'"image_url"' in data:
            carried, images = _images(data)
            size -= carried
            bound += images * TOKENS_PER_IMAGE
            estimate += images * USUAL_TOKENS_PER_IMAGE
        if name == "messages" and b'"file_id"' in data:
            bound += data.count(b'"file_id"') * TOKENS_PER_NAMED_FILE
    return bound + size, estimate + max(1, size // 4)


def _images(messages: bytes) -> tuple[int, int]:
    """(bytes, number) of the images carried inside the messages, or pointed to by their address."""
    carried = count = 0
    for match in _image_url.finditer(messages):
        end = messages.find(b'"', match.end())
        carried += max(0, end - match.end())
        count += 1
    return carried, count
