"""What holds of streams, timeouts and callers that leave, in front of Anthropic's API: translated for callers of chat
completions (the tests of ``test_streams``, as they are), and passed through for those of the Messages API.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fakes.process import FakeAnthropic
from tests.gateway.test_streams import (
    settlement,
    started,
    started_in,
    test_a_caller_that_leaves_a_plain_request_is_charged_what_was_measured,
    test_a_caller_that_leaves_is_charged_for_what_came_and_the_upstream_is_hung_up_on,
    test_a_connect_timeout_is_a_504_that_charges_nothing,
    test_a_failure_in_mid_stream_is_an_error_event_and_never_a_second_attempt,
    test_a_stream_arrives_whole_and_in_order_however_it_is_cut_into_pieces,
    test_a_stream_that_fails_before_its_first_byte_is_a_plain_error,
    test_an_attempt_that_fails_before_its_first_byte_goes_to_the_next_endpoint,
    test_an_explicit_zero_stays_zero_and_is_measured,
    test_an_unreachable_upstream_is_a_503,
    test_connections_to_the_upstream_are_reused_after_streams,
    test_each_timeout_strikes_in_its_phase,
    test_missing_usage_is_estimated_from_what_came,
    test_the_official_client_raises_on_a_stream_that_fails,
    test_usage_is_always_asked_for_upstream_and_shown_only_to_who_asked,
    tokens,
)
from tests.gateway.world import AnthropicWorld, chat
from tests.live import LobbyFactory
from tests.reliability.books import Books, read_books

__all__ = [
    "test_a_caller_that_leaves_a_plain_request_is_charged_what_was_measured",
    "test_a_caller_that_leaves_is_charged_for_what_came_and_the_upstream_is_hung_up_on",
    "test_a_connect_timeout_is_a_504_that_charges_nothing",
    "test_a_failure_in_mid_stream_is_an_error_event_and_never_a_second_attempt",
    "test_a_stream_arrives_whole_and_in_order_however_it_is_cut_into_pieces",
    "test_a_stream_that_fails_before_its_first_byte_is_a_plain_error",
    "test_an_attempt_that_fails_before_its_first_byte_goes_to_the_next_endpoint",
    "test_an_explicit_zero_stays_zero_and_is_measured",
    "test_an_unreachable_upstream_is_a_503",
    "test_connections_to_the_upstream_are_reused_after_streams",
    "test_each_timeout_strikes_in_its_phase",
    "test_missing_usage_is_estimated_from_what_came",
    "test_the_official_client_raises_on_a_stream_that_fails",
    "test_usage_is_always_asked_for_upstream_and_shown_only_to_who_asked",
]


@pytest.fixture(scope="module")
def world(lobby_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AnthropicWorld]:
    directory = tmp_path_factory.mktemp("anthropic")
    factory = LobbyFactory(lobby_template, directory)
    with ExitStack() as stack:
        stack.callback(factory.stop)
        fake = stack.enter_context(FakeAnthropic(directory / "count.jsonl"))
        world = AnthropicWorld(factory(start=False), fake, credential="sk-ant-fake")
        stack.callback(world.close)
        world.start()
        yield world


def message(text: str, **fields: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": text}]
    return {"model": "fake-chat", "max_tokens": 2_000, "messages": messages, "stream": True, **fields}


def read(world: AnthropicWorld, text: str, **fields: Any) -> tuple[list[tuple[str, dict[str, Any]]], httpx.Response]:
    """The events of one stream of the Messages API, by name, and the response."""
    response = world.post(message(text, **fields), path="/messages")
    events = []
    for part in response.text.replace("\r\n", "\n").strip().split("\n\n"):
        lines = [line for line in part.split("\n") if not line.startswith(":")]
        if lines:
            events.append((lines[0].removeprefix("event: "), json.loads(lines[1].removeprefix("data: "))))
    return events, response


def text_of(events: list[tuple[str, dict[str, Any]]]) -> str:
    return "".join(data["delta"].get("text", "") for name, data in events if name == "content_block_delta")


def words(count: int) -> str:
    return "".join(f"w{number} " for number in range(count))


@pytest.mark.parametrize("how", ["", "each", "split=1", "split=7", "split=1000", "crlf", "comments", "crlf split=3"])
def test_a_passing_stream_is_whole_and_measured_however_it_is_cut(world: AnthropicWorld, how: str) -> None:
    events, response = read(world, f"Hello [[chunks=30 {how} cached=1]]")
    assert text_of(events) == words(30)
    assert events[-1][0] == "message_stop"
    line = settlement(world, response.headers["x-lobby-request-id"])
    assert (line["status"], tokens(line)[1], line["cached_tokens"]) == ("measured", 30, 1)
    assert tokens(line)[0] == world.fake.attempts()[-1].prompt_tokens
    assert line["upstream_request_id"].startswith("req_")


@pytest.mark.parametrize(
    "fault",
    ["close_mid", "reset_mid", "error_event", "cut_event", "cut_event_clean", "cut_utf8", "malformed_json", "no_done"],
)
def test_a_passing_stream_that_fails_ends_in_an_error_event_and_never_in_a_second_attempt(
    world: AnthropicWorld, fault: str
) -> None:
    before = world.fake.count()
    events, response = read(world, f"Hello [[chunks=20 fail={fault} at=7 each cached=1]]")
    line = settlement(world, response.headers["x-lobby-request-id"])
    assert started(world) == started_in(before) + 1
    if fault == "no_done":  # all was said and measured, only the end was not announced
        assert (line["status"], tokens(line)[1]) == ("measured", 20)
        return
    assert text_of(events) == words(7)
    name, data = events[-1]
    assert (name, data["type"]) == ("error", "error")
    assert data["error"]["message"]
    assert data["request_id"] == response.headers["request-id"]
    # What the upstream read it told at the start; the rest is counted.
    assert (line["status"], tokens(line)) == ("estimated", (world.fake.attempts()[-1].prompt_tokens, 7))
    assert line["cached_tokens"] == 1


@pytest.mark.parametrize("chunks_read", [0, 1, 19, 20])
def test_a_caller_of_messages_that_leaves_is_charged_for_what_came(world: AnthropicWorld, chunks_read: int) -> None:
    body = json.dumps(message("Hello there [[chunks=20 delay_ms=25]]")).encode()
    head = (
        f"POST /v1/messages HTTP/1.1\r\nhost: x\r\nx-api-key: {world.key}\r\nanthropic-version: 2023-06-01\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    world.fake.wait_idle()
    received = b""
    with socket.create_connection(("127.0.0.1", world.lobby.port)) as connection:
        connection.sendall(head.encode() + body)
        connection.settimeout(10)
        while received.count(b'"text":"w') < chunks_read or not received:
            received += connection.recv(65536)
    line = settlement(world, received.split(b"x-lobby-request-id: ")[1][:32].decode())
    world.fake.wait_idle()
    sent = world.fake.attempts()[-1]
    assert sent.attempt == line["attempt_id"]
    if line["status"] == "measured":  # the stream had come to its end by then
        assert tokens(line) == (sent.prompt_tokens, 20)
    else:
        assert line["outcome"] == "cancelled"
        assert sent.outcome == "client_disconnected" or (chunks_read == 20 and sent.outcome == "completed")
        assert sent.completion_tokens is not None
        assert 0 <= sent.completion_tokens - tokens(line)[1] <= 2  # in flight


@pytest.mark.parametrize(
    ("directive", "limits", "status", "code"),
    [
        ("stall=headers", {"first_byte_timeout_ms": 300}, 504, "upstream_timeout_first_byte"),
        ("stall=first", {"first_byte_timeout_ms": 300}, 504, "upstream_timeout_first_byte"),
        ("stall=mid at=3 each", {"idle_timeout_ms": 300}, 200, "upstream_timeout_idle"),
        ("chunks=1000 delay_ms=20", {"total_timeout_ms": 400}, 200, "upstream_timeout_total"),
    ],
)
def test_each_timeout_is_told_in_the_messages_apis_shape(
    world: AnthropicWorld, directive: str, limits: dict[str, Any], status: int, code: str
) -> None:
    model = world.model(**limits)
    response = world.post(message(f"Hello [[{directive}]]", model=model), path="/messages")
    assert response.status_code == status
    error = json.loads(response.text.strip().split("data: ")[-1])
    assert (error["type"], error["error"]["type"], error["error"]["details"]["error_code"]) == (
        "error",
        "timeout_error",
        code,
    )
    line = settlement(world, response.headers["x-lobby-request-id"])
    assert (line["status"], line["outcome"]) == ("estimated", "upstream_error")


def test_writes_to_the_cache_are_parts_of_the_input_for_both_apis(world: AnthropicWorld) -> None:
    text = "one two three four five [[cached=1 cache_write=2 cache_write_1h=1]]"
    events, response = read(world, text)
    line = settlement(world, response.headers["x-lobby-request-id"])
    assert (tokens(line)[0], line["cached_tokens"], line["cache_write_tokens"]) == (8, 1, 3)
    usage = next(data["usage"] for name, data in events if name == "message_delta")
    assert usage["input_tokens"] == 4
    answer = world.openai().chat.completions.create(model="fake-chat", messages=[{"role": "user", "content": text}])
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == 8
    assert answer.usage.prompt_tokens_details is not None
    assert answer.usage.prompt_tokens_details.cached_tokens == 1


def test_the_ledger_agrees_with_the_upstreams_own_count(world: AnthropicWorld) -> None:
    before = {attempt.attempt for attempt in world.fake.attempts()}
    for number in range(20):
        read(world, f"Hello again [[chunks={number + 1}]]")
        world.post(message("Hello", stream=False), path="/messages")
        world.post(chat("Hello there", stream=bool(number % 2)))
        world.post(message(f"Hello [[fail={(400, 429, 503, 529)[number % 4]}]]", stream=False), path="/messages")
        world.post({"model": "fake-chat", "messages": message("Count me")["messages"]}, path="/messages/count_tokens")
    books = read_books(world)
    theirs = {attempt: facts for attempt, facts in books.theirs.items() if attempt not in before}
    ours = {attempt: facts for attempt, facts in books.ours.items() if attempt in theirs}
    assert len(theirs) == 100
    Books(ours, theirs, books.requests).check()
    assert sum(record["cost_picousd"] == 0 for record in ours.values()) == 40


def test_a_translated_stream_that_breaks_off_counts_the_input_that_the_upstream_told(world: AnthropicWorld) -> None:
    response = world.post(chat("Hello [[chunks=20 fail=close_mid at=7 each prompt_tokens=321]]", stream=True))
    line = settlement(world, response.headers["x-lobby-request-id"])
    assert (line["status"], tokens(line)) == ("estimated", (321, 7))
