from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.fakes.process import FakeOpenAI
from tests.gateway.routing.live import RoutedWorld
from tests.gateway.world import World
from tests.live import LobbyFactory

BREAKER_SECONDS = 2


@pytest.fixture(scope="session")
def routed(lobby_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RoutedWorld]:
    """One Lobby with breakers; each route that a test makes has endpoints of its own."""
    directory = tmp_path_factory.mktemp("routed")
    factory = LobbyFactory(lobby_template, directory)
    with ExitStack() as stack:
        stack.callback(factory.stop)
        fake = stack.enter_context(FakeOpenAI(directory / "count.jsonl"))
        env = {
            "BREAKER_FAILURES": "5",
            "BREAKER_SECONDS": str(BREAKER_SECONDS),
            "TRUSTED_PROXIES": "127.0.0.1",
            "COUNTRY_HEADER": "x-country",
        }
        world = World(factory(env, start=False), fake)
        stack.callback(world.close)
        world.start()
        yield RoutedWorld(world)
