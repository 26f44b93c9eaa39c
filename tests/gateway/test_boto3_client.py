"""The official AWS SDK, unchanged but for its endpoint, against every kind of provider: the same answers and usage."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import httpx
import openai
import pytest
from botocore.exceptions import ClientError, EventStreamError

from tests.aws import sdk
from tests.fakes.process import FakeBedrock, FakeSageMaker
from tests.gateway.aws_world import ACCESS_KEY, bedrock_sdk, pair_of, serve
from tests.gateway.world import World

PROFILE = "arn:aws:bedrock:eu-central-1:123456789012:application-inference-profile/abc123"
MODELS = ["bedrock-chat", "bedrock-profile", "sagemaker-chat", "sagemaker-tgi", "fake-claude", "fake-chat"]
WITH_TOOLS = [model for model in MODELS if model != "sagemaker-tgi"]
WEATHER: Any = {
    "toolSpec": {
        "name": "weather",
        "description": "The weather in a city",
        "inputSchema": {"json": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}},
    }
}


@pytest.fixture(scope="module")
def bedrock(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeBedrock]:
    with FakeBedrock(tmp_path_factory.mktemp("bedrock") / "count.jsonl") as fake:
        serve(world, fake, "bedrock-chat", "anthropic.fake-chat-v1:0")
        serve(world, fake, "bedrock-profile", PROFILE)
        serve(world, fake, "titan", "amazon.titan-embed-text-v2:0", model={"kind": "embedding"})
        serve(world, fake, "cohere", "cohere.embed-v4:0", model={"kind": "embedding"})
        yield fake


@pytest.fixture(scope="module")
def sagemaker(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeSageMaker]:
    with FakeSageMaker(tmp_path_factory.mktemp("sagemaker") / "count.jsonl") as fake:
        serve(world, fake, "sagemaker-chat", "llama", kind="sagemaker")
        serve(world, fake, "sagemaker-tgi", "tgi", kind="sagemaker", endpoint={"settings": {"container": "tgi"}})
        yield fake


@pytest.fixture
def client(world: World, bedrock: FakeBedrock, sagemaker: FakeSageMaker) -> Iterator[Any]:
    with bedrock_sdk(world) as client:
        yield client


def say(client: Any, messages: list[Any], *, stream: bool, **fields: Any) -> dict[str, Any]:
    """The answer, put together where it is a stream."""
    if not stream:
        found: dict[str, Any] = client.converse(messages=messages, **fields)
        return found
    answer: dict[str, Any] = {}
    blocks: dict[int, dict[str, Any]] = {}
    with closing(client.converse_stream(messages=messages, **fields)["stream"]) as events:
        for event in events:
            match event:
                case {"contentBlockStart": {"contentBlockIndex": index, "start": {"toolUse": use}}}:
                    blocks[index] = {"toolUse": {**use, "input": ""}}
                case {"contentBlockDelta": {"contentBlockIndex": index, "delta": {"text": text}}}:
                    block = blocks.setdefault(index, {"text": ""})
                    block["text"] += text
                case {"contentBlockDelta": {"contentBlockIndex": index, "delta": {"toolUse": {"input": text}}}}:
                    blocks[index]["toolUse"]["input"] += text
                case {"messageStop": {"stopReason": reason}}:
                    answer["stopReason"] = reason
                case {"metadata": {"usage": usage}}:
                    answer["usage"] = usage
    for block in blocks.values():
        if "toolUse" in block:
            block["toolUse"]["input"] = json.loads(block["toolUse"]["input"])
    return {**answer, "output": {"message": {"role": "assistant", "content": list(blocks.values())}}}


def content(answer: dict[str, Any]) -> list[Any]:
    found: list[Any] = answer["output"]["message"]["content"]
    return found


def figures(answer: dict[str, Any]) -> tuple[int, int, int]:
    usage = answer["usage"]
    return usage["inputTokens"], usage["outputTokens"], usage["totalTokens"]


def user(*texts: str) -> dict[str, Any]:
    return {"role": "user", "content": [{"text": text} for text in texts]}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", WITH_TOOLS)
def test_three_turns_with_a_tool(client: Any, model: str, stream: bool) -> None:
    asked: dict[str, Any] = {
        "modelId": model,
        "toolConfig": {"tools": [WEATHER]},
        "system": [{"text": "You are terse."}],
        "stream": stream,
    }
    messages = [user("How is it in Oslo? [[tool=weather]]")]
    called = say(client, messages, **asked)
    assert called["stopReason"] == "tool_use"
    [block] = content(called)
    assert (block["toolUse"]["name"], block["toolUse"]["input"]) == ("weather", {"city": "fake"})
    assert figures(called) == (9, 4, 13)

    result = {"toolUseId": block["toolUse"]["toolUseId"], "content": [{"text": "Rain and wind"}]}
    messages += [called["output"]["message"], {"role": "user", "content": [{"toolResult": result}]}]
    told = say(client, messages, **asked)
    assert (told["stopReason"], content(told)) == ("end_turn", [{"text": "Rain and wind "}])
    assert figures(told) == (12, 3, 15)

    messages += [told["output"]["message"], user("Thanks [[chunks=2]]")]
    thanked = say(client, messages, **asked)
    assert content(thanked) == [{"text": "w0 w1 "}]
    assert figures(thanked) == (17, 2, 19)


@pytest.mark.parametrize("stream", [False, True])
def test_three_turns_with_a_tool_of_the_sandbox(client: Any, stream: bool) -> None:
    asked: dict[str, Any] = {"modelId": "sandbox-chat", "toolConfig": {"tools": [WEATHER]}, "stream": stream}
    messages = [user('The weather in "Oslo", please')]
    called = say(client, messages, **asked)
    assert called["stopReason"] == "tool_use"
    uses = [block["toolUse"] for block in content(called) if "toolUse" in block]
    assert [use["input"] for use in uses] == [{"city": "Oslo"}]
    result = {"toolUseId": uses[0]["toolUseId"], "content": [{"text": "Rain and wind"}]}
    messages += [called["output"]["message"], {"role": "user", "content": [{"toolResult": result}]}]
    told = say(client, messages, **asked)
    assert "Rain and wind" in "".join(block.get("text", "") for block in content(told))
    assert min(figures(told)) > 0


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", ["bedrock-chat", "bedrock-profile", "sagemaker-chat"])
def test_openais_client_has_the_same_conversation(client: Any, world: World, model: str, stream: bool) -> None:
    spec = WEATHER["toolSpec"]
    tool = {"type": "function", "function": {"name": spec["name"], "parameters": spec["inputSchema"]["json"]}}
    asked: dict[str, Any] = {"model": model, "tools": [tool]}
    messages: list[Any] = [
        {"role": "system", "content": "You are terse."},
        {"role": "user", "content": "How is it in Oslo? [[tool=weather]]"},
    ]

    def turn() -> Any:
        completions = world.openai().chat.completions
        if not stream:
            return completions.create(messages=messages, **asked)
        with completions.stream(messages=messages, stream_options={"include_usage": True}, **asked) as events:
            return events.get_final_completion()

    called = turn()
    [call] = called.choices[0].message.tool_calls
    assert (called.choices[0].finish_reason, call.function.name) == ("tool_calls", "weather")
    assert json.loads(call.function.arguments) == {"city": "fake"}
    assert (called.usage.prompt_tokens, called.usage.completion_tokens) == (9, 4)
    function = {"name": call.function.name, "arguments": call.function.arguments}
    messages += [
        {"role": "assistant", "tool_calls": [{"id": call.id, "type": "function", "function": function}]},
        {"role": "tool", "tool_call_id": call.id, "content": "Rain and wind"},
    ]
    told = turn()
    assert (told.choices[0].finish_reason, told.choices[0].message.content) == ("stop", "Rain and wind ")
    assert (told.usage.prompt_tokens, told.usage.completion_tokens) == (12, 3)
    messages += [{"role": "assistant", "content": "Rain and wind "}, {"role": "user", "content": "Thanks [[chunks=2]]"}]
    thanked = turn()
    assert thanked.choices[0].message.content == "w0 w1 "
    assert (thanked.usage.prompt_tokens, thanked.usage.completion_tokens) == (17, 2)


@pytest.mark.parametrize("model", ["titan", "cohere"])
def test_openais_client_has_embeddings_of_bedrock(client: Any, world: World, model: str) -> None:
    answer = world.openai().embeddings.create(model=model, input="one two three", dimensions=4)
    assert (len(answer.data[0].embedding), answer.usage.prompt_tokens) == (4, 3)
    texts = ["one", "two"]
    if model == "cohere":
        assert len(world.openai().embeddings.create(model=model, input=texts).data) == 2
    else:
        with pytest.raises(openai.BadRequestError, match="one input"):
            world.openai().embeddings.create(model=model, input=texts)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", MODELS)
def test_a_text_and_its_bounds(client: Any, model: str, stream: bool) -> None:
    answer = say(
        client, [user("Tell me more [[chunks=9]]")], modelId=model, stream=stream, inferenceConfig={"maxTokens": 4}
    )
    assert (answer["stopReason"], content(answer)) == ("max_tokens", [{"text": "w0 w1 w2 w3 "}])
    assert figures(answer)[1] == 4


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", ["bedrock-chat", "fake-claude"])
def test_a_body_of_anthropics_shape_is_served_by_invoke(client: Any, model: str, stream: bool) -> None:
    body = {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 50,
        "messages": [{"role": "user", "content": "Hello there [[chunks=3]]"}],
    }
    if not stream:
        answer = json.load(client.invoke_model(modelId=model, body=json.dumps(body))["body"])
        assert answer["content"][0]["text"] == "w0 w1 w2 "
        assert (answer["usage"]["input_tokens"], answer["usage"]["output_tokens"]) == (3, 3)
        return
    with closing(client.invoke_model_with_response_stream(modelId=model, body=json.dumps(body))["body"]) as parts:
        events = [json.loads(part["chunk"]["bytes"]) for part in parts]
    text = "".join(event["delta"]["text"] for event in events if event["type"] == "content_block_delta")
    assert text == "w0 w1 w2 "
    metrics = events[-1]["amazon-bedrock-invocationMetrics"]
    assert (metrics["inputTokenCount"], metrics["outputTokenCount"]) == (3, 3)


def test_another_body_passes_to_bedrock_alone(client: Any) -> None:
    with pytest.raises(client.exceptions.ValidationException, match="Bedrock alone"):
        client.invoke_model(modelId="fake-chat", body=json.dumps({"prompt": "Hi", "max_gen_len": 5}))
    with pytest.raises(client.exceptions.ValidationException, match="Malformed input request"):
        client.invoke_model(modelId="bedrock-chat", body=json.dumps({"prompt": "Hi", "max_gen_len": 5}))


@pytest.mark.parametrize("model", ["titan", "fake-embed"])
def test_embeddings_of_titans_shape(client: Any, model: str) -> None:
    asked = {"inputText": "one two three", "dimensions": 4}
    answer = json.load(client.invoke_model(modelId=model, body=json.dumps(asked))["body"])
    assert (len(answer["embedding"]), answer["inputTextTokenCount"]) == (4, 3)


@pytest.mark.parametrize("model", ["cohere", "fake-embed"])
def test_embeddings_of_coheres_shape(client: Any, model: str) -> None:
    asked = {"texts": ["one two", "three"], "input_type": "search_query", "embedding_types": ["float"]}
    answer = json.load(client.invoke_model(modelId=model, body=json.dumps(asked))["body"])
    assert [len(vector) for vector in answer["embeddings"]["float"]] == [8, 8]


@pytest.mark.parametrize(
    ("model", "fault", "name"),
    [
        ("bedrock-chat", "fail=400", "ValidationException"),
        ("bedrock-chat", "fail=429", "ThrottlingException"),
        ("bedrock-chat", "fail=503", "ServiceUnavailableException"),
        ("sagemaker-chat", "fail=503", "ServiceUnavailableException"),
        ("fake-chat", "fail=429", "ThrottlingException"),
        ("fake-chat", "fail=404", "ResourceNotFoundException"),
        ("fake-chat", "fail=500", "ModelErrorException"),
        ("fake-chat", "fail=close", "ModelErrorException"),
    ],
)
def test_errors_are_those_of_the_sdk(client: Any, model: str, fault: str, name: str) -> None:
    with pytest.raises(getattr(client.exceptions, name)):
        client.converse(modelId=model, messages=[user(f"Hello [[{fault}]]")])


def test_an_unknown_model_is_not_found(client: Any) -> None:
    for model in ("nope", "arn:aws:bedrock:eu-central-1:1:inference-profile/x"):
        with pytest.raises(client.exceptions.ResourceNotFoundException):
            client.converse(modelId=model, messages=[user("Hello")])


@pytest.mark.parametrize("model", MODELS)
def test_a_failure_in_mid_stream_is_an_exception_of_the_stream(client: Any, model: str) -> None:
    seen: list[str] = []
    messages = [user("Hello [[chunks=9 fail=error_event at=3 each]]")]
    with closing(client.converse_stream(modelId=model, messages=messages)["stream"]) as events:
        texts = (event.get("contentBlockDelta", {}).get("delta", {}).get("text", "") for event in events)
        with pytest.raises(EventStreamError, match="modelStreamError"):
            seen.extend(texts)
    assert "".join(seen) == "w0 w1 w2 "


def test_a_throttled_stream_is_told_as_such(client: Any) -> None:
    """Before the first word it is an error as any; after it, an exception of the stream."""
    early = [user("Hello [[fail=error_event at=0 code=throttlingException]]")]
    with pytest.raises(client.exceptions.ThrottlingException):
        client.converse_stream(modelId="bedrock-chat", messages=early)


def test_bedrock_sees_a_signature_and_no_key_of_ours(client: Any, world: World, bedrock: FakeBedrock) -> None:
    client.converse(modelId="bedrock-profile", messages=[user("Hello")])
    request = bedrock.requests()[-1]
    assert request["path"] == f"/model/{PROFILE.replace(':', '%3A').replace('/', '%2F')}/converse"
    assert bedrock.attempts()[-1].credential == ACCESS_KEY
    assert world.key not in json.dumps(request)


@pytest.mark.parametrize("path", ["/model/bedrock-chat/converse", "/model/fake-chat/converse"])
def test_a_key_is_taken_as_a_bearer_token_too(world: World, bedrock: FakeBedrock, path: str) -> None:
    answer = httpx.post(
        world.lobby.url + path,
        json={"messages": [user("Hello there [[chunks=2]]")], "lobby": {"strict": True}},
        headers={"authorization": f"Bearer {world.key}"},
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["output"]["message"]["content"] == [{"text": "w0 w1 "}]
    assert answer.headers["x-amzn-requestid"] == answer.headers["x-lobby-request-id"]


def test_what_an_upstream_cannot_take_is_named(client: Any) -> None:
    asked: dict[str, Any] = {
        "modelId": "fake-chat",
        "messages": [user("Hello [[chunks=1]]")],
        "performanceConfig": {"latency": "optimized"},
        "additionalModelRequestFields": {"top_k": 5},
    }
    headers = client.converse(**asked)["ResponseMetadata"]["HTTPHeaders"]
    assert headers["x-lobby-dropped-params"] == "performanceConfig, additionalModelRequestFields.top_k"
    asked["additionalModelRequestFields"]["lobby"] = {"strict": True}
    with pytest.raises(client.exceptions.ValidationException, match="performanceConfig"):
        client.converse(**asked)


def test_a_forged_signature_opens_nothing(world: World, client: Any) -> None:
    access_key_id, secret = pair_of(world, world.key)
    other = world.project()
    for pair in ((access_key_id, secret[:-1] + "x"), (pair_of(world, other)[0], secret), ("LOBBY0AAAAAAAAAA", secret)):
        with sdk("bedrock-runtime", world.lobby.url, *pair) as forger, pytest.raises(ClientError) as caught:
            forger.converse(modelId="fake-chat", messages=[user("Hello")])
        assert caught.value.response["Error"]["Code"] == "InvalidSignatureException"


def test_a_pair_ends_with_its_key(world: World, client: Any) -> None:
    key = world.project()
    messages = [user("Hello [[chunks=1]]")]
    with bedrock_sdk(world, key) as short_lived:
        short_lived.converse(modelId="fake-chat", messages=messages)
        world.shell.run(
            """
