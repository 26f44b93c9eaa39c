"""Whatever a caller of the Messages API sends gets a clear error in that API's shape, and reaches no upstream."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx
import pytest

from apps.gateway.fronts.base import Arrived
from apps.gateway.fronts.messages import CountTokensFront, MessagesFront
from apps.gateway.fronts.openai import TOKENS_PER_IMAGE, TOKENS_PER_NAMED_FILE
from tests.gateway.test_bad_input import DEEP
from tests.gateway.world import World


def message(content: Any = "Hi", **fields: Any) -> dict[str, Any]:
    return {"model": "fake-chat", "max_tokens": 5, "messages": [{"role": "user", "content": content}], **fields}


def refusal(response: httpx.Response) -> tuple[int, str, str, str | None]:
    body = response.json()
    assert set(body) == {"type", "error", "request_id"}
    assert body["type"] == "error"
    assert body["request_id"] == response.headers["request-id"]
    error = body["error"]
    assert error["message"]
    return response.status_code, error["type"], error["details"]["error_code"], error["details"].get("param")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", (400, "invalid_request_error", "invalid_json", None)),
        (b"[]", (400, "invalid_request_error", "invalid_value", None)),
        (DEEP, (400, "invalid_request_error", "invalid_json", None)),
        ({}, (400, "invalid_request_error", "missing_field", "model")),
        ({"model": "fake-chat", "max_tokens": 5}, (400, "invalid_request_error", "missing_field", "messages")),
        (
            {"model": "fake-chat", "messages": message()["messages"]},
            (400, "invalid_request_error", "missing_field", "max_tokens"),
        ),
        (message(messages=[]), (400, "invalid_request_error", "invalid_value", "messages")),
        (message(messages=[5]), (400, "invalid_request_error", "invalid_value", "messages[0]")),
        (message(messages=[{"role": "user"}]), (400, "invalid_request_error", "missing_field", "messages[0].content")),
        (message(model="no-such-model"), (404, "not_found_error", "model_not_found", "model")),
        (message(model="fake-embed"), (400, "invalid_request_error", "wrong_model_kind", "model")),
        (message([{}]), (400, "invalid_request_error", "missing_field", "messages[0].content[0].type")),
        # What only a translation minds.
        (
            message([{"type": "text"}]),
            (400, "invalid_request_error", "invalid_value", "messages[0].content[0].text"),
        ),
        (
            message([{"type": "image", "source": {"type": "file", "file_id": "file_1"}}]),
            (400, "invalid_request_error", "invalid_value", "messages[0].content[0]"),
        ),
        (
            message(messages=[{"role": "robot", "content": "x"}]),
            (400, "invalid_request_error", "invalid_value", "messages[0].role"),
        ),
        (message(thinking={"type": "often"}), (400, "invalid_request_error", "invalid_value", "thinking.type")),
        (message(tool_choice={"type": "x"}), (400, "invalid_request_error", "invalid_value", "tool_choice.type")),
    ],
)
def test_a_bad_body_is_refused_with_the_parameter(world: World, body: Any, expected: Any) -> None:
    before = world.fake.count()
    assert refusal(world.post(body, path="/messages")) == expected
    assert world.fake.count() == before


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_tokens", "many"),
        ("max_tokens", -1),
        ("max_tokens", 1.5),
        ("system", 5),
        ("system", [{"text": "x"}]),
        ("stream", "yes"),
        ("temperature", 1.5),
        ("temperature", "hot"),
        ("top_p", 2),
        ("top_k", "x"),
        ("stop_sequences", "END"),
        ("stop_sequences", [5]),
        ("tools", {}),
        ("tools", [{"name": 5}]),
        ("tools", [{"name": "x", "input_schema": "none"}]),
        ("tool_choice", "auto"),
        ("tool_choice", {"type": "auto", "disable_parallel_tool_use": "yes"}),
        ("thinking", True),
        ("thinking", {"type": "enabled", "budget_tokens": "all"}),
        ("output_config", []),
        ("output_config", {"format": {"type": "json_schema", "schema": 5}}),
        ("output_config", {"effort": 3}),
        ("output_format", "json"),
        ("metadata", "x"),
        ("metadata", {"user_id": 5}),
        ("cache_control", "ephemeral"),
        ("service_tier", 1),
        ("container", 5),
        ("context_management", []),
        ("mcp_servers", {}),
        ("inference_geo", 5),
        ("speed", 5),
        ("prompt", "claims"),
        ("lobby", []),
        ("messages", "Hi"),
        ("messages", [{"role": 5, "content": "x"}]),
        ("messages", [{"role": "user", "content": 5}]),
        ("messages", [{"role": "user", "content": [{"type": "text", "text": 5}]}]),
        ("messages", [{"role": "user", "content": [{"type": "text", "text": "x", "cache_control": 1}]}]),
        ("messages", [{"role": "user", "content": [{"type": "image", "source": {"data": "x"}}]}]),
        ("messages", [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": 5}]}]),
        ("messages", [{"role": "user", "content": [{"type": "tool_result", "content": [{}]}]}]),
        ("messages", [{"role": "user", "content": [{"type": "tool_result", "is_error": "yes"}]}]),
        ("messages", [{"role": "assistant", "content": [{"type": "tool_use", "input": "x"}]}]),
        ("messages", [{"role": "assistant", "content": [{"type": "thinking", "thinking": 5}]}]),
        ("messages", [{"role": "assistant", "content": [{"type": "redacted_thinking", "data": 5}]}]),
    ],
)
def test_a_wrong_type_at_any_field_names_the_field(world: World, field: str, value: Any) -> None:
    response = world.post(message(**{field: value}), path="/messages")
    status, kind, _, param = refusal(response)
    assert (status, kind) == (400, "invalid_request_error")
    assert (param or "").startswith(field)
    assert field in response.json()["error"]["message"]


def test_a_null_is_as_good_as_nothing(world: World) -> None:
    fields = dict.fromkeys(["system", "stream", "tools", "tool_choice", "thinking", "metadata", "stop_sequences"])
    for model in ("fake-chat", "sandbox-chat"):
        assert world.post(message(**fields, model=model), path="/messages").status_code == 200


@pytest.mark.parametrize("path", ["/messages", "/messages/count_tokens"])
def test_no_key_and_a_wrong_method_are_told_in_the_apis_shape(world: World, path: str) -> None:
    response = httpx.post(world.lobby.base_url + path, json=message())
    assert refusal(response)[:2] == (401, "authentication_error")
    response = httpx.get(world.lobby.base_url + path, headers={"x-api-key": world.key})
    assert refusal(response)[0] == 405


def bounds(content: Any, **fields: Any) -> tuple[int, int]:
    front = MessagesFront()
    return front.bounds(front.parse(Arrived("", {}, json.dumps(message(content, **fields)).encode())))


def test_what_is_held_covers_every_byte_of_text_and_counts_images_one_by_one() -> None:
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "A" * 400_000}}
    assert bounds("日本語" * 50)[0] >= 450
    assert TOKENS_PER_IMAGE <= bounds([picture])[0] < TOKENS_PER_IMAGE + 500
    inside = {"type": "tool_result", "tool_use_id": "t", "content": [picture, picture]}
    assert 2 * TOKENS_PER_IMAGE <= bounds([inside])[0] < 2 * TOKENS_PER_IMAGE + 700
    text = '"type":"image","source":{"type":"base64","data":"' + "x" * 5_000
    assert bounds([{"type": "text", "text": text}])[0] >= 5_000
    pdf = {"type": "base64", "media_type": "application/pdf", "data": base64.b64encode(b"x" * 90_000).decode()}
    assert bounds([{"type": "document", "source": pdf}])[0] >= 120_000
    named = {"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}}
    assert bounds([named])[0] >= TOKENS_PER_NAMED_FILE
    search = {"type": "web_search_20260209", "name": "web_search"}
    assert bounds("x", tools=[search])[0] >= TOKENS_PER_NAMED_FILE
    assert bounds("x", system="y" * 1_000)[0] >= 1_000


def test_a_count_holds_nothing() -> None:
    front = CountTokensFront()
    body = {"model": "m", "messages": message()["messages"]}
    assert front.bounds(front.parse(Arrived("", {}, json.dumps(body).encode()))) == (0, 0)


def test_a_header_that_no_upstream_can_be_shown_is_named(world: World) -> None:
    before = world.claude.count()
    headers = {"anthropic-version": b"2023-06-01\xe9"}
    response = world.post(message(model="fake-claude"), path="/messages", headers=headers)
    assert refusal(response) == (400, "invalid_request_error", "invalid_header", "anthropic-version")
    assert world.claude.count() == before
