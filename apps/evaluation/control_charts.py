"""What the pages show of a monitor's checks: the newest figures, a small line, and the control chart with its words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils import timezone

from apps.evaluation.figures import figure
from apps.evaluation.models import MonitorCheck
from apps.evaluation.types import CheckVerdict, ValueKind

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Line:
    """What one chart follows: a scorer's figure of one version's answers, or (None) of all that answered."""

    scorer: str
    name: str
    version: int | None

    @property
    def key(self) -> str:
        return f"{self.scorer}.{self.version or ''}"

    @property
    def title(self) -> str:
        return self.name if self.version is None else f"{self.name}, version {self.version}"

    def row_of(self, check: MonitorCheck) -> Row | None:
        rows = (row for row in check.statistics if (row["scorer"], row["version"]) == (self.scorer, self.version))
        return next(rows, None)


@dataclass(frozen=True, slots=True)
class Shown:
    """A figure beside what it is compared with, as people read them."""

    title: str
    value: str
    centre: str
    low: str
    high: str
    n: int
    is_out: bool
    is_few: bool
    scorer: str
    fails: bool
    """Whether single answers of it can be said to have failed: the run's page lists those."""


def shown_of(check: MonitorCheck) -> list[Shown]:
    """Its figures, those that are out of control first."""
    found = [
        Shown(
            title=Line(row["scorer"], row["name"], row["version"]).title,
            value=figure(row, row.get("compared", row["mean"])),
            centre=figure(row, row.get("centre")),
            low=figure(row, row.get("low")),
            high=figure(row, row.get("high")),
            n=row["n"],
            is_out=row["verdict"] == CheckVerdict.OUT,
            is_few=row["verdict"] == CheckVerdict.INSUFFICIENT,
            scorer=row["scorer"],
            fails=row["kind"] == ValueKind.BINARY,
        )
        for row in check.statistics
    ]
    return sorted(found, key=lambda each: (not each.is_out, each.is_few))


def lines_of(checks: Sequence[MonitorCheck]) -> list[Line]:
    """What there is to follow in ``checks`` (oldest first): what the newest of them looked at comes first."""
    found: dict[str, Line] = {}
    for check in reversed(checks):
        for row in sorted(check.statistics, key=lambda each: each["verdict"] != CheckVerdict.OUT):
            line = Line(row["scorer"], row["name"], row["version"])
            found.setdefault(line.key, line)
    return list(found.values())


def spark_of(checks: Sequence[MonitorCheck]) -> list[float]:
    """The first line's values in ``checks`` (oldest first)."""
    lines = lines_of(checks)
    rows = [lines[0].row_of(check) for check in checks] if lines else []
    return [row.get("compared", row["mean"]) for row in rows if row is not None and row["mean"] is not None]


@dataclass(frozen=True, slots=True)
class Chart:
    """``data`` is for the chart's component; ``outside`` counts the points beyond a limit, ``worse`` those that count.

    ``newest`` is the last point's row, of which the legend tells.
    """

    line: Line
    data: dict[str, Any]
    unit: str
    newest: Row
    points: int
    outside: int
    worse: int

    @property
    def centre(self) -> str:
        return figure(self.newest, self.newest["centre"])

    @property
    def low(self) -> str:
        return figure(self.newest, self.newest["low"])

    @property
    def high(self) -> str:
        return figure(self.newest, self.newest["high"])

    @property
    def higher_is_better(self) -> bool:
        return bool(self.newest["direction"] == "higher")


def chart_of(
    line: Line, checks: Sequence[MonitorCheck], *, moving: bool, url_of: Callable[[MonitorCheck], str]
) -> Chart | None:
    """``checks`` are oldest first; None where no point of the line was compared with limits."""
    pairs = [(check, row) for check in checks if (row := line.row_of(check)) is not None and "compared" in row]
    if not pairs:
        return None
    rows = [row for _, row in pairs]
    bad = [row["compared"] if row["verdict"] == CheckVerdict.OUT else None for row in rows]
    good = [row["compared"] if row.get("is_better") else None for row in rows]
    series = [_series("Moving average" if moving else "Each check", rows, "compared", dots=True, tone="series-1")]
    if moving:
        series.append(_series("Each check by itself", rows, "mean", dashed=True, tone="series-5"))
    if any(each is not None for each in bad):
        series.append({"name": "Outside, for the worse", "values": bad, "points": True, "tone": "danger"})
    if any(each is not None for each in good):
        series.append({"name": "Outside, for the better", "values": good, "points": True, "tone": "ok"})
    series.append(_series("Baseline's mean", rows, "centre", dashed=True, tone="series-8"))
    series += [_series(name, rows, key, stepped=True, tone="warn") for name, key in _LIMITS]
    data = {
        "labels": [f"{timezone.localtime(check.until):%-d %b, %H:%M}" for check, _ in pairs],
        "series": series,
        "links": [url_of(check) for check, _ in pairs],
        "zero": False,
    }
    worse, better = sum(each is not None for each in bad), sum(each is not None for each in good)
    return Chart(line, data, _unit(rows[-1]), rows[-1], len(rows), worse + better, worse)


_LIMITS = (("Upper limit", "high"), ("Lower limit", "low"))


def _series(name: str, rows: Sequence[Row], key: str, **look: Any) -> dict[str, Any]:
    return {"name": name, "values": [row[key] for row in rows], **look}


def _unit(row: Row) -> str:
    if row["kind"] == ValueKind.BINARY:
        return "percent"
    return {"ms": "ms", "USD": "usd"}.get(row["unit"], "")
