"""Whatever a caller sends gets a clear error in the API's shape, and nothing reaches the upstream or the ledger."""

from __future__ import annotations

import gzip
import json
import socket
from typing import Any

import httpx
import pytest

from tests.gateway.world import World, bearer, chat

DEEP = b'{"model":"fake-chat","messages":[{"role":"user","content":"a"}],"x":' + b"[" * 50_000 + b"]" * 50_000 + b"}"


def refusal(response: httpx.Response) -> tuple[int, str | None, str | None]:
    error = response.json()["error"]
    assert error["message"]
    assert set(error) == {"message", "type", "param", "code"}
    assert response.headers["x-lobby-request-id"]
    return response.status_code, error["code"], error["param"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", (400, "invalid_json", None)),
        (b"{", (400, "invalid_json", None)),
        (b"null", (400, "invalid_value", None)),
        (b"[]", (400, "invalid_value", None)),
        (b'"text"', (400, "invalid_value", None)),
        (b'{"model":"fake-chat","messages":[{"role":"user"}]} trailing', (400, "invalid_json", None)),
        (b'{"model":"fake-chat","messages":[{"role":"user","content":"\xff\xfe"}]}', (400, "invalid_json", None)),
        (b'{"model":"fake-chat","messages":[{"role":"user","content":"x"}],"x":"\xff"}', (400, "invalid_json", None)),
        (b'{"model":"fake-chat","messages":[{"role":"user","content":"\x00"}]}', (400, "invalid_json", None)),
        (b"\xef\xbb\xbf{}", (400, "invalid_json", None)),
        (DEEP, (400, "invalid_json", None)),
        (b'{"model":' + b"[" * 100_000, (400, "invalid_value", "model")),
        ({}, (400, "missing_field", "model")),
        ({"model": "fake-chat"}, (400, "missing_field", "messages")),
        ({"model": "", "messages": [{"role": "user"}]}, (400, "invalid_value", "model")),
        ({"model": 5, "messages": [{"role": "user"}]}, (400, "invalid_value", "model")),
        ({"model": "m" * 201, "messages": [{"role": "user"}]}, (400, "invalid_value", "model")),
        ({"model": "fake-chat\u0000", "messages": [{"role": "user"}]}, (404, "model_not_found", "model")),
        (chat(messages=[]), (400, "invalid_value", "messages")),
        (chat(messages="hello"), (400, "invalid_value", "messages")),
        (chat(messages=[5]), (400, "invalid_value", "messages[0]")),
        (chat(messages=[{"content": "x"}]), (400, "missing_field", "messages[0].role")),
        (chat(messages=[{"role": "user", "content": 5}]), (400, "invalid_value", "messages[0].content")),
        (chat(messages=[{"role": "user", "content": [{}]}]), (400, "missing_field", "messages[0].content[0].type")),
        (chat(prompt={"id": "claims"}), (404, "prompt_not_found", "prompt.id")),
        ({"model": "fake-embed", "messages": [{"role": "user", "content": "x"}]}, (400, "wrong_model_kind", "model")),
    ],
)
def test_a_bad_body_is_refused_with_the_parameter(world: World, body: Any, expected: Any) -> None:
    before = world.fake.count()
    assert refusal(world.post(body)) == expected
    assert world.fake.count() == before


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("stream", "yes"),
        ("stream_options", {"include_usage": "no"}),
        ("max_tokens", 0),
        ("max_tokens", -5),
        ("max_completion_tokens", "many"),
        ("max_completion_tokens", 1.5),
        ("n", 0),
        ("n", 129),
        ("temperature", 2.5),
        ("temperature", "hot"),
        ("top_p", -0.1),
        ("presence_penalty", 3),
        ("frequency_penalty", "x"),
        ("logit_bias", [1]),
        ("logprobs", 1),
        ("top_logprobs", 21),
        ("stop", 5),
        ("stop", ["a", 5]),
        ("seed", "x"),
        ("user", 7),
        ("tools", {}),
        ("tools", [{"type": "function", "function": {}}]),
        ("tool_choice", 5),
        ("parallel_tool_calls", "yes"),
        ("response_format", "json"),
        ("reasoning_effort", 3),
        ("modalities", "text"),
        ("metadata", "x"),
        ("store", "x"),
        ("service_tier", 1),
        ("functions", {}),
        ("lobby", []),
        ("lobby", {"strict": "yes"}),
        ("lobby", {"tags": {"purpose": 3}}),
        ("prompt", "claims"),
    ],
)
def test_a_wrong_type_at_any_field_names_the_field(world: World, field: str, value: Any) -> None:
    status, _, param = refusal(world.post(chat(**{field: value})))
    assert status == 400
    assert param is not None
    assert param.startswith(field)


