"""Chat in a real browser, in front of a fake upstream: stream, stop, fail, reconnect, and answers that are hostile."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.gateway.world import World
from tests.playground.browser import answered, ask, connected, sign_in

pytestmark = pytest.mark.browser


def test_an_answer_streams_and_its_cost_is_the_ledgers(
    page: Page, world: World, second_model: str, complaints: list[str]
) -> None:
    sign_in(page, world, then=f"/playground/?project=app-1&model={second_model}")
    expect(page.get_by_test_id("estimate")).to_contain_text("tokens in")
    ask(page, "Hello [[chunks=30 delay_ms=30]]")
    expect(page.get_by_test_id("first-token")).to_contain_text("first token")
    expect(page.get_by_test_id("stop")).to_be_visible()  # while it streams
    answered(page)
    assert page.get_by_test_id("answer").inner_text().strip()
    expect(page.get_by_test_id("tokens")).to_have_text(re.compile(r"\d+ in, 30 out"))
    expect(page.get_by_test_id("cost")).to_have_text(re.compile(r"^\$0\.\d+$"), timeout=10_000)
    expect(page).to_have_url(re.compile(r"/playground/\?conversation=[\w-]{16}$"))
    expect(page.get_by_test_id("live")).to_contain_text("answered")
    said = page.get_by_test_id("answer").inner_text()
    page.reload()
    expect(page.get_by_test_id("answer")).to_have_text(said)
    page.get_by_test_id("why").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Answered")
    assert complaints == []


def test_stop_hangs_up_and_what_came_is_counted(page: Page, world: World) -> None:
    sign_in(page, world)
    ask(page, "Long [[chunks=400 delay_ms=50]]")
    expect(page.get_by_test_id("first-token")).to_contain_text("first token")
    page.keyboard.press("Escape")
    expect(page.locator(".answer-state")).to_have_text("stopped")
    answered(page)
    out = int(re.search(r"(\d+) out", page.get_by_test_id("tokens").inner_text())[1])  # type: ignore[index]
    assert 0 < out < 400
    page.get_by_test_id("why").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("The caller left")


def test_an_error_says_what_to_do_in_its_column(page: Page, world: World) -> None:
    sign_in(page, world)
    ask(page, "Fail [[fail=503]]")
    expect(page.get_by_test_id("error")).to_be_visible()
    page.get_by_test_id("why").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("The provider failed")


def test_a_refusal_by_a_limit_names_it_and_who_can_change_it(page: Page, world: World) -> None:
    world.shell.run(
        """
