"""What each kind of provider needs to know, and that every wrong value names its field."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from apps.models.models import Model, Provider
from apps.models.provider_settings import KINDS, merged
from apps.models.services import create_endpoint, create_provider, set_credential, update_endpoint, update_provider
from apps.models.types import ProviderKind
from apps.tenants.access import Actor
from apps.tenants.errors import DomainError, Invalid

BEDROCK: dict[str, Any] = {
    "slug": "bedrock-eu",
    "name": "Bedrock",
    "kind": "bedrock",
    "credential_source": "aws",
    "settings": {"region": "eu-central-1"},
}


def test_every_kind_is_described() -> None:
    assert set(KINDS) == set(ProviderKind.values)


@pytest.mark.parametrize(
    ("kind", "given", "address"),
    [
        ("openai", {}, "https://api.openai.com/v1"),
        ("anthropic", {}, "https://api.anthropic.com"),
        ("gemini", {}, "https://generativelanguage.googleapis.com/v1beta/openai"),
        ("bedrock", {"region": "eu-central-1"}, "https://bedrock-runtime.eu-central-1.amazonaws.com"),
        ("sagemaker", {"region": "us-east-1"}, "https://runtime.sagemaker.us-east-1.amazonaws.com"),
    ],
)
def test_a_kind_knows_its_own_address(db: None, operator: Actor, kind: str, given: Any, address: str) -> None:
    source = "aws" if "region" in given else "database"
    provider = create_provider(
        actor=operator,
        slug="new",
        name="New",
        kind=kind,
        settings=given,
        credential_source=source,
        secret="" if source == "aws" else "sk-canary-1234567890",
    )
    assert provider.base_url == address


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"settings": {}}, "settings/region"),
        ({"settings": {"region": "Frankfurt"}}, "settings/region"),
        ({"settings": {"region": "eu-central-1", "colour": "red"}}, "settings"),
        ({"settings": {"region": "eu-central-1", "role_arn": "lobby"}}, "settings/role_arn"),
        ({"settings": {"region": "eu-central-1", "guardrail_id": "gr1"}}, "settings/guardrail_version"),
        ({"settings": ["region"]}, "settings"),
        ({"credential_source": "none"}, "credential_source"),
        ({"credential_source": "secretsmanager", "credential_secret": "prod/database"}, "credential"),
        ({"credential_source": "environment", "credential_env": "DATABASE_URL"}, "credential"),
        ({"kind": "azure_openai", "settings": {}}, "base_url"),
        (
            {"kind": "azure_openai", "base_url": "https://192.0.43.7", "settings": {"api_version": "1"}},
            "settings/api_version",
        ),
        ({"kind": "sagemaker", "credential_source": "database", "secret": "x" * 40}, "settings/access_key_id"),
        ({"kind": "openai", "settings": {}, "credential_source": "aws"}, "credential_source"),
    ],
)
def test_what_is_wrong_names_its_field(db: None, operator: Actor, changes: dict[str, Any], field: str) -> None:
    with pytest.raises(DomainError) as refused:
        create_provider(actor=operator, **{**BEDROCK, **changes})
    assert refused.value.field == field
    assert not Provider.objects.exists()


def test_another_region_is_another_address_and_an_entered_address_stays(db: None, operator: Actor) -> None:
    provider = create_provider(actor=operator, **BEDROCK)
    provider = update_provider(actor=operator, provider=provider, settings={"region": "us-west-2"})
    assert provider.base_url == "https://bedrock-runtime.us-west-2.amazonaws.com"
    own = "https://192.0.43.7/bedrock"
    provider = update_provider(actor=operator, provider=provider, base_url=own)
    provider = update_provider(actor=operator, provider=provider, settings={"region": "eu-west-1"})
    assert provider.base_url == own


def test_a_stored_key_does_not_follow_to_another_region(db: None, operator: Actor) -> None:
    provider = create_provider(actor=operator, **BEDROCK)
    set_credential(actor=operator, provider=provider, secret="bedrock-api-key-1")
    with pytest.raises(DomainError) as refused:
        update_provider(actor=operator, provider=provider, settings={"region": "us-west-2"})
    assert refused.value.field == "credential"


def test_an_endpoint_is_in_its_providers_region_and_covers_its_settings(
    db: None, operator: Actor, model: Model
) -> None:
    settings = {"region": "eu-central-1", "guardrail_id": "gr1", "guardrail_version": "1"}
    provider = create_provider(actor=operator, **{**BEDROCK, "settings": settings})
    endpoint = create_endpoint(actor=operator, model=model, provider=provider, upstream_model="acme.writer-v1:0")
    assert endpoint.region == "eu-central-1"
    endpoint = update_endpoint(actor=operator, endpoint=endpoint, settings={"guardrail_version": "2"})
    assert dict(merged("bedrock", provider.settings, endpoint.settings)) == {**settings, "guardrail_version": "2"}
    with pytest.raises(Invalid) as refused:
        update_endpoint(actor=operator, endpoint=endpoint, settings={"region": "us-west-2"})
    assert refused.value.field == "settings"


def test_endpoints_follow_their_providers_region_save_those_set_apart(db: None, operator: Actor, model: Model) -> None:
    provider = create_provider(actor=operator, slug="ours", name="Ours", base_url="https://192.0.43.7/v1")
    make = partial(create_endpoint, actor=operator, model=model, provider=provider)
    make(upstream_model="plain")
    make(upstream_model="apart", region="us-east-1")
    make(upstream_model="both")
    make(upstream_model="both", region="eu-central-1")
    provider = update_provider(actor=operator, provider=provider, settings={"region": "eu-central-1"})
    assert sorted(provider.endpoints.values_list("upstream_model", "region")) == [
        ("apart", "us-east-1"),
        ("both", ""),
        ("both", "eu-central-1"),
        ("plain", "eu-central-1"),
    ]
    assert make(provider=provider, upstream_model="later").region == "eu-central-1"


def test_a_provider_from_the_environment_is_told_its_region_and_nothing_else(db: None, operator: Actor) -> None:
    provider = Provider.objects.create(
        slug="openai",
        name="OpenAI",
        kind="openai",
        base_url="https://api.openai.com/v1",
        from_environment=True,
        credential_source="environment",
        credential_env="OPENAI_API_KEY",
    )
    assert update_provider(actor=operator, provider=provider, settings={"region": "us"}).settings == {"region": "us"}
    with pytest.raises(DomainError):
        update_provider(actor=operator, provider=provider, base_url="https://192.0.43.7/v1")


def test_defaults_reach_the_adapter() -> None:
    assert dict(merged("azure_openai", {}, {})) == {"api_version": "2024-10-21"}
    assert dict(merged("sagemaker", {"region": "eu-west-1"}, {})) == {"container": "openai", "region": "eu-west-1"}


def test_every_setting_that_an_adapter_reads_can_be_set() -> None:
    read = set()
    for path in Path("apps/models/providers").rglob("*.py"):
        read |= set(re.findall(r'\.setting\(\s*"([a-z_]+)"', path.read_text(encoding="utf-8")))
    known = {each.name for kind in KINDS.values() for each in (*kind.settings, *kind.endpoint_settings)}
    assert read - known == set()
