"""What routing reads of a request: the facts that conditions ask for, the conversation, the person's country."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec
from django.conf import settings

from apps.gateway.routing.facts import RequestFacts

if TYPE_CHECKING:
    from apps.gateway.fronts.base import Parsed
    from apps.gateway.snapshot import Principal, Snapshot

# In the scope of a call that a trusted proxy has handed over (portal/proxies.py).
BY_PROXY: Final = "lobby.by_proxy"
CONVERSATION_HEADER: Final = b"x-lobby-conversation"
LONGEST_VALUE: Final = 200
MOST_TAGS: Final = 32
# Where a body that names no conversation is still known to go on one.
_CONVERSATION_FIELDS: Final = ("prompt_cache_key", "conversation", "user")
_INPUT_FIELDS: Final = ("messages", "input")
_TOOL_FIELDS: Final = ("tools", "functions", "toolConfig")
# An image's part in any of the dialects; a text that only looks like one costs nobody more than a target.
_IMAGE: Final = re.compile(rb'"image_url"|"input_image"|"type"\s*:\s*"image"|"image"\s*:\s*\{')


@dataclass(frozen=True, slots=True)
class Caller:
    """What came beside the body. ``by_proxy``: handed over by a proxy that the operator trusts."""

    headers: Mapping[bytes, bytes] = field(default_factory=dict)
    by_proxy: bool = False


def facts_of(
    caller: Caller, principal: Principal, snapshot: Snapshot, parsed: Parsed, tokens: int, now: float
) -> RequestFacts:
    """``tokens`` is the estimate of the input's."""
    request, fields = parsed.request, parsed.fields
    person = snapshot.users.get(principal.user_id)
    return RequestFacts(
        tokens=tokens,
        max_tokens=request.max_output or 0,
        stream=request.streams,
        has_images=any(_IMAGE.search(fields[name]) for name in _INPUT_FIELDS if name in fields),
        has_tools=any(bytes(fields.get(name, b"[]")) not in (b"null", b"[]") for name in _TOOL_FIELDS),
        operation=request.operation,
        tenant=principal.tenant.slug,
        project=principal.project.slug,
        environment=principal.project.environment,
        user=person.label if person is not None else "",
        role=person.roles.get(principal.tenant.id, "") if person is not None else "",
        country=country_of(caller),
        at=datetime.fromtimestamp(now, principal.tenant.zone),
        headers={
            name.decode("latin-1"): value.decode("latin-1")[:LONGEST_VALUE]
            for name, value in caller.headers.items()
            if name.startswith(b"x-") and name != b"x-api-key"
        },
        tags=_tags(parsed),
    )


def country_of(caller: Caller) -> str:
    """As the trusted proxy in front says; empty for everybody who comes without one, whatever they send."""
    if not caller.by_proxy or not settings.COUNTRY_HEADER:
        return ""
    shown = caller.headers.get(settings.COUNTRY_HEADER.lower().encode(), b"").strip().upper()
    return shown.decode() if len(shown) == 2 and shown.isalpha() else ""


def conversation_of(caller: Caller, parsed: Parsed) -> str:
    """Which conversation the request goes on, as its application says; empty when it does not."""
    named = caller.headers.get(CONVERSATION_HEADER, b"").decode("latin-1").strip()
    if not named:
        named = (parsed.request.lobby.conversation if parsed.request.lobby is not None else None) or ""
    for name in _CONVERSATION_FIELDS:
        if named:
            break
        value = _decoded(parsed.fields.get(name))
        named = value if isinstance(value, str) else ""
    return named[:LONGEST_VALUE]


def _tags(parsed: Parsed) -> dict[str, str]:
    """The request's metadata (the public APIs' own field), and ``lobby.tags`` over it."""
    tags: dict[str, str] = {}
    options = parsed.request.lobby
    for found in (_decoded(parsed.fields.get("metadata")), options.tags if options is not None else None):
        if isinstance(found, dict):
            pairs = list(found.items())[:MOST_TAGS]
            tags |= {str(name): value[:LONGEST_VALUE] for name, value in pairs if isinstance(value, str)}
    return tags


def _decoded(raw: Any) -> Any:
    if raw is None:
        return None
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return None
