"""What every test may ask for: servers of its own, a running Lobby, a browser, and the cast."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import hypothesis
import pytest

from tests import browser, servers, template
from tests.live import LobbyFactory
from tests.mlflow_server import MlflowServer

if TYPE_CHECKING:
    from tests.cast import Cast

# Not in pytest's own directory: other runs on the machine clean up there, and a server minds.
SERVERS = Path(os.environ["DATA_DIR"]) / "servers"
ON_SQLITE = os.environ.get("LOBBY_TEST_BACKENDS") != "servers"
# No test is timed, properties included: the first one in a fresh clone spends seconds on a table of Unicode.
hypothesis.settings.register_profile(
    "untimed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow], print_blob=True
)
hypothesis.settings.load_profile("untimed")
IN_CI = os.environ.get("CI", "").lower() in {"1", "true", "yes"}


def missing(reason: str) -> NoReturn:
    """Skip the test for want of ``reason``; in CI nothing may be wanting, so there it fails."""
    if IN_CI:
        pytest.fail(f"CI must have everything: {reason}.", pytrace=False)
    pytest.skip(reason)


# Files by which a run would end late if they began late, the dearest first; a file of few tests is not among the quick.
DEAR = (
    "tests/reliability/test_routing.py",
    "tests/test_isolation.py",
    "tests/playground/test_chat_in_browser.py",
    "tests/playground/test_access_in_browser.py",
    "tests/portal/test_supervisor.py",
    "tests/reliability/test_outages.py",
    "tests/evaluation/test_gate_in_ci.py",
    "tests/portal/test_every_page.py",
    "tests/reliability/test_admission.py",
    "tests/security/test_api_fuzz.py",
    "tests/playground/test_opinions_in_browser.py",
    "tests/gateway/clients/test_conversations.py",
    "tests/reliability/test_evaluation.py",
    "tests/playground/test_several_processes.py",
    "tests/test_query_counts.py",
    "tests/portal/test_migrations.py",
    "tests/benchmarks/test_quick.py",
)
# Whoever asks for one of these waits for processes; a running Lobby begins with its template.
SLOW_TO_START = {"lobby_template", "chromium", "postgres_server", "redis_server", "session_mlflow"}


def in_order_of_cost(items: list[pytest.Item]) -> list[pytest.Item]:
    """``items`` file by file, the dearest file first: what begins last is quick, and no process waits for another."""
    files: dict[str, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.nodeid.partition("::")[0], []).append(item)

    def cost(file: str) -> tuple[int, int]:
        slow = sum(bool(SLOW_TO_START & set(getattr(each, "fixturenames", ()))) for each in files[file])
        return (DEAR.index(file) if file in DEAR else len(DEAR), -(30 * slow + len(files[file])))

    return [item for file in sorted(files, key=cost) for item in files[file]]


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """On the servers only what is marked ``backends`` runs: files without the word need not be read in."""
    is_other = not ON_SQLITE and collection_path.suffix == ".py" and "backends" not in collection_path.read_text()
    return is_other or None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):  # one of xdist's
        items[:] = in_order_of_cost(items)


@pytest.fixture
def free_port() -> int:
    """A TCP port of 127.0.0.1 that nothing listens on."""
    return servers.free_port()


@pytest.fixture(scope="session")
def session_postgres() -> Iterator[servers.PostgresServer]:
    try:
        server = servers.PostgresServer(SERVERS / "postgres")
    except servers.ProgramMissing as error:
        missing(str(error))
    server.start()
    yield server
    server.remove()


@pytest.fixture
def postgres_server(session_postgres: servers.PostgresServer) -> Iterator[servers.PostgresServer]:
    """A PostgreSQL that this test may stop or kill. Its cluster is shared by the run: make a database of your own."""
    session_postgres.thaw()
    session_postgres.start()
    yield session_postgres
    session_postgres.thaw()
    session_postgres.start()


@pytest.fixture(scope="session")
def session_redis() -> Iterator[servers.RedisServer]:
    try:
        server = servers.RedisServer(SERVERS / "redis")
    except servers.ProgramMissing as error:
        missing(str(error))
    server.start()
    yield server
    server.remove()


@pytest.fixture
def redis_server(session_redis: servers.RedisServer) -> Iterator[servers.RedisServer]:
    """An empty Redis that this test may stop, freeze or kill."""
    session_redis.thaw()
    session_redis.start()
    session_redis.flush()
    yield session_redis
    session_redis.thaw()


@pytest.fixture(scope="session")
def session_mlflow() -> Iterator[MlflowServer]:
    """A real tracking server, which a test may stop and start. Its runs are shared: look for your own."""
    server = MlflowServer(SERVERS / "mlflow")
    server.start()
    yield server
    server.remove()


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a Chromium to hand to Playwright as ``executable_path``."""
    try:
        return browser.program()
    except servers.ProgramMissing as error:
        missing(str(error))


@pytest.fixture(scope="session")
def lobby_template(request: pytest.FixtureRequest) -> Path:
    """A migrated SQLite database, of which the tests and each running Lobby get a copy.

    It is kept in pytest's cache under a name that the migrations give it, so that it is made once for all workers of a
    run, and again when a migration or a dependency changes.
    """
    cache = request.config.cache
    assert cache is not None
    return template.migrated_database(cache.mkdir("lobby"))


@pytest.fixture(scope="session")
def django_db_keepdb() -> bool:
    """On SQLite the tests' database is the template's copy: what is there already need not be made again."""
    return ON_SQLITE


@pytest.fixture(scope="session")
def django_db_modify_db_settings(
    django_db_modify_db_settings_parallel_suffix: None, request: pytest.FixtureRequest
) -> None:
    from django.db import connection

    if ON_SQLITE:
        shutil.copyfile(request.getfixturevalue("lobby_template"), connection.settings_dict["TEST"]["NAME"])


@pytest.fixture
def live_lobby(lobby_template: Path, tmp_path: Path) -> Iterator[LobbyFactory]:
    """Start real Lobbies: ``lobby = live_lobby(env={...})``. See ``tests.live.LiveLobby`` for what it can do."""
    factory = LobbyFactory(lobby_template, tmp_path)
    yield factory
    factory.stop()


@pytest.fixture
def cast(db: None) -> Cast:
    """Two tenants and their people, keys and projects. See ``tests/cast.py``."""
    from tests.cast import assemble  # Models: only once Django is set up.

    return assemble()
