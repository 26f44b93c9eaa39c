from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.fakes.process import FakeOpenAI
from tests.gateway.world import World
from tests.live import LobbyFactory

PASSWORD = "correct-horse-battery"


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
            """
acme = Tenant.objects.unscoped("test").get(slug="acme")
for name, role in (("dev", "developer"), ("look", "viewer")):
    user = services.create_user(actor=actor, email=f"{name}@bank.test", name=name.title(), password=password)
    services.add_member(actor=actor, tenant=acme, user=user, role=role)
""",
            password=PASSWORD,
        )
        yield world