key = ApiKey.objects.unscoped("test").get(prefix=prefix)
services.revoke_api_key(actor=actor, api_key=key)
""",
            prefix=key.split("_")[1],
        )

        def refused() -> bool:
            try:
                short_lived.converse(modelId="fake-chat", messages=messages)
            except ClientError as error:
                return "revoked" in str(error)
            return False

        world.eventually(refused, within=10)


def test_a_pair_is_used_where_its_key_may_be(world: World, client: Any) -> None:
    key = world.project(cidrs=["10.0.0.0/8"])
    with bedrock_sdk(world, key) as elsewhere, pytest.raises(elsewhere.exceptions.AccessDeniedException):
        elsewhere.converse(modelId="fake-chat", messages=[user("Hello")])


def test_the_ledger_says_what_the_fakes_count(
    world: World,
    client: Any,
    bedrock: FakeBedrock,
    sagemaker: FakeSageMaker,
) -> None:
    answer = client.converse(modelId="bedrock-chat", messages=[user("One two [[chunks=5 cached=1]]")])
    request_id = answer["ResponseMetadata"]["HTTPHeaders"]["x-lobby-request-id"]
    [settled] = [line for line in world.spool_lines(request_id) if line.get("attempt_id") and "outcome" in line]
    [attempt] = [each for each in bedrock.attempts() if each.attempt == settled["attempt_id"]]
    assert (settled["input_tokens"], settled["output_tokens"]) == (attempt.prompt_tokens, attempt.completion_tokens)
    assert (settled["cached_tokens"], settled["status"]) == (1, "measured")
    assert answer["usage"]["cacheReadInputTokens"] == 1
