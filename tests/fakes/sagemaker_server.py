"""A fake Amazon SageMaker runtime: containers behind InvokeEndpoint and its response stream; it misbehaves and counts.

    python -m tests.fakes.sagemaker_server --port 0 --count-file /tmp/count.jsonl

A body with ``messages`` gets the answer of an OpenAI-shaped container, one with ``inputs`` that of TGI's generate API.
Server, directives and count are the fake OpenAI's (``openai_server``); callers sign as for the fake Bedrock.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

import msgspec

from tests.fakes import aws_frames, openai_wire
from tests.fakes.aws_models import Refused, check, service
from tests.fakes.bedrock_server import Headers, Maker, signed_by
from tests.fakes.behaviour import Behaviour
from tests.fakes.openai_server import Api, main
from tests.fakes.openai_wire import Event, Plan, RequestError, failure_body

_PATH = re.compile(r"/endpoints/([^/]+)/invocations(-response-stream)?")
_EXCEPTION, _CUT = b"!", b"~"
_encode = msgspec.json.Encoder().encode


def _error(message: str) -> bytes:
    return _encode({"Message": message})


def _plan(endpoint: str, body: bytes, mode: str, *, stream: bool) -> Plan:
    members = service("sagemaker-runtime").operation_model("InvokeEndpoint").input_shape.members
    try:
        check(members["EndpointName"], endpoint, "EndpointName")
    except Refused as error:
        raise RequestError(400, _error(str(error))) from None
    request = json.loads(body)
    if not isinstance(request, dict) or bool(request.get("stream")) != stream:
        raise RequestError(400, _error("The container's stream and the operation's do not agree."))
    if "inputs" in request:
        return _tgi_plan(endpoint, request, mode, stream=stream)
    if "input" in request:
        return openai_wire.embeddings_plan(body, mode)
    return openai_wire.chat_plan(body, mode)


def _tgi_plan(endpoint: str, request: dict[str, Any], mode: str, *, stream: bool) -> Plan:
    parameters = request.get("parameters") or {}
    unknown = set(request) - {"inputs", "parameters", "stream"} | set(parameters) - {
        "max_new_tokens", "temperature", "top_p", "top_k", "stop", "seed", "frequency_penalty", "do_sample",
        "return_full_text", "details", "decoder_input_details",
    }  # fmt: skip
    if unknown or (stream and parameters.get("decoder_input_details")):
        raise RequestError(422, _error(f"unknown or not for a stream: {sorted(unknown)}"))
    asked: dict[str, Any] = {
        "model": endpoint,
        "messages": [{"role": "user", "content": request["inputs"]}],
        "stream": stream,
    }
    if stream:
        asked["stream_options"] = {"include_usage": True}
    if parameters.get("max_new_tokens"):
        asked["max_tokens"] = parameters["max_new_tokens"]
    plan = openai_wire.chat_plan(_encode(asked), mode)
    facts = (endpoint, stream, plan.behaviour, plan.prompt_tokens, plan.completion_tokens)
    if stream:
        return Plan(*facts, b"", tuple(_tokens(plan)), True)
    choice = json.loads(plan.body)["choices"][0]
    details: dict[str, Any] = _details(choice["finish_reason"], plan)
    details["prefill"] = [{"id": 1, "text": "w", "logprob": None}] * plan.prompt_tokens
    return Plan(*facts, _encode([{"generated_text": choice["message"]["content"], "details": details}]), (), True)


def _details(finish: str, plan: Plan) -> dict[str, Any]:
    reason = {"stop": "eos_token"}.get(finish, finish)
    return {"finish_reason": reason, "generated_tokens": plan.completion_tokens, "input_length": plan.prompt_tokens}


def _tokens(plan: Plan) -> Iterator[Event]:
    held: Event | None = None
    text = ""
    for each in plan.events:
        for choice in json.loads(each.data)["choices"]:
            piece = choice["delta"].get("content")
            if piece:
                if held is not None:
                    yield held
                text += piece
                held = _token(piece, each)
            if choice["finish_reason"]:
                end = {"generated_text": text, "details": _details(choice["finish_reason"], plan)}
                if held is not None:
                    yield held
                yield Event(_encode({"token": {"id": 2, "text": "</s>", "special": True}, **end}))


def _token(piece: str, of: Event) -> Event:
    token = {"id": 1, "text": piece, "logprob": -0.1, "special": False}
    return Event(_encode({"token": token, "generated_text": None, "details": None}), of.tokens, of.index)


class Paths(Mapping[str, Maker]):
    def __getitem__(self, path: str) -> Maker:
        match = _PATH.fullmatch(path)
        if match is None:
            raise KeyError(path)
        return functools.partial(_plan, unquote(match[1]), stream=match[2] is not None)

    def __iter__(self) -> Iterator[str]:
        raise NotImplementedError

    def __len__(self) -> int:
        raise NotImplementedError


class SageMakerApi(Api):
    models = ("fake-endpoint",)
    plans: Mapping[str, Maker] = Paths()
    request_id_header = "x-amzn-requestid"
    stream_type = "application/vnd.amazon.eventstream"
    unknown_caller = 403
    checked = True
    cut_utf8 = Event(Api.cut_utf8.data, name=_CUT)

    def credential(self, method: str, url: str, headers: Headers, body: bytes) -> str:
        return signed_by("sagemaker", method, url, headers, body)

    def framed(self, event: Event, behaviour: Behaviour) -> bytes:
        if event.name.startswith(_EXCEPTION):
            return aws_frames.exception(event.name[1:].decode(), event.data)
        text = b"data: " + event.data + (b"" if event.name == _CUT else b"\n\n")
        # A part need not end where an event does.
        parts = (text[: len(text) // 2], text[len(text) // 2 :])
        return b"".join(aws_frames.event("PayloadPart", part, "application/octet-stream") for part in parts)

    def headers(self, status: int, plan: Plan | None = None) -> str:
        if status != 200:
            name = {429: "ThrottlingException"}.get(status, "ValidationError" if status < 424 else "ServiceUnavailable")
            return f"x-amzn-errortype: {name}\r\n"
        stream = plan is not None and plan.stream
        return "x-amzn-sagemaker-content-type: text/event-stream\r\n" if stream else ""

    def error_body(self, status: int, message: str, *, param: str | None = None, code: str | None = None) -> bytes:
        return _error(message)

    def failure_body(self, status: int, behaviour: Behaviour) -> tuple[bytes, str]:
        if behaviour.body != "openai":
            return failure_body(status, behaviour)
        return _error(f"Fault on demand: {status}"), "application/json"

    def error_event(self, behaviour: Behaviour) -> Event:
        body = _encode(
            {"Message": "The container had an error while it answered", "ErrorCode": "ModelInvocationTimeout"}
        )
        return Event(body, name=_EXCEPTION + b"ModelStreamError")


if __name__ == "__main__":
    main(api=SageMakerApi())
