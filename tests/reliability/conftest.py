"""Worlds on both profiles: SQLite with counters in memory, and PostgreSQL with Redis."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

import pytest
from django.db import connection

from tests import template
from tests.fakes.process import FakeOpenAI
from tests.gateway.world import World
from tests.live import LobbyFactory
from tests.servers import PostgresServer, RedisServer

Profile = Literal["embedded", "servers"]
PROFILES: tuple[Profile, ...] = ("embedded", "servers")


@pytest.fixture
def database_environment(transactional_db: None) -> dict[str, str]:
    """The environment of a process that works on this test's own database."""
    settings = connection.settings_dict
    if connection.vendor == "sqlite":
        url = f"sqlite:///{settings['NAME']}"
    else:
        url = f"postgres://{settings['USER']}@{settings['HOST']}:{settings['PORT']}/{settings['NAME']}"
    return {**os.environ, "DJANGO_SETTINGS_MODULE": "portal.settings", "DATABASE_URL": url}


class WorldFactory:
    """Makes Lobbies in front of fake upstreams of their own, and ends them all."""

    def __init__(self, request: pytest.FixtureRequest, directory: Path) -> None:
        self._request = request
        self._directory = directory
        self._stack = ExitStack()
        self._lobbies = LobbyFactory(request.getfixturevalue("lobby_template"), directory)
        self._stack.callback(self._lobbies.stop)
        self._count = 0
        self.redis: RedisServer | None = None
        """The last world's own Redis."""

    def __call__(self, profile: Profile, env: Mapping[str, str] | None = None, *, start: bool = True) -> World:
        self._count += 1
        directory = self._directory / f"world-{self._count}"
        directory.mkdir()
        fake = self._stack.enter_context(FakeOpenAI(directory / "count.jsonl"))
        if profile == "servers":
            postgres: PostgresServer = self._request.getfixturevalue("session_postgres")
            self.redis = RedisServer(directory / "redis")
            self._stack.callback(self.redis.remove)
            self.redis.start()
            template = self._request.getfixturevalue("postgres_template")
            lobby = self._lobbies(
                env, postgres=postgres, postgres_template=template, redis_url=self.redis.url, start=False
            )
        else:
            lobby = self._lobbies(env, start=False)
        world = World(lobby, fake)
        self._stack.callback(world.close)
        # Before the servers go: what runs would complain of it.
        self._stack.callback(lobby.stop)
        world.arrange()
        if start:
            lobby.start()
        return world

    def close(self) -> None:
        self._stack.close()


@pytest.fixture(scope="session")
def postgres_template(session_postgres: PostgresServer, request: pytest.FixtureRequest) -> str:
    """A migrated PostgreSQL database, made once, of which each world gets a copy."""
    name = f"template_{os.getpid()}"
    assert request.config.cache is not None
    template.migrated_postgres(request.config.cache.mkdir("lobby"), session_postgres, name)
    return name


@pytest.fixture
def new_world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[WorldFactory]:
    """Make worlds of this test's own, which it may break: ``world = new_world("servers", {"DRAIN_SECONDS": "1"})``."""
    factory = WorldFactory(request, tmp_path)
    yield factory
    factory.close()


@pytest.fixture(scope="session")
def shared_worlds(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, postgres_template: str
) -> Iterator[Callable[[Profile], World]]:
    factory = WorldFactory(request, tmp_path_factory.mktemp("shared"))
    made: dict[Profile, World] = {}

    def get(profile: Profile) -> World:
        if profile not in made:
            made[profile] = factory(profile)
        return made[profile]

    yield get
    factory.close()


@pytest.fixture(params=PROFILES)
def profile(request: pytest.FixtureRequest) -> Profile:
    found: Profile = request.param
    return found


@pytest.fixture
def world(profile: Profile, shared_worlds: Callable[[Profile], World]) -> World:
    """One Lobby of each profile for all tests that leave it as it was."""
    return shared_worlds(profile)
