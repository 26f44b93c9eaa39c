"""Test cards, and the pace of streams."""

from __future__ import annotations

import asyncio
import json
import math
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from apps.models.providers.sandbox import SandboxTransport, tokens
from tests.models.providers.sandbox_client import Sandbox, chat_body, joined, write_docs


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    return Sandbox(write_docs(tmp_path))


async def chunks_until_broken(response: httpx.Response) -> list[bytes]:
    assert isinstance(response.stream, httpx.AsyncByteStream)
    received: list[bytes] = []
    try:
        async for chunk in response.stream:
            received.append(chunk)
    except httpx.RemoteProtocolError:
        return received
    pytest.fail("The stream came to its end.")


async def test_a_refusal_comes_in_its_own_field(sandbox: Sandbox) -> None:
    answer = await sandbox.chat("[[refuse]] What is a budget?")
    message = answer["choices"][0]["message"]
    assert message["content"] is None
    assert "can't help" in message["refusal"]
    events = await sandbox.stream("[[refuse]]")
    assert joined(events, "refusal") == message["refusal"]
    assert joined(events) == ""


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (400, "invalid_request_error", "simulated_error"),
        (401, "authentication_error", "invalid_api_key"),
        (429, "rate_limit_error", "rate_limit_exceeded"),
        (500, "server_error", "simulated_error"),
        (503, "server_error", "simulated_error"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_an_error_of_the_status_asked_for(
    sandbox: Sandbox, status: int, kind: str, code: str, stream: bool
) -> None:
    body = chat_body(f"Hi [[error:{status}]]", model="sandbox-chat", stream=stream)
    got, error = await sandbox.refused("/chat/completions", body)
    assert (got, error["type"], error["code"]) == (status, kind, code)
    embedding = {"model": "sandbox-embed", "input": ["fine", f"[[error:{status}]]"]}
    assert (await sandbox.refused("/embeddings", embedding))[0] == status


async def test_an_error_may_say_when_to_come_back(sandbox: Sandbox) -> None:
    response = await sandbox.send("/chat/completions", chat_body("[[error:429,retry_after=7]]", model="sandbox-chat"))
    assert (response.status_code, response.headers["retry-after"]) == (429, "7")
    without = await sandbox.send("/chat/completions", chat_body("[[error:429]]", model="sandbox-chat"))
    assert "retry-after" not in without.headers


@pytest.mark.parametrize("count", [0, 1, 5])
async def test_a_stream_is_cut_after_the_chunks_asked_for(sandbox: Sandbox, count: int) -> None:
    body = chat_body(f"[[cut:{count}]] What is a budget?", model="sandbox-chat", stream=True)
    received = await chunks_until_broken(await sandbox.send("/chat/completions", body))
    events = [json.loads(chunk.removeprefix(b"data: ")) for chunk in received]
    assert tokens.count(joined(events)) == count
    assert all(event["choices"][0]["finish_reason"] is None for event in events)


async def test_a_stream_shorter_than_its_cut_breaks_at_its_end(sandbox: Sandbox) -> None:
    body = chat_body("[[cut:500]] Say hi", model="sandbox-chat", stream=True)
    received = await chunks_until_broken(await sandbox.send("/chat/completions", body))
    assert b"hi" in b"".join(received)


async def test_a_plain_answer_is_cut_in_its_middle(sandbox: Sandbox) -> None:
    body = chat_body("[[cut:5]] What is a budget?", model="sandbox-chat")
    received = b"".join(await chunks_until_broken(await sandbox.send("/chat/completions", body)))
    assert received.startswith(b"{")
    with pytest.raises(json.JSONDecodeError):
        json.loads(received)


async def test_a_stalled_stream_stays_open_and_says_no_more(sandbox: Sandbox) -> None:
    body = chat_body("[[stall:3]] What is a budget?", model="sandbox-chat", stream=True)
    response = await sandbox.send("/chat/completions", body)
    received: list[Any] = []
    assert isinstance(response.stream, httpx.AsyncByteStream)
    stream = aiter(response.stream)
    while True:
        try:
            chunk = await asyncio.wait_for(anext(stream), 0.2)
        except TimeoutError:
            break
        received.append(json.loads(chunk.removeprefix(b"data: ")))
    assert tokens.count(joined(received)) == 3


async def test_a_timeout_never_answers(sandbox: Sandbox) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await sandbox.send("/chat/completions", chat_body("[[timeout]]", model="sandbox-chat"))


async def test_a_long_answer_has_exactly_the_tokens_asked_for(sandbox: Sandbox) -> None:
    for size in (1, 2_000):
        answer = await sandbox.chat(f"[[long:{size}]]")
        assert answer["usage"]["completion_tokens"] == size
        assert tokens.count(answer["choices"][0]["message"]["content"]) == size


async def test_usage_can_be_left_out(sandbox: Sandbox) -> None:
    assert "usage" not in await sandbox.chat("[[no-usage]] Hi")
    events = await sandbox.stream("[[no-usage]] Hi", stream_options={"include_usage": True})
    assert all(event.get("usage") is None and event["choices"] for event in events)


async def test_cards_are_no_part_of_what_is_answered_and_only_the_last_message_s_play(sandbox: Sandbox) -> None:
    plain = await sandbox.say("What is a budget?")
    assert await sandbox.say("[[no-usage]]What is a budget?") == plain
    assert await sandbox.say("[[error:500]] Hello!", "…", "What is a budget?") == plain
    parts = [{"type": "text", "text": "[[refuse]]"}, {"type": "text", "text": "Hi"}]
    refused = await sandbox.chat({"role": "user", "content": parts})
    assert refused["choices"][0]["message"]["refusal"]


async def test_cards_combine_and_unknown_ones_are_text(sandbox: Sandbox) -> None:
    body = chat_body("[[long:500]][[cut:100]]", model="sandbox-chat", stream=True)
    received = await chunks_until_broken(await sandbox.send("/chat/completions", body))
    assert len(received) == 101
    assert await sandbox.say("Say [[hello]] [[x:1]]") == "[[hello]] [[x:1]]"


async def test_a_card_may_follow_the_model_s_name(sandbox: Sandbox) -> None:
    assert (await sandbox.refused("/chat/completions", chat_body("Hi", model="sandbox-chat+error:503")))[0] == 503
    answer = await sandbox.chat("Hi", model="sandbox-chat+long:9+no-usage")
    assert answer["model"] == "sandbox-chat"
    assert tokens.count(answer["choices"][0]["message"]["content"]) == 9
    assert "usage" not in answer


@pytest.mark.parametrize(
    "card",
    [
        "error",
        "error:200",
        "error:x",
        "error:429,after=3",
        "cut:-1",
        "long:0",
        "long:9999999",
        "slow:first=2",
        "slow:x",
    ],
)
async def test_a_card_that_is_written_wrongly_is_explained(sandbox: Sandbox, card: str) -> None:
    for model, text in (("sandbox-chat", f"[[{card}]]"), (f"sandbox-chat+{card}", "Hi")):
        status, error = await sandbox.refused("/chat/completions", chat_body(text, model=model))
        assert (status, error["code"]) == (400, "invalid_test_card")
    assert (await sandbox.refused("/chat/completions", chat_body("Hi", model="sandbox-chat+fly")))[0] == 400


async def timed(transport: SandboxTransport, text: str, *, stream: bool) -> tuple[float, float, int]:
    """Seconds to the response's head, seconds of its body, and its events."""
    request = httpx.Request(
        "POST", "http://sandbox/v1/chat/completions", json=chat_body(text, model="sandbox-chat", stream=stream)
    )
    began = time.monotonic()
    response = await transport.handle_async_request(request)
    head = time.monotonic()
    assert isinstance(response.stream, httpx.AsyncByteStream)
    events = [chunk async for chunk in response.stream]
    return head - began, time.monotonic() - head, len(events)


async def test_streams_come_at_the_pace_they_are_given(tmp_path: Path) -> None:
    transport = SandboxTransport(first_token_seconds=0.1, tokens_per_second=100, docs=tmp_path)
    first, rest, events = await timed(transport, "[[long:31]]", stream=True)
    assert events == 31 + 3
    assert 0.1 <= first < 2
    assert 0.3 - 0.02 <= rest < 3
    whole, _, _ = await timed(transport, "[[long:31]]", stream=False)
    assert whole >= 0.4


async def test_a_slow_card_sets_its_own_pace(tmp_path: Path) -> None:
    transport = SandboxTransport(first_token_seconds=0, tokens_per_second=math.inf, docs=tmp_path)
    first, rest, _ = await timed(transport, "[[slow:first=200ms,chunk=50ms]][[long:5]]", stream=True)
    assert 0.2 <= first < 2
    assert 0.2 - 0.02 <= rest < 2
    quick, at_once, _ = await timed(transport, "[[long:200]]", stream=True)
    assert quick + at_once < 1
