"""Streams: relayed whole and in order, cut at any place, and metered whatever happens."""

from __future__ import annotations

import json
import socket
import socketserver
import threading
import time
from typing import Any

import httpx
import openai
import pytest

from tests.fakes.blackhole import blackhole
from tests.gateway.world import World, bearer, chat


def read_stream(world: World, text: str, **fields: Any) -> tuple[str, list[dict[str, Any]], bytes, str]:
    """(content, events, raw bytes, request id) of one stream."""
    body = chat(text, stream=True, **fields)
    with httpx.stream(
        "POST", world.lobby.base_url + "/chat/completions", json=body, headers=bearer(world.key), timeout=30
    ) as response:
        assert response.status_code == 200, response.read()
        raw = response.read()
    events = [
        json.loads(line.removeprefix(b"data:"))
        for line in raw.replace(b"\r\n", b"\n").split(b"\n")
        if line.startswith(b"data:") and b"[DONE]" not in line
    ]
    content = "".join(choice["delta"].get("content") or "" for event in events for choice in event.get("choices", []))
    return content, events, raw, response.headers["x-lobby-request-id"]


def settlement(world: World, request_id: str) -> dict[str, Any]:
    """The one settlement of a request that made one attempt."""
    found: list[dict[str, Any]] = []

    def settled() -> bool:
        found[:] = [line for line in world.spool_lines(request_id) if line["line"] == "settlement"]
        return bool(found)

    world.eventually(settled, within=5)
    assert len(found) == 1
    return found[0]


def tokens(line: dict[str, Any]) -> tuple[int, int]:
    return line.get("input_tokens", 0), line.get("output_tokens", 0)


@pytest.mark.parametrize(
    "how", ["", "each", "split=1", "split=7", "split=1000", "crlf", "comments", "utf8", "crlf split=3"]
)
def test_a_stream_arrives_whole_and_in_order_however_it_is_cut_into_pieces(world: World, how: str) -> None:
    content, events, raw, request_id = read_stream(world, f"Hello [[chunks=30 {how}]]")
    if "utf8" not in how:
        assert content == "".join(f"w{n} " for n in range(30))
    assert raw.rstrip().endswith(b"data: [DONE]")
    assert all("usage" not in event or event["usage"] is None for event in events)
    line = settlement(world, request_id)
    assert (line["status"], line["outcome"], tokens(line)[1]) == ("measured", "ok", 30)


@pytest.mark.parametrize("asked", [True, False])
def test_usage_is_always_asked_for_upstream_and_shown_only_to_who_asked(world: World, asked: bool) -> None:
    options = {"stream_options": {"include_usage": asked}}
    _, events, _, request_id = read_stream(world, "Hello there", **options)
    assert any(event.get("usage") for event in events) is asked
    assert settlement(world, request_id)["status"] == "measured"


def test_an_explicit_zero_stays_zero_and_is_measured(world: World) -> None:
    line = settlement(world, read_stream(world, "Hello [[usage=zero]]")[3])
    assert (line["status"], tokens(line), line.get("cost_picousd", 0)) == ("measured", (0, 0), 0)


def test_missing_usage_is_estimated_from_what_came(world: World) -> None:
    line = settlement(world, read_stream(world, "Hello [[usage=missing chunks=40]]")[3])
    assert (line["status"], line["outcome"], tokens(line)[1]) == ("estimated", "ok", 40)


@pytest.mark.parametrize(
    "fault",
    ["close_mid", "reset_mid", "error_event", "cut_event", "cut_event_clean", "cut_utf8", "malformed_json", "no_done"],
)
def test_a_failure_in_mid_stream_is_an_error_event_and_never_a_second_attempt(world: World, fault: str) -> None:
    before = world.fake.count()
    content, events, raw, request_id = read_stream(world, f"Hello [[chunks=20 fail={fault} at=7 each]]")
    if fault == "no_done":  # all was said, only the end was not announced; but nothing told the usage
        assert events[-1].get("error") or "finish_reason" in str(events[-1])
    else:
        assert content == "".join(f"w{n} " for n in range(7))
        assert events[-1]["error"]["message"]
        assert b"[DONE]" not in raw
    line = settlement(world, request_id)
    assert tokens(line)[1] in (7, 20)
    assert line["status"] in ("estimated", "measured")
    assert started(world) == started_in(before) + 1


