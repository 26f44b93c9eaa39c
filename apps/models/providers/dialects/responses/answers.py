"""The Responses API's whole answers, read from an upstream."""

from __future__ import annotations

import msgspec

from apps.models.providers.base import ProviderError
from apps.models.providers.conversation import Refusal, Reply, StopReason, Text, Thinking, ToolCall
from apps.models.providers.dialects.chat.wire import not_an_answer
from apps.models.providers.dialects.responses.wire import ResponsesUsage

_STOPS: dict[str, StopReason] = {"max_output_tokens": "length", "content_filter": "content_filter"}


class Part(msgspec.Struct):
    """Of a message's content, or of a thought's summary."""

    type: str = ""
    text: str = ""
    refusal: str = ""


class Item(msgspec.Struct):
    """Of the output; what its type does not have stays empty."""

    type: str = ""
    content: list[Part] | None = None
    call_id: str = ""
    name: str = ""
    arguments: str = ""
    summary: list[Part] | None = None
    encrypted_content: str | None = None

    @property
    def thought(self) -> str:
        return "\n\n".join(part.text for part in self.summary or self.content or [] if part.text)


class _IncompleteDetails(msgspec.Struct):
    reason: str = ""


class Response(msgspec.Struct):
    id: str = ""
    model: str = ""
    created_at: float = 0
    status: str = ""
    output: list[Item] = []
    incomplete_details: _IncompleteDetails | None = None
    usage: ResponsesUsage | None = None
    error: msgspec.Raw = msgspec.Raw(b"null")

    @property
    def stop(self) -> StopReason:
        if self.status == "incomplete":
            return _STOPS.get(self.incomplete_details.reason if self.incomplete_details is not None else "", "length")
        return "tool_calls" if any(item.type == "function_call" for item in self.output) else "stop"


_decode = msgspec.json.Decoder(Response).decode


def read(body: bytes) -> Reply:
    try:
        response = _decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise ProviderError("malformed", f"The upstream's answer is not what its API promises: {error}") from None
    if response.status in ("failed", "cancelled") or bytes(response.error) != b"null":
        raise not_an_answer(response.error, "output")
    if not response.output and not response.status:
        raise ProviderError("malformed", "The upstream's answer holds no output.")
    content = [block for item in response.output for block in _blocks(item)]
    usage = response.usage.normalised() if response.usage is not None else None
    created = int(response.created_at)
    return Reply(response.id, response.model, content, response.stop, usage, created=created)


def _blocks(item: Item) -> list[Text | Thinking | ToolCall | Refusal]:
    match item.type:
        case "message":
            return [Refusal(part.refusal) if part.type == "refusal" else Text(part.text) for part in item.content or []]
        case "function_call":
            return [ToolCall(item.call_id, item.name, item.arguments)]
        case "reasoning":
            return [Thinking(item.thought, item.encrypted_content)]
    return []  # a tool of the provider's own, whose outcome is in the text
