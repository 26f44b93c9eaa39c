"""The demonstration, made once for all tests of a run."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import template
from tests.live import LiveLobby


@pytest.fixture(scope="session")
def demonstration(lobby_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data directory that ``manage.py prepare`` made: to be copied."""
    mine = tmp_path_factory.getbasetemp()
    shared = mine.parent if mine.name.startswith("popen-") else mine  # by all of xdist's workers
    return template.demonstration(shared, lobby_template)


@pytest.fixture
def demo_lobby(demonstration: Path, tmp_path: Path) -> Iterator[LiveLobby]:
    """A Lobby of its own with the demonstration in it; nothing of it runs yet."""
    lobby = LiveLobby(shutil.copytree(demonstration, tmp_path / "demo"))
    yield lobby
    lobby.stop()
