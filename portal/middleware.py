"""Toasts for htmx, and refusals as pages.

A view says ``messages.success(request, …)`` whatever asked, and the page shows it either way. A service raises a
``DomainError``, and a view that has no better place for it leaves it to ``DomainErrorMiddleware``.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import cast

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.contrib.messages import get_messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from apps.tenants.errors import DomainError, NotFound, PermissionDenied

Answer = HttpResponse | Awaitable[HttpResponse]


class HtmxMessagesMiddleware:
    """Moves Django's messages into the ``HX-Trigger: toast`` of an htmx answer.

    Not where the browser goes on to a full page (a redirect, ``HX-Redirect``, ``HX-Refresh``, ``HX-Location``): that
    page shows them. Stands after ``MessageMiddleware`` and ``HtmxMiddleware``.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Answer]) -> None:
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Answer:
        if self.is_async:
            return self._answer(request)
        return _attach(request, cast(HttpResponse, self.get_response(request)))

    async def _answer(self, request: HttpRequest) -> HttpResponse:
        response = await cast(Awaitable[HttpResponse], self.get_response(request))
        if not _wanted(request, response):
            return response
        # Messages may live in the session, which is read from the database.
        return await sync_to_async(_attach)(request, response)


def _wanted(request: HttpRequest, response: HttpResponse) -> bool:
    if request.headers.get("HX-Request") != "true" or request.headers.get("HX-Boosted") == "true":
        return False
    if 300 <= response.status_code < 400:
        return False
    return not any(name in response.headers for name in ("HX-Redirect", "HX-Refresh", "HX-Location"))


def _attach(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    if not _wanted(request, response):
        return response
    items: list[object] = [{"message": str(each), "level": each.level_tag or "info"} for each in get_messages(request)]
    if not items:
        return response
    events = _events(response.headers.get("HX-Trigger", ""))
    earlier = events.get("toast")
    if isinstance(earlier, dict):
        items = [*earlier.get("items", [earlier]), *items]
    events["toast"] = {"items": items}
    response.headers["HX-Trigger"] = json.dumps(events)
    return response


def _events(header: str) -> dict[str, object]:
    """``HX-Trigger`` is a JSON object or a comma-separated list of event names."""
    if header.startswith("{"):
        events: dict[str, object] = json.loads(header)
        return events
    return {name.strip(): None for name in header.split(",") if name.strip()}


class DomainErrorMiddleware:
    """Answers a ``DomainError`` of a page with the page for it: its status, its sentence, its remedy."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Answer]) -> None:
        self.get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Answer:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if not isinstance(exception, DomainError):
            return None
        if isinstance(exception, NotFound):
            return render(request, "404.html", status=404)
        template = "403.html" if isinstance(exception, PermissionDenied) else "400.html"
        return render(request, template, {"error": exception}, status=exception.status)