@pytest.mark.parametrize("path", ["/chat/completions", "/responses", "/messages", "/embeddings"])
def test_a_slip_in_what_lobby_is_told_names_it_and_what_there_is(world: World, path: str) -> None:
    answer = world.post({**chat(), "input": "Hi", "max_tokens": 5, "lobby": {"strikt": True}}, path=path)
    error = answer.json()["error"]
    assert answer.status_code == 400, answer.text
    assert error["message"] == "'lobby.strikt' is unknown. There are: strict, conversation, tags, store."
    assert "lobby.strikt" in (error.get("param") or error.get("details", {}).get("param") or error["message"])


@pytest.mark.parametrize("value", [5, "", [], [[]] * 3000, {"a": 1}, [None]])
def test_a_bad_embedding_input_names_the_field(world: World, value: Any) -> None:
    status, _, param = refusal(world.post({"model": "fake-embed", "input": value}, path="/embeddings"))
    assert (status, (param or "")[:5]) == (400, "input")


def test_a_null_is_as_good_as_nothing(world: World) -> None:
    assert world.post(chat(stream=None, tools=None, n=None, stop=None, metadata=None)).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "application/x-www-form-urlencoded"}, 415),
        ({"content-encoding": "gzip"}, 415),
        ({"content-type": "application/json; charset=utf-8"}, 200),
    ],
)
def test_what_is_not_plain_json_is_refused(world: World, headers: dict[str, str], status: int) -> None:
    body = json.dumps(chat()).encode()
    content = gzip.compress(body) if "content-encoding" in headers else body
    assert world.post(content, headers=headers).status_code == status


def test_a_body_over_the_limit_is_413_even_for_a_caller_that_keeps_writing(world: World) -> None:
    response = world.post(chat("x" * 21 * 1024 * 1024))
    assert refusal(response) == (413, "request_too_large", None)


def test_a_large_body_within_the_limit_passes(world: World) -> None:
    assert world.post(chat("x " * 1_000_000, max_completion_tokens=5)).status_code == 200


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ({}, "No API key"),
        ({"authorization": "Bearer"}, "No API key"),
        ({"authorization": "Basic abc"}, "Bearer"),
        ({"authorization": "KEY"}, "bare key"),
        ({"authorization": "Bearer sk-of-another-product"}, "not an API key of Lobby"),
        ({"authorization": "Bearer lby_" + "a" * 10 + "_" + "a" * 43}, "Incorrect API key"),
        ({"authorization": "Bearer \xff\xfe"}, "not an API key"),
        ({"x-api-key": "nonsense"}, "not an API key"),
    ],
)
def test_a_missing_or_wrong_key_says_what_to_do(world: World, headers: dict[str, str], says: str) -> None:
    raw = [(name.encode(), value.replace("KEY", world.key).encode("latin-1")) for name, value in headers.items()]
    response = httpx.post(world.lobby.base_url + "/chat/completions", json=chat(), headers=raw)
    assert refusal(response)[0] == 401
    assert says in response.json()["error"]["message"]
    assert response.headers["www-authenticate"] == "Bearer"
    assert world.key not in response.text


