"""What is measured: Lobby and LiteLLM's proxy, each started, asked until it answers, and stopped."""

from __future__ import annotations

import abc
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from tests.benchmarks import procfs
from tests.fakes.process import FakeOpenAI

ROOT: Final = Path(__file__).resolve().parents[2]
_CPUS: Final = sorted(os.sched_getaffinity(0))
PROXY_CPU: Final = _CPUS[0]
LOAD_CPU: Final = _CPUS[-1]
MODEL: Final = "fake-chat"
NEVER_IN_WEB: Final = ("mlflow", "pyarrow", "pandas", "sklearn", "scipy", "matplotlib", "boto3", "botocore")
_START_TIMEOUT_S: Final = 180.0
_STOP_TIMEOUT_S: Final = 20.0
_POLL_S: Final = 0.02


class StartError(RuntimeError):
    """A subject could not be brought up; the message says what to look at."""


class Subject(abc.ABC):
    """A server under test. A context manager: started on entry, ended on exit."""

    name: str
    key: str = "sk-bench"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = 0
        self.model = MODEL
        self.start_seconds = 0.0
        self.idle_mb = 0.0
        self.version = ""
        self._processes: list[subprocess.Popen[bytes]] = []

    @property
    def pid(self) -> int:
        """The server's own process."""
        return self._processes[0].pid

    @abc.abstractmethod
    def prepare(self) -> None:
        """What is done once, and does not count as start time."""

    @abc.abstractmethod
    def command(self) -> tuple[Sequence[str], Mapping[str, str]]:
        """The server's command and environment."""

    def after_start(self) -> None:  # noqa: B027 - most have nothing beside the server
        """Starts what runs beside the server."""

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.prepare()
        self.port = free_port()
        command, environment = self.command()
        started = time.monotonic()
        self.spawn(command, environment)
        try:
            self._wait_until_it_answers(started)
            self.after_start()
            time.sleep(2)
            self.idle_mb = procfs.rss_mb(self.pid)
            for number, process in enumerate(self._processes):
                if process.poll() is not None:
                    raise StartError(f"a process of {self.name} ended; see {self.folder}/{number}.log")
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def spawn(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Starts a process of this subject on its core; its output goes to a log in the folder."""
        with (self.folder / f"{len(self._processes)}.log").open("wb") as log:
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        os.sched_setaffinity(process.pid, {PROXY_CPU})
        self._processes.append(process)

    def cpu_seconds_beside(self) -> float:
        """Processor time used on the server's core by what runs beside it."""
        return sum(
            procfs.cpu_seconds(process.pid)
            for process in self._processes[1:]
            if PROXY_CPU in os.sched_getaffinity(process.pid)
        )

    def stop(self) -> None:
        """Ends every process, the last one started first."""
        for process in reversed(self._processes):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            try:
                process.wait(_STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self._processes = []

    def _wait_until_it_answers(self, started: float) -> None:
        """Until GET /v1/models gives the model to our key: from then on it can be used."""
        while True:
            if self._processes[0].poll() is not None:
                raise StartError(f"{self.name} ended during its start; see {self.folder}/0.log")
            names = _models(self.port, self.key)
            if names:
                self.start_seconds = round(time.monotonic() - started, 2)
                if self.model not in names:
                    raise StartError(f"{self.name} does not offer {self.model}, only {names}")
                return
            if time.monotonic() - started > _START_TIMEOUT_S:
                raise StartError(f"{self.name} did not answer within {_START_TIMEOUT_S} s; see {self.folder}/0.log")
            time.sleep(_POLL_S)


class LiteLLM(Subject):
    """LiteLLM's proxy from PyPI in an environment of its own: one worker, a master key, one model, nothing else on."""

    name = "LiteLLM"
    key = "sk-litellm-master"

    def __init__(self, folder: Path, upstream: FakeOpenAI, *, requirement: str = "litellm[proxy]") -> None:
        super().__init__(folder)
        self._upstream = upstream
        self._requirement = requirement
        self._python = folder.parent / "litellm-venv" / "bin" / "python"

    def prepare(self) -> None:
        if not (self._python.parent / "litellm").exists():
            environment = self._python.parents[1]
            uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
            if uv is None:
                raise StartError("uv is needed to install LiteLLM for the comparison")
            subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, environment], check=True)
            subprocess.run([uv, "pip", "install", "--quiet", "--python", self._python, self._requirement], check=True)
        show = "import importlib.metadata as m; print(m.version('litellm'))"
        self.version = subprocess.check_output([self._python, "-c", show], text=True).strip()
        configuration = {
            "model_list": [
                {
                    "model_name": MODEL,
                    "litellm_params": {
                        "model": f"openai/{MODEL}",
                        "api_base": self._upstream.url,
                        "api_key": "sk-upstream",
                    },
                }
            ],
            "general_settings": {"master_key": self.key},
            "litellm_settings": {"num_retries": 0, "request_timeout": 120, "telemetry": False},
            "router_settings": {"num_retries": 0},
        }
        # JSON is YAML.
        (self.folder / "config.yaml").write_text(json.dumps(configuration))

    def command(self) -> tuple[Sequence[str], Mapping[str, str]]:
        command = [
            str(self._python.parent / "litellm"),
            *("--config", str(self.folder / "config.yaml")),
            *("--host", "127.0.0.1"),
            *("--port", str(self.port)),
            *("--num_workers", "1"),
        ]
        environment = _environment() | {
            # What its own documentation advises for production, and nothing that reaches for the network.
            "LITELLM_MODE": "PRODUCTION",
            "LITELLM_LOG": "ERROR",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "DISABLE_ADMIN_UI": "True",
            "HOME": str(self.folder),
        }
        return command, environment


