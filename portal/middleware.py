"""Toasts for htmx: a view says ``messages.success(request, …)`` whatever asked, and the page shows it either way."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.contrib.messages import get_messages
from django.http import HttpRequest, HttpResponse

Answer = HttpResponse | Awaitable[HttpResponse]


class HtmxMessagesMiddleware:
    """Moves Django's messages into the ``HX-Trigger: toast`` of an htmx answer.

    Not where the browser goes on to a full page (a redirect, ``HX-Redirect``, ``HX-Refresh``, ``HX-Location``): that page
    shows them. Stands after ``MessageMiddleware`` and ``HtmxMiddleware``.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Answer]) -> None:
        self.get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Answer:
        if iscoroutinefunction(self):
            return self._acall(request)
        response = self.get_response(request)
        assert isinstance(response, HttpResponse)
        return self._attach(request, response)

    async def _acall(self, request: HttpRequest) -> HttpResponse:
        answer = self.get_response(request)
        assert not isinstance(answer, HttpResponse)
        response = await answer
        if not self._wanted(request, response):
            return response
        # Messages may live in the session, which is read from the database.
        return await sync_to_async(self._attach)(request, response)

    @staticmethod
    def _wanted(request: HttpRequest, response: HttpResponse) -> bool:
        if request.headers.get("HX-Request") != "true" or request.headers.get("HX-Boosted") == "true":
            return False
        if 300 <= response.status_code < 400:
            return False
        return not any(name in response.headers for name in ("HX-Redirect", "HX-Refresh", "HX-Location"))

    def _attach(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        if not self._wanted(request, response):
            return response
        items = [{"message": str(each), "level": each.level_tag or "info"} for each in get_messages(request)]
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
