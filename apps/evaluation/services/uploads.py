"""Files on their way into a dataset: received, looked into, mapped, imported by a worker.

An import is done in batches, each one transaction that moves the rows and the upload's own counts together: killed
anywhere it goes on after the last batch, and two workers at one upload stop each other. Importing a file again changes
nothing.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import islice
from pathlib import PurePath
from typing import Any

import structlog
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from apps.evaluation import mapping as columns_of
from apps.evaluation.errors import ExampleInvalid, FileRefused
from apps.evaluation.mapping import Mapper, clean_mapping
from apps.evaluation.models import Dataset, Upload
from apps.evaluation.reading import Refused, Row, format_of, read_rows, sniff
from apps.evaluation.reading.formats import FIRST_BYTES, text_rows
from apps.evaluation.selectors.datasets import examples_of, inputs_of, type_of, types_of, uploads_of
from apps.evaluation.services.datasets import forget_files, locked
from apps.evaluation.services.examples import Incoming, Outcome, Provenance, schemas_of, store
from apps.evaluation.types import Source, UploadFormat, UploadStatus
from apps.tenants import audit
from apps.tenants.access import Actor, require
from apps.tenants.archive import ArchiveError, Writer, archive, new_key
from apps.tenants.errors import Conflict, DomainError, Invalid
from apps.tenants.jobs import enqueue

log = structlog.get_logger(__name__)

PREPARE_TASK = "evaluation.prepare_upload"
IMPORT_TASK = "evaluation.import_upload"
WHY = "an upload that a worker works on"
BATCH = 200
PREVIEWED = 10
PREVIEW_BYTES = 4 * 1024**2
SHOWN_CELL = 300
ERRORS_KEPT = 100
MOST_REFUSED = 10_000
MOST_OPEN = 20
FORGOTTEN_AFTER = timedelta(seconds=60)
UNUSED_AFTER = timedelta(days=2)
OPEN = (UploadStatus.RECEIVED, UploadStatus.READY, UploadStatus.IMPORTING)


class Receiving:
    """A file that is arriving: ``write`` what comes, then ``finish``; or ``close``, and nothing of it stays."""

    def __init__(self, actor: Actor, dataset: Dataset, file_name: str, format: UploadFormat) -> None:
        self.actor = actor
        self.dataset = dataset
        self.file_name = file_name
        self.size = 0
        self._format = format
        self._first = b""
        self._key = new_key(dataset.tenant, "uploads", f".{format.value}")
        self._writer: Writer | None = archive().create(self._key)

    def write(self, data: bytes) -> None:
        """Raises ``FileRefused`` as soon as the file is too large, or turns out to be none of ours."""
        assert self._writer is not None
        self.size += len(data)
        if self.size > settings.UPLOAD_MAX_BYTES:
            raise FileRefused(
                f"The file is larger than {settings.UPLOAD_MAX_BYTES:,} bytes.",
                field="file",
                code="file_too_large",
                remedy="Split it.",
            )
        if len(self._first) < FIRST_BYTES:
            self._first += data[: FIRST_BYTES - len(self._first)]
            if len(self._first) == FIRST_BYTES:
                sniff(self._first, self._format)
        self._writer.write(data)

    def finish(self) -> Upload:
        """The upload, with a preview where that needs no worker."""
        assert self._writer is not None
        format = sniff(self._first, self._format)
        self._writer.commit()
        self._writer = None
        try:
            return self._stored(format)
        except BaseException:
            archive().delete(self._key)
            raise

    @transaction.atomic
    def _stored(self, format: UploadFormat) -> Upload:
        upload = Upload(
            dataset=self.dataset,
            file_name=self.file_name,
            format=format,
            size=self.size,
            archive_key=self._key,
            created_by=self.actor.user,
        )
        if format != UploadFormat.PARQUET:
            _fill_preview(upload, _first_rows(self._key, format))
        upload.save(force_insert=True)
        if format == UploadFormat.PARQUET:
            enqueue(PREPARE_TASK, upload.pk)
        told = {"file": self.file_name, "bytes": self.size}
        audit.record(self.actor, "dataset.file_uploaded", self.dataset, told, self.dataset.tenant)
        return upload

    def close(self) -> None:
        if self._writer is not None:
            self._writer.abandon()
            self._writer = None


def begin_upload(*, actor: Actor, dataset: Dataset, file_name: str) -> Receiving:
    """Raises ``PermissionDenied``, ``Conflict`` or ``FileRefused`` before a byte is kept."""
    require(actor, "dataset.edit", dataset.tenant, what="upload to this dataset")
    if dataset.is_archived:
        raise Conflict(f"{dataset.name} is archived.", code="archived", remedy="Restore it first.")
    if uploads_of(dataset).filter(status__in=OPEN).count() >= MOST_OPEN:
        raise Conflict(
            f"{dataset.name} has {MOST_OPEN} uploads that are not done.",
            code="too_many_uploads",
            remedy="Import or cancel some.",
        )
    format = format_of(file_name)
    name = "".join(each for each in PurePath(file_name.replace("\\", "/")).name if each.isprintable())
    return Receiving(actor, dataset, name[-200:], format)


# Looking into it.


def _first_rows(key: str, format: str) -> list[Row | Refused]:
    """Of CSV and JSON Lines, out of the first few megabytes. Raises ``FileRefused``."""
    with archive().open(key) as file:
        first = file.read(PREVIEW_BYTES)
        rows = list(islice(text_rows(io.BytesIO(first), format), PREVIEWED + 1))
    if len(first) == PREVIEW_BYTES and len(rows) <= PREVIEWED and rows:
        cut = rows.pop()  # by us
        if not rows:
            told = f"The first row does not end within {PREVIEW_BYTES:,} bytes. Is a quotation mark never closed?"
            return [Refused(cut.line, told, end=cut.end)]
    return rows[:PREVIEWED]


def _fill_preview(upload: Upload, rows: list[Row | Refused]) -> None:
    """Raises ``FileRefused`` where none of the first rows can be used."""
    good = [row for row in rows if isinstance(row, Row)]
    bad = [row for row in rows if isinstance(row, Refused)]
    if not_utf8 := next((row for row in bad if "is no UTF-8" in row.reason), None):
        raise FileRefused(f"Line {not_utf8.line}: {not_utf8.reason}", field="file", code="not_utf8")
    if not good:
        told = f"Line {bad[0].line}: {bad[0].reason}" if bad else "There is no row below the header."
        raise FileRefused(f"None of the file's first rows can be used. {told}", field="file")
    columns = list(dict.fromkeys(name for row in good for name in row.values))
    values = [row.values for row in good]
    upload.columns = columns
    upload.preview = [{name: _cell(row.get(name)) for name in columns} for row in values]
    upload.mapping = columns_of.guess(columns, values, inputs_of(upload.dataset))
    upload.status = UploadStatus.READY


def _cell(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False) if value is not None else ""
    return text if len(text) <= SHOWN_CELL else text[:SHOWN_CELL] + "…"


def prepare_upload(upload_pk: int) -> None:
    """The worker's part for Parquet."""
    upload = Upload.objects.unscoped(WHY).select_related("dataset__tenant", "dataset__prompt").get(pk=upload_pk)
    if upload.status != UploadStatus.RECEIVED:
        return
    from apps.evaluation.reading import parquet_rows

    try:
        with archive().local(upload.archive_key) as path:
            upload.rows_total = parquet_rows.total_of(path)
        with read_rows(archive(), upload.archive_key, upload.format) as rows:
            _fill_preview(upload, list(islice(rows, PREVIEWED)))
    except FileRefused as error:
        _fail(upload, str(error))
        return
    changed = Upload.objects.unscoped(WHY).filter(pk=upload.pk, status=UploadStatus.RECEIVED)
    changed.update(
        status=upload.status,
        columns=upload.columns,
        preview=upload.preview,
        mapping=upload.mapping,
        rows_total=upload.rows_total,
    )


