"""Credentials that AWS keeps, against moto's server on loopback: read, rotated, expired, refused."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from moto.server import ThreadedMotoServer

from apps.gateway.snapshot_loader import load_snapshot
from apps.models.cloud_credentials import CLOUD, CloudCredentials, CloudSource, as_aws_credential, fetch_credential
from apps.models.credentials import credential_of
from apps.models.errors import CredentialUnavailable
from apps.models.models import Model, Provider
from apps.models.services import create_endpoint, create_provider
from apps.tenants.access import Actor

REGION = "eu-central-1"
SECRET = CloudSource(REGION, secret="lobby/acme")
ROLE = "arn:aws:iam::123456789012:role/lobby"


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def aws(moto: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Any:
    """A client of Secrets Manager; the process is on a machine with an access key of its own."""
    for name, value in {
        "AWS_ENDPOINT_URL": moto,
        "AWS_ACCESS_KEY_ID": "AKIAEXAMPLEEXAMPLE00",
        "AWS_SECRET_ACCESS_KEY": "canary-secret-access-key",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
    }.items():
        monkeypatch.setenv(name, value)
    import boto3

    client = boto3.client("secretsmanager", region_name=REGION)
    yield client
    for secret in client.list_secrets()["SecretList"]:
        client.delete_secret(SecretId=secret["Name"], ForceDeleteWithoutRecovery=True)


def test_a_secret_is_read_whole_or_by_its_key(aws: Any) -> None:
    aws.create_secret(Name="lobby/acme", SecretString='{"api_key": "sk-one", "number": 3}')
    assert fetch_credential(CloudSource(REGION, secret="lobby/acme", secret_key="api_key")) == ("sk-one", None)
    assert fetch_credential(SECRET)[0].startswith("{")
    for key in ("number", "nothing"):
        with pytest.raises(CredentialUnavailable) as refused:
            fetch_credential(CloudSource(REGION, secret="lobby/acme", secret_key=key))
        assert "sk-one" not in refused.value.message


def test_a_missing_secret_says_what_aws_said(aws: Any) -> None:
    with pytest.raises(CredentialUnavailable, match="ResourceNotFoundException"):
        fetch_credential(CloudSource(REGION, secret="lobby/nothing"))


def test_the_machines_own_credential_and_an_assumed_role(aws: Any) -> None:
    own = json.loads(fetch_credential(CloudSource(REGION))[0])
    assert own == {"access_key": "AKIAEXAMPLEEXAMPLE00", "secret_key": "canary-secret-access-key", "token": ""}
    text, ends_at = fetch_credential(CloudSource(REGION, role_arn=ROLE))
    assumed = json.loads(text)
    assert assumed["token"]
    assert assumed["access_key"] != own["access_key"]
    assert ends_at is not None
    assert ends_at > time.time()


def test_a_profile_that_is_not_there_is_said(aws: Any) -> None:
    with pytest.raises(CredentialUnavailable, match="config profile"):
        fetch_credential(CloudSource(REGION, profile="nobody"))


def test_nobody_at_the_address_is_said(aws: Any, monkeypatch: pytest.MonkeyPatch, free_port: int) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port}")
    with pytest.raises(CredentialUnavailable, match="Could not connect"):
        fetch_credential(SECRET)


def test_a_rotated_secret_is_in_the_next_snapshot_without_a_restart(
    aws: Any, db: None, operator: Actor, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    aws.create_secret(Name="lobby/acme", SecretString="sk-before")
    provider = create_provider(
        actor=operator,
        slug="acme",
        name="Acme",
        kind="openai",
        credential_source="secretsmanager",
        credential_secret="lobby/acme",
    )
    monkeypatch.setenv("AWS_REGION", REGION)
    monkeypatch.setattr("django.conf.settings.AWS_REGION", REGION)
    create_endpoint(actor=operator, model=model, provider=provider, upstream_model="writer")

    def shown() -> tuple[bool, str | None]:
        endpoint = next(each for each in load_snapshot().models[model.slug].endpoints if each.provider == "Acme")
        return endpoint.is_enabled, endpoint.target.credential

    # The snapshot asks nobody: until the reading has come, the endpoint is not called.
    assert shown() == (False, None)
    endpoints = load_snapshot().models[model.slug].endpoints
    assert "its provider's credential cannot be read" in {each.why_off for each in endpoints}
    CLOUD.refresh()
    assert shown() == (True, "sk-before")
    generation = CLOUD.generation
    CLOUD.refresh()
    assert CLOUD.generation == generation
    aws.put_secret_value(SecretId="lobby/acme", SecretString="sk-after")
    later = time.time() + 61
    monkeypatch.setattr("apps.models.cloud_credentials.time.time", lambda: later)
    CLOUD.refresh()
    assert CLOUD.generation == generation + 1
    assert shown() == (True, "sk-after")


def test_what_was_read_last_goes_on_being_used_until_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1_000.0]
    monkeypatch.setattr("apps.models.cloud_credentials.time.time", lambda: now[0])
    answers: list[tuple[str, float | None] | CredentialUnavailable] = [("one", 2_000.0)]

    def fetch(source: CloudSource) -> tuple[str, float | None]:
        answer = answers[-1]
        if isinstance(answer, CredentialUnavailable):
            raise answer
        return answer

    kept = CloudCredentials(fetch)
    kept.keep([SECRET])
    assert kept.unread
    kept.refresh()
    answers.append(CredentialUnavailable("AWS refused it: AccessDenied."))
    now[0] = 1_500.0
    kept.refresh()
    assert kept.known(SECRET) == "one"
    now[0] = 2_001.0
    with pytest.raises(CredentialUnavailable, match="AccessDenied"):
        kept.known(SECRET)
    answers.append(("two", None))
    now[0] = 2_020.0
    kept.refresh()
    assert kept.known(SECRET) == "two"
    kept.keep([])
    with pytest.raises(CredentialUnavailable):
        kept.known(SECRET)


@pytest.mark.parametrize(
    ("text", "key_id", "expected"),
    [
        ("bedrock-api-key-abc", "", "bedrock-api-key-abc"),
        ("secret", "AKIA1", {"access_key": "AKIA1", "secret_key": "secret", "token": ""}),
        ('{"AccessKeyId":"A","SecretAccessKey":"B"}', "", {"access_key": "A", "secret_key": "B", "token": ""}),
        ('{"access_key":"A","secret_key":"B","token":"C"}', "", {"access_key": "A", "secret_key": "B", "token": "C"}),
    ],
)
def test_the_ways_to_write_an_aws_credential(text: str, key_id: str, expected: str | dict[str, str]) -> None:
    shown = as_aws_credential(text, key_id)
    assert (shown if isinstance(expected, str) else json.loads(shown)) == expected


def test_an_access_key_pair_from_the_database_is_shown_as_one(db: None, operator: Actor) -> None:
    provider = create_provider(
        actor=operator,
        slug="bedrock",
        name="Bedrock",
        kind="bedrock",
        settings={"region": REGION, "access_key_id": "AKIAEXAMPLEEXAMPLE00"},
        credential_source="database",
        secret="canary-secret-access-key",
    )
    shown = json.loads(credential_of(Provider.objects.get(pk=provider.pk)) or "")
    assert shown["access_key"] == "AKIAEXAMPLEEXAMPLE00"
    assert shown["secret_key"] == "canary-secret-access-key"
