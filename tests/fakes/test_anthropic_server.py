"""The fake Anthropic as the official client sees it, and what it refuses as the real one does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anthropic
import pytest

from tests.fakes.process import FakeAnthropic

TOOL: Any = {"name": "weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}


@pytest.fixture(scope="module")
def fake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeAnthropic]:
    with FakeAnthropic(tmp_path_factory.mktemp("claude") / "count.jsonl") as fake:
        yield fake


@pytest.fixture
def client(fake: FakeAnthropic) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=fake.url, api_key="sk-ant-fake", max_retries=0) as client:
        yield client


def user(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


def test_it_answers_streams_thinks_and_counts(fake: FakeAnthropic, client: anthropic.Anthropic) -> None:
    before = len(fake.attempts())
    plain = client.messages.create(model="fake-claude", max_tokens=100, messages=user("one two [[cached=1]]"))
    assert [block.text for block in plain.content if block.type == "text"] == ["".join(f"w{n} " for n in range(8))]
    assert (plain.usage.input_tokens, plain.usage.cache_read_input_tokens, plain.usage.output_tokens) == (2, 1, 8)
    with client.messages.stream(
        model="fake-claude",
        max_tokens=2_000,
        thinking={"type": "enabled", "budget_tokens": 1_024},
        messages=user("Think [[reasoning=4 chunks=3]]"),
    ) as stream:
        final = stream.get_final_message()
    assert [block.type for block in final.content] == ["thinking", "text"]
    assert final.usage.output_tokens == 7
    first, second = fake.attempts()[before:]
    assert (first.outcome, first.prompt_tokens, first.completion_tokens) == ("completed", 3, 8)
    assert (second.outcome, second.completion_tokens, second.credential) == ("completed", 7, "sk-ant-fake")


def test_it_calls_a_tool_when_told_and_answers_from_its_result(client: anthropic.Anthropic) -> None:
    messages = user("Look [[tool=weather]]")
    called = client.messages.create(model="fake-claude", max_tokens=100, messages=messages, tools=[TOOL])
    [call] = called.content
    assert call.type == "tool_use"
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "It rains"}
    messages += [{"role": "assistant", "content": called.content}, {"role": "user", "content": [result]}]
    told = client.messages.create(model="fake-claude", max_tokens=100, messages=messages, tools=[TOOL])
    assert [block.text for block in told.content if block.type == "text"] == ["It rains "]


def test_it_lists_models_and_counts_tokens(client: anthropic.Anthropic) -> None:
    assert [model.id for model in client.models.list()] == ["fake-claude", "fake-claude-mini"]
    assert client.messages.count_tokens(model="fake-claude", messages=user("one two")).input_tokens == 2


@pytest.mark.parametrize(
    ("status", "raised"),
    [(400, anthropic.BadRequestError), (429, anthropic.RateLimitError), (529, anthropic.OverloadedError)],
)
def test_it_fails_on_demand(client: anthropic.Anthropic, status: int, raised: type[anthropic.APIStatusError]) -> None:
    with pytest.raises(raised) as caught:
        client.messages.create(model="fake-claude", max_tokens=9, messages=user(f"[[fail={status}]]"))
    assert caught.value.type


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"unknown": 1}, "Extra inputs"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "first message"),
        ({"messages": [{"role": "user", "content": ""}]}, "non-empty"),
        ({"messages": [{"role": "system", "content": "x"}]}, "first message"),
        ({"messages": [*user("x"), {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "n",
          "input": {}}]}, *user("y")]}, "tool_result"),
        ({"messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t"}]}]}, "unexpected"),
        ({"temperature": 2}, "temperature"),
        ({"thinking": {"type": "enabled", "budget_tokens": 10}}, "1024"),
        ({"thinking": {"type": "enabled", "budget_tokens": 2_000}}, "max_tokens"),
        ({"tool_choice": {"type": "any"}}, "providing tools"),
        ({"tools": [{"name": "x", "input_schema": {}}]}, "input_schema"),
        ({"messages": [*user("x"), {"role": "assistant", "content": [{"type": "thinking", "thinking": "a",
          "signature": "b"}]}]}, "signature"),
    ],
)  # fmt: skip
def test_it_refuses_what_the_real_one_refuses(client: anthropic.Anthropic, fields: dict[str, Any], says: str) -> None:
    body = {"model": "fake-claude", "max_tokens": 9, "messages": user("x"), **fields}
    with pytest.raises(anthropic.BadRequestError, match=says):
        client.post("/v1/messages", body=body, cast_to=object)
