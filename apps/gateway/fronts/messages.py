"""Anthropic's Messages API as a front: what a caller may send, checked field by field.

Source: the public API reference of Anthropic, messages and errors.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from apps.gateway.errors import GatewayError, InvalidRequest
from apps.gateway.fronts.base import JSON, Arrived, Header, Options, Parsed, PromptReference
from apps.gateway.fronts.openai import TOKENS_PER_IMAGE, TOKENS_PER_NAMED_FILE, USUAL_TOKENS_PER_IMAGE, Positive
from apps.gateway.fronts.parsing import parse_json, shown_headers
from apps.models.providers.base import Operation

# Of the caller's, what a Messages API upstream is shown.
_PASSED_HEADERS = (b"anthropic-version", b"anthropic-beta")
_BOUNDED = ("messages", "system", "tools", "output_config", "output_format", "prompt")


class CacheControl(msgspec.Struct):
    type: str
    ttl: str | None = None


class Source(msgspec.Struct):
    type: str
    media_type: str | None = None
    data: str | None = None
    url: str | None = None
    file_id: str | None = None
    content: str | list[Block] | None = None


class Block(msgspec.Struct):
    """A content block; what it must hold besides its type is for the upstream's API, or the translation, to say."""

    type: str
    text: str | None = None
    source: Source | str | None = None
    title: str | None = None
    context: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    id: str | None = None
    name: str | None = None
    input: dict[str, Any] | None = None
    tool_use_id: str | None = None
    content: str | list[Block] | dict[str, Any] | None = None
    is_error: bool | None = None
    cache_control: CacheControl | None = None


class Message(msgspec.Struct):
    role: str
    content: str | list[Block]


class Tool(msgspec.Struct):
    name: str | None = None
    type: str | None = None
    description: str | None = None
    input_schema: dict[str, Any] | None = None
    strict: bool | None = None
    cache_control: CacheControl | None = None


class ToolChoice(msgspec.Struct):
    type: str
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class Thinking(msgspec.Struct):
    type: str
    budget_tokens: Positive | None = None
    display: str | None = None


class OutputFormat(msgspec.Struct):
    type: str
    schema: dict[str, Any] | None = None


class OutputConfig(msgspec.Struct):
    effort: str | None = None
    format: OutputFormat | None = None


class Metadata(msgspec.Struct):
    user_id: str | None = None


class MessagesRequest(msgspec.Struct):
    """``POST /v1/messages``."""

    model: Annotated[str, Meta(min_length=1, max_length=200)]
    max_tokens: Annotated[int, Meta(ge=0)] | UnsetType = UNSET
    messages: Annotated[list[Message], Meta(min_length=1)] | UnsetType = UNSET
    system: str | list[Block] | None = None
    stream: bool | None = None
    temperature: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_k: Annotated[int, Meta(ge=0)] | None = None
    stop_sequences: list[str] | None = None
    tools: list[Tool] | None = None
    tool_choice: ToolChoice | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None
    output_format: OutputFormat | None = None
    metadata: Metadata | None = None
    cache_control: CacheControl | None = None
    service_tier: str | None = None
    container: str | dict[str, Any] | None = None
    context_management: dict[str, Any] | None = None
    mcp_servers: list[dict[str, Any]] | None = None
    inference_geo: str | None = None
    speed: str | None = None
    prompt: PromptReference | None = None
    lobby: Options | None = None

    operation: ClassVar[Operation] = "messages"
    choices: ClassVar[int] = 1
    wants_usage: ClassVar[bool] = True

    @property
    def max_output(self) -> int | None:
        return self.max_tokens if isinstance(self.max_tokens, int) else None

    @property
    def streams(self) -> bool:
        return bool(self.stream)


class CountTokensRequest(msgspec.Struct):
    """``POST /v1/messages/count_tokens``."""

    model: Annotated[str, Meta(min_length=1, max_length=200)]
    messages: Annotated[list[Message], Meta(min_length=1)]
    system: str | list[Block] | None = None
    tools: list[Tool] | None = None
    tool_choice: ToolChoice | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None
    output_format: OutputFormat | None = None
    cache_control: CacheControl | None = None
    lobby: Options | None = None

    operation: ClassVar[Operation] = "count_tokens"
    max_output: ClassVar[int] = 0
    choices: ClassVar[int] = 1
    streams: ClassVar[bool] = False
    wants_usage: ClassVar[bool] = False
    prompt: ClassVar[None] = None


