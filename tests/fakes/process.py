"""Starts a fake upstream in a process of its own, for tests and benchmarks."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from tests.fakes.count import Attempt, read_attempts

ROOT: Final = Path(__file__).resolve().parents[2]
_START_TIMEOUT_S: Final = 20.0
_STOP_TIMEOUT_S: Final = 10.0


class FakeOpenAI:
    """A running fake OpenAI server. A context manager; ends with its creator even where that is killed. A subclass runs
    another API's.

    with FakeOpenAI(tmp_path / "count.jsonl") as fake:
        client = openai.OpenAI(base_url=fake.url, api_key="sk-fake")
        ...
        assert [attempt.outcome for attempt in fake.attempts()] == ["completed"]
    """

    module = "tests.fakes.openai_server"

    def __init__(self, count_file: Path | None = None, *arguments: str, port: int = 0, cpu: int | None = None) -> None:
        self._count_file = count_file
        self._arguments = arguments
        self._cpu = cpu
        self._process: subprocess.Popen[str] | None = None
        self.port = port

    @property
    def base(self) -> str:
        """The server's root, without a slash."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """What OPENAI_BASE_URL is to be."""
        return f"{self.base}/v1"

    @property
    def count_file(self) -> Path:
        if self._count_file is None:
            raise ValueError("this fake was started without a count file")
        return self._count_file

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> Self:
        """Starts the server, on the port it had before if this is not the first time."""
        command = [sys.executable, "-m", self.module, "--with-parent", "--port", str(self.port)]
        if self._count_file is not None:
            command += ["--count-file", str(self._count_file)]
        self._process = subprocess.Popen(
            command + list(self._arguments),
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        if self._cpu is not None:
            os.sched_setaffinity(self._process.pid, {self._cpu})
        stdout = self._process.stdout
        assert stdout is not None
        ready, _, _ = select.select([stdout], [], [], _START_TIMEOUT_S)
        line = stdout.readline() if ready else ""
        if not line.strip().isdigit():
            self.kill()
            raise RuntimeError(f"the fake upstream did not start within {_START_TIMEOUT_S} s")
        self.port = int(line)
        return self

    def stop(self) -> None:
        """Ends the server with SIGTERM: running attempts are counted as stopped, the count is synced."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
        self._reap()

    def kill(self) -> None:
        """Ends the server with SIGKILL."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
        self._reap()

    def attempts(self) -> list[Attempt]:
        """Every attempt so far, from the count file."""
        if self.running:
            self.count()
        return read_attempts(self.count_file)

    def count(self) -> dict[str, Any]:
        """The running totals; syncs the count file."""
        totals: dict[str, Any] = self._call("/__count")
        return totals

    def requests(self) -> list[dict[str, Any]]:
        """The last requests as they came: path, headers, body."""
        rows: list[dict[str, Any]] = self._call("/__requests")
        return rows

    def control(self, mode: str) -> None:
        """Sets the server's mode: ``normal``, ``stall``, ``all 503``, or a directive put on top of every request's
        own.
        """
        self._call("/__control", {"mode": mode})

    def wait_idle(self, timeout: float = 10.0) -> dict[str, Any]:
        """Waits until no attempt is running (a disconnect is noticed a moment after it happened) and returns the
        totals.
        """
        limit = time.monotonic() + timeout
        while True:
            totals = self.count()
            if totals["in_flight"] == 0:
                return totals
            if time.monotonic() > limit:
                raise TimeoutError(f"{totals['in_flight']} attempts are still running at the fake upstream")
            time.sleep(0.01)

    def _call(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(self.base + path, data), timeout=10) as response:
            return json.load(response)

    def _reap(self) -> None:
        process = self._process
        if process is None:
            return
        try:
            process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()


class FakeAnthropic(FakeOpenAI):
    """A running fake of Anthropic's API."""

    module = "tests.fakes.anthropic_server"

    @property
    def url(self) -> str:
        """What ANTHROPIC_BASE_URL is to be."""
        return self.base


class FakeBedrock(FakeOpenAI):
    """A running fake of Amazon Bedrock's runtime."""

    module = "tests.fakes.bedrock_server"

    @property
    def url(self) -> str:
        """What ``endpoint_url`` is to be."""
        return self.base


class FakeSageMaker(FakeBedrock):
    """A running fake of Amazon SageMaker's runtime."""

    module = "tests.fakes.sagemaker_server"


class FakeAzure(FakeOpenAI):
    """A running fake of Azure OpenAI."""

    module = "tests.fakes.azure_server"

    @property
    def url(self) -> str:
        """The resource's endpoint."""
        return self.base
