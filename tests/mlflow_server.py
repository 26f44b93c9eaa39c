"""A real MLflow tracking server on loopback, for the tests that need one: its start takes many seconds."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import urllib.request

from tests.servers import Server


class MlflowServer(Server):
    """Its store is a SQLite file in ``directory``; a restart keeps it."""

    name = "MLflow"
    starts_within = 300.0  # it imports a great deal, and its database is migrated step by step

    def create(self) -> None:
        (self.directory / "artifacts").mkdir()

    def command(self) -> list[str]:
        return [
            *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)),
            *("--workers", "1", "--backend-store-uri", f"sqlite:///{self.directory / 'mlflow.db'}"),
            *("--artifacts-destination", str(self.directory / "artifacts")),
        ]

    @property
    def environment(self) -> dict[str, str]:
        quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        return {**os.environ, **quiet}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _end(self, number: signal.Signals) -> None:
        """It serves from processes of its own, which have to end with it."""
        group = self.process.pid if self.process is not None else 0
        super()._end(number)
        if group:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False
