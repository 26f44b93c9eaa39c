from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.fakes.process import FakeOpenAI
from tests.gateway.world import World
from tests.live import LobbyFactory

PASSWORD = "correct-horse-battery"
CAST = """
acme = Tenant.objects.unscoped("test").get(slug="acme")
other = services.create_tenant(actor=actor, slug="other", name="Other")
services.create_project(actor=actor, tenant=other, slug="secret", name="Secret")
for name, role, tenant in (
    ("dev", "developer", acme), ("dev2", "developer", acme), ("look", "viewer", acme), ("theirs", "admin", other),
    ("stranger", "", None), ("staff", "", None),
):
    user = services.create_user(
        actor=actor, email=f"{name}@bank.test", name=name.title(), password=password,
        platform_role="service_admin" if name == "staff" else "",
    )
    if tenant is not None:
        services.add_member(actor=actor, tenant=tenant, user=user, role=role)
"""


@pytest.fixture(scope="session")
def world(lobby_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A running Lobby with somebody who may call models, and somebody who only looks."""
    directory = tmp_path_factory.mktemp("playground")
    factory = LobbyFactory(lobby_template, directory)
    with ExitStack() as stack:
        stack.callback(factory.stop)
        fake = stack.enter_context(FakeOpenAI(directory / "count.jsonl"))
        world = World(factory(start=False), fake)
        stack.callback(world.close)
        world.start()
        world.shell.run(
            CAST,
            password=PASSWORD,
        )
        yield world
