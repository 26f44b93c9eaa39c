"""A running Lobby in front of a fake upstream, and a shell in its environment to arrange it."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import httpx
import openai

from tests.fakes.process import FakeOpenAI
from tests.live import ROOT, LiveLobby
from tests.servers import die_with_parent

_LOOP = """
import json, sys
import django; django.setup()
from django.db import connection, transaction
for line in sys.stdin:
    scope = {}
    with transaction.atomic():  # what belongs together becomes known to the gateway together
        exec(json.loads(line), scope)
    connection.close()
    print(json.dumps(scope.get("result"), default=str), flush=True)
"""
_PRELUDE = """
from apps.tenants.access import Actor
from apps.tenants.models import *
from apps.tenants import services
from apps.tenants.money import to_picousd
from apps.models.models import *
from apps.models import services as registry
from apps.models.prices import Figures
actor = Actor.system("test")
"""


class Shell:
    """A Python with Django set up, kept running: starting one for each arrangement would take a second."""

    def __init__(self, lobby: LiveLobby) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _LOOP],
            cwd=ROOT,
            env=lobby.env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=die_with_parent(),
        )

    def run(self, source: str, **values: Any) -> Any:
        """Run ``source`` with the services at hand; what it left in ``result``, through JSON."""
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        given = "".join(f"{name} = {value!r}\n" for name, value in values.items())
        process.stdin.write(json.dumps(_PRELUDE + given + source) + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
        if not line:
            raise AssertionError(f"The shell ended while it ran:\n{source}")
        return json.loads(line)

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(20)


class World:
    """``lobby`` serves the models of ``fake``. Each ``project()`` is a new one, so that tests do not meet."""

    kind = "openai_compatible"  # of the fake's provider
    credential: Mapping[str, Any] = {}  # and of others of its kind

    def __init__(self, lobby: LiveLobby, fake: FakeOpenAI, *, credential: str = "sk-fake") -> None:
        self.lobby = lobby
        self.fake = fake
        lobby.env |= self.environment(credential)
        # Tests share the fake's endpoints, and what one makes fail is not the next one's: breakers are for their own.
        lobby.env.setdefault("BREAKER_FAILURES", "0")
        self.shell = Shell(lobby)
        self._numbers = itertools.count(1)
        self.key = ""
        self.claude = fake  # the fake Anthropic, where there is one beside

    def start(self) -> None:
        """Arrange the Lobby, which was made but not started, then start it."""
        self.arrange()
        self.lobby.start()

    def environment(self, credential: str) -> dict[str, str]:
        """What makes the Lobby know the fake."""
        return {"OPENAI_API_KEY": credential, "OPENAI_BASE_URL": self.fake.url}

    def arrange(self) -> None:
        """The fake's models, and the tenant ``acme`` with a project; ``key`` is a key of it."""
        self.shell.run(
            """
from io import StringIO
from django.core.management import call_command
call_command("providers", "discover", stdout=StringIO())
services.create_tenant(actor=actor, slug='acme', name='Acme')
"""
        )
        self.key = self.project()

    def close(self) -> None:
        self.shell.close()

    def project(
        self,
        *,
        limits: list[dict[str, Any]] | None = None,
        budget: Decimal | str | None = None,
        tenant: str = "acme",
        **key_facts: Any,
    ) -> str:
        """A new project of ``tenant`` with these limits (``metric``, ``limit``, ``window_seconds``) and a monthly
        budget in USD; the plaintext of a key for it, which is in force when this returns.
        """
        key: str = self.shell.run(
            """
tenant = Tenant.objects.unscoped("test").get(slug=tenant_slug)
project = services.create_project(actor=actor, tenant=tenant, slug=slug, name=slug)
for limit in limits:
    services.set_rate_limit(actor=actor, tenant=tenant, project=project, **limit)
if budget is not None:
    services.set_budget(actor=actor, tenant=tenant, project=project, amount_picousd=to_picousd(budget), period="month")
result = services.create_api_key(actor=actor, project=project, name="test", **key_facts).plaintext
""",
            tenant_slug=tenant,
            slug=f"app-{next(self._numbers)}",
            limits=limits or [],
            budget=None if budget is None else str(budget),
            key_facts=key_facts,
        )
        if self.lobby.running("web"):
            self.wait_known(key)
        return key

    def wait_known(self, key: str) -> None:
        """Until the gateway knows ``key``, which it must within a second or so."""
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            if httpx.get(f"{self.lobby.base_url}/models", headers=bearer(key)).status_code != 401:
                return
            time.sleep(0.02)
        raise AssertionError("The gateway does not know the new key.")

    @staticmethod
    def eventually(holds: Callable[[], bool], *, within: float) -> None:
        """Until ``holds``, which must be within so many seconds."""
        deadline = time.monotonic() + within
        while not holds():
            assert time.monotonic() < deadline, f"It does not hold after {within} s."
            time.sleep(0.02)

    def openai(self, key: str = "", **options: Any) -> openai.OpenAI:
        # No connection outlives its answer: nobody closes these clients, and no socket is left to the collector.
        headers = {"connection": "close"}
        return openai.OpenAI(
            base_url=self.lobby.base_url,
            api_key=key or self.key,
            max_retries=0,
            default_headers=headers,
            **options,
        )

    def post(self, body: Any, *, key: str = "", path: str = "/chat/completions", **options: Any) -> httpx.Response:
        """A plain POST of ``body`` (JSON, or bytes as they are)."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"content-type": "application/json", **bearer(key or self.key), **options.pop("headers", {})}
        return httpx.post(self.lobby.base_url + path, content=content, headers=headers, timeout=30, **options)

    def model(self, *, base_url: str = "", fallback: bool = False, upstream: str = "fake-chat", **endpoint: Any) -> str:
        """A new model, served by the fake upstream or by ``base_url``, with these settings of its endpoint; with
        ``fallback`` the fake upstream comes second. Known to the gateway when this returns.
        """
        slug = f"model-{next(self._numbers)}"
        self.shell.run(
            """
