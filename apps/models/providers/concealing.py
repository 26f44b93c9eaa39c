"""Hiding a credential in what an upstream says: some repeat what they were shown, AWS a session's token among it."""

from __future__ import annotations

from urllib.parse import quote

import msgspec

from apps.models.providers.aws.credentials import AccessKey
from apps.models.providers.base import ProviderError

HIDDEN = "[credential]"
# The fewest first characters of a secret that are hidden where a text that was cut short ends in them.
_FEWEST = 6

_decode_key = msgspec.json.Decoder(AccessKey).decode


def conceal(text: str, credential: str | None) -> str:
    """``text`` without the credential, any secret part of it, or the beginning of one at the text's end."""
    for secret in _secrets(credential):
        text = text.replace(secret, HIDDEN)
        for length in range(min(len(secret) - 1, len(text)), _FEWEST - 1, -1):
            if text.endswith(secret[:length]):
                text = text[:-length] + HIDDEN
                break
    return text


def conceal_in(error: ProviderError, credential: str | None) -> None:
    if credential:
        for name in ("message", "code", "type", "param"):
            if text := getattr(error, name):
                setattr(error, name, conceal(text, credential))


def _secrets(credential: str | None) -> list[str]:
    """The longest first: one may hold another. In a URL each is written in its own way."""
    credential = (credential or "").strip()
    if not credential:
        return []
    found = {credential}
    if credential.startswith("{"):
        try:
            key = _decode_key(credential)
        except msgspec.MsgspecError:
            pass  # no access key: it is one secret as it stands
        else:
            found |= {key.secret_key, key.token or ""}
    found |= {quote(each, safe="") for each in found} | {quote(each) for each in found}
    return sorted(filter(None, found), key=len, reverse=True)
