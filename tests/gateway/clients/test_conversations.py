"""Every client against every kind of provider: the same conversation, the same answers, the same usage, all counted."""

from __future__ import annotations

from typing import Any

import pytest

from tests.gateway.clients import talks
from tests.gateway.clients.talks import Talk
from tests.gateway.world import World

MODELS = [
    "on-compatible",
    "on-openai",
    "on-openai-responses",
    "on-azure",
    "on-azure-v1",
    "on-gemini",
    "fake-claude",
    "on-bedrock",
    "on-sagemaker",
]
CLIENTS: list[Talk] = [
    talks.openai_chat,
    talks.openai_responses,
    talks.openai_responses_stored,
    talks.langchain,
    talks.langgraph,
    talks.ai_sdk_chat,
    talks.ai_sdk_responses,
]


def settlements(world: World, seen: set[str]) -> list[dict[str, Any]]:
    return [line for line in world.all_lines() if line["line"] == "settlement" and line["attempt_id"] not in seen]


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.__name__)
@pytest.mark.parametrize("model", MODELS)
def test_three_turns_with_a_tool(providers: World, model: str, client: Talk, stream: bool) -> None:
    seen = {line["attempt_id"] for line in settlements(providers, set())}
    heard = client(providers, model, stream)
    assert heard.arguments == {"city": "fake"}
    assert heard.told.split() == talks.FOUND.split()
    assert heard.thanked.split() == ["w0", "w1"]
    assert [output for _, output in heard.usage] == [4, 3, 2]
    assert [given for given, _ in heard.usage] == [7, 10, 15]
    counted = settlements(providers, seen)
    assert [(line["input_tokens"], line["output_tokens"]) for line in counted] == heard.usage
    assert {line["status"] for line in counted} == {"measured"}
    assert all(line["cost_picousd"] > 0 for line in counted)
    assert {line.get("streamed", False) for line in counted} == {stream}


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.__name__)
def test_three_turns_with_a_tool_of_the_sandbox(providers: World, client: Talk, stream: bool) -> None:
    """It has words of its own; the official client's are the measure for the others."""
    expected = talks.openai_chat(providers, "sandbox-chat", False)
    heard = client(providers, "sandbox-chat", stream)
    assert heard.arguments == expected.arguments
    assert talks.FOUND in heard.told
    assert (heard.told.split(), heard.thanked.split()) == (expected.told.split(), expected.thanked.split())
    assert len(heard.usage) == 3
