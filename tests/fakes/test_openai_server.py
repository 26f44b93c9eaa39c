"""The fake upstream keeps its promises: the official client understands it, its faults happen, its count is right."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from tests.fakes.behaviour import Behaviour, DirectiveError, parse
from tests.fakes.blackhole import blackhole
from tests.fakes.count import CountLog, read_attempts
from tests.fakes.process import FakeOpenAI

HELLO: list[Any] = [{"role": "user", "content": "one two three"}]
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}, "unit": {"enum": ["C", "F"]}},
            "required": ["city"],
        },
    },
}


@pytest.fixture(scope="module")
def fake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeOpenAI]:
    with FakeOpenAI(tmp_path_factory.mktemp("fake") / "count.jsonl") as server:
        yield server


@pytest.fixture
def client(fake: FakeOpenAI) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=fake.url, api_key="sk-fake", max_retries=0, timeout=5) as its_client:
        yield its_client


def last(fake: FakeOpenAI) -> Any:
    fake.wait_idle()
    return fake.attempts()[-1]


def raw(fake: FakeOpenAI, directive: str, *, stream: bool = True) -> Any:
    """One request sent by hand; the response is streamed, so that a broken one can be looked at."""
    body = {"model": "fake-chat", "stream": stream, "metadata": {"fake": directive}, "messages": HELLO}
    return httpx.stream(
        "POST", f"{fake.url}/chat/completions", json=body, headers={"authorization": "Bearer sk-raw"}, timeout=5
    )


def test_lists_and_retrieves_models(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["fake-chat", "fake-chat-mini", "fake-embed"]
    assert client.models.retrieve("fake-chat").owned_by == "fake"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("no-such-model")


def test_chats_and_counts(client: openai.OpenAI, fake: FakeOpenAI) -> None:
    answer = client.chat.completions.create(
        model="fake-chat@chunks=5,cached=2,reasoning=4",
        messages=HELLO,
        n=2,
        logprobs=True,
        extra_headers={"x-lobby-attempt-id": "attempt-1"},
    )
    assert [choice.message.content for choice in answer.choices] == ["w0 w1 w2 w3 w4 "] * 2
    assert answer.choices[0].finish_reason == "stop"
    assert answer.choices[0].logprobs is not None
    assert answer.choices[0].logprobs.content is not None
    assert len(answer.choices[0].logprobs.content) == 5
    usage = answer.usage
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (3, 14, 17)
    assert usage.prompt_tokens_details is not None
    assert usage.prompt_tokens_details.cached_tokens == 2
    attempt = last(fake)
    assert (attempt.attempt, attempt.credential, attempt.outcome) == ("attempt-1", "sk-fake", "completed")
    assert (attempt.prompt_tokens, attempt.completion_tokens, attempt.usage_sent) == (3, 14, True)


def test_max_tokens_cuts_the_answer(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="fake-chat", messages=HELLO, max_tokens=3)
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 3


@pytest.mark.parametrize(
    "pace", ["", " each", " delay_ms=1", " split=1", " split=7 crlf comments utf8", " gzip comments"]
)
def test_streams_the_same_text_however_it_is_sent(client: openai.OpenAI, fake: FakeOpenAI, pace: str) -> None:
    stream = client.chat.completions.create(
        model="fake-chat",
        messages=[{"role": "user", "content": f"[[chunks=6{pace}]]"}],
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    word = "é{}字🙂 " if "utf8" in pace else "w{} "
    assert text == "".join(word.format(index) for index in range(6))
    assert len({chunk.id for chunk in chunks}) == 1
    assert [chunk.usage for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 6
    # The client hangs up at [DONE]: byte by byte the body's own end comes after it.
    outcomes = {"completed", "client_disconnected"} if "split" in pace else {"completed"}
    assert last(fake).outcome in outcomes
    assert last(fake).completion_tokens == 6


def test_a_stream_tells_its_usage_only_when_asked(client: openai.OpenAI, fake: FakeOpenAI) -> None:
    for chunk in client.chat.completions.create(model="fake-chat", messages=HELLO, stream=True):
        assert chunk.usage is None
        assert len(chunk.choices) == 1
    assert last(fake).usage_sent is False


@pytest.mark.parametrize(("kind", "told"), [("missing", None), ("zero", 0)])
def test_usage_can_be_missing_or_zero(client: openai.OpenAI, kind: str, told: int | None) -> None:
    answer = client.chat.completions.create(model=f"fake-chat@usage={kind}", messages=HELLO)
    assert (answer.usage and answer.usage.total_tokens) == told
    stream = client.chat.completions.create(
        model=f"fake-chat@usage={kind}", messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    seen = [chunk.usage.total_tokens for chunk in stream if chunk.usage is not None]
    assert seen == ([] if told is None else [0])


def test_cumulative_usage_on_every_chunk(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(model="fake-chat@usage=every,chunks=3", messages=HELLO, stream=True)
    counts = [chunk.usage.completion_tokens for chunk in stream if chunk.usage is not None]
    assert counts == [0, 1, 2, 3, 3]


def test_calls_the_tool_it_is_made_to_call(client: openai.OpenAI, fake: FakeOpenAI) -> None:
    answer = client.chat.completions.create(
        model="fake-chat",
        messages=HELLO,
        tools=[WEATHER],
        tool_choice={"type": "function", "function": {"name": "weather"}},
    )
    calls = answer.choices[0].message.tool_calls
    assert calls is not None
    assert calls[0].type == "function"
    assert json.loads(calls[0].function.arguments) == {"city": "fake", "days": 1, "unit": "C"}
    pieces = []
    stream = client.chat.completions.create(
        model="fake-chat", messages=HELLO, tools=[WEATHER], tool_choice="required", stream=True
    )
    for chunk in stream:
        for call in chunk.choices[0].delta.tool_calls or []:
            assert call.function is not None
            pieces.append(call.function.arguments or "")
    assert "".join(pieces) == calls[0].function.arguments
    assert last(fake).completion_tokens == len(pieces) - 1 > 1
    assert answer.choices[0].finish_reason == "tool_calls"


def test_tools_left_open_are_not_called_unless_told(client: openai.OpenAI) -> None:
    for directive, reason in (("", "stop"), ("@tool", "tool_calls")):
        answer = client.chat.completions.create(model=f"fake-chat{directive}", messages=HELLO, tools=[WEATHER])
        assert answer.choices[0].finish_reason == reason


def test_fills_a_json_schema(client: openai.OpenAI) -> None:
    schema: Any = {
        "$defs": {"tag": {"type": "string", "enum": ["x", "y"]}},
        "type": "object",
        "properties": {
            "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}, "minItems": 2},
            "age": {"type": ["integer", "null"], "minimum": 18},
            "ok": {"anyOf": [{"type": "boolean"}, {"type": "null"}]},
        },
    }
    answer = client.chat.completions.create(
        model="fake-chat",
        messages=HELLO,
        response_format={"type": "json_schema", "json_schema": {"name": "s", "schema": schema}},
    )
    assert json.loads(answer.choices[0].message.content or "") == {"tags": ["x", "x"], "age": 18, "ok": True}


def test_embeds_the_same_in_both_encodings(client: openai.OpenAI, fake: FakeOpenAI) -> None:
    floats = client.embeddings.create(model="fake-embed", input=["a b", "c"], encoding_format="float")
    default = client.embeddings.create(model="fake-embed", input=["a b", "c"])
    assert [len(row.embedding) for row in floats.data] == [8, 8]
    for one, other in zip(floats.data, default.data, strict=True):
        assert other.embedding == pytest.approx(one.embedding, abs=1e-6)
    assert sum(value * value for value in floats.data[0].embedding) == pytest.approx(1)
    assert floats.usage.prompt_tokens == 3
    assert (last(fake).path, last(fake).prompt_tokens, last(fake).completion_tokens) == ("/v1/embeddings", 3, 0)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, openai.BadRequestError),
        (401, openai.AuthenticationError),
        (403, openai.PermissionDeniedError),
        (404, openai.NotFoundError),
        (408, openai.APIStatusError),
        (409, openai.ConflictError),
        (413, openai.APIStatusError),
        (422, openai.UnprocessableEntityError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
        (502, openai.InternalServerError),
        (503, openai.InternalServerError),
        (504, openai.InternalServerError),
    ],
)
def test_fails_with_any_status(
    client: openai.OpenAI, fake: FakeOpenAI, status: int, error: type[openai.APIStatusError]
) -> None:
    with pytest.raises(error) as raised:
        client.chat.completions.create(model=f"fake-chat@fail={status},code=made_up", messages=HELLO, stream=True)
    assert raised.value.status_code == status
    assert raised.value.code == "made_up"
    assert raised.value.response.headers.get("retry-after") == ("1" if status == 429 else None)
    assert (last(fake).outcome, last(fake).completion_tokens) == (f"faulted:{status}", 0)


def test_a_failure_may_have_an_html_body_and_a_retry_after(fake: FakeOpenAI) -> None:
    with raw(fake, "fail=503 body=html retry_after=7") as response:
        assert response.status_code == 503
        assert response.headers["retry-after"] == "7"
        assert response.headers["content-type"] == "text/html"
        assert response.read().startswith(b"<html>")


def test_faults_of_the_first_n_requests_and_of_every_nth(fake: FakeOpenAI) -> None:
    def statuses(directive: str, count: int) -> list[int]:
        seen = []
        for _ in range(count):
            with raw(fake, directive, stream=False) as response:
                seen.append(response.status_code)
        return seen

    assert statuses("fail=503 first=2 key=one", 4) == [503, 503, 200, 200]
    assert statuses("fail=500 every=3 key=two", 6) == [200, 200, 500, 200, 200, 500]


@pytest.mark.parametrize("fault", ["close", "reset"])
def test_closes_before_the_headers(fake: FakeOpenAI, fault: str) -> None:
    with (
        pytest.raises(httpx.NetworkError if fault == "reset" else httpx.RemoteProtocolError),
        raw(fake, f"fail={fault}"),
    ):
        pass
    assert last(fake).outcome == f"faulted:{fault}"


@pytest.mark.parametrize(
    ("fault", "chunks", "tail"),
    [
        ("close_headers", 0, b""),
        ("close_mid", 3, b"\n\n"),
        ("cut_event", 3, b""),
        ("cut_utf8", 3, b'"content":"\xf0\x9f'),
    ],
)
@pytest.mark.parametrize("delay", ["", " delay_ms=1"])
def test_breaks_off_inside_a_stream(fake: FakeOpenAI, fault: str, chunks: int, tail: bytes, delay: str) -> None:
    parts: list[bytes] = []
    with raw(fake, f"chunks=9 at=3 fail={fault}{delay}") as response:
        assert response.status_code == 200
        with pytest.raises(httpx.RemoteProtocolError):
            parts.extend(response.iter_raw())
    received = b"".join(parts)
    assert received.count(b'"content":"w') == chunks + (fault == "cut_event" and b'"content":"w3' in received)
    assert received.endswith(tail)
    assert b"[DONE]" not in received
    assert (last(fake).outcome, last(fake).completion_tokens) == (f"faulted:{fault}", chunks)


@pytest.mark.parametrize("fault", ["error_event", "cut_event_clean", "malformed_json", "no_done"])
def test_a_stream_may_go_wrong_and_still_end_well_formed(fake: FakeOpenAI, fault: str) -> None:
    with raw(fake, f"chunks=5 at=2 fail={fault}") as response:
        text = response.read().decode()
    assert "[DONE]" not in text
    events = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    if fault == "error_event":
        assert json.loads(events[-1])["error"]["type"] == "server_error"
    elif fault == "no_done":
        assert json.loads(events[-1])["choices"][0]["finish_reason"] == "stop"
    else:
        with pytest.raises(json.JSONDecodeError):
            json.loads(events[-1])
    assert last(fake).completion_tokens == (5 if fault == "no_done" else 2)


def test_the_official_client_raises_on_an_error_event(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(model="fake-chat@fail=error_event,at=2", messages=HELLO, stream=True)
    received: list[Any] = []
    with pytest.raises(openai.APIError):
        received.extend(stream)


def test_malformed_empty_and_mislabelled_plain_answers(fake: FakeOpenAI) -> None:
    with raw(fake, "fail=malformed_json", stream=False) as response:
        response.read()
        with pytest.raises(json.JSONDecodeError):
            response.json()
    with raw(fake, "fail=empty", stream=False) as response:
        assert (response.status_code, response.read()) == (200, b"")
    for stream in (False, True):
        with raw(fake, "fail=error_200", stream=stream) as response:
            response.read()
            assert (response.status_code, response.json()["error"]["message"]) == (200, "Fault on demand: 503")
    with raw(fake, "content_type=text/html gzip", stream=False) as response:
        response.read()
        assert response.headers["content-type"] == "text/html"
        assert response.headers["content-encoding"] == "gzip"
        assert response.json()["object"] == "chat.completion"


def test_a_huge_answer(fake: FakeOpenAI) -> None:
    with raw(fake, "chunks=1 size=20000000", stream=False) as response:
        response.read()
    assert len(response.json()["choices"][0]["message"]["content"]) == 20_000_000


@pytest.mark.parametrize(("stall", "chunks"), [("headers", 0), ("first", 0), ("mid", 2)])
def test_stalls_in_each_phase_until_the_client_leaves(
    client: openai.OpenAI, fake: FakeOpenAI, stall: str, chunks: int
) -> None:
    received: list[Any] = []
    hasty = client.with_options(timeout=0.2).chat.completions
    with pytest.raises((openai.APITimeoutError, httpx.ReadTimeout)):
        received.extend(hasty.create(model=f"fake-chat@stall={stall},at=2", messages=HELLO, stream=True))
    assert sum(bool(chunk.choices[0].delta.content) for chunk in received) == chunks
    assert (last(fake).outcome, last(fake).completion_tokens) == ("client_disconnected", chunks)


def test_delays_are_kept(fake: FakeOpenAI) -> None:
    for directive, at_least in (("headers_ms=50", 0.05), ("ttft_ms=50", 0.05), ("chunks=3 delay_ms=20", 0.06)):
        started = time.monotonic()
        with raw(fake, directive) as response:
            response.read()
        assert time.monotonic() - started >= at_least


def test_stamped_chunks_are_numbered_and_in_time(fake: FakeOpenAI) -> None:
    before = time.monotonic_ns()
    with raw(fake, "chunks=3 stamp delay_ms=2") as response:
        lines = [line.removeprefix("data: ") for line in response.iter_lines() if line.startswith("data: {")]
    texts = [json.loads(line)["choices"][0]["delta"].get("content") for line in lines]
    stamps = [text.strip().split("@") for text in texts if text]
    assert [index for index, _ in stamps] == ["0", "1", "2"]
    times = [int(stamp) for _, stamp in stamps]
    assert before < times[0] < times[1] < times[2] < time.monotonic_ns()


def test_a_client_that_leaves_is_counted_with_what_it_was_sent(client: openai.OpenAI, fake: FakeOpenAI) -> None:
    stream = client.chat.completions.create(model="fake-chat@chunks=1000,delay_ms=5", messages=HELLO, stream=True)
    seen = 0
    for chunk in stream:
        seen += bool(chunk.choices[0].delta.content)
        if seen == 4:
            break
    stream.close()
    attempt = last(fake)
    assert attempt.outcome == "client_disconnected"
    assert 4 <= attempt.completion_tokens < 1000
    assert attempt.usage_sent is False


def test_a_client_that_does_not_read_stops_the_stream(fake: FakeOpenAI) -> None:
    body = json.dumps({"model": "fake-chat@chunks=3000,size=20000,each", "stream": True, "messages": HELLO}).encode()
    with socket.create_connection(("127.0.0.1", fake.port)) as sock:
        sock.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer k\r\ncontent-length: %d\r\n\r\n%s"
            % (len(body), body)
        )
        assert sock.recv(100)
        assert fake.count()["in_flight"] == 1
    attempt = last(fake)
    assert attempt.outcome == "client_disconnected"
    assert attempt.completion_tokens < 3000


def test_pipelined_requests_are_answered_in_order(fake: FakeOpenAI) -> None:
    request = b""
    for chunks, directive in ((3, "headers_ms=20"), (2, ""), (1, "delay_ms=1")):
        body = json.dumps({"model": f"fake-chat@chunks={chunks},{directive}", "messages": HELLO}).encode()
        request += (
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer k\r\n"
            b"content-length: %d\r\n%s\r\n%s" % (len(body), b"connection: close\r\n" if chunks == 1 else b"", body)
        )
    received = b""
    with socket.create_connection(("127.0.0.1", fake.port), timeout=5) as sock:
        sock.sendall(request)
        while data := sock.recv(65536):
            received += data
    assert [received.index(b'"content":"%s"' % text) for text in (b"w0 w1 w2 ", b"w0 w1 ", b"w0 ")] == sorted(
        received.index(b'"content":"%s"' % text) for text in (b"w0 w1 w2 ", b"w0 w1 ", b"w0 ")
    )


def test_the_mode_rules_over_every_request(fake: FakeOpenAI, client: openai.OpenAI) -> None:
    try:
        fake.control("all 503")
        with pytest.raises(openai.InternalServerError):
            client.chat.completions.create(model="fake-chat", messages=HELLO)
        fake.control("chunks=2")
        answer = client.chat.completions.create(model="fake-chat@chunks=9", messages=HELLO)
        assert answer.choices[0].message.content == "w0 w1 "
    finally:
        fake.control("normal")
    assert client.chat.completions.create(model="fake-chat", messages=HELLO).usage is not None


def test_requests_are_kept_as_they_came(fake: FakeOpenAI, client: openai.OpenAI) -> None:
    client.chat.completions.create(model="fake-chat", messages=HELLO, extra_body={"unknown_field": [1]})
    request = fake.requests()[-1]
    assert request["path"] == "/v1/chat/completions"
    assert ["authorization", "Bearer sk-fake"] in request["headers"]
    assert json.loads(request["body"])["unknown_field"] == [1]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"{", None),
        (b"[]", None),
        (b"{}", "model"),
        (b'{"model": "m"}', "messages"),
        (b'{"model": "m", "messages": []}', "messages"),
        (b'{"model": "m@chunkz=1", "messages": [{"role": "user", "content": "x"}]}', None),
        (b'{"model": "m", "messages": [{"role": "user", "content": "x"}], "tools": [1]}', None),
    ],
)
def test_bad_requests_get_a_400_in_openai_shape(fake: FakeOpenAI, body: bytes, param: str | None) -> None:
    answer = httpx.post(f"{fake.url}/chat/completions", content=body, headers={"authorization": "Bearer k"})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param
    assert last(fake).outcome == "faulted:400"


def test_only_the_required_key_is_let_in() -> None:
    with FakeOpenAI(None, "--require-key", "sk-right") as server:
        for key, status in (("sk-right", 200), ("sk-wrong", 401), ("", 401)):
            answer = httpx.get(f"{server.url}/models", headers={"authorization": f"Bearer {key}"} if key else {})
            assert answer.status_code == status


@pytest.mark.parametrize("fsync", ["group", "always"])
def test_the_count_survives_a_kill_and_goes_on_after_it(tmp_path: Path, fsync: str) -> None:
    path = tmp_path / "count.jsonl"
    server = FakeOpenAI(path, "--fsync", fsync).start()
    port = server.port
    with raw(server, "chunks=4", stream=False) as response:
        response.read()
    with raw(server, "chunks=100 stall=mid at=2") as response:
        pieces = response.iter_raw()
        next(pieces)
        server.count()
        server.kill()
    with path.open("ab") as file:
        file.write(b'{"event": "arr')
    killed = read_attempts(path)
    assert [(attempt.seq, attempt.outcome) for attempt in killed] == [(1, "completed"), (2, None)]
    with server:
        assert server.port == port
        with raw(server, "chunks=7", stream=False) as response:
            response.read()
        after = server.attempts()
    assert [(attempt.seq, attempt.outcome) for attempt in after] == [(1, "completed"), (2, None), (3, "completed")]
    assert after[2].completion_tokens == 7


def test_attempts_running_when_the_server_stops_are_counted_as_stopped(tmp_path: Path) -> None:
    path = tmp_path / "count.jsonl"
    server = FakeOpenAI(path).start()
    with raw(server, "stall=mid at=3") as response:
        pieces = response.iter_raw()
        next(pieces)
        server.stop()
    (attempt,) = read_attempts(path)
    assert (attempt.outcome, attempt.completion_tokens) == ("server_stopped", 3)
    assert not server.running


@pytest.mark.asyncio
async def test_the_group_commit_writes_both_lines_of_an_attempt(tmp_path: Path) -> None:
    log = CountLog(tmp_path / "count.jsonl")
    seq = log.arrival(attempt="a", path="/p", credential="c", model="m", stream=False, prompt_tokens=1, planned=2)
    log.end(seq, attempt="a", outcome="completed", prompt_tokens=1, completion_tokens=2, usage_sent=True)
    log.close()
    (attempt,) = read_attempts(tmp_path / "count.jsonl")
    assert (attempt.attempt, attempt.completion_tokens, log.in_flight) == ("a", 2, 0)


def test_a_blackhole_neither_accepts_nor_refuses() -> None:
    with blackhole() as url, pytest.raises(httpx.ConnectTimeout):
        httpx.get(url, timeout=0.2)


def test_directives_are_read_strictly() -> None:
    assert parse("chunks=50, delay_ms=2.5;utf8") == Behaviour(chunks=50, delay_ms=2.5, utf8=True)
    for wrong in ("chunk=1", "chunks=x", "fail=200", "fail=oops", "usage=some", "utf8=yes"):
        with pytest.raises(DirectiveError):
            parse(wrong)
