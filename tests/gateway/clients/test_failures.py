"""Streams of every kind of provider that break, as the official client sees them: an exception, and an exact ledger."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import openai
import pytest

from tests.gateway.clients.test_conversations import MODELS, settlements
from tests.gateway.world import World

Ask = Callable[[World, str, str, bool], str]


def chat(world: World, model: str, text: str, stream: bool) -> str:
    messages: Any = [{"role": "user", "content": text}]
    if not stream:
        answer = world.openai().chat.completions.create(model=model, messages=messages)
        return answer.choices[0].message.content or ""
    chunks = world.openai().chat.completions.create(model=model, messages=messages, stream=True)
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def responses(world: World, model: str, text: str, stream: bool) -> str:
    asked: Any = {"model": model, "input": text, "store": False}
    if not stream:
        return str(world.openai().responses.create(**asked).output_text)
    events = world.openai().responses.create(**asked, stream=True)
    return "".join(event.delta for event in events if event.type == "response.output_text.delta")


@pytest.mark.parametrize("ask", [chat, responses])
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("fault", ["error_event", "close_mid", "cut_event", "malformed_json"])
def test_a_stream_that_breaks_is_an_exception_and_is_counted_once(
    providers: World, model: str, ask: Ask, fault: str
) -> None:
    for _ in range(3):  # or the endpoint's breaker would have its own view
        assert ask(providers, model, "Hello [[chunks=1]]", True).strip() == "w0"
    seen = {line["attempt_id"] for line in settlements(providers, set())}
    with pytest.raises(openai.APIError):
        ask(providers, model, f"Hello there [[chunks=9 fail={fault} at=4]]", True)
    # The client knows of an error in the stream before the stream has ended.
    providers.eventually(lambda: bool(settlements(providers, seen)), within=10)
    [line] = settlements(providers, seen)
    assert (line["status"], line["outcome"]) == ("estimated", "upstream_error")
    assert line["output_tokens"] == 4
    assert line["cost_picousd"] > 0
