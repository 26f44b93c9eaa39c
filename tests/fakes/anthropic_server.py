"""A fake Anthropic: a loopback server that speaks the Messages API, misbehaves and counts.

    python -m tests.fakes.anthropic_server --port 0 --count-file /tmp/count.jsonl

The server, its directives, its control and its count are the fake OpenAI's (``openai_server``); what it says is in
``anthropic_wire``.
"""

from __future__ import annotations

import msgspec

from tests.fakes import anthropic_wire as wire
from tests.fakes.behaviour import Behaviour
from tests.fakes.openai_server import Api, main
from tests.fakes.openai_wire import Event


class AnthropicApi(Api):
    models = wire.MODELS
    plans = {"/v1/messages": wire.messages_plan, "/v1/messages/count_tokens": wire.count_plan}  # noqa: RUF012
    request_id_header = "request-id"
    end = None
    cut_utf8 = Event(
        b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"\xf0\x9f',
        name=b"content_block_delta",
    )
    malformed = Event(b'{"type": "content_block_delta", "delta": [}', name=b"content_block_delta")

    def credential(self, method: str, url: str, headers: list[tuple[bytes, bytes]], body: bytes) -> str:
        keys = (value for name, value in headers if name == b"x-api-key")
        return next(keys, b"").decode("latin-1") or super().credential(
            method, url, headers, body
        )  # its clients show a bearer token

    def check_headers(self, headers: list[tuple[bytes, bytes]]) -> None:
        versions = [value for name, value in headers if name == b"anthropic-version"]
        if len(versions) != 1 or versions[0] not in (b"2023-06-01", b"2026-10-21"):
            raise wire.refused("anthropic-version: a valid version is required, once")

    def models_body(self, names: tuple[str, ...]) -> bytes:
        return wire.models_body(names)

    def model_body(self, name: str) -> bytes:
        return msgspec.json.encode(wire.model_object(name))

    def error_body(self, status: int, message: str, *, param: str | None = None, code: str | None = None) -> bytes:
        return wire.error_body(status, message)

    def failure_body(self, status: int, behaviour: Behaviour) -> tuple[bytes, str]:
        return wire.failure_body(status, behaviour)

    def error_event(self, behaviour: Behaviour) -> Event:
        return Event(wire.error_body(529, "Overloaded"), name=b"error")


if __name__ == "__main__":
    main(api=AnthropicApi())
