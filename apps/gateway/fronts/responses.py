"""OpenAI's Responses API as a front: what a caller may send, checked field by field.

Source: the public OpenAI API reference, responses. What a caller said before is found again by
``previous_response_id`` (``apps/gateway/responses_memory.py``).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from apps.gateway.errors import GatewayError, InvalidRequest
from apps.gateway.fronts.base import JSON, Arrived, Options, Parsed, PromptReference
from apps.gateway.fronts.openai import (
    TOKENS_PER_IMAGE,
    TOKENS_PER_NAMED_FILE,
    USUAL_TOKENS_PER_IMAGE,
    OpenAIErrors,
    Positive,
)
from apps.gateway.fronts.parsing import parse_json
from apps.models.providers.base import Operation

_BOUNDED = ("input", "instructions", "tools", "text", "prompt")


class Part(msgspec.Struct):
    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: str | None = None
    detail: str | None = None
    file_data: str | None = None
    file_url: str | None = None
    file_id: str | None = None
    filename: str | None = None


class Item(msgspec.Struct):
    """An item of the input; what it must hold besides its type is for the translation, or the upstream's API."""

    type: str = "message"
    role: str | None = None
    content: str | list[Part] | None = None
    id: str | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None
    output: str | list[Part] | dict[str, Any] | None = None
    summary: list[Part] | None = None
    encrypted_content: str | None = None


class Tool(msgspec.Struct):
    type: str
    name: str | None = None
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Format(msgspec.Struct):
    type: str
    name: str | None = None
    description: str | None = None
    schema: dict[str, Any] | None = None
    strict: bool | None = None


class TextOptions(msgspec.Struct):
    format: Format | None = None
    verbosity: str | None = None


class ReasoningOptions(msgspec.Struct):
    effort: str | None = None
    summary: str | None = None


class ResponsesRequest(msgspec.Struct):
    """``POST /v1/responses``."""

    model: Annotated[str, Meta(min_length=1, max_length=200)]
    input: str | list[Item] | UnsetType = UNSET
    instructions: str | None = None
    previous_response_id: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    store: bool | None = None
    stream: bool | None = None
    stream_options: dict[str, Any] | None = None
    max_output_tokens: Positive | None = None
    max_tool_calls: Positive | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    tools: list[Tool] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    text: TextOptions | None = None
    reasoning: ReasoningOptions | None = None
    include: list[str] | None = None
    metadata: dict[str, str] | None = None
    truncation: str | None = None
    background: bool | None = None
    conversation: str | dict[str, Any] | None = None
    service_tier: str | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    prompt: PromptReference | None = None
    lobby: Options | None = None

    operation: ClassVar[Operation] = "responses"
    choices: ClassVar[int] = 1
    wants_usage: ClassVar[bool] = True

    @property
    def max_output(self) -> int | None:
        return self.max_output_tokens

    @property
    def streams(self) -> bool:
        return bool(self.stream)


_decode = msgspec.json.Decoder(ResponsesRequest).decode
_encode = msgspec.json.Encoder().encode


class ResponsesFront(OpenAIErrors):
    operation: Operation = "responses"
    media_types = frozenset({JSON})

    def parse(self, arrived: Arrived) -> Parsed:
        request, fields = parse_json(_decode, arrived.body)
        if request.input is UNSET and request.prompt is None and request.previous_response_id is None:
            raise InvalidRequest(
                "'input' is missing: send a text or a list of items.", param="input", code="missing_field"
            )
        if request.background:
            raise InvalidRequest(
                "A response in the background is not offered here: leave 'background' out, and stream.",
                param="background",
                code="unsupported_parameter",
            )
        if request.conversation is not None:
            raise InvalidRequest(
                "Conversations are not kept by name here: go on from a response by 'previous_response_id'.",
                param="conversation",
                code="unsupported_parameter",
            )
        return Parsed(request, fields)

    def bounds(self, parsed: Parsed) -> tuple[int, int]:
        """Of images that the input carries, each counts as one and not by its bytes."""
        assert isinstance(parsed.request, ResponsesRequest)
        size = sum(len(bytes(parsed.fields[name])) for name in _BOUNDED if name in parsed.fields)
        images = named = 0
        items = parsed.request.input if isinstance(parsed.request.input, list) else []
        for item in items:
            for content in (item.content, item.output):
                for part in content if isinstance(content, list) else ():
                    if part.type == "input_image":
                        images += 1
                        size -= len(part.image_url or "")
                    elif part.file_id or part.file_url:
                        named += 1
        named += sum(tool.type != "function" for tool in parsed.request.tools or [])
        bound = max(size, 0) + images * TOKENS_PER_IMAGE + named * TOKENS_PER_NAMED_FILE
        return bound, max(1, size // 4) + images * USUAL_TOKENS_PER_IMAGE

    def error_event(self, error: GatewayError, request_id: str) -> bytes:
        """The API's own shape, and what its official client looks for to raise."""
        facts = {"message": error.message, "type": error.type, "code": error.code, "param": error.param}
        data = _encode({**facts, "type": "error", "sequence_number": 0, "error": facts})
        return b"event: error\ndata: " + data + b"\n\n"


def with_input(parsed: Parsed, items: list[Raw]) -> Parsed:
    """The same request with ``items`` before its own input, checked anew as a whole."""
    own = parsed.fields.get("input", Raw(b"[]"))
    if isinstance(msgspec.json.decode(own), str):
        listed = [Raw(_encode({"type": "message", "role": "user", "content": msgspec.json.decode(own)}))]
    else:
        listed = msgspec.json.decode(own, type=list[Raw])
    fields = {**parsed.fields, "input": Raw(_encode([*items, *listed]))}
    request, _ = parse_json(_decode, _encode(fields))
    return replace(parsed, request=request, fields=fields)


def input_items(parsed: Parsed) -> list[Raw]:
    """The whole input of a request, as items."""
    return msgspec.json.decode(with_input(parsed, []).fields["input"], type=list[Raw])
