"""InvokeModel's streams of Anthropic's models that pass: what they used, whole and cut off."""

from __future__ import annotations

import json
from typing import Any

import pytest

from apps.models.providers.base import ProviderError, Usage
from apps.models.providers.dialects.invoke.stream import PassingStream, chunk

BEGUN = {"input_tokens": 20, "output_tokens": 1, "cache_creation_input_tokens": 8}
START: dict[str, Any] = {
    "type": "message_start",
    "message": {"usage": {**BEGUN, "cache_creation": {"ephemeral_1h_input_tokens": 5}}},
}
DELTA = {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "Hi"}}
END = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 40}}
METRICS = {"inputTokenCount": 20, "outputTokenCount": 40, "cacheWriteInputTokenCount": 8}
STOP = {"type": "message_stop", "amazon-bedrock-invocationMetrics": METRICS}
WHOLE = Usage(28, 40, cache_write_tokens=8, cache_write_1h_tokens=5)


def read(*events: dict[str, Any]) -> PassingStream:
    stream = PassingStream()
    sent = b"".join(chunk(json.dumps(event).encode()) for event in events)
    assert stream.feed(sent) == sent
    return stream


def test_a_whole_stream_is_measured() -> None:
    stream = read(START, DELTA, END, STOP)
    assert (stream.finished, stream.usage) == (True, WHOLE)
    assert read(START, DELTA, END).usage == WHOLE


def test_what_a_stream_begins_with_is_no_measure_of_one_that_is_cut_off() -> None:
    stream = read(START, *[DELTA] * 30)
    assert stream.usage is None
    assert stream.begun is not None
    assert (stream.begun.input_tokens, stream.output_tokens) == (28, 30)
    with pytest.raises(ProviderError, match="too early"):
        stream.end()