tenant = Tenant.objects.unscoped("test").get(slug="acme")
project = services.create_project(actor=actor, tenant=tenant, slug="narrow", name="narrow")
services.set_rate_limit(actor=actor, tenant=tenant, project=project, metric="requests", limit=1)
"""
    )
    sign_in(page, world)
    page.get_by_test_id("project").select_option("narrow")
    page.get_by_test_id("model").select_option("fake-chat")
    deadline = time.monotonic() + 20
    error = page.get_by_test_id("error").last
    # The gateway learns of the new project within a second; then the second call in a minute is one too many.
    while error.count() == 0 or "1 requests per minute" not in error.inner_text():
        assert time.monotonic() < deadline
        ask(page, "Hello")
        expect(page.get_by_test_id("stop")).to_be_hidden()
        page.wait_for_timeout(300)
    expect(error).to_contain_text("an admin of tenant acme")


def test_whoever_only_looks_is_told_so(page: Page, world: World) -> None:
    sign_in(page, world, "look", "/playground/")
    expect(page.get_by_text("Calls are made as a member who may call models")).to_be_visible()


def test_a_cut_connection_goes_on_where_it_was(page: Page, world: World, complaints: list[str]) -> None:
    sign_in(page, world)
    ask(page, "Long [[chunks=80 delay_ms=40 stamp=1]]")
    expect(page.get_by_test_id("first-token")).to_contain_text("first token")
    page.evaluate("() => window.lobbyPlayground.connection.socket.close()")
    expect(page.get_by_test_id("connection")).to_be_visible()
    connected(page)
    answered(page)
    numbers = [int(number) for number in re.findall(r"(\d+)@", page.get_by_test_id("answer").inner_text())]
    assert numbers == list(range(80)), "each token once, in its order"
    assert complaints == []


def test_another_tab_joins_a_running_answer(page: Page, world: World) -> None:
    sign_in(page, world)
    ask(page, "Long [[chunks=120 delay_ms=30 stamp=1]]")
    expect(page.get_by_test_id("first-token")).to_contain_text("first token")
    expect(page).to_have_url(re.compile(r"conversation="))
    tab = page.context.new_page()
    tab.goto(page.url)
    expect(tab.get_by_test_id("stop")).to_be_visible()
    page.close()
    answered(tab)
    expect(tab.get_by_test_id("figures")).to_be_in_viewport()  # it follows what comes to its end
    numbers = [int(number) for number in re.findall(r"(\d+)@", tab.get_by_test_id("answer").inner_text())]
    assert numbers == list(range(120))


def test_without_a_websocket_the_page_says_so(page: Page, world: World) -> None:
    page.add_init_script(
        """
        window.WebSocket = class extends EventTarget {
          constructor() { super(); setTimeout(() => this.dispatchEvent(new CloseEvent("close", {code: 1006})), 1); }
          get readyState() { return 3; }
          send() {} close() {}
        };
        Object.assign(window.WebSocket, {CONNECTING: 0, OPEN: 1, CLOSING: 2, CLOSED: 3});
        """
    )
    sign_in(page, world)
    expect(page.get_by_test_id("connection")).to_contain_text("A proxy between you and Lobby may block websockets")


class HostileUpstream(BaseHTTPRequestHandler):
    """Speaks OpenAI's protocol; each piece of a tag comes in an event of its own."""

    PARTS = (
        *("<img src=x on", "error=alert(1)>", "<scr", "ipt>alert(2)</scr", "ipt>\n\n![p](https://evil.exam"),
        *("ple/leak)\n\n[x](java", "script:alert(3)) **bo", "ld** </div><form action=https://evil.example>\n\n"),
        *(
            "```html\n</code></pre><scr",
            "ipt>alert(4)</script>\n``",
            "`\n\n| a |\n|--",
            "-|\n| <svg onload=alert(5)> |\n",
        ),
        *("\n<div hx-get=/keys/ hx-trigger=load>[c", "lick](data:text/html;base64,AAAA) [y](https://ok.example)\n"),
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
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield world.model(base_url=f"http://127.0.0.1:{server.server_port}/v1")
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_hostile_answer_runs_and_fetches_nothing(
    page: Page, world: World, hostile_model: str, complaints: list[str]
) -> None:
    sign_in(page, world, then=f"/playground/?project=app-1&model={hostile_model}")
    ask(page, "Be nasty")
    answered(page)
    for _ in ("streamed", "loaded"):
        answer = page.get_by_test_id("answer")
        expect(answer.locator("strong")).to_have_text("bold")
        assert answer.locator("img, script, iframe, form, svg, [onerror], [hx-get]").count() == 0
        assert answer.locator("a").evaluate_all("all => all.map(each => each.getAttribute('href'))") == [
            "https://evil.example/leak", "https://ok.example",
        ]  # fmt: skip
        assert "alert(1)" in answer.inner_text()
        page.reload()
    answer = page.get_by_test_id("answer")
    page.wait_for_timeout(500)  # the colours of its code
    assert answer.locator("script").count() == 0
    assert complaints == []


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


def test_a_restart_of_the_server_leaves_what_was_said_and_a_way_on(page: Page, world: World) -> None:
    """Nothing that the server has of it is missing on the page, though the page was away when it stopped."""
    sign_in(page, world)
    text = f"Long {time.time_ns()} [[chunks=900 delay_ms=20 stamp=1]]"
    ask(page, text)
    expect(page.get_by_test_id("first-token")).to_contain_text("first token")
    expect(page).to_have_url(re.compile(r"conversation="))
    page.evaluate(
        """() => {
          const { connection } = window.lobbyPlayground;
          connection.open = () => {};
          connection.socket.close();
        }"""
    )
    expect(page.get_by_test_id("connection")).to_contain_text("Reconnecting")
    here = page.get_by_test_id("answer").inner_text()
    produced = len(re.findall(r"\d+@", here)) + 20
    saved = """
from apps.playground.models import Answer
result = Answer.objects.unscoped("test").latest("pk").text.count("@")
"""
    world.eventually(lambda: world.shell.run(saved) > produced, within=15)
    world.lobby.stop_process("web")
    world.lobby.start_web()
    page.evaluate(
        """() => {
          const { connection } = window.lobbyPlayground;
          delete connection.open;
          connection.retryNow();
        }"""
    )
    connected(page)
    expect(page.get_by_test_id("error")).to_contain_text("Interrupted")
    expect(page.get_by_test_id("answer")).to_contain_text(f"{produced}@")  # drawn after the error
    shown = page.get_by_test_id("answer").inner_text()
    numbers = [int(number) for number in re.findall(r"(\d+)@", shown)]
    assert numbers == list(range(len(numbers)))
    assert len(numbers) > produced
    page.reload()
    expect(page.get_by_test_id("answer")).to_have_text(shown)
    assert sum(text in each["body"] for each in world.fake.requests()) == 1
    page.get_by_test_id("again").click()
    expect(page.get_by_test_id("branches")).to_contain_text("2 of 2")
