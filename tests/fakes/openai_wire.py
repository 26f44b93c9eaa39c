"""What the fake OpenAI upstream says: requests read, answers and errors built in OpenAI's wire format.

Everything is deterministic. ``prompt_tokens`` is the number of words (text between blanks) in the text of all messages,
or in all inputs of an embeddings request (a list of token numbers counts its numbers); images and tools count nothing.
Each content chunk, and each piece of a tool call's arguments, is one completion token, in plain answers as in streams;
with ``n`` choices each counts.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import struct
import time
from typing import Any, Final

import msgspec

from tests.fakes.behaviour import Behaviour, DirectiveError, directives_in, parse

ID: Final = b"@@response-id@@@"
"""Stands for the response's number in a prepared answer; replaced by one of the same length."""
STAMP: Final = b"0@0000000000000000000"
_STAMP_TEXT: Final = STAMP.decode()
MODELS: Final = ("fake-chat", "fake-chat-mini", "fake-embed")
_ARGUMENT_PIECE: Final = 5
_MAX_DEPTH: Final = 12

encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class RequestError(Exception):
    """The request is answered with an error, whose ``body`` is in the shape of the API."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(body)
        self.status = status
        self.body = body


@dataclasses.dataclass(frozen=True, slots=True)
class Event:
    """One server-sent event of a stream: its JSON, and the completion tokens it carries."""

    data: bytes
    tokens: int = 0
    index: int = -1
    """The number of the content chunk, where it is to be stamped."""
    name: bytes = b""
    """The event's type, in the APIs that name it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """A request as understood, and the whole answer to it."""

    model: str
    stream: bool
    behaviour: Behaviour
    prompt_tokens: int
    completion_tokens: int
    body: bytes = b""
    """A plain answer."""
    events: tuple[Event, ...] = ()
    """A streamed answer, without what announces its end where that is no event of the answer (``Api.end``)."""
    usage_sent: bool = False
    content_type: str = "application/json"
    """Of a plain answer."""


def error_body(status: int, message: str, *, param: str | None = None, code: str | None = None) -> bytes:
    """An error in OpenAI's shape, with the type and code it uses for such a status."""
    kind = {
        401: "authentication_error",
        403: "permission_error",
        404: "not_found_error",
        429: "rate_limit_error",
        500: "server_error",
        502: "server_error",
        503: "server_error",
        504: "server_error",
    }.get(status, "invalid_request_error")
    default = {401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded"}.get(status)
    return encode({"error": {"message": message, "type": kind, "param": param, "code": code or default}})


def refused(status: int, message: str, *, param: str | None = None, code: str | None = None) -> RequestError:
    return RequestError(status, error_body(status, message, param=param, code=code))


def failure_body(status: int, behaviour: Behaviour) -> tuple[bytes, str]:
    """The body of an asked-for failure, and its content type."""
    if behaviour.body == "html":
        page = f"<html><head><title>{status}</title></head><body><h1>{status} Fault on demand</h1></body></html>"
        return page.encode(), "text/html"
    if behaviour.body == "text":
        return b"upstream connect error or disconnect/reset before headers", "text/plain"
    if behaviour.body == "empty":
        return b"", "application/json"
    return error_body(status, f"Fault on demand: {status}", code=behaviour.code or None), "application/json"


def read_json(body: bytes) -> dict[str, Any]:
    """The request's JSON object. Raises RequestError for anything else."""
    try:
        request = _decode(body)
    except msgspec.DecodeError as error:
        raise refused(400, f"We could not parse the JSON body of your request: {error}") from None
    if not isinstance(request, dict):
        raise refused(400, "The request's body must be a JSON object")
    if not isinstance(request.get("model"), str) or not request["model"]:
        raise refused(400, "you must provide a model parameter", param="model")
    return request


def chat_plan(body: bytes, mode: str = "") -> Plan:
    """The answer to a chat completion request. Raises RequestError."""
    request = read_json(body)
    messages = request.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(message, dict) for message in messages):
        raise refused(400, "'messages' must be a list of at least one message", param="messages")
    texts = [text for message in messages for text in texts_of(message.get("content"))]
    behaviour = behaviour_of(request, texts, mode)
    stream = bool(request.get("stream"))
    prompt_tokens = (
        behaviour.prompt_tokens if behaviour.prompt_tokens >= 0 else sum(len(text.split()) for text in texts)
    )
    answer = Answer(request, behaviour, prompt_tokens)
    usage = answer.usage(answer.tokens)
    with_usage = behaviour.usage != "missing"
    if stream:
        events = tuple(answer.events())
        asked = (request.get("stream_options") or {}).get("include_usage") is True
        sent = with_usage and (asked or behaviour.usage == "every")
        return Plan(request["model"], True, behaviour, prompt_tokens, usage["completion_tokens"], b"", events, sent)
    plain = answer.plain() | ({"usage": usage} if with_usage else {})
    return Plan(
        request["model"], False, behaviour, prompt_tokens, usage["completion_tokens"], encode(plain), (), with_usage
    )


