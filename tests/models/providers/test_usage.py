"""Usage as providers tell it: what is told stands, an explicit zero too, and what is not told is not zero."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from apps.models.providers.base import Usage
from apps.models.providers.dialects.chat.wire import ChatUsage
from apps.models.providers.dialects.converse.wire import TokenUsage
from apps.models.providers.dialects.invoke.shapes import decode_part, usage_in
from apps.models.providers.dialects.messages.wire import MessagesUsage
from apps.models.providers.dialects.responses.wire import ResponsesUsage

READERS: dict[str, Callable[[bytes], Usage | None]] = {
    "chat": lambda told: msgspec.json.decode(told, type=ChatUsage).normalised(),
    "responses": lambda told: msgspec.json.decode(told, type=ResponsesUsage).normalised(),
    "messages": lambda told: msgspec.json.decode(told, type=MessagesUsage).normalised(),
    "converse": lambda told: msgspec.json.decode(told, type=TokenUsage).normalised(),
    "invoke": lambda told: usage_in(decode_part(b'{"usage":%s}' % told)),
}


@pytest.mark.parametrize("name", READERS)
def test_a_usage_that_tells_nothing_is_none(name: str) -> None:
    assert READERS[name](b"{}") is None


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("chat", b'{"prompt_tokens":0,"completion_tokens":0}'),
        ("responses", b'{"input_tokens":0,"output_tokens":0}'),
        ("messages", b'{"input_tokens":0,"output_tokens":0}'),
        ("converse", b'{"inputTokens":0,"outputTokens":0}'),
        ("invoke", b'{"input_tokens":0,"output_tokens":0}'),
    ],
)
def test_an_explicit_zero_stays_zero(name: str, told: bytes) -> None:
    assert READERS[name](told) == Usage()


def test_a_total_alone_is_the_input() -> None:
    """So some servers tell of embeddings, Voyage's among them."""
    assert READERS["chat"](b'{"total_tokens":12}') == Usage(12)
    assert READERS["chat"](b'{"total_tokens":12,"completion_tokens":5}') == Usage(7, 5)


def test_invoke_tells_what_is_kept_for_an_hour_and_the_parts_of_openais_counts() -> None:
    told = b"""{"input_tokens":3,"output_tokens":4,"cache_creation_input_tokens":9,
        "cache_creation":{"ephemeral_5m_input_tokens":2,"ephemeral_1h_input_tokens":7}}"""
    assert READERS["invoke"](told) == Usage(12, 4, cache_write_tokens=9, cache_write_1h_tokens=7)
    told = b"""{"prompt_tokens":10,"completion_tokens":4,"prompt_tokens_details":{"cached_tokens":6},
        "completion_tokens_details":{"reasoning_tokens":1}}"""
    assert READERS["invoke"](told) == Usage(10, 4, cached_tokens=6, reasoning_tokens=1)
    told = b'{"inputTokens":3,"outputTokens":4,"cacheReadInputTokenCount":5,"cacheWriteInputTokenCount":6}'
    assert READERS["invoke"](told) == Usage(14, 4, cached_tokens=5, cache_write_tokens=6)
