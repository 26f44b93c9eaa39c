"""Upstreams that answer nonsense: the caller gets an error of ours or the bytes as they are; the books are closed."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator

import pytest

from tests.gateway.test_streams import settlement
from tests.gateway.world import World, chat

STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
ERROR = b"HTTP/1.1 500 No\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n"
PLAIN = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n"
ANSWERS = {
    "usage of another type": PLAIN + b'{"usage": [1, 2]}',
    "usage of text": PLAIN + b'{"usage": {"prompt_tokens": "7"}}',
    "usage beyond all bounds": PLAIN + b'{"usage": {"prompt_tokens": 99999999999999999999999, "completion_tokens": 1}}',
    "usage below zero": PLAIN + b'{"usage": {"prompt_tokens": -5, "completion_tokens": -7}}',
    "usage of a fraction": PLAIN + b'{"usage": {"prompt_tokens": 1e400}}',
    "no object": PLAIN + b"[]",
    "nothing": PLAIN,
    "deep": PLAIN + b"[" * 100_000,
    "broken text": PLAIN + b'{"id": "\xff\xfe"}',
    "NUL bytes": PLAIN + b"\0" * 1000,
    "no HTTP": b"SSH-2.0-OpenSSH_9.2\r\n",
    "an unknown status": b"HTTP/1.1 799 Odd\r\nconnection: close\r\n\r\n{}",
    "a redirect": b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 5\r\n\r\n{}",
    "a length below zero": b"HTTP/1.1 200 OK\r\ncontent-length: -2\r\n\r\n{}",
    "a chunk of no size": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}",
    "a head without end": b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 20_000,
    "an error that is no object": ERROR + b'{"error": [[[]]]}',
    "an error for ever": b"HTTP/1.1 503 No\r\nretry-after: inf\r\nconnection: close\r\n\r\n{}",
    "an error with a long code": b'HTTP/1.1 500 No\r\nconnection: close\r\n\r\n{"error": {"code": "'
    + b"c" * 9999
    + b'"}}',
    "a stream of usage of another type": STREAM + b'data: {"usage": "many"}\n\ndata: [DONE]\n\n',
    "a stream of usage beyond all bounds": STREAM + b'data: {"usage": {"prompt_tokens": 9e99}}\n\ndata: [DONE]\n\n',
    "a stream of no events": STREAM + b"hello\n\nthere\n\n",
    "a stream of an empty error": STREAM + b'data: {"error": {}}\n\n',
    "a stream of an error of another type": STREAM + b'data: {"error": [1]}\n\n',
    "a stream of choices of another type": STREAM + b'data: {"choices": {"0": 1}}\n\ndata: [DONE]\n\n',
    "a stream of broken text": STREAM + b'data: {"choices": [{"delta": {"content": "\xff"}}]}\n\ndata: [DONE]\n\n',
    "a stream of much before its answer": STREAM
    + b'data: {"x": "%s"}\n\n' % (b"y" * 10_000) * 200
    + b'data: {"choices": [{"delta": {"content": "Hi"}}], "usage": {"prompt_tokens": 1}}\n\ndata: [DONE]\n\n',
    "a stream of nothing": STREAM,
    "a stream without ends of events": STREAM + b"data: " + b"x" * 9_000_000,
}


@pytest.fixture(scope="module")
def says() -> Iterator[dict[str, bytes | str]]:
    """What the upstream is to say next, and its ``url``."""
    told: dict[str, bytes | str] = {}

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            length = 0
            while (line := self.rfile.readline()).strip():
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            self.rfile.read(length)
            answer = told["answer"]
            assert isinstance(answer, bytes)
            try:
                self.wfile.write(answer)
            except OSError:
                return  # the gateway had enough

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        told["url"] = f"http://127.0.0.1:{server.server_address[1]}/v1"
        yield told
        server.shutdown()


@pytest.fixture(scope="module")
def model(world: World, says: dict[str, bytes | str]) -> str:
    return world.model(base_url=str(says["url"]), first_byte_timeout_ms=3000, idle_timeout_ms=3000)


@pytest.mark.parametrize("what", ANSWERS)
@pytest.mark.parametrize("stream", [False, True])
def test_nonsense_is_an_error_or_passes_and_is_settled_once(
    world: World, model: str, says: dict[str, bytes | str], what: str, stream: bool
) -> None:
    says["answer"] = ANSWERS[what]
    response = world.post(chat("Hello", stream=stream) | {"model": model})
    assert response.status_code in (200, 502, 503, 504), response.text[:500]
    assert "Traceback" not in response.text
    assert "internal_error" not in response.text, "an exception that nobody foresaw"
    if response.status_code != 200:
        error = json.loads(response.content)["error"]
        assert error["message"]
        assert len(response.content) < 3_000
        assert set(error) == {"message", "type", "param", "code"}
    line = settlement(world, response.headers["x-lobby-request-id"])
    assert 0 <= line.get("input_tokens", 0) < 10**12
    assert 0 <= line.get("output_tokens", 0) < 10**12
    # The gateway is none the worse for it.
    assert world.post(chat("Hello")).status_code == 200
