"""docs/compatibility.md: what each kind of provider takes, found out by asking its adapter.

    python -m tests.models.providers.conformance.matrix

writes it anew; test_matrix.py fails where it is stale. Nothing is called: an adapter prepares the request, and says
what it cannot say.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec import Raw

from apps.models.providers.base import Adapter, Operation, Target, Unreadable, UpstreamCall
from tests.models.providers.conformance.voices import PNG, SCHEMA

PAGE = Path(__file__).resolve().parents[4] / "docs" / "compatibility.md"
MARK = "vendor_extension"

_AWS = json.dumps({"access_key": "AKIAEXAMPLEEXAMPLE00", "secret_key": "secret", "token": ""})
_REGION = (("region", "eu-central-1"),)
CLAUDE = "anthropic.claude-sonnet-4-5-20250929-v1:0"


def _target(base_url: str, model: str, credential: str = "key", settings: tuple[tuple[str, str], ...] = ()) -> Target:
    return Target(base_url, model, credential, settings, max_output_tokens=64_000)


# A column each: the name, the kind of provider, and an endpoint as it is usually set up.
PROVIDERS: tuple[tuple[str, str, Target], ...] = (
    ("OpenAI", "openai", _target("https://api.openai.com/v1", "gpt-5")),
    ("Azure OpenAI", "azure_openai", _target("https://x.openai.azure.com", "gpt", settings=(("api_version", "v1"),))),
    ("Anthropic", "anthropic", _target("https://api.anthropic.com", "claude-sonnet-4-5")),
    ("Bedrock", "bedrock", _target("https://bedrock-runtime.eu-central-1.amazonaws.com", CLAUDE, _AWS, _REGION)),
    (
        "SageMaker",
        "sagemaker",
        _target(
            "https://runtime.sagemaker.eu-central-1.amazonaws.com", "llama", _AWS, (*_REGION, ("container", "openai"))
        ),
    ),
    ("Gemini", "gemini", _target("https://generativelanguage.googleapis.com/v1beta/openai", "gemini-2.5-flash")),
    ("OpenAI-compatible", "openai_compatible", _target("http://localhost:8000/v1", "qwen3")),
    ("Sandbox", "sandbox", _target("sandbox:", "sandbox-chat")),
)

_HELLO = [{"role": "user", "content": "Hello"}]
_CLAUDE = {"messages": _HELLO, "max_tokens": 9}
# A row each: the address, the operation, and a small request.
FRONTS: tuple[tuple[str, Operation, dict[str, Any]], ...] = (
    ("/v1/chat/completions", "chat.completions", {"messages": _HELLO}),
    ("/v1/responses", "responses", {"input": "Hello", "store": False}),
    ("/v1/messages", "messages", _CLAUDE),
    ("/v1/messages/count_tokens", "count_tokens", {"messages": _HELLO}),
    ("/model/{id}/converse", "converse", {"messages": [{"role": "user", "content": [{"text": "Hello"}]}]}),
    ("/model/{id}/invoke", "invoke", {**_CLAUDE, "anthropic_version": "bedrock-2023-05-31"}),
    ("/v1/embeddings", "embeddings", {"input": "Hello"}),
    ("/v1/rerank", "rerank", {"query": "a", "documents": ["a"]}),
    ("/v1/images/generations", "images.generations", {"prompt": "a cat"}),
    ("/v1/audio/transcriptions", "audio.transcriptions", {}),
    ("/v1/audio/speech", "audio.speech", {"input": "Hello"}),
    ("/v1/moderations", "moderations", {"input": "Hello"}),
)

_TOOL = {"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}
_FORM = {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA}}
_PDF = "data:application/pdf;base64," + base64.b64encode(b"%PDF-1.4").decode()


def _part(part: dict[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [{"type": "text", "text": "Look"}, part]}]}


# A row each: what is asked of a model through chat completions.
FEATURES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("System prompt", {"messages": [{"role": "system", "content": "Be kind."}, *_HELLO]}),
    ("Streaming", {"stream": True}),
    ("Tools", {"tools": [_TOOL]}),
    ("A tool that must be called", {"tools": [_TOOL], "tool_choice": "required"}),
    ("A tool by its name", {"tools": [_TOOL], "tool_choice": {"type": "function", "function": {"name": "weather"}}}),
    ("No calls side by side", {"tools": [_TOOL], "parallel_tool_calls": False}),
    ("JSON by a schema", {"response_format": _FORM}),
    ("Any JSON", {"response_format": {"type": "json_object"}}),
    ("Images, carried", _part({"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}})),
    ("Images, by address", _part({"type": "image_url", "image_url": {"url": "https://example.com/a.png"}})),
    ("Documents", _part({"type": "file", "file": {"filename": "a.pdf", "file_data": _PDF}})),
    ("Sound in", _part({"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}})),
    ("Reasoning effort", {"reasoning_effort": "low"}),
    ("`temperature`, `top_p`", {"temperature": 0.5, "top_p": 0.9}),
    ("`top_k`", {"top_k": 40}),
    ("`stop`", {"stop": ["END"]}),
    ("`seed`", {"seed": 7}),
    ("`presence_penalty`, `frequency_penalty`", {"presence_penalty": 0.5, "frequency_penalty": 0.5}),
    ("`logprobs`", {"logprobs": True}),
    ("Several choices (`n`)", {"n": 2}),
)
# What a caller of another API may say.
FOREIGN: tuple[tuple[str, Operation, dict[str, Any]], ...] = (
    (
        "Cache marks (`cache_control`)",
        "messages",
        {
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}]}
            ],
            "max_tokens": 9,
        },
    ),
    (
        "Thought by a budget",
        "messages",
        {**_CLAUDE, "max_tokens": 9_000, "thinking": {"type": "enabled", "budget_tokens": 2_048}},
    ),
    (
        "Built-in tools of Anthropic",
        "messages",
        {**_CLAUDE, "tools": [{"type": "web_search_20250305", "name": "web_search"}]},
    ),
    ("Built-in tools of OpenAI", "responses", {"input": "Hello", "store": False, "tools": [{"type": "web_search"}]}),
    ("Going on by `previous_response_id`", "responses", {"input": "Hello", "previous_response_id": "resp_1"}),
)


def call(operation: Operation, fields: dict[str, Any]) -> UpstreamCall:
    raw = {name: Raw(json.dumps(value).encode()) for name, value in {"model": "m", **fields}.items()}
    if operation == "audio.transcriptions":
        form = b'--x\r\nContent-Disposition: form-data; name="model"\r\n\r\nm\r\n--x--\r\n'
        return UpstreamCall(operation, {}, content=form, content_type="multipart/form-data; boundary=x")
    return UpstreamCall(operation, raw, stream=bool(fields.get("stream")), model="m")


def served(adapter: Adapter, target: Target, operation: Operation, fields: dict[str, Any]) -> str:
    """``as it is``, ``translated``, or nothing."""
    if not adapter.serves(operation, target):
        return "estimated" if operation == "count_tokens" else "–"
    if operation == "audio.transcriptions":
        return "as it is"
    try:
        prepared = adapter.prepare(target, call(operation, {**fields, MARK: 1}), attempt_id="a")
    except Unreadable:
        return "–"
    return "as it is" if MARK.encode() in prepared.request.read() else "translated"


def taken(adapter: Adapter, target: Target, operation: Operation, fields: dict[str, Any]) -> str:
    """``yes``, ``named`` (left out, and said so), or ``refused``."""
    try:
        prepared = adapter.prepare(target, call(operation, fields), attempt_id="a")
    except Unreadable:
        return "refused"
    return "named" if prepared.dropped else "yes"


_HEAD = """\
# What works with which provider

