"""Calls through a proxy that the operator trusts (``TRUSTED_PROXIES``): what it says of its caller is believed,
and that it said so is kept in the scope, for who reads other headers of its making.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from ipaddress import ip_network
from typing import Any

from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from apps.gateway.routing.callers import BY_PROXY
from apps.tenants.addresses import is_within

Application = Callable[[dict[str, Any], Any, Any], Awaitable[None]]


def behind_proxies(application: Application, trusted: Sequence[str]) -> Application:
    """``application``, with its callers named by the trusted proxies. Nothing is in the way where there are none."""
    if not trusted:
        return application
    believing: Any = ProxyHeadersMiddleware(application, list(trusted))  # type: ignore[arg-type]
    everybody = "*" in trusted
    networks = [] if everybody else [ip_network(entry, strict=False) for entry in trusted]

    async def marked(scope: dict[str, Any], receive: Any, send: Any) -> None:
        client = scope.get("client")
        if everybody or (client and is_within(client[0], networks)):
            scope[BY_PROXY] = True
        await believing(scope, receive, send)

    return marked
