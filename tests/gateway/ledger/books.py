"""What ledger tests write into a spool, and what they read back from the database."""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from apps.gateway.ledger import files
from apps.gateway.ledger.files import SegmentName
from apps.gateway.ledger.lines import AnyLine, Intent, RequestLine, Settlement
from apps.gateway.models import RequestLog, UsageRecord, UsageRollup

NOW_MS = time.time_ns() // 1_000_000
_encode = msgspec.json.Encoder().encode


def encoded(*lines: AnyLine) -> bytes:
    return b"".join(_encode(line) + b"\n" for line in lines)


def intent(number: int, **fields: Any) -> Intent:
    known: dict[str, Any] = {
        "request_id": f"{number:032x}",
        "attempt_id": f"a{number:031x}",
        "at": NOW_MS + number,
        "tenant_id": 1,
    }
    known |= {"project_id": 2, "api_key_id": 3, "model_id": 4, "endpoint_id": 5, "input_tokens": 11}
    known |= {"model_slug": "small", "operation": "chat.completions", "streamed": True}
    return Intent(**(known | fields))


def settlement(number: int, **fields: Any) -> Settlement:
    known: dict[str, Any] = {
        "request_id": f"{number:032x}",
        "attempt_id": f"a{number:031x}",
        "at": NOW_MS + number,
        "tenant_id": 1,
    }
    known |= {"project_id": 2, "api_key_id": 3, "model_id": 4, "endpoint_id": 5, "http_status": 200}
    known |= {"input_tokens": 10 + number, "output_tokens": number, "cost_picousd": 1000 + number, "duration_ms": 7}
    return Settlement(**({"status": "measured", "outcome": "ok"} | known | fields))


def request(number: int, **fields: Any) -> RequestLine:
    known: dict[str, Any] = {
        "request_id": f"{number:032x}",
        "at": NOW_MS + number,
        "tenant_id": 1,
        "project_id": 2,
        "api_key_id": 3,
    }
    known |= {
        "operation": "chat.completions",
        "outcome": "ok",
        "http_status": 200,
        "attempts": 1,
        "model_slug": "small",
    }
    return RequestLine(**({"why": {"rule": f"n° {number}"}} | known | fields))


def whole(number: int) -> bytes:
    """A request that went well: its three lines."""
    return encoded(intent(number), settlement(number), request(number))


def dead_segment(directory: Path, data: bytes, *, writer: str = "", sequence: int = 1) -> Path:
    """A segment whose writer is no more."""
    directory.mkdir(exist_ok=True, parents=True)
    path = directory / str(SegmentName(writer or files.new_writer(), sequence))
    path.write_bytes(data)
    return path


def dead_copy(source: Path, directory: Path) -> None:
    """Every line of a spool again, from another writer that is no more, in another order."""
    lines = [line for path in sorted(source.glob("*.jsonl")) for line in path.read_bytes().splitlines(keepends=True)]
    secrets.SystemRandom().shuffle(lines)
    writer = files.new_writer()
    for sequence, start in enumerate(range(0, len(lines), 97), start=1):
        dead_segment(directory, b"".join(lines[start : start + 97]), writer=writer, sequence=sequence)


def keep(spool: Path, copy: Path) -> None:
    shutil.copytree(spool, copy, dirs_exist_ok=True)


def records() -> list[dict[str, Any]]:
    return [dict(row) for row in UsageRecord.objects.unscoped("test").order_by("attempt_id").values()]


def requests() -> list[dict[str, Any]]:
    return [dict(row) for row in RequestLog.objects.unscoped("test").order_by("request_id").values()]


def rollups() -> list[dict[str, Any]]:
    names = [field.name for field in UsageRollup._meta.fields if field.name != "id"]
    return sorted(UsageRollup.objects.unscoped("test").values(*names), key=repr)


def books() -> tuple[Any, ...]:
    """Everything the ledger says, for comparison."""
    return (
        [{name: value for name, value in row.items() if name != "id"} for row in records()],
        [{name: value for name, value in row.items() if name != "id"} for row in requests()],
        rollups(),
    )


def summed(rows: Iterable[dict[str, Any]], names: Sequence[str]) -> dict[str, int]:
    rows = list(rows)
    return {name: sum(row[name] for row in rows) for name in names}
