"""What holds of streams, timeouts and callers that leave, where OpenAI's own APIs pass: responses at OpenAI and at
Azure, chat completions at Azure and Gemini. (Of the other kinds: ``tests/gateway/test_*streams.py``.)
"""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.fakes.blackhole import blackhole
from tests.fakes.process import FakeOpenAI
from tests.gateway.clients.conftest import serve_kind
from tests.gateway.test_streams import settlement, tokens
from tests.gateway.world import World, bearer

HASTY = {"first_byte_timeout_ms": 300, "idle_timeout_ms": 300, "total_timeout_ms": 1_000}


@dataclass(frozen=True)
class Row:
    """An API in front of a kind of provider that speaks it."""

    kind: str
    api: str
    model: str
    settings: tuple[tuple[str, str], ...] = ()

    @property
    def fake(self) -> str:
        return "azure_openai" if self.kind == "azure_openai" else "openai"

    @property
    def path(self) -> str:
        return "/responses" if self.api == "responses" else "/chat/completions"

    @property
    def piece(self) -> bytes:
        return b'"delta":"w' if self.api == "responses" else b'"content":"w'

    def body(self, text: str, *, model: str = "", stream: bool = True) -> dict[str, Any]:
        asked = {"input": text} if self.api == "responses" else {"messages": [{"role": "user", "content": text}]}
        return {"model": model or self.model, "stream": stream, **asked}

    def served(self, world: World, url: str, name: str, **limits: int) -> str:
        """Another model of this row's, at ``url``."""
        slug = f"{name}-{self.model}-{self.api}"
        serve_kind(world, slug, self.kind, url, dict(self.settings), {}, **limits)
        return slug


ROWS = [
    Row("openai", "responses", "on-openai"),
    Row("azure_openai", "responses", "on-azure-v1", (("api_version", "v1"),)),
    Row("azure_openai", "chat", "on-azure"),
    Row("gemini", "chat", "on-gemini"),
]


@pytest.fixture(scope="module", params=ROWS, ids=lambda row: f"{row.kind}-{row.api}")
def row(request: pytest.FixtureRequest) -> Row:
    found: Row = request.param
    return found


@pytest.fixture
def fake(row: Row, fakes: dict[str, FakeOpenAI]) -> FakeOpenAI:
    fakes[row.fake].wait_idle()
    return fakes[row.fake]


@pytest.mark.parametrize("chunks_read", [0, 1, 19, 20])
def test_a_caller_that_leaves_is_charged_for_what_came_and_the_upstream_is_hung_up_on(
    providers: World, row: Row, fake: FakeOpenAI, chunks_read: int
) -> None:
    body = json.dumps(row.body("Hello there [[chunks=20 delay_ms=25]]")).encode()
    head = (
        f"POST /v1{row.path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {providers.key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    received = b""
    with socket.create_connection(("127.0.0.1", providers.lobby.port)) as connection:
        connection.sendall(head.encode() + body)
        connection.settimeout(10)
        while received.count(row.piece) < chunks_read or not received:
            received += connection.recv(65536)
    line = settlement(providers, received.split(b"x-lobby-request-id: ")[1][:32].decode())
    fake.wait_idle()
    sent = fake.attempts()[-1]
    assert sent.attempt == line["attempt_id"]
    if line["status"] == "measured":  # the stream had come to its end by then
        assert tokens(line) == (sent.prompt_tokens, 20)
    else:
        assert line["outcome"] == "cancelled"
        assert sent.outcome == "client_disconnected" or (chunks_read == 20 and sent.outcome == "completed")
        assert sent.completion_tokens is not None
        assert 0 <= sent.completion_tokens - tokens(line)[1] <= 2  # in flight


def test_a_caller_that_leaves_a_plain_request_is_charged_what_was_measured(
    providers: World, row: Row, fake: FakeOpenAI
) -> None:
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(
            providers.lobby.base_url + row.path,
            json=row.body("Hello [[headers_ms=300]]", stream=False),
            headers=bearer(providers.key),
            timeout=0.1,
        )
    providers.eventually(lambda: bool(fake.wait_idle()) and fake.attempts()[-1].outcome == "completed", within=10)
    attempt = fake.attempts()[-1]
    [request_id] = {line["request_id"] for line in providers.all_lines() if line.get("attempt_id") == attempt.attempt}
    line = settlement(providers, request_id)
    assert (line["status"], tokens(line)) == ("measured", (attempt.prompt_tokens, attempt.completion_tokens))


@pytest.mark.parametrize("fault", ["close_mid", "reset_mid", "error_event", "cut_event", "cut_event_clean", "cut_utf8"])
def test_a_stream_that_breaks_ends_in_an_error_event_and_never_in_a_second_attempt(
    providers: World, row: Row, fake: FakeOpenAI, fault: str
) -> None:
    before = fake.count()["arrivals"]
    response = providers.post(row.body(f"Hello [[chunks=20 fail={fault} at=7 each]]"), path=row.path)
    assert response.content.count(row.piece) == 7
    error = json.loads(response.text.strip().split("data: ")[-1])["error"]
    assert error["message"]
    line = settlement(providers, response.headers["x-lobby-request-id"])
    assert (line["status"], line["outcome"], tokens(line)[1]) == ("estimated", "upstream_error", 7)
    assert fake.wait_idle()["arrivals"] == before + 1


def test_each_timeout_strikes_in_its_phase(providers: World, row: Row, fake: FakeOpenAI) -> None:
    model = row.served(providers, fake.url, "hasty", **HASTY)
    for directive, status, phase in (
        ("stall=headers", 504, "first_byte"),
        ("stall=first", 504, "first_byte"),
        ("stall=mid at=3 each", 200, "idle"),
        ("chunks=1000 delay_ms=20", 200, "total"),
    ):
        response = providers.post(row.body(f"Hello [[{directive}]]", model=model), path=row.path)
        assert response.status_code == status
        error = json.loads(response.text.strip().split("data: ")[-1])["error"]
        assert error["code"] == f"upstream_timeout_{phase}"
        line = settlement(providers, response.headers["x-lobby-request-id"])
        assert (line["status"], line["outcome"]) == ("estimated", "upstream_error")


def test_a_connect_timeout_charges_nothing(providers: World, row: Row) -> None:
    with blackhole() as url:
        model = row.served(providers, url, "dead", connect_timeout_ms=300)
        response = providers.post(row.body("Hello", model=model, stream=False), path=row.path)
    assert (response.status_code, response.json()["error"]["code"]) == (504, "upstream_timeout_connect")
    line = settlement(providers, response.headers["x-lobby-request-id"])
    assert (tokens(line), line.get("cost_picousd", 0)) == ((0, 0), 0)
