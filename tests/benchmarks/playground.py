"""What the playground promises of its speed, measured at a running Lobby of one web worker: run by hand.

    python -m tests.benchmarks.playground [--sockets 500] [--streams 100] [--tokens 20000] [--rounds 20]

The upstream stamps each token with the monotonic clock at its sending, so that a delay is that of the whole way: the
upstream, the gateway, the socket and, in the browser, the page up to the text's being there. Sockets, upstream, browser
and Lobby share the machine; on a busy one only the medians mean something.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import re
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar, Final
from urllib.parse import urlencode

from playwright.sync_api import Browser, CDPSession, Page, sync_playwright
from websockets.asyncio.client import ClientConnection, connect

from tests.benchmarks.procfs import PeakMemory, rss_mb
from tests.browser import ARGUMENTS, program
from tests.fakes.process import FakeOpenAI
from tests.gateway.world import World
from tests.live import LobbyFactory
from tests.playground.browser import ask, sign_in
from tests.playground.cast import CAST, PASSWORD
from tests.playground.page import Socket, wait_known
from tests.playground.page import sign_in as session_of
from tests.template import migrated_database

FIRST_TOKEN_MS: Final = 30.0
STOP_MS: Final = 200.0
MEMORY_MB: Final = 500.0
FRAME_MS: Final = 100.0
PACE_MS: Final = 100
STREAM_TOKENS: Final = 100
APART_S: Final = 0.03  # people do not press Run in the same millisecond; a stream takes far longer than all beginnings
_STAMP = re.compile(r"(\d+)@(\d{19}) ?")


def percentile(values: Iterable[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, math.ceil(len(ordered) * share) - 1)]


def told(name: str, values: list[float], allowed: float) -> bool:
    """Prints a row; whether its median keeps the promise."""
    middle, high = percentile(values, 0.5), percentile(values, 0.99)
    print(f"  {name:44} p50 {middle:7.1f} ms   p99 {high:7.1f} ms   most {max(values):7.1f} ms   of {allowed:.0f} ms")
    return middle <= allowed


# First token and stop, by one socket.


def first_tokens(world: World, session: str, rounds: int) -> list[float]:
    """From the upstream's sending to the socket's receiving."""
    delays: list[float] = []
    with Socket(world, session) as socket:
        while len(delays) < rounds:
            begun = socket.run("Hello [[chunks=3 ttft_ms=50 delay_ms=20 stamp=1]]")
            answer = begun["answers"][0]["id"]
            socket.until_holds(lambda answer=answer: answer in socket.text or answer in socket.ends)  # type: ignore[misc]
            if answer in socket.text:
                delays.append((time.monotonic_ns() - stamp_of(socket.text[answer])) / 1e6)
                socket.until_ended(answer)
            else:
                refused(socket.ends[answer])
    return delays


def refused(end: dict[str, Any]) -> None:
    """On a busy machine Lobby sheds load: that is told, and asked again."""
    print(f"  refused: {end['error']['message']}")
    time.sleep(1)


def stamp_of(text: str) -> int:
    found = _STAMP.search(text)
    assert found is not None, text
    return int(found[2])


def stops(world: World, session: str, rounds: int) -> list[float]:
    """From the page's asking to the upstream's seeing its connection closed."""
    delays: list[float] = []
    with Socket(world, session) as socket:
        while len(delays) < rounds:
            begun = socket.run("Long [[chunks=1000 delay_ms=10]]")
            answer = begun["answers"][0]["id"]
            socket.until_holds(lambda answer=answer: socket.last.get(answer, 0) >= 5 or answer in socket.ends)  # type: ignore[misc]
            if answer in socket.ends:
                refused(socket.ends[answer])
                continue
            asked = time.monotonic_ns()
            socket.send("stop", answers=[answer])
            socket.until_ended(answer)
            while (attempt := world.fake.attempts()[-1]).ended_ns is None:
                time.sleep(0.005)
            delays.append((attempt.ended_ns - asked) / 1e6)
    return delays


# Many sockets, many streams.


class Listener:
    """One of many sockets: what came, in its order, and when."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.delays: list[float] = []
        self.numbers: list[int] = []
        self.end: dict[str, Any] = {}

    async def run(self, text: str) -> None:
        message = {
            "type": "run", "n": 1, "key": uuid.uuid4().hex, "project": "app-1", "message": text,
            "columns": [{"model": "fake-chat"}],
        }  # fmt: skip
        await self.connection.send(json.dumps(message))
        rest = ""
        async for frame in self.connection:
            now, event = time.monotonic_ns(), json.loads(frame)
            assert event["type"] != "error", event
            for kind, value in event.get("parts", ()):
                if kind == "text":
                    rest += value
                    for number, stamp in _STAMP.findall(rest):
                        self.numbers.append(int(number))
                        self.delays.append((now - int(stamp)) / 1e6)
                    rest = _STAMP.sub("", rest)
                if kind == "end":
                    self.end = value
            if self.end:
                return

    @property
    def is_whole(self) -> bool:
        return self.numbers == list(range(STREAM_TOKENS))


