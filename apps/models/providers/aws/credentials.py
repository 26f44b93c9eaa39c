"""What an AWS endpoint is shown: a signature by an access key, or a Bedrock API key as a bearer token.

botocore signs. A process without such endpoints never loads it; one with them does so before it serves them (``load``),
for that takes a quarter of a second.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable

import msgspec

from apps.models.providers.base import ProviderError, Target

DEFAULT_REGION = "us-east-1"
_REGION = re.compile(r"(?:^|\.)((?:[a-z]{2,4})(?:-[a-z]+)+-\d{1,2})\.")

# (method, URL, host, content type, body) -> the headers that show who calls
Signer = Callable[[str, str, str, str, bytes], list[tuple[str, str]]]


class AccessKey(msgspec.Struct):
    """As the credential's JSON names them; ``token`` with temporary ones."""

    access_key: str
    secret_key: str
    token: str | None = None

    def __repr__(self) -> str:
        return "AccessKey(…)"


def region_of(target: Target) -> str:
    """As it is set, else as the host names it."""
    found = _REGION.search(target.base_url.partition("://")[2])
    return target.setting("region") or (found[1] if found else DEFAULT_REGION)


def signer(target: Target, service: str) -> Signer:
    """Raises ``ProviderError`` (credential) when the credential is JSON that is no access key."""
    credential = (target.credential or "").strip()
    if not credential:
        return lambda *request: []
    if credential.startswith("{"):
        try:
            return _signature(msgspec.json.decode(credential, type=AccessKey), service, region_of(target))
        except msgspec.MsgspecError:
            raise ProviderError(
                "credential", "The credential is no JSON object with access_key and secret_key."
            ) from None
    shown = [("authorization", f"Bearer {credential}")]
    return lambda *request: shown


def load() -> None:
    import botocore.auth
    import botocore.awsrequest
    import botocore.credentials  # noqa: F401

    # At DEBUG it would log what it signs, a session's token included.
    logging.getLogger("botocore.auth").setLevel(logging.INFO)


def _signature(key: AccessKey, service: str, region: str) -> Signer:
    load()
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    auth = SigV4Auth(Credentials(key.access_key, key.secret_key, key.token), service, region)

    def sign(method: str, url: str, host: str, content_type: str, body: bytes) -> list[tuple[str, str]]:
        request = AWSRequest(method, url, headers={"host": host, "content-type": content_type}, data=body)
        auth.add_auth(request)
        shown = (("authorization", "Authorization"), ("x-amz-date", "X-Amz-Date"))
        signed = [(name, request.headers[theirs]) for name, theirs in shown]
        return [*signed, ("x-amz-security-token", key.token)] if key.token else signed

    return sign
