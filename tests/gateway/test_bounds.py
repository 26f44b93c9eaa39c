"""What a request may use at the most, which is what is held for it."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from apps.gateway.fronts.base import Arrived
from apps.gateway.fronts.openai import TOKENS_PER_IMAGE, TOKENS_PER_NAMED_FILE, ChatFront, input_bounds


def bounds(*parts: dict[str, Any], **fields: Any) -> tuple[int, int]:
    message = {"role": "user", "content": list(parts)}
    body = json.dumps({"model": "m", "messages": [message], **fields}).encode()
    return input_bounds(ChatFront().parse(Arrived("", {}, body)).fields)


@pytest.mark.parametrize("text", ["Hello", "日本語" * 50, "\u0000\n\"'\\" * 20])
def test_text_is_bounded_by_its_bytes(text: str) -> None:
    bound, estimate = bounds({"type": "text", "text": text})
    assert bound >= len(text.encode())
    assert estimate <= bound


@pytest.mark.parametrize("url", ["https://example.com/a.png", "data:image/png;base64," + "A" * 400_000])
def test_an_image_counts_as_one_whatever_its_bytes(url: str) -> None:
    bound, _ = bounds({"type": "image_url", "image_url": {"detail": "high", "url": url}})
    assert TOKENS_PER_IMAGE <= bound < TOKENS_PER_IMAGE + 500


def test_text_that_looks_like_an_image_still_counts_its_bytes() -> None:
    bound, _ = bounds({"type": "text", "text": '"image_url": {"url": "' + "x" * 5_000})
    assert bound >= 5_000


@pytest.mark.parametrize(
    "part",
    [
        {"type": "file", "file": {"file_data": base64.b64encode(b"x" * 90_000).decode()}},
        {"type": "input_audio", "input_audio": {"format": "wav", "data": "A" * 120_000}},
    ],
)
def test_files_and_sounds_are_bounded_by_their_bytes(part: dict[str, Any]) -> None:
    assert bounds(part)[0] >= 120_000


def test_a_file_that_is_only_named_may_fill_a_context() -> None:
    assert bounds({"type": "file", "file": {"file_id": "file-1"}})[0] >= TOKENS_PER_NAMED_FILE


def test_the_larger_of_two_maxima_is_the_bound() -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}], "max_completion_tokens": 1, "max_tokens": 900}
    assert ChatFront().parse(Arrived("", {}, json.dumps(body).encode())).request.max_output == 900


@pytest.mark.parametrize("name", ["documents", "prediction"])
def test_what_else_may_become_input_or_output_is_bounded_by_its_bytes(name: str) -> None:
    """Servers that speak like OpenAI take more fields into the prompt than its API has."""
    assert bounds(**{name: {"content": "x" * 9_000}})[0] >= 9_000


def test_settings_are_no_input() -> None:
    assert bounds(metadata={"case": "x" * 9_000}, logit_bias={str(n): 1 for n in range(900)})[0] < 200