class _Detail(msgspec.Struct, omit_defaults=True):
    type: str
    message: str
    details: dict[str, str] | None = None


class _Body(msgspec.Struct):
    type: str
    error: _Detail
    request_id: str


_decode_messages = msgspec.json.Decoder(MessagesRequest).decode
_decode_count = msgspec.json.Decoder(CountTokensRequest).decode
_encode = msgspec.json.Encoder().encode

# The official client picks its exception by the status, and tells the type beside it.
_TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}


class AnthropicErrors:
    """Errors in the shape of Anthropic's API; ``details`` holds Lobby's own code, and the parameter's path."""

    stream_type = b"text/event-stream; charset=utf-8"
    request_id_header = b"request-id"

    def error(self, error: GatewayError, request_id: str) -> tuple[list[Header], bytes]:
        return [(b"content-type", JSON)], _body(error, request_id)

    def error_event(self, error: GatewayError, request_id: str) -> bytes:
        return b"event: error\ndata: " + _body(error, request_id) + b"\n\n"


def _body(error: GatewayError, request_id: str) -> bytes:
    fallback = "invalid_request_error" if error.status < 500 else "api_error"
    details = {"error_code": error.code}
    if error.param is not None:
        details["param"] = error.param
    return _encode(_Body("error", _Detail(_TYPES.get(error.status, fallback), error.message, details), request_id))


class MessagesFront(AnthropicErrors):
    operation: Operation = "messages"
    media_types = frozenset({JSON})

    def parse(self, arrived: Arrived) -> Parsed:
        request, fields = parse_json(_decode_messages, arrived.body)
        if request.prompt is None:  # a prompt of the catalog may bring both
            for name in ("messages", "max_tokens"):
                if getattr(request, name) is UNSET:
                    raise InvalidRequest(f"'{name}' is missing.", param=name, code="missing_field")
        return Parsed(request, fields, headers=shown_headers(arrived, _PASSED_HEADERS))

    def bounds(self, parsed: Parsed) -> tuple[int, int]:
        assert isinstance(parsed.request, MessagesRequest)
        return input_bounds(parsed.request, parsed.fields)


class CountTokensFront(AnthropicErrors):
    """Counts are metered as requests: they use no tokens and cost nothing."""

    operation: Operation = "count_tokens"
    media_types = frozenset({JSON})

    def parse(self, arrived: Arrived) -> Parsed:
        request, fields = parse_json(_decode_count, arrived.body)
        return Parsed(request, fields, headers=shown_headers(arrived, _PASSED_HEADERS))

    def bounds(self, parsed: Parsed) -> tuple[int, int]:
        return 0, 0


def estimated_count(parsed: Parsed) -> bytes:
    """The answer to a count that no upstream can make: an estimate, by the bytes."""
    assert isinstance(parsed.request, CountTokensRequest)
    return _encode({"input_tokens": input_bounds(parsed.request, parsed.fields)[1]})


def input_bounds(request: MessagesRequest | CountTokensRequest, fields: dict[str, Raw]) -> tuple[int, int]:
    """(upper bound, estimate) of the input's tokens: see ``openai.input_bounds``. Images count each, not by their
    bytes; what is only named, and each tool that brings in texts of its own, may fill a context."""
    size = sum(len(bytes(fields[name])) for name in _BOUNDED if name in fields)
    images = named = 0
    if isinstance(request.messages, list):
        for block in _blocks(message.content for message in request.messages):
            source = block.source
            if not isinstance(source, Source):
                continue
            if block.type == "image":
                images += 1
                size -= len(source.data or "")
            elif source.type in ("url", "file"):
                named += 1
    named += sum(tool.type not in (None, "custom") for tool in request.tools or [])
    bound = max(size, 0) + images * TOKENS_PER_IMAGE + named * TOKENS_PER_NAMED_FILE
    return bound, max(1, size // 4) + images * USUAL_TOKENS_PER_IMAGE


def _blocks(contents: Iterable[str | list[Block] | dict[str, Any] | None]) -> Iterable[Block]:
    """All blocks, those inside of others as well."""
    for content in contents:
        if isinstance(content, list):
            for block in content:
                yield block
                inside = block.source.content if isinstance(block.source, Source) else None
                if block.content or inside:
                    yield from _blocks((block.content, inside))
