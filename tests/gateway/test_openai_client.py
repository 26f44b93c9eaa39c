"""The official client, unchanged, against /v1: what an application sees."""

from __future__ import annotations

import json

import openai
import pytest

from tests.gateway.world import World, chat


def test_the_client_lists_the_models_it_may_call(world: World) -> None:
    names = [model.id for model in world.openai().models.list()]
    assert "fake-chat" in names
    assert world.openai().models.retrieve("fake-chat").object == "model"


def test_the_client_chats(world: World) -> None:
    answer = world.openai().chat.completions.create(**chat("Hello there"))
    assert answer.choices[0].message.content == "w0 w1 w2 w3 w4 w5 w6 w7 "
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (2, 8)
    assert answer._request_id


def test_the_client_streams_without_usage_it_did_not_ask_for(world: World) -> None:
    chunks = list(world.openai().chat.completions.create(**chat("Hello [[chunks=20 each]]"), stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "".join(f"w{n} " for n in range(20))
    assert all(chunk.usage is None and chunk.choices for chunk in chunks)


def test_the_client_gets_the_usage_it_asked_for(world: World) -> None:
    stream = world.openai().chat.completions.create(
        **chat("Hello there"), stream=True, stream_options={"include_usage": True}
    )
    last = list(stream)[-1]
    assert last.usage is not None
    assert last.usage.total_tokens == 10


def test_the_client_embeds(world: World) -> None:
    answer = world.openai().embeddings.create(model="fake-embed", input=["one", "two words"])
    assert len(answer.data) == 2
    assert answer.usage.prompt_tokens == 3


def test_tools_pass_both_ways(world: World) -> None:
    tool = {"type": "function", "function": {"name": "find", "parameters": {"type": "object", "properties": {}}}}
    fields = chat("Find it", tools=[tool], tool_choice="required")
    call = world.openai().chat.completions.create(**fields).choices[0].message.tool_calls
    assert call is not None
    assert call[0].function.name == "find"
    streamed = world.openai().chat.completions.create(**fields, stream=True)
    deltas = [chunk.choices[0].delta for chunk in streamed if chunk.choices]
    arguments = "".join(c.function.arguments or "" for d in deltas for c in d.tool_calls or [] if c.function)
    assert json.loads(arguments) is not None


def test_unknown_and_rare_fields_reach_the_upstream_as_they_were(world: World) -> None:
    fields = chat(
        "Hi",
        seed=7,
        logit_bias={"50256": -100},
        reasoning_effort="low",
        metadata={"team": "claims"},
        top_logprobs=3,
        logprobs=True,
        vendor_extension={"deep": [1, {"x": None}], "text": "ä\u0000"},
        lobby={"strict": False},
    )
    response = world.post(fields)
    assert response.status_code == 200
    requests = world.fake.requests()
    body = next(r["body"] for r in reversed(requests) if "vendor_extension" in str(r["body"]))
    sent = json.loads(body) if isinstance(body, str) else body
    expected = {**fields}
    del expected["lobby"]
    assert sent == expected


@pytest.mark.parametrize(
    ("directive", "raised", "status"),
    [
        ("fail=400", openai.BadRequestError, 400),
        ("fail=401", openai.InternalServerError, 502),  # our credential, not the caller's
        ("fail=404", openai.NotFoundError, 404),
        ("fail=413", openai.APIStatusError, 413),
        ("fail=422", openai.UnprocessableEntityError, 422),
        ("fail=429,retry_after=7", openai.RateLimitError, 429),
        ("fail=500", openai.InternalServerError, 502),
        ("fail=503", openai.InternalServerError, 503),
        ("fail=504", openai.InternalServerError, 504),
        ("fail=500,body=html", openai.InternalServerError, 502),
        ("fail=close", openai.InternalServerError, 502),
        ("fail=malformed_json", openai.InternalServerError, 502),
        ("fail=empty", openai.InternalServerError, 502),
        ("gzip", openai.InternalServerError, 502),
    ],
)
def test_an_upstreams_failure_is_the_right_exception(
    world: World, directive: str, raised: type[openai.APIStatusError], status: int
) -> None:
    with pytest.raises(raised) as caught:
        world.openai().chat.completions.create(**chat(f"Hello [[{directive}]]"))
    assert caught.value.status_code == status
    assert caught.value.body
    if "retry_after" in directive:
        assert caught.value.response.headers["retry-after"] == "7"


def test_a_wrong_key_is_an_authentication_error(world: World) -> None:
    with pytest.raises(openai.AuthenticationError) as caught:
        world.openai(world.key[:-1] + ("a" if world.key[-1] != "a" else "b")).chat.completions.create(**chat())
    assert caught.value.code == "invalid_api_key"


def test_a_key_without_the_scope_is_a_permission_error(world: World) -> None:
    key = world.project(scopes=["management:read"])
    with pytest.raises(openai.PermissionDeniedError):
        world.openai(key).chat.completions.create(**chat())


def test_an_unknown_model_is_not_found_and_looks_like_a_forbidden_one(world: World) -> None:
    narrow = world.project(allowed_models=["fake-embed"])
    messages = []
    for key, model in ((world.key, "no-such-model"), (narrow, "fake-chat")):
        with pytest.raises(openai.NotFoundError) as caught:
            world.openai(key).chat.completions.create(**(chat() | {"model": model}))
        assert caught.value.code == "model_not_found"
        assert caught.value.param == "model"
        messages.append(caught.value.message.replace(model, "M"))
    assert messages[0] == messages[1]


def test_a_rate_limit_is_a_rate_limit_error_that_says_which_and_until_when(world: World) -> None:
    key = world.project(limits=[{"metric": "requests", "limit": 2, "window_seconds": 60}])
    client = world.openai(key)
    first = client.chat.completions.with_raw_response.create(**chat())
    assert first.headers["x-ratelimit-limit-requests"] == "2"
    assert first.headers["x-ratelimit-remaining-requests"] == "1"
    client.chat.completions.create(**chat())
    with pytest.raises(openai.RateLimitError) as caught:
        client.chat.completions.create(**chat())
    assert "2 requests per minute" in caught.value.message
    told = caught.value.response.headers
    assert 1 <= int(told["retry-after"]) <= 66
    assert (told["x-ratelimit-limit-requests"], told["x-ratelimit-remaining-requests"]) == ("2", "0")
    assert 0 < float(told["x-ratelimit-reset-requests"].removesuffix("s")) <= 66
