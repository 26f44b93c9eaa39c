"""What holds of streams, timeouts and callers that leave, in front of Amazon Bedrock and of Amazon SageMaker: for
callers of chat completions (the tests of ``test_streams``, as they are) and for those of Converse, of which each
provider passes one through.
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
from botocore.eventstream import EventStreamBuffer

from tests.fakes.process import FakeBedrock, FakeSageMaker
from tests.gateway.aws_world import BedrockWorld, SageMakerWorld
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
    tokens,
)
from tests.gateway.world import World, bearer, chat
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
]
KINDS = {"bedrock": (FakeBedrock, BedrockWorld), "sagemaker": (FakeSageMaker, SageMakerWorld)}


@pytest.fixture(scope="module", params=KINDS)
def world(
    request: pytest.FixtureRequest, lobby_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    make_fake, make_world = KINDS[request.param]
    directory = tmp_path_factory.mktemp(request.param)
    factory = LobbyFactory(lobby_template, directory)
    with ExitStack() as stack:
        stack.callback(factory.stop)
        fake = stack.enter_context(make_fake(directory / "count.jsonl"))
        world = make_world(factory(start=False), fake)
        stack.callback(world.close)
        world.start()
        yield world


def message(text: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [{"text": text}]}]}


def read(world: World, text: str, model: str = "fake-chat") -> tuple[list[tuple[str, dict[str, Any]]], httpx.Response]:
    """The messages of one ConverseStream, by their names, as botocore reads them; and the response."""
    url = f"{world.lobby.url}/model/{model}/converse-stream"
    response = httpx.post(url, json=message(text), headers=bearer(world.key), timeout=30)
    buffer = EventStreamBuffer()
    buffer.add_data(response.content if response.status_code == 200 else b"")
    names = (":event-type", ":exception-type")
    return [
        (next(each.headers[name] for name in names if name in each.headers), json.loads(each.payload))
        for each in buffer
    ], response


def text_of(events: list[tuple[str, dict[str, Any]]]) -> str:
    return "".join(data["delta"]["text"] for name, data in events if name == "contentBlockDelta")


def words(count: int) -> str:
    return "".join(f"w{number} " for number in range(count))


@pytest.mark.parametrize("how", ["", "each", "split=1", "split=7", "split=1000"])
def test_a_converse_stream_is_whole_and_measured_however_it_is_cut(world: World, how: str) -> None:
    events, response = read(world, f"Hello [[chunks=30 {how} cached=1]]")
    assert text_of(events) == words(30)
    assert events[-1][0] == "metadata"
    line = settlement(world, response.headers["x-lobby-request-id"])
    assert (line["status"], tokens(line)[1], line["cached_tokens"]) == ("measured", 30, 1)
    assert tokens(line)[0] == world.fake.attempts()[-1].prompt_tokens
    assert line["upstream_request_id"].startswith("req_")


@pytest.mark.parametrize(
    "fault", ["close_mid", "reset_mid", "error_event", "cut_event", "cut_event_clean", "cut_utf8", "malformed_json"]
)
def test_a_converse_stream_that_fails_ends_in_an_exception_and_never_in_a_second_attempt(
    world: World, fault: str
) -> None:
    before = world.fake.count()
    events, response = read(world, f"Hello [[chunks=20 fail={fault} at=7 each]]")
    line = settlement(world, response.headers["x-lobby-request-id"])
    assert started(world) == started_in(before) + 1
    name, data = events[-1]
    assert name == "modelStreamErrorException"
    assert data["message"]
    assert text_of(events[:-1]) == words(7)
    assert (line["status"], tokens(line)[1]) == ("estimated", 7)


@pytest.mark.parametrize("chunks_read", [0, 1, 19, 20])
def test_a_caller_of_converse_that_leaves_is_charged_for_what_came(world: World, chunks_read: int) -> None:
    body = json.dumps(message("Hello there [[chunks=20 delay_ms=25]]")).encode()
    head = (
        f"POST /model/fake-chat/converse-stream HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {world.key}\r\n"
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
    ("directive", "limits", "name"),
    [
        ("stall=headers", {"first_byte_timeout_ms": 300}, "ModelTimeoutException"),
        ("stall=first", {"first_byte_timeout_ms": 300}, "ModelTimeoutException"),
        ("stall=mid at=3 each", {"idle_timeout_ms": 300}, ""),
        ("chunks=1000 delay_ms=20", {"total_timeout_ms": 400}, ""),
    ],
)
def test_each_timeout_is_told_as_aws_tells_it(world: World, directive: str, limits: dict[str, Any], name: str) -> None:
    events, response = read(world, f"Hello [[{directive}]]", world.model(**limits))
    if name:
        assert (response.status_code, response.headers["x-amzn-errortype"]) == (504, name)
    else:
        assert (events[-1][0], "upstream_timeout" in events[-1][1]["code"]) == ("modelStreamErrorException", True)
    line = settlement(world, response.headers["x-lobby-request-id"])
    assert (line["status"], line["outcome"]) == ("estimated", "upstream_error")


def test_the_ledger_agrees_with_the_upstreams_own_count(world: World) -> None:
    before = {attempt.attempt for attempt in world.fake.attempts()}
    url = f"{world.lobby.url}/model/fake-chat/converse"
    for number in range(20):
        read(world, f"Hello again [[chunks={number + 1}]]")
        httpx.post(url, json=message("Hello"), headers=bearer(world.key), timeout=30)
        world.post(chat("Hello there", stream=bool(number % 2)))
        world.post(chat(f"Hello [[fail={(400, 429, 503, 500)[number % 4]}]]"))
    books = read_books(world)
    theirs = {attempt: facts for attempt, facts in books.theirs.items() if attempt not in before}
    ours = {attempt: facts for attempt, facts in books.ours.items() if attempt in theirs}
    assert len(theirs) >= 80
    Books(ours, theirs, books.requests).check()
