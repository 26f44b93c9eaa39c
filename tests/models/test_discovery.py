"""Finding providers in the environment, and models in a provider's own list."""

from __future__ import annotations

import gzip
import io
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import call_command
from django.utils import timezone
from pytest_django import Settings

from apps.models import discovery
from apps.models.credentials import credential_of
from apps.models.discovery import discover_due, discover_provider, register_from_environment
from apps.models.environment import FoundStatus, candidates_of
from apps.models.errors import DiscoveryFailed, UrlRefused
from apps.models.models import Endpoint, Model, Price, Provider
from apps.models.services import create_provider, disable_endpoint, disable_provider, update_model
from apps.models.tasks import discover
from apps.models.types import CredentialSource
from apps.models.upstream_listing import Place, guess_kind, parse_listing, read_listing
from apps.tenants.access import Actor
from apps.tenants.control_plane import control_plane_version
from apps.tenants.errors import PermissionDenied
from apps.tenants.models import AuditEntry
from tests.fakes.blackhole import blackhole
from tests.fakes.process import FakeOpenAI
from tests.models.conftest import People, RawServer, send

KEY = "sk-canary-of-the-environment"

pytestmark = pytest.mark.django_db


@pytest.fixture
def upstream(tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeOpenAI]:
    with FakeOpenAI(tmp_path / "count.jsonl", "--require-key", KEY) as fake:
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        settings.OPENAI_BASE_URL = fake.url
        settings.SANDBOX_ENABLED = False
        yield fake


def listing(*names: str) -> bytes:
    return json.dumps({"object": "list", "data": [{"id": name, "object": "model"} for name in names]}).encode()


def live(provider: str = "openai") -> set[str]:
    rows = Endpoint.objects.filter(provider__slug=provider, is_enabled=True)
    return set(rows.values_list("upstream_model", flat=True))


def test_the_environments_server_is_registered_with_its_models(upstream: FakeOpenAI) -> None:
    (found,) = register_from_environment()
    assert (found.status, found.models) == (FoundStatus.READY, 3)
    assert found.line == f"OpenAI-compatible (127.0.0.1:{upstream.port}): 3 models"
    provider = Provider.objects.get(slug="openai")
    assert provider.credential_source == CredentialSource.ENVIRONMENT
    assert credential_of(provider) == KEY
    kinds = dict(Model.objects.values_list("slug", "kind"))
    assert kinds == {"fake-chat": "chat", "fake-chat-mini": "chat", "fake-embed": "embedding"}
    assert set(Model.objects.values_list("lifecycle", "is_open")) == {("approved", True)}
    assert upstream.requests()[0]["path"] == "/v1/models"


def test_starting_again_changes_nothing(upstream: FakeOpenAI) -> None:
    register_from_environment()
    version, entries = control_plane_version(), AuditEntry.objects.unscoped("test").count()
    (found,) = register_from_environment()
    assert found.models == 3
    assert (control_plane_version(), AuditEntry.objects.unscoped("test").count()) == (version, entries)
    assert Endpoint.objects.count() == Model.objects.count() == 3


def test_what_staff_changed_since_is_left_alone(upstream: FakeOpenAI, people: People) -> None:
    register_from_environment()
    engineer = people.actor("engineer")
    model = Model.objects.get(slug="fake-chat")
    update_model(actor=engineer, model=model, name="Our chat", is_open=False)
    disable_endpoint(actor=engineer, endpoint=Endpoint.objects.get(upstream_model="fake-chat-mini"))
    register_from_environment()
    model.refresh_from_db()
    assert (model.name, model.is_open) == ("Our chat", False)
    assert live() == {"fake-chat", "fake-embed"}
    disable_provider(actor=engineer, provider=Provider.objects.get())
    (found,) = register_from_environment()
    assert found.status == FoundStatus.DISABLED
    assert not Provider.objects.get().is_enabled


def test_vanished_models_are_disabled_and_come_back(upstream: FakeOpenAI) -> None:
    register_from_environment()
    upstream.stop()
    restarted = FakeOpenAI(None, "--model", "fake-chat", "--model", "fake-new", port=upstream.port)
    with restarted:
        (found,) = register_from_environment()
        assert found.message == "2 no longer listed, disabled"
        assert live() == {"fake-chat", "fake-new"}
        assert Model.objects.count() == 4
    with FakeOpenAI(None, port=upstream.port):
        register_from_environment()
        assert live() == {"fake-chat", "fake-chat-mini", "fake-embed"}


