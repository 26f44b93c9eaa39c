"""A child process that is kept running: its output labelled, a crash answered by a restart with back-off."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from portal.supervisor.console import Console
from portal.supervisor.watchdog import Watchdog, group_lives, signal_group

FIRST_DELAY = 0.5
LONGEST_DELAY = 30.0
STEADY_AFTER = 60.0  # a child that ran for so long starts again without delay
LEFTOVERS_GRACE = 2.0
LONGEST_LINE = 8_192


@dataclass(frozen=True)
class Program:
    """What to run. With ``log`` its output goes to that file, not to the terminal."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path | None = None
    pass_fds: tuple[int, ...] = field(default=())
    niceness: int = 0


def describe(status: int) -> str:
    """``exit status 1`` or ``killed by SIGKILL``."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"killed by signal {-status}"


class Child:
    def __init__(self, program: Program, console: Console, watchdog: Watchdog) -> None:
        self.program = program
        self.name = program.name
        self.ended = asyncio.Event()
        """Set when a run of the program has ended, until the next begins."""
        self._console = console
        self._watchdog = watchdog
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._keep_running(), name=self.name)

    async def _keep_running(self) -> None:
        loop = asyncio.get_running_loop()
        delay = FIRST_DELAY
        while not self._stopping.is_set():
            started = loop.time()
            status = await self._run_once()
            if self._stopping.is_set():
                return
            if loop.time() - started > STEADY_AFTER:
                delay = FIRST_DELAY
            where = f"; its output is in {self.program.log}" if self.program.log else ""
            self._console.say(f"{self.name} ended ({describe(status)}){where}. It is started again in {delay:g} s.")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), delay)
            delay = min(delay * 2, LONGEST_DELAY)

    async def _run_once(self) -> int:
        log = self.program.log
        output: int = asyncio.subprocess.PIPE
        if log is not None:
            log.parent.mkdir(parents=True, exist_ok=True)
            output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            process = await asyncio.create_subprocess_exec(
                *self.program.command,
                env=dict(self.program.environment),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=asyncio.subprocess.STDOUT,
                # A group of its own: Ctrl-C reaches the supervisor alone, which stops the children in order.
                start_new_session=True,
                pass_fds=self.program.pass_fds,
            )
        finally:
            if log is not None:
                os.close(output)
        self._watchdog.add(process.pid)
        self._process = process
        if self.program.niceness:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.setpriority(os.PRIO_PROCESS, process.pid, self.program.niceness)
        self.ended.clear()
        reader = asyncio.get_running_loop().create_task(self._show(process.stdout)) if process.stdout else None
        if self._stopping.is_set():
            self._signal(signal.SIGTERM)  # stop() came while the process was being made
        status = await process.wait()
        if reader is not None:
            # What it printed last; a grandchild may hold the pipe open for longer.
            await asyncio.wait({reader}, timeout=0.5)
            reader.cancel()
        await self._end_group(process.pid)
        self._watchdog.remove(process.pid)
        self._process = None
        self.ended.set()
        return status

    async def _show(self, stream: asyncio.StreamReader) -> None:
        rest = b""
        while chunk := await stream.read(65_536):
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > LONGEST_LINE:
                lines, rest = [*lines, rest], b""
            for line in lines:
                self._print(line)
        if rest:
            self._print(rest)

    def _print(self, line: bytes) -> None:
        text = line.decode("utf-8", "backslashreplace").rstrip()
        if text:
            self._console.line(self.name, text[:LONGEST_LINE])

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def _end_group(self, group: int) -> None:
        """End what the program itself started and left behind."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            deadline = asyncio.get_running_loop().time() + LEFTOVERS_GRACE
            while asyncio.get_running_loop().time() < deadline:
                reap(group)
                if not group_lives(group):
                    return
                signal_group(group, number)
                await asyncio.sleep(0.05)

    async def stop(self, grace: float) -> None:
        """SIGTERM; after ``grace`` seconds SIGKILL. Returns when the program and all that it started have ended."""
        self._stopping.set()
        task = self._task
        if task is None:
            return
        self._signal(signal.SIGTERM)
        done, _ = await asyncio.wait({task}, timeout=grace)
        if not done:
            self._console.say(f"{self.name} did not stop within {grace:g} s and is killed.")
            self.kill()
            await task

    def kill(self) -> None:
        """SIGKILL, at once."""
        self._stopping.set()
        if self._process is not None:
            signal_group(self._process.pid, signal.SIGKILL)


def reap(group: int) -> None:
    """Collect ended orphans of a group, which come to us as their subreaper; else they would seem alive."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-group, os.WNOHANG)[0]:
            pass
