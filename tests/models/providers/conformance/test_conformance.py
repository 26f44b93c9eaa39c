"""One suite for every pair of dialects: what a caller says in one reaches an upstream that speaks another, and the
answer comes back whole, plain and streamed, wherever the stream is cut; broken ones are a clean error.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from itertools import pairwise

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from apps.models.providers.base import ProviderError, StreamDecoder, Target, UpstreamCall, Usage
from apps.models.providers.composed import ComposedAdapter
from apps.models.providers.dialects import CHAT, CONVERSE, MESSAGES, RESPONSES
from apps.models.providers.dialects.base import ConversationDialect
from apps.models.providers.framing import MAX_EVENT_BYTES
from apps.models.providers.services import HeaderService
from tests.models.providers.conformance.chat import ChatVoice
from tests.models.providers.conformance.converse import ConverseVoice
from tests.models.providers.conformance.messages import MessagesVoice
from tests.models.providers.conformance.responses import ResponsesVoice
from tests.models.providers.conformance.voices import PNG, SCHEMA, Asked, Said, Turn, Voice, told

VOICES: dict[str, Voice] = {
    "chat": ChatVoice(),
    "responses": ResponsesVoice(),
    "messages": MessagesVoice(),
    "converse": ConverseVoice(),
}
UPSTREAMS: dict[str, ConversationDialect] = {
    "chat": CHAT,
    "responses": RESPONSES,
    "messages": MESSAGES,
    "converse": CONVERSE,
}
PAIRS = [(front, upstream) for front in VOICES for upstream in UPSTREAMS]
TARGET = Target("https://example.com", "upstream-model", "key", max_output_tokens=4_000)

ARGUMENTS = '{"city": "Oslo"}'
CALL = ("call_1", "weather", ARGUMENTS)
HELLO = Asked((Turn("user", "Hello"),))
QUESTIONS = {
    "a text": HELLO,
    "several turns": Asked(
        (Turn("user", "Hello"), Turn("assistant", "Hi. \n é日本🙂"), Turn("user", "Go on")), "Be kind."
    ),
    "an image": Asked((Turn("user", "What is it?", (PNG,)),)),
    "tools": replace(HELLO, tools=("weather", "time")),
    "a tool that is named": replace(HELLO, tools=("weather", "time"), choice="time"),
    "a tool that is required": replace(HELLO, tools=("weather",), choice="required"),
    "no tool": replace(HELLO, tools=("weather",), choice="none"),
    "one tool at a time": replace(HELLO, tools=("weather",), parallel=False),
    "results of tools": Asked(
        (
            Turn("user", "And there?"),
            Turn("assistant", "I look.", calls=(CALL, ("call_2", "time", "{}"))),
            Turn("user", results=(("call_1", "Rain"), ("call_2", "Noon"))),
            Turn("assistant", "Rain at noon."),
            Turn("user", "Thanks"),
        ),
        tools=("weather", "time"),
    ),
    "a form": replace(HELLO, schema=SCHEMA),
    "thought": replace(HELLO, effort="medium", max_tokens=20_000),
    "stops": replace(HELLO, stop=("END", "\n\n")),
    "sampling": replace(HELLO, temperature=0.5, top_p=0.9),
}
ANSWERS = {
    "a text": Said('Hello, caller. é日本🙂 "quoted" \\ data: [DONE]\n\nevent: error'),
    "length": Said("Hello", stop="length"),
    "a call": Said(calls=(CALL,), stop="tool_calls"),
    "a call without arguments": Said(calls=(("call_1", "time", "{}"),), stop="tool_calls"),
    "two calls after a text": Said("I look.", calls=(CALL, ("call_2", "time", "{}")), stop="tool_calls"),
    "thought": Said("So.", "Hm, let me see", "c2lnbmVk", usage=Usage(9, 8, reasoning_tokens=5)),
    "a filter": Said("I", stop="content_filter"),
    "usage of every kind": Said(
        "Hi",
        usage=Usage(50, 9, cached_tokens=20, cache_write_tokens=12, cache_write_1h_tokens=5, reasoning_tokens=4),
    ),
    "usage of nothing": Said("Hi", usage=Usage()),
}


def adapter(upstream: str) -> ComposedAdapter:
    dialect = UPSTREAMS[upstream]
    service = HeaderService(lambda target, operation, stream: target.base_url)
    return ComposedAdapter(service, {dialect.operation: dialect}, into=dialect)


def call(front: str, asked: Asked = HELLO, *, stream: bool = False) -> UpstreamCall:
    voice = VOICES[front]
    named = {} if voice.operation == "converse" else {"model": "m"}  # there it stands in the path
    fields = {**named, **voice.request(asked, stream=stream)}
    raw = {name: Raw(json.dumps(value).encode()) for name, value in fields.items()}
    return UpstreamCall(voice.operation, raw, stream=stream, wants_usage=True, model="m")


def decoder(front: str, upstream: str) -> StreamDecoder:
    headers = httpx.Headers({"content-type": UPSTREAMS[upstream].stream_type})
    return adapter(upstream).stream_decoder(TARGET, call(front, stream=True), headers)


def expected(said: Said, front: str, upstream: str, *, stream: bool) -> Said:
    voices = (VOICES[front], VOICES[upstream])
    # Chat's streams have no place in which an upstream signs.
    signed = all(voice.signs for voice in voices) and not (stream and upstream == "chat")
    return replace(said, usage=told(said.usage, *voices), signature=said.signature if signed else "")


def without(asked: Asked, lacks: frozenset[str]) -> Asked:
    """The question of a voice, or to one, that has no word for these."""
    return replace(asked, **{name: getattr(HELLO, name) for name in lacks})


@pytest.mark.parametrize(
    ("front", "upstream", "question"),
    [
        (*pair, question)
        for pair in PAIRS
        for question in QUESTIONS
        if (pair[0], question) != ("converse", "no tool")  # its callers offer none in the place of saying so
    ],
)
def test_what_is_asked_arrives(front: str, upstream: str, question: str) -> None:
    asked = without(QUESTIONS[question], VOICES[front].lacks)
    wanted = without(asked, VOICES[upstream].lacks)
    unsaid = wanted != asked
    if question == "no tool" and upstream == "converse":
        wanted = replace(wanted, tools=(), choice="")  # where no tool is offered, none is called
    target = replace(TARGET, upstream_model=VOICES[upstream].model)
    for stream in (False, True):
        prepared = adapter(upstream).prepare(target, call(front, asked, stream=stream), attempt_id="a")
        body = prepared.request.read()
        assert VOICES[upstream].understood(body) == wanted
        assert bool(prepared.dropped) == unsaid, "what cannot be said is named, and nothing else is"
        assert json.loads(body).get("model", "upstream-model") == "upstream-model"


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize(("front", "upstream"), PAIRS)
def test_a_plain_answer_comes_back(front: str, upstream: str, answer: str) -> None:
    said = ANSWERS[answer]
    parsed = adapter(upstream).parse(TARGET, call(front), httpx.Headers(), VOICES[upstream].plain(said))
    wanted = expected(said, front, upstream, stream=False)
    assert VOICES[front].seen(parsed.body) == wanted
    assert parsed.usage == told(said.usage, VOICES[upstream])


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize(("front", "upstream"), PAIRS)
def test_a_stream_comes_back_wherever_it_is_cut(front: str, upstream: str, answer: str) -> None:
    said = ANSWERS[answer]
    data = VOICES[upstream].stream(said)
    wanted = expected(said, front, upstream, stream=True)
    step = max(1, len(data) // 150)
    for place in range(0, len(data), step):
        reading = decoder(front, upstream)
        out = reading.feed(data[:place]) + reading.feed(data[place:])
        assert reading.finished
        assert reading.error is None
        assert reading.usage == told(said.usage, VOICES[upstream])
        assert VOICES[front].seen_stream(out) == wanted
    reading = decoder(front, upstream)
    out = b"".join(reading.feed(data[at : at + 1]) for at in range(len(data)))
    assert VOICES[front].seen_stream(out) == wanted


@pytest.mark.parametrize(("front", "upstream"), PAIRS)
def test_a_stream_that_breaks_off_anywhere_is_no_whole_one(front: str, upstream: str) -> None:
    data = VOICES[upstream].stream(ANSWERS["two calls after a text"])
    ends = 0
    for place in range(len(data) - 1):
        reading = decoder(front, upstream)
        reading.feed(data[:place])
        if reading.finished:
            ends += 1
            continue
        if reading.usage is None:
            with pytest.raises(ProviderError) as caught:
                reading.end()
            assert caught.value.kind == "disconnected"
    assert ends <= 2  # the last event's own line ends


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422, 429, 500, 502, 503, 504, 529])
@pytest.mark.parametrize("upstream", UPSTREAMS)
@pytest.mark.parametrize(
    "body", [b"", b"{}", b"<html>", b'{"error": "no"}', b'{"error": {"message": "no"}}', b"\xff[["]
)
def test_an_error_of_every_status_is_typed(upstream: str, status: int, body: bytes) -> None:
    error = adapter(upstream).error(status, httpx.Headers({"retry-after": "7"}), body)
    kinds = {401: "credential", 403: "credential", 429: "rate_limited", 504: "timeout"}
    assert error.kind == kinds.get(status, "caller" if status < 500 else "overloaded")
    assert (error.status, error.retry_after) == (status, 7.0)
    assert error.message


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"null", b'{"content": 5, "choices": 5}', b"\xff", b"[" * 99_999])
@pytest.mark.parametrize(("front", "upstream"), [pair for pair in PAIRS if pair[0] != pair[1]])
def test_an_answer_that_is_none_is_malformed(front: str, upstream: str, body: bytes) -> None:
    with pytest.raises(ProviderError) as caught:
        adapter(upstream).parse(TARGET, call(front), httpx.Headers(), body)
    assert caught.value.kind == "malformed"


@given(
    pair=st.sampled_from(PAIRS),
    answer=st.sampled_from(sorted(ANSWERS)),
    changes=st.lists(
        st.tuples(st.integers(0, 10_000), st.sampled_from(["cut", "twice", "byte"]), st.integers(0, 255)), max_size=6
    ),
    places=st.lists(st.integers(0, 10_000), max_size=4),
)
def test_a_stream_altered_anywhere_is_events_or_a_clean_error(
    pair: tuple[str, str], answer: str, changes: list[tuple[int, str, int]], places: list[int]
) -> None:
    data = bytearray(VOICES[pair[1]].stream(ANSWERS[answer]))
    for place, change, byte in changes:
        at = place % len(data)
        if change == "cut":
            del data[at : at + byte]
        elif change == "twice":
            data[at:at] = data[at : at + byte]
        else:
            data[at] = byte
        data = data or bytearray(b"\n")
    reading = decoder(*pair)
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    with contextlib.suppress(ProviderError):  # and nothing else
        for start, end in pairwise(edges):
            reading.feed(bytes(data[start:end]))
            if reading.finished or reading.error is not None:
                return
        reading.end()


@given(pair=st.sampled_from(PAIRS), blocks=st.lists(st.binary(max_size=60), max_size=8))
def test_bytes_at_random_are_a_clean_error(pair: tuple[str, str], blocks: list[bytes]) -> None:
    reading = decoder(*pair)
    with contextlib.suppress(ProviderError):  # and nothing else
        for block in blocks:
            reading.feed(block + b"\n\n")
        reading.end()


@pytest.mark.parametrize(("front", "upstream"), PAIRS)
def test_an_event_without_end_is_refused(front: str, upstream: str) -> None:
    reading = decoder(front, upstream)
    with pytest.raises(ProviderError, match=r"event of more than|does not match its checksum"):
        reading.feed(b"data: " + b"x" * (MAX_EVENT_BYTES + 1))