# Importing it.


@transaction.atomic
def start_import(*, actor: Actor, upload: Upload, mapping: Mapping[str, str] | None = None) -> Upload:
    """By a worker, with ``mapping`` or the one that was guessed. A guess that leaves out what the examples have is
    refused: by the same key it would take the expected answer from them."""
    dataset = upload.dataset
    require(actor, "dataset.edit", dataset.tenant, what="import this file")
    if dataset.is_archived:
        raise Conflict(f"{dataset.name} is archived.", code="archived", remedy="Restore it first.")
    upload = _locked(upload)
    if upload.status != UploadStatus.READY:
        raise Conflict(f"The file is {upload.get_status_display().lower()}.", code="not_ready")
    upload.mapping = clean_mapping(upload.mapping if mapping is None else mapping, upload.columns)
    if mapping is None and "expected" not in upload.mapping.values():
        _refuse_unanswered(dataset)
    upload.status = UploadStatus.IMPORTING
    upload.progressed_at = timezone.now()
    upload.save(update_fields=["mapping", "status", "progressed_at"])
    told = {"file": upload.file_name, "mapping": upload.mapping}
    audit.record(actor, "dataset.import_started", dataset, told, dataset.tenant)
    enqueue(IMPORT_TASK, upload.pk)
    return upload


