"""What is no answer although its status says so: read as the error that it is, whichever API speaks."""

from __future__ import annotations

import json

import httpx
import pytest
from msgspec import Raw

from apps.models.providers.adapters import make_adapters
from apps.models.providers.base import Operation, ProviderError, Target, UpstreamCall

BUSY = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
TARGET = Target("http://127.0.0.1:1", "m", "sk-fake", (("region", "eu-central-1"),))


@pytest.mark.parametrize(
    ("kind", "operation", "body", "error", "words"),
    [
        ("openai", "chat.completions", {"error": {"message": "Out of luck", "code": 503}}, "overloaded", "Out of luck"),
        ("openai", "chat.completions", {"error": {"message": "Slow", "code": 429}}, "rate_limited", "Slow"),
        ("openai", "chat.completions", {"error": "No"}, "overloaded", "No"),
        ("openai", "chat.completions", {"error": {}}, "overloaded", "answered 200 with an error"),
        ("openai", "chat.completions", {"detail": "no such thing"}, "malformed", "choices"),
        ("openai", "embeddings", {"error": {"message": "No", "type": "invalid_request_error"}}, "caller", "No"),
        ("openai", "embeddings", {}, "malformed", "data"),
        ("openai", "responses", {"status": "failed", "error": {"message": "No"}, "output": []}, "overloaded", "No"),
        ("openai", "responses", {"error": {"message": "Slow", "code": "rate_limit_exceeded"}}, "rate_limited", "Slow"),
        ("openai", "messages", {"error": {"message": "Slow", "code": 429}}, "rate_limited", "Slow"),
        ("openai", "converse", {"detail": "no"}, "malformed", "choices"),
        ("openai", "rerank", {"error": {"message": "No", "code": 500}}, "overloaded", "No"),
        ("openai", "audio.speech", {"error": {"message": "No", "code": 500}}, "overloaded", "No"),
        ("anthropic", "messages", BUSY, "overloaded", "Overloaded"),
        ("anthropic", "chat.completions", BUSY, "overloaded", "Overloaded"),
        ("anthropic", "messages", {"id": "m"}, "malformed", "content"),
        ("anthropic", "chat.completions", {"id": "m"}, "malformed", "content"),
        ("bedrock", "converse", {"message": "No"}, "malformed", "output"),
    ],
)
def test_an_error_is_one_whatever_its_status_says(
    kind: str, operation: Operation, body: dict[str, object], error: str, words: str
) -> None:
    """Some routers answer 200 all the same, to a stream, too."""
    sent, headers = json.dumps(body).encode(), httpx.Headers({"content-type": "application/json; charset=utf-8"})
    adapter = make_adapters()[kind]
    for stream in (False, True):
        if stream and operation in ("embeddings", "rerank"):
            continue  # neither streams
        call = UpstreamCall(operation, {"model": Raw(b'"m"'), "input": Raw(b'"Hi"')}, stream=stream, model="m")
        decoder = adapter.stream_decoder(TARGET, call, headers) if stream else None
        if decoder is not None:
            assert decoder.feed(sent[:5]) + decoder.feed(sent[5:]) == b""
        with pytest.raises(ProviderError) as caught:
            _ = decoder.end() if decoder is not None else adapter.parse(TARGET, call, headers, sent)
        assert (caught.value.kind, words in caught.value.message) == (error, True), caught.value
        assert caught.value.retryable is (error != "caller")
        assert (caught.value.phase == "answer") is (error != "malformed")