async def crowd(world: World, sessions: list[str], sockets: int, streams: int) -> list[Listener]:
    """All sockets open, so many of them streaming at once."""
    url = world.lobby.url
    address = f"{url.replace('http', 'ws', 1)}/ws/playground/?{urlencode({'tenant': 'acme'})}"
    async with AsyncExitStack() as stack:

        async def opened(at: int) -> Listener:
            headers = {"Cookie": f"sessionid={sessions[at % len(sessions)]}"}
            opening = connect(address, origin=url, additional_headers=headers, open_timeout=60)  # type: ignore[arg-type]
            return Listener(await stack.enter_async_context(opening))

        listeners: list[Listener] = []
        for begin in range(0, sockets, 25):  # a listening socket's queue is not what is measured
            listeners += await asyncio.gather(*(opened(at) for at in range(begin, min(begin + 25, sockets))))
        print(f"  {len(listeners)} sockets open: {rss_mb(world.lobby.processes['web'].pid):.0f} MB")
        text = f"Go [[chunks={STREAM_TOKENS} delay_ms={PACE_MS} stamp=1]]"
        chosen = listeners[:: max(sockets // streams, 1)][:streams]

        async def begin_in_turn(at: int, each: Listener) -> None:
            await asyncio.sleep(at * APART_S)
            await each.run(f"{text} {at}")

        await asyncio.gather(*(begin_in_turn(at, each) for at, each in enumerate(chosen)))
        return chosen


# In a browser.


class LongAnswer(BaseHTTPRequestHandler):
    """Speaks OpenAI's protocol: a long answer of headings, prose, lists, tables and code, quickly."""

    tokens: ClassVar[int] = 20_000
    PER_SECOND: ClassVar[int] = 1_000
    PATTERN: ClassVar[str] = (
        "## A heading of **some** words\n\n"
        "A paragraph with `code`, *emphasis* and [a link](https://example.com/x) that goes on for a while, so that it"
        " wraps in its column more than once.\n\n- one item\n- another **item**\n  - inside it\n\n"
        "| name | amount |\n|---|---|\n| hail | 120 |\n| storm | 340 |\n\n"
        "```python\ndef total(rows):\n    return sum(row.amount for row in rows)\n```\n\n"
    )

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        pieces = [self.PATTERN[at : at + 4] for at in range(0, len(self.PATTERN), 4)]
        began = time.monotonic()
        for number in range(self.tokens):
            self._event({"choices": [{"index": 0, "delta": {"content": pieces[number % len(pieces)]}}]})
            ahead = began + number / self.PER_SECOND - time.monotonic()
            if ahead > 0.005:
                time.sleep(ahead)
        self._event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        usage = {"prompt_tokens": 3, "completion_tokens": self.tokens, "total_tokens": 3 + self.tokens}
        self._event({"choices": [], "usage": usage})
        self.wfile.write(b"data: [DONE]\n\n")

    def _event(self, chunk: dict[str, Any]) -> None:
        self.wfile.write(b"data: " + json.dumps({"object": "chat.completion.chunk", **chunk}).encode() + b"\n\n")

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def long_model(world: World) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), LongAnswer)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield world.model(base_url=f"http://127.0.0.1:{server.server_port}/v1")
    finally:
        server.shutdown()
        server.server_close()


# The browser's clock is the monotonic one, too: what it counts from is told by its debugger.
WATCH = """
() => {
  window.seen = 0;
  const look = () => {
    const all = document.querySelectorAll("[data-testid=answer]");
    const text = all.length ? all[all.length - 1].textContent : "";
    if (!window.seen && text.includes("@")) window.seen = [performance.now(), text];
  };
  new MutationObserver(look).observe(document.body, {subtree: true, childList: true, characterData: true});
}
"""
FRAMES = """
() => {
  window.frames_seen = [];
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      const scripts = entry.scripts.reduce((sum, script) => sum + script.duration, 0);
      const drawing = entry.styleAndLayoutStart ? entry.startTime + entry.duration - entry.styleAndLayoutStart : 0;
      window.frames_seen.push([entry.duration, scripts + drawing]);
    }
  }).observe({type: "long-animation-frame", buffered: false});
}
"""


