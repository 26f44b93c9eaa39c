from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.fakes.process import FakeAnthropic, FakeOpenAI
from tests.gateway.world import World, serve_claude
from tests.live import LobbyFactory


@pytest.fixture(scope="session")
def world(lobby_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One Lobby on SQLite and memory for all tests that leave it as it was."""
    directory = tmp_path_factory.mktemp("world")
    factory = LobbyFactory(lobby_template, directory)
    with ExitStack() as stack:
        stack.callback(factory.stop)
        fake = stack.enter_context(FakeOpenAI(directory / "count.jsonl"))
        claude = stack.enter_context(FakeAnthropic(directory / "claude.jsonl"))
        lobby = factory(start=False, env={"LOBBY_PROVIDER_CLAUDE": "sk-ant-fake"})
        world = World(lobby, fake)
        world.claude = claude
        stack.callback(world.close)
        world.arrange()
        serve_claude(world, claude, "fake-claude", "LOBBY_PROVIDER_CLAUDE")
        lobby.start()
        yield world
