"""Provider credentials at rest: AES-256-GCM under a key derived from ``CREDENTIALS_KEY``.

A stored token reads ``v1.<key id>.<nonce and ciphertext>``. It opens only for the provider's row and origin
(scheme, host, port) it was made for: point the provider at another server, and the secret does not go there.
``CREDENTIALS_KEY_PREVIOUS`` (comma separated) names keys that still open old tokens, until
``manage.py credentials rotate`` has made them anew.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

from apps.models.cloud_credentials import CLOUD, CloudSource, as_aws_credential
from apps.models.errors import CredentialError, CredentialInvalid, CredentialUnavailable, UrlRefused
from apps.models.models import Provider
from apps.models.types import AWS_KINDS, SANDBOX_URL, CredentialSource
from apps.models.urls_guard import check_url

__all__ = [
    "CredentialError",
    "Keyring",
    "check_environment_name",
    "check_secret",
    "check_secret_name",
    "credential_of",
    "keyring",
    "origin_of",
    "secret_for",
]

VERSION: Final = "v1"
NONCE_BYTES: Final = 12
MAX_SECRET_LENGTH: Final = 4096

# Only variables named for this may be sent to a provider: otherwise whoever edits providers could read the environment.
ENVIRONMENT_NAME: Final = re.compile(r"[A-Z][A-Z0-9_]*_API_KEY|LOBBY_PROVIDER_[A-Z0-9_]+|AWS_BEARER_TOKEN_BEDROCK")
# Well-known variables belong to one server each, by the setting that names it.
_PLACES: Final = {
    "OPENAI_API_KEY": "OPENAI_BASE_URL",
    "AZURE_OPENAI_API_KEY": "AZURE_OPENAI_ENDPOINT",
    "ANTHROPIC_API_KEY": "ANTHROPIC_BASE_URL",
    "GEMINI_API_KEY": "GEMINI_BASE_URL",
    "AWS_BEARER_TOKEN_BEDROCK": "AWS_ENDPOINT_URL_BEDROCK_RUNTIME",
}
_BEDROCK_HOST: Final = re.compile(r"bedrock-runtime(-fips)?\.[a-z0-9-]+\.amazonaws\.com(\.cn)?")
SECRET_NAME: Final = re.compile(r"[\w/+=.@:-]{1,512}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Keyring:
    """The key that new tokens are made with, and every key (it included) that opens them, by id."""

    current: str
    keys: Mapping[str, bytes] = field(repr=False)

    @classmethod
    def of(cls, current: str, previous: tuple[str, ...] = ()) -> Keyring:
        keys = {
            _key_id(secret): _derive(secret, b"lobby provider credentials v1", 32) for secret in (*previous, current)
        }
        return cls(_key_id(current), keys)

    def encrypt(self, secret: str, *, provider_id: int, base_url: str) -> str:
        nonce = os.urandom(NONCE_BYTES)
        sealed = AESGCM(self.keys[self.current]).encrypt(nonce, secret.encode(), _bound_to(provider_id, base_url))
        return f"{VERSION}.{self.current}.{base64.urlsafe_b64encode(nonce + sealed).decode()}"

    def decrypt(self, token: str, *, provider_id: int, base_url: str) -> str:
        """The secret. Raises CredentialUnavailable, saying whether the key is unknown or the provider has changed."""
        version, _, rest = token.partition(".")
        key_id, _, payload = rest.partition(".")
        try:
            sealed = base64.urlsafe_b64decode(payload)
        except (binascii.Error, ValueError):
            sealed = b""
        if version != VERSION or len(sealed) <= NONCE_BYTES:
            raise CredentialUnavailable("The stored credential is damaged. Enter it again.")
        key = self.keys.get(key_id)
        if key is None:
            raise CredentialUnavailable(
                "The stored credential was encrypted with another key. Add that key to CREDENTIALS_KEY_PREVIOUS, "
                "or enter the credential again."
            )
        try:
            secret = AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], _bound_to(provider_id, base_url))
        except InvalidTag:
            raise CredentialUnavailable(
                "The stored credential belongs to another server or was altered. Enter it again."
            ) from None
        return secret.decode()

    def is_current(self, token: str) -> bool:
        return token.startswith(f"{VERSION}.{self.current}.")


def keyring() -> Keyring:
    return _keyring(settings.CREDENTIALS_KEY, tuple(settings.CREDENTIALS_KEY_PREVIOUS))


@lru_cache(maxsize=4)
def _keyring(current: str, previous: tuple[str, ...]) -> Keyring:
    return Keyring.of(current, previous)


def credential_of(provider: Provider, *, cloud: Callable[[CloudSource], str] = CLOUD.read) -> str | None:
    """What to show the provider; None where it needs none. Raises CredentialError.

    ``cloud`` reads what AWS keeps: by default from AWS itself, which blocks.
    """
    if provider.credential_source == CredentialSource.NONE:
        return None
    try:
        secret = _read(provider, cloud)
    except UrlRefused as error:
        raise CredentialUnavailable(f"No credential is sent to {provider.name}: {error.message}") from None
    return secret_for(provider, secret)


def secret_for(provider: Provider, secret: str) -> str:
    """A secret as the provider's adapter takes it."""
    return (
        as_aws_credential(secret, provider.settings.get("access_key_id", "")) if provider.kind in AWS_KINDS else secret
    )


