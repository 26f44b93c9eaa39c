"""The connection test: what is wrong with a provider, told apart, in words, without the credential."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from apps.models.connection import Outcome, Report, try_connection
from apps.models.models import Endpoint, Provider
from apps.models.services import create_provider
from apps.models.services.providers import draft_provider
from apps.tenants.access import Actor
from apps.tenants.errors import Invalid, PermissionDenied
from tests.models.conftest import People, RawServer, send

KEY = "sk-canary-of-the-connection"
CHAT = {
    "id": "c1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "OK"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 4, "completion_tokens": 1, "total_tokens": 5},
}


def reply(status: int, body: Any, **headers: str) -> Callable[[BaseHTTPRequestHandler], None]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return lambda handler: send(handler, status, data, **{"Content_Type": "application/json", **headers})


def failure(message: str, code: str = "", type: str = "") -> dict[str, Any]:
    return {"error": {"message": message, "code": code or None, "type": type}}


def draft(base_url: str, kind: str = "openai_compatible", **facts: Any) -> Provider:
    facts = {"credential_source": "database", "secret": KEY, **facts}
    return draft_provider(slug="draft", name="Draft", kind=kind, base_url=base_url, **facts)[0]


def attempt(provider: Provider, model: str = "writer", secret: str = KEY) -> Report:
    report = try_connection(actor=Actor.system("test"), provider=provider, secret=secret, upstream_model=model)
    assert KEY not in repr(report)
    return report


def check_sentences(report: Report) -> None:
    """Whole sentences for people: they begin large, end with a stop, and hold no name of a class of ours."""
    for text in filter(None, (report.title, report.remedy)):
        assert text[0].isupper() or text[0] in "'0123456789", text
        assert text.endswith("."), text
        assert not re.search(r"[A-Za-z]+(Error|Exception|Timeout)\b", text), text
    assert report.remedy or report.is_ok


def test_a_model_that_answers_is_connected(raw_server: RawServer) -> None:
    raw_server.answer = reply(200, CHAT)
    report = attempt(draft(raw_server.url))
    assert (report.outcome, report.title) == (Outcome.OK, "Connected: writer has answered.")
    (seen,) = raw_server.seen
    assert (seen["path"], seen["authorization"]) == ("/v1/chat/completions", f"Bearer {KEY}")


def test_without_a_model_the_list_is_read(raw_server: RawServer) -> None:
    raw_server.answer = reply(200, {"data": [{"id": "one"}, {"id": "two"}]})
    report = attempt(draft(raw_server.url), model="")
    assert (report.outcome, report.title) == (Outcome.OK, "Connected: it lists 2 models.")


SCOPES = "You have insufficient permissions for this operation. Missing scopes: api.model.read."


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        (403, failure(SCOPES, type="invalid_request_error"), Outcome.MAY_NOT_LIST),
        (401, failure(SCOPES), Outcome.MAY_NOT_LIST),
        (403, b"", Outcome.MAY_NOT_LIST),
        (403, failure("Your account does not have access", type="permission_error"), Outcome.MAY_NOT_LIST),
        (401, failure(f"Incorrect API key provided: {KEY}", "invalid_api_key"), Outcome.WRONG_KEY),
        (403, failure("API key not valid. Please pass a valid API key.", "PERMISSION_DENIED"), Outcome.WRONG_KEY),
        (401, b"", Outcome.WRONG_KEY),
    ],
)
def test_a_credential_that_may_not_list_is_no_wrong_one(
    raw_server: RawServer, status: int, body: Any, outcome: Outcome
) -> None:
    """It may chat all the same: with a model's name the test goes through."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        (reply(status, body) if handler.command == "GET" else reply(200, CHAT))(handler)

    raw_server.answer = answer
    report = attempt(draft(raw_server.url), model="")
    assert report.outcome is outcome, report
    check_sentences(report)
    if outcome is Outcome.MAY_NOT_LIST:
        assert (report.field, report.tone) == ("model", "warn")
        assert attempt(draft(raw_server.url), model="writer").is_ok


@pytest.mark.parametrize(
    ("status", "body", "outcome", "field"),
    [
        (401, failure(f"Incorrect API key provided: {KEY}", "invalid_api_key"), Outcome.WRONG_KEY, "credential"),
        (403, failure("Forbidden"), Outcome.WRONG_KEY, "credential"),
        (403, failure("Project has no access to it", "model_not_found"), Outcome.NO_ACCESS, "model"),
        (403, failure("Your key may not", type="permission_error"), Outcome.NO_ACCESS, "model"),
        (403, failure("Refused", "PERMISSION_DENIED"), Outcome.NO_ACCESS, "model"),
        (400, failure("API key not valid. Please pass a valid API key."), Outcome.WRONG_KEY, "credential"),
        (404, failure("The model `writer` does not exist", "model_not_found"), Outcome.WRONG_MODEL, "model"),
        (404, failure("model: writer", type="not_found_error"), Outcome.WRONG_MODEL, "model"),
        (404, b"<html>Not Found</html>", Outcome.WRONG_ADDRESS, "base_url"),
        (400, b"Client sent an HTTP request to an HTTPS server.", Outcome.WRONG_ADDRESS, "base_url"),
        (301, b"", Outcome.WRONG_ADDRESS, "base_url"),
        (200, b"<html>Welcome</html>", Outcome.WRONG_ADDRESS, "base_url"),
        (429, failure("You exceeded your current quota"), Outcome.BUSY, ""),
        (503, failure("Overloaded"), Outcome.FAILED, ""),
        (400, failure("Unsupported parameter"), Outcome.REFUSED, "model"),
        (200, failure("The model is being loaded"), Outcome.FAILED, ""),
        (200, failure("Slow down", "rate_limit_exceeded"), Outcome.BUSY, ""),
    ],
)
def test_what_the_provider_says_is_told_apart(
    raw_server: RawServer, status: int, body: Any, outcome: Outcome, field: str
) -> None:
    raw_server.answer = reply(status, body)
    report = attempt(draft(raw_server.url))
    assert (report.outcome, report.field) == (outcome, field), report
    check_sentences(report)
    worded = isinstance(body, dict)
    assert bool(report.said) is worded, "a provider that said nothing is not quoted"


