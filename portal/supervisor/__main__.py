"""``python -m portal.supervisor``: what ``make run`` starts."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import fcntl
import importlib.util
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from portal.preparation import is_prepared
from portal.supervisor.children import Child, Program, describe
from portal.supervisor.console import Console
from portal.supervisor.watchdog import Watchdog
from portal.web import fail, listen

ANSWERS_WITHIN = 60.0
FACTS_WITHIN = 3.0
GRACE = 10.0
PR_SET_CHILD_SUBREAPER = 36


class Supervisor:
    """Runs until a signal asks it to stop. ``settings`` are Lobby's, read without setting Django up."""

    def __init__(self, settings: Any, listener: socket.socket, console: Console, watchdog: Watchdog) -> None:
        self.settings = settings
        self.listener = listener
        self.console = console
        self.watchdog = watchdog
        self.base_dir: Path = settings.BASE_DIR
        self.data_dir: Path = settings.DATA_DIR
        self.environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "portal.settings",
            "PYTHONUNBUFFERED": "1",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }
        self.children: dict[str, Child] = {}
        self.facts: dict[str, Any] = {}
        """What ``manage.py prepare`` told so far."""
        self.stop_asked = asyncio.Event()
        self.force_asked = asyncio.Event()

    # Programs

    def child(self, name: str, *command: str, **options: Any) -> Child:
        environment = {**self.environment, **options.pop("environment", {})}
        program = Program(name, [sys.executable, *command], environment, **options)
        child = Child(program, self.console, self.watchdog)
        self.children[name] = child
        child.start()
        return child

    def start_web(self) -> Child:
        descriptor = self.listener.fileno()
        return self.child(
            "web", "-m", "portal.web", environment={"LOBBY_LISTEN_FD": str(descriptor)}, pass_fds=(descriptor,)
        )

    def start_drainer(self) -> None:
        self.child("drainer", "manage.py", "ledger", "drain", "--follow")

    def start_worker(self) -> None:
        options = ["--beat", "--concurrency=2", "--loglevel=WARNING", "--without-gossip", "--without-mingle"]
        self.child("worker", "-m", "celery", "-A", "portal", "--quiet", "worker", *options)

    def start_mlflow(self) -> None:
        """The embedded tracking server, unless one is configured or MLflow is not installed."""
        port = self.mlflow_port
        if port is None:
            return
        home = self.data_dir / "mlflow"
        (home / "artifacts").mkdir(parents=True, exist_ok=True)
        self.child(
            "mlflow",
            *("-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
            *("--backend-store-uri", f"sqlite:///{home / 'mlflow.db'}"),
            *("--artifacts-destination", str(home / "artifacts")),
            log=self.data_dir / "logs" / "mlflow.log",
            # Its start takes many seconds of two cores, which the first visitor should not feel.
            niceness=10,
            # Seven processes of 150 MB for jobs that Celery does here.
            environment={"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        )

    def choose_mlflow(self) -> None:
        """Settle where MLflow will be before the others start, so that they know; itself it starts last."""
        self.mlflow_port: int | None = None
        if self.settings.MLFLOW_TRACKING_URI or importlib.util.find_spec("mlflow") is None:
            return
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.mlflow_port = probe.getsockname()[1]
        self.environment["MLFLOW_TRACKING_URI"] = f"http://127.0.0.1:{self.mlflow_port}"

    # The start

    async def prepare(self) -> None:
        """Run ``manage.py prepare``, telling its steps and noting its facts. A failure ends the start."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "manage.py", "prepare"),
            env=self.environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
            limit=2**20,
        )
        self.watchdog.add(process.pid)
        assert process.stdout is not None
        assert process.stderr is not None
        errors = asyncio.get_running_loop().create_task(process.stderr.read())
        try:
            async for line in process.stdout:
                try:
                    event = json.loads(line)
                except ValueError:
                    self.console.say(line.decode("utf-8", "backslashreplace").rstrip())
                    continue
                if "step" in event:
                    self.console.say(event["step"])
                self.facts |= event.get("facts", {})
            status = await process.wait()
            text = (await errors).decode("utf-8", "backslashreplace").strip()
        except asyncio.CancelledError:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
            raise
        finally:
            self.watchdog.remove(process.pid)
        if status != 0:
            raise StartFailed(f"{text}\nThe database could not be prepared ({describe(status)})." if text else "")
        if text:
            self.console.write(text + "\n")

    async def web_answers(self, web: Child) -> None:
        """Wait for the first answer. The listener is open already: one request waits in it until the web takes it."""

        async def ask() -> None:
            host, port = self.listener.getsockname()[:2]
            here = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
            while True:
                try:
                    reader, writer = await asyncio.open_connection(here, port)
                    writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                    answer = await reader.readline()
                    writer.close()
                    if b" 200 " in answer:
                        return
                except OSError:
                    pass
                await asyncio.sleep(0.1)

        await self.first_of(ask(), web.ended.wait())
        if web.ended.is_set():
            raise StartFailed("The web process ended before it answered: see above.")

    async def first_of(self, *coroutines: Coroutine[Any, Any, Any]) -> None:
        tasks = [asyncio.get_running_loop().create_task(coroutine) for coroutine in coroutines]
        try:
            done, _ = await asyncio.wait(tasks, timeout=ANSWERS_WITHIN, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                raise StartFailed(f"The web process did not answer within {ANSWERS_WITHIN:.0f} s.")
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def start(self, began: float) -> None:
        self.choose_mlflow()
        prepared = is_prepared(self.base_dir, self.data_dir, self.settings.DATABASE_URL, demo=self.settings.DEMO)
        preparation = asyncio.get_running_loop().create_task(self.prepare())
        try:
            if not prepared:
                # The database has to be there before anything reads it.
                await preparation
            web = self.start_web()
            await self.web_answers(web)
            self.start_drainer()
            # An upstream that hangs must not hold up the banner: what is found later is told later.
            await asyncio.wait({preparation}, timeout=FACTS_WITHIN)
            if preparation.done():
                preparation.result()
            told_all = preparation.done()
            self.console.banner(
                url=self.settings.PORTAL_URL,
                api_url=self.settings.GATEWAY_PUBLIC_URL.rstrip("/"),
                seconds=time.monotonic() - began,
                data_dir=str(self.data_dir),
                facts=self.facts,
            )
            self.start_worker()
            self.start_mlflow()
            if not told_all:
                await preparation
                for found in self.facts.get("found", []):
                    self.console.say(f"found: {found}")
        finally:
            if not preparation.done():
                preparation.cancel()
                await asyncio.gather(preparation, return_exceptions=True)

    # The end

    def asked_to_stop(self) -> None:
        if self.stop_asked.is_set():
            self.force_asked.set()
            for child in self.children.values():
                child.kill()
            return
        self.stop_asked.set()

    async def stop(self) -> None:
        self.console.say("Stopping. Ctrl-C again kills what is left.")
        # With the port closed, nobody waits for an answer that will not come.
        self.listener.close()
        grace = self.settings.DRAIN_SECONDS + self.settings.WEB_GRACE_SECONDS + 2
        drainer = self.children.pop("drainer", None)
        await asyncio.gather(*(child.stop(grace) for child in self.children.values()))
        if drainer is not None:
            # Last: the web's final lines are in the spool by now.
            self.children["drainer"] = drainer
            await drainer.stop(GRACE)

    async def run(self, began: float) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self.asked_to_stop)
        start = loop.create_task(self.start(began))
        stop = loop.create_task(self.stop_asked.wait())
        status = 0
        try:
            await asyncio.wait({start, stop}, return_when=asyncio.FIRST_COMPLETED)
            if start.done():
                start.result()
                await stop
        except StartFailed as error:
            if str(error):
                self.console.write(f"{error}\n")
            status = 1
        finally:
            for task in (start, stop):
                task.cancel()
            await asyncio.gather(start, stop, return_exceptions=True)
            self.stop_asked.set()
            if self.children:
                await self.stop()
        return status


class StartFailed(Exception):
    """The start ended; the message says why."""


def lock(data_dir: Path) -> int:
    """Hold ``data_dir`` for this supervisor alone: two would drain one spool, and count limits twice."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(data_dir / "lobby.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        fail(
            f"DATA_DIR={data_dir} cannot be used ({error.strerror}). "
            "Set DATA_DIR to a directory that this user may write to."
        )
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        other = os.read(descriptor, 20).decode("ascii", "replace").strip()
        fail(f"another Lobby (process {other}) uses DATA_DIR={data_dir}. Stop it, or set another DATA_DIR.")
    os.ftruncate(descriptor, 0)
    os.write(descriptor, str(os.getpid()).encode())
    return descriptor


def main() -> None:
    began = time.monotonic()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
    from django.conf import settings

    try:
        data_dir = settings.DATA_DIR
    except ImproperlyConfigured as error:
        fail(str(error))
    os.chdir(settings.BASE_DIR)
    held = lock(data_dir)
    listener = listen(settings.HOST, settings.PORT)
    watchdog = Watchdog()
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)

    async def supervise() -> int:
        return await Supervisor(settings, listener, Console(), watchdog).run(began)

    status = asyncio.run(supervise())
    watchdog.close()
    os.close(held)
    sys.exit(status)


if __name__ == "__main__":
    main()
