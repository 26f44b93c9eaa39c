"""The identity provider's public keys (JWKS), fetched in the background, so that a token is verified offline."""

from __future__ import annotations

import time
from typing import Any

import httpx
import jwt
import structlog

from apps.models.trust import tls_context

log = structlog.get_logger(__name__)

REFRESH_SECONDS = 600.0
# After a failure, or when a token names a key not known yet (the provider may have rotated): not more often than this.
RETRY_SECONDS = 15.0
TIMEOUT_SECONDS = 3.0


class IssuerKeys:
    """``find`` is on the gateway's path and never waits; ``refresh``, in a thread of its own, does the I/O."""

    def __init__(self, issuer: str, audience: str) -> None:
        self.issuer = issuer
        self.audience = audience
        self._keys: dict[str | None, Any] = {}
        self._tried = self._due = 0.0  # monotonic

    def find(self, key_id: str | None) -> Any | None:
        key = self._keys.get(key_id)
        if key is None:
            self._due = min(self._due, self._tried + RETRY_SECONDS)
        return key

    def refresh(self) -> None:
        """Fetch the keys if it is time to. A provider that does not answer leaves the known keys in force."""
        now = time.monotonic()
        if not self.issuer or now < self._due:
            return
        self._tried = now
        self._due = now + RETRY_SECONDS
        try:
            with httpx.Client(
                timeout=TIMEOUT_SECONDS, follow_redirects=False, trust_env=False, verify=tls_context()
            ) as client:
                discovery = client.get(self.issuer.rstrip("/") + "/.well-known/openid-configuration").raise_for_status()
                document = client.get(discovery.json()["jwks_uri"]).raise_for_status().json()
            keys = jwt.PyJWKSet.from_dict(document).keys
        except (httpx.HTTPError, httpx.InvalidURL, jwt.PyJWTError, ValueError, KeyError, TypeError) as error:
            log.warning("identity_provider_unreachable", error=type(error).__name__)
            return
        self._keys = {key.key_id: key.key for key in keys}
        self._due = now + REFRESH_SECONDS
