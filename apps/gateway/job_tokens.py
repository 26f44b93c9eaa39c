"""Tokens by which Lobby's own jobs call models: ``lbj_<facts>.<mac>``, made by a worker, checked by any web process.

A token says for which project a job calls, and who answers for it: a member, or an API key. It lives for minutes and is
kept nowhere; what it says is checked against the snapshot at every call, so that whoever loses the right to call models
loses it for their jobs, too. The signature is an HMAC-SHA256 under the pepper of the API keys, which is not in the
database; the text that it covers begins with words that no API key's secret can begin with.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import time
from dataclasses import dataclass

import msgspec
from django.conf import settings

MARK = "lbj_"
LIFETIME_SECONDS = 600
_CONTEXT = b"lobby job token v1\n"
_MOST_CHARACTERS = 600

_Facts = tuple[int, int, str, int, str]
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Facts).decode


@dataclass(frozen=True, slots=True)
class JobToken:
    """``purpose`` says in the request's log what the call is for. Of ``user_id`` and ``key_prefix`` one is set."""

    project_id: int
    user_id: int
    key_prefix: str
    expires_at: int
    purpose: str


def issue(*, project_id: int, purpose: str, user_id: int = 0, key_prefix: str = "") -> str:
    """A token for the next ten minutes. It is a secret like a key: never logged, never stored."""
    if bool(user_id) == bool(key_prefix):
        raise ValueError("A job acts for a member or for an API key.")
    expires_at = int(time.time()) + LIFETIME_SECONDS
    facts = _encode((project_id, user_id, key_prefix, expires_at, purpose[:60]))
    return f"{MARK}{_text(facts)}.{_text(_mac(facts))}"


def read(text: str, now: float) -> JobToken | None:
    """What a token of ours says; None for anything else, and for one that has expired."""
    if not text.startswith(MARK) or len(text) > _MOST_CHARACTERS or not text.isascii():
        return None
    facts_text, _, mac_text = text.removeprefix(MARK).partition(".")
    try:
        facts, mac = _bytes(facts_text), _bytes(mac_text)
    except (binascii.Error, ValueError):
        return None
    if not hmac.compare_digest(_mac(facts), mac):
        return None
    token = JobToken(*_decode(facts))
    return token if now < token.expires_at <= now + 2 * LIFETIME_SECONDS else None


def _mac(facts: bytes) -> bytes:
    return hmac.digest(settings.API_KEY_PEPPER.encode(), _CONTEXT + facts, "sha256")


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
