"""A fake Amazon Bedrock: a loopback server that speaks Converse and InvokeModel, misbehaves and counts.

    python -m tests.fakes.bedrock_server --port 0 --count-file /tmp/count.jsonl

The server, its directives, its control and its count are the fake OpenAI's (``openai_server``); what it says is in
``bedrock_wire``. A caller shows a signature, made with the secret ``aws_models.secret_of(access key id)``, or any
Bedrock API key as a bearer token; the count has the access key id, or the key, as the credential.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Mapping
from urllib.parse import unquote

from tests.fakes import aws_frames
from tests.fakes import bedrock_wire as wire
from tests.fakes.aws_models import Refused, signer_of
from tests.fakes.behaviour import Behaviour
from tests.fakes.openai_server import Api, main
from tests.fakes.openai_wire import Event, Plan, failure_body

Maker = Callable[[bytes, str], Plan]
Headers = list[tuple[bytes, bytes]]

_PATH = re.compile(r"/model/([^/]+)/(converse|invoke)(-stream|-with-response-stream)?")
_EXCEPTION, _CUT = b"!", b"~"
"""They mark the name of an event that is an exception, or that breaks off."""


class Paths(Mapping[str, Maker]):
    """How each address is answered: the model is part of it."""

    def __getitem__(self, path: str) -> Maker:
        match = _PATH.fullmatch(path)
        if match is None or match[3] not in (None, {"converse": "-stream"}.get(match[2], "-with-response-stream")):
            raise KeyError(path)
        make = wire.converse_plan if match[2] == "converse" else wire.invoke_plan
        return functools.partial(make, unquote(match[1]), stream=match[3] is not None)

    def __iter__(self) -> Iterator[str]:
        raise NotImplementedError

    def __len__(self) -> int:
        raise NotImplementedError


def signed_by(service: str, method: str, url: str, headers: Headers, body: bytes) -> str:
    """The access key id that a request is signed with; empty when it is not, or not well."""
    named = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}
    try:
        key, signed_for, _ = signer_of(method, f"http://{named['host']}{url}", named, body)
    except Refused:
        return ""
    return key if signed_for == service else ""


class BedrockApi(Api):
    models = wire.MODELS
    models_path = "/foundation-models"
    plans: Mapping[str, Maker] = Paths()
    request_id_header = "x-amzn-requestid"
    stream_type = "application/vnd.amazon.eventstream"
    unknown_caller = 403
    checked = True
    end = None
    cut_utf8 = Event(b'{"contentBlockIndex":0,"delta":{"text":"\xf0\x9f', name=b"~contentBlockDelta")
    malformed = Event(b'{"contentBlockIndex":0,"delta": [}', name=b"contentBlockDelta")

    def credential(self, method: str, url: str, headers: Headers, body: bytes) -> str:
        shown = super().credential(method, url, headers, body)
        if method == "GET" or not shown.startswith("AWS4-HMAC-SHA256"):
            return shown
        return signed_by("bedrock", method, url, headers, body)

    def framed(self, event: Event, behaviour: Behaviour) -> bytes:
        name = event.name.decode()
        if event.name.startswith(_EXCEPTION):
            return aws_frames.exception(name[1:], event.data)
        if event.name.startswith(_CUT):
            return aws_frames.event(name[1:], event.data)[:-4]
        return aws_frames.event(name, event.data)

    def headers(self, status: int, plan: Plan | None = None) -> str:
        if status != 200:
            return f"x-amzn-errortype: {wire.error_name(status)}:http://internal.amazon.com/\r\n"
        if plan is None or plan.stream or plan.behaviour.usage == "missing":
            return ""
        counts = {"input": plan.prompt_tokens, "output": plan.completion_tokens}
        return "".join(f"x-amzn-bedrock-{kind}-token-count: {count}\r\n" for kind, count in counts.items())

    def models_body(self, names: tuple[str, ...]) -> bytes:
        return wire.models_body(names)

    def error_body(self, status: int, message: str, *, param: str | None = None, code: str | None = None) -> bytes:
        return wire.error_body(message)

    def failure_body(self, status: int, behaviour: Behaviour) -> tuple[bytes, str]:
        if behaviour.body != "openai":
            return failure_body(status, behaviour)
        return wire.error_body(f"Fault on demand: {status}"), "application/json"

    def error_event(self, behaviour: Behaviour) -> Event:
        name = behaviour.code or "modelStreamErrorException"
        return Event(wire.error_body("The model had an error while it answered"), name=_EXCEPTION + name.encode())


if __name__ == "__main__":
    main(api=BedrockApi())
