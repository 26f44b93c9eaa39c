from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.cast import Cast
from tests.evaluation.watching import Watch, watched
from tests.evaluation.world import RunsWorld
from tests.fakes.process import FakeOpenAI
from tests.gateway.world import World
from tests.live import LobbyFactory


@pytest.fixture
def watch(cast: Cast) -> Watch:
    return watched(cast)


@pytest.fixture(scope="session")
def runs_world(lobby_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunsWorld]:
    """One Lobby on SQLite and memory for all tests of runs. No worker: a test is one where it needs one."""
    directory = tmp_path_factory.mktemp("runs")
    factory = LobbyFactory(lobby_template, directory)
    with ExitStack() as stack:
        stack.callback(factory.stop)
        fake = stack.enter_context(FakeOpenAI(directory / "count.jsonl"))
        world = World(factory(start=False), fake)
        stack.callback(world.close)
        world.start()
        yield RunsWorld(world)
