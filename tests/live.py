"""A real Lobby for tests: web and drainer as processes of their own, which a test may drain, kill and start again."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.servers import PostgresServer, die_with_parent, free_port

ROOT = Path(__file__).resolve().parent.parent
READY_WITHIN = 60.0
STOPS_WITHIN = 30.0
COMMAND_WITHIN = 300.0


class LiveLobby:
    """One running Lobby with its own data directory and port.

    ``env`` adds to or overrides its environment. Output of each process is in ``data_dir/NAME.out``.
    """

    def __init__(self, data_dir: Path, env: Mapping[str, str] | None = None, *, port: int | None = None) -> None:
        self.data_dir = data_dir
        self.port = port or free_port()
        self.env = {
            **{name: value for name, value in os.environ.items() if name not in {"DATABASE_URL", "REDIS_URL"}},
            "DJANGO_SETTINGS_MODULE": "portal.settings",
            "LOBBY_ENV_FILE": os.devnull,
            "DATA_DIR": str(data_dir),
            "HOST": "127.0.0.1",
            "PORT": str(self.port),
            "PYTHONUNBUFFERED": "1",
            **(env or {}),
        }
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def base_url(self) -> str:
        """What an OpenAI client takes as its base URL."""
        return f"{self.url}/v1"

    # Commands

    def run(self, *arguments: str, check: bool = True, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run this Python with ``arguments`` in Lobby's environment."""
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=self.env,
            input=stdin if stdin is not None else "",
            capture_output=True,
            text=True,
            timeout=COMMAND_WITHIN,
            check=False,
        )
        if check and done.returncode != 0:
            raise AssertionError(f"{' '.join(arguments)} exited with {done.returncode}:\n{done.stdout}\n{done.stderr}")
        return done

    def manage(self, *arguments: str) -> str:
        """Run a management command; its standard output."""
        return self.run("manage.py", *arguments).stdout

    def python(self, source: str) -> str:
        """Run Python source with Django set up, in this Lobby's environment; its standard output."""
        return self.run("-c", f"import gc, django; gc.disable(); django.setup()\n{source}").stdout

    def totals(self, *arguments: str) -> Any:
        """What ``manage.py ledger totals --json`` says."""
        return json.loads(self.manage("ledger", "totals", "--json", *arguments))

    def create_key(self, project: str, *arguments: str) -> str:
        return self.manage("apikey", "create", "--project", project, *arguments).strip()

    # Processes

    def _spawn(self, name: str, command: Sequence[str]) -> None:
        if self.running(name):
            raise AssertionError(f"{name} already runs.")
        with (self.data_dir / f"{name}.out").open("ab") as output:
            self.processes[name] = subprocess.Popen(
                [sys.executable, *command],
                cwd=ROOT,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=die_with_parent(),
            )

    def output(self, name: str) -> str:
        return (self.data_dir / f"{name}.out").read_text(errors="replace")

    def running(self, name: str) -> bool:
        process = self.processes.get(name)
        return process is not None and process.poll() is None

    def start_web(self, *, wait: bool = True) -> None:
        self._spawn("web", ["-m", "portal.web"])
        if wait:
            self.wait_ready()

    def start_drainer(self) -> None:
        self._spawn("drainer", ["manage.py", "ledger", "drain", "--follow"])

    def start_worker(self) -> None:
        self._spawn("worker", ["-m", "celery", "-A", "portal", "worker", "--beat", "--concurrency", "1"])

    def start(self) -> None:
        self.start_drainer()
        self.start_web()

    def wait_ready(self, path: str = "/readyz") -> None:
        deadline = time.monotonic() + READY_WITHIN
        seen = "nothing"
        while time.monotonic() < deadline:
            if not self.running("web"):
                raise AssertionError(f"The web process ended:\n{self.output('web')[-4000:]}")
            try:
                with urllib.request.urlopen(self.url + path, timeout=5) as response:
                    if response.status == 200:
                        return
            except urllib.error.HTTPError as error:
                with error:
                    seen = f"{error.code} {error.read(500)!r}"
            except OSError as error:
                seen = repr(error)
            time.sleep(0.03)
        raise AssertionError(f"{path} is not ready after {READY_WITHIN:.0f} s ({seen}):\n{self.output('web')[-4000:]}")

    def signal(self, name: str, number: signal.Signals) -> None:
        self.processes[name].send_signal(number)

    def wait(self, name: str, timeout: float = STOPS_WITHIN) -> int:
        """Wait until the process has ended; its exit status."""
        process = self.processes[name]
        status = process.wait(timeout)
        del self.processes[name]
        return status

    def kill(self, name: str = "web") -> None:
        """SIGKILL the process and all that it started."""
        os.killpg(self.processes[name].pid, signal.SIGKILL)
        self.wait(name)

    def stop_process(self, name: str) -> int:
        """SIGTERM, and wait; SIGKILL when it has not ended in time. Its exit status."""
        self.signal(name, signal.SIGTERM)
        return self._ended(name)

    def _ended(self, name: str) -> int:
        try:
            status = self.wait(name)
            if "Timeout (0:" in (said := self.output(name)):  # faulthandler's words
                raise AssertionError(f"{name} had to be ended by force:\n{said[-4000:]}")
            return status
        except subprocess.TimeoutExpired:
            self.kill(name)
            raise AssertionError(f"{name} did not stop within {STOPS_WITHIN:.0f} s of SIGTERM.") from None

    def stop(self) -> None:
        """Stop whatever runs: the drainer last, so that it can take the web's last lines."""
        running = [name for name in ("worker", "web") if self.running(name)]
        for name in running:
            self.signal(name, signal.SIGTERM)
        for name in running:
            self._ended(name)
        if self.running("drainer"):
            self.stop_process("drainer")


class LobbyFactory:
    """Starts Lobbies and stops them when the test ends."""

    def __init__(self, template: Path, directory: Path) -> None:
        self._template = template
        self._directory = directory
        self._lobbies: list[LiveLobby] = []
        self._databases: list[tuple[PostgresServer, str]] = []

    def __call__(
        self,
        env: Mapping[str, str] | None = None,
        *,
        postgres: PostgresServer | None = None,
        postgres_template: str = "",
        redis_url: str = "",
        start: bool = True,
    ) -> LiveLobby:
        """A Lobby on SQLite and memory, or on ``postgres`` and ``redis_url``; migrated, and running if ``start``.

        ``postgres_template`` names a migrated database to copy, which is quicker than to migrate an empty one.
        """
        number = len(self._lobbies)
        data_dir = self._directory / f"lobby-{number}"
        data_dir.mkdir(parents=True)
        backends = {"REDIS_URL": redis_url} if redis_url else {}
        if postgres is not None:
            name = f"lobby_{os.getpid()}_{number}_{time.monotonic_ns()}"
            backends["DATABASE_URL"] = postgres.create_database(name, postgres_template or "template1")
            self._databases.append((postgres, name))
        else:
            shutil.copyfile(self._template, data_dir / "lobby.db")
        lobby = LiveLobby(data_dir, {**backends, **(env or {})})
        self._lobbies.append(lobby)
        if postgres is not None and not postgres_template:
            lobby.manage("migrate", "--verbosity=0")
        if start:
            lobby.start()
        return lobby

    def stop(self) -> None:
        for lobby in self._lobbies:
            lobby.stop()
        for server, name in self._databases:
            server.thaw()
            server.start()
            server.drop_database(name)
