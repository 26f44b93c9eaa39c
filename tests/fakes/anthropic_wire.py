"""What the fake Anthropic upstream says: requests read and checked, answers and errors in the Messages API's format.

Tokens are counted as by the fake OpenAI (``openai_wire``): the words of all texts, tools' results included, are input;
each piece of an answer is a token of output. Of the input, ``cached`` were read from a cache, and ``cache_write`` and
``cache_write_1h`` written to one. ``reasoning`` tokens are a block of thought, where the request has thinking on.

Requests are checked as strictly as the real API's are, for a translation has to pass here: unknown fields, results that
answer no call, calls without a result, empty texts, thoughts with another signature.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any, Final

import msgspec

from tests.fakes.behaviour import Behaviour
from tests.fakes.openai_wire import (
    ID,
    Event,
    Plan,
    RequestError,
    behaviour_of,
    calls_tool,
    content_piece,
    cut,
    fill,
    words,
)

MODELS: Final = ("fake-claude", "fake-claude-mini")
SIGNATURE: Final = "c2lnbmVkIGJ5IHRoZSBmYWtl"
_ARGUMENT_PIECE: Final = 5
_COUNTED: Final = frozenset(
    {"model", "messages", "system", "tools", "tool_choice", "thinking", "output_config", "output_format"}
    | {"cache_control", "mcp_servers"}
)
_FIELDS: Final = _COUNTED | {
    *("max_tokens", "stream", "temperature", "top_p", "top_k", "stop_sequences", "metadata"),
    *("service_tier", "container", "context_management"),
}
_TYPES: Final = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


def error_body(status: int, message: str, *, type: str | None = None) -> bytes:
    """An error in Anthropic's shape, with the type it uses for such a status."""
    kind = type or _TYPES.get(status, "invalid_request_error" if status < 500 else "api_error")
    return _encode({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_" + ID.decode()})


def refused(message: str, status: int = 400) -> RequestError:
    return RequestError(status, error_body(status, message))


def failure_body(status: int, behaviour: Behaviour) -> tuple[bytes, str]:
    """The body of an asked-for failure, and its content type; ``code`` picks the words of a well-known one."""
    if behaviour.body == "html":
        return f"<html><body><h1>{status} Fault on demand</h1></body></html>".encode(), "text/html"
    if behaviour.body == "text":
        return b"upstream connect error or disconnect/reset before headers", "text/plain"
    if behaviour.body == "empty":
        return b"", "application/json"
    messages = {
        "too_long": "prompt is too long: 210000 tokens > 200000 maximum",
        "content": "Output blocked by content filtering policy",
        "credit": "Your credit balance is too low to access the Anthropic API.",
    }
    return error_body(status, messages.get(behaviour.code, f"Fault on demand: {status}")), "application/json"


def messages_plan(body: bytes, mode: str = "") -> Plan:
    """The answer to ``POST /v1/messages``. Raises RequestError."""
    request = _read(body, _FIELDS)
    most = request.get("max_tokens")
    if not isinstance(most, int) or most < 1:
        raise refused("max_tokens: Field required")
    texts = _checked_texts(request)
    _check_options(request, most)
    behaviour = behaviour_of(request, texts, mode)
    prompt = behaviour.prompt_tokens if behaviour.prompt_tokens >= 0 else sum(len(text.split()) for text in texts)
    answer = _Answer(request, behaviour, prompt)
    stream = bool(request.get("stream"))
    told = 0 if behaviour.usage == "zero" else answer.tokens + answer.thought
    with_usage = behaviour.usage != "missing"
    events = tuple(answer.events()) if stream else ()
    plain = b"" if stream else _encode(answer.plain())
    return Plan(request["model"], stream, answer.behaviour, prompt, told, plain, events, with_usage)


def count_plan(body: bytes, mode: str = "") -> Plan:
    """The answer to ``POST /v1/messages/count_tokens``: no tokens are used by it. Raises RequestError."""
    request = _read(body, _COUNTED)
    texts = _checked_texts(request)
    behaviour = behaviour_of(request, texts, mode)
    tokens = behaviour.prompt_tokens if behaviour.prompt_tokens >= 0 else sum(len(text.split()) for text in texts)
    return Plan(request["model"], False, behaviour, 0, 0, _encode({"input_tokens": tokens}), (), True)


def model_object(name: str) -> dict[str, Any]:
    return {"type": "model", "id": name, "display_name": name.title(), "created_at": "2026-01-01T00:00:00Z"}


def models_body(names: tuple[str, ...]) -> bytes:
    data = [model_object(name) for name in names]
    return _encode({"data": data, "has_more": False, "first_id": names[0], "last_id": names[-1]})


def _read(body: bytes, fields: frozenset[str]) -> dict[str, Any]:
    try:
        request = _decode(body)
    except msgspec.DecodeError as error:
        raise refused(f"The request body is not valid JSON: {error}") from None
    if not isinstance(request, dict):
        raise refused("The request body must be an object")
    if not isinstance(request.get("model"), str) or not request["model"]:
        raise refused("model: Field required")
    for name in request:
        if name not in fields:
            raise refused(f"{name}: Extra inputs are not permitted")
    return request


def _checked_texts(request: dict[str, Any]) -> list[str]:
    """Every text of the request that counts. Raises RequestError."""
    messages = request.get("messages")
    if not isinstance(messages, list) or not messages:
        raise refused("messages: at least one message is required")
    if messages[0]["role"] != "user":
        raise refused('messages: first message must use the "user" role')
    texts = _texts(request.get("system"), "system")
    called: set[str] = set()
    for number, message in enumerate(messages):
        path = f"messages.{number}"
        if set(message) != {"role", "content"} or message["role"] not in {"user", "assistant"}:
            raise refused(f"{path}: Input should have a role of 'user' or 'assistant', and content alone")
        blocks = message["content"] if isinstance(message["content"], list) else []
        answered = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
        if called - set(answered):
            raise refused(f"{path}: `tool_use` ids were found without `tool_result` blocks immediately after")
        if set(answered) - called:
            raise refused(f"{path}: unexpected `tool_use_id` found in `tool_result` blocks")
        if any(block["type"] != "tool_result" for block in blocks[: len(answered)]):
            raise refused(f"{path}: tool_result blocks come first")
        called = {block["id"] for block in blocks if block["type"] == "tool_use"}
        texts += _texts(message["content"], f"{path}.content")
    return texts


def _texts(content: Any, path: str) -> list[str]:
    if content is None:
        return []
    if isinstance(content, str):
        if not content:
            raise refused(f"{path}: text content must be non-empty")
        return [content]
    return [text for number, block in enumerate(content) for text in _block_texts(block, f"{path}.{number}")]


def _block_texts(block: dict[str, Any], path: str) -> list[str]:
    control = block.get("cache_control")
    if control is not None and (control["type"] != "ephemeral" or control.get("ttl", "5m") not in {"5m", "1h"}):
        raise refused(f"{path}.cache_control: wrong")
    match block["type"]:
        case "text":
            return _texts(block["text"], f"{path}.text")
        case "image" | "document":
            source = block["source"]
            wanted = {"base64": ("media_type", "data"), "url": ("url",), "text": ("media_type", "data")}
            if any(not source.get(name) for name in wanted[source["type"]]):
                raise refused(f"{path}.source: Field required")
            return [source["data"]] if source["type"] == "text" else []
        case "thinking":
            if block["signature"] != SIGNATURE:
                raise refused(f"{path}: Invalid `signature` in `thinking` block")
        case "redacted_thinking":
            if not block["data"]:
                raise refused(f"{path}.data: Field required")
        case "tool_use":
            if not isinstance(block["input"], dict):
                raise refused(f"{path}.input: Input should be a valid dictionary")
        case "tool_result":
            return _texts(block.get("content"), f"{path}.content")
        case kind:
            raise refused(f"{path}: Input tag '{kind}' found using 'type' does not match any of the expected tags")
    return []


def _check_options(request: dict[str, Any], most: int) -> None:
    if not 0 <= request.get("temperature", 1) <= 1:
        raise refused("temperature: range: 0..1")
    thinking = request.get("thinking") or {"type": "disabled"}
    if thinking["type"] == "enabled":
        if thinking["budget_tokens"] < 1024:
            raise refused("thinking.enabled.budget_tokens: Input should be greater than or equal to 1024")
        if thinking["budget_tokens"] >= most:
            raise refused("`max_tokens` must be greater than `thinking.budget_tokens`")
    choice = request.get("tool_choice") or {"type": "auto"}
    if choice["type"] in {"any", "tool"} and thinking["type"] in {"enabled", "adaptive"}:
        raise refused("Thinking may not be enabled when tool_choice forces tool use.")
    if request.get("tool_choice") and not request.get("tools"):
        raise refused("tool_choice: may only be specified while providing tools")
    for number, tool in enumerate(request.get("tools") or []):
        if tool.get("type", "custom") == "custom" and tool["input_schema"].get("type") != "object":
            raise refused(f"tools.{number}.custom.input_schema.type: Field required")


class _Answer:
    """The content of one answer, whichever way it is sent."""

    def __init__(self, request: dict[str, Any], behaviour: Behaviour, prompt: int) -> None:
        thinks = (request.get("thinking") or {}).get("type") in {"enabled", "adaptive"}
        self.thought = behaviour.reasoning if thinks else 0
        self.behaviour = dataclasses.replace(behaviour, reasoning=self.thought)
        self._prompt = prompt
        self._tool = _forced_tool(request, behaviour)
        self.stop_reason = "end_turn"
        self._stop_sequence: str | None = None
        if self._tool is not None:
            self.stop_reason = "tool_use"
            self._pieces = cut(json.dumps(fill(self._tool["input_schema"])), _ARGUMENT_PIECE)
        else:
            self._write(request, behaviour)
        self.tokens = len(self._pieces)
        self._head = {"id": "msg_" + ID.decode(), "type": "message", "role": "assistant", "model": request["model"]}

    def _write(self, request: dict[str, Any], behaviour: Behaviour) -> None:
        form = (request.get("output_config") or {}).get("format") or request.get("output_format")
        result = _tool_result(request) if behaviour.tool else ""
        if result:
            self._pieces = words(result)
        elif form:
            text = json.dumps(fill(form["schema"]))
            self._pieces = cut(text, max(1, -(-len(text) // max(1, behaviour.chunks))))
        else:
            self._pieces = [content_piece(index, behaviour) for index in range(behaviour.chunks)]
        for sequence in request.get("stop_sequences") or []:
            text = "".join(self._pieces)
            if sequence in text:
                kept = text[: text.index(sequence)]
                self._pieces = words(kept)
                self.stop_reason, self._stop_sequence = "stop_sequence", sequence
        if request["max_tokens"] < len(self._pieces):
            self._pieces = self._pieces[: request["max_tokens"]]
            self.stop_reason = "max_tokens"
        if behaviour.code == "refusal":
            self._pieces, self.stop_reason = [], "refusal"

    def usage(self, tokens: int) -> dict[str, Any]:
        behaviour = self.behaviour
        if behaviour.usage == "zero":
            return {"input_tokens": 0, "output_tokens": 0}
        written = behaviour.cache_write + behaviour.cache_write_1h
        usage: dict[str, Any] = {
            "input_tokens": self._prompt - behaviour.cached - written,
            "cache_read_input_tokens": behaviour.cached,
            "cache_creation_input_tokens": written,
            "cache_creation": {
                "ephemeral_5m_input_tokens": behaviour.cache_write,
                "ephemeral_1h_input_tokens": behaviour.cache_write_1h,
            },
            "output_tokens": tokens + self.thought,
            "service_tier": "standard",
        }
        if self.thought:
            usage["output_tokens_details"] = {"thinking_tokens": self.thought}
        return usage

    @property
    def _thinking(self) -> str:
        return " ".join(f"t{number}" for number in range(self.thought))

    def plain(self) -> dict[str, Any]:
        content: list[dict[str, Any]] = []
        if self.thought:
            content.append({"type": "thinking", "thinking": self._thinking, "signature": SIGNATURE})
        text = "".join(self._pieces)
        if self._tool is not None:
            content.append({"type": "tool_use", **self._call, "input": json.loads(text)})
        elif text:
            content.append({"type": "text", "text": text})
        stop = {"stop_reason": self.stop_reason, "stop_sequence": self._stop_sequence}
        told = {} if self.behaviour.usage == "missing" else {"usage": self.usage(self.tokens)}
        return {**self._head, "content": content, **stop, **told}

    @property
    def _call(self) -> dict[str, str]:
        assert self._tool is not None
        return {"id": "toolu_" + ID.decode(), "name": self._tool["name"]}

    def events(self) -> list[Event]:
        missing = self.behaviour.usage == "missing"
        begun = {} if missing else {"usage": self.usage(1 - self.thought)}
        message = {**self._head, "content": [], "stop_reason": None, "stop_sequence": None, **begun}
        events = [_event("message_start", message=message), _event("ping")]
        index = 0
        if self.thought:
            block = {"type": "thinking", "thinking": "", "signature": ""}
            signed = {"type": "signature_delta", "signature": SIGNATURE}
            events += [
                _event("content_block_start", index=0, content_block=block),
                _event("content_block_delta", index=0, delta={"type": "thinking_delta", "thinking": self._thinking}),
                _event("content_block_delta", index=0, delta=signed),
                _event("content_block_stop", index=0),
            ]
            index = 1
        if self._pieces:
            events += self._block(index)
        delta = {"stop_reason": self.stop_reason, "stop_sequence": self._stop_sequence}
        told = {} if missing else {"usage": self.usage(self.tokens)}
        return [*events, _event("message_delta", delta=delta, **told), _event("message_stop")]

    def _block(self, index: int) -> list[Event]:
        tool = self._tool is not None
        block = {"type": "tool_use", **self._call, "input": {}} if tool else {"type": "text", "text": ""}
        events = [_event("content_block_start", index=index, content_block=block)]
        if tool:  # as the real one begins
            events.append(_event("content_block_delta", index=index, delta=_delta("", tool=True)))
        events += [
            _event("content_block_delta", 1, number, index=index, delta=_delta(piece, tool=tool))
            for number, piece in enumerate(self._pieces)
        ]
        return [*events, _event("content_block_stop", index=index)]


def _delta(piece: str, *, tool: bool) -> dict[str, str]:
    return {"type": "input_json_delta", "partial_json": piece} if tool else {"type": "text_delta", "text": piece}


def _event(type: str, tokens: int = 0, number: int = -1, /, **facts: Any) -> Event:
    return Event(_encode({"type": type, **facts}), tokens, number, type.encode())


def _forced_tool(request: dict[str, Any], behaviour: Behaviour) -> dict[str, Any] | None:
    tools = [tool for tool in request.get("tools") or [] if tool.get("type", "custom") == "custom"]
    choice = request.get("tool_choice") or {"type": "auto"}
    if choice["type"] == "tool":
        for tool in tools:
            if tool["name"] == choice["name"]:
                return dict(tool)
        raise refused(f"tool_choice: Tool '{choice['name']}' not found in provided tools")
    if tools and (
        choice["type"] == "any"
        or (choice["type"] == "auto" and calls_tool(behaviour, request["messages"], "tool_result"))
    ):
        return dict(next((tool for tool in tools if tool["name"] == behaviour.tool), tools[0]))
    return None


def _tool_result(request: dict[str, Any]) -> str:
    """What the tools of the last turn found; empty when it was no tool that spoke last."""
    content = request["messages"][-1]["content"]
    blocks = [block for block in content if block["type"] == "tool_result"] if isinstance(content, list) else []
    return " ".join(text for block in blocks for text in _texts(block.get("content"), "content"))