def test_an_unreachable_server_keeps_its_models_and_is_asked_again(upstream: FakeOpenAI) -> None:
    register_from_environment()
    upstream.stop()
    (found,) = register_from_environment()
    assert (found.status, found.models) == (FoundStatus.UNREACHABLE, 3)
    assert "keeping the 3 models known" in found.line
    assert live() == {"fake-chat", "fake-chat-mini", "fake-embed"}
    assert "cannot be reached" in Provider.objects.get().last_error


def test_a_server_that_was_down_at_the_start_is_found_by_the_scheduled_task(upstream: FakeOpenAI) -> None:
    upstream.stop()
    (found,) = register_from_environment()
    assert (found.status, found.models) == (FoundStatus.UNREACHABLE, 0)
    assert discover_due() == ["openai"]
    assert live() == set()
    with FakeOpenAI(None, "--require-key", KEY, port=upstream.port):
        discover.run()
        assert len(live()) == 3
        assert Provider.objects.get().last_error == ""
        assert discover_due() == []
        assert discover_due(timezone.now() + discovery.REDISCOVER_AFTER) == ["openai"]


def test_a_server_that_never_answers_does_not_hold_up_the_start(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with blackhole() as url:
        settings.OPENAI_BASE_URL = url
        began = time.monotonic()
        sandbox, found = register_from_environment()
        assert time.monotonic() - began < discovery.START_DEADLINE_S + 1
    assert found.status == FoundStatus.UNREACHABLE
    assert sandbox.models == 3


def test_a_refused_credential_is_said_to_be_so_and_not_repeated(
    upstream: FakeOpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary-wrong")
    (found,) = register_from_environment()
    assert "refused the credential (401)" in found.line
    assert "canary" not in found.line + Provider.objects.get().last_error


def test_a_provider_that_left_the_environment_is_disabled_until_it_is_back(
    upstream: FakeOpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    register_from_environment()
    monkeypatch.delenv("OPENAI_API_KEY")
    (found,) = register_from_environment()
    assert found.status == FoundStatus.GONE
    assert not Provider.objects.get().is_enabled
    assert register_from_environment() == []
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    (found,) = register_from_environment()
    assert (found.status, Provider.objects.get().is_enabled) == (FoundStatus.READY, True)


def test_the_environments_key_follows_the_environments_server(upstream: FakeOpenAI, settings: Settings) -> None:
    register_from_environment()
    with FakeOpenAI(None, "--require-key", KEY, "--model", "elsewhere") as other:
        settings.OPENAI_BASE_URL = other.url
        register_from_environment()
        assert Provider.objects.get().base_url == other.url
        assert live() == {"elsewhere"}


def test_the_kind_follows_the_environments_server(upstream: FakeOpenAI) -> None:
    register_from_environment()
    Provider.objects.update(kind="openai")  # as when the address was OpenAI's own
    register_from_environment()
    assert Provider.objects.get().kind == "openai_compatible"
    assert "fake-chat" in live()


@pytest.mark.parametrize(
    ("base_url", "kind"),
    [
        ("https://api.openai.com/v1", "openai"),
        ("https://api.openai.com/v1/", "openai"),
        ("https://api.openai.com.example/v1", "openai_compatible"),
        ("http://127.0.0.1:8000/v1", "openai_compatible"),
    ],
)
def test_openais_own_address_is_openai_and_any_other_a_server_that_speaks_like_it(
    settings: Settings, base_url: str, kind: str
) -> None:
    settings.OPENAI_BASE_URL = base_url
    found = next(each for each in candidates_of({"OPENAI_API_KEY": KEY}) if each.slug == "openai")
    assert (found.kind, found.credential_env) == (kind, "OPENAI_API_KEY")


def test_two_providers_of_one_model_make_one_model_with_two_endpoints(upstream: FakeOpenAI, settings: Settings) -> None:
    with FakeOpenAI(None, "--model", "fake-chat", "--require-key", "") as second:
        settings.VLLM_BASE_URL = second.url
        # The fake wants some key; vLLM may have one too.
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("VLLM_API_KEY", "anything")
            register_from_environment()
    model = Model.objects.get(slug="fake-chat")
    endpoints = model.endpoints.order_by("priority")
    assert [(endpoint.provider.slug, endpoint.priority) for endpoint in endpoints] == [("openai", 0), ("vllm", 1)]


def test_a_local_ollama_is_found_when_it_answers_and_unmentioned_when_not(
    raw_server: RawServer, settings: Settings
) -> None:
    settings.SANDBOX_ENABLED = False
    settings.OLLAMA_BASE_URL = raw_server.url
    assert register_from_environment() == []
    assert not Provider.objects.exists()
    raw_server.answer = lambda handler: send(handler, 200, listing("llama3.1:8b", "nomic-embed-text:latest"))
    (found,) = register_from_environment()
    assert found.line == "Ollama: 2 models"
    assert "authorization" not in raw_server.seen[-1]
    assert Price.objects.get(model__slug="llama3.1:8b").source == "Self-hosted: no price per token"
    raw_server.answer = lambda handler: send(handler, 503)
    (found,) = register_from_environment()
    assert "keeping the 2 models known" in found.line


def test_a_list_price_is_taken_where_the_package_knows_the_model(
    raw_server: RawServer, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.SANDBOX_ENABLED = False
    settings.OPENAI_BASE_URL = raw_server.url
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    raw_server.answer = lambda handler: send(handler, 200, listing("gpt-4o-mini", "o3", "sora-2", "our-own"))
    (found,) = register_from_environment()
    assert found.line.endswith("3 models (1 of other kinds left out)")
    price = Price.objects.get(model__slug="gpt-4o-mini")
    assert (price.input_picousd, price.output_picousd) == (150_000, 600_000)
    assert price.source.startswith("genai-prices")
    assert not Price.objects.filter(model__slug="our-own").exists()
    model = Model.objects.get(slug="gpt-4o-mini")
    assert (model.context_tokens, model.publisher, "tools" in model.capabilities) == (128_000, "OpenAI", True)
    count = Price.objects.count()
    register_from_environment()
    assert Price.objects.count() == count


def test_in_production_discovered_models_wait_for_approval(upstream: FakeOpenAI, settings: Settings) -> None:
    settings.DISCOVERED_MODELS_OPEN = False
    register_from_environment()
    assert set(Model.objects.values_list("lifecycle", "is_open")) == {("proposed", False)}
    with FakeOpenAI(None, "--model", "fake-chat") as second:
        settings.VLLM_BASE_URL = second.url
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("VLLM_API_KEY", "anything")
            register_from_environment()
    assert not Endpoint.objects.get(provider__slug="vllm").is_enabled


def test_a_server_cannot_take_over_a_sandbox_model(upstream: FakeOpenAI, settings: Settings) -> None:
    upstream.stop()
    settings.SANDBOX_ENABLED = True
    with FakeOpenAI(None, "--model", "sandbox-chat", "--model", "fake-chat", port=upstream.port):
        register_from_environment()
    assert live() == {"fake-chat"}
    assert Model.objects.get(slug="sandbox-chat").endpoints.get().provider.slug == "sandbox"


def test_the_sandbox_is_registered_priced_open_and_labelled() -> None:
    (found,) = register_from_environment()
    assert (found.name, found.models) == ("Sandbox (simulated)", 3)
    for model in Model.objects.all():
        assert model.is_open
        assert "(simulated)" in model.name
        assert Price.objects.get(model=model).source == "Sandbox price, nothing is billed"
        assert Price.objects.get(model=model).input_picousd > 0


def test_what_is_half_there_says_what_is_missing(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    settings.SANDBOX_ENABLED = False
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIACANARY")
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", "canary")
    lines = [found.line for found in register_from_environment()]
    assert lines == [
        "Amazon Bedrock (AWS_ACCESS_KEY_ID): set AWS_REGION to use it",
        "Azure OpenAI (AZURE_OPENAI_API_KEY): set AZURE_OPENAI_ENDPOINT to use it",
    ]


def test_the_command_prints_what_was_found(upstream: FakeOpenAI) -> None:
    out = io.StringIO()
    call_command("providers", "discover", stdout=out)
    assert "3 models" in out.getvalue()
    out = io.StringIO()
    call_command("providers", "list", stdout=out)
    assert "OPENAI_API_KEY" in out.getvalue()
    assert "canary" not in out.getvalue()


@pytest.mark.parametrize("name", ["admin", "outsider"])
def test_only_platform_staff_discover(people: People, provider: Provider, name: str) -> None:
    with pytest.raises(PermissionDenied):
        discover_provider(actor=people.actor(name), provider=provider)


def test_an_empty_list_switches_nothing_off(raw_server: RawServer, operator: Actor) -> None:
    provider = create_provider(actor=operator, slug="local", name="Local", base_url=raw_server.url)
    raw_server.answer = lambda handler: send(handler, 200, listing("one", "two"))
    discover_provider(actor=operator, provider=provider)
    raw_server.answer = lambda handler: send(handler, 200, listing())
    with pytest.raises(DiscoveryFailed):
        discover_provider(actor=operator, provider=provider)
    assert live("local") == {"one", "two"}


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"[]", b"{}", b'{"data": 3}', b"\xff\xfe", b'{"data": [', b"<html>", b'{"data": {"id": "x"}}'],
)
def test_an_answer_that_is_no_list_is_refused(body: bytes) -> None:
    with pytest.raises(DiscoveryFailed):
        parse_listing(body)


def test_bad_entries_are_left_out_one_by_one() -> None:
    names = [
        "good",
        "has space",
        "new\nline",
        "<script>",
        "../up",
        "a/../b",
        "a//b",
        "end/",
        "",
        "x" * 300,
        "nul\x00",
        "Qwen/Qwen3-8B",
        "good",
    ]
    data: list[object] = [{"id": name} for name in names]
    data += [{"id": 7}, {"id": None}, {}, "text", 3, None, {"id": "long", "context_length": 32768}]
    parsed = parse_listing(json.dumps({"data": data}).encode())
    assert [(model.upstream_model, model.context_tokens) for model in parsed.models] == [
        ("good", None),
        ("Qwen/Qwen3-8B", None),
        ("long", 32768),
    ]
    assert parsed.skipped == len(data) - 4


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("gpt-4o", "chat"),
        ("o3-mini", "chat"),
        ("llama3.1:8b", "chat"),
        ("meta-llama/Llama-3.3-70B-Instruct", "chat"),
        ("text-embedding-3-large", "embedding"),
        ("text-embedding-ada-002", "embedding"),
        ("nomic-embed-text:latest", "embedding"),
        ("BAAI/bge-m3", "embedding"),
        ("whisper-1", "transcription"),
        ("tts-1-hd", "speech"),
        ("dall-e-3", "image"),
        ("gpt-image-1", "image"),
        ("omni-moderation-latest", "moderation"),
        ("gpt-4o-realtime-preview", None),
        ("gpt-4o-mini-transcribe", "transcription"),
        ("BAAI/bge-reranker-v2-m3", "rerank"),
        ("davinci-002", None),
    ],
)
def test_the_kind_is_guessed_from_the_name(name: str, kind: str | None) -> None:
    assert guess_kind(name) == kind


def test_a_redirect_is_not_followed_and_takes_no_credential_along(raw_server: RawServer) -> None:
    raw_server.answer = lambda handler: send(handler, 307, Location="http://127.0.0.1:1/v1/models")
    with pytest.raises(DiscoveryFailed, match="redirects elsewhere"):
        read_listing(Place("openai_compatible", raw_server.url, KEY))
    assert len(raw_server.seen) == 1


def test_an_endless_or_slow_or_compressed_list_is_given_up(
    raw_server: RawServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.models.upstream_listing.MAX_BYTES", 100_000)
    raw_server.answer = lambda handler: send(handler, 200, b"x" * 200_000)
    with pytest.raises(DiscoveryFailed, match="longer than"):
        read_listing(Place("openai_compatible", raw_server.url, KEY))
    bomb = gzip.compress(b"0" * 10**7)
    raw_server.answer = lambda handler: send(handler, 200, bomb, Content_Encoding="gzip")
    with pytest.raises(DiscoveryFailed, match="compressed"):
        read_listing(Place("openai_compatible", raw_server.url, KEY))
    monkeypatch.setattr("apps.models.upstream_listing.READ_TIMEOUT_S", 0.1)
    raw_server.answer = lambda handler: time.sleep(0.4)
    with pytest.raises(DiscoveryFailed, match="did not answer in time"):
        read_listing(Place("openai_compatible", raw_server.url, KEY))


def test_the_host_header_names_the_server_and_the_address_is_the_checked_one(raw_server: RawServer) -> None:
    raw_server.answer = lambda handler: send(handler, 200, listing("one"))
    read_listing(Place("openai_compatible", f"http://localhost:{raw_server.port}/v1", KEY))
    assert raw_server.seen[0]["host"] == f"localhost:{raw_server.port}"
    assert raw_server.seen[0]["authorization"] == f"Bearer {KEY}"


def test_a_private_address_that_nobody_allowed_is_not_connected_to(raw_server: RawServer, settings: Settings) -> None:
    settings.LOBBY_ALLOWED_PRIVATE_HOSTS = []
    for url in (raw_server.url, f"https://localhost:{raw_server.port}/v1"):
        with pytest.raises(UrlRefused):
            read_listing(Place("openai_compatible", url, KEY))
    assert raw_server.seen == []
