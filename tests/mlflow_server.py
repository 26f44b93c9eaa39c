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
        """What ``mlflow server`` runs in the end: its own process would import everything once more, for seven seconds
        of a processor's time."""
        listen = ("--host", "127.0.0.1", "--port", str(self.port))
        return [sys.executable, "-m", "uvicorn", *listen, "--workers", "1", "mlflow.server.fastapi_app:app"]

    @property
    def environment(self) -> dict[str, str]:
        """As ``mlflow server`` sets it for ``--backend-store-uri`` and ``--artifacts-destination``."""
        store = f"sqlite:///{self.directory / 'mlflow.db'}"
        return {
            **os.environ,
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "_MLFLOW_SERVER_FILE_STORE": store,
            "_MLFLOW_SERVER_REGISTRY_STORE": store,
            "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
            "_MLFLOW_SERVER_ARTIFACT_DESTINATION": str(self.directory / "artifacts"),
            "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
        }

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
