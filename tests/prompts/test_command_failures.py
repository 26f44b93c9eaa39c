"""What ``lobby`` says and how it exits where something is wrong: its settings, the network, a file, the terminal."""

from __future__ import annotations

import io
import json
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from lobby.__main__ import FAILED, main

ME = {"tenants": ["claims"], "key": {"project": "claims/triage"}}
Answer = tuple[int, Any]


@contextmanager
def answering(answer: Callable[[str, str], Answer]) -> Iterator[str]:
    """A server in the place of Lobby's: ``answer`` gets method and path, and gives a status and JSON, or bytes."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, said = answer(self.command, self.path.removeprefix("/api/").partition("?")[0])
            body = said if isinstance(said, bytes) else json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_DELETE = do_GET

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def asks(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Runs the command with this address and key."""

    def run(*arguments: str, url: str = "http://127.0.0.1:1", key: str = "lby_SECRET", json: bool = False) -> int:
        monkeypatch.setenv("LOBBY_URL", url)
        monkeypatch.setenv("LOBBY_API_KEY", key)
        return main([*arguments, *(["--json"] if json else [])])

    return run


def test_a_key_is_never_printed(asks: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    for key in ("lby_SECRET\n", "lby_SE\nCRET", "lby_SE\x1bCRET", "lby_SECRÉT"):
        assert asks("prompts", "pull", key=key) == FAILED
        told = capsys.readouterr()
        assert "SE" not in told.err + told.out, told
        assert ("LOBBY_API_KEY" in told.err) == (key != "lby_SECRET\n"), "a line end at its end does no harm"


def test_an_address_that_is_none_is_told(asks: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    for url in ("http://host:abc", "http://[::1"):
        assert asks("prompts", "pull", url=url) == FAILED
        assert "LOBBY_URL is" in capsys.readouterr().err


def test_an_answer_that_is_no_json_is_told(asks: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    with answering(lambda method, path: (200, b"<html>Sign in</html>")) as url:
        assert asks("prompts", "pull", url=f" {url}/\n") == FAILED
    assert "answered with something other than JSON" in capsys.readouterr().err


PROMPT = {"slug": "greeting", "name": "Begrüßung ☂", "description": "", "use_case": "", "tags": []}
VERSION = {"number": 1, "messages": [{"role": "user", "content": "Grüße ☂"}], "variables": {}}


def catalog(method: str, path: str) -> Answer:
    """One prompt of one version."""
    known: dict[str, Any] = {
        "me": ME,
        "prompts": {"results": [PROMPT], "next": None},
        "prompts/claims/greeting": PROMPT,
        "prompts/claims/greeting/versions": {"results": [VERSION], "next": None},
    }
    return 200, known[path]


def test_what_cannot_be_written_is_told(
    asks: Callable[..., int], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    taken = tmp_path / "taken"
    taken.write_text("a file")
    with answering(catalog) as url:
        assert asks("prompts", "pull", "-d", str(taken), url=url) == FAILED
        assert f"{taken}/greeting.prompt: " in capsys.readouterr().err
        assert asks("prompts", "pull", "-d", str(tmp_path), url=url) == 0
        (tmp_path / "greeting.prompt").write_bytes(b"\xff")
        assert asks("prompts", "pull", "-d", str(tmp_path), url=url, json=True) == 0
        assert '"changed": true' in capsys.readouterr().out


def test_a_terminal_of_few_letters_is_no_failure(
    asks: Callable[..., int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "greeting.prompt"
    file.write_text("---\nid: greeting\n---\n--- user ---\nGrüße ☔\n", encoding="utf-8")
    printed = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(printed, encoding="latin-1", write_through=True))
    with answering(catalog) as url:
        assert asks("prompts", "diff", str(file), url=url) == 1
        assert "+Grüße \\u2614" in printed.getvalue().decode("latin-1")
        printed.truncate(0)
        printed.seek(0)
        assert asks("prompts", "diff", str(file), url=url, json=True) == 1
        assert "+Grüße ☔" in json.loads(printed.getvalue())[0]["diff"]


def test_what_nobody_thought_of_is_a_failure_and_no_verdict(
    asks: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    with answering(lambda method, path: (200, [])) as url:
        assert asks("prompts", "pull", url=url) == FAILED
        assert capsys.readouterr().err.startswith("lobby: That should not happen: TypeError")
        assert asks("prompts", "pull", url=url, json=True) == FAILED
        assert json.loads(capsys.readouterr().out)["error"]["code"] == "unexpected"


def test_a_comparison_says_what_failed_and_where_it_goes_on(
    asks: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ("eval", "compare", "--model", "new", "--against", "old", "--dataset", "golden", "--timeout", "0", "--gate")
    made = {"id": 1, "baseline": "b", "candidate": "b", "status": "waiting", "verdict": "", "evidence": None}
    made |= {"error": "", "created_at": "2026-03-01T12:00:00Z", "unfit_judge": "The judge is not calibrated."}

    def answer(method: str, path: str) -> Answer:
        if path.endswith("/cancel"):
            return 409, {"code": "run_done", "detail": "The run is done already."}
        return 200, {"me": ME, "evaluations": {"id": "b"}, "comparisons": made}[path]

    with answering(answer) as url:
        assert asks(*asked, url=url) == FAILED
        assert capsys.readouterr().err == "lobby: The judge is not calibrated.\n"
        made["unfit_judge"] = ""
        assert asks(*asked, url=url) == FAILED
        told = capsys.readouterr()
    assert told.out == "new against old: being evaluated\n"
    page = f"{url}/evaluations/compare/?baseline=b&candidate=b"
    assert told.err == f"lobby: The evaluation is still running: see {page}\n"


def test_a_gate_is_waited_for_through_lost_answers(
    asks: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    decision = {"id": 1, "prompt": "greeting", "version": 2, "candidate": "c", "reasons": ["It got better."]}
    running = decision | {"status": "running", "verdict": ""}
    polled = [
        (502, b"<html>Bad gateway</html>"),
        (429, {"code": "rate_limited", "detail": "Too many requests."}),
        (200, decision | {"status": "released", "verdict": "better"}),
    ]

    def answer(method: str, path: str) -> Answer:
        return polled.pop(0) if path == "gates/1" else (200, {"me": ME, "gates": running}[path])

    with answering(answer) as url:
        assert asks("eval", "run", "--prompt", "greeting", "--version", "2", "--gate", url=url) == 0
    assert capsys.readouterr().out == "greeting version 2: better, released\n  It got better.\n"