This page is made from the conformance suite (`python -m tests.models.providers.conformance.matrix`): each cell is
what the adapter does with such a request. What a model itself can is another matter: its card says it.

## Which API, in front of which provider

*As it is*: the provider speaks that API itself, and a request passes untouched but for the model's name.
*Translated*: Lobby writes the request in the provider's own API, and its answer and stream in the caller's.
*Estimated*: Lobby counts itself. An OpenAI-compatible server gets responses as they are where its endpoint's setting
`native` names them; Azure does from its API version 2025-03-01-preview on.
"""
_FEATURES_HEAD = """\
## What a chat completion may ask

*Named*: the provider cannot be told, so the parameter is left out and named in `x-lobby-dropped-params`; with
`"lobby": {"strict": true}` the request is refused instead. *Refused*: the request makes no sense without it, and the
error says so.
"""
_TAIL = """\
Clients that hold one conversation with tools against every kind of provider in the tests, plain and streamed, with the
same answers and the same usage: the official `openai` client (chat completions; responses with and without
`previous_response_id`), LangChain's `ChatOpenAI`, a LangGraph agent, the Vercel AI SDK (chat and responses), the
official `anthropic` client, and `boto3`'s `bedrock-runtime`.
"""


def _table(head: str, rows: Iterator[list[str]]) -> Iterator[str]:
    yield f"| {head} | " + " | ".join(name for name, _, _ in PROVIDERS) + " |"
    yield "| --- |" + " --- |" * len(PROVIDERS)
    for row in rows:
        yield "| " + " | ".join(row) + " |"
    yield ""


def render() -> str:
    from apps.models.providers.adapters import make_adapters  # knows Django

    adapters = make_adapters()
    columns = [(adapters[kind], target) for _, kind, target in PROVIDERS]
    features: list[tuple[str, Operation, dict[str, Any]]] = [
        (name, "chat.completions", {"messages": _HELLO, **fields}) for name, fields in FEATURES
    ]
    lines = [
        _HEAD,
        *_table(
            "Address",
            ([f"`{path}`", *(served(*each, op, fields) for each in columns)] for path, op, fields in FRONTS),
        ),
        _FEATURES_HEAD,
        *_table("Feature", ([name, *(taken(*each, op, fields) for each in columns)] for name, op, fields in features)),
        "## What is peculiar to another API\n",
        *_table("Feature", ([name, *(taken(*each, op, fields) for each in columns)] for name, op, fields in FOREIGN)),
        _TAIL,
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
    import django

    django.setup()
    PAGE.write_text(render())
