"""The connection test against each kind of provider: its fake, and the words in which the real ones refuse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from apps.models.connection import Outcome
from tests.fakes.aws_models import secret_of
from tests.fakes.process import FakeAnthropic, FakeAzure, FakeBedrock, FakeOpenAI, FakeSageMaker
from tests.models.conftest import RawServer, send
from tests.models.test_connection import KEY, attempt, check_sentences, draft

REGION = {"region": "eu-central-1"}
PAIR = {**REGION, "access_key_id": "AKIAEXAMPLEEXAMPLE00"}


@pytest.mark.parametrize(
    ("fake", "kind", "known", "model"),
    [
        (FakeOpenAI, "openai", {}, "fake-chat"),
        (FakeOpenAI, "gemini", {}, "fake-chat"),
        (FakeAnthropic, "anthropic", {}, "claude-fake"),
        (FakeAzure, "azure_openai", {}, "fake-chat"),
        (FakeBedrock, "bedrock", PAIR, "fake.chat-v1:0"),
        (FakeBedrock, "bedrock", REGION, "fake.chat-v1:0"),
        (FakeSageMaker, "sagemaker", PAIR, "fake-endpoint"),
    ],
)
def test_each_kind_is_called_for_real(
    tmp_path: Path, fake: type[FakeOpenAI], kind: str, known: dict[str, str], model: str
) -> None:
    with fake(tmp_path / "count.jsonl") as server:
        secret = secret_of(known["access_key_id"]) if "access_key_id" in known else KEY
        report = attempt(draft(server.url, kind, settings=known, secret=secret), model=model, secret=secret)
        assert report.outcome is Outcome.OK, report
        assert len(server.attempts()) == 1


WORDS_OF_AWS = [
    (403, "UnrecognizedClientException", "The security token included in the request is invalid.", "wrong_key"),
    (403, "ExpiredTokenException", "The security token included in the request is expired", "wrong_key"),
    (403, "InvalidSignatureException", "The request signature we calculated does not match", "wrong_key"),
    (403, "InvalidSignatureException", "Credential should be scoped to a valid region.", "wrong_region"),
    (403, "AccessDeniedException", "You don't have access to the model with the specified model ID.", "no_access"),
    (403, "AccessDeniedException", "User is not authorized to perform: sagemaker:InvokeEndpoint", "no_access"),
    (403, "AccessDeniedException", "Authentication failed: Please make sure your API Key is valid.", "wrong_key"),
    (404, "UnknownOperationException", "", "wrong_address"),
    (400, "ValidationException", "The provided model identifier is invalid.", "wrong_model"),
    (400, "ValidationException", "Invocation of model ID m with on-demand throughput isn't supported.", "wrong_model"),
    (400, "ValidationError", "Endpoint nope of account 123456789012 not found.", "wrong_model"),
    (429, "ThrottlingException", "Too many requests", "busy"),
]


@pytest.mark.parametrize(("status", "type", "message", "outcome"), WORDS_OF_AWS)
@pytest.mark.parametrize("kind", ["bedrock", "sagemaker"])
def test_the_words_of_aws(raw_server: RawServer, kind: str, status: int, type: str, message: str, outcome: str) -> None:
    body = json.dumps({"message": message}).encode()
    raw_server.answer = lambda handler: send(handler, status, body, x_amzn_errortype=type)
    report = attempt(draft(f"http://127.0.0.1:{raw_server.port}", kind, settings=PAIR))
    assert report.outcome == outcome, report
    check_sentences(report)


@pytest.mark.parametrize(
    ("type", "message", "outcome"),
    [
        ("AccessDeniedException", "User is not authorized to perform: bedrock:ListFoundationModels", "may_not_list"),
        ("UnrecognizedClientException", "The security token included in the request is invalid.", "wrong_key"),
        ("InvalidSignatureException", "The request signature we calculated does not match", "wrong_key"),
        ("ExpiredTokenException", "The security token included in the request is expired", "wrong_key"),
    ],
)
def test_a_role_of_aws_that_may_not_list_is_no_wrong_one(
    raw_server: RawServer, type: str, message: str, outcome: str
) -> None:
    body = json.dumps({"message": message}).encode()
    raw_server.answer = lambda handler: send(handler, 403, body, x_amzn_errortype=type)
    report = attempt(draft(f"http://127.0.0.1:{raw_server.port}", "bedrock", settings=PAIR), model="")
    assert report.outcome == outcome, report
    check_sentences(report)


@pytest.mark.parametrize(
    ("kind", "sentences"),
    [
        ("bedrock", ("There is no model 'writer' in the region eu-central-1.", "Check the model id and the region:")),
        ("sagemaker", ("There is no endpoint 'writer' in the region eu-central-1.", "Check the endpoint's name and")),
    ],
)
def test_what_aws_does_not_find_is_the_model_or_the_region(
    raw_server: RawServer, kind: str, sentences: tuple[str, str]
) -> None:
    raw_server.answer = lambda handler: send(handler, 404, b"{}", x_amzn_errortype="ResourceNotFoundException")
    report = attempt(draft(f"http://127.0.0.1:{raw_server.port}", kind, settings=PAIR))
    assert (report.outcome, report.field, report.said) == (Outcome.WRONG_MODEL, "model", "")
    assert report.title == sentences[0]
    assert report.remedy.startswith(sentences[1])


def said(message: str, code: str = "", type: str = "") -> dict[str, Any]:
    return {"error": {"message": message, "code": code or None, "type": type}}


DENIED = "Access denied due to invalid subscription key or wrong API endpoint."
WORDS = [
    ("azure_openai", 404, said("The API deployment does not exist.", "DeploymentNotFound"), "wrong_model"),
    ("azure_openai", 401, said(DENIED, "401"), "wrong_key"),
    ("azure_openai", 404, said("Resource not found", "404"), "wrong_address"),
    ("anthropic", 401, said("invalid x-api-key", type="authentication_error"), "wrong_key"),
    ("anthropic", 404, said("model: nope", type="not_found_error"), "wrong_model"),
    ("anthropic", 404, said("Not Found", type="not_found_error"), "wrong_address"),
    ("openai", 404, said("Invalid URL (POST /v2/chat/completions)", type="invalid_request_error"), "wrong_address"),
    ("openai", 404, said("The model `nope` does not exist", "model_not_found"), "wrong_model"),
    ("gemini", 400, [said("API key not valid. Please pass a valid API key.", "400")], "wrong_key"),
    ("gemini", 404, [said("models/nope is not found for API version v1main", "404")], "wrong_model"),
]


@pytest.mark.parametrize(("kind", "status", "body", "outcome"), WORDS)
def test_the_words_of_the_others(raw_server: RawServer, kind: str, status: int, body: Any, outcome: str) -> None:
    raw_server.answer = lambda handler: send(handler, status, json.dumps(body).encode())
    report = attempt(draft(f"http://127.0.0.1:{raw_server.port}", kind))
    assert report.outcome == outcome, report
    check_sentences(report)
    assert KEY not in repr(report)
