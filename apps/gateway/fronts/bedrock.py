"""Amazon Bedrock's runtime as a front: Converse and InvokeModel, for the official SDKs with another ``endpoint_url``.

The model's name stands in the path, percent-encoded, and is Lobby's own name of it. Options to Lobby itself, which the
SDKs would not send beside the API's own fields, may stand in ``additionalModelRequestFields``.

Source: the public API reference of Amazon Bedrock Runtime.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote

import msgspec
from msgspec import Raw

from apps.gateway.errors import GatewayError, InvalidRequest
from apps.gateway.fronts.base import JSON, Arrived, Front, Header, Options, Parsed, PromptReference
from apps.gateway.fronts.messages import MessagesFront
from apps.gateway.fronts.openai import TOKENS_PER_IMAGE, TOKENS_PER_NAMED_FILE, USUAL_TOKENS_PER_IMAGE
from apps.gateway.fronts.parsing import parse_json, shown_headers
from apps.models.providers.aws import eventstream
from apps.models.providers.base import Operation
from apps.models.providers.dialects.converse import wire
from apps.models.providers.dialects.invoke.shapes import maximum, shape_of

PREFIX = "/model/"
PATHS = tuple(
    f"{PREFIX}{{id}}/{verb}" for verb in ("converse", "converse-stream", "invoke", "invoke-with-response-stream")
)
_PATH = re.compile(r"/model/(?P<model>.+)/(?P<verb>converse|invoke)(?P<stream>-stream|-with-response-stream)?")
_STREAMS = {"converse": "-stream", "invoke": "-with-response-stream"}
_MAX_NAME = 200
_BOUNDED = ("messages", "system", "toolConfig", "outputConfig", "additionalModelRequestFields", "promptVariables")
# Of the caller's, what InvokeModel is shown.
_PASSED_HEADERS = (
    b"accept",
    b"x-amzn-bedrock-accept",
    b"x-amzn-bedrock-trace",
    b"x-amzn-bedrock-guardrailidentifier",
    b"x-amzn-bedrock-guardrailversion",
    b"x-amzn-bedrock-performanceconfig-latency",
    b"x-amzn-bedrock-service-tier",
    b"x-amzn-bedrock-request-metadata",
)


class _Own(msgspec.Struct):
    """Options to Lobby itself, in a body that is otherwise the model maker's own."""

    lobby: Options | None = None


class _ConverseBody(wire.ConverseRequest):
    lobby: Options | None = None
    prompt: PromptReference | None = None


class _Error(msgspec.Struct, omit_defaults=True):
    message: str
    code: str | None = None  # Lobby's own
    param: str | None = None


_decode_converse = msgspec.json.Decoder(_ConverseBody).decode
_decode_own = msgspec.json.Decoder(_Own).decode
_encode = msgspec.json.Encoder().encode
_MESSAGES = MessagesFront()


@dataclass(frozen=True, slots=True)
class BedrockRequest:
    operation: Operation
    model: str
    streams: bool
    max_output: int | None
    lobby: Options | None = None
    prompt: PromptReference | None = None
    choices: int = 1
    wants_usage: bool = True
    bounds: tuple[int, int] = (0, 0)


# By the status; SDKs pick their exception by the name. Those that a stream can tell are its members, too.
_NAMES = {
    400: "ValidationException",
    401: "UnrecognizedClientException",
    402: "AccessDeniedException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    408: "ModelTimeoutException",
    429: "ThrottlingException",
    500: "InternalServerException",
    502: "ModelErrorException",
    503: "ServiceUnavailableException",
    504: "ModelTimeoutException",
    529: "ServiceUnavailableException",
}
_IN_STREAM = {
    "ValidationException": "validationException",
    "ThrottlingException": "throttlingException",
    "InternalServerException": "internalServerException",
    "ServiceUnavailableException": "serviceUnavailableException",
}
# Trying again does not help against these, and SDKs do try throttled requests again.
_QUOTAS = frozenset({"budget_exceeded", "request_over_limit"})
_AWS_CODE = re.compile(r"[A-Z][A-Za-z]+")


class AwsErrors:
    """Errors in the shape of AWS, whose SDKs read the name in a header."""

    stream_type = eventstream.MEDIA_TYPE.encode()
    request_id_header = b"x-amzn-requestid"

    def error(self, error: GatewayError, request_id: str) -> tuple[list[Header], bytes]:
        name = _name(error)
        return [(b"content-type", JSON), (b"x-amzn-errortype", name.encode())], _body(error)

    def error_event(self, error: GatewayError, request_id: str) -> bytes:
        name = _IN_STREAM.get(_name(error), "modelStreamErrorException")
        return eventstream.exception(name, _body(error))


