"""How figures are written for people: shares in per cent, their differences in percentage points, the rest as it is."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from apps.evaluation.types import ValueKind

POINTS: Final = " points"


def figure(row: Mapping[str, Any], value: float | None) -> str:
    """A score's value in a row of a check, which is plain data: see ``models.MonitorCheck``."""
    if value is None:
        return "–"
    if row["kind"] == ValueKind.BINARY:
        return f"{value:.1%}"
    unit = f" {row['unit']}" if row["unit"] else ""
    return f"{value:,.3g}{unit}" if abs(value) < 1000 else f"{value:,.0f}{unit}"


def level(value: float | None, kind: str) -> str:
    """A mean of scores of a kind: ``86.7%``, ``0.412``."""
    if value is None:
        return "–"
    return f"{value:.1%}" if kind == ValueKind.BINARY else _plain(value)


def one_score(value: float | None, kind: str) -> str:
    """What one example got: yes or no as a word, unless repetitions differ."""
    if kind == ValueKind.BINARY and value in (0, 1):
        return "yes" if value else "no"
    return level(value, kind)


def change(value: float | None, kind: str, *, signed: bool = True) -> str:
    """The difference between two means: ``+4.2 points``, ``-0.031``. Unsigned for what is a size: a margin, a floor."""
    if value is None:
        return "–"
    sign = "+" if signed else ""
    return f"{100 * value:{sign}.1f}{POINTS}" if kind == ValueKind.BINARY else _plain(value, sign)


def between(low: float, high: float, kind: str) -> str:
    """The interval of a difference: ``+9.2 to +30.0 points``."""
    return f"{change(low, kind).removesuffix(POINTS)} to {change(high, kind)}"


def _plain(value: float, sign: str = "") -> str:
    if abs(value) >= 1_000:
        return f"{value:{sign},.0f}"
    return f"{Decimal(f'{value:.3g}').normalize():{sign}f}"  # no exponent, however small it is
