"""Which format a file is in, by its name and its first bytes; and its rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePath
from typing import BinaryIO

from apps.evaluation.errors import FileRefused
from apps.evaluation.reading import csv_rows, jsonl_rows
from apps.evaluation.reading.rows import Refused, Row
from apps.evaluation.types import UploadFormat
from apps.tenants.archive import Archive

_BY_SUFFIX = {
    ".csv": UploadFormat.CSV,
    ".tsv": UploadFormat.CSV,
    ".txt": UploadFormat.CSV,
    ".jsonl": UploadFormat.JSONL,
    ".ndjson": UploadFormat.JSONL,
    ".json": UploadFormat.JSONL,
    ".parquet": UploadFormat.PARQUET,
    ".pq": UploadFormat.PARQUET,
}
COMPRESSED = {
    b"PK\x03\x04": "a zip file (an Excel workbook is one, too)",
    b"PK\x05\x06": "an empty zip file",
    b"\x1f\x8b": "compressed by gzip",
    b"BZh": "compressed by bzip2",
    b"\xfd7zXZ": "compressed by xz",
    b"\x28\xb5\x2f\xfd": "compressed by zstd",
    b"7z\xbc\xaf": "a 7z archive",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
}
_WIDE = {b"\xff\xfe\x00\x00": "UTF-32", b"\x00\x00\xfe\xff": "UTF-32", b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}
TAKEN = "Upload CSV, JSON Lines or Parquet"
FIRST_BYTES = 4096


def format_of(file_name: str) -> UploadFormat:
    """By its ending. Raises ``FileRefused``."""
    suffix = PurePath(file_name.lower()).suffix
    found = _BY_SUFFIX.get(suffix)
    if found is None:
        told = f"ends with {suffix[:20]!r}" if suffix else "has no ending"
        raise FileRefused(f"The file {told}.", field="file", remedy=f"{TAKEN}: .csv, .tsv, .jsonl, .parquet.")
    return found


def sniff(first: bytes, declared: UploadFormat) -> UploadFormat:
    """The format by the file's first bytes. Raises ``FileRefused`` for what is none of ours, whatever its name."""
    for magic, name in COMPRESSED.items():
        if first.startswith(magic):
            raise FileRefused(
                f"The file is {name}.", field="file", remedy=f"{TAKEN} as it is, not compressed; from Excel: CSV UTF-8."
            )
    if first.startswith(b"PAR1"):
        return UploadFormat.PARQUET
    if declared == UploadFormat.PARQUET:
        raise FileRefused("The file is no Parquet file.", field="file", remedy=f"{TAKEN}.")
    for mark, name in _WIDE.items():
        if first.startswith(mark):
            raise _wide(name)
    if not first.strip():
        raise FileRefused("The file is empty.", field="file")
    if first.count(0) > len(first) // 8:
        even, odd = first[::2].count(0), first[1::2].count(0)
        if max(even, odd) > 8 * min(even, odd):
            raise _wide("UTF-16")
        raise FileRefused("The file is not a text file.", field="file", remedy=f"{TAKEN}.")
    text = first.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text[:9].lower() == b"<!doctype" or text[:5].lower() == b"<html":
        raise FileRefused(
            "The file is a web page.",
            field="file",
            remedy=f"Where it was downloaded you may have to sign in first. {TAKEN}.",
        )
    if declared == UploadFormat.JSONL and text.startswith(b"["):
        raise FileRefused(
            "The file is one JSON list.", field="file", remedy="Put each row on a line of its own, as an object."
        )
    return declared


def _wide(name: str) -> FileRefused:
    return FileRefused(f"The file is in {name}.", field="file", remedy="Save it as UTF-8 (in Excel: CSV UTF-8).")


@contextmanager
def read_rows(archive: Archive, key: str, format: str) -> Iterator[Iterator[Row | Refused]]:
    """The rows of a file in the archive. Raises ``FileRefused``, at once or while they are read."""
    if format == UploadFormat.PARQUET:
        from apps.evaluation.reading import parquet_rows  # the worker's alone

        with archive.local(key) as path, parquet_rows.rows_of(path) as rows:
            yield rows
        return
    with archive.open(key) as file:
        yield text_rows(file, format)


def text_rows(file: BinaryIO, format: str) -> Iterator[Row | Refused]:
    return jsonl_rows.rows_of(file) if format == UploadFormat.JSONL else csv_rows.rows_of(file)