class Lobby(Subject):
    """Lobby with one worker and everything on: key, limits, budget, ledger, the drainer beside it on the same core."""

    name = "Lobby"
    project = "bench/load"

    def __init__(
        self,
        folder: Path,
        upstream: FakeOpenAI,
        *,
        drainer_cpu: int = PROXY_CPU,
        extra: Mapping[str, str] | None = None,
        database: Path | None = None,
    ) -> None:
        """``database`` is a migrated one to begin with, where the time of making it matters."""
        super().__init__(folder)
        self._database = database
        self._upstream = upstream
        self._drainer_cpu = drainer_cpu
        self._extra = extra or {}

    @property
    def environment(self) -> dict[str, str]:
        """What Lobby's processes get to know."""
        return _environment() | {
            "DJANGO_SETTINGS_MODULE": "portal.settings",
            "LOBBY_ENV_FILE": os.devnull,
            "PYTHONPATH": str(ROOT),
            "DATA_DIR": str(self.folder / "data"),
            "OPENAI_API_KEY": "sk-upstream",
            "OPENAI_BASE_URL": self._upstream.url,
            **self._extra,
        }

    def prepare(self) -> None:
        shutil.rmtree(self.folder / "data", ignore_errors=True)
        (self.folder / "data").mkdir(parents=True)
        if self._database is not None:
            shutil.copyfile(self._database, self.folder / "data" / "lobby.db")
        commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
        self.version = commit.stdout.strip() or "unknown"
        self.manage("migrate", "--verbosity", "0")
        self.manage("providers", "discover")
        setup = Path(__file__).with_name("lobby_setup.py")
        self.key = self.python(str(setup), self.project, self.model).splitlines()[-1]

    def command(self) -> tuple[Sequence[str], Mapping[str, str]]:
        return [sys.executable, "-m", "portal.web"], self.environment | {"HOST": "127.0.0.1", "PORT": str(self.port)}

    def after_start(self) -> None:
        self.spawn([sys.executable, "manage.py", "ledger", "drain", "--follow"], self.environment)
        os.sched_setaffinity(self._processes[-1].pid, {self._drainer_cpu})

    def manage(self, *arguments: str) -> str:
        """Runs a management command and returns its output. Raises StartError with its last words."""
        return self.python("manage.py", *arguments)

    def python(self, *arguments: str) -> str:
        """Runs a Python program in Lobby's environment; returns its output. Raises StartError with its last words."""
        done = subprocess.run(
            [sys.executable, *arguments], cwd=ROOT, env=self.environment, capture_output=True, text=True
        )
        if done.returncode != 0:
            raise StartError(f"{' '.join(arguments)} failed: {done.stderr.strip()[-2000:]}")
        return done.stdout

    def ledger_totals(self) -> dict[str, int]:
        """Attempts and tokens in the ledger, after the last of the spool has been drained."""
        drainer = self._processes.pop()
        drainer.send_signal(signal.SIGTERM)
        drainer.wait(_STOP_TIMEOUT_S)
        self.manage("ledger", "drain", "--once")
        total = json.loads(self.manage("ledger", "totals", "--json"))["total"]
        return {
            "attempts": total["requests"],
            "prompt_tokens": total["input_tokens"],
            "completion_tokens": total["output_tokens"],
        }

    def heavy_imports(self) -> list[str]:
        """What the running web process has of the packages that it must never load."""
        listed = "import sys, portal.asgi, portal.urls; print(*{name.partition('.')[0] for name in sys.modules})"
        imported = set(self.python("-c", listed).split())
        return sorted(imported.intersection(NEVER_IN_WEB) | set(procfs.mapped(self.pid, NEVER_IN_WEB)))


def free_port() -> int:
    """A port on loopback that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _environment() -> dict[str, str]:
    """The little of our own environment that a server needs; no stray credential, no proxy."""
    kept = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV")
    return {name: os.environ[name] for name in kept if name in os.environ}


def _models(port: int, key: str) -> list[str]:
    """The models that a server offers; none while it does not answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/v1/models", headers={"authorization": f"Bearer {key}"})
        response = connection.getresponse()
        data: dict[str, Any] = json.loads(response.read()) if response.status == 200 else {}
    except (OSError, http.client.HTTPException, ValueError):
        return []
    finally:
        connection.close()
    return [row["id"] for row in data.get("data", [])]
