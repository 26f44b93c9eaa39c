"""``make run``'s supervisor: one command starts everything, and its end leaves nothing behind."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.servers import die_with_parent, free_port

ROOT = Path(__file__).resolve().parent.parent.parent
WITHIN = 90.0


def wait_for(condition: Callable[[], object], what: str, within: float = WITHIN) -> None:
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come within {within:.0f} s")
        time.sleep(0.05)


class Supervised:
    """A supervisor under test, and what it printed."""

    def __init__(self, data_dir: Path, **environment: str) -> None:
        self.data_dir = data_dir
        self.port = free_port()
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "portal.supervisor"],
            cwd=ROOT,
            env={
                **os.environ,
                "LOBBY_ENV_FILE": os.devnull,
                "DATA_DIR": str(data_dir),
                "PORT": str(self.port),
                "DEMO": "false",
                # Somebody else's tracking server: MLflow's own takes half a gigabyte, and has its own test.
                "MLFLOW_TRACKING_URI": "http://127.0.0.1:9",
                **environment,
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            preexec_fn=die_with_parent(),
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    def wait_output(self, text: str) -> None:
        wait_for(lambda: text in self.output or self.process.poll() is not None, text)
        assert text in self.output, self.output

    def ready(self) -> Supervised:
        self.wait_output("Ctrl-C stops everything.")
        return self

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def child(self, word: str) -> psutil.Process | None:
        """The process of the supervisor's whose command line has ``word``."""
        for process in psutil.Process(self.process.pid).children():
            try:
                if word in process.cmdline():
                    return process
            except psutil.Error:
                continue
        return None

    def get(self, path: str) -> int:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=30) as answer:
            return int(answer.status)

    def wait_end(self) -> int:
        status = self.process.wait(WITHIN)
        self._reader.join(5)
        return status


Start = Callable[..., Supervised]


def manage(data_dir: Path, *arguments: str) -> None:
    environment = {**os.environ, "LOBBY_ENV_FILE": os.devnull, "DATA_DIR": str(data_dir), "DEMO": "false"}
    command = [sys.executable, "manage.py", *arguments]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)


