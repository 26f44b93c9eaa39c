"""A version as a file: JSON Lines as in the archive, or CSV for a spreadsheet, in which no cell is a formula."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from apps.evaluation.models import DatasetVersion
from apps.evaluation.selectors.datasets import exported
from apps.gateway.csv_files import csv_lines

FORMATS = {"jsonl": "application/x-ndjson", "csv": "text/csv"}


def export_lines(version: DatasetVersion, format: str) -> Iterator[str]:
    """``format`` is one of ``FORMATS``."""
    if format == "jsonl":
        return (json.dumps(row, ensure_ascii=False) + "\n" for row in exported(version))
    names = list(dict.fromkeys(name for row in exported(version) for name in row["input"]))
    head = ["key", *(f"input.{name}" for name in names), "expected", "context", "tags", "slice", "split"]
    return csv_lines(head, (_cells(row, names) for row in exported(version)))


def _cells(row: dict[str, Any], names: list[str]) -> list[str]:
    return [
        row["key"],
        *(_cell(row["input"].get(name)) for name in names),
        _cell(row["expected"]),
        _cell(row["context"] or None),
        ", ".join(row["tags"]),
        row["slice"],
        row["split"],
    ]


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def file_name(version: DatasetVersion, format: str) -> str:
    return f"{version.dataset.slug}-v{version.number}.{format}"
