"""How the figures of checks are written. Their rows are plain data: see ``models.MonitorCheck``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apps.evaluation.types import ValueKind


def figure(row: Mapping[str, Any], value: float | None) -> str:
    """A score's value for people."""
    if value is None:
        return "–"
    if row["kind"] == ValueKind.BINARY:
        return f"{value:.1%}"
    unit = f" {row['unit']}" if row["unit"] else ""
    return f"{value:,.3g}{unit}" if abs(value) < 1000 else f"{value:,.0f}{unit}"
