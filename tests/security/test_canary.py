"""No secret where it does not belong: canaries go through good and faulty requests, and are looked for everywhere."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from tests.fakes.process import FakeOpenAI
from tests.gateway.world import World, bearer, chat
from tests.live import LobbyFactory
from tests.reliability.books import wait_drained
from tests.reliability.traffic import Call, crowd, mixed

FROM_ENVIRONMENT = "sk-canary-4b1d7c0e9f2a8653-environment"  # not-a-secret
STORED = "sk-canary-77ab01c2d3e4f596-stored"
PROMPT = "canary-prompt-51f09e7ad2c4"


def forms(secret: str) -> set[bytes]:
    """The secret, and what it may be written as."""
    raw = secret.encode()
    return {raw, base64.b64encode(raw).rstrip(b"="), urllib.parse.quote(secret, safe="").encode(), raw.hex().encode()}


@contextmanager
def tells_the_credential() -> Iterator[str]:
    """An upstream that repeats the credential it was shown in each of its errors; the status is that of the path."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            text = f"Bad key {self.headers['authorization']}, that is {self.headers['authorization'].split()[1]}."
            error = {"error": {"message": text, "type": text, "code": text, "param": text}}
            status = int(self.path.split("/")[1])
            streams = status == 200 and asked.get("stream")
            body = json.dumps(error).encode()
            if streams:
                body = b'data: {"choices":[{"index":0,"delta":{"content":"w0 "}}]}\n\ndata: ' + body + b"\n\n"
            self.send_response(status)
            self.send_header("content-type", "text/event-stream" if streams else "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def world(lobby_template: Path, tmp_path: Path) -> Iterator[World]:
    factory = LobbyFactory(lobby_template, tmp_path)
    with FakeOpenAI(tmp_path / "count.jsonl", "--require-key", FROM_ENVIRONMENT) as fake:
        world = World(factory({"LOG_LEVEL": "DEBUG"}, start=False), fake, credential=FROM_ENVIRONMENT)
        try:
            world.start()
            yield world
        finally:
            world.close()
            factory.stop()


def models_of(world: World, base: str) -> list[str]:
    """A model for each status that the upstream at ``base`` may answer with."""
    slugs: list[str] = world.shell.run(
        """
result = []
for status in (200, 400, 401, 403, 404, 422, 429, 500, 503):
    slug = f"told-{status}"
    model = registry.create_model(
        actor=actor, slug=slug, name=slug, lifecycle="approved", kind="chat", is_open=True, max_output_tokens=64
    )
    provider = registry.create_provider(
        actor=actor, slug=slug, name=slug, base_url=f"{base}/{status}/v1", credential_source="database", secret=secret
    )
    registry.create_endpoint(actor=actor, model=model, provider=provider, upstream_model="told")
    result.append(slug)
""",
        base=base,
        secret=STORED,
    )
    world.eventually(
        lambda: httpx.get(f"{world.lobby.base_url}/models/{slugs[-1]}", headers=bearer(world.key)).status_code == 200,
        within=10,
    )
    return slugs


def test_canaries_are_nowhere(world: World) -> None:
    model = world.model()
    keys = [world.project(budget="10"), world.project()]
    secrets = {"provider's credential": FROM_ENVIRONMENT, "stored credential": STORED, "prompt": PROMPT}
    secrets |= {f"API key {number}": key.rpartition("_")[2] for number, key in enumerate(keys)}
    said: list[bytes] = []

    seen = asyncio.run(crowd(world.lobby.port, mixed(keys, model, 400, seed=5), callers=16))
    assert sum(one.status == 200 for one in seen) > 100
    with tells_the_credential() as base:
        told = [
            Call(keys[0], chat(PROMPT, stream=stream) | {"model": slug})
            for slug in models_of(world, base)
            for stream in (False, True)
            if stream or slug != "told-200"  # what is no error passes as it is
        ]
        seen += asyncio.run(crowd(world.lobby.port, told, callers=4))
    said += [one.body + str(one.headers).encode() for one in seen]

    # Keys where they do not belong, and requests that are no requests.
    for key in keys:
        url = world.lobby.base_url
        for answer in (
            httpx.get(f"{url}/models", params={"api_key": key}),
            httpx.get(f"{url}/models/{key}", headers=bearer(key)),
            httpx.get(f"{url}/nowhere/{key}", headers=bearer(key)),
            httpx.get(f"{url}/models", headers={"authorization": key}),
            httpx.get(f"{url}/models", headers={"authorization": f"Basic {key}"}),
            httpx.get(f"{url}/models", headers=bearer(key + "x")),
            httpx.post(f"{url}/chat/completions", headers=bearer(key), content=b'{"model": "' + PROMPT.encode()),
            httpx.post(f"{url}/chat/completions", headers=bearer(key), json=chat(PROMPT, temperature=key)),
            httpx.post(f"{url}/chat/completions", headers=bearer(key), json=chat("x") | {"messages": PROMPT}),
            httpx.get(f"{world.lobby.url}/nowhere/", params={"key": key}, headers=bearer(key)),
            httpx.get(f"{world.lobby.url}/api/projects/", headers=bearer(key)),
        ):
            # What the caller put in the URL or as a value may be named to that caller; it is not to be kept.
            if answer.request.method == "GET" and "nowhere" not in str(answer.request.url):
                said.append(answer.content.replace(urllib.parse.quote(key).encode(), b""))
    with socket.create_connection(("127.0.0.1", world.lobby.port)) as broken:
        head = f"POST /v1/chat/completions HTTP/1.1\r\nauthorization: Bearer {keys[0]}\r\n: : :\r\n\r\n"
        broken.sendall(head.encode())
        said.append(broken.recv(65536))
    said.append(httpx.get(world.lobby.url + "/metrics").content)

    found = {f"answer {number}": body for number, body in enumerate(said)}
    found |= files(world)  # with lines that are not drained yet
    wait_drained(world)
    world.lobby.stop()
    found |= files(world)
    leaks = [
        f"{name} in {place}"
        for place, content in found.items()
        for name, secret in secrets.items()
        if any(form in content for form in forms(secret))
    ]
    assert leaks == []
    assert not [place for place, content in found.items() if b"Traceback" in content]
    # The search would find them: what is to be there, is.
    assert any(keys[0].split("_")[1].encode() in content for content in found.values())


def files(world: World) -> dict[str, bytes]:
    """Every file of the data directory: the database and its log, the spool, what the processes put out."""
    directory = world.lobby.data_dir
    return {
        str(path.relative_to(directory)): path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file()
    }
