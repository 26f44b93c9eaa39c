"""Provider credentials at rest, and where they may go."""

from __future__ import annotations

import io
import logging
from typing import TypedDict

import pytest
from django.core.management import CommandError, call_command
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings

from apps.models.credentials import Keyring, check_environment_name, check_secret, credential_of
from apps.models.errors import CredentialInvalid, CredentialNeeded, CredentialUnavailable
from apps.models.models import Provider
from apps.models.services import create_provider, set_credential, update_provider
from apps.tenants.access import Actor
from apps.tenants.errors import Conflict, PermissionDenied
from apps.tenants.models import AuditEntry
from tests.models.conftest import People

SECRET = "sk-canary-1234567890"


class Place(TypedDict):
    provider_id: int
    base_url: str


HERE = Place(provider_id=7, base_url="https://api.example/v1")
secrets = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=200)


@given(secrets)
def test_a_secret_opens_where_it_was_sealed(secret: str) -> None:
    ring = Keyring.of("present key")
    token = ring.encrypt(secret, **HERE)
    assert ring.decrypt(token, **HERE) == secret
    assert secret not in token or len(secret) < 3


def test_the_same_secret_never_seals_to_the_same_token_twice() -> None:
    ring = Keyring.of("present key")
    assert ring.encrypt(SECRET, **HERE) != ring.encrypt(SECRET, **HERE)


@pytest.mark.parametrize(
    "elsewhere",
    [
        {"provider_id": 8, "base_url": "https://api.example/v1"},
        {"provider_id": 7, "base_url": "https://evil.example/v1"},
        {"provider_id": 7, "base_url": "https://api.example:8443/v1"},
        {"provider_id": 7, "base_url": "http://127.0.0.1:443/v1"},
    ],
)
def test_a_secret_does_not_open_for_another_row_host_port_or_scheme(elsewhere: Place) -> None:
    ring = Keyring.of("present key")
    token = ring.encrypt(SECRET, **HERE)
    with pytest.raises(CredentialUnavailable, match="another server"):
        ring.decrypt(token, **elsewhere)


def test_a_new_path_on_the_same_server_keeps_the_secret() -> None:
    ring = Keyring.of("present key")
    token = ring.encrypt(SECRET, **HERE)
    assert ring.decrypt(token, provider_id=7, base_url="https://api.example/v2") == SECRET


def test_an_altered_or_damaged_token_does_not_open() -> None:
    ring = Keyring.of("present key")
    token = ring.encrypt(SECRET, **HERE)
    last = "A" if token[-5] != "A" else "B"
    for broken in (token[:-5] + last + token[-4:], token[:-8], "v1." + ring.current + ".", "v2" + token[2:], "", "é"):
        with pytest.raises(CredentialUnavailable):
            ring.decrypt(broken, **HERE)


def test_a_key_that_is_not_known_is_said_to_be_so() -> None:
    token = Keyring.of("old key").encrypt(SECRET, **HERE)
    with pytest.raises(CredentialUnavailable, match="CREDENTIALS_KEY_PREVIOUS"):
        Keyring.of("new key").decrypt(token, **HERE)
    assert Keyring.of("new key", ("older key", "old key")).decrypt(token, **HERE) == SECRET


def test_a_keyring_does_not_show_its_keys() -> None:
    ring = Keyring.of("present key", ("old key",))
    assert "present key" not in repr(ring)
    assert not any(key.hex() in repr(ring) or repr(key) in repr(ring) for key in ring.keys.values())


@pytest.mark.parametrize("secret", ["", "  ", "two words", "line\nbreak", "naïve", "x" * 5000, "nul\x00"])
def test_what_cannot_be_a_header_is_no_credential(secret: str) -> None:
    with pytest.raises(CredentialInvalid) as refusal:
        check_secret(secret)
    assert not secret.strip() or secret.strip() not in str(refusal.value)


@pytest.mark.parametrize(
    "name", ["SECRET_KEY", "CREDENTIALS_KEY", "API_KEY_PEPPER", "DATABASE_URL", "AWS_SECRET_ACCESS_KEY", "PATH", ""]
)
def test_no_other_secret_of_the_environment_can_be_sent_to_a_provider(name: str) -> None:
    with pytest.raises(CredentialInvalid):
        check_environment_name(name, "https://evil.example/v1")


def test_the_openai_key_goes_to_the_openai_server_alone(settings: Settings) -> None:
    settings.OPENAI_BASE_URL = "https://api.openai.com/v1"
    check_environment_name("OPENAI_API_KEY", "https://api.openai.com/v1")
    with pytest.raises(CredentialInvalid):
        check_environment_name("OPENAI_API_KEY", "https://evil.example/v1")


def test_a_stored_credential_is_encrypted_and_readable(provider: Provider) -> None:
    stored = Provider.objects.values_list("credential_encrypted", flat=True).get(pk=provider.pk)
    assert stored.startswith("v1.")
    assert SECRET not in stored
    assert credential_of(provider) == SECRET


