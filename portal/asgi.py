"""Where requests enter: /v1, health and metrics to the gateway, websockets to Channels, everything else to Django."""

from __future__ import annotations

import os
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")

from django.conf import settings
from django.core.asgi import get_asgi_application

django_application = get_asgi_application()

from apps.gateway.asgi import application as gateway  # noqa: E402  after Django is set up
from apps.gateway.asgi import is_gateway_path  # noqa: E402
from portal.proxies import behind_proxies  # noqa: E402


async def _application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    match scope["type"]:
        case "http":
            handler = gateway if is_gateway_path(scope["path"]) else django_application
            await handler(scope, receive, send)
        case "lifespan":
            await gateway.lifespan(receive, send)
        case "websocket":
            # No page has a socket yet. The refusal comes before the handshake.
            await send({"type": "websocket.close", "code": 4404})


application = behind_proxies(_application, settings.TRUSTED_PROXIES)
