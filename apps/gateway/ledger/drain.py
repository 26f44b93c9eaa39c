"""The drainer: moves the spool into the database, each line exactly once in its effect.

    segments -> whole lines -> batches -> one transaction each -> the segment is deleted when nothing of it is open

What makes a crash at any point harmless is that reading again changes nothing: attempt and request ids are unique, rows
that are there are left as they are, and rollups count only what was inserted. A segment is deleted only when

- it is read to its end, and what it said is committed,
- its writer writes to a later one, or is no more,
- and each intent in it has its settlement committed.

A writer that is no more (its lock is free) and whose segments are read to the end has left the intents that are still
open: they become ``interrupted`` records, with the tokens that its progress table last saw.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import msgspec
import structlog
from django.db import DataError, IntegrityError, connection
from django.db import Error as DatabaseError

from apps.gateway.ledger import files, store
from apps.gateway.ledger.calendar import DayBuckets
from apps.gateway.ledger.errors import DatabaseUnavailable, SpoolBusy
from apps.gateway.ledger.files import SegmentName
from apps.gateway.ledger.lines import MOST_PICOUSD, Intent, Settlement
from apps.gateway.ledger.pricing import FREE, FREE_OPERATIONS, PriceTerms, cost_picousd
from apps.gateway.ledger.progress import Progress, read_progress
from apps.gateway.ledger.quarantine import Quarantine
from apps.gateway.ledger.reader import BadLine, Piece, SegmentReader, StoredLine, StoredRequestLine, parse
from apps.gateway.types import Outcome, UsageStatus

log = structlog.get_logger(__name__)

# What a database, or its driver, says to a value that it cannot hold.
UNFIT = (DataError, IntegrityError, OverflowError)
# Lines per transaction. On SQLite it holds the file's one write lock, for less than a tenth of a second; where nobody
# waits for it, a larger one spares commits and has more records to a rollup.
SQLITE_BATCH_LINES = 2000
BATCH_LINES = 6000
POLL_SECONDS = 0.2
MAX_BACKOFF_SECONDS = 5.0
LOCK_POLL_SECONDS = 0.5
UNREADABLE_RETRY_SECONDS = 5.0
RECHECK_SECONDS = 60.0
# Requests whose attempts are settled and whose own line is still to come; far more than are ever in flight.
MAX_UNANSWERED = 65_536


@dataclass(slots=True)
class DrainReport:
    """What was done, and what is left."""

    lines: int = 0
    records: int = 0  # inserted, the interrupted ones included
    requests: int = 0
    known: int = 0  # settlements and request lines that the database had already
    interrupted: int = 0
    quarantined: int = 0
    segments_deleted: int = 0
    errors: list[str] = field(default_factory=list)
    open_intents: int = 0
    undrained_bytes: int = 0


class _Segment:
    """A segment while it is known: how far it is committed, and how many of its intents are open."""

    __slots__ = ("committed", "ended", "failed_until", "open", "reader")

    def __init__(self, directory: Path, name: SegmentName, *, sealed: bool) -> None:
        self.reader = SegmentReader(directory, name, sealed=sealed)
        self.committed = 0
        self.open = 0
        self.ended = False  # read to the end after it was sealed
        self.failed_until = 0.0  # unreadable: not tried again before this (monotonic) time

    def go_back(self) -> None:
        """Forget what was read and is not committed: it is read again."""
        if self.reader.position != self.committed:
            self.reader.rewind(self.committed)
            self.ended = False
        self.reader.close()


class _Open(NamedTuple):
    intent: Intent
    segment: _Segment


class _Writer:
    __slots__ = ("checked_at", "dead", "name", "open", "segments", "unanswered")

    def __init__(self, name: str) -> None:
        self.name = name
        self.dead = False
        self.segments: dict[int, _Segment] = {}
        self.open: dict[str, _Open] = {}
        self.unanswered: dict[str, Settlement] = {}
        self.checked_at = -RECHECK_SECONDS


@dataclass(slots=True)
class _Batch:
    """Lines of one transaction, and what is to be remembered once it is committed."""

    lines: store.Lines = field(default_factory=store.Lines)
    seen: list[tuple[_Writer, _Segment, StoredLine]] = field(default_factory=list)
    ends: dict[_Segment, int] = field(default_factory=dict)
    places: dict[str, tuple[_Segment, Piece]] = field(default_factory=dict)  # of lines, by the id they are unique by


class Drainer:
    """Keeps in memory what is open: a few hundred bytes per attempt in flight, however long the spool is."""

    def __init__(self, directory: Path | str, *, batch_lines: int = 0) -> None:
        self.directory = Path(directory)
        self._batch_lines = batch_lines or (SQLITE_BATCH_LINES if connection.vendor == "sqlite" else BATCH_LINES)
        self._writers: dict[str, _Writer] = {}
        self._quarantine = Quarantine(self.directory)
        self._days = DayBuckets()
        self._complaints: dict[str, str] = {}
        self._synchronous: object = None

    def run(self) -> DrainReport:
        """Drain everything that is there now. Raises ``DatabaseUnavailable``; the next run goes on where it stopped."""
        report = DrainReport()
        self._find_writers()
        try:
            for batch in self._batches(report):
                self._commit(batch, report)
            for writer in list(self._writers.values()):
                self._finish(writer, report)
        finally:
            for writer in self._writers.values():
                for segment in writer.segments.values():
                    segment.go_back()
            self._tell()
        report.open_intents = sum(len(writer.open) for writer in self._writers.values())
        report.undrained_bytes = files.undrained_bytes(self.directory)
        return report

    # What there is.

    def _find_writers(self) -> None:
        """Learn which writers there are and which are dead; only then, so that none of a dead one's is missed, which
        segments there are."""
        for writer_name in files.writers(self.directory):
            writer = self._writers.setdefault(writer_name, _Writer(writer_name))
            writer.dead = writer.dead or not files.is_held(self.directory / files.lock_name(writer_name))
        there: dict[str, list[SegmentName]] = {}
        for name in files.segments(self.directory):
            there.setdefault(name.writer, []).append(name)
        for writer in self._writers.values():
            names = there.get(writer.name, [])
            for sequence in writer.segments.keys() - {name.sequence for name in names}:
                self._forget(writer, sequence)  # deleted by another drainer
            for name in names:
                sealed = writer.dead or name != names[-1]
                known = writer.segments.get(name.sequence)
                if known is None:
                    writer.segments[name.sequence] = _Segment(self.directory, name, sealed=sealed)
                else:
                    known.reader.sealed = sealed

    def _forget(self, writer: _Writer, sequence: int) -> None:
        gone = writer.segments.pop(sequence)
        gone.reader.close()
        for attempt_id in [key for key, opened in writer.open.items() if opened.segment is gone]:
            del writer.open[attempt_id]

    # Reading.

    def _batches(self, report: DrainReport) -> Iterator[_Batch]:
        """Full batches, then what is left. The one before is committed when the next is asked for."""
        batch = _Batch()
        for writer in list(self._writers.values()):
            for segment in list(writer.segments.values()):
                if segment.ended or time.monotonic() < segment.failed_until:
                    continue
                while True:
                    room = self._batch_lines - len(batch.seen)
                    pieces = self._read(segment, room, report)
                    self._add(batch, writer, segment, pieces, report)
                    if len(batch.seen) >= self._batch_lines:
                        yield batch
                        batch = _Batch()
                    if not pieces:
                        break
                segment.reader.close()
        if batch.ends:
            yield batch

    def _read(self, segment: _Segment, limit: int, report: DrainReport) -> list[Piece]:
        try:
            pieces = segment.reader.read(limit)
        except OSError as error:
            segment.failed_until = time.monotonic() + UNREADABLE_RETRY_SECONDS
            self._complain(str(segment.reader.name), f"cannot be read: {error.strerror or error}", report)
            return []
        segment.failed_until = 0.0
        self._complaints.pop(str(segment.reader.name), None)
        if not pieces:
            segment.ended = segment.reader.sealed
        return pieces

    def _add(self, batch: _Batch, writer: _Writer, segment: _Segment, pieces: list[Piece], report: DrainReport) -> None:
        for piece in pieces:
            if piece.torn:
                self._set_aside(segment, piece, "torn: the writer ended in the middle of this line", report)
                continue
            try:
                line = parse(piece.data)
            except BadLine as error:
                self._set_aside(segment, piece, f"malformed: {error}", report)
                continue
            batch.seen.append((writer, segment, line))
            if isinstance(line, Settlement):
                batch.lines.settlements.append(line)
                batch.places[line.attempt_id] = (segment, piece)
            elif isinstance(line, StoredRequestLine):
                batch.lines.requests.append(line)
                batch.places[line.request_id] = (segment, piece)
        if pieces:
            batch.ends[segment] = pieces[-1].end

    def _set_aside(self, segment: _Segment, piece: Piece, reason: str, report: DrainReport) -> None:
        if self._quarantine.keep(segment.reader.name, piece.offset, piece.data, reason):
            report.quarantined += 1

    def _complain(self, subject: str, problem: str, report: DrainReport) -> None:
        """Say it in every report, and once in the log."""
        report.errors.append(f"{subject} {problem}")
        if self._complaints.get(subject) != problem:
            self._complaints[subject] = problem
            log.error("spool_unreadable", file=subject, problem=problem)

    # Writing.

    def _commit(self, batch: _Batch, report: DrainReport) -> None:
        self._write(batch.lines, batch, report)
        for writer, segment, line in batch.seen:
            if isinstance(line, Intent):
                if line.attempt_id not in writer.open:
                    writer.open[line.attempt_id] = _Open(line, segment)
                    segment.open += 1
            elif isinstance(line, Settlement):
                self._close_intent(writer, line.attempt_id)
                writer.unanswered[line.request_id] = line
                if len(writer.unanswered) > MAX_UNANSWERED:
                    del writer.unanswered[next(iter(writer.unanswered))]
            else:
                writer.unanswered.pop(line.request_id, None)
        for segment, end in batch.ends.items():
            segment.committed = end
        report.lines += len(batch.seen)

    def _close_intent(self, writer: _Writer, attempt_id: str) -> None:
        opened = writer.open.pop(attempt_id, None)
        if opened is not None:
            opened.segment.open -= 1

    def _write(self, lines: store.Lines, batch: _Batch, report: DrainReport) -> None:
        """Write in one transaction; where the database refuses a value, halve until the line that holds it is alone."""
        if not lines:
            return
        try:
            with self._database():
                written = store.write(lines, self._days)
        except UNFIT as error:
            if len(lines) > 1:
                for half in _halves(lines):
                    self._write(half, batch, report)
                return
            refused = lines.settlements[0].attempt_id if lines.settlements else lines.requests[0].request_id
            segment, piece = batch.places[refused]
            self._set_aside(segment, piece, f"refused by the database: {str(error).strip()[:500]}", report)
            return
        report.records += written.records
        report.requests += written.requests
        report.known += len(lines) - written.records - written.requests

    @contextlib.contextmanager
    def _database(self) -> Iterator[None]:
        """Turn what a database that is away does into ``DatabaseUnavailable``; let pass what is wrong with a value."""
        try:
            if connection.vendor == "sqlite" and not connection.in_atomic_block:
                connection.ensure_connection()
                if self._synchronous is not connection.connection:
                    # In WAL mode SQLite syncs at checkpoints only. A segment is deleted after its commit, so that for
                    # the drainer a commit has to be on the disk.
                    with connection.cursor() as cursor:
                        cursor.execute("PRAGMA synchronous=FULL")
                    self._synchronous = connection.connection
            yield
        except UNFIT:
            raise
        except DatabaseError as error:
            if not connection.in_atomic_block:
                with contextlib.suppress(DatabaseError):
                    connection.close()
            raise DatabaseUnavailable(f"The database does not take the ledger: {str(error).strip()}") from error

    # Ending.

    def _finish(self, writer: _Writer, report: DrainReport) -> None:
        """Delete what is drained. A dead writer that is drained altogether leaves its open intents as interrupted."""
        if writer.dead and all(segment.ended for segment in writer.segments.values()):
            self._interrupt(writer, report)
        elif time.monotonic() - writer.checked_at > RECHECK_SECONDS:
            self._recheck(writer)
        for sequence, segment in list(writer.segments.items()):
            if segment.ended and not segment.open:
                (self.directory / str(segment.reader.name)).unlink(missing_ok=True)
                del writer.segments[sequence]
                report.segments_deleted += 1
        if writer.dead and not writer.segments:
            (self.directory / files.progress_name(writer.name)).unlink(missing_ok=True)
            (self.directory / files.lock_name(writer.name)).unlink(missing_ok=True)
            del self._writers[writer.name]

    def _recheck(self, writer: _Writer) -> None:
        """Close the intents whose records the database has: their settlements were drained before this drainer began,
        and may be deleted."""
        writer.checked_at = time.monotonic()
        with self._database():
            for batch in store.in_batches(list(writer.open), 500):
                for attempt_id in store.known_attempts(batch):
                    self._close_intent(writer, attempt_id)

    def _interrupt(self, writer: _Writer, report: DrainReport) -> None:
        try:
            progress = read_progress(self.directory / files.progress_name(writer.name))
        except OSError as error:
            self._complain(files.progress_name(writer.name), f"cannot be read: {error.strerror or error}", report)
            progress = {}
        left = [opened.intent for opened in writer.open.values()]
        for batch in store.in_batches(left, 500):
            with self._database():
                terms = store.price_terms({intent.price_id for intent in batch if intent.price_id})
                settlements = [_interrupted(intent, progress.get(intent.attempt_id), terms) for intent in batch]
                written = store.write_interrupted(settlements, batch, self._days)
            report.records += written.records
            report.interrupted += written.records
            report.requests += written.requests
            for intent in batch:
                self._close_intent(writer, intent.attempt_id)
                writer.unanswered.pop(intent.request_id, None)
        for settled in store.in_batches(list(writer.unanswered.values()), 500):
            # Settled, but killed before the request's own line.
            with self._database():
                written = store.write_interrupted([], [_as_intent(line) for line in settled], self._days)
            report.requests += written.requests
        writer.unanswered.clear()

    def _tell(self) -> None:
        offsets = {
            str(segment.reader.name): segment.committed
            for writer in self._writers.values()
            for segment in writer.segments.values()
            if segment.committed
        }
        with contextlib.suppress(OSError):  # a full disk; the backlog is then told too large
            files.tell_drained(self.directory, offsets)


def drain_once(directory: Path | str, *, wait_seconds: float = 0.0) -> DrainReport:
    """Drain what is there now.

    Raises ``SpoolBusy`` when another drainer does not make room within ``wait_seconds``, ``DatabaseUnavailable`` when
    the database does not answer; in either case the spool stays as it is.
    """
    directory = Path(directory)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _lock(directory, threading.Event(), wait_seconds):
        return Drainer(directory).run()


def follow(directory: Path | str, stop_event: threading.Event, *, poll_seconds: float = POLL_SECONDS) -> None:
    """Drain until ``stop_event``, and then once more for what had come by then.

    Waits for its turn while another drainer is at work, and for the database while it is away; the spool keeps all.
    """
    directory = Path(directory)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        with _lock(directory, stop_event, None):
            _follow(directory, stop_event, poll_seconds)
    except SpoolBusy:
        return  # told to stop while waiting for its turn


def _follow(directory: Path, stop_event: threading.Event, poll_seconds: float) -> None:
    drainer = Drainer(directory)
    failures = 0
    while True:
        stopping = stop_event.is_set()
        began = time.monotonic()
        wait = poll_seconds
        try:
            report = drainer.run()
        except (DatabaseUnavailable, DatabaseError, OSError) as error:
            failures += 1
            if failures == 1:
                log.warning("drain_waits", error=str(error), undrained_bytes=files.undrained_bytes(directory))
            wait = min(poll_seconds * 2**failures, MAX_BACKOFF_SECONDS)
        else:
            if failures:
                log.info("drain_goes_on", lines=report.lines, after_failures=failures)
            failures = 0
            if report.lines >= SQLITE_BATCH_LINES:
                wait = 0.0  # a backlog
        if stopping:
            return
        stop_event.wait(max(wait - (time.monotonic() - began), 0.0))


@contextlib.contextmanager
def _lock(directory: Path, stop_event: threading.Event, wait_seconds: float | None) -> Iterator[None]:
    """One drainer per directory: not for correctness, but so that none waits in the other's way."""
    ends = None if wait_seconds is None else time.monotonic() + wait_seconds
    while (lock := files.try_lock(directory / files.DRAIN_LOCK)) is None:
        if stop_event.is_set() or (ends is not None and time.monotonic() >= ends):
            raise SpoolBusy(f"Another process is draining {directory}.")
        stop_event.wait(LOCK_POLL_SECONDS if ends is None else min(LOCK_POLL_SECONDS, max(ends - time.monotonic(), 0)))
    try:
        yield
    finally:
        os.close(lock)


