"""Code that nobody has looked at, run where it can do no harm.

A process of its own in namespaces of its own (network without any interface, processes, mounts, IPC): it sees a root
directory in memory that holds Python's standard library, read only, and an empty directory to work in. It has neither
this process's user, nor its environment, memory, files and network. Time, processes, the processor time and memory of
each of them, sizes of files and what it tells are bounded, and whatever it started ends with it.

That takes Linux, and root or user namespaces. Where they are not to be had nothing is run: ``Unavailable`` says why. A
weaker sandbox that only looks like one would be worse than none.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import select
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

_CHILD: Final = Path(__file__).with_name("sandbox_child.py")
_HARNESS: Final = Path(__file__).with_name("sandbox_harness.py")
_MOST_TOLD: Final = 65_536
_GRACE: Final = 5.0  # for making the namespaces on a busy machine, on top of the time limit


class Unavailable(Exception):
    """There can be no sandbox here; the text says why."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Of everything that runs in one sandbox together, but for two. Sizes in bytes."""

    seconds: float = 10.0
    cpu_seconds: int = 5  # of each process
    memory: int = 512 << 20  # of each process
    processes: int = 16
    file_size: int = 1 << 20
    disk: int = 16 << 20


@dataclass(frozen=True, slots=True)
class Ran:
    """What became of a program.

    ``outcome``: ``told`` (it ended and ``report`` is its own word), ``timeout``, ``cpu``, ``memory``, ``crashed`` (it
    ended without a word: killed, or by leaving before its tests), ``flooded`` (it said more than is read).
    """

    outcome: str
    report: dict[str, Any]
    seconds: float


def run_tests(code: str, tests: str, limits: Limits | None = None) -> Ran:
    """Run ``code`` as the module ``solution``, then ``tests`` with its names. Raises ``Unavailable``."""
    limits = limits or Limits()
    nonce = secrets.token_hex(16)
    files = {"solution.py": code, "tests.py": tests, "harness.py": _HARNESS.read_text()}
    setting = {"files": files, "nonce": nonce, "limits": asdict(limits), "python": os.path.realpath(sys.executable)}
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="lobby-sandbox-") as root:
        setting["root"] = root
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-B", str(_CHILD)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={},
            cwd="/",
            start_new_session=True,
            close_fds=True,
        )
        try:
            told, ended = _listen(process, json.dumps(setting).encode(), started + limits.seconds + _GRACE)
        finally:
            _end(process)
    seconds = time.monotonic() - started
    return _read(told, ended, nonce, seconds)


def _listen(process: subprocess.Popen[bytes], setting: bytes, deadline: float) -> tuple[bytes, str]:
    """What the child wrote, as far as it is read, and how that ended."""
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(setting)
        process.stdin.close()
    told = bytearray()
    while (left := deadline - time.monotonic()) > 0:
        if not select.select([process.stdout], [], [], left)[0]:
            break
        piece = os.read(process.stdout.fileno(), 8_192)
        if not piece:
            return bytes(told), "ended"
        told += piece
        if len(told) > _MOST_TOLD:
            return bytes(told), "flooded"
    return bytes(told), "timeout"


def _end(process: subprocess.Popen[bytes]) -> None:
    """The child ends the first process of its namespace by its own end, and the kernel all others with that one."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(BrokenPipeError):
                pipe.close()


def _read(told: bytes, ended: str, nonce: str, seconds: float) -> Ran:
    """Raises ``Unavailable``. Only lines with the nonce count, which the code that runs has no business to know."""
    if ended != "ended":
        return Ran(ended, {}, seconds)
    reports: dict[str, dict[str, Any]] = {}
    for line in told.splitlines():
        with contextlib.suppress(ValueError, RecursionError):
            value = json.loads(line)
            if isinstance(value, dict) and value.get("nonce") == nonce:
                reports[str(value.get("from"))] = reports.get(str(value.get("from")), {}) | value
    if unavailable := reports.get("child", {}).get("unavailable"):
        raise Unavailable(str(unavailable))
    end = reports.get("child", {}).get("end", "crashed")
    if end == "timeout":
        return Ran("timeout", {}, seconds)
    if "harness" in reports:
        return Ran("told", reports["harness"], seconds)
    return Ran("cpu" if end == "cpu" else "memory" if "memory" in reports else "crashed", {}, seconds)
