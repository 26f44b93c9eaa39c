"""Who calls the management API: an API key, or the person of a session. Either way ``request.auth`` is the Actor.

The key goes before the session: a request that shows a bad key is refused even where a session would have done.
"""

from __future__ import annotations

import ipaddress
from typing import Any

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.exceptions import AuthenticationFailed, PermissionDenied, Throttled
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from apps.tenants import apikeys
from apps.tenants.access import Actor
from apps.tenants.addresses import is_within
from apps.tenants.models import ApiKey, User
from apps.tenants.rest import throttling
from apps.tenants.types import Scope

CHALLENGE = 'Bearer realm="Lobby"'
READING = frozenset({"GET", "HEAD", "OPTIONS"})


class ApiKeyAuthentication(BaseAuthentication):
    """``Authorization: Bearer lby_…`` or ``x-api-key: lby_…``."""

    def authenticate(self, request: Request) -> tuple[User | AnonymousUser, Actor] | None:
        shown = _shown_key(request)
        if shown is None:
            return None
        address = request.META.get("REMOTE_ADDR", "")
        if throttling.count(f"failed:{address}", step=0) >= settings.API_FAILED_KEYS_PER_MINUTE:
            raise Throttled(throttling.seconds_left())
        api_key = _find(shown)
        if api_key is None:
            throttling.count(f"failed:{address}")
            raise AuthenticationFailed("This is not a valid API key.")
        if not api_key.is_usable:
            raise AuthenticationFailed("This API key is revoked or expired.", code="key_unusable")
        if not _may_come_from(api_key, address):
            raise PermissionDenied(f"This key may not be used from {address or 'here'}.", code="address_not_allowed")
        actor = Actor.of_api_key(api_key)
        return actor.user or AnonymousUser(), actor

    def authenticate_header(self, request: Request) -> str:
        return CHALLENGE


class SessionActorAuthentication(SessionAuthentication):
    """The portal's own session; whatever changes something needs the CSRF token."""

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        found = super().authenticate(request)
        if found is None or not isinstance(found[0], User):
            return None
        return found[0], Actor.of_user(found[0])


class ManagementPermission(BasePermission):
    """Somebody; and a key needs the management scope that fits. What they may do is for the services to say."""

    def has_permission(self, request: Request, view: Any) -> bool:
        actor = request.auth
        if not isinstance(actor, Actor):
            return False
        if actor.api_key_id is None or Scope.MANAGEMENT_WRITE in actor.scopes:
            return True
        reads = request.method in READING
        if reads and Scope.MANAGEMENT_READ in actor.scopes:
            return True
        wanted = Scope.MANAGEMENT_READ if reads else Scope.MANAGEMENT_WRITE
        raise PermissionDenied(f"This key lacks the scope '{wanted}'.", code="missing_scope")


def _shown_key(request: Request) -> str | None:
    """The key that the request shows, well formed or not; None where it shows none."""
    header = request.headers.get("Authorization")
    if header is not None:
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise AuthenticationFailed("Write the header as 'Authorization: Bearer <key>'.")
        return token.strip()
    return request.headers.get("x-api-key") or None


def _find(shown: str) -> ApiKey | None:
    parts = apikeys.split(shown)
    if parts is None:
        return None
    prefix, secret = parts
    rows = ApiKey.objects.unscoped("a credential tells whose it is").filter(prefix=prefix)
    api_key = rows.select_related("project__tenant", "created_by").first()
    # An unknown prefix costs the same digest as a wrong secret, so that timing tells nothing.
    matches = apikeys.verify(secret, api_key.secret_hmac if api_key is not None else "0" * 64)
    return api_key if matches else None


def _may_come_from(api_key: ApiKey, address: str) -> bool:
    networks = [ipaddress.ip_network(cidr, strict=False) for cidr in api_key.cidrs]
    return not networks or is_within(address, networks)
