"""The official client's Responses API, unchanged, against providers that know chat alone: by translation."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import openai
import pytest
from openai.types.responses import Response

from tests.gateway.world import World, chat

MODEL = "fake-chat"
WEATHER: Any = {
    "type": "function",
    "name": "weather",
    "description": "The weather in a city",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    "strict": False,
}


def say(world: World, *, stream: bool, key: str = "", **fields: Any) -> Response:
    client = world.openai() if not key else world.openai().with_options(api_key=key)
    facts: dict[str, Any] = {"model": MODEL, **fields}
    if not stream:
        answer: Response = client.responses.create(**facts)
        return answer
    with client.responses.stream(**facts) as events:
        return events.get_final_response()


@pytest.mark.parametrize("stream", [False, True])
def test_a_text_is_answered_and_counted(world: World, stream: bool) -> None:
    answer = say(world, stream=stream, input="Hello there", instructions="Be brief.", metadata={"case": "7"})
    assert answer.output_text == "w0 w1 w2 w3 w4 w5 w6 w7 "
    assert answer.status == "completed"
    assert answer.id.startswith("resp_")
    assert (answer.instructions, answer.metadata) == ("Be brief.", {"case": "7"})
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (4, 8)
    [sent] = [each for each in world.fake.requests() if b"Be brief." in each["body"].encode()][-1:]
    assert '"role":"system"' in sent["body"]


@pytest.mark.parametrize("stream", [False, True])
def test_three_turns_with_a_tool(world: World, stream: bool) -> None:
    asked: dict[str, Any] = {"tools": [WEATHER], "stream": stream}
    items: list[Any] = [{"role": "user", "content": "How is it in Oslo?"}]
    called = say(world, input=items, tool_choice="required", **asked)
    [call] = [item for item in called.output if item.type == "function_call"]
    assert call.name == "weather"
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "Rain"}
    items += [call.model_dump(exclude={"parsed_arguments"}), result]
    told = say(world, input=items, **{**asked, "tools": []})
    assert told.output_text
    items += [{"role": "assistant", "content": told.output_text}, {"role": "user", "content": "Thanks"}]
    assert say(world, input=items, **asked).status == "completed"


@pytest.mark.parametrize("stream", [False, True])
def test_a_conversation_goes_on_from_the_response_before(world: World, stream: bool) -> None:
    first = say(world, stream=stream, input="My name is Ada.")
    second = say(world, stream=stream, input="Who am I?", previous_response_id=first.id)
    assert second.previous_response_id == first.id
    body = world.fake.requests()[-1]["body"]
    assert body.index("My name is Ada.") < body.index("w0 w1 w2") < body.index("Who am I?")
    third = say(world, stream=stream, input="And again?", previous_response_id=second.id)
    assert third.output_text
    assert "My name is Ada." in world.fake.requests()[-1]["body"]


def test_a_conversation_does_not_grow_beyond_what_a_body_may_be(world: World) -> None:
    long = "x" * 11_000_000
    first = say(world, stream=False, input=long)
    with pytest.raises(openai.APIStatusError) as error:
        say(world, stream=False, input=long, previous_response_id=first.id)
    assert (error.value.status_code, error.value.code) == (413, "request_too_large")


def test_while_the_database_hangs_other_calls_find_their_upstreams(world: World) -> None:
    """As many answers as there could be threads wait to be kept; a call to a host not met before is not behind them."""
    elsewhere = world.model(base_url=world.fake.url.replace("127.0.0.1", "localhost"))
    database = sqlite3.connect(world.lobby.data_dir / "lobby.db", isolation_level=None)
    with closing(database), ThreadPoolExecutor(12) as threads:
        database.execute("BEGIN IMMEDIATE")
        kept = [threads.submit(say, world, stream=False, input="Keep this") for _ in range(12)]
        world.eventually(
            lambda: sum(b"Keep this" in each["body"].encode() for each in world.fake.requests()) >= 12, within=20
        )
        answer = world.post(chat() | {"model": elsewhere})
        database.execute("ROLLBACK")
        # It was reached, and takes no stranger.
        assert answer.json()["error"]["code"] == "provider_credential"
        assert all(each.result().output_text for each in kept), "an answer is not lost for not being kept"


def test_a_response_is_read_again_and_deleted(world: World) -> None:
    client = world.openai()
    kept = client.responses.create(model=MODEL, input="Keep this")
    assert client.responses.retrieve(kept.id).output_text == kept.output_text
    client.responses.delete(kept.id)
    with pytest.raises(openai.NotFoundError) as error:
        client.responses.retrieve(kept.id)
    assert error.value.code == "response_not_found"


def test_another_project_s_response_is_as_good_as_missing(world: World) -> None:
    kept = world.openai().responses.create(model=MODEL, input="A secret")
    other = world.openai().with_options(api_key=world.project())
    told = set()
    for response_id in (kept.id, "resp_missing"):
        for act in (other.responses.retrieve, other.responses.delete):
            with pytest.raises(openai.NotFoundError) as error:
                act(response_id)
            told.add(error.value.message.replace(response_id, "ID"))
        with pytest.raises(openai.NotFoundError) as error:
            other.responses.create(model=MODEL, input="Go on", previous_response_id=response_id)
        told.add(error.value.message.replace(response_id, "ID"))
    assert len(told) == 1
    assert world.openai().responses.retrieve(kept.id).id == kept.id


def test_what_is_not_to_be_stored_is_not(world: World) -> None:
    answer = world.openai().responses.create(model=MODEL, input="Forget this", store=False)
    with pytest.raises(openai.NotFoundError):
        world.openai().responses.retrieve(answer.id)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": 5}, "input"),
        ({"input": [{"role": "user", "content": 5}]}, "input[0].content"),
        ({"input": [{"role": "robot", "content": "x"}]}, "input[0].role"),
        ({"input": "x", "background": True}, "background"),
        ({"input": "x", "conversation": "conv_1"}, "conversation"),
        ({"input": "x", "max_output_tokens": 0}, "max_output_tokens"),
        ({"input": [{"type": "item_reference", "id": "i"}]}, "input[0]"),
        ({}, "input"),
    ],
)
def test_bad_input_is_named(world: World, fields: dict[str, Any], param: str) -> None:
    with pytest.raises(openai.BadRequestError) as error:
        world.openai().post("/responses", body={"model": MODEL, **fields}, cast_to=object)
    assert error.value.param == param


def test_what_a_provider_cannot_take_is_named_or_refused(world: World) -> None:
    asked: dict[str, Any] = {"model": MODEL, "input": "x", "tools": [WEATHER, {"type": "web_search"}]}
    raw = world.openai().responses.with_raw_response.create(**asked)
    assert raw.headers["x-lobby-dropped-params"] == "tools[1]"
    with pytest.raises(openai.BadRequestError) as error:
        world.openai().responses.create(**asked, extra_body={"lobby": {"strict": True}})
    assert (error.value.code, error.value.param) == ("unsupported_parameter", "tools[1]")


def test_a_stream_that_breaks_off_raises(world: World) -> None:
    with (
        pytest.raises(openai.APIError),
        world.openai().responses.stream(model=MODEL, input="[[fail=close_mid at=2]]") as s,
    ):
        s.get_final_response()


def test_what_the_upstream_fails_at_is_an_error_of_the_api(world: World) -> None:
    with pytest.raises(openai.InternalServerError):
        world.openai().responses.create(model=MODEL, input="[[fail=503]]")


def test_what_was_said_before_is_read_for_who_is_admitted(world: World) -> None:
    limits = [
        {"metric": "requests", "limit": 3, "window_seconds": 3_600},
        {"metric": "tokens", "limit": 5_000, "window_seconds": 3_600},
        {"metric": "concurrency", "limit": 1},
    ]
    key = world.project(limits=limits, budget="1")
    first = say(world, stream=False, key=key, input="My name is Ada.")
    for stream in (False, True):  # each counts once, and no more is held of what is left than it needs
        assert say(world, stream=stream, key=key, input="And?", previous_response_id=first.id).output_text
    with pytest.raises(openai.RateLimitError):
        say(world, stream=False, key=key, input="And?", previous_response_id="resp_missing")
