"""A fake upstream's own durable count of what it was asked and what it sent.

The count file holds JSON lines, two for each attempt, matched by ``seq``:

    {"event": "arrival", "seq": 1, "attempt": "…", "path": "/v1/chat/completions", "credential": "sk-…",
     "model": "fake-chat", "stream": true, "prompt_tokens": 5, "planned_tokens": 8, "time": 1790000000.1, "mono_ns": 12}
    {"event": "end", "seq": 1, "attempt": "…", "outcome": "completed", "prompt_tokens": 5, "completion_tokens": 8,
     "usage_sent": true, "time": 1790000000.2, "mono_ns": 456}

``attempt`` is the request's ``x-lobby-attempt-id`` header. ``completion_tokens`` counts the content chunks (one token
each) that were handed to the socket, plus the reasoning tokens once usage was sent; a plain answer counts once it is
written whole. ``outcome`` is ``completed``, ``client_disconnected``, ``server_stopped`` or ``faulted:<kind>``. An
arrival without an end is an attempt that was running when the fake was killed.
"""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import json
import os
import threading
import time
from pathlib import Path
from typing import Any, Final

import msgspec

FSYNC_INTERVAL_S: Final = 0.05


class Arrival(msgspec.Struct):
    seq: int
    attempt: str
    path: str
    credential: str
    model: str
    stream: bool
    prompt_tokens: int
    planned_tokens: int
    time: float
    mono_ns: int
    event: str = "arrival"


class End(msgspec.Struct):
    seq: int
    attempt: str
    outcome: str
    prompt_tokens: int
    completion_tokens: int
    usage_sent: bool
    time: float
    mono_ns: int
    event: str = "end"


@dataclasses.dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt as the upstream saw it. `outcome` and the fields below it are None while it runs."""

    seq: int
    attempt: str
    path: str
    credential: str
    model: str
    stream: bool
    prompt_tokens: int
    planned_tokens: int
    arrived_ns: int
    outcome: str | None = None
    completion_tokens: int | None = None
    usage_sent: bool | None = None
    ended_ns: int | None = None


def read_attempts(path: Path) -> list[Attempt]:
    """The attempts in a count file, in the order of their arrival; a torn last line is left out."""
    attempts: dict[int, Attempt] = {}
    for line in path.read_bytes().splitlines(keepends=True) if path.exists() else []:
        if not line.endswith(b"\n"):
            break
        row: dict[str, Any] = json.loads(line)
        if row["event"] == "arrival":
            attempts[row["seq"]] = Attempt(
                **{name: row[name] for name in ("seq", "attempt", "path", "credential", "model", "stream")},
                prompt_tokens=row["prompt_tokens"],
                planned_tokens=row["planned_tokens"],
                arrived_ns=row["mono_ns"],
            )
        else:
            attempts[row["seq"]] = dataclasses.replace(
                attempts[row["seq"]],
                outcome=row["outcome"],
                completion_tokens=row["completion_tokens"],
                usage_sent=row["usage_sent"],
                ended_ns=row["mono_ns"],
            )
    return list(attempts.values())


def _cut_torn_line(fd: int) -> None:
    """Cuts off what a killed run left behind the last line end."""
    size = os.fstat(fd).st_size
    tail = os.pread(fd, 65536, max(0, size - 65536))
    torn = len(tail) - (tail.rfind(b"\n") + 1)
    if torn:
        os.ftruncate(fd, size - torn)


class CountLog:
    """Counts in memory, and in a file where one is named.

    Lines gathered in one turn of the event loop are written together; a thread syncs the file at most every 50 ms. With
    ``always`` each line is written and synced before the call returns.
    """

    def __init__(self, path: Path | None, *, always: bool = False) -> None:
        self.arrivals = 0
        self.ends = 0
        self.prompt_tokens = 0
        self.completion_tokens = 0
        self.outcomes: collections.Counter[str] = collections.Counter()
        self._always = always
        self._seq = 0
        self._encode = msgspec.json.Encoder().encode
        self._buffer: list[bytes] = []
        self._fd = -1
        self._dirty = threading.Event()
        self._closing = False
        self._thread: threading.Thread | None = None
        if path is not None:
            # A later run of the fake on the same file goes on counting, so that its lines never match an earlier run's.
            self._seq = max((attempt.seq for attempt in read_attempts(path)), default=0)
            self._fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
            _cut_torn_line(self._fd)
            if not always:
                self._thread = threading.Thread(target=self._sync_loop, name="count-fsync", daemon=True)
                self._thread.start()

    @property
    def in_flight(self) -> int:
        return self.arrivals - self.ends

    def arrival(
        self, *, attempt: str, path: str, credential: str, model: str, stream: bool, prompt_tokens: int, planned: int
    ) -> int:
        """Counts an attempt's arrival and returns its sequence number."""
        self.arrivals += 1
        self._seq += 1
        seq = self._seq
        if self._fd >= 0:
            now, mono = time.time(), time.monotonic_ns()
            self._line(Arrival(seq, attempt, path, credential, model, stream, prompt_tokens, planned, now, mono))
        return seq

    def end(
        self, seq: int, *, attempt: str, outcome: str, prompt_tokens: int, completion_tokens: int, usage_sent: bool
    ) -> None:
        """Counts an attempt's end."""
        self.ends += 1
        self.outcomes[outcome] += 1
        self.prompt_tokens += prompt_tokens
        self.completion_tokens += completion_tokens
        if self._fd >= 0:
            now, mono = time.time(), time.monotonic_ns()
            self._line(End(seq, attempt, outcome, prompt_tokens, completion_tokens, usage_sent, now, mono))

    def flush(self) -> None:
        """Writes the lines gathered so far."""
        if self._buffer:
            lines, self._buffer = self._buffer, []
            data = b"".join(lines)
            while data:
                data = data[os.write(self._fd, data) :]
            self._dirty.set()

    def sync(self) -> None:
        """Writes and syncs the lines gathered so far."""
        if self._fd >= 0:
            self.flush()
            os.fsync(self._fd)

    def close(self) -> None:
        """Writes, syncs and closes."""
        if self._fd < 0:
            return
        self._closing = True
        self._dirty.set()
        if self._thread is not None:
            self._thread.join()
        self.sync()
        os.close(self._fd)
        self._fd = -1

    def _line(self, row: Arrival | End) -> None:
        if not self._buffer and not self._always:
            asyncio.get_running_loop().call_soon(self.flush)
        self._buffer.append(self._encode(row) + b"\n")
        if self._always:
            self.sync()

    def _sync_loop(self) -> None:
        while not self._closing:
            self._dirty.wait()
            self._dirty.clear()
            os.fsync(self._fd)
            time.sleep(FSYNC_INTERVAL_S)
