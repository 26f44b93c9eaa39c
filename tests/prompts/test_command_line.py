"""``bin/lobby`` against a running Lobby: a prompt goes from a file into the catalog, is called, and comes back."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.gateway.world import World
from tests.live import ROOT, LiveLobby, LobbyFactory

CAST = """
import json
from apps.models.sandbox_models import register
from apps.tenants.access import Actor
from tests.cast import assemble
register(actor=Actor.system("test"))
print(json.dumps(assemble().keys))
"""
FILE = """---
id: greeting
name: Greeting
parameters:
  temperature: 0.5
model: sandbox-chat
---
--- system ---
You greet {{name}} politely.
--- user ---
Hello!
"""


# What the server completes and keeps in its own order and numbers.
LOOSE = """---
id: loose
variables:
  name:
    description: Who is greeted
  place: {title: Where, examples: [2024-02-20], type: string}
parameters:
  top_p:
  temperature: 1
tools:
  - function:
      parameters: {type: object, properties: {b: {type: string}, a: {type: string}}}
      description: Finds it
      name: find
output_schema: {type: object, properties: {since: {const: 2024-02-20}}}
---
--- user ---
{{ name }} in {{place}}: {{other}}
"""


@pytest.fixture
def lobby(live_lobby: LobbyFactory) -> LiveLobby:
    return live_lobby(start=False)


def test_from_a_file_to_an_answer_and_back(lobby: LiveLobby, tmp_path: Path) -> None:
    keys = json.loads(lobby.python(CAST).strip().splitlines()[-1])
    lobby.start()
    file = tmp_path / "greeting.prompt"
    file.write_text(FILE)

    def run(*arguments: str, key: str = "management", code: int = 0, url: str = lobby.url) -> Any:
        env = {"PATH": os.environ["PATH"], "LOBBY_URL": url, "LOBBY_API_KEY": keys[key]}
        done = subprocess.run(
            [str(ROOT / "bin" / "lobby"), "prompts", *arguments, "--json"], env=env, capture_output=True, text=True
        )
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout)

    file.write_text(FILE.replace("0.5", "5"))
    assert run("create", str(file), code=2)["error"]["code"] == "content_invalid"
    file.write_text(FILE)
    assert run("create", str(file))[0]["version"] == 1, "the file that was refused is mended: no second name is needed"
    assert run("diff", str(file))[0]["diff"] == ""
    assert run("push", str(file))[0]["created"] is False
    file.write_text(FILE.replace("politely", "warmly"))
    assert "+You greet {{name}} warmly." in run("diff", str(file), code=1)[0]["diff"]
    assert run("push", str(file), "-m", "Warmer")[0] | {"hash": ""} == {
        "prompt": "greeting",
        "version": 2,
        "hash": "",
        "created": True,
        "file": str(file),
    }
    pulled = run("pull", "-d", str(tmp_path / "out"))[0]
    assert (pulled["version"], pulled["changed"]) == (2, True)
    assert run("pull", "-d", str(tmp_path / "out"))[0]["changed"] is False
    assert run("push", str(tmp_path / "out" / "greeting.prompt"))[0]["created"] is False
    assert run("pull", "greeting", "--version", "1", "-d", str(tmp_path / "old"))[0]["version"] == 1

    # A file that leaves things to the server differs no more than a push says.
    loose = tmp_path / "loose.prompt"
    loose.write_text(LOOSE)
    assert run("create", str(loose))[0]["created"] is True
    assert run("push", str(loose))[0]["created"] is False
    assert run("diff", str(loose))[0]["diff"] == ""
    loose.write_text(LOOSE.replace("    description: Who is greeted", "    type: string"))
    assert "-    description: Who is greeted" in run("diff", str(loose), code=1)[0]["diff"]
    loose.write_text(LOOSE.replace("    description: Who is greeted", "    title: Who"))
    assert run("push", str(loose))[0]["created"] is True
    loose.write_text(LOOSE.replace("  name:\n    description: Who is greeted\n", ""))
    assert "-    title: Who" in run("diff", str(loose), code=1)[0]["diff"]
    assert run("pull", "loose", "-d", str(tmp_path / "out"))[0]["version"] == 2
    assert run("push", str(tmp_path / "out" / "loose.prompt"))[0]["created"] is False

    # A prompt without a version stands in nobody's way, nor does a file in that of those before it.
    empty = tmp_path / "empty.prompt"
    empty.write_text(FILE.replace("greeting", "empty").replace("0.5", "5"))
    assert run("create", str(empty), code=2)["error"]["code"] == "content_invalid"
    assert [each["prompt"] for each in run("pull", "-d", str(tmp_path / "out"))] == ["greeting", "loose"]
    assert run("pull", "empty", "-d", str(tmp_path / "out"), code=2)["error"]["code"] == "no_version"
    halted = run("push", str(file), str(empty), code=2)
    assert [each["prompt"] for each in halted["done"]] == ["greeting"]
    assert halted["error"]["code"] == "content_invalid"

    # Errors are told, and a key that may not write does not.
    assert run("push", str(file), key="reading", code=2)["error"]["code"] == "missing_scope"
    assert run("push", str(file), key="revoked", code=2)["error"]["code"]
    file.write_text(FILE.replace("0.5", "5"))
    assert run("push", str(file), code=2)["error"]["code"] == "content_invalid"
    assert run("pull", "nosuch", code=2)["error"]["code"] == "not_found"
    file.write_text(FILE.replace("parameters:", "variables:\n  name: {type: strin}\nparameters:"))
    told = run("push", str(file), code=2)["error"]["message"]
    assert told.startswith(f"{file}: 'type' is one of string,")
    assert told.endswith("(variables/name)"), "where in the file"
    assert "lobby prompts push" in run("create", str(file), code=2)["error"]["message"]
    file.write_text("---\nid: [bad\n---\n--- user ---\nHello!\n")
    assert "the settings are no YAML" in run("push", str(file), code=2)["error"]["message"]

    # So is an address that is none, where nobody listens, or of something below Lobby.
    assert run("pull", code=2, url="localhost:8000")["error"]["code"] == "bad_url"
    assert run("pull", code=2, url="http://127.0.0.1:1")["error"]["code"] == "unreachable"
    assert "without a path" in run("pull", code=2, url=f"{lobby.url}/v1")["error"]["message"]

    body = {"prompt": {"id": "greeting", "version": 2, "variables": {"name": "Ada"}}}
    headers = {"Authorization": f"Bearer {keys['inference']}"}

    def answered() -> httpx.Response:
        return httpx.post(f"{lobby.base_url}/chat/completions", json=body, headers=headers, timeout=30)

    World.eventually(lambda: answered().status_code == 200, within=10)
    assert answered().headers["x-lobby-prompt-version"] == "2"
