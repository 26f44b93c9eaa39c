from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser import ARGUMENTS
from tests.fakes.process import FakeOpenAI
from tests.gateway.world import World
from tests.live import LobbyFactory
from tests.playground.browser import person
from tests.playground.cast import CAST, PASSWORD


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


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield started
        started.close()


@pytest.fixture
def complaints() -> list[str]:
    return []


@pytest.fixture
def page(browser: Browser, world: World, complaints: list[str]) -> Iterator[Page]:
    with person(browser, world, complaints) as page:
        yield page


@pytest.fixture(scope="module")
def second_model(world: World) -> str:
    """A model that costs something."""
    return world.model()