def _refuse_unanswered(dataset: Dataset) -> None:
    answered = examples_of(dataset).filter(current__expected__isnull=False).count()
    if answered:
        has = "1 example that is there has" if answered == 1 else f"{answered:,} examples that are there have"
        raise Invalid(
            f"No column is the expected answer, which the {has}.",
            field="mapping",
            remedy="Say which it is: --map COLUMN=expected, or “mapping” at the API. Is none? Say what another one is.",
        )


@transaction.atomic
def cancel_upload(*, actor: Actor, upload: Upload) -> Upload:
    """What was imported already stays; the file goes."""
    dataset = upload.dataset
    require(actor, "dataset.edit", dataset.tenant, what="cancel this upload")
    upload = _locked(upload)
    if upload.status not in OPEN:
        raise Conflict(f"The file is {upload.get_status_display().lower()}.", code="not_open")
    upload.status = UploadStatus.CANCELLED
    upload.finished_at = timezone.now()
    upload.save(update_fields=["status", "finished_at"])
    audit.record(actor, "dataset.upload_cancelled", dataset, {"file": upload.file_name}, dataset.tenant)
    _forget_file(upload)
    return upload


def _locked(upload: Upload) -> Upload:
    rows = Upload.objects.unscoped(WHY).select_related("dataset__tenant", "dataset__prompt", "created_by")
    return rows.select_for_update(of=("self",)).get(pk=upload.pk)


class _Stopped(Exception):
    """Somebody cancelled, or another worker is at it."""


@dataclass(slots=True)
class _Batch:
    """What has been read since the last transaction."""

    begun_at: int
    read: int = 0
    end: int = 0
    rows: list[Incoming] = field(default_factory=list)
    refused: list[dict[str, Any]] = field(default_factory=list)
    refusals: int = 0

    def refuse(self, line: int, reason: str, column: str = "") -> None:
        self.refusals += 1
        if len(self.refused) < ERRORS_KEPT:
            self.refused.append({"line": line, "column": column[:100], "reason": reason[:500]})


def run_import(upload_pk: int) -> None:
    """The worker's part. Safe to be called again, at any time, by anybody."""
    rows = Upload.objects.unscoped(WHY).select_related("dataset__tenant", "dataset__prompt", "created_by")
    upload = rows.filter(pk=upload_pk, status=UploadStatus.IMPORTING).first()
    if upload is None:
        return
    try:
        actor = Actor.of_user(upload.created_by) if upload.created_by else Actor.system("import of a dataset")
        require(actor, "dataset.edit", upload.dataset.tenant, what="import this file")
        with read_rows(archive(), upload.archive_key, upload.format) as found:
            _import(upload, found)
    except _Stopped:
        return
    except DomainError as error:
        _fail(upload, str(error))
    except ArchiveError as error:
        # It may be back in a minute: the sweep tries again.
        log.warning("import_waits_for_archive", upload=upload.pk, error=str(error))
    except Exception:
        _fail(upload, "Something went wrong on our side. The rows that are counted here are imported.")
        raise


def _import(upload: Upload, found: Iterator[Row | Refused]) -> None:
    mapper = mapper_of(upload)
    seen: dict[str, int] = {}
    batch = _Batch(upload.rows_read)
    for number, row in enumerate(found, 1):
        is_old = number <= upload.rows_read  # what an earlier worker did; only its keys are wanted
        if not is_old:
            batch.read += 1
            batch.end = row.end
        if isinstance(row, Refused):
            if not is_old:
                batch.refuse(row.line, row.reason, row.column)
        else:
            _take(row, mapper, seen, batch, upload, keep=not is_old)
        if len(batch.rows) >= BATCH or batch.read >= 5 * BATCH:
            _commit(upload, batch)
            if upload.status != UploadStatus.IMPORTING:
                return  # too much was refused
            batch = _Batch(upload.rows_read)
    _commit(upload, batch, is_last=True)


