"""The official Anthropic client, unchanged, against every kind of provider: the same answers, the same usage."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import httpx
import openai
import pytest
from anthropic.types import Message

from tests.gateway.world import World

MODELS = ["fake-claude", "fake-chat"]
WEATHER: Any = {
    "name": "weather",
    "description": "The weather in a city",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


@pytest.fixture
def client(world: World) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=world.lobby.url, api_key=world.key, max_retries=0) as client:
        yield client


def say(client: anthropic.Anthropic, messages: list[Any], *, stream: bool, **fields: Any) -> Message:
    facts: dict[str, Any] = {"max_tokens": 500, "messages": messages, **fields}
    if not stream:
        answer: Message = client.messages.create(**facts)
        return answer
    with client.messages.stream(**facts) as events:
        return events.get_final_message()


def figures(message: Message) -> tuple[int, int]:
    return message.usage.input_tokens, message.usage.output_tokens


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", MODELS)
def test_three_turns_with_a_tool(client: anthropic.Anthropic, model: str, stream: bool) -> None:
    asked: dict[str, Any] = {"model": model, "tools": [WEATHER], "system": "You are terse.", "stream": stream}
    messages: list[Any] = [{"role": "user", "content": "How is it in Oslo? [[tool=weather]]"}]
    called = say(client, messages, **asked)
    assert called.stop_reason == "tool_use"
    [call] = called.content
    assert call.type == "tool_use"
    assert (call.name, call.input) == ("weather", {"city": "fake"})
    assert figures(called) == (9, 4)

    result = {"type": "tool_result", "tool_use_id": call.id, "content": "Rain and wind"}
    messages += [{"role": "assistant", "content": called.content}, {"role": "user", "content": [result]}]
    told = say(client, messages, **asked)
    assert told.stop_reason == "end_turn"
    assert [block.text for block in told.content if block.type == "text"] == ["Rain and wind "]
    assert figures(told) == (12, 3)

    messages += [{"role": "assistant", "content": told.content}, {"role": "user", "content": "Thanks [[chunks=2]]"}]
    thanked = say(client, messages, **asked)
    assert [block.text for block in thanked.content if block.type == "text"] == ["w0 w1 "]
    assert figures(thanked) == (17, 2)


@pytest.mark.parametrize("stream", [False, True])
def test_three_turns_with_a_tool_of_the_sandbox(client: anthropic.Anthropic, stream: bool) -> None:
    asked: dict[str, Any] = {"model": "sandbox-chat", "tools": [WEATHER], "stream": stream}
    messages: list[Any] = [{"role": "user", "content": 'The weather in "Oslo", please'}]
    called = say(client, messages, **asked)
    assert called.stop_reason == "tool_use"
    calls = [block for block in called.content if block.type == "tool_use"]
    assert [call.input for call in calls] == [{"city": "Oslo"}]
    assert figures(called) > (0, 0)
    result = {"type": "tool_result", "tool_use_id": calls[0].id, "content": "Rain and wind"}
    messages += [{"role": "assistant", "content": called.content}, {"role": "user", "content": [result]}]
    told = say(client, messages, **asked)
    assert "Rain and wind" in "".join(block.text for block in told.content if block.type == "text")
    messages += [{"role": "assistant", "content": told.content}, {"role": "user", "content": "Say goodbye"}]
    assert say(client, messages, **asked).stop_reason == "end_turn"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", MODELS)
def test_the_openai_client_has_the_same_three_turns(world: World, model: str, stream: bool) -> None:
    tool = {"name": "weather", "description": WEATHER["description"], "parameters": WEATHER["input_schema"]}
    messages: list[Any] = [
        {"role": "system", "content": "You are terse."},
        {"role": "user", "content": "How is it in Oslo? [[tool=weather]]"},
    ]

    def turn() -> tuple[dict[str, Any], str, tuple[int, int]]:
        facts: dict[str, Any] = {
            "model": model,
            "messages": messages,
            "tools": [{"type": "function", "function": tool}],
        }
        if not stream:
            answer = world.openai().chat.completions.create(**facts)
            [choice] = answer.choices
            assert answer.usage is not None
            usage = (answer.usage.prompt_tokens, answer.usage.completion_tokens)
            return choice.message.to_dict(), choice.finish_reason, usage
        return streamed(world.openai(), facts)

    called, finish, usage = turn()
    assert finish == "tool_calls"
    [call] = called["tool_calls"]
    assert (call["function"]["name"], json.loads(call["function"]["arguments"])) == ("weather", {"city": "fake"})
    assert usage == (9, 4)
    messages += [called, {"role": "tool", "tool_call_id": call["id"], "content": "Rain and wind"}]
    told, finish, usage = turn()
    assert (told["content"], finish, usage) == ("Rain and wind ", "stop", (12, 3))
    messages += [told, {"role": "user", "content": "Thanks [[chunks=2]]"}]
    thanked, finish, usage = turn()
    assert (thanked["content"], finish, usage) == ("w0 w1 ", "stop", (17, 2))


def streamed(client: openai.OpenAI, facts: dict[str, Any]) -> tuple[dict[str, Any], str, tuple[int, int]]:
    """A streamed answer, put together: the message, why it ended, its usage."""
    message: dict[str, Any] = {"role": "assistant", "content": None}
    finish, usage = "", (0, 0)
    chunks = client.chat.completions.create(**facts, stream=True, stream_options={"include_usage": True})
    for chunk in chunks:
        if chunk.usage is not None:
            usage = (chunk.usage.prompt_tokens, chunk.usage.completion_tokens)
        for choice in chunk.choices:
            finish = choice.finish_reason or finish
            if choice.delta.content:
                message["content"] = (message["content"] or "") + choice.delta.content
            for call in choice.delta.tool_calls or []:
                calls = message.setdefault("tool_calls", [])
                if call.index == len(calls):
                    function = {"name": call.function.name if call.function else "", "arguments": ""}
                    calls.append({"id": call.id, "type": "function", "function": function})
                calls[call.index]["function"]["arguments"] += (call.function and call.function.arguments) or ""
    return message, finish, usage


@pytest.mark.parametrize("model", [*MODELS, "sandbox-chat"])
def test_a_stream_has_the_apis_own_sequence_of_events(world: World, client: anthropic.Anthropic, model: str) -> None:
    body = {"model": model, "max_tokens": 50, "stream": True, "messages": [{"role": "user", "content": "Say hello"}]}
    headers = {"x-api-key": world.key, "anthropic-version": "2023-06-01"}
    response = httpx.post(f"{world.lobby.base_url}/messages", json=body, headers=headers, timeout=30)
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert response.headers["request-id"] == response.headers["x-lobby-request-id"]
    events = [part.split("\n") for part in response.text.strip().split("\n\n")]
    names = [lines[0].removeprefix("event: ") for lines in events]
    assert [json.loads(lines[1].removeprefix("data: "))["type"] for lines in events] == names
    assert names[:3] == ["message_start", "ping", "content_block_start"]
    assert set(names[3:-3]) == {"content_block_delta"}
    assert names[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert json.loads(events[-2][1].removeprefix("data: "))["usage"]["output_tokens"] > 0


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", MODELS)
def test_an_answer_in_a_form(client: anthropic.Anthropic, model: str, stream: bool) -> None:
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}
    config = {"format": {"type": "json_schema", "schema": schema}}
    messages = [{"role": "user", "content": "Is it?"}]
    answer = say(client, messages, model=model, stream=stream, output_config=config)
    [block] = answer.content
    assert block.type == "text"
    assert json.loads(block.text) == {"ok": True}


def test_thought_is_signed_and_goes_back(client: anthropic.Anthropic) -> None:
    thinking = {"type": "enabled", "budget_tokens": 1024}
    fields: dict[str, Any] = {"model": "fake-claude", "thinking": thinking, "max_tokens": 2000, "stream": True}
    messages: list[Any] = [{"role": "user", "content": "Think [[reasoning=5]]"}]
    first = say(client, messages, **fields)
    assert [block.type for block in first.content] == ["thinking", "text"]
    assert first.usage.output_tokens == 13
    messages += [{"role": "assistant", "content": first.content}, {"role": "user", "content": "Go on"}]
    assert say(client, messages, **fields).stop_reason == "end_turn"


def test_the_openai_client_makes_claude_think_and_is_told_the_tokens(world: World) -> None:
    answer = world.openai().chat.completions.create(
        model="fake-claude",
        messages=[{"role": "user", "content": "Think [[reasoning=5]]"}],
        reasoning_effort="low",
        max_completion_tokens=4000,
        temperature=1,
    )
    assert answer.choices[0].message.to_dict()["reasoning_content"] == "t0 t1 t2 t3 t4"
    assert answer.usage is not None
    assert answer.usage.completion_tokens_details is not None
    assert answer.usage.completion_tokens_details.reasoning_tokens == 5


@pytest.mark.parametrize(
    ("directive", "raised", "kind"),
    [
        ("fail=400", anthropic.BadRequestError, "invalid_request_error"),
        ("fail=401", anthropic.InternalServerError, "api_error"),  # our credential, not the caller's
        ("fail=404", anthropic.NotFoundError, "not_found_error"),
        ("fail=413", anthropic.RequestTooLargeError, "request_too_large"),
        ("fail=429,retry_after=7", anthropic.RateLimitError, "rate_limit_error"),
        ("fail=500", anthropic.InternalServerError, "api_error"),
        ("fail=503", anthropic.InternalServerError, "overloaded_error"),
        ("fail=529", anthropic.InternalServerError, "overloaded_error"),
        ("fail=504", anthropic.InternalServerError, "timeout_error"),
        ("fail=close", anthropic.InternalServerError, "api_error"),
        ("fail=malformed_json", anthropic.InternalServerError, "api_error"),
    ],
)
@pytest.mark.parametrize("model", MODELS)
def test_a_failure_is_the_right_exception(
    client: anthropic.Anthropic, model: str, directive: str, raised: type[anthropic.APIStatusError], kind: str
) -> None:
    messages = [{"role": "user", "content": f"Hello [[{directive}]]"}]
    with pytest.raises(raised) as caught:
        say(client, messages, model=model, stream=False)
    assert caught.value.type == kind
    assert caught.value.request_id
    if "retry_after" in directive:
        assert caught.value.response.headers["retry-after"] == "7"
    if "529" in directive:
        assert isinstance(caught.value, anthropic.OverloadedError)


def test_a_prompt_that_is_too_long_says_so_in_each_apis_words(world: World, client: anthropic.Anthropic) -> None:
    text = "Hello [[fail=400 code=too_long]]"
    with pytest.raises(anthropic.BadRequestError, match="prompt is too long"):
        say(client, [{"role": "user", "content": text}], model="fake-claude", stream=False)
    with pytest.raises(openai.BadRequestError) as caught:
        world.openai().chat.completions.create(model="fake-claude", messages=[{"role": "user", "content": text}])
    assert caught.value.code == "context_length_exceeded"


def test_an_account_without_credit_is_ours_to_mend(client: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.InternalServerError, match="Lobby's own credential"):
        say(client, [{"role": "user", "content": "[[fail=400 code=credit]]"}], model="fake-claude", stream=False)


@pytest.mark.parametrize("model", MODELS)
def test_a_failure_in_mid_stream_is_an_error_event(client: anthropic.Anthropic, model: str) -> None:
    seen: list[str] = []
    messages: Any = [{"role": "user", "content": "Hello [[chunks=9 fail=error_event at=3 each]]"}]
    with (
        client.messages.stream(model=model, max_tokens=100, messages=messages) as events,
        pytest.raises(anthropic.APIStatusError) as caught,
    ):
        seen.extend(text for text in events.text_stream)
    assert "".join(seen) == "w0 w1 w2 "
    assert caught.value.body


def test_a_wrong_key_is_an_authentication_error(world: World) -> None:
    client = anthropic.Anthropic(base_url=world.lobby.url, api_key="lby_0000000000_wrong", max_retries=0)
    with pytest.raises(anthropic.AuthenticationError) as caught:
        say(client, [{"role": "user", "content": "Hi"}], model="fake-claude", stream=False)
    assert caught.value.type == "authentication_error"


def test_tokens_are_counted_by_the_upstream_or_estimated_and_said_to_be(
    world: World, client: anthropic.Anthropic
) -> None:
    messages: Any = [{"role": "user", "content": "one two three four"}]
    before = world.claude.count()
    native = client.messages.with_raw_response.count_tokens(model="fake-claude", messages=messages)
    assert native.parse().input_tokens == 4
    assert "x-lobby-token-count" not in native.headers
    assert world.claude.count()["arrivals"] == before["arrivals"] + 1
    [line] = [each for each in world.spool_lines(native.headers["x-lobby-request-id"]) if each["line"] == "settlement"]
    assert (line.get("input_tokens", 0), line.get("cost_picousd", 0), line["status"]) == (0, 0, "measured")
    estimate = client.messages.with_raw_response.count_tokens(model="fake-chat", messages=messages)
    assert 5 < estimate.parse().input_tokens < 20
    assert estimate.headers["x-lobby-token-count"] == "estimate"
    [request] = world.spool_lines(estimate.headers["x-lobby-request-id"])
    assert (request["line"], request["operation"], request["outcome"]) == ("request", "count_tokens", "ok")


def test_the_callers_version_and_betas_reach_an_upstream_of_the_same_api_and_no_other(
    world: World, client: anthropic.Anthropic
) -> None:
    for fake, model in ((world.claude, "fake-claude"), (world.fake, "fake-chat")):
        client.messages.create(
            model=model,
            max_tokens=5,
            messages=[{"role": "user", "content": "Hi"}],
            extra_headers={"anthropic-beta": "context-1m-2025-08-07"},
        )
        headers = dict(fake.requests()[-1]["headers"])
        if fake is world.claude:
            assert headers["anthropic-beta"] == "context-1m-2025-08-07"
            assert headers["x-api-key"] == "sk-ant-fake"
        else:
            assert not [name for name in headers if name.startswith("anthropic-")]


def test_what_an_upstream_cannot_take_is_named_or_refused(world: World, client: anthropic.Anthropic) -> None:
    fields: dict[str, Any] = {
        "model": "fake-chat",
        "max_tokens": 5,
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}}]}
        ],
        "tools": [{"type": "web_search_20250305", "name": "web_search"}],
        "extra_body": {"top_k": 5},
    }
    response = client.messages.with_raw_response.create(**fields)
    named = response.headers["x-lobby-dropped-params"].split(", ")
    assert named == ["tools[0] (web_search_20250305)", "top_k", "cache_control"]
    fields["extra_body"] = {"lobby": {"strict": True}}
    with pytest.raises(anthropic.BadRequestError, match="web_search"):
        client.messages.create(**fields)


def test_what_passes_is_untouched(world: World) -> None:
    body = {
        "model": "fake-claude",
        "max_tokens": 7,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "ä\u0000 [[chunks=3]]"}]}],
        "mcp_servers": [],
        "lobby": {"strict": True},
    }
    headers = {"x-api-key": world.key, "anthropic-version": "2023-06-01"}
    response = httpx.post(f"{world.lobby.base_url}/messages", json=body, headers=headers, timeout=30)
    assert response.json()["content"] == [{"type": "text", "text": "w0 w1 w2 "}]
    sent = json.loads(world.claude.requests()[-1]["body"])
    del body["lobby"]
    assert sent == body


def test_the_client_lists_the_models_it_may_call(client: anthropic.Anthropic) -> None:
    listed = {model.id: model for model in client.models.list()}
    assert set(MODELS) <= listed.keys()
    assert listed["fake-claude"].max_tokens == 64_000
    assert client.models.retrieve("fake-chat").created_at.year >= 2026
    with pytest.raises(anthropic.NotFoundError) as caught:
        client.models.retrieve("no-such-model")
    assert caught.value.type == "not_found_error"
