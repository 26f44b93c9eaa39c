"""The decoder of OpenAI's streams: the same result however the bytes are cut, and no trick in the text fools it."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.models.providers.base import ProviderError, Usage
from apps.models.providers.dialects.chat.passing import PassingStream
from apps.models.providers.dialects.messages.passing import PassingStream as MessagesStream
from apps.models.providers.dialects.responses.passing import PassingStream as ResponsesStream
from apps.models.providers.framing import MAX_EVENT_BYTES

USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 2}}
NASTY = [
    "data: [DONE]",
    '"usage":{"prompt_tokens":999}',
    '"content":"x"',
    '\\"content\\":\\"',
    "\n\ndata: [DONE]\n\n",
    '"error":{"message":"no"}',
    "é日本\u2028",
]


def event(value: dict[str, Any], *, spaced: bool, crlf: bool) -> bytes:
    text = json.dumps(value) if spaced else json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return b"data: " + text.encode() + (b"\r\n\r\n" if crlf else b"\n\n")


def delta(text: str | None, **more: Any) -> dict[str, Any]:
    return {"id": "c", "choices": [{"index": 0, "delta": {} if text is None else {"content": text}}], **more}


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[start:end] for start, end in pairwise(edges)]


@given(
    texts=st.lists(st.one_of(st.sampled_from(NASTY), st.text(min_size=1, max_size=20)), max_size=8),
    places=st.lists(st.integers(min_value=0), max_size=30),
    spaced=st.booleans(),
    crlf=st.booleans(),
    wants_usage=st.booleans(),
)
def test_every_cut_of_a_stream_gives_the_same_bytes_usage_and_count(
    texts: list[str], places: list[int], spaced: bool, crlf: bool, wants_usage: bool
) -> None:
    head = event(delta("", usage=None), spaced=spaced, crlf=crlf)
    body = b"".join(event(delta(text, usage=None), spaced=spaced, crlf=crlf) for text in texts)
    usage = event({"id": "c", "choices": [], "usage": USAGE}, spaced=spaced, crlf=crlf)
    done = b"data: [DONE]" + (b"\r\n\r\n" if crlf else b"\n\n")
    decoder = PassingStream(wants_usage=wants_usage)
    out = b"".join(decoder.feed(piece) for piece in cut(head + body + usage + done, places))
    assert out == head + body + (usage if wants_usage else b"") + done
    assert decoder.usage == Usage(7, 3, cached_tokens=2)
    assert decoder.finished
    assert decoder.error is None
    assert decoder.output_tokens == len(texts)


def test_text_that_looks_like_the_end_does_not_end_the_stream() -> None:
    decoder = PassingStream(wants_usage=False)
    decoder.feed(event(delta("data: [DONE]"), spaced=False, crlf=False))
    assert not decoder.finished


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning", "refusal"])
def test_every_kind_of_text_counts(name: str) -> None:
    decoder = PassingStream(wants_usage=False)
    decoder.feed(event({"choices": [{"delta": {name: "hm"}}]}, spaced=True, crlf=False))
    assert decoder.output_tokens == 1


def test_an_error_event_is_read_and_taken_out_and_what_came_before_it_stays() -> None:
    decoder = PassingStream(wants_usage=False)
    text = event(delta("hm"), spaced=False, crlf=False)
    raw = event({"error": {"message": "overloaded", "code": 529}}, spaced=False, crlf=False)
    assert decoder.feed(text + raw) == text
    assert decoder.error is not None
    assert (decoder.error.message, decoder.error.code) == ("overloaded", "529")


@pytest.mark.parametrize(
    "broken",
    [
        b'data: {"choices": [}\n\n',
        b'data: {"choices": [{"delta": {"content": "hm"}]}\n\n',
        b'data: {"choices": [{"delta": {"content": "hm"}}], "usage" null}\n\n',
        b'data: {"choices": {"0": [}}\n\n',
        b'data: {"choices": [{"delta": {"content": "cut sho\n\n',
        b'data: {"choices": [{"delta": {"content": "\xff\xfe"}}]}\n\n',
        b"data: hello\n\n",
    ],
)
def test_what_nobody_can_read_ends_the_stream_and_what_came_before_it_stays(broken: bytes) -> None:
    text = event(delta("hm"), spaced=True, crlf=False)
    decoder = PassingStream(wants_usage=False)
    assert decoder.feed(text) == text
    assert decoder.feed(broken + text + b"data: [DONE]\n\n") == b""
    assert decoder.error is not None
    assert (decoder.error.kind, decoder.output_tokens) == ("malformed", 1)


def test_what_is_only_odd_passes_as_it_came() -> None:
    odd = (
        b'data: {"choices": {"0": 1}}\n\n'
        b'data: {"choices": [{"delta": {"content": "\\ud83d"}}]}\n\n'
        b'data: {"choices": [{"delta": {"tool_calls": {}}}], "usage": "much"}\n\n'
        b": still here\n\n"
    )
    decoder = PassingStream(wants_usage=False)
    assert decoder.feed(odd) == odd
    assert decoder.error is None


def test_nothing_follows_an_error() -> None:
    """Were the stream's regular end to pass, a client would take what it has for the whole."""
    text = event(delta("hm"), spaced=False, crlf=False)
    raw = event({"error": {"message": "No"}}, spaced=False, crlf=False)
    decoder = PassingStream(wants_usage=False)
    assert decoder.feed(text + raw + text + b"data: [DONE]\n\n") == text
    assert (decoder.finished, decoder.output_tokens) == (False, 1)
    for stream, error in (
        (MessagesStream(), b'event: error\ndata: {"type":"error","error":{"type":"api_error","message":"No"}}\n\n'),
        (MessagesStream(), b'event: content_block_delta\ndata: {"type":"content_block_delta","delta":{"text":"cut\n\n'),
        (MessagesStream(), b'data: {"type":"content_block_delta","delta":{"text":"hm"]}}\n\n'),
        (ResponsesStream(), b'data: {"type":"response.failed","response":{"error":{"message":"No"}}}\n\n'),
        (ResponsesStream(), b'data: {"type":"response.output_text.delta","delta":"cut\n\n'),
        (ResponsesStream(), b'data: {"type":"response.output_text.delta","delta":"hm"]}\n\n'),
    ):
        end = b'event: message_stop\ndata: {"type":"message_stop"}\n\ndata: {"type":"response.completed"}\n\n'
        assert stream.feed(error + end) == b""
        assert stream.error is not None
        assert (stream.finished, stream.output_tokens) == (False, 0)


