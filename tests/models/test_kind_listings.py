"""The lists of models of Anthropic, Azure OpenAI, Bedrock and Gemini, from servers that answer in their shapes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import urlsplit

import pytest
from pytest_django import Settings

from apps.models.cloud_credentials import aws_key
from apps.models.discovery import register_from_environment
from apps.models.errors import DiscoveryFailed
from apps.models.kind_listings import control_plane
from apps.models.models import Endpoint, Model, Provider
from apps.models.upstream_listing import REFUSED, UNREACHED, UNRESOLVED, Place, read_listing
from tests.models.conftest import People, RawServer, send

KEY = "sk-canary-of-the-lists"
BEDROCK = {
    "/foundation-models": {
        "modelSummaries": [
            {
                "modelId": "anthropic.claude-sonnet-4-20250514-v1:0",
                "modelName": "Claude Sonnet 4",
                "providerName": "Anthropic",
                "inputModalities": ["TEXT", "IMAGE"],
                "outputModalities": ["TEXT"],
                "responseStreamingSupported": True,
                "inferenceTypesSupported": ["INFERENCE_PROFILE"],
                "modelLifecycle": {"status": "ACTIVE"},
            },
            {
                "modelId": "amazon.nova-lite-v1:0",
                "modelName": "Nova Lite",
                "providerName": "Amazon",
                "inputModalities": ["TEXT", "IMAGE", "VIDEO"],
                "outputModalities": ["TEXT"],
                "responseStreamingSupported": True,
                "inferenceTypesSupported": ["ON_DEMAND"],
                "modelLifecycle": {"status": "ACTIVE"},
            },
            {
                "modelId": "amazon.titan-embed-text-v2:0",
                "modelName": "Titan Text Embeddings V2",
                "providerName": "Amazon",
                "inputModalities": ["TEXT"],
                "outputModalities": ["EMBEDDING"],
                "inferenceTypesSupported": ["ON_DEMAND"],
                "modelLifecycle": {"status": "ACTIVE"},
            },
            {
                "modelId": "old.model-v1",
                "inputModalities": ["TEXT"],
                "outputModalities": ["TEXT"],
                "inferenceTypesSupported": ["ON_DEMAND"],
                "modelLifecycle": {"status": "LEGACY"},
            },
            {
                "modelId": "only.provisioned-v1",
                "inputModalities": ["TEXT"],
                "outputModalities": ["TEXT"],
                "inferenceTypesSupported": ["PROVISIONED"],
            },
        ]
    },
    "/inference-profiles": {
        "inferenceProfileSummaries": [
            {
                "inferenceProfileId": "global.anthropic.claude-sonnet-4-20250514-v1:0",
                "status": "ACTIVE",
                "models": [{"modelArn": "arn:aws:bedrock:::foundation-model/anthropic.claude-sonnet-4-20250514-v1:0"}],
            },
            {
                "inferenceProfileId": "eu.anthropic.claude-sonnet-4-20250514-v1:0",
                "status": "ACTIVE",
                "models": [
                    {"modelArn": "arn:aws:bedrock:eu-west-1::foundation-model/anthropic.claude-sonnet-4-20250514-v1:0"}
                ],
            },
        ]
    },
}


def serve(server: RawServer, answers: Mapping[str, Any]) -> str:
    """``answers`` by path; the rest is 404. Its address without a path."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        body = answers.get(urlsplit(handler.path).path)
        if body is None:
            send(handler, 404)
        else:
            send(handler, 200, json.dumps(body).encode(), Content_Type="application/json")

    server.answer = answer
    return f"http://127.0.0.1:{server.port}"


def test_anthropic_is_asked_in_its_own_way(raw_server: RawServer) -> None:
    base = serve(
        raw_server,
        {"/v1/models": {"data": [{"id": "claude-sonnet-4-5", "display_name": "Claude Sonnet 4.5"}], "has_more": False}},
    )
    (model,) = read_listing(Place("anthropic", base, KEY)).models
    assert (model.upstream_model, model.name, model.owner) == ("claude-sonnet-4-5", "Claude Sonnet 4.5", "Anthropic")
    (seen,) = raw_server.seen
    assert (seen["x-api-key"], seen["anthropic-version"]) == (KEY, "2023-06-01")
    assert "authorization" not in seen


def test_what_anthropic_tells_of_a_model_is_kept(raw_server: RawServer) -> None:
    yes, no = {"supported": True}, {"supported": False}
    facts = {"image_input": yes, "structured_outputs": no, "thinking": {"supported": True, "types": {}}, "new": 5}
    model = {"id": "claude-x", "max_input_tokens": 200_000, "max_tokens": 64_000, "capabilities": facts}
    (found,) = read_listing(Place("anthropic", serve(raw_server, {"/v1/models": {"data": [model]}}), KEY)).models
    assert (found.context_tokens, found.max_output_tokens) == (200_000, 64_000)
    assert found.capabilities == ("streaming", "tools", "vision", "reasoning")


def test_azure_lists_deployments_by_what_is_behind_them(raw_server: RawServer) -> None:
    base = serve(
        raw_server,
        {
            "/openai/deployments": {
                "data": [
                    {"id": "claims-chat", "model": "gpt-4.1-mini", "status": "succeeded"},
                    {"id": "claims-search", "model": "text-embedding-3-large", "status": "succeeded"},
                    {"id": "half-made", "model": "gpt-4.1", "status": "running"},
                ]
            }
        },
    )
    listing = read_listing(Place("azure_openai", base, KEY, {"api_version": "2024-10-21"}))
    assert [(each.upstream_model, each.kind, each.priced_as) for each in listing.models] == [
        ("claims-chat", "chat", "gpt-4.1-mini"),
        ("claims-search", "embedding", "text-embedding-3-large"),
    ]
    assert listing.skipped == 1
    assert raw_server.seen[0]["api-key"] == KEY


