"""The names in a spool directory. Every one is generated here, so that nothing from a request ever names a file.

    <writer>.lock                exclusively flocked for as long as the writer's process lives
    <writer>-<sequence>.jsonl    segments, written in the order of their sequence
    <writer>.progress            how far each attempt in flight has got (``progress.py``)
    drain.lock                   flocked by the one drainer at work
    drained.json                 how far it got, for those who ask about the backlog
    quarantine/                  what could not be read as a line, kept for a person to look at

A writer's name begins with its start in milliseconds: names sort by age.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

DRAIN_LOCK = "drain.lock"
DRAINED = "drained.json"
QUARANTINE = "quarantine"

_WRITER = r"\d{13}-\d{7,10}-[0-9a-f]{8}"
_SEGMENT = re.compile(rf"({_WRITER})-(\d{{8}})\.jsonl")
_LOCK = re.compile(rf"({_WRITER})\.lock")
_DRAINED_DECODER = msgspec.json.Decoder(dict[str, int])


@dataclass(frozen=True, slots=True, order=True)
class SegmentName:
    writer: str
    sequence: int

    def __str__(self) -> str:
        return f"{self.writer}-{self.sequence:08d}.jsonl"


def new_writer() -> str:
    return f"{time.time_ns() // 1_000_000:013d}-{os.getpid():07d}-{secrets.token_hex(4)}"


def lock_name(writer: str) -> str:
    return f"{writer}.lock"


def progress_name(writer: str) -> str:
    return f"{writer}.progress"


def segments(directory: Path) -> list[SegmentName]:
    """The segments of all writers, oldest writer first, each writer's in their order."""
    return sorted(SegmentName(match[1], int(match[2])) for match in _matches(directory, _SEGMENT))


def writers(directory: Path) -> list[str]:
    """Every writer that left a lock or a segment, oldest first."""
    found = {match[1] for match in _matches(directory, _LOCK)}
    found |= {match[1] for match in _matches(directory, _SEGMENT)}
    return sorted(found)


def spool_bytes(directory: Path) -> int:
    """The size of all segments together."""
    total = 0
    with os.scandir(directory) as entries:
        for entry in entries:
            if _SEGMENT.fullmatch(entry.name):
                try:
                    total += entry.stat(follow_symlinks=False).st_size
                except FileNotFoundError:  # drained and deleted since
                    continue
    return total


def _matches(directory: Path, pattern: re.Pattern[str]) -> Iterator[re.Match[str]]:
    with os.scandir(directory) as entries:
        for entry in entries:
            match = pattern.fullmatch(entry.name)
            if match:
                yield match


def try_lock(path: Path) -> int | None:
    """The descriptor of an exclusive lock on ``path``, held until it is closed; None while someone else holds it.

    An flock belongs to one opening of the file, so it excludes other threads of this process as well as other
    processes, and the kernel drops it when the process dies, however it dies.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def is_held(path: Path) -> bool:
    """Whether someone holds the lock on ``path``; a missing file is held by nobody."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def has_orphans(directory: Path) -> bool:
    """Whether a writer that is no more left segments that are not drained yet."""
    try:
        left = {name.writer for name in segments(directory)}
    except FileNotFoundError:
        return False
    return any(not is_held(directory / lock_name(writer)) for writer in left)


def undrained_bytes(directory: Path) -> int:
    """How much of the spool is not in the database yet, as the drainer last told: never too little."""
    try:
        drained = _DRAINED_DECODER.decode((directory / DRAINED).read_bytes())
    except (FileNotFoundError, msgspec.DecodeError):
        drained = {}
    total = 0
    with contextlib.suppress(FileNotFoundError):
        for name in segments(directory):
            with contextlib.suppress(FileNotFoundError):  # drained and deleted since
                total += max((directory / str(name)).stat().st_size - drained.get(str(name), 0), 0)
    return total


def tell_drained(directory: Path, offsets: dict[str, int]) -> None:
    """Leave word of how far each segment is drained, for ``undrained_bytes``."""
    draft = directory / f"{DRAINED}.new"
    draft.write_bytes(msgspec.json.encode(offsets))
    draft.replace(directory / DRAINED)


def sync_directory(directory: Path) -> None:
    """Make the directory's names durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
