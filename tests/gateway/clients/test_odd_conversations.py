"""Conversations that are lawful in the caller's API and odd for others: every kind of provider answers them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.gateway.clients.test_conversations import MODELS, settlements
from tests.gateway.world import World

TOOL: dict[str, Any] = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}


def call(id: str, arguments: str) -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": "look", "arguments": arguments}}


ASK = {"role": "user", "content": "Look twice"}
CONVERSATIONS: dict[str, list[dict[str, Any]]] = {
    "only the system speaks": [
        {"role": "system", "content": "You are terse."},
        {"role": "system", "content": "Say something."},
    ],
    "an answer that was empty": [ASK, {"role": "assistant", "content": ""}, {"role": "user", "content": "Again"}],
    "two of a user in a row": [ASK, {"role": "user", "content": "Please"}],
    "a tool that found nothing": [
        ASK,
        {"role": "assistant", "content": None, "tool_calls": [call("call.1:x", "")]},
        {"role": "tool", "tool_call_id": "call.1:x", "content": ""},
    ],
    "results in another order": [
        ASK,
        {"role": "assistant", "content": None, "tool_calls": [call("a", "{}"), call("b", "{}")]},
        {"role": "tool", "tool_call_id": "b", "content": "Second"},
        {"role": "tool", "tool_call_id": "a", "content": "First"},
    ],
    "a blank system prompt": [{"role": "system", "content": " \n"}, ASK],
}


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("model", MODELS)
def test_an_odd_conversation_is_answered(providers: World, model: str, stream: bool) -> None:
    completions: Any = providers.openai().chat.completions
    for what, messages in CONVERSATIONS.items():
        seen = {line["attempt_id"] for line in settlements(providers, set())}
        asked: dict[str, Any] = {"model": model, "messages": messages}
        if any(message["role"] == "tool" for message in messages):
            asked["tools"] = [TOOL]
        if stream:
            with completions.stream(**asked, stream_options={"include_usage": True}) as events:
                answer = events.get_final_completion()
        else:
            answer = completions.create(**asked)
        assert (answer.choices[0].message.content or "").startswith("w0 "), what
        [line] = settlements(providers, seen)
        used = (answer.usage.prompt_tokens, answer.usage.completion_tokens)
        assert (line["status"], line["input_tokens"], line["output_tokens"]) == ("measured", *used), what