def started(world: World) -> int:
    return started_in(world.fake.wait_idle())


def started_in(totals: dict[str, Any]) -> int:
    return int(totals["arrivals"])


def test_the_official_client_raises_on_a_stream_that_fails(world: World) -> None:
    stream = world.openai().chat.completions.create(**chat("Hello [[chunks=9 fail=close_mid at=3]]"), stream=True)
    with pytest.raises(openai.APIError):
        list(stream)


@pytest.mark.parametrize("fault", ["fail=503", "fail=close", "fail=close_headers", "content_type=text/html"])
def test_a_stream_that_fails_before_its_first_byte_is_a_plain_error(world: World, fault: str) -> None:
    response = world.post(chat(f"Hello [[{fault}]]", stream=True))
    assert response.status_code in (502, 503)
    assert response.json()["error"]["message"]


@pytest.mark.parametrize("chunks_read", [0, 1, 19, 20])
def test_a_caller_that_leaves_is_charged_for_what_came_and_the_upstream_is_hung_up_on(
    world: World, chunks_read: int
) -> None:
    body = json.dumps(chat("Hello there [[chunks=20 delay_ms=25]]", stream=True)).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {world.key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    world.fake.wait_idle()
    received = b""
    with socket.create_connection(("127.0.0.1", world.lobby.port)) as connection:
        connection.sendall(head.encode() + body)
        connection.settimeout(10)
        while received.count(b'"content":"w') < chunks_read or not received:
            received += connection.recv(65536)
    request_id = received.split(b"x-lobby-request-id: ")[1][:32].decode()
    line = settlement(world, request_id)
    world.fake.wait_idle()
    sent = world.fake.attempts()[-1]
    assert sent.attempt == line["attempt_id"]
    if line["status"] == "measured":  # the stream had come to its end by then
        assert tokens(line) == (sent.prompt_tokens, 20)
    else:
        assert line["outcome"] == "cancelled"
        # Who leaves after the last chunk may do so when the upstream has just sent the end, too.
        assert sent.outcome == "client_disconnected" or (chunks_read == 20 and sent.outcome == "completed")
        assert sent.completion_tokens is not None
        assert 0 <= sent.completion_tokens - tokens(line)[1] <= 2  # in flight


def test_a_caller_that_leaves_a_plain_request_is_charged_what_was_measured(world: World) -> None:
    world.fake.wait_idle()
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(
            world.lobby.base_url + "/chat/completions",
            json=chat("Hello [[headers_ms=300]]"),
            headers=bearer(world.key),
            timeout=0.1,
        )
    world.fake.wait_idle()
    attempt = world.fake.attempts()[-1]
    request_ids = [line for line in world.all_lines() if line.get("attempt_id") == attempt.attempt]
    line = settlement(world, request_ids[0]["request_id"])
    assert (line["status"], tokens(line)) == ("measured", (2, 8))


@pytest.mark.parametrize(
    ("directive", "limits", "status", "code"),
    [
        ("stall=headers", {"first_byte_timeout_ms": 300}, 504, "upstream_timeout_first_byte"),
        ("stall=first", {"first_byte_timeout_ms": 300}, 504, "upstream_timeout_first_byte"),
        ("stall=mid at=3 each", {"idle_timeout_ms": 300}, 200, "upstream_timeout_idle"),
        ("chunks=1000 delay_ms=20", {"total_timeout_ms": 400}, 200, "upstream_timeout_total"),
    ],
)
def test_each_timeout_strikes_in_its_phase(
    world: World, directive: str, limits: dict[str, Any], status: int, code: str
) -> None:
    model = world.model(**limits)
    began = time.monotonic()
    body = chat(f"Hello [[{directive}]]", stream=True) | {"model": model}
    response = world.post(body)
    assert time.monotonic() - began < 5
    assert response.status_code == status
    last = response.text.removeprefix("data: ") if status != 200 else response.text.strip().split("data: ")[-1]
    assert json.loads(last)["error"]["code"] == code
    line = settlement(world, response.headers["x-lobby-request-id"])
    assert (line["status"], line["outcome"]) == ("estimated", "upstream_error")


def test_a_connect_timeout_is_a_504_that_charges_nothing(world: World) -> None:
    with blackhole() as url:
        model = world.model(base_url=url, connect_timeout_ms=300)
        response = world.post(chat() | {"model": model})
    assert (response.status_code, response.json()["error"]["code"]) == (504, "upstream_timeout_connect")
    line = settlement(world, response.headers["x-lobby-request-id"])
    assert (tokens(line), line.get("cost_picousd", 0)) == ((0, 0), 0)


def test_an_unreachable_upstream_is_a_503(world: World, free_port: int) -> None:
    model = world.model(base_url=f"http://127.0.0.1:{free_port}/v1")
    response = world.post(chat() | {"model": model})
    assert (response.status_code, response.json()["error"]["code"]) == (503, "upstream_unreachable")


def test_an_attempt_that_fails_before_its_first_byte_goes_to_the_next_endpoint(world: World, free_port: int) -> None:
    model = world.model(base_url=f"http://127.0.0.1:{free_port}/v1", fallback=True)
    response = world.post(chat() | {"model": model})
    assert response.status_code == 200
    lines = world.spool_lines(response.headers["x-lobby-request-id"])
    assert [line["line"] for line in lines] == ["intent", "settlement", "intent", "settlement", "request"]
    assert lines[-1]["attempts"] == 2


def test_connections_to_the_upstream_are_reused_after_streams(world: World) -> None:
    for _ in range(3):
        read_stream(world, "Hello [[chunks=5]]")
    before = world.fake.count()["connections"]
    for _ in range(10):
        read_stream(world, "Hello [[chunks=5]]")
    assert world.fake.count()["connections"] == before


def test_a_refusal_as_the_first_event_of_a_stream_costs_nothing(world: World) -> None:
    body = chat("Hello [[fail=error_event at=0 code=context_length_exceeded each]]", stream=True)
    response = world.post(body)
    assert response.status_code == 400
    line = settlement(world, response.headers["x-lobby-request-id"])
    assert (line["outcome"], tokens(line), line.get("cost_picousd", 0)) == ("invalid", (0, 0), 0)


def test_a_plain_answer_that_keeps_coming_is_waited_for(world: World) -> None:
    """Its time between two bytes is bounded, and not that of all of it: servers that think long send blanks."""
    model = world.model(idle_timeout_ms=1_000)
    response = world.post(chat("Hello [[split=60 drip_ms=250]]") | {"model": model})
    assert response.status_code == 200, response.text
    assert response.elapsed.total_seconds() > 1


def test_what_was_not_sent_when_its_time_was_up_charges_nothing(world: World) -> None:
    with blackhole() as url:
        model = world.model(base_url=url, connect_timeout_ms=5_000, first_byte_timeout_ms=300)
        response = world.post(chat() | {"model": model})
    assert (response.status_code, response.json()["error"]["code"]) == (504, "upstream_timeout_connect")
    line = settlement(world, response.headers["x-lobby-request-id"])
    assert (tokens(line), line.get("cost_picousd", 0)) == ((0, 0), 0)


def test_a_caller_that_does_not_read_holds_up_no_settlement_of_a_stream_that_failed(world: World) -> None:
    """The upstream fails while the caller's connection is full: then, too, the attempt's time is bounded."""
    began = threading.Event()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            length = 0
            while (line := self.rfile.readline()).strip():
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            self.rfile.read(length)
            event = b'data: {"choices":[{"index":0,"delta":{"content":"%s"}}]}\n\n'
            self.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")
            self.wfile.write(event % (b"x" * 8_000_000))
            assert began.wait(20), "the caller has been sent none of it"
            self.wfile.write(event % b"more" + b'data: {"error":{"message":"It broke."}}\n\n')

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        model = world.model(base_url=f"http://127.0.0.1:{server.server_address[1]}/v1", total_timeout_ms=3_000)
        body = json.dumps(chat(stream=True) | {"model": model}).encode()
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {world.key}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        with socket.create_connection(("127.0.0.1", world.lobby.port)) as connection:
            connection.sendall(head.encode() + body)
            connection.settimeout(20)
            received = connection.recv(4_096)
            began.set()
            line = settlement(world, received.split(b"x-lobby-request-id: ")[1][:32].decode())
        server.shutdown()
    assert line["outcome"] == "upstream_error"