@pytest.fixture(scope="session")
def prepared_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory as the first start leaves it, made once."""
    data_dir = tmp_path_factory.mktemp("prepared") / "data"
    manage(data_dir, "prepare")
    return data_dir


@pytest.fixture
def data(prepared_data: Path, tmp_path: Path) -> Path:
    """A copy of it for one test."""
    return shutil.copytree(prepared_data, tmp_path / "data")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a supervisor on the test's data directory, which is empty unless the test takes ``data``."""
    started: list[Supervised] = []

    def launch(data_dir: Path | None = None, **environment: str) -> Supervised:
        started.append(Supervised(data_dir or tmp_path / "data", **environment))
        return started[-1]

    yield launch
    for supervised in started:
        if supervised.process.poll() is None:
            supervised.process.kill()
        supervised.process.wait()
        assert supervised.process.stdout is not None
        supervised._reader.join(15)
        supervised.process.stdout.close()


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [one for one in processes if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_starts_serves_and_stops_everything(start: Start, data: Path, number: signal.Signals) -> None:
    lobby = start(data).ready()
    assert f"http://localhost:{lobby.port}" in lobby.output
    assert lobby.get("/readyz") == 200
    wait_for(
        lambda: lobby.child("portal.web") and lobby.child("drain") and lobby.child("celery"), "web, drainer, worker"
    )
    processes = lobby.children()
    lobby.process.send_signal(number)
    assert lobby.wait_end() == 0, lobby.output
    assert alive(processes) == []
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", lobby.port)) != 0


def test_a_second_start_makes_nothing_anew(start: Start) -> None:
    first = start().ready()
    assert "Making the database." in first.output
    first.process.send_signal(signal.SIGTERM)
    assert first.wait_end() == 0
    second = start().ready()
    assert "Making the database." not in second.output
    assert second.get("/readyz") == 200


def test_a_database_behind_the_code_is_brought_up_before_the_web_starts(start: Start, data: Path) -> None:
    manage(data, "migrate", "gateway", "zero", "--verbosity=0")
    lobby = start(data).ready()
    assert re.search(r"Updating the database: \d+ migrations?\.", lobby.output)
    assert lobby.get("/readyz") == 200


def test_a_killed_child_is_started_again_and_no_connection_is_refused_meanwhile(start: Start, data: Path) -> None:
    lobby = start(data).ready()
    web = lobby.child("portal.web")
    assert web is not None
    web.kill()
    # The supervisor holds the port: this waits until the next web process takes it.
    assert lobby.get("/healthz") == 200
    assert "web ended (killed by SIGKILL). It is started again in 0.5 s." in lobby.output
    again = lobby.child("portal.web")
    assert again is not None
    assert again.pid != web.pid


def test_nothing_is_left_when_the_supervisor_itself_is_killed(start: Start, data: Path) -> None:
    lobby = start(data).ready()
    wait_for(lambda: lobby.child("celery"), "the worker")
    processes = lobby.children()
    assert len(processes) >= 4
    lobby.process.kill()
    lobby.process.wait()
    wait_for(lambda: not alive(processes), "the end of what was left", within=30)


def test_a_second_signal_does_not_wait(start: Start, data: Path) -> None:
    lobby = start(data, WEB_GRACE_SECONDS="60").ready()
    wait_for(lambda: lobby.child("celery"), "the worker")
    processes = lobby.children()
    # Frozen children stop for nothing less than SIGKILL.
    for process in processes:
        process.suspend()
    lobby.process.send_signal(signal.SIGINT)
    lobby.wait_output("Ctrl-C again kills what is left.")
    lobby.process.send_signal(signal.SIGINT)
    lobby.wait_end()
    wait_for(lambda: not alive(processes), "the end of frozen children", within=30)


def test_a_taken_port_is_one_clear_line(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        lobby = start(PORT=str(port))
        assert lobby.wait_end() != 0
    assert lobby.lines == [
        f"lobby: port {port} is taken. Stop what listens there, or choose another port: PORT={port + 1} make run"
    ]


def test_a_second_lobby_on_the_same_data_is_one_clear_line(start: Start, data: Path) -> None:
    first = start(data).ready()
    second = start(data)
    assert second.wait_end() != 0
    assert second.lines == [
        f"lobby: another Lobby (process {first.process.pid}) uses DATA_DIR={first.data_dir}. "
        "Stop it, or set another DATA_DIR."
    ]


@pytest.mark.parametrize(
    ("environment", "line"),
    [
        ({"PORT": "http"}, "lobby: PORT='http' is not a whole number from 1 to 65535."),
        ({"LOBBY_ENV": "staging"}, "lobby: LOBBY_ENV='staging' is neither 'embedded' nor 'production'."),
        (
            {"HOST": "192.0.2.1"},
            "lobby: HOST=192.0.2.1 PORT=8123 cannot be listened on: Cannot assign requested address.",
        ),
        (
            {"DATABASE_URL": "postgres://lobby@127.0.0.1:1/lobby"},
            "CommandError: The database named by DATABASE_URL does not answer",
        ),
    ],
)
def test_a_wrong_setting_is_a_clear_line(start: Start, environment: dict[str, str], line: str) -> None:
    lobby = start(**{"PORT": "8123" if "HOST" in environment else str(free_port()), **environment})
    assert lobby.wait_end() != 0
    assert line in lobby.output
    assert "Traceback" not in lobby.output


def test_make_hands_on_what_was_said_and_nothing_else() -> None:
    """A variable that make made up, empty, would win over the one in .env."""
    names = ("HOST", "PORT", "DATA_DIR", "PYTHON")
    environment = {name: value for name, value in os.environ.items() if name not in names}
    environment["HOST"] = "127.0.0.1"
    show = ["make", "--no-print-directory", "--silent", "--eval=show: ; @env", "show", "PORT=9000"]
    told = subprocess.run(show, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout
    seen = dict(
        line.split("=", 1) for line in told.splitlines() if line.startswith(tuple(f"{name}=" for name in names))
    )
    assert seen == {"HOST": "127.0.0.1", "PORT": "9000"}


def test_a_data_directory_that_cannot_be_made_is_one_clear_line(start: Start, tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("not a directory")
    lobby = start(blocker / "data")
    assert lobby.wait_end() != 0
    assert len(lobby.lines) == 1
    assert lobby.lines[0].startswith(f"lobby: DATA_DIR={blocker / 'data'} cannot be used")


def test_mlflow_comes_after_the_web_and_goes_with_the_rest(start: Start, data: Path) -> None:
    lobby = start(data, MLFLOW_TRACKING_URI="").ready()
    wait_for(lambda: lobby.child("mlflow"), "MLflow")
    mlflow = lobby.child("mlflow")
    assert mlflow is not None
    port = int(mlflow.cmdline()[mlflow.cmdline().index("--port") + 1])

    def answers() -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    wait_for(answers, "MLflow's answer", within=300)
    web = lobby.child("portal.web")
    assert web is not None
    assert web.environ()["MLFLOW_TRACKING_URI"] == f"http://127.0.0.1:{port}"
    processes = lobby.children()
    lobby.process.send_signal(signal.SIGINT)
    assert lobby.wait_end() == 0
    wait_for(lambda: not alive(processes), "the end of MLflow's processes", within=10)
    assert (data / "mlflow" / "mlflow.db").exists()