@pytest.mark.parametrize("credential", [aws_key("AKIAEXAMPLEEXAMPLE00", "canary", "token"), "bedrock-api-key"])
def test_bedrock_lists_what_can_be_called_and_by_which_id(raw_server: RawServer, credential: str) -> None:
    base = serve(raw_server, BEDROCK)
    listing = read_listing(Place("bedrock", base, credential, {"region": "eu-west-1"}))
    assert [(each.upstream_model, each.kind) for each in listing.models] == [
        ("eu.anthropic.claude-sonnet-4-20250514-v1:0", "chat"),
        ("amazon.nova-lite-v1:0", "chat"),
        ("amazon.titan-embed-text-v2:0", "embedding"),
    ]
    assert "vision" in listing.models[0].capabilities
    assert listing.skipped == 2
    shown = raw_server.seen[0]["authorization"]
    if credential == "bedrock-api-key":
        assert shown == "Bearer bedrock-api-key"
    else:
        assert "Credential=AKIAEXAMPLEEXAMPLE00/" in shown
        assert "/eu-west-1/bedrock/aws4_request" in shown
        assert raw_server.seen[0]["x-amz-security-token"] == "token"
    assert "canary" not in json.dumps(raw_server.seen)


def test_bedrock_tells_of_its_models_elsewhere_than_it_answers() -> None:
    assert control_plane("https://bedrock-runtime.eu-west-1.amazonaws.com") == "https://bedrock.eu-west-1.amazonaws.com"
    assert control_plane("https://gateway.example/bedrock") == "https://gateway.example/bedrock"


def test_geminis_names_lose_their_folder(raw_server: RawServer) -> None:
    base = serve(raw_server, {"/v1beta/openai/models": {"data": [{"id": "models/gemini-2.5-flash"}]}})
    (model,) = read_listing(Place("gemini", f"{base}/v1beta/openai", KEY)).models
    assert model.upstream_model == "gemini-2.5-flash"


@pytest.mark.parametrize("kind", ["anthropic", "azure_openai", "bedrock"])
@pytest.mark.parametrize("body", [b"", b"[]", b"<html>", b'{"data": 1}', b'{"modelSummaries": {}}', b"\xff" * 40])
def test_an_answer_of_another_shape_is_a_clean_failure(raw_server: RawServer, kind: str, body: bytes) -> None:
    raw_server.answer = lambda handler: send(handler, 200, body)
    with pytest.raises(DiscoveryFailed):
        read_listing(Place(kind, f"http://127.0.0.1:{raw_server.port}", KEY, {"region": "eu-west-1"}))


def test_a_failure_says_whose_it_is(raw_server: RawServer, free_port: int) -> None:
    raw_server.answer = lambda handler: send(handler, 401)
    for base, code in (
        (f"http://127.0.0.1:{raw_server.port}", REFUSED),
        (f"http://127.0.0.1:{free_port}", UNREACHED),
        ("https://bedrock-runtime.nowhere.invalid", UNRESOLVED),
    ):
        with pytest.raises(DiscoveryFailed) as failed:
            read_listing(Place("anthropic", base, KEY))
        assert failed.value.code == code
        assert KEY not in failed.value.message


def test_the_environment_registers_each_kind(
    people: People, raw_server: RawServer, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = serve(
        raw_server,
        {
            "/v1/models": {"data": [{"id": "claude-sonnet-4-5", "display_name": "Claude Sonnet 4.5"}]},
            "/openai/deployments": {"data": [{"id": "claims-chat", "model": "gpt-4.1-mini", "status": "succeeded"}]},
            "/v1beta/openai/models": {"data": [{"id": "models/gemini-2.5-flash"}]},
            **BEDROCK,
        },
    )
    settings.SANDBOX_ENABLED = False
    settings.ANTHROPIC_BASE_URL = settings.AZURE_OPENAI_ENDPOINT = base
    settings.GEMINI_BASE_URL = f"{base}/v1beta/openai"
    settings.AWS_REGION, settings.AWS_ENDPOINT_URL_BEDROCK_RUNTIME = "eu-west-1", base
    for name in ("ANTHROPIC_API_KEY", "AZURE_OPENAI_API_KEY", "GEMINI_API_KEY", "AWS_BEARER_TOKEN_BEDROCK"):
        monkeypatch.setenv(name, KEY)
    lines = [found.line for found in register_from_environment()]
    assert lines == [
        "Anthropic: 1 model",
        "Azure OpenAI: 1 model",
        "Google Gemini: 1 model",
        "Amazon Bedrock (eu-west-1): 3 models (2 of other kinds left out)",
    ]
    assert set(Provider.objects.values_list("slug", "kind")) == {
        ("anthropic", "anthropic"),
        ("azure-openai", "azure_openai"),
        ("gemini", "gemini"),
        ("bedrock", "bedrock"),
    }
    assert Model.objects.get(slug="claude-sonnet-4-5").name == "Claude Sonnet 4.5"
    assert set(Endpoint.objects.filter(provider__slug="bedrock").values_list("region", flat=True)) == {"eu-west-1"}
    # A second start finds them as they are.
    assert [found.line for found in register_from_environment()] == lines
    assert Provider.objects.count() == 4
