"""Webhooks: a signed POST to an address that passes the guard of all of Lobby's calls.

Signed as the Standard Webhooks specification has it (https://www.standardwebhooks.com): ``webhook-id``,
``webhook-timestamp`` and ``webhook-signature``, which is ``v1,`` and the base64 of an HMAC-SHA256 over
``id.timestamp.body``. The secret of a monitor's webhook is derived from the pepper of the API keys, which is not in the
database, and so is kept nowhere.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import time
from typing import Any, Final

import httpx
import msgspec
from django.conf import settings

from apps.evaluation.models import Monitor
from apps.models.errors import UrlRefused
from apps.models.trust import tls_context
from apps.models.urls_guard import check_url, resolve

TIMEOUT_SECONDS: Final = 10.0  # of a delivery as a whole: a receiver that drips bytes holds a worker no longer
_CONTEXT: Final = b"lobby webhook v1\n"


class NotDelivered(Exception):
    """The message says why, for whoever looks after the receiver."""


def secret_of(monitor: Monitor) -> str:
    """As receivers are told it: ``whsec_`` and the base64 of 32 bytes."""
    return "whsec_" + base64.b64encode(_key(monitor)).decode()


def _key(monitor: Monitor) -> bytes:
    facts = f"{monitor.pk} {monitor.webhook_nonce}".encode()
    return hmac.digest(settings.API_KEY_PEPPER.encode(), _CONTEXT + facts, "sha256")


def signature(key: bytes, message_id: str, timestamp: int, body: bytes) -> str:
    mac = hmac.digest(key, f"{message_id}.{timestamp}.".encode() + body, "sha256")
    return "v1," + base64.b64encode(mac).decode()


def post(monitor: Monitor, url: str, message_id: str, payload: dict[str, Any]) -> None:
    """To the address that was checked, speaking TLS and HTTP with the host that was named; no redirect is followed.
    Raises ``NotDelivered``."""
    body, timestamp = msgspec.json.encode(payload), int(time.time())
    headers = {
        "content-type": "application/json",
        "user-agent": f"Lobby/{settings.LOBBY_VERSION}",
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signature(_key(monitor), message_id, timestamp, body),
    }
    try:
        checked = check_url(url)
        address = resolve(checked)[0]
        target = httpx.URL(checked.url)
        host = target.netloc.decode()
        request = httpx.Request("POST", target.copy_with(host=address), headers={**headers, "host": host}, content=body)
        request.extensions["sni_hostname"] = checked.host
        status = asyncio.run(_status_of(request))
    except UrlRefused as error:
        raise NotDelivered(str(error)) from None
    except (TimeoutError, httpx.TimeoutException):
        raise NotDelivered(f"It did not answer within {TIMEOUT_SECONDS:g} seconds.") from None
    except OSError:
        raise NotDelivered("The name of its server does not resolve.") from None
    except httpx.HTTPError as error:
        raise NotDelivered(f"It cannot be reached ({type(error).__name__}).") from None
    if not 200 <= status < 300:
        raise NotDelivered(f"It answered with the status {status}.")


async def _status_of(request: httpx.Request) -> int:
    limit = TIMEOUT_SECONDS
    client = httpx.AsyncClient(timeout=limit, follow_redirects=False, trust_env=False, verify=tls_context())
    async with asyncio.timeout(limit), client:
        response = await client.send(request, stream=True)
        await response.aclose()
        return response.status_code
