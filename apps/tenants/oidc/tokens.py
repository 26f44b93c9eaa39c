"""Checking an ID token. OpenID Connect Core 1.0, 3.1.3.7; no I/O."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import Any

import jwt

# Asymmetric ones only: with HS256 the client secret could sign tokens, and "none" signs nothing.
ALGORITHMS = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"})
LEEWAY_SECONDS = 60
UID_MAX_LENGTH = 191  # the column of allauth's SocialAccount


class TokenError(Exception):
    """The ID token is not acceptable; the message says why, for the operator's log and never for the page."""


def nonce_for(code_verifier: str) -> str:
    """The nonce of the login that has this PKCE verifier: bound to the browser's session as the verifier is."""
    digest = hashlib.sha256(b"lobby-oidc-nonce:" + code_verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def check_id_token(
    id_token: str, *, keys: Mapping[str, Any], issuer: str, client_id: str, nonce: str
) -> dict[str, Any]:
    """The token's claims.

    Args:
        keys: The issuer's JWK set, as published.

    Raises:
        TokenError: Any of signature, algorithm, issuer, audience, times or nonce is not as it must be.
    """
    try:
        header = jwt.get_unverified_header(id_token)
        algorithm = str(header.get("alg"))
        if algorithm not in ALGORITHMS:
            raise TokenError(f"the ID token is signed with {algorithm!r}, which is not accepted")
        claims: dict[str, Any] = jwt.decode(
            id_token,
            key=_key(keys, header.get("kid"), algorithm),
            algorithms=[algorithm],
            audience=client_id,
            issuer=issuer,
            leeway=LEEWAY_SECONDS,
            options={"require": ["exp", "iat", "iss", "aud", "sub"], "verify_signature": True},
        )
    except jwt.PyJWTError as error:
        raise TokenError(f"the ID token is refused: {error}") from error
    audience = claims["aud"]
    if isinstance(audience, list) and len(audience) > 1 and claims.get("azp") != client_id:
        raise TokenError("the ID token was issued to another client (azp)")
    if not hmac.compare_digest(str(claims.get("nonce", "")).encode(), nonce.encode()):
        raise TokenError("the ID token belongs to another login (nonce)")
    if not isinstance(claims["sub"], str) or not claims["sub"]:
        raise TokenError("the ID token names no subject")
    return claims


def identity(issuer: str, subject: str) -> str:
    """One person at one issuer, as a string that fits the column."""
    text = f"{issuer}#{subject}"
    if len(text) <= UID_MAX_LENGTH:
        return text
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def _key(keys: Mapping[str, Any], kid: str | None, algorithm: str) -> jwt.PyJWK:
    usable = [
        each
        for each in keys.get("keys", [])
        if isinstance(each, dict) and each.get("use", "sig") == "sig" and each.get("kty") in {"RSA", "EC", "OKP"}
    ]
    found = [each for each in usable if each.get("kid") == kid] if kid is not None else usable
    if len(found) != 1:
        raise TokenError(f"the issuer publishes {len(found)} keys for kid {kid!r}")
    return jwt.PyJWK(found[0], algorithm=found[0].get("alg") or algorithm)
