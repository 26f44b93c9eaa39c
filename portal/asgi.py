"""Where requests enter: /v1, health and metrics to the gateway, websockets to Channels, everything else to Django."""

from __future__ import annotations

import os
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")

from django.conf import settings
from django.core.asgi import get_asgi_application

from portal.bodies import bounded

django_application = bounded(get_asgi_application(), settings.UPLOAD_MAX_BYTES)

from apps.gateway.asgi import application as gateway  # noqa: E402  after Django is set up
from apps.gateway.asgi import is_gateway_path  # noqa: E402
from apps.playground.consumers import PlaygroundConsumer  # noqa: E402
from apps.playground.runs import runs  # noqa: E402
from portal.proxies import behind_proxies  # noqa: E402

SOCKETS = {"/ws/playground/": PlaygroundConsumer.as_asgi()}


async def _application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    match scope["type"]:
        case "http":
            handler = gateway if is_gateway_path(scope["path"]) else django_application
            await handler(scope, receive, send)
        case "lifespan":
            await gateway.lifespan(_ending_runs_first(receive), send)
        case "websocket":
            socket = SOCKETS.get(scope["path"])
            if socket is not None:
                await socket(scope, receive, send)
            else:
                # The refusal comes before the handshake.
                await send({"type": "websocket.close", "code": 4404})


def _ending_runs_first(receive: Any) -> Any:
    """The playground's answers are the gateway's calls: they end, and are written down, before it does."""

    async def receive_and_end() -> dict[str, Any]:
        message: dict[str, Any] = await receive()
        if message["type"] == "lifespan.shutdown":
            await runs.shut_down()
        return message

    return receive_and_end


application = behind_proxies(_application, settings.TRUSTED_PROXIES)
