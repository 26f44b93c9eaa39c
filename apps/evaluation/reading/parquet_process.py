"""The program that ``parquet_rows`` starts: ``parquet_process.py rows|total PATH MEMORY_BYTES``. It knows no Django.

Each line that it writes is one JSON object: ``{"row": {…}}``, ``{"refused": "why", "column": …}``, ``{"total": n}``,
``{"failed": "why"}``, and ``{"end": true}`` after the last row.
"""

from __future__ import annotations

import base64
import datetime
import decimal
import json
import math
import resource
import sys
import uuid
from pathlib import Path
from typing import Any

MOST_COLUMNS = 200
FOOTER_BYTES = 16 * 1024**2
GROUP_BYTES = 512 * 1024**2
BATCH = 64


class Unfit(Exception):
    pass


def say(**what: Any) -> None:
    sys.stdout.write(json.dumps(what, allow_nan=False) + "\n")


def main(what: str, path: str, memory: str) -> int:
    try:
        check_footer(Path(path))
        import pyarrow
        import pyarrow.parquet

        # Only now: what the library itself maps does not count against the file.
        resource.setrlimit(resource.RLIMIT_AS, (_mapped() + int(memory),) * 2)
        try:
            file = pyarrow.parquet.ParquetFile(
                path, thrift_string_size_limit=FOOTER_BYTES, thrift_container_size_limit=100_000
            )
            check_shape(file)
            if what == "total":
                say(total=file.metadata.num_rows)
            else:
                write_rows(file)
        except (pyarrow.ArrowException, OSError, ValueError) as error:
            told = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
            raise Unfit(f"The file cannot be read as Parquet: {told}") from None
    except Unfit as error:
        say(failed=str(error))
    except MemoryError:
        return 3
    return 0


def _mapped() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if Path("/proc/self/statm").exists() else 0
    return pages * resource.getpagesize()


def check_footer(path: Path) -> None:
    """The footer's length is the file's own word: looked at before anything is allocated for it."""
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(size - 8, 0))
        end = file.read(8)
    if len(end) < 8 or end[4:] != b"PAR1":
        raise Unfit("The file has no end: it was cut off on its way, or is no Parquet file.")
    footer = int.from_bytes(end[:4], "little")
    if footer + 12 > size:
        raise Unfit("The file's footer says that it is longer than the file.")
    if footer > FOOTER_BYTES:
        raise Unfit(f"The file's footer has {footer:,} bytes; at most {FOOTER_BYTES:,} are read.")


def check_shape(file: Any) -> None:
    names = file.schema_arrow.names
    if len(names) > MOST_COLUMNS:
        raise Unfit(f"There are {len(names)} columns; at most {MOST_COLUMNS} fit.")
    for name in names:
        if names.count(name) > 1:
            raise Unfit(f"The column {name[:30]!r} is there twice.")
    for group in range(file.metadata.num_row_groups):
        size = file.metadata.row_group(group).total_byte_size
        if not 0 <= size <= GROUP_BYTES:
            raise Unfit(f"Row group {group + 1} says that it has {size:,} bytes; at most {GROUP_BYTES:,} are read.")


def write_rows(file: Any) -> None:
    for batch in file.iter_batches(batch_size=BATCH, use_threads=False):
        columns = batch.schema.names
        for at in range(batch.num_rows):
            column = ""
            try:
                row = {}
                for column in columns:
                    row[column] = plain(batch.column(column)[at].as_py())
                say(row=row)
            except (ValueError, TypeError, OverflowError) as error:
                say(refused=str(error)[:200], column=column)
    say(end=True)


def plain(value: Any) -> Any:
    """As JSON has it. Raises ``ValueError`` for what it has not."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            if not math.isfinite(value):
                raise ValueError("NaN and Infinity are no values; leave the cell empty.")
            return value
        case decimal.Decimal():
            if not value.is_finite():
                raise ValueError("NaN and Infinity are no values; leave the cell empty.")
            return int(value) if value == value.to_integral_value() and abs(value) < 2**53 else float(value)
        case datetime.datetime() | datetime.date() | datetime.time():
            return value.isoformat()
        case datetime.timedelta():
            return value.total_seconds()
        case uuid.UUID():
            return str(value)
        case bytes():
            try:
                return value.decode("utf-8")
            except UnicodeDecodeError:
                raise ValueError(f"The cell holds bytes ({base64.b64encode(value[:6]).decode()}…), not text.") from None
        case list() | tuple():
            # A map comes as a list of pairs.
            return [plain(each) for each in value]
        case dict():
            return {str(name): plain(each) for name, each in value.items()}
    raise ValueError(f"The cell is of the kind {type(value).__name__}.")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
