"""Parquet, read by a process of its own.

A Parquet file says how large its parts will be once decompressed, and whoever reads it believes it: a file of a few
kilobytes can ask for gigabytes. So the reading is done by a child process whose memory is limited by the kernel. It
writes rows as JSON Lines, which are read like any others; when it dies, that is a clear error. Only the child, started
by a worker, imports pyarrow.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from apps.evaluation.errors import FileRefused
from apps.evaluation.reading.jsonl_rows import parse_object
from apps.evaluation.reading.rows import LINE_BYTES, Refused, Row, lines_of

MEMORY_BYTES = 1024**3
READER = Path(__file__).with_name("parquet_process.py")


@contextmanager
def rows_of(path: Path) -> Iterator[Iterator[Row | Refused]]:
    with _process(path, "rows") as output:
        yield _rows(output)


def total_of(path: Path) -> int:
    """How many rows the file says it has. Raises ``FileRefused``."""
    with _process(path, "total") as output:
        for line in lines_of(output):
            return int(_said(line.data or b"")["total"])
    raise _died()


def _rows(output: IO[bytes]) -> Iterator[Row | Refused]:
    number = 0
    for line in lines_of(output):
        if line.data is None:
            number += 1
            yield Refused(number, f"The row is longer than {LINE_BYTES:,} bytes.")
            continue
        said = _said(line.data)
        if said.get("end"):
            return
        number += 1
        if "refused" in said:
            yield Refused(number, str(said["refused"]), str(said.get("column", "")))
            continue
        try:
            yield Row(number, parse_object(json.dumps(said["row"])))
        except ValueError as error:
            yield Refused(number, str(error))
    raise _died()


def _said(line: bytes) -> dict[str, Any]:
    try:
        said = json.loads(line)
    except ValueError:
        raise _died() from None
    if "failed" in said:
        raise FileRefused(str(said["failed"]), field="file", remedy="Write the file anew, or upload it as CSV.")
    return dict(said)


def _died() -> FileRefused:
    return FileRefused(
        f"The file could not be read within {MEMORY_BYTES // 1024**2:,} MB of memory.",
        field="file",
        remedy="Write it with smaller row groups, or upload it as CSV or JSON Lines.",
    )


@contextmanager
def _process(path: Path, what: str) -> Iterator[IO[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-I", str(READER), what, str(path), str(MEMORY_BYTES)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={"ARROW_DEFAULT_MEMORY_POOL": "system", "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"},
    )
    assert process.stdout is not None
    try:
        with process.stdout as output:
            yield output
    finally:
        process.kill()
        process.wait()