def embeddings_plan(body: bytes, mode: str = "") -> Plan:
    """The answer to an embeddings request: unit vectors made from a hash of each input. Raises RequestError."""
    request = read_json(body)
    given = request.get("input")
    if isinstance(given, str):
        inputs: list[Any] = [given]
    elif isinstance(given, list) and given and all(isinstance(item, int) for item in given):
        inputs = [given]
    elif isinstance(given, list) and given and all(isinstance(item, str | list) for item in given):
        inputs = given
    else:
        raise refused(400, "'input' must be a string, or a list of strings or token numbers", param="input")
    behaviour = behaviour_of(request, [item for item in inputs if isinstance(item, str)], mode)
    tokens = sum(len(item.split()) if isinstance(item, str) else len(item) for item in inputs)
    tokens = behaviour.prompt_tokens if behaviour.prompt_tokens >= 0 else tokens
    as_base64 = request.get("encoding_format") == "base64"
    dimensions = request.get("dimensions") or 8
    vectors = [_vector(json.dumps(item), dimensions) for item in inputs]
    told = 0 if behaviour.usage == "zero" else tokens
    answer: dict[str, Any] = {
        "object": "list",
        "data": [
            {
                "object": "embedding",
                "index": index,
                "embedding": base64.b64encode(struct.pack(f"<{dimensions}f", *vector)).decode()
                if as_base64
                else vector,
            }
            for index, vector in enumerate(vectors)
        ],
        "model": request["model"],
    }
    with_usage = behaviour.usage != "missing"
    if with_usage:
        answer["usage"] = {"prompt_tokens": told, "total_tokens": told}
    return Plan(request["model"], False, behaviour, tokens, 0, encode(answer), (), with_usage)


def models_body(names: tuple[str, ...]) -> bytes:
    """The list of models."""
    return encode({"object": "list", "data": [model_object(name) for name in names]})


def model_object(name: str) -> dict[str, Any]:
    """One model, as GET /v1/models/{id} shows it."""
    return {"id": name, "object": "model", "created": 1_700_000_000, "owned_by": "fake"}


def content_piece(index: int, behaviour: Behaviour) -> str:
    """The text of a content chunk."""
    if behaviour.stamp:
        return _STAMP_TEXT + " "
    word = f"é{index}字🙂 " if behaviour.utf8 else f"w{index} "
    return word if len(word) >= behaviour.size else word.ljust(behaviour.size, "x")