@pytest.mark.parametrize("name", ["x-api-key", "api-key"])
def test_the_other_headers_of_the_field_carry_a_key_too(world: World, name: str) -> None:
    response = httpx.post(world.lobby.base_url + "/chat/completions", json=chat(), headers={name: world.key})
    assert response.status_code == 200


def test_revoked_expired_and_inactive_are_refused_within_a_second(world: World) -> None:
    key = world.project()
    world.shell.run(
        "key = ApiKey.objects.unscoped('t').get(prefix=prefix)\nservices.revoke_api_key(actor=actor, api_key=key)",
        prefix=key.split("_")[1],
    )
    world.eventually(lambda: world.post(chat(), key=key).status_code == 401, within=1.5)
    assert world.post(chat(), key=key).json()["error"]["code"] == "key_revoked"


def test_a_key_bound_to_a_network_is_refused_from_elsewhere(world: World) -> None:
    assert refusal(world.post(chat(), key=world.project(cidrs=["10.0.0.0/8"])))[:2] == (403, "address_not_allowed")
    assert world.post(chat(), key=world.project(cidrs=["127.0.0.0/8"])).status_code == 200


@pytest.mark.parametrize(("method", "path", "status"), [
    ("GET", "/chat/completions", 405),
    ("POST", "/models", 405),
    ("GET", "/nothing", 404),
    ("GET", "/models/no-such-model", 404),
])  # fmt: skip
def test_an_unknown_url_or_method_says_so(world: World, method: str, path: str, status: int) -> None:
    response = httpx.request(method, world.lobby.base_url + path, headers=bearer(world.key))
    assert refusal(response)[0] == status


def test_a_caller_that_leaves_while_sending_costs_nothing(world: World) -> None:
    before = world.fake.count()
    with socket.create_connection(("127.0.0.1", world.lobby.port)) as connection:
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {world.key}\r\n"
        connection.sendall(head.encode() + b"content-type: application/json\r\ncontent-length: 500\r\n\r\n{")
    assert world.post(chat()).status_code == 200
    assert world.fake.count()["arrivals"] == before["arrivals"] + 1


def test_conflicting_framing_is_refused(world: World) -> None:
    with socket.create_connection(("127.0.0.1", world.lobby.port)) as connection:
        connection.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n"
            b"transfer-encoding: chunked\r\n\r\n0\r\n\r\n"
        )
        connection.settimeout(5)
        assert b" 400 " in connection.recv(1000).split(b"\r\n")[0]


@pytest.mark.parametrize("name", ["a\r\nset-cookie: b=c", "é" * 3, "n" * 100_000])
def test_no_name_of_a_field_makes_a_header_of_its_own(world: World, name: str) -> None:
    """What a model's provider cannot take is named in a header: in one line, and one that clients can read."""
    response = world.post(chat() | {"model": "fake-claude", name: 1, "more": 2})
    assert response.status_code == 200, response.text
    assert "set-cookie" not in response.headers
    assert 0 < len(response.headers["x-lobby-dropped-params"]) < 4_000
    why = request_line(world, response.headers["x-lobby-request-id"])["why"]
    assert len(str(why["attempts"][0]["dropped"])) < 4_000


def test_many_fields_make_no_long_header(world: World) -> None:
    fields = {f"field_{number}": 1 for number in range(5_000)}
    response = world.post(chat() | {"model": "fake-claude", **fields})
    assert response.status_code == 200, response.text
    assert "field_0" in response.headers["x-lobby-dropped-params"]
    assert len(response.headers["x-lobby-dropped-params"]) < 4_000
    strict = world.post(chat() | {"model": "fake-claude", "lobby": {"strict": True}, **fields})
    assert strict.status_code == 400
    assert len(strict.content) < 5_000


def request_line(world: World, request_id: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = []

    def written() -> bool:
        found[:] = [line for line in world.spool_lines(request_id) if line["line"] == "request"]
        return bool(found)

    world.eventually(written, within=5)
    return found[0]