def test_a_server_that_is_not_there_and_one_that_has_no_name(free_port: int) -> None:
    refused = attempt(draft(f"http://127.0.0.1:{free_port}/v1"))
    assert (refused.outcome, refused.field) == (Outcome.UNREACHABLE, "base_url")
    assert "nothing listens" in refused.title
    unknown = attempt(draft("https://models.nowhere.invalid/v1"))
    assert (unknown.outcome, unknown.field) == (Outcome.UNREACHABLE, "base_url")
    assert "models.nowhere.invalid" in unknown.title
    for report in (refused, unknown):
        check_sentences(report)
        assert not report.said


@pytest.mark.parametrize("model", ["writer", ""])
def test_a_server_that_does_not_speak_tls_is_said(raw_server: RawServer, model: str) -> None:
    report = attempt(draft(f"https://127.0.0.1:{raw_server.port}/v1"), model=model)
    assert (report.outcome, report.field) == (Outcome.UNREACHABLE, "base_url")
    assert report.title == f"127.0.0.1:{raw_server.port} answers, but does not speak TLS."
    assert "write http://" in report.remedy
    check_sentences(report)


def test_a_server_that_says_nothing_is_left_in_time(raw_server: RawServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.models.connection.ANSWER_TIMEOUT_S", 0.2)
    raw_server.answer = lambda handler: time.sleep(1)
    assert attempt(draft(raw_server.url)).outcome is Outcome.UNREACHABLE


def test_a_private_address_is_not_called(settings: Any, raw_server: RawServer) -> None:
    provider = draft(raw_server.url)
    settings.LOBBY_ALLOWED_PRIVATE_HOSTS = []
    report = attempt(provider)
    assert (report.outcome, report.field) == (Outcome.WRONG_ADDRESS, "base_url")
    assert raw_server.seen == []


def test_a_region_that_does_not_exist_is_the_regions_fault() -> None:
    provider = draft("", "bedrock", settings={"region": "eu-nowhere-9"})
    report = attempt(provider, model="")
    assert (report.outcome, report.field) == (Outcome.WRONG_REGION, "settings/region")
    assert "eu-nowhere-9" in report.title


def test_a_missing_variable_is_said(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    provider = draft("https://192.0.43.7/v1", credential_source="environment", credential_env="ACME_API_KEY", secret="")
    report = attempt(provider, secret="")
    assert (report.outcome, report.field) == (Outcome.WRONG_KEY, "credential")
    assert "ACME_API_KEY" in report.remedy


@pytest.mark.parametrize("name", ["admin", "developer", "outsider"])
def test_nobody_but_the_platforms_staff_tries_providers(people: People, provider: Provider, name: str) -> None:
    with pytest.raises(PermissionDenied):
        try_connection(actor=people.actor(name), provider=provider)


def test_a_wrong_setting_names_its_field(provider: Provider) -> None:
    with pytest.raises(Invalid):
        try_connection(actor=Actor.system("test"), provider=provider, settings={"colour": "red"})


def test_the_api_tests_lists_and_registers(people: People, raw_server: RawServer, operator: Actor) -> None:
    provider = create_provider(
        actor=operator, slug="ours", name="Ours", base_url=raw_server.url, credential_source="database", secret=KEY
    )
    client = Client()
    client.force_login(people["engineer"], backend="django.contrib.auth.backends.ModelBackend")
    raw_server.answer = reply(401, failure(f"Incorrect API key provided: {KEY}"))
    url = reverse("api:provider-test", args=[provider.slug])
    tested = client.post(url, {"model": "writer"}, content_type="application/json").json()
    assert (tested["outcome"], tested["field"]) == ("wrong_key", "credential")
    assert KEY not in json.dumps(tested)

    raw_server.answer = reply(200, {"data": [{"id": "writer"}, {"id": "acme-embed"}]})
    url = reverse("api:provider-models", args=[provider.slug])
    offered = client.get(url).json()["results"]
    assert {(each["upstream_model"], each["kind"], each["is_registered"]) for each in offered} == {
        ("writer", "chat", False),
        ("acme-embed", "embedding", False),
    }
    chosen = client.post(url, {"models": ["writer"]}, content_type="application/json")
    assert (chosen.status_code, chosen.json()) == (200, {"registered": 1})
    assert client.post(url, {"models": ["writer"]}, content_type="application/json").json() == {"registered": 0}
    refused = client.post(url, {"models": ["never-heard-of"]}, content_type="application/json")
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid")
    assert Endpoint.objects.get(provider=provider).upstream_model == "writer"
