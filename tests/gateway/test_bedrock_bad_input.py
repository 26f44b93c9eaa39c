"""What a caller of Bedrock's paths may get wrong: a 400 in AWS's shape that names the field, and nothing is called."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.gateway.world import World, bearer

HELLO: Any = [{"role": "user", "content": [{"text": "Hello"}]}]


def post(world: World, body: Any, path: str = "/model/fake-chat/converse", **headers: str) -> httpx.Response:
    content = {"content": body} if isinstance(body, bytes) else {"json": body}
    return httpx.post(world.lobby.url + path, headers={**bearer(world.key), **headers}, timeout=30, **content)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"{", None),
        (b"\xff", None),
        (b"[]", None),
        (b"[" * 9_999, None),
        ({}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": "Hello"}, "messages"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "robot", "content": [{"text": "Hello"}]}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": [{}]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "user", "content": [{"video": {}}]}]}, "messages[0].content[0]"),
        ({"messages": HELLO, "inferenceConfig": {"maxTokens": 0}}, "inferenceConfig.maxTokens"),
        ({"messages": HELLO, "inferenceConfig": {"temperature": 2}}, "inferenceConfig.temperature"),
        ({"messages": HELLO, "toolConfig": {"tools": []}}, "toolConfig.tools"),
        ({"messages": HELLO, "additionalModelRequestFields": {"top_k": "x"}}, "additionalModelRequestFields.top_k"),
        ({"messages": HELLO, "additionalModelRequestFields": {"lobby": 5}}, "lobby"),
    ],
)
def test_a_wrong_field_is_named(world: World, body: Any, param: str | None) -> None:
    before = world.fake.count()["arrivals"]
    answer = post(world, body)
    assert (answer.status_code, answer.headers["x-amzn-errortype"]) == (400, "ValidationException"), answer.text
    assert answer.json()["message"]
    assert answer.json().get("param") == param
    assert world.fake.count()["arrivals"] == before


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/model/nope/converse", "ResourceNotFoundException"),
        (f"/model/{'x' * 201}/converse", "ValidationException"),
        ("/model/%00%FF/converse", "ResourceNotFoundException"),
        ("/model/fake-chat/count-tokens", "ResourceNotFoundException"),
        ("/model/fake-chat/invoke-stream", "ResourceNotFoundException"),
        ("/model/fake-embed/converse", "ValidationException"),
    ],
)
def test_a_wrong_path_is_told_in_awss_shape(world: World, path: str, name: str) -> None:
    answer = post(world, {"messages": HELLO}, path)
    assert answer.headers["x-amzn-errortype"] == name, answer.text
    assert answer.json()["message"]


def test_who_shows_nothing_good_is_told_so_in_awss_shape(world: World) -> None:
    url = f"{world.lobby.url}/model/fake-chat/converse"
    for headers in ({}, bearer("lby_wrong"), {"authorization": "AWS4-HMAC-SHA256 Credential=x"}):
        answer = httpx.post(url, json={"messages": HELLO}, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["x-amzn-errortype"] in ("UnrecognizedClientException", "IncompleteSignature")


def test_a_signature_opens_bedrocks_paths_alone(world: World) -> None:
    answer = world.post({"model": "fake-chat"}, headers={"authorization": "AWS4-HMAC-SHA256 Credential=x"})
    assert answer.status_code == 401


def test_several_inputs_of_titan_are_refused_in_words(world: World) -> None:
    body = {"inputText": ["a", "b"]}
    answer = post(world, body, "/model/fake-embed/invoke")
    assert answer.status_code == 400
    assert "inputText" in answer.json()["message"]
