"""What is passed on without being understood: its usage, whatever an upstream answers."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from apps.models.providers.base import Operation, ProviderError, UpstreamCall, Usage
from apps.models.providers.dialects.opaque import OPAQUE

JSON = httpx.Headers({"content-type": "application/json"})


def call(operation: Operation, **fields: Any) -> UpstreamCall:
    return UpstreamCall(operation, {name: Raw(json.dumps(value).encode()) for name, value in fields.items()})


def usage(operation: Operation, answer: Any, **fields: Any) -> Usage | None:
    return OPAQUE[operation].answered(call(operation, **fields), JSON, json.dumps(answer).encode()).usage


@pytest.mark.parametrize(
    ("operation", "answer", "expected"),
    [
        ("rerank", {"results": [], "meta": {"billed_units": {"search_units": 3}}}, Usage(units=3)),
        ("rerank", {"results": [], "usage": {"total_tokens": 815}}, Usage(815, units=1)),
        ("rerank", {"results": [], "usage": {"prompt_tokens": 8, "total_tokens": 8}}, Usage(8, units=1)),
        ("images.generations", {"data": [{}, {}, {}]}, Usage(units=3)),
        ("audio.transcriptions", {"text": "", "usage": {"type": "duration", "seconds": 7.2}}, Usage(units=8)),
        ("audio.transcriptions", {"text": "", "duration": "12.01"}, Usage(units=13)),
        (
            "audio.transcriptions",
            {
                "text": "",
                "usage": {"type": "tokens", "input_tokens": 9, "output_tokens": 4}
                | {"input_token_details": {"audio_tokens": 7, "text_tokens": 2}},
            },
            Usage(9, 4, audio_input_tokens=7),
        ),
        ("moderations", {"results": []}, Usage()),
        # Told in some way of its own, or what cannot be: the answer is the caller's all the same.
        ("rerank", {"results": [], "meta": {"billed_units": "many"}}, Usage(units=1)),
        ("images.generations", {"data": [{}], "usage": {"input_tokens": -5, "output_tokens": 10**12}}, Usage(units=1)),
    ],
)
def test_usage_is_read_however_it_is_told(operation: Operation, answer: Any, expected: Usage) -> None:
    assert usage(operation, answer) == expected


def test_subtitles_tell_how_long_the_sound_is() -> None:
    body = b"WEBVTT\n\n00:00.000 --> 00:04.500\nHi\n\n00:59:58.000 --> 01:00:00.250\nBye\n"
    headers = httpx.Headers({"content-type": "text/vtt"})
    answer = OPAQUE["audio.transcriptions"].answered(call("audio.transcriptions"), headers, body)
    assert (answer.usage, answer.content_type) == (Usage(units=3_601), "text/vtt")


@pytest.mark.parametrize("operation", OPAQUE)
def test_a_page_is_no_answer(operation: Operation) -> None:
    headers = httpx.Headers({"content-type": "text/html"})
    with pytest.raises(ProviderError) as caught:
        OPAQUE[operation].answered(call(operation), headers, b"<html>")
    assert caught.value.kind == "malformed"


@given(operation=st.sampled_from(sorted(OPAQUE)), body=st.binary(max_size=200), cut=st.integers(0, 200))
def test_garbage_is_usage_or_a_clean_error(operation: Operation, body: bytes, cut: int) -> None:
    dialect = OPAQUE[operation]
    for content_type in ("application/json", "text/plain", "audio/mpeg"):
        with contextlib.suppress(ProviderError):
            told = dialect.answered(call(operation), httpx.Headers({"content-type": content_type}), body).usage
            assert told is None or min(told.units, told.input_tokens, told.output_tokens) >= 0
    decoder = dialect.passing(call(operation))
    with contextlib.suppress(ProviderError):
        out = decoder.feed(b"data: " + body[:cut]) + decoder.feed(body[cut:] + b"\n\n")
        assert out == b"" or out.endswith((b"\n\n", b"\r\n\r\n"))
        decoder.end()


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
            ["usage", "meta", "billed_units", "search_units", "seconds", "duration", "data", "input_tokens",
             "output_tokens", "input_tokens_details", "audio_tokens", "image_tokens", "total_tokens"]
        ), inner, max_size=4),
        max_leaves=12,
    ),
    st.sampled_from(sorted(OPAQUE)),
)  # fmt: skip
def test_any_json_is_usage_that_can_be_true_or_a_clean_error(answer: Any, operation: Operation) -> None:
    with contextlib.suppress(ProviderError):
        told = usage(operation, answer)
        assert told is None or all(0 <= count <= 10**9 for count in (told.units, told.input_tokens, told.output_tokens))


def test_an_event_that_nobody_can_read_ends_the_stream_and_what_came_before_it_stays() -> None:
    piece = b'data: {"type":"transcript.text.delta","delta":"Hello"}\n\n'
    decoder = OPAQUE["audio.transcriptions"].passing(call("audio.transcriptions"))
    assert decoder.feed(piece + b'data: {"type":"transcript.text.delta","delta":"wor') == piece
    assert decoder.feed(b'ld"]}\n\n' + piece) == b""
    assert decoder.error is not None
    assert (decoder.error.kind, decoder.output_tokens) == ("malformed", 1)
