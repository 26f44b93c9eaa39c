"""A tiny process that outlives the supervisor by seconds: if the supervisor is killed, it stops what was left running.

It knows of the supervisor's end by the end of a pipe, which works for SIGKILL, too, on every Unix, and reaches whole
process groups: a child's own children included.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time

GRACE = 8.0


def group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def signal_group(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _watch(source: int) -> None:
    groups: set[int] = set()
    rest = b""
    while chunk := os.read(source, 4096):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            (groups.add if line[:1] == b"+" else groups.discard)(int(line[1:]))
    for group in groups:
        signal_group(group, signal.SIGTERM)
    deadline = time.monotonic() + GRACE
    while groups and time.monotonic() < deadline:
        groups = {group for group in groups if group_lives(group)}
        time.sleep(0.1)
    for group in groups:
        signal_group(group, signal.SIGKILL)


class Watchdog:
    """Start it before any thread or event loop: it is a fork."""

    def __init__(self) -> None:
        source, self._sink = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.close(self._sink)
                # A session of its own: Ctrl-C in the terminal, and a signal to make's group, pass it by.
                os.setsid()
                null = os.open(os.devnull, os.O_RDWR)
                for descriptor in (0, 1, 2):
                    os.dup2(null, descriptor)
                # The port and the lock are the supervisor's; held here, they would outlive it.
                os.closerange(3, source)
                os.closerange(source + 1, 256)
                for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                    signal.signal(number, signal.SIG_IGN)
                _watch(source)
            finally:
                os._exit(0)
        os.close(source)

    def add(self, group: int) -> None:
        self._tell(f"+{group}\n")

    def remove(self, group: int) -> None:
        self._tell(f"-{group}\n")

    def _tell(self, line: str) -> None:
        with contextlib.suppress(BrokenPipeError):
            os.write(self._sink, line.encode())

    def close(self) -> None:
        """Every child has ended: so may the watchdog."""
        os.close(self._sink)
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)