model = registry.create_model(
    actor=actor, slug=slug, name=slug, lifecycle="approved", kind="chat", is_open=True, max_output_tokens=4096
)
fake = Provider.objects.exclude(kind="sandbox").earliest("pk")
provider = fake
if base_url:
    provider = registry.create_provider(actor=actor, slug=slug, name=slug, kind=kind, base_url=base_url, **credential)
registry.create_endpoint(actor=actor, model=model, provider=provider, upstream_model=upstream, **endpoint)
if fallback:
    registry.create_endpoint(actor=actor, model=model, provider=fake, upstream_model="fake-chat", priority=9)
registry.add_price(actor=actor, model=model, figures=Figures(input_picousd=150_000, output_picousd=600_000))
""",
            slug=slug,
            kind=self.kind,
            credential=dict(self.credential),
            base_url=base_url,
            fallback=fallback,
            upstream=upstream,
            endpoint=endpoint,
        )
        self.eventually(
            lambda: httpx.get(f"{self.lobby.base_url}/models/{slug}", headers=bearer(self.key)).status_code == 200,
            within=10,
        )
        return slug

    def all_lines(self) -> list[dict[str, Any]]:
        """What is in the spool. Segments are deleted when drained, but not while they are being written to: the last
        line may not be whole yet."""
        found: list[dict[str, Any]] = []
        for segment in sorted((self.lobby.data_dir / "spool").glob("*.jsonl")):
            found += [json.loads(line) for line in segment.read_bytes().rpartition(b"\n")[0].splitlines()]
        return found

    def spool_lines(self, request_id: str) -> list[dict[str, Any]]:
        """The lines of one request."""
        return [line for line in self.all_lines() if line["request_id"] == request_id]


class AnthropicWorld(World):
    """The same in front of the fake Anthropic, whose model is called ``fake-chat`` here, too."""

    kind = "anthropic"
    credential: Mapping[str, Any] = {"credential_source": "environment", "credential_env": "LOBBY_PROVIDER_FAKE"}

    def environment(self, credential: str) -> dict[str, str]:
        return {"LOBBY_PROVIDER_FAKE": credential}

    def arrange(self) -> None:
        super().arrange()
        serve_claude(self, self.fake, "fake-chat", "LOBBY_PROVIDER_FAKE")


def serve_claude(world: World, fake: FakeOpenAI, slug: str, credential_env: str) -> None:
    """Serve a model of the fake Anthropic as ``slug``."""
    world.shell.run(
        """
provider = registry.create_provider(
    actor=actor, slug="claude", name="Claude", kind="anthropic", base_url=base_url,
    credential_source="environment", credential_env=credential_env,
)
model = registry.create_model(
    actor=actor, slug=slug, name=slug, lifecycle="approved", kind="chat", is_open=True, max_output_tokens=64_000
)
registry.create_endpoint(actor=actor, model=model, provider=provider, upstream_model="fake-claude")
registry.add_price(actor=actor, model=model, figures=Figures(input_picousd=3_000_000, output_picousd=15_000_000))
""",
        base_url=fake.url,
        slug=slug,
        credential_env=credential_env,
    )


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def chat(text: str = "Hello", **fields: Any) -> dict[str, Any]:
    """The body of a chat request; ``text`` may hold a directive for the fake upstream."""
    return {"model": "fake-chat", "messages": [{"role": "user", "content": text}], **fields}
