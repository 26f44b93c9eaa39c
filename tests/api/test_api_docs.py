"""The API's description and its two documentation pages, which must work with no other server and under the CSP."""

from __future__ import annotations

import re
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from playwright.sync_api import sync_playwright

from tests.api.client import Api
from tests.browser import ARGUMENTS
from tests.live import LobbyFactory


@pytest.fixture
def description(api: Api) -> dict[str, Any]:
    found = api.get("schema/")
    assert found.status == 200
    body: dict[str, Any] = found.body
    return body


def test_it_is_openapi_3_1_and_every_operation_documents_its_errors(description: dict[str, Any]) -> None:
    assert description["openapi"].startswith("3.1")
    names = set()
    for path, item in description["paths"].items():
        for method, each in item.items():
            where = f"{method} {path}"
            names.add(each["operationId"])
            statuses = set(each["responses"])
            assert statuses >= {"400", "401", "403", "405", "429", "503"}, where
            assert "{" not in path or "404" in statuses, where
            if "requestBody" in each:
                assert statuses >= {"413", "415", "422"}, where
                shape = description["components"]["schemas"][_sent(each)]
                assert shape["additionalProperties"] is False, where
            for status, answer in each["responses"].items():
                if int(status) >= 400:
                    assert list(answer["content"]) == ["application/problem+json"], f"{where} {status}"
            assert {"bearerKey": []} in each["security"], where
    assert len(names) == sum(len(item) for item in description["paths"].values())


@pytest.mark.django_db
def test_every_shape_has_a_name_of_its_own() -> None:
    # Of two shapes of one name the description would hold one.
    call_command("spectacular", "--validate", "--fail-on-warn", stdout=StringIO())


def test_no_shape_that_is_sent_names_what_nobody_may_set(description: dict[str, Any]) -> None:
    forbidden = {"id", "is_staff", "is_superuser", "platform_role", "created_by", "created_at", "secret_hmac", "prefix",
                 "session_epoch", "from_environment", "credential_encrypted", "cost_usd", "granted_by"}  # fmt: skip
    for item in description["paths"].values():
        for each in item.values():
            if "requestBody" not in each:
                continue
            name = _sent(each)
            assert not forbidden & set(description["components"]["schemas"][name].get("properties", {})), name


def _sent(operation: dict[str, Any]) -> str:
    """The name of the shape that is sent: as JSON, or as a form where a file comes with it."""
    ((_, body),) = operation["requestBody"]["content"].items()
    return str(body["schema"]["$ref"]).rpartition("/")[2]


@pytest.mark.parametrize("path", ["/api/docs/", "/api/redoc/"])
def test_the_pages_have_no_inline_script_and_ask_no_other_server(api: Api, path: str) -> None:
    response = Client().get(path)
    html = response.content.decode()
    assert response.status_code == 200
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|https?://", html)
    policy = response.headers["Content-Security-Policy"]
    directives = dict(part.strip().partition(" ")[::2] for part in policy.split(";"))
    assert directives["script-src"] == "'self'"
    assert "'unsafe-inline'" in directives["style-src"]
    elsewhere = Client().get("/accounts/login/").headers["Content-Security-Policy"]
    assert "unsafe-inline" not in elsewhere


@pytest.mark.browser
def test_both_pages_read_in_a_browser(live_lobby: LobbyFactory, chromium: str) -> None:
    lobby = live_lobby()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        page = browser.new_page(reduced_motion="reduce", viewport={"width": 1280, "height": 900})
        complaints: list[str] = []
        asked: set[str] = set()
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: asked.add(request.url))
        page.goto(f"{lobby.url}/api/docs/")
        page.get_by_role("heading", name="Lobby management API").wait_for()
        page.locator("#operations-tag-Keys").click()
        page.locator("#operations-Keys-create_key").click()
        page.get_by_text("The answer holds the key itself").first.wait_for()
        page.goto(f"{lobby.url}/api/redoc/")
        page.get_by_role("heading", name="Lobby management API").wait_for()
        page.get_by_role("heading", name="Create an API key").wait_for()
        browser.close()
    # Redoc would like a logo from its maker's server; the CSP refuses it before anything is sent.
    assert [each for each in complaints if "logo-mini.svg" not in each or "Content Security Policy" not in each] == []
    asked = {url for url in asked if not url.endswith("logo-mini.svg")}
    assert all(url.startswith((lobby.url, "blob:", "data:")) for url in asked), asked