def _name(error: GatewayError) -> str:
    if error.code in _QUOTAS:
        return "ServiceQuotaExceededException"
    if error.status == 401 and _AWS_CODE.fullmatch(error.code):
        return error.code
    return _NAMES.get(error.status, "ValidationException" if error.status < 500 else "InternalServerException")


def _body(error: GatewayError) -> bytes:
    return _encode(_Error(error.message, error.code, error.param))


class ConverseFront(AwsErrors):
    operation: Operation = "converse"
    media_types = frozenset({JSON})

    def parse(self, arrived: Arrived) -> Parsed:
        model, streams = _asked(arrived.path)
        body, fields = parse_json(_decode_converse, arrived.body)
        if not body.messages and body.prompt is None:
            raise InvalidRequest(
                "'messages' is missing: send at least one message.", param="messages", code="missing_field"
            )
        lobby, more = body.lobby, body.additionalModelRequestFields or {}
        if lobby is None and "lobby" in more:
            lobby = _own({"lobby": more["lobby"]}).lobby
        config = body.inferenceConfig
        request = BedrockRequest(
            "converse",
            model,
            streams,
            config.maxTokens if config is not None else None,
            lobby,
            body.prompt,
            bounds=_converse_bounds(body, fields),
        )
        return Parsed(request, fields)

    def bounds(self, parsed: Parsed) -> tuple[int, int]:
        assert isinstance(parsed.request, BedrockRequest)
        return parsed.request.bounds


class InvokeFront(AwsErrors):
    operation: Operation = "invoke"
    media_types = frozenset({JSON, b"application/octet-stream", b"*/*"})  # of a body that is JSON all the same

    def parse(self, arrived: Arrived) -> Parsed:
        model, streams = _asked(arrived.path)
        body, fields = parse_json(_decode_own, arrived.body)
        content = arrived.body
        if body.lobby is not None:
            fields.pop("lobby")
            content = _encode(fields)
        if shape_of(fields) == "messages":  # then its fields are known, and what an image is
            asked = _MESSAGES.parse(Arrived("", {}, _encode({"model": model, **fields})))
            bounds = _MESSAGES.bounds(asked)
        else:
            bounds = len(content), max(1, len(content) // 4)
        request = BedrockRequest("invoke", model, streams, maximum(fields), body.lobby, bounds=bounds)
        return Parsed(request, fields, content=content, headers=shown_headers(arrived, _PASSED_HEADERS))

    def bounds(self, parsed: Parsed) -> tuple[int, int]:
        assert isinstance(parsed.request, BedrockRequest)
        return parsed.request.bounds


_FRONTS: dict[str, Front] = {"converse": ConverseFront(), "invoke": InvokeFront()}


def find(path: str) -> Front | None:
    match = _PATH.fullmatch(path) if path.startswith(PREFIX) else None
    if match is None or match["stream"] not in (None, _STREAMS[match["verb"]]):
        return None
    return _FRONTS[match["verb"]]


def _asked(path: str) -> tuple[str, bool]:
    """(model, whether a stream) of a path that was found."""
    match = _PATH.fullmatch(path)
    assert match is not None
    model = unquote(match["model"])
    if len(model) > _MAX_NAME:
        raise InvalidRequest(f"The model's name is longer than {_MAX_NAME} characters.", param="modelId")
    return model, match["stream"] is not None


def _own(fields: dict[str, Raw]) -> _Own:
    own, _ = parse_json(_decode_own, _encode(fields))
    return own


def _converse_bounds(body: wire.ConverseRequest, fields: dict[str, Raw]) -> tuple[int, int]:
    """As ``openai.input_bounds``: bytes bound texts and files, an image is bounded whatever its bytes."""
    size = sum(len(bytes(fields[name])) for name in _BOUNDED if name in fields)
    bound = estimate = 0
    for kind, media in _media(body):
        if media.source.s3Location is not None:
            bound += TOKENS_PER_NAMED_FILE
        elif kind == "image":
            size -= len(media.source.bytes or "")
        if kind == "image":
            bound += TOKENS_PER_IMAGE
            estimate += USUAL_TOKENS_PER_IMAGE
    return bound + size, estimate + max(1, size // 4)


def _media(body: wire.ConverseRequest) -> Iterable[tuple[str, wire.Media]]:
    for message in body.messages:
        for block in message.content:
            results = block.toolResult.content if block.toolResult is not None else []
            guarded = [block.guardContent] if block.guardContent is not None else []
            for each in (block, *results, *guarded):
                for kind in ("image", "document", "audio"):
                    media = getattr(each, kind, None)
                    if media is not None:
                        yield kind, media
