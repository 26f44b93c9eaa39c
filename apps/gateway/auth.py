"""Who calls: an API key, a token of the enterprise's identity provider, or one of Lobby's own jobs; checked against the
snapshot alone."""

from __future__ import annotations

import hmac
import time
from dataclasses import replace
from typing import Any, Protocol

import jwt

from apps.gateway import job_tokens
from apps.gateway.errors import Forbidden, Unauthenticated
from apps.gateway.sigv4 import Signature
from apps.gateway.snapshot import KeyFacts, Principal, Snapshot, UserFacts
from apps.tenants import apikeys
from apps.tenants.addresses import is_within
from apps.tenants.oidc.tokens import ALGORITHMS, identity
from apps.tenants.types import Scope

CLOCK_SKEW_SECONDS = 30

_MISSING = "No API key. Send 'Authorization: Bearer <key>' with a key from the portal's Keys page."


class SigningKeys(Protocol):
    """The identity provider's public keys, fetched in the background; ``issuer`` is empty when none is set up."""

    issuer: str
    audience: str

    def find(self, key_id: str | None) -> Any | None: ...


def credential(headers: dict[bytes, bytes]) -> str:
    """The key or token that the caller shows. Raises ``Unauthenticated`` with the remedy for the usual slips."""
    value = headers.get(b"authorization")
    if value is not None:
        scheme, _, token = value.decode("latin-1").partition(" ")
        if scheme.lower() == "bearer" and token.strip():
            return token.strip()
        if not token and apikeys.split(scheme) is not None:
            raise Unauthenticated("The Authorization header holds a bare key. Write 'Authorization: Bearer <key>'.")
        if scheme.lower() != "bearer":
            raise Unauthenticated("The Authorization header is not of the Bearer kind. " + _MISSING)
        raise Unauthenticated(_MISSING)
    for name in (b"x-api-key", b"api-key"):
        value = headers.get(name)
        if value:
            return value.decode("latin-1").strip()
    raise Unauthenticated(_MISSING)


def authenticate(
    headers: dict[bytes, bytes], snapshot: Snapshot, client: str, signing_keys: SigningKeys, now: float
) -> Principal:
    """The principal behind a request's headers. ``client`` is the caller's address."""
    shown = credential(headers)
    parts = apikeys.split(shown)
    if parts is not None:
        return _by_key(parts, snapshot, client, now)
    if shown.startswith(job_tokens.MARK):
        return _by_job(shown, snapshot, now)
    if shown.count(".") == 2 and signing_keys.issuer:
        return _by_token(shown, headers, snapshot, signing_keys)
    raise Unauthenticated(
        "This is not an API key of Lobby. Keys begin with 'lby_'; make one on the portal's Keys page."
    )


def authenticate_signed(signature: Signature, body: bytes, snapshot: Snapshot, client: str, now: float) -> Principal:
    """The principal behind a request that an AWS SDK has signed."""
    prefix = apikeys.prefix_of(signature.access_key_id) or ""
    facts = snapshot.keys.get(prefix)
    digest = facts.digest if facts is not None else "0" * 64
    matches = signature.check(apikeys.aws_secret_access_key(prefix, digest), body)
    if facts is None or not matches:
        raise Unauthenticated(
            "The signature does not match. Check the access key id and the secret access key that the portal showed"
            " with the API key, and that no proxy changes the Host header, the path or the body.",
            code="InvalidSignatureException",
        )
    return _usable(facts, client, now)


def _by_key(parts: tuple[str, str], snapshot: Snapshot, client: str, now: float) -> Principal:
    prefix, secret = parts
    facts = snapshot.keys.get(prefix)
    # An unknown prefix costs the same digest as a wrong secret, so that timing tells nothing.
    matches = hmac.compare_digest(apikeys.digest(secret), facts.digest if facts is not None else "0" * 64)
    if facts is None or not matches:
        raise Unauthenticated("Incorrect API key provided. See the portal's Keys page for the keys of your projects.")
    return _usable(facts, client, now)


def _usable(facts: KeyFacts, client: str, now: float) -> Principal:
    _check_in_force(facts, now)
    _check_use(facts, client)
    return facts.principal


def check_still(principal: Principal, snapshot: Snapshot, now: float) -> None:
    """Of a caller who was let in before: whether its key, its member, its project and its tenant still may call.

    Raises ``Unauthenticated`` or ``Forbidden``, in the words that a new call of it would be told.
    """
    if principal.key_prefix:
        facts = snapshot.keys.get(principal.key_prefix)
        if facts is None:
            raise Unauthenticated("This API key is no more. Make a new one on the portal's Keys page.")
        _check_in_force(facts, now)
        check_active(facts.principal)
        return
    user = snapshot.users.get(principal.user_id)
    if user is None or all(project.id != principal.project.id for project in user.projects):
        raise Forbidden("You may no longer call models in this project, or it is not in service.", code="access_ended")