def browser_first_tokens(page: Page, debugger: CDPSession, world: World, rounds: int) -> list[float]:
    """From the upstream's sending to the text's being in the page."""
    delays: list[float] = []
    while len(delays) < rounds:
        page.goto(f"{world.lobby.url}/playground/?project=app-1&model=fake-chat")
        page.wait_for_selector("html[data-socket=open]")
        metrics = {each["name"]: each["value"] for each in debugger.send("Performance.getMetrics")["metrics"]}
        page.evaluate(WATCH)
        ask(page, "Hello [[chunks=3 ttft_ms=100 delay_ms=40 stamp=1]]")
        page.wait_for_function("() => window.seen || document.querySelector('[data-testid=error]:not([hidden])')")
        if not page.evaluate("() => window.seen"):
            print(f"  refused: {page.get_by_test_id('error').inner_text()}")
            time.sleep(1)
            continue
        now_ms, text = page.evaluate("() => window.seen")
        delays.append(metrics["NavigationStart"] * 1000 + now_ms - stamp_of(text) / 1e6)
    return delays


def long_frames(page: Page, world: World, model: str) -> tuple[list[tuple[float, float]], float, int]:
    """(milliseconds of each long frame with those of the page's own work in it, seconds that the answer took,
    characters shown). What is not its own work is the machine's: the browser waited for a processor.
    """
    page.goto(f"{world.lobby.url}/playground/?project=app-1&model={model}")
    page.wait_for_selector("html[data-socket=open]")
    page.evaluate(FRAMES)
    began = time.monotonic()
    ask(page, "Tell me all")
    page.wait_for_function(
        "() => /in, /.test(document.querySelector('[data-testid=tokens]')?.textContent)", timeout=300_000
    )
    took = time.monotonic() - began
    page.wait_for_timeout(1_500)  # the colours of its code
    frames = [(duration, work) for duration, work in page.evaluate("() => window.frames_seen")]
    shown = page.evaluate("() => document.querySelector('[data-testid=answer]').textContent.length")
    return frames, took, shown


def in_browser(browser: Browser, world: World, rounds: int) -> bool:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    sign_in(page, world)
    debugger = context.new_cdp_session(page)
    debugger.send("Performance.enable", {"timeDomain": "timeTicks"})
    kept = told("first token to the page", browser_first_tokens(page, debugger, world, rounds), FIRST_TOKEN_MS)
    with long_model(world) as model:
        frames, took, shown = long_frames(page, world, model)
    over = [duration for duration, _ in frames if duration > FRAME_MS]
    print(
        f"  {LongAnswer.tokens:,} tokens ({shown:,} characters) in {took:.1f} s: {len(frames)} frames over 50 ms,"
        f" {len(over)} over {FRAME_MS:.0f} ms, the longest {max((each for each, _ in frames), default=0):.0f} ms; the"
        f" page's own work in one at most {max((work for _, work in frames), default=0):.0f} ms"
    )
    context.close()
    return kept and not over


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sockets", type=int, default=500)
    parser.add_argument("--streams", type=int, default=100)
    parser.add_argument("--tokens", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--only", choices=("sockets", "browser"), default="")
    given = parser.parse_args()
    LongAnswer.tokens = given.tokens
    kept = True
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        directory = Path(name)
        factory = LobbyFactory(migrated_database(directory), directory)
        stack.callback(factory.stop)
        fake = stack.enter_context(FakeOpenAI(directory / "count.jsonl"))
        world = World(factory(start=False), fake)
        stack.callback(world.close)
        world.start()
        world.shell.run(CAST, password=PASSWORD)
        if given.only != "browser":
            session = session_of(world)
            wait_known(world, session)
            print("\nOne socket:")
            kept = told("first token to the socket", first_tokens(world, session, given.rounds), FIRST_TOKEN_MS)
            kept = told("stop to the upstream's close", stops(world, session, given.rounds), STOP_MS) and kept
            wait_known(world, mate := session_of(world, "dev2"))
            print(f"\n{given.sockets} sockets, {given.streams} streams of {1000 // PACE_MS} tokens/s:")
            with PeakMemory(world.lobby.processes["web"].pid) as memory:
                listeners = asyncio.run(crowd(world, [session, mate], given.sockets, given.streams))
            whole = sum(each.is_whole for each in listeners)
            for each in [each for each in listeners if not each.is_whole][:3]:
                print(f"  not whole: {len(each.numbers)} tokens, {each.end['status']}, {each.end['error']}")
            told("a token to its socket", [delay for each in listeners for delay in each.delays], FIRST_TOKEN_MS)
            print(f"  {whole} of {len(listeners)} streams whole and in order; at most {memory.peak_mb:.0f} MB")
            kept = kept and whole == len(listeners) and memory.peak_mb < MEMORY_MB
        if given.only != "sockets":
            print("\nIn a browser:")
            playwright = stack.enter_context(sync_playwright())
            chromium = playwright.chromium.launch(executable_path=program(), args=ARGUMENTS)
            kept = in_browser(chromium, world, 10) and kept
    print("\nThe promises hold." if kept else "\nThe promises do NOT hold.")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
