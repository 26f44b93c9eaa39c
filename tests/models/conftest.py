"""A registry to test with: two tenants and their people, and a raw server that answers whatever a test wants."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from pytest_django import Settings

from apps.models.models import Model, Provider
from apps.models.services import create_endpoint, create_model, create_provider
from apps.tenants.access import Actor
from apps.tenants.models import Membership, Project, Tenant, User
from apps.tenants.types import PlatformRole, Role


@dataclass
class People:
    """Two tenants: ``lending`` and ``claims``; ``outsider`` belongs to neither."""

    lending: Tenant
    claims: Tenant
    project: Project
    users: dict[str, User] = field(default_factory=dict)

    def __getitem__(self, name: str) -> User:
        return self.users[name]

    def actor(self, name: str) -> Actor:
        return Actor.of_user(self.users[name])


@pytest.fixture(autouse=True)
def no_neighbours(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """No Ollama or vLLM of this machine's, no key of the developer's."""
    settings.OLLAMA_BASE_URL = settings.VLLM_BASE_URL = ""
    for name in os.environ:
        if name.endswith("_API_KEY") or name.startswith("AWS_"):
            monkeypatch.delenv(name)


@pytest.fixture
def people(db: None) -> People:
    lending = Tenant.objects.create(slug="lending", name="Lending")
    claims = Tenant.objects.create(slug="claims", name="Claims")
    people = People(lending, claims, Project.objects.create(tenant=lending, slug="chat", name="Support chat"))
    for name in ("engineer", "admin", "developer", "viewer", "claimant", "outsider"):
        people.users[name] = User.objects.create_user(f"{name}@example.com", "correct horse battery")
    people["engineer"].platform_role = PlatformRole.SERVICE_ENGINEER
    people["engineer"].is_staff = True
    people["engineer"].save()
    for name, tenant, role in (
        ("admin", lending, Role.ADMIN),
        ("developer", lending, Role.DEVELOPER),
        ("viewer", lending, Role.VIEWER),
        ("claimant", claims, Role.ADMIN),
    ):
        Membership.objects.create(tenant=tenant, user=people[name], role=role)
    return people


@pytest.fixture
def operator() -> Actor:
    return Actor.system("test")


@pytest.fixture
def provider(db: None, operator: Actor) -> Provider:
    return create_provider(
        actor=operator,
        slug="upstream",
        name="Upstream",
        base_url="https://192.0.43.7/v1",
        credential_source="database",
        secret="sk-canary-1234567890",
    )


@pytest.fixture
def model(provider: Provider, operator: Actor) -> Model:
    """Approved, served by ``provider``, and open to nobody."""
    model = create_model(actor=operator, slug="acme/writer:8b", name="Acme Writer", lifecycle="approved")
    create_endpoint(actor=operator, model=model, provider=provider, upstream_model="writer-8b")
    return model


Answer = Callable[[BaseHTTPRequestHandler], None]


@dataclass
class RawServer:
    """``answer`` decides what each request gets; ``seen`` keeps their headers."""

    port: int
    answer: Answer
    seen: list[dict[str, str]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"


def send(handler: BaseHTTPRequestHandler, status: int, body: bytes = b"", **headers: str) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


@pytest.fixture
def raw_server() -> Iterator[RawServer]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.seen.append({"path": self.path, **{name.lower(): value for name, value in self.headers.items()}})
            server.answer(self)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.do_GET()

        def log_message(self, format: str, *args: object) -> None:
            """Silent: what came is in ``seen``."""

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.daemon_threads = True
    server = RawServer(httpd.server_address[1], lambda handler: send(handler, 404))
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    httpd.shutdown()
    thread.join()
    httpd.server_close()
