"""The fakes of Amazon's services, by the official SDK alone: what it sends is taken, what is wrong is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from botocore.exceptions import ClientError, EventStreamError

from tests.aws import sdk
from tests.fakes.aws_models import Refused, check, secret_of, service
from tests.fakes.process import FakeBedrock, FakeSageMaker

MODEL = "anthropic.fake-chat-v1:0"
HELLO: Any = [{"role": "user", "content": [{"text": "Hello there [[chunks=3]]"}]}]
SAID = "w0 w1 w2 "


@pytest.fixture(scope="module")
def bedrock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeBedrock]:
    with FakeBedrock(tmp_path_factory.mktemp("bedrock") / "count.jsonl") as fake:
        yield fake


@pytest.fixture
def client(bedrock: FakeBedrock) -> Iterator[Any]:
    with sdk("bedrock-runtime", bedrock.url, "AKIAFAKE", secret_of("AKIAFAKE")) as client:
        yield client


def test_converse_plain_and_streamed(bedrock: FakeBedrock, client: Any) -> None:
    answer = client.converse(modelId=MODEL, messages=HELLO)
    assert answer["output"]["message"]["content"] == [{"text": SAID}]
    assert answer["usage"] == {"inputTokens": 3, "outputTokens": 3, "totalTokens": 6}
    with closing(client.converse_stream(modelId=MODEL, messages=HELLO)["stream"]) as stream:
        events = list(stream)
    assert [next(iter(event)) for event in events] == [
        "messageStart", *["contentBlockDelta"] * 3, "contentBlockStop", "messageStop", "metadata",
    ]  # fmt: skip
    assert events[-1]["metadata"]["usage"] == answer["usage"]
    attempt = bedrock.attempts()[-1]
    assert (attempt.credential, attempt.outcome, attempt.completion_tokens) == ("AKIAFAKE", "completed", 3)


def test_invoke_plain_streamed_and_embeddings(client: Any) -> None:
    body = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
    answer = client.invoke_model(modelId=MODEL, body=json.dumps(body))
    assert json.load(answer["body"])["usage"] == {"input_tokens": 1, "output_tokens": 8}
    with closing(client.invoke_model_with_response_stream(modelId=MODEL, body=json.dumps(body))["body"]) as parts:
        last = json.loads(list(parts)[-1]["chunk"]["bytes"])
    assert last["amazon-bedrock-invocationMetrics"]["outputTokenCount"] == 8
    titan = client.invoke_model(modelId="amazon.titan-embed-text-v2:0", body=json.dumps({"inputText": "one two"}))
    assert json.load(titan["body"])["inputTextTokenCount"] == 2


def test_a_forged_signature_is_refused(bedrock: FakeBedrock) -> None:
    with (
        sdk("bedrock-runtime", bedrock.url, "AKIAFAKE", "another") as client,
        pytest.raises(ClientError, match="AccessDenied"),
    ):
        client.converse(modelId=MODEL, messages=HELLO)


def test_what_the_service_refuses_is_refused(bedrock: FakeBedrock) -> None:
    """Sent past the SDK, which would not send most of it."""
    wrong: list[Any] = [
        {"messages": [{"role": "user", "content": [{"text": "Hi"}]}], "surprise": 1},
        {"messages": [{"role": "user", "content": [{"text": "Hi", "image": {}}]}]},
        {"messages": [{"role": "user", "content": [{"text": " "}]}]},
        {"messages": [{"role": "user", "content": []}]},
        {"messages": [{"role": "user", "content": "Hi"}]},
        {"messages": [{"role": "user", "content": [{"text": "a"}]}] * 2},
        {"messages": [], "inferenceConfig": {"maxTokens": 0}},
        {"messages": [{"role": "user", "content": [{"toolResult": {"toolUseId": "x", "content": []}}]}]},
    ]
    for body in wrong:
        answer = httpx.post(f"{bedrock.base}/model/m/converse", json=body, headers={"authorization": "Bearer key"})
        assert (answer.status_code, answer.headers["x-amzn-errortype"].partition(":")[0]) == (
            400,
            "ValidationException",
        )


def test_shapes_are_held_to_the_letter() -> None:
    shape = service("bedrock-runtime").operation_model("Converse").input_shape
    image = {"image": {"format": "png", "source": {"bytes": "AAAA"}}}
    check(shape, {"messages": [{"role": "user", "content": [image]}]})
    for wrong in (
        {"image": {"format": "bmp", "source": {"bytes": "AAAA"}}},
        {"image": {"format": "png", "source": {"bytes": "no base64!"}}},
        {"image": {"format": "png"}},
        {"toolUse": {"toolUseId": "a b", "name": "n", "input": {}}},
    ):
        with pytest.raises(Refused):
            check(shape, {"messages": [{"role": "user", "content": [wrong]}]})


def test_faults_in_a_stream(client: Any) -> None:
    messages = [{"role": "user", "content": [{"text": "Hello [[fail=error_event at=2 code=throttlingException]]"}]}]
    stream = client.converse_stream(modelId=MODEL, messages=messages)["stream"]
    with closing(stream), pytest.raises(EventStreamError, match="throttling"):
        list(stream)


def test_containers_behind_sagemaker(tmp_path: Path) -> None:
    with (
        FakeSageMaker(tmp_path / "count.jsonl") as fake,
        sdk("sagemaker-runtime", fake.url, "AKIAFAKE", secret_of("AKIAFAKE")) as client,
    ):
        chat = {"model": "m", "messages": [{"role": "user", "content": "Hello there [[chunks=3]]"}]}
        answer = client.invoke_endpoint(EndpointName="llama", ContentType="application/json", Body=json.dumps(chat))
        with closing(answer["Body"]) as body:
            assert json.load(body)["choices"][0]["message"]["content"] == SAID
        streamed = client.invoke_endpoint_with_response_stream(
            EndpointName="llama", ContentType="application/json", Body=json.dumps({**chat, "stream": True})
        )
        with closing(streamed["Body"]) as parts:
            text = b"".join(part["PayloadPart"]["Bytes"] for part in parts)
        assert text.endswith(b"data: [DONE]\n\n")
        generate = {"inputs": "Hello there [[chunks=3]]", "parameters": {"details": True}}
        answer = client.invoke_endpoint(EndpointName="llama", ContentType="application/json", Body=json.dumps(generate))
        with closing(answer["Body"]) as body:
            assert json.load(body)[0]["generated_text"] == SAID
