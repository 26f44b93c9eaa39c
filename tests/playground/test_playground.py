"""The playground in a real browser, and Home beside it, in front of a fake upstream."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.gateway.world import World
from tests.playground.conftest import PASSWORD

pytestmark = pytest.mark.browser

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield started
        started.close()


@pytest.fixture
def complaints() -> list[str]:
    return []


@pytest.fixture
def page(browser: Browser, world: World, complaints: list[str]) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append(f"dialog {dialog.message}"))
    page.on("request", lambda sent: None if sent.url.startswith(world.lobby.url) else complaints.append(sent.url))
    yield page
    context.close()


def sign_in(
    page: Page, world: World, who: str = "dev", then: str = "/playground/?project=app-1&model=fake-chat"
) -> None:
    page.goto(f"{world.lobby.url}/accounts/login/?{urlencode({'next': then})}")
    page.get_by_label("Email").fill(f"{who}@bank.test")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.wait_for_url(f"**{then}")


def ask(page: Page, text: str) -> None:
    page.get_by_test_id("composer").fill(text)
    page.keyboard.press("Control+Enter")


def test_answer_streams_and_its_cost_is_the_ledgers(page: Page, world: World, complaints: list[str]) -> None:
    sign_in(page, world)
    ask(page, "Hello [[chunks=30 delay_ms=30]]")
    expect(page.get_by_test_id("first-token")).to_contain_text("first token")
    expect(page.get_by_test_id("stop")).to_be_visible()  # while it streams
    expect(page.get_by_test_id("figures")).to_be_visible(timeout=10_000)
    expect(page.get_by_test_id("stop")).to_be_hidden()
    assert page.get_by_test_id("answer").inner_text().strip()
    expect(page.get_by_test_id("tokens")).to_have_text(re.compile(r"\d+ in, 30 out"))
    page.get_by_role("link", name="Why this answer").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Answered")
    expect(page.locator("[data-step=user]")).to_contain_text("Dev for app-1")
    assert complaints == []


def test_stop_hangs_up_and_what_came_is_counted(page: Page, world: World) -> None:
    sign_in(page, world)
    ask(page, "Long [[chunks=400 delay_ms=50]]")
    expect(page.get_by_test_id("first-token")).to_contain_text("first token")
    page.keyboard.press("Escape")
    expect(page.locator("#play-state")).to_have_text("stopped")
    expect(page.get_by_test_id("figures")).to_be_visible(timeout=10_000)
    out = int(re.search(r"(\d+) out", page.get_by_test_id("tokens").inner_text())[1])  # type: ignore[index]
    assert 0 < out < 400
    page.get_by_role("link", name="Why this answer").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("The caller left")


def test_error_says_what_to_do(page: Page, world: World) -> None:
    sign_in(page, world)
    ask(page, "Fail [[fail=503]]")
    expect(page.get_by_test_id("error")).to_be_visible()
    page.get_by_test_id("error").get_by_role("link", name="Why").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("The provider failed")


def test_refusal_by_a_limit_names_it_and_who_can_change_it(page: Page, world: World) -> None:
    world.shell.run(
        """
tenant = Tenant.objects.unscoped("test").get(slug="acme")
project = services.create_project(actor=actor, tenant=tenant, slug="narrow", name="Narrow")
services.set_rate_limit(actor=actor, tenant=tenant, project=project, metric="requests", limit=1)
"""
    )
    sign_in(page, world)
    page.get_by_test_id("project").select_option("narrow")
    expect(page.get_by_test_id("model")).to_be_visible()
    page.get_by_test_id("model").select_option("fake-chat")
    deadline = time.monotonic() + 20
    # The gateway learns of the new project within a second; then the second call in a minute is one too many.
    while "1 requests per minute" not in page.get_by_test_id("error").inner_text():
        assert time.monotonic() < deadline
        ask(page, "Hello")
        expect(page.get_by_test_id("run")).to_be_enabled()
    expect(page.get_by_test_id("error")).to_contain_text("an admin of tenant acme")


class HostileUpstream(BaseHTTPRequestHandler):
    """Speaks OpenAI's protocol; each piece of a tag comes in an event of its own."""

    PARTS = (
        *("<img src=x on", "error=alert(1)>", "<scr", "ipt>alert(2)</scr", "ipt>\n\n![p](https://evil.exam"),
        *("ple/leak)\n\n[x](java", "script:alert(3)) **bo", "ld** </div><form action=https://evil.example>"),
    )

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        for part in self.PARTS:
            self._event({"choices": [{"index": 0, "delta": {"content": part}}]})
        usage = {"prompt_tokens": 3, "completion_tokens": len(self.PARTS), "total_tokens": 3 + len(self.PARTS)}
        self._event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        self._event({"choices": [], "usage": usage})
        self.wfile.write(b"data: [DONE]\n\n")

    def _event(self, chunk: dict[str, Any]) -> None:
        self.wfile.write(b"data: " + json.dumps({"object": "chat.completion.chunk", **chunk}).encode() + b"\n\n")
        self.wfile.flush()
        time.sleep(0.02)  # so that they arrive apart

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def hostile_model(world: World) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), HostileUpstream)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield world.model(base_url=f"http://127.0.0.1:{server.server_port}/v1")
    server.shutdown()
    thread.join()
    server.server_close()


def test_hostile_answer_runs_and_fetches_nothing(
    page: Page, world: World, hostile_model: str, complaints: list[str]
) -> None:
    sign_in(page, world, then=f"/playground/?project=app-1&model={hostile_model}")
    ask(page, "Be nasty")
    answer = page.get_by_test_id("answer")
    expect(answer.locator("strong")).to_have_text("bold")
    expect(page.get_by_test_id("figures")).to_be_visible(timeout=10_000)
    assert answer.locator("img, script, iframe, form, [onerror]").count() == 0
    assert answer.locator("a[href^='javascript']").count() == 0
    assert "alert(1)" in answer.inner_text()
    assert complaints == []


def test_whoever_only_looks_is_told_so(page: Page, world: World) -> None:
    sign_in(page, world, "look", "/playground/")
    expect(page.get_by_text("Calls are made as a member who may call models")).to_be_visible()
    token = next(cookie["value"] for cookie in page.context.cookies() if "csrf" in cookie["name"])
    cookies = {cookie["name"]: cookie["value"] for cookie in page.context.cookies()}
    fields = {"project": "app-1", "model": "fake-chat", "message": "Hello"}
    headers = {"X-CSRFToken": token, "Origin": world.lobby.url}
    answer = httpx.post(f"{world.lobby.url}/playground/run/", data=fields, cookies=cookies, headers=headers)
    assert answer.status_code == 403
    assert "tenant admin" in answer.json()["error"]["message"]
    assert httpx.post(f"{world.lobby.url}/playground/run/", data=fields, cookies=cookies).status_code == 403  # no token


def test_home_shows_new_usage_within_two_seconds(page: Page, world: World, complaints: list[str]) -> None:
    sign_in(page, world, then="/")
    shown = page.locator(".stat", has_text="Requests").locator(".stat-value")
    before = int(shown.inner_text().replace(",", ""))
    for _ in range(3):
        assert world.post({"model": "fake-chat", "messages": [{"role": "user", "content": "Hi"}]}).status_code == 200
        before += 1
        ended = time.monotonic()
        expect(shown).to_have_text(f"{before:,}", timeout=2_000)
        assert time.monotonic() - ended < 2
    assert complaints == []
