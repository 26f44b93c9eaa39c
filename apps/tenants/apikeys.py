"""The format of API keys: ``lby_<prefix>_<secret>``. Pure functions, quick enough for every request.

The prefix finds the key, and may be shown and logged. The secret has 256 bits of randomness, so a keyed hash of one
pass (HMAC-SHA256 with a pepper that is not in the database) keeps it safe; a slow password hash would add nothing but
latency.
"""

from __future__ import annotations

import base64
import hmac
import secrets
from typing import NamedTuple

from django.conf import settings

MARK = "lby_"
PREFIX_LENGTH = 10
SECRET_LENGTH = 43  # base62: 43 * log2(62) = 256.03 bits
_PREFIX_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"
_BASE62 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_SECRET_START = len(MARK) + PREFIX_LENGTH + 1
KEY_LENGTH = _SECRET_START + SECRET_LENGTH


class NewKey(NamedTuple):
    """A key just made. ``plaintext`` is shown to a person once and kept nowhere."""

    plaintext: str
    prefix: str
    secret_hmac: str


def generate() -> NewKey:
    prefix = "".join(secrets.choice(_PREFIX_ALPHABET) for _ in range(PREFIX_LENGTH))
    secret = "".join(secrets.choice(_BASE62) for _ in range(SECRET_LENGTH))
    return NewKey(f"{MARK}{prefix}_{secret}", prefix, digest(secret))


def split(text: str) -> tuple[str, str] | None:
    """``(prefix, secret)`` of a well-formed key, else None. Never raises, whatever ``text`` holds."""
    if len(text) != KEY_LENGTH or not text.startswith(MARK) or text[_SECRET_START - 1] != "_":
        return None
    prefix, secret = text[len(MARK) : _SECRET_START - 1], text[_SECRET_START:]
    if text.isascii() and prefix.isalnum() and secret.isalnum():
        return prefix, secret
    return None


def digest(secret: str) -> str:
    """The hexadecimal HMAC-SHA256 of a secret under ``settings.API_KEY_PEPPER``: what is stored."""
    return hmac.digest(settings.API_KEY_PEPPER.encode(), secret.encode(), "sha256").hex()


def verify(secret: str, secret_hmac: str) -> bool:
    """Whether ``secret`` is the one behind ``secret_hmac``, in time that does not depend on where they differ."""
    return hmac.compare_digest(digest(secret), secret_hmac)


def shown(prefix: str) -> str:
    """How a stored key is named to a person, for example ``lby_k3jq0x9a7b_…``."""
    return f"{MARK}{prefix}_…"


# AWS SDKs sign their requests, and send no key: the pair that a key stands for there is derived, and stored nowhere.

AWS_MARK = "LOBBY0"
_AWS_SECRET_BYTES = 30  # 40 characters, as AWS has them


def aws_access_key_id(prefix: str) -> str:
    """Sixteen capitals and digits, as AWS writes them."""
    return AWS_MARK + prefix.upper()


def prefix_of(aws_access_key_id: str) -> str | None:
    """The prefix of the key that an access key id stands for; None when it is none of ours."""
    prefix = aws_access_key_id.removeprefix(AWS_MARK)
    if len(prefix) != PREFIX_LENGTH or not (prefix.isascii() and prefix.isalnum() and prefix == prefix.upper()):
        return None
    return prefix.lower() if aws_access_key_id.startswith(AWS_MARK) else None


def aws_secret_access_key(prefix: str, secret_hmac: str) -> str:
    """Neither the database nor the pepper alone yields it."""
    text = f"aws secret access key v1\n{prefix}\n{secret_hmac}"
    derived = hmac.digest(settings.API_KEY_PEPPER.encode(), text.encode(), "sha256")[:_AWS_SECRET_BYTES]
    return base64.urlsafe_b64encode(derived).decode()