def _check_in_force(facts: KeyFacts, now: float) -> None:
    if facts.revoked:
        raise Unauthenticated("This API key was revoked. Make a new one on the portal's Keys page.", code="key_revoked")
    if facts.expires_at is not None and facts.expires_at <= now:
        expired = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(facts.expires_at))
        raise Unauthenticated(f"This API key expired on {expired}. Make a new one in the portal.", code="key_expired")


def _check_use(facts: KeyFacts, client: str) -> None:
    if Scope.INFERENCE not in facts.scopes:
        raise Forbidden("This key may not call models: it lacks the scope 'inference'.", code="missing_scope")
    if facts.networks and not is_within(client, facts.networks):
        raise Forbidden(f"This key may not be used from {client or 'here'}.", code="address_not_allowed")
    check_active(facts.principal)


def _by_job(shown: str, snapshot: Snapshot, now: float) -> Principal:
    """The principal of a job: what the member, or the key, that it acts for may do at this moment."""
    token = job_tokens.read(shown, now)
    if token is None:
        raise Unauthenticated("This job's token is not valid, or no longer.", code="invalid_token")
    if token.key_prefix:
        facts = snapshot.keys.get(token.key_prefix)
        if facts is None or facts.revoked or (facts.expires_at is not None and facts.expires_at <= now):
            raise Forbidden("The API key that started this job is revoked or has expired.", code="job_ended")
        if facts.principal.project.id != token.project_id:
            raise Forbidden("The API key that started this job is of another project.", code="job_ended")
        check_active(facts.principal)
        return replace(facts.principal, label=f"{facts.principal.label}, {token.purpose}", by_lobby=True)
    user = snapshot.users.get(token.user_id)
    for project in user.projects if user is not None else ():
        if project.id == token.project_id and user is not None:
            return Principal(project=project, user_id=user.id, label=f"{user.label}, {token.purpose}", by_lobby=True)
    raise Forbidden(
        "Whoever started this job may no longer call models in its project, or the project is not in service.",
        code="job_ended",
    )


def check_active(principal: Principal) -> None:
    """Raises ``Forbidden`` when the principal's tenant or project is not in service."""
    if not principal.tenant.is_active:
        raise Forbidden(
            f"Tenant '{principal.tenant.slug}' is suspended or not active yet. Ask the platform's service admins.",
            code="tenant_inactive",
        )
    if not principal.project.is_active:
        raise Forbidden(f"Project '{principal.project.label}' is archived.", code="project_inactive")


def _by_token(token: str, headers: dict[bytes, bytes], snapshot: Snapshot, keys: SigningKeys) -> Principal:
    try:
        key = keys.find(jwt.get_unverified_header(token).get("kid"))
        if key is None:
            raise Unauthenticated("The token is signed with a key that the identity provider does not publish.")
        claims = jwt.decode(
            token,
            key,
            algorithms=sorted(ALGORITHMS),
            issuer=[keys.issuer.rstrip("/"), keys.issuer.rstrip("/") + "/"],
            audience=keys.audience,
            leeway=CLOCK_SKEW_SECONDS,
            options={"require": ["exp", "iss", "sub", "aud"]},
        )
    except (jwt.PyJWTError, TypeError, ValueError) as error:  # the others: a key of another kind
        raise Unauthenticated(f"The token was refused: {error}.", code="invalid_token") from None
    user = snapshot.users_by_identity.get(identity(claims["iss"], claims["sub"]))
    if user is None or not user.projects:
        raise Forbidden("You are known, but no project of yours may call models. Ask a tenant admin to add you.")
    return _project_of(user, headers)


def _project_of(user: UserFacts, headers: dict[bytes, bytes]) -> Principal:
    """The project that the caller names in ``x-lobby-project`` (TENANT/PROJECT), or the only one."""
    wanted = (headers.get(b"x-lobby-project") or headers.get(b"openai-project") or b"").decode("latin-1")
    for project in user.projects:
        if project.label == wanted or (not wanted and len(user.projects) == 1):
            return Principal(project=project, user_id=user.id, label=user.label)
    choices = ", ".join(project.label for project in user.projects[:10])
    raise Forbidden(f"Name the project in the header 'x-lobby-project': one of {choices}.", code="project_required")