class Answer:
    """The choices of one chat answer, whichever way they are sent."""

    def __init__(self, request: dict[str, Any], behaviour: Behaviour, prompt_tokens: int) -> None:
        self._behaviour = behaviour
        self._prompt_tokens = prompt_tokens
        self._choices: int = request.get("n") or 1
        self._logprobs = bool(request.get("logprobs"))
        self._include_usage = (request.get("stream_options") or {}).get("include_usage") is True
        self.tool = _forced_tool(request, behaviour)
        result = _tool_result(request) if behaviour.tool else ""
        self.finish_reason = "stop"
        if self.tool is not None:
            self.finish_reason = "tool_calls"
            self.pieces = cut(json.dumps(fill(self.tool.get("parameters") or {})), _ARGUMENT_PIECE)
        else:
            form = request.get("response_format") or {}
            if result:
                self.pieces = words(result)
            elif (
                behaviour.parrot
                and behaviour.parrot.casefold() in " ".join(texts_of(request["messages"][-1].get("content"))).casefold()
            ):
                said = [text for each in request["messages"] for text in texts_of(each.get("content"))]
                self.pieces = words("\n".join(said))
            elif form.get("type") == "json_schema":
                text = json.dumps(fill((form.get("json_schema") or {}).get("schema") or {}, choice=behaviour.choice))
                self.pieces = cut(text, max(1, -(-len(text) // max(1, behaviour.chunks))))
            elif form.get("type") == "json_object":
                self.pieces = cut('{"answer": "fake"}', 6)
            else:
                self.pieces = [content_piece(index, behaviour) for index in range(behaviour.chunks)]
            limit = request.get("max_completion_tokens") or request.get("max_tokens")
            if isinstance(limit, int) and limit < len(self.pieces):
                self.pieces = self.pieces[:limit]
                self.finish_reason = "length"
        self.tokens = len(self.pieces) * self._choices
        self._head = {
            "id": "chatcmpl-" + ID.decode(),
            "created": int(time.time()),
            "model": request["model"],
            "system_fingerprint": "fp_fake",
            "service_tier": "default",
        }

    def usage(self, tokens: int) -> dict[str, Any]:
        zero = self._behaviour.usage == "zero"
        prompt = 0 if zero else self._prompt_tokens
        completion = 0 if zero else tokens + self._behaviour.reasoning
        return {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": 0 if zero else self._behaviour.cached, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": 0 if zero else self._behaviour.reasoning,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        }

    def plain(self) -> dict[str, Any]:
        text = "".join(self.pieces)
        message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None, "annotations": []}
        if self.tool is not None:
            call = {"id": "call_" + ID.decode(), "type": "function", "function": self._call(text)}
            message |= {"content": None, "tool_calls": [call]}
        choice = {"message": message, "logprobs": self._logprob(self.pieces), "finish_reason": self.finish_reason}
        choices = [{"index": index} | choice for index in range(self._choices)]
        return self._head | {"object": "chat.completion", "choices": choices}

    def events(self) -> list[Event]:
        first: dict[str, Any] = {"role": "assistant", "content": "", "refusal": None}
        if self.tool is not None:
            call = {"index": 0, "id": "call_" + ID.decode(), "type": "function", "function": self._call("")}
            first |= {"content": None, "tool_calls": [call]}
        events = [self._event(choice, first) for choice in range(self._choices)]
        sent = 0
        for index, piece in enumerate(self.pieces):
            for choice in range(self._choices):
                sent += 1
                if self.tool is None:
                    delta: dict[str, Any] = {"content": piece}
                else:
                    delta = {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}
                events.append(
                    self._event(choice, delta, logprobs=self._logprob([piece]), tokens=1, index=index, sent=sent)
                )
        events += [
            self._event(choice, {}, finish_reason=self.finish_reason, sent=sent) for choice in range(self._choices)
        ]
        if self._include_usage and self._behaviour.usage != "missing":
            chunk = self._head | {"object": "chat.completion.chunk", "choices": [], "usage": self.usage(sent)}
            events.append(Event(encode(chunk)))
        return events

    def _event(
        self,
        choice: int,
        delta: dict[str, Any],
        *,
        finish_reason: str | None = None,
        logprobs: dict[str, Any] | None = None,
        tokens: int = 0,
        index: int = -1,
        sent: int = 0,
    ) -> Event:
        body = {"index": choice, "delta": delta, "logprobs": logprobs, "finish_reason": finish_reason}
        chunk: dict[str, Any] = self._head | {"object": "chat.completion.chunk", "choices": [body]}
        if self._behaviour.usage == "every":
            chunk["usage"] = self.usage(sent)
        elif self._include_usage:
            chunk["usage"] = None
        return Event(encode(chunk), tokens, index)

    def _call(self, arguments: str) -> dict[str, str]:
        assert self.tool is not None
        return {"name": self.tool["name"], "arguments": arguments}

    def _logprob(self, pieces: list[str]) -> dict[str, Any] | None:
        if not self._logprobs or self.tool is not None:
            return None
        content = [
            {"token": piece, "logprob": -0.25, "bytes": list(piece.encode()), "top_logprobs": []} for piece in pieces
        ]
        return {"content": content, "refusal": None}


def behaviour_of(request: dict[str, Any], texts: list[str], mode: str) -> Behaviour:
    """What the request asks for. Raises RequestError."""
    metadata = request.get("metadata")
    places = [request["model"].partition("@")[2]]
    places.append(str(metadata["fake"]) if isinstance(metadata, dict) and metadata.get("fake") else "")
    places += [directive for text in texts for directive in directives_in(text)]
    places.append(mode)
    behaviour = Behaviour()
    try:
        for place in places:
            behaviour = parse(place, behaviour)
    except DirectiveError as error:
        raise refused(400, str(error), code="bad_directive") from None
    return behaviour


def words(text: str) -> list[str]:
    """A text in pieces of a word each."""
    return [word + " " for word in text.split()]


def _tool_result(request: dict[str, Any]) -> str:
    """What the tools of the last turn found; empty when it was no tool that spoke last."""
    found: list[str] = []
    for message in reversed(request["messages"]):
        if message.get("role") != "tool":
            break
        found[:0] = texts_of(message.get("content"))
    return " ".join(found)


def texts_of(content: Any) -> list[str]:
    """The texts of a message's content: a string, or a list of parts."""
    if isinstance(content, str):
        return [content]
    if isinstance(content, list):
        return [part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str)]
    return []


def _forced_tool(request: dict[str, Any], behaviour: Behaviour) -> dict[str, Any] | None:
    """The function that the request makes the model call, if it does."""
    functions = [tool["function"] for tool in request.get("tools") or [] if tool.get("type") == "function"]
    choice = request.get("tool_choice")
    if isinstance(choice, dict):
        name = (choice.get("function") or {}).get("name")
        for function in functions:
            if function.get("name") == name:
                return dict(function)
        raise refused(400, f"Tool choice {name!r} is not among the tools", param="tool_choice")
    if functions and (
        choice == "required" or (choice != "none" and calls_tool(behaviour, request["messages"], "tool"))
    ):
        return dict(next((each for each in functions if each["name"] == behaviour.tool), functions[0]))
    return None


def calls_tool(behaviour: Behaviour, messages: list[dict[str, Any]], *marks: str) -> bool:
    """Whether the directive ``tool`` holds now: it was given outside of the messages, or in the last of them, and no
    tool has answered (``marks`` tell such a message by its role, or its blocks' type)."""
    last = messages[-1]
    content = last.get("content")
    blocks: list[dict[str, Any]] = content if isinstance(content, list) else []
    if not behaviour.tool or last.get("role") in marks or any(block.get("type") in marks for block in blocks):
        return False

    def asks(message: dict[str, Any]) -> bool:
        return any("tool" in each for text in texts_of(message.get("content")) for each in directives_in(text))

    return asks(last) or not any(map(asks, messages))


def cut(text: str, size: int) -> list[str]:
    return [text[start : start + size] for start in range(0, len(text), size)]


def fill(schema: Any, root: Any = None, depth: int = 0, choice: int = 0) -> Any:
    """A value that a JSON schema admits, as far as the keywords that tools and structured output use."""
    root = schema if root is None else root
    if not isinstance(schema, dict) or depth > _MAX_DEPTH:
        return None
    if isinstance(schema.get("$ref"), str):
        target = root
        for step in schema["$ref"].removeprefix("#").strip("/").split("/"):
            target = target.get(step, {}) if step and isinstance(target, dict) else target
        return fill(target, root, depth + 1, choice)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][choice % len(schema["enum"])]
    for union in ("anyOf", "oneOf", "allOf"):
        if schema.get(union):
            return fill(schema[union][0], root, depth + 1, choice)
    kind = schema.get("type")
    kind = kind[0] if isinstance(kind, list) and kind else kind
    if kind == "object" or (kind is None and "properties" in schema):
        return {name: fill(value, root, depth + 1, choice) for name, value in (schema.get("properties") or {}).items()}
    if kind == "array":
        return [fill(schema.get("items") or {}, root, depth + 1, choice) for _ in range(schema.get("minItems", 1))]
    if kind in {"integer", "number"}:
        return schema.get("minimum", 1)
    return {"string": "fake", "boolean": True}.get(kind or "")


def _vector(text: str, dimensions: int) -> list[float]:
    seed = hashlib.shake_256(text.encode()).digest(dimensions * 2)
    raw = [value / 32768 - 1 for value in struct.unpack(f"<{dimensions}H", seed)]
    norm = sum(value * value for value in raw) ** 0.5 or 1.0
    return [value / norm for value in raw]
