from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.fakes.process import FakeOpenAI
from tests.gateway.world import World
from tests.live import LobbyFactory


@pytest.fixture(scope="session")
def world(lobby_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One Lobby on SQLite and memory for all tests that leave it as it was."""
    directory = tmp_path_factory.mktemp("world")
    factory = LobbyFactory(lobby_template, directory)
    with ExitStack() as stack:
        stack.callback(factory.stop)
        fake = stack.enter_context(FakeOpenAI(directory / "count.jsonl"))
        lobby = factory(start=False)
        world = World(lobby, fake)
        stack.callback(world.close)
        world.start()
        yield world
