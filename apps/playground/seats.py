"""Who sits at a socket, checked when it opens, at each message, and every two seconds while it is open."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

import structlog
from django.conf import settings
from django.contrib.auth import get_user
from django.contrib.sessions.models import Session
from django.http import HttpRequest, parse_cookie
from django.http.request import validate_host

from apps.gateway.asgi import application
from apps.gateway.snapshot import principals_of
from apps.playground.database import in_database
from apps.tenants.access import Actor, can
from apps.tenants.errors import DomainError
from apps.tenants.models import Project, Tenant, User

log = structlog.get_logger(__name__)

CHECK_EVERY_SECONDS = 2.0

SIGNED_OUT, NO_ACCESS = 4401, 4403  # the codes a socket is closed with


class Refused(DomainError):
    """Nobody sits here (any more). ``code`` is ``signed_out`` or ``no_access``."""

    status = 403

    @property
    def close_code(self) -> int:
        return SIGNED_OUT if self.code == "signed_out" else NO_ACCESS


@dataclass(frozen=True, slots=True)
class Seat:
    """A session at work in one tenant."""

    session_key: str
    user_id: int
    tenant_id: int


@dataclass(frozen=True, slots=True)
class Sitter:
    """Whoever sits there, as the database knows them at this moment."""

    seat: Seat
    actor: Actor
    tenant: Tenant

    def project(self, slug: str) -> Project | None:
        rows = Project.objects.for_actor(self.actor, "model.call").select_related("tenant")
        return rows.filter(tenant=self.tenant, slug=slug, is_active=True).first()


def origin_is_ours(headers: dict[bytes, bytes]) -> bool:
    """A page of another site can open sockets with our cookies; only its origin tells. None is refused, too."""
    origin = headers.get(b"origin", b"").decode("latin-1").lower()
    host = headers.get(b"host", b"").decode("latin-1").lower()
    if origin in {each.lower() for each in settings.CSRF_TRUSTED_ORIGINS}:
        return True
    try:
        parts = urlsplit(origin)
        name, _ = parts.hostname or "", parts.port
    except ValueError:
        return False
    if parts.scheme not in ("http", "https") or not name or parts.path or parts.query:
        return False
    if settings.PRODUCTION and parts.scheme != "https":
        return False
    shown = f"[{name}]" if ":" in name else name
    return parts.netloc == host and validate_host(shown, settings.ALLOWED_HOSTS)


def session_key_of(headers: dict[bytes, bytes]) -> str:
    cookies = parse_cookie(headers.get(b"cookie", b"").decode("latin-1"))
    return str(cookies.get(settings.SESSION_COOKIE_NAME, ""))


def sit_down(session_key: str, tenant_slug: str) -> Sitter:
    """At a socket that opens. Raises ``Refused``: the same for a foreign tenant as for none."""
    user = _user_of(session_key)
    actor = Actor.of_user(user)
    tenant = Tenant.objects.for_actor(actor).filter(slug=tenant_slug[:50]).first()
    return _checked(Seat(session_key, user.pk, tenant.pk if tenant else 0), actor, tenant)


def sit_on(seat: Seat) -> Sitter:
    """At each message. Raises ``Refused``."""
    user = _user_of(seat.session_key)
    if user.pk != seat.user_id:
        raise _signed_out()
    actor = Actor.of_user(user)
    return _checked(seat, actor, Tenant.objects.for_actor(actor).filter(pk=seat.tenant_id).first())


def _user_of(session_key: str) -> User:
    request = HttpRequest()
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(session_key or None)
    user = get_user(request)
    if not session_key or not isinstance(user, User):
        raise _signed_out()
    return user


def _checked(seat: Seat, actor: Actor, tenant: Tenant | None) -> Sitter:
    # Calls are made and paid for as a member: whoever looks in from the platform has no budget here.
    if tenant is None or tenant.pk not in actor.standings or not can(actor, "model.call", tenant):
        raise _no_access()
    return Sitter(seat, actor, tenant)


def _signed_out() -> Refused:
    return Refused("You are signed out. Sign in again to go on.", code="signed_out")


def _no_access() -> Refused:
    return Refused(
        "You may not call models in this tenant any more.", code="no_access", remedy="A tenant admin can change that."
    )


class Watch:
    """Closes the sockets of those who may not sit there any more: one pass over all, whatever their number."""

    def __init__(self) -> None:
        self._seats: dict[Callable[[Refused], None], Seat] = {}
        self._task: asyncio.Task[None] | None = None

    def add(self, seat: Seat, leave: Callable[[Refused], None]) -> None:
        """``leave`` is called once, in the event loop, when the seat is lost."""
        self._seats[leave] = seat
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())

    def remove(self, leave: Callable[[Refused], None]) -> None:
        self._seats.pop(leave, None)

    async def _run(self) -> None:
        """As long as anybody sits."""
        while self._seats:
            await asyncio.sleep(CHECK_EVERY_SECONDS)
            seats = set(self._seats.values())
            try:
                signed_in = await in_database(_signed_in, seats)
            except Exception as error:  # with the database away nobody can be told apart: nobody is thrown out
                log.warning("playground_seats_unchecked", error=type(error).__name__)
                continue
            for leave, seat in list(self._seats.items()):
                if seat not in seats:
                    continue
                if seat not in signed_in:
                    leave(_signed_out())
                elif not _may_call(seat):
                    leave(_no_access())


def _may_call(seat: Seat) -> bool:
    """By the gateway's own picture, which is a second old at most. A tenant without projects has nothing to call."""
    runtime = application.runtime
    if runtime is None:
        return False
    return any(
        principal.tenant.id == seat.tenant_id and principal.tenant.is_active
        for principal in principals_of(runtime.snapshot, seat.user_id)
    )


def _signed_in(seats: Iterable[Seat]) -> set[Seat]:
    """Those whose session is still theirs: two queries."""
    seats = list(seats)
    rows = {
        row.session_key: row for row in Session.objects.filter(session_key__in={seat.session_key for seat in seats})
    }
    users = {user.pk: user for user in User.objects.filter(pk__in={seat.user_id for seat in seats}, is_active=True)}
    hashes = {pk: user.get_session_auth_hash() for pk, user in users.items()}
    found = set()
    for seat in seats:
        row, expected = rows.get(seat.session_key), hashes.get(seat.user_id)
        if row is None or expected is None:
            continue
        content: dict[str, Any] = row.get_decoded()
        if content.get("_auth_user_id") == str(seat.user_id) and content.get("_auth_user_hash") == expected:
            found.add(seat)
    return found


watch = Watch()