def _take(row: Row, mapper: Mapper, seen: dict[str, int], batch: _Batch, upload: Upload, *, keep: bool) -> None:
    try:
        mapped = mapper.mapped(row.values)
        before = seen.setdefault(mapped.key, row.line)
        if before != row.line:
            told = "The same input stands" if mapped.key.startswith("auto-") else f"The key {mapped.key!r} stands"
            raise ExampleInvalid(f"{told} in line {before} already.", field="key")
    except ExampleInvalid as error:
        if keep:
            batch.refuse(row.line, str(error), mapper.column_of(error.field))
        return
    if keep:
        batch.rows.append(Incoming(mapped.key, mapped.content, f"upload {upload.pk}, line {row.line}"))


@transaction.atomic
def _commit(upload: Upload, batch: _Batch, *, is_last: bool = False) -> None:
    dataset = locked(upload.dataset)
    now = _locked(upload)
    if now.status != UploadStatus.IMPORTING or now.rows_read != batch.begun_at:
        raise _Stopped
    if dataset.is_archived:
        raise Conflict(f"{dataset.name} is archived.", code="archived")
    stored = store(dataset, batch.rows, Provenance(Source.UPLOAD, now.created_by))
    outcomes = [each.outcome for each in stored]
    now.rows_read += batch.read
    now.bytes_read = max(now.bytes_read, batch.end)
    now.rows_added += outcomes.count(Outcome.ADDED)
    now.rows_changed += outcomes.count(Outcome.CHANGED)
    now.rows_same += outcomes.count(Outcome.SAME)
    now.rows_refused += batch.refusals
    now.errors = [*now.errors, *batch.refused][:ERRORS_KEPT]
    now.progressed_at = timezone.now()
    if now.rows_refused > MOST_REFUSED:
        is_last = True
        now.error = f"More than {MOST_REFUSED:,} rows were refused: the rest was not read."
    if is_last:
        now.status = UploadStatus.FAILED if now.error else UploadStatus.DONE
        now.finished_at = now.progressed_at
        if not now.error:
            now.bytes_read = now.size
    now.save()
    upload.rows_read, upload.status = now.rows_read, now.status
    if is_last:
        told = {
            "file": now.file_name,
            "added": now.rows_added,
            "changed": now.rows_changed,
            "same": now.rows_same,
            "refused": now.rows_refused,
        }
        actor = Actor.of_user(now.created_by) if now.created_by else Actor.system("import of a dataset")
        audit.record(actor, "dataset.imported", dataset, told, dataset.tenant)
        _forget_file(now)


def mapper_of(upload: Upload) -> Mapper:
    dataset = upload.dataset
    return Mapper(upload.mapping, types_of(dataset), type_of(dataset.expected_schema), schemas_of(dataset))


@transaction.atomic
def _fail(upload: Upload, reason: str) -> None:
    now = _locked(upload)
    if now.status not in OPEN:
        return
    now.status, now.error, now.finished_at = UploadStatus.FAILED, reason[:500], timezone.now()
    now.save(update_fields=["status", "error", "finished_at"])
    upload.status, upload.error = now.status, now.error
    _forget_file(now)


def _forget_file(upload: Upload) -> None:
    transaction.on_commit(lambda: forget_files([upload.archive_key]))


def sweep_uploads() -> None:
    """Each minute: what no worker is at any more is begun again, and files that nobody imported go."""
    now = timezone.now()
    stale = Upload.objects.unscoped(WHY).filter(status=UploadStatus.IMPORTING, progressed_at__lt=now - FORGOTTEN_AFTER)
    for pk in stale.values_list("pk", flat=True)[:20]:
        enqueue(IMPORT_TASK, pk)
    waiting = Upload.objects.unscoped(WHY).filter(status=UploadStatus.RECEIVED, created_at__lt=now - FORGOTTEN_AFTER)
    for pk in waiting.values_list("pk", flat=True)[:20]:
        enqueue(PREPARE_TASK, pk)
    unused = Upload.objects.unscoped(WHY).filter(status__in=OPEN[:2], created_at__lt=now - UNUSED_AFTER)
    for upload in unused.select_related("dataset__tenant")[:100]:
        _fail(upload, "Nobody imported it within two days.")