def _halves(lines: store.Lines) -> tuple[store.Lines, store.Lines]:
    if lines.settlements and lines.requests:
        return store.Lines(lines.settlements, []), store.Lines([], lines.requests)
    middle = (len(lines) + 1) // 2
    return (
        store.Lines(lines.settlements[:middle], lines.requests[:middle]),
        store.Lines(lines.settlements[middle:], lines.requests[middle:]),
    )


def _interrupted(intent: Intent, seen: Progress | None, terms: dict[int, PriceTerms]) -> Settlement:
    """The record of an attempt whose process died: what was seen of it, at the price it was begun at."""
    line = Settlement(
        request_id=intent.request_id,
        at=intent.at,
        tenant_id=intent.tenant_id,
        project_id=intent.project_id,
        api_key_id=intent.api_key_id,
        user_id=intent.user_id,
        attempt_id=intent.attempt_id,
        model_id=intent.model_id,
        endpoint_id=intent.endpoint_id,
        price_id=intent.price_id,
        status=UsageStatus.INTERRUPTED.value,
        outcome=Outcome.INTERRUPTED.value,
        streamed=intent.streamed,
        input_tokens=seen.input_tokens if seen is not None and seen.input_tokens else intent.input_tokens,
        output_tokens=seen.output_tokens if seen is not None else 0,
        units=intent.units,
    )
    price = FREE if intent.operation in FREE_OPERATIONS else terms.get(intent.price_id, FREE)
    if intent.price_id and intent.price_id not in terms:
        log.error("price_of_interrupted_attempt_missing", attempt_id=intent.attempt_id, price_id=intent.price_id)
    return msgspec.structs.replace(line, cost_picousd=min(cost_picousd(price, line), MOST_PICOUSD))


def _as_intent(line: Settlement) -> Intent:
    return Intent(
        request_id=line.request_id,
        at=line.at,
        tenant_id=line.tenant_id,
        project_id=line.project_id,
        api_key_id=line.api_key_id,
        user_id=line.user_id,
        attempt_id=line.attempt_id,
        model_id=line.model_id,
        endpoint_id=line.endpoint_id,
        price_id=line.price_id,
        streamed=line.streamed,
    )