def test_a_credential_is_in_no_log_repr_or_audit_entry(
    people: People, provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    set_credential(actor=people.actor("engineer"), provider=provider, secret="sk-another-canary")
    text = caplog.text + repr(provider) + str(provider)
    for entry in AuditEntry.objects.unscoped("test"):
        text += entry.target_label + str(entry.data)
    assert "canary" not in text


def test_another_host_needs_the_secret_again(people: People, provider: Provider) -> None:
    engineer = people.actor("engineer")
    with pytest.raises(CredentialNeeded):
        update_provider(actor=engineer, provider=provider, base_url="https://192.0.43.8/v1")
    provider.refresh_from_db()
    assert provider.base_url == "https://192.0.43.7/v1"
    assert credential_of(provider) == SECRET
    moved = update_provider(
        actor=engineer, provider=provider, base_url="https://192.0.43.8/v1", secret="sk-for-the-new-one"
    )
    assert credential_of(moved) == "sk-for-the-new-one"


def test_a_row_whose_host_was_changed_behind_the_services_back_has_no_credential(provider: Provider) -> None:
    Provider.objects.filter(pk=provider.pk).update(base_url="https://192.0.43.8/v1")
    provider.refresh_from_db()
    with pytest.raises(CredentialUnavailable):
        credential_of(provider)


def test_another_path_keeps_the_secret(people: People, provider: Provider) -> None:
    moved = update_provider(actor=people.actor("engineer"), provider=provider, base_url="https://192.0.43.7/openai/v1")
    assert credential_of(moved) == SECRET


def test_another_host_needs_the_environment_variable_named_again(
    people: People, operator: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = create_provider(
        actor=operator,
        slug="acme",
        name="Acme",
        base_url="https://192.0.43.7/v1",
        credential_source="environment",
        credential_env="ACME_API_KEY",
    )
    with pytest.raises(CredentialUnavailable, match="ACME_API_KEY is not set"):
        credential_of(provider)
    monkeypatch.setenv("ACME_API_KEY", " sk-acme \n")
    assert credential_of(provider) == "sk-acme"
    engineer = people.actor("engineer")
    with pytest.raises(CredentialNeeded):
        update_provider(actor=engineer, provider=provider, base_url="https://192.0.43.8/v1")
    update_provider(actor=engineer, provider=provider, base_url="https://192.0.43.8/v1", credential_env="ACME_API_KEY")


def test_a_provider_that_leaves_the_database_source_forgets_its_secret(people: People, provider: Provider) -> None:
    changed = update_provider(actor=people.actor("engineer"), provider=provider, credential_source="none")
    assert changed.credential_encrypted == ""
    assert credential_of(changed) is None
    with pytest.raises(CredentialNeeded):
        update_provider(actor=people.actor("engineer"), provider=provider, credential_source="database")


@pytest.mark.parametrize("name", ["admin", "developer", "claimant", "outsider"])
def test_only_platform_staff_set_credentials(people: People, provider: Provider, name: str) -> None:
    with pytest.raises(PermissionDenied):
        set_credential(actor=people.actor(name), provider=provider, secret="sk-mine")
    provider.refresh_from_db()
    assert credential_of(provider) == SECRET


def test_a_provider_of_the_environment_takes_no_stored_credential(people: People, provider: Provider) -> None:
    Provider.objects.filter(pk=provider.pk).update(from_environment=True)
    with pytest.raises(Conflict):
        set_credential(actor=people.actor("engineer"), provider=provider, secret="sk-mine")


def test_rotation_encrypts_anew_what_it_can_open(provider: Provider, settings: Settings) -> None:
    old = provider.credential_encrypted
    settings.CREDENTIALS_KEY_PREVIOUS = [settings.CREDENTIALS_KEY]
    settings.CREDENTIALS_KEY = "a new key of the operator's"
    assert credential_of(provider) == SECRET
    out = io.StringIO()
    call_command("credentials", "rotate", stdout=out)
    assert "Encrypted anew: 1." in out.getvalue()
    settings.CREDENTIALS_KEY_PREVIOUS = []
    provider.refresh_from_db()
    assert provider.credential_encrypted != old
    assert credential_of(provider) == SECRET
    out = io.StringIO()
    call_command("credentials", "rotate", stdout=out)
    assert "already: 1." in out.getvalue()


def test_rotation_without_the_old_key_names_the_provider_and_changes_nothing(
    provider: Provider, settings: Settings
) -> None:
    settings.CREDENTIALS_KEY = "a new key of the operator's"
    with pytest.raises(CommandError, match="upstream"):
        call_command("credentials", "rotate", stdout=io.StringIO())
    stored = Provider.objects.values_list("credential_encrypted", flat=True).get(pk=provider.pk)
    assert stored == provider.credential_encrypted
