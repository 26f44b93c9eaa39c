"""/mlflow/: MLflow's own pages for the platform's staff, behind the portal's login.

MLflow knows no users, and refuses a foreign Host. So it listens on an address that only Lobby reaches, and is asked
under that address: whoever may see it is decided here. Its pages bring their own styles and scripts, for which the
content security policy is wider on this path alone; and what they send is taken only from pages of this very origin.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final
from urllib.parse import quote, urlsplit

import httpx
from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt

from apps.tenants.access import Actor, require
from apps.tenants.errors import PermissionDenied

TIMEOUT: Final = httpx.Timeout(120.0, connect=5.0)
WHOLE: Final = 256 * 1024
SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
METHODS: Final = frozenset({*SAFE, "POST", "PUT", "PATCH", "DELETE"})
PASSED_ON: Final = ("accept", "accept-language", "content-type", "range", "if-none-match", "if-modified-since")
PASSED_BACK: Final = frozenset(
    {"content-type", "content-disposition", "content-range", "accept-ranges", "etag", "last-modified", "cache-control"}
)
# Its bundle compiles chart specifications and adds styles as it runs; nothing may come from, or go to, elsewhere.
POLICY: Final = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self'",
        "worker-src 'self' blob:",
        "frame-src 'self' blob:",
        "frame-ancestors 'self'",
        "form-action 'self'",
        "base-uri 'self'",
        "object-src 'none'",
    )
)


@csrf_exempt  # its pages know no token of ours: see _is_ours
@never_cache
async def mlflow(request: HttpRequest, path: str = "") -> HttpResponseBase:
    """Whatever MLflow answers to the platform's staff."""
    refused = await sync_to_async(_refusal)(request)
    if refused is not None:
        return refused
    if not settings.MLFLOW_TRACKING_URI:
        return await _away(request, "MLflow is not installed here.")
    client = httpx.AsyncClient(timeout=TIMEOUT, trust_env=False)
    try:
        sent = client.build_request(
            request.method or "GET",
            f"{settings.MLFLOW_TRACKING_URI.rstrip('/')}/{quote(path, safe='/:@-._~!$&()*+,;=')}",
            params=request.META.get("QUERY_STRING", ""),
            headers={name: request.headers[name] for name in PASSED_ON if name in request.headers},
            content=request.body if request.method not in SAFE else None,
        )
        answer = await client.send(sent, stream=True)
        response = await _response(client, answer)
    except httpx.HTTPError:  # it is away, or goes away in the middle
        await client.aclose()
        return await _away(request, "MLflow does not answer right now. Finished runs wait for it.")
    del response["Content-Type"]
    for name, value in answer.headers.multi_items():
        if name.lower() in PASSED_BACK:
            response[name] = value
    if location := answer.headers.get("location"):
        response["Location"] = _here(location)
    response["Content-Security-Policy"] = POLICY
    response["X-Frame-Options"] = "SAMEORIGIN"
    response["X-Content-Type-Options"] = "nosniff"
    return response


async def _away(request: HttpRequest, why: str) -> HttpResponse:
    return await sync_to_async(render)(request, "mlflow_away.html", {"why": why}, status=503)


async def _response(client: httpx.AsyncClient, answer: httpx.Response) -> HttpResponseBase:
    """In one piece where it is small and says so; else as it comes."""
    length = answer.headers.get("content-length", "")
    if length.isdigit() and int(length) <= WHOLE and "content-encoding" not in answer.headers:
        try:
            return HttpResponse(await answer.aread(), status=answer.status_code)
        finally:
            await answer.aclose()
            await client.aclose()
    return StreamingHttpResponse(_relay(client, answer), status=answer.status_code)


async def _relay(client: httpx.AsyncClient, answer: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for chunk in answer.aiter_bytes():
            yield chunk
    finally:
        await answer.aclose()
        await client.aclose()


def _refusal(request: HttpRequest) -> HttpResponse | None:
    """Why this reader, or this page, may not; None where they may. Raises ``PermissionDenied``."""
    user: Any = request.user
    if not user.is_authenticated:
        return redirect_to_login(request.get_full_path())
    require(Actor.of_user(user), "registry.view", what="see MLflow's pages")
    if request.method not in METHODS:
        return HttpResponse(status=405)
    if request.method not in SAFE and not _is_ours(request):
        raise PermissionDenied("MLflow's pages take what pages of this portal send, and nothing else.")
    return None


def _is_ours(request: HttpRequest) -> bool:
    """Whether a page of this very origin sends this: browsers say so, in one of two ways."""
    site = request.headers.get("sec-fetch-site")
    if site is not None and site != "same-origin":
        return False
    origin = request.headers.get("origin")
    if origin is None:
        return site == "same-origin"
    return origin == f"{request.scheme}://{request.get_host()}"


def _here(location: str) -> str:
    """A redirect of MLflow's, to stay on this path."""
    parts = urlsplit(location)
    return "/mlflow/" + parts.path.lstrip("/") + (f"?{parts.query}" if parts.query else "")