def _read(provider: Provider, cloud: Callable[[CloudSource], str]) -> str:
    source = CloudSource.of(provider)
    if source is not None:
        origin_of(provider.base_url)  # refused where it may not be called
        return check_secret(cloud(source)) if provider.kind not in AWS_KINDS else cloud(source)
    if provider.credential_source == CredentialSource.ENVIRONMENT:
        check_environment_name(provider.credential_env, provider.base_url)
        value = os.environ.get(provider.credential_env, "").strip()
        if not value:
            raise CredentialUnavailable(f"The environment variable {provider.credential_env} is not set.")
        return check_secret(value)
    if not provider.credential_encrypted:
        raise CredentialUnavailable(f"No credential was entered for {provider.name} yet.")
    return keyring().decrypt(provider.credential_encrypted, provider_id=provider.pk, base_url=provider.base_url)


def check_secret(secret: str) -> str:
    """The secret without blanks around it, if it can be a header's value. Raises CredentialInvalid."""
    secret = secret.strip()
    if not secret:
        raise CredentialInvalid("The credential is empty.")
    if len(secret) > MAX_SECRET_LENGTH:
        raise CredentialInvalid(f"The credential is longer than {MAX_SECRET_LENGTH} characters.")
    if not all("!" <= character <= "~" for character in secret):
        raise CredentialInvalid("The credential holds a blank, a line break or a character outside ASCII.")
    return secret


def check_environment_name(name: str, base_url: str) -> None:
    """Refuse (CredentialInvalid) a variable that is not a provider's, or that belongs to another server."""
    if not ENVIRONMENT_NAME.fullmatch(name):
        raise CredentialInvalid("Name a variable that ends in _API_KEY or begins with LOBBY_PROVIDER_.")
    place = _PLACES.get(name)
    if place is None or (name == "AWS_BEARER_TOKEN_BEDROCK" and _BEDROCK_HOST.fullmatch(check_url(base_url).host)):
        return
    allowed = getattr(settings, place)
    if not allowed or origin_of(base_url) != origin_of(allowed):
        raise CredentialInvalid(f"{name} goes only to the server that {place} names.")


def check_secret_name(name: str) -> None:
    """Refuse (CredentialInvalid) a secret that is not a provider's: Lobby may be able to read others."""
    plain = name.partition(":secret:")[2] if name.startswith("arn:") else name
    if not SECRET_NAME.fullmatch(name) or not plain.startswith(settings.PROVIDER_SECRETS_PREFIX):
        raise CredentialInvalid(
            f"Name a secret that begins with {settings.PROVIDER_SECRETS_PREFIX!r} (LOBBY_PROVIDER_SECRETS_PREFIX)."
        )


def origin_of(base_url: str) -> str:
    """scheme://host:port of a provider's URL; of the sandbox, which is no server, its whole URL."""
    return base_url if base_url == SANDBOX_URL else check_url(base_url).origin


def _bound_to(provider_id: int, base_url: str) -> bytes:
    return f"provider {provider_id} at {origin_of(base_url)}".encode()


def _derive(secret: str, info: bytes, length: int) -> bytes:
    return HKDF(algorithm=SHA256(), length=length, salt=None, info=info).derive(secret.encode())


def _key_id(secret: str) -> str:
    """Names a key without telling anything about it."""
    return hashlib.sha256(_derive(secret, b"lobby provider credentials key id", 16)).hexdigest()[:8]
