"""A message reaches its reader whether htmx or a full load asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping

import pytest
from django.contrib import messages
from django.contrib.messages.storage.cookie import CookieStorage
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory

from portal.middleware import HtmxMessagesMiddleware


def ask(headers: Mapping[str, str], response: HttpResponse, *, text: str = "Key revoked.") -> HttpResponse:
    request = RequestFactory().get("/", headers=dict(headers))
    request._messages = CookieStorage(request)  # type: ignore[attr-defined]

    def view(request: HttpRequest) -> HttpResponse:
        if text:
            messages.success(request, text)
        return response

    answer = HtmxMessagesMiddleware(view)(request)
    assert isinstance(answer, HttpResponse)
    return answer


def test_an_htmx_answer_carries_the_message() -> None:
    answer = ask({"HX-Request": "true"}, HttpResponse())
    assert json.loads(answer["HX-Trigger"]) == {"toast": {"items": [{"message": "Key revoked.", "level": "success"}]}}


def test_events_of_the_view_are_kept() -> None:
    assert json.loads(
        ask({"HX-Request": "true"}, HttpResponse(headers={"HX-Trigger": "saved, closed"}))["HX-Trigger"]
    ) == {
        "saved": None,
        "closed": None,
        "toast": {"items": [{"message": "Key revoked.", "level": "success"}]},
    }
    own = HttpResponse(headers={"HX-Trigger": json.dumps({"toast": {"message": "First."}})})
    items = json.loads(ask({"HX-Request": "true"}, own)["HX-Trigger"])["toast"]["items"]
    assert [item["message"] for item in items] == ["First.", "Key revoked."]


@pytest.mark.parametrize(
    ("headers", "response"),
    [
        ({}, HttpResponse()),
        ({"HX-Request": "true", "HX-Boosted": "true"}, HttpResponse()),
        ({"HX-Request": "true"}, HttpResponse(status=302, headers={"Location": "/"})),
        ({"HX-Request": "true"}, HttpResponse(headers={"HX-Redirect": "/"})),
        ({"HX-Request": "true"}, HttpResponse(headers={"HX-Refresh": "true"})),
    ],
)
def test_the_message_waits_where_a_full_page_follows(headers: Mapping[str, str], response: HttpResponse) -> None:
    assert "HX-Trigger" not in ask(headers, response)


def test_no_message_adds_nothing() -> None:
    assert "HX-Trigger" not in ask({"HX-Request": "true"}, HttpResponse(), text="")


def test_line_breaks_in_a_message_do_not_break_the_header() -> None:
    answer = ask({"HX-Request": "true"}, HttpResponse(), text="a\r\nSet-Cookie: b=c\u2028 é")
    assert "Set-Cookie" not in answer.headers
    assert json.loads(answer["HX-Trigger"])["toast"]["items"][0]["message"] == "a\r\nSet-Cookie: b=c\u2028 é"


def test_an_async_view_is_answered_alike() -> None:
    request = RequestFactory().get("/", headers={"HX-Request": "true"})
    request._messages = CookieStorage(request)  # type: ignore[attr-defined]

    async def view(request: HttpRequest) -> HttpResponse:
        messages.error(request, "No.")
        return HttpResponse()

    async def run() -> HttpResponse:
        answer = HtmxMessagesMiddleware(view)(request)
        assert not isinstance(answer, HttpResponse)
        return await answer

    assert json.loads(asyncio.run(run())["HX-Trigger"])["toast"]["items"][0]["level"] == "error"
