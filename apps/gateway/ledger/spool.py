"""The writer's half of the write-ahead spool: one append-only file at a time, per process.

What an append promises, and when:

- **As soon as it returns** its lines survive the death of this process, SIGKILL included: the kernel has them.
- **Within about a second** they survive the loss of power: a thread calls ``fdatasync``. An append does not wait
  for it, since a disk flush costs more than a whole request; losing power loses at most that second.
- **When it raises** nothing is promised of the lines it was given, and the file stays readable: what was written of a
  line that did not fit is cut off again, or left behind at the end of a segment that nothing more is written to.

The directory must be on a disk of this machine: the locks that tell a living writer from a dead one are not shared
over a network file system.
"""

from __future__ import annotations

import errno
import fcntl
import os
import threading
import time
from pathlib import Path

import structlog

from apps.gateway.ledger import files
from apps.gateway.ledger.errors import SpoolError, SpoolFull
from apps.gateway.ledger.files import SegmentName

log = structlog.get_logger(__name__)

SYNC_SECONDS = 1.0
_NOTHING = 0  # as a limit: every append takes the slow road


class Spool:
    """A process's own writer. Safe to use from several threads; not to be used across a fork.

    ``max_bytes`` bounds all segments in the directory, whoever wrote them. Each writer counts its own bytes and looks
    at the others' every second, so that W writers together can pass the bound by what W - 1 of them write in a second.
    A segment ends at ``segment_bytes``, or ``segment_seconds`` after its first line, so that the drainer can delete it.
    """

    def __init__(
        self,
        directory: Path | str,
        *,
        max_bytes: int,
        segment_bytes: int = 8 * 1024**2,
        segment_seconds: float = 60.0,
    ) -> None:
        self.directory = Path(directory)
        self.writer = ""
        self._max_bytes = max_bytes
        self._segment_bytes = segment_bytes
        self._segment_seconds = segment_seconds
        self._lock = threading.Lock()
        self._lock_fd = -1
        self._fd = -1
        self._sequence = 0
        self._size = 0  # of the present segment: where its last whole line ends
        self._limit = _NOTHING  # the size at which an append has more to do than to write
        self._room = 0  # bytes that may still be written before the bound
        self._segment_until = 0.0  # monotonic
        self._synced = 0  # of the present segment
        self._retired: list[int] = []  # descriptors of ended segments, to be synced and closed
        self._names_changed = False
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def open(self) -> Spool:
        """Take a writer's name and its lock, and begin the first segment. Raises ``SpoolError``."""
        if self._thread is not None:
            raise SpoolError(f"The spool in {self.directory} is open already.")
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.writer = files.new_writer()
            self._lock_fd = self._take_lock()
            self._begin_segment()
            self._room = self._max_bytes - files.spool_bytes(self.directory)
        except OSError as error:
            self._release()
            raise SpoolError(f"The spool in {self.directory} cannot be opened: {error.strerror or error}.") from error
        self._stopping.clear()
        self._thread = threading.Thread(target=self._keep, name="spool", daemon=True)
        self._thread.start()
        return self

    def append(self, data: bytes) -> None:
        """Write whole lines, for work that is yet to begin. Raises ``SpoolFull`` at the bound, or ``SpoolError``."""
        with self._lock:
            if len(data) > self._room:
                raise SpoolFull(
                    f"The spool in {self.directory} holds the {self._max_bytes:,} bytes it may. Is the drainer running?"
                )
            self._write(data)

    def append_settled(self, data: bytes) -> None:
        """Write whole lines about work that ``append`` admitted: the bound does not stop them, only the disk can.

        What passes the bound this way is bounded by what was in flight.
        """
        with self._lock:
            self._write(data)

    def close(self) -> None:
        """Sync, give up the lock, and stop. The drainer then takes this writer for ended."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._stopping.set()
        thread.join()
        try:
            self._sync()
        except OSError as error:
            log.error("spool_upkeep_failed", directory=str(self.directory), error=str(error))
        with self._lock:
            self._release()

    def sync(self) -> None:
        """Make everything appended so far survive the loss of power. Raises ``SpoolError``."""
        try:
            self._sync()
        except OSError as error:
            raise SpoolError(f"The spool in {self.directory} cannot be synced: {error.strerror or error}.") from error

    def __enter__(self) -> Spool:
        return self.open()

    def __exit__(self, *_: object) -> None:
        self.close()

    # Writing. The caller holds the lock.

    def _write(self, data: bytes) -> None:
        if self._size >= self._limit:
            self._make_ready()
        try:
            written = os.write(self._fd, data)
        except OSError as error:
            raise self._refused(error) from error
        if written != len(data):
            self._cut_off(data, written)
        self._size += written
        self._room -= written

    def _make_ready(self) -> None:
        """Have a segment to write to: the present one is full, or was spoilt, or there is none."""
        if self._lock_fd < 0:
            raise SpoolError("The spool is not open.")
        try:
            self._begin_segment()
        except OSError as error:
            raise self._refused(error) from error

    def _cut_off(self, data: bytes, written: int) -> None:
        """Only a part was written: try the rest once, else take back the torn line. Raises unless all is written."""
        cause: OSError | None = None
        try:
            written_more = os.write(self._fd, memoryview(data)[written:])
        except OSError as error:
            cause, written_more = error, 0
        if written + written_more == len(data):
            return
        # Whole lines stay (a drainer may have read them already); they are idempotent when they are offered again.
        whole = data.rfind(b"\n", 0, written + written_more) + 1
        self._size += whole
        self._room -= whole
        try:
            os.ftruncate(self._fd, self._size)
        except OSError:
            self._limit = _NOTHING  # the torn line ends this segment; the next append begins another
        if cause is None:
            cause = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        raise self._refused(cause) from cause

    def _refused(self, error: OSError) -> SpoolError:
        return SpoolError(f"The spool in {self.directory} cannot be written: {error.strerror or error}.")

    def _begin_segment(self) -> None:
        name = SegmentName(self.writer, self._sequence + 1)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        descriptor = os.open(self.directory / str(name), flags, 0o600)
        if self._fd >= 0:
            self._retired.append(self._fd)
        self._fd = descriptor
        self._sequence = name.sequence
        self._size = self._synced = 0
        self._limit = self._segment_bytes
        self._segment_until = time.monotonic() + self._segment_seconds
        self._names_changed = True

    def _take_lock(self) -> int:
        """The writer's lock file appears under its name only when it is locked: a drainer never sees it free."""
        path = self.directory / files.lock_name(self.writer)
        hidden = path.with_suffix(".new")
        descriptor = os.open(hidden, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        hidden.rename(path)
        return descriptor

    def _release(self) -> None:
        for descriptor in (*self._retired, self._fd, self._lock_fd):
            if descriptor >= 0:
                os.close(descriptor)
        self._retired = []
        self._fd = self._lock_fd = -1
        self._limit = _NOTHING

    # Beside the hot path, once a second.

    def _keep(self) -> None:
        failing = False
        while not self._stopping.wait(SYNC_SECONDS):
            try:
                self._sync()
                self._end_old_segment()
                total = files.spool_bytes(self.directory)
                with self._lock:
                    self._room = self._max_bytes - total
            except OSError as error:
                if not failing:
                    log.error("spool_upkeep_failed", directory=str(self.directory), error=str(error))
                failing = True
            else:
                failing = False

    def _sync(self) -> None:
        with self._lock:
            retired, self._retired = self._retired, []
            descriptor = os.dup(self._fd) if self._fd >= 0 and self._size > self._synced else -1
            size, sequence = self._size, self._sequence
            names_changed, self._names_changed = self._names_changed, False
        try:
            while retired:
                os.fdatasync(retired[-1])
                os.close(retired.pop())
            if descriptor >= 0:
                os.fdatasync(descriptor)
            if names_changed:
                files.sync_directory(self.directory)
        except OSError:
            with self._lock:
                self._retired += retired
                self._names_changed |= names_changed
            raise
        finally:
            if descriptor >= 0:
                os.close(descriptor)
        with self._lock:
            if self._sequence == sequence:
                self._synced = max(self._synced, size)

    def _end_old_segment(self) -> None:
        """A segment of some age is ended even when nothing more comes, so that it can be drained and deleted."""
        with self._lock:
            if self._fd >= 0 and self._size > 0 and time.monotonic() >= self._segment_until:
                self._begin_segment()
