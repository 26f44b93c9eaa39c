"""Throttles of the management API: so many calls per actor, so many failed keys per address, per minute."""

from __future__ import annotations

import time
from typing import Any

import structlog
from django.conf import settings
from django.core.cache import cache
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from apps.tenants.access import Actor

WINDOW_SECONDS = 60

log = structlog.get_logger(__name__)


def count(name: str, *, step: int = 1) -> int:
    """How often ``name`` was counted in this minute, this time included (``step=0``: without counting).

    With the cache away nothing is counted: these throttles protect the service from noise. What keeps keys safe is
    their 256 bits.
    """
    key = f"api:{name}:{int(time.time()) // WINDOW_SECONDS}"
    try:
        cache.add(key, 0, WINDOW_SECONDS * 2)
        return int(cache.incr(key, step))
    except _outages() as error:
        log.warning("api_throttle_unavailable", error=type(error).__name__)
        return 0


def _outages() -> tuple[type[Exception], ...]:
    from redis.exceptions import RedisError  # not above: it is large, and needed only when something went wrong

    return RedisError, ValueError


def seconds_left() -> float:
    return WINDOW_SECONDS - time.time() % WINDOW_SECONDS


class ActorThrottle(BaseThrottle):
    """By API key or person; by address for those who are nobody."""

    def allow_request(self, request: Request, view: Any) -> bool:
        return count(self._name(request)) <= settings.API_REQUESTS_PER_MINUTE

    def wait(self) -> float:
        return seconds_left()

    @staticmethod
    def _name(request: Request) -> str:
        actor = request.auth
        if isinstance(actor, Actor) and actor.api_key_id is not None:
            return f"key:{actor.api_key_id}"
        if isinstance(actor, Actor) and actor.user is not None:
            return f"user:{actor.user.pk}"
        return f"address:{request.META.get('REMOTE_ADDR', '')}"
