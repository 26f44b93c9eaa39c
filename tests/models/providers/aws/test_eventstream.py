"""Event streams: read alike however they are cut, and alike with botocore; anything else is a clean error."""

from __future__ import annotations

import base64
import contextlib
import struct
from itertools import pairwise
from typing import Any
from zlib import crc32

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given
from hypothesis import strategies as st

from apps.models.providers.aws.eventstream import (
    MAX_HEADERS_BYTES,
    MAX_PAYLOAD_BYTES,
    Message,
    MessageReader,
    encode,
    event,
    exception,
)
from apps.models.providers.base import ProviderError
from apps.models.providers.dialects.converse.stream import PassingStream
from apps.models.providers.dialects.invoke.stream import PassingStream as InvokedStream

STREAM = event("messageStart", b'{"role":"assistant"}') + event("chunk", b"\x00" * 300) + exception("oops", b"{}")
NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
VALUES = st.text(st.characters(exclude_categories=["Cs"]), max_size=50)


def read(data: bytes, *places: int) -> list[Message]:
    reader = MessageReader()
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [message for start, end in pairwise(edges) for message in reader.feed(data[start:end])]


def frame(headers: bytes, payload: bytes, *, total: int | None = None, headers_length: int | None = None) -> bytes:
    """A message whose checksums are right, whatever its lengths say."""
    lengths = struct.pack(
        ">II",
        16 + len(headers) + len(payload) if total is None else total,
        len(headers) if headers_length is None else headers_length,
    )
    message = lengths + struct.pack(">I", crc32(lengths)) + headers + payload
    return message + struct.pack(">I", crc32(message))


def test_a_stream_is_read_alike_wherever_it_is_cut() -> None:
    whole = read(STREAM)
    assert [(m.kind, m.name) for m in whole] == [("event", "messageStart"), ("event", "chunk"), ("exception", "oops")]
    assert b"".join(message.raw for message in whole) == STREAM
    for place in range(len(STREAM)):
        assert read(STREAM, place) == whole
    assert read(STREAM, *range(len(STREAM))) == whole


@given(st.lists(st.tuples(st.dictionaries(NAMES, VALUES, max_size=4), st.binary(max_size=200)), max_size=5))
def test_what_is_written_is_read_by_botocore_and_by_us(messages: list[tuple[dict[str, str], bytes]]) -> None:
    data = b"".join(encode(headers, payload) for headers, payload in messages)
    buffer = EventStreamBuffer()
    buffer.add_data(data)
    assert [(message.headers, message.payload) for message in buffer] == messages
    assert [message.payload for message in read(data)] == [payload for _, payload in messages]


def test_a_passing_event_that_nobody_can_read_ends_the_stream_and_what_came_before_it_stays() -> None:
    text = event("contentBlockDelta", b'{"contentBlockIndex":0,"delta":{"text":"hm"}}')
    broken = event("contentBlockDelta", b'{"contentBlockIndex":0,"delta": [}')
    stream = PassingStream()
    assert stream.feed(text + broken + text + event("metadata", b"{}")) == text
    assert stream.error is not None
    assert (stream.error.kind, stream.output_tokens, stream.finished) == ("malformed", 1, False)


def test_a_part_that_nobody_can_read_ends_a_models_own_stream() -> None:
    def chunk(part: bytes) -> bytes:
        return event("chunk", b'{"bytes":"%s"}' % base64.b64encode(part))

    text = chunk(b'{"outputText":"hm"}') + chunk(b'["of another shape"]')
    stream = InvokedStream()
    assert stream.feed(text + chunk(b'{"outputText":"hm"]}') + text) == text
    assert stream.error is not None
    assert (stream.error.kind, stream.output_tokens, stream.finished) == ("malformed", 2, False)


@given(st.binary(max_size=400))
def test_bytes_at_random_are_refused_or_waited_for(data: bytes) -> None:
    with contextlib.suppress(ProviderError):  # and nothing else
        assert read(data) == []


@given(st.integers(0, len(STREAM) - 1), st.integers(1, 255), st.integers(0, len(STREAM)))
def test_a_byte_that_was_altered_is_noticed(place: int, change: int, cut: int) -> None:
    altered = bytearray(STREAM)
    altered[place] ^= change
    with pytest.raises(ProviderError) as caught:
        read(bytes(altered), cut)
    assert caught.value.kind == "malformed"


@pytest.mark.parametrize(
    ("total", "headers_length"),
    [
        (15, 0),
        (0, 0),
        (16, 1),
        (2**32 - 1, 0),
        (MAX_PAYLOAD_BYTES + 17, 0),
        (2**32 - 1, 2**32 - 1),
        (MAX_HEADERS_BYTES + 100, MAX_HEADERS_BYTES + 1),
    ],
)
def test_lengths_that_lie_are_refused_at_once(total: int, headers_length: int) -> None:
    with pytest.raises(ProviderError, match="message"):
        MessageReader().feed(frame(b"", b"", total=total, headers_length=headers_length)[:12])


@pytest.mark.parametrize(
    "headers",
    [
        b"\x05:ev",  # a name that goes on behind the headers
        b"\x01a\x07\x00\xffshort",
        b"\x01a\x07\x00",
        b"\x01a\x0b\x00",  # no such type
        b"\x01a",
        b"\x01a\x07\x00\x01\xff",  # no UTF-8
        b"\x01\xff\x00",
        b"\x01a\x04\x00\x00",
    ],
)
def test_headers_that_cannot_be_read_are_refused(headers: bytes) -> None:
    with pytest.raises(ProviderError, match="headers"):
        MessageReader().feed(frame(headers, b"{}"))


def test_headers_of_every_type_are_stepped_over() -> None:
    others: list[Any] = [b"\x00", b"\x01", b"\x02\x01", b"\x03\x00\x01", b"\x04" + b"\x00" * 4, b"\x05" + b"\x00" * 8]
    others += [b"\x06\x00\x02ab", b"\x08" + b"\x00" * 8, b"\x09" + b"\x00" * 16]
    headers = b"".join(b"\x02h%d" % number + value for number, value in enumerate(others))
    [message] = MessageReader().feed(frame(headers + b"\x0b:event-type\x07\x00\x05chunk", b"x"))
    assert (message.kind, message.name, message.payload) == ("event", "chunk", b"x")


def test_a_message_as_long_as_they_may_be_is_read() -> None:
    [message] = read(event("chunk", bytes(MAX_PAYLOAD_BYTES)), 7, 100_000)
    assert len(message.payload) == MAX_PAYLOAD_BYTES