def called(index: int, id: str = "", name: str = "", arguments: str = "") -> dict[str, Any]:
    function = {"arguments": arguments, **({"name": name} if name else {})}
    call = {"index": index, "function": function, **({"id": id} if id else {})}
    return {"id": "c", "choices": [{"index": 0, "delta": {"tool_calls": [call]}}]}


def numbers(out: bytes) -> list[tuple[int, str]]:
    """(number, arguments) of each piece of a call."""
    chunks = [json.loads(line[6:]) for line in out.splitlines() if line.startswith(b"data: {")]
    calls = [call for chunk in chunks for call in chunk["choices"][0]["delta"]["tool_calls"]]
    return [(call["index"], call["function"]["arguments"]) for call in calls]


@pytest.mark.parametrize("step", [1, 7, 10_000])
def test_calls_that_bear_one_number_get_numbers_of_their_own(step: int) -> None:
    """Gemini numbers them all 0: clients would put the pieces of all into one."""
    pieces = [called(0, "a", "f", "{1"), called(0, "", "", "1}"), called(0, "b", "f", "{2"), called(0, "", "", "2}")]
    data = b"".join(event(piece, spaced=False, crlf=True) for piece in pieces) + b"data: [DONE]\r\n\r\n"
    decoder = PassingStream(wants_usage=False)
    out = b"".join(decoder.feed(data[at : at + step]) for at in range(0, len(data), step))
    assert numbers(out) == [(0, "{1"), (0, "1}"), (1, "{2"), (1, "2}")]
    assert out.endswith(b"data: [DONE]\r\n\r\n")
    assert (decoder.finished, decoder.output_tokens) == (True, 4)


@pytest.mark.parametrize(
    "pieces",
    [
        [called(0, "a", "f"), called(0, "", "", "{}"), called(1, "b", "f"), called(1, "", "", "{}")],
        [called(0, "a", "f", "{"), called(0, "x", "", "1"), called(0, "y", "", "}")],  # an id of its own in each piece
        [called(0, "a", "f"), called(1, "b", "f"), called(0, "", "", "{}"), called(1, "", "", "{}")],  # interleaved
    ],
)
def test_calls_that_are_numbered_pass_untouched(pieces: list[dict[str, Any]]) -> None:
    data = b"".join(event(piece, spaced=True, crlf=False) for piece in pieces)
    assert PassingStream(wants_usage=False).feed(data) == data


def test_an_endless_event_is_refused() -> None:
    decoder = PassingStream(wants_usage=False)
    with pytest.raises(ProviderError, match="event of more than"):
        decoder.feed(b"data: " + b"x" * (MAX_EVENT_BYTES + 1))


@given(st.lists(st.binary(max_size=40), max_size=10))
def test_garbage_never_raises(blocks: list[bytes]) -> None:
    decoder = PassingStream(wants_usage=False)
    for block in blocks:
        decoder.feed(block)


@given(
    st.lists(
        st.sampled_from([b"data: ", b"{", b"}", b'"usage":{', b'"error":', b"\n\n", b"\r\n", b"[DONE]", b"\xff", b"1"])
    )
)
def test_near_events_never_raise(parts: list[bytes]) -> None:
    PassingStream(wants_usage=False).feed(b"".join(parts) + b"\n\n")
