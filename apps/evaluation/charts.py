"""Charts that the server draws: positions for a template's SVG, so that a page needs neither scripts nor styles."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

WIDTH = 100.0
GRID = 24  # cells along each side of a scatter
BINS = 12  # of a distribution


@dataclass(frozen=True, slots=True)
class IntervalRow:
    """A metric's line in the interval plot; places are percents of the width. ``tone``: ok, danger or muted."""

    name: str
    low: float
    high: float
    point: float
    zero: float
    margin: float | None
    noise_low: float | None
    noise_width: float | None
    tone: str


def interval_rows(metrics: Sequence[Mapping[str, Any]]) -> dict[str, IntervalRow]:
    """By the metric's name. Each line has a scale of its own: metrics have different units."""
    found = {}
    for metric in metrics:
        interval, difference = metric.get("interval"), metric.get("difference")
        if not interval or difference is None:
            continue
        noise = metric.get("noise_floor")
        sign = 1 if metric["direction"] == "higher" else -1
        margin = -sign * metric["margin"] if metric.get("margin") else None
        reach = max(
            abs(each) for each in (interval["low"], interval["high"], difference, noise or 0, margin or 0, 1e-12)
        )
        reach *= 1.15

        def place(value: float, reach: float = reach) -> float:
            return round((value / reach + 1) * WIDTH / 2, 3)

        found[metric["name"]] = IntervalRow(
            name=metric["name"],
            low=place(interval["low"]),
            high=place(interval["high"]),
            point=place(difference),
            zero=WIDTH / 2,
            margin=None if margin is None else place(margin),
            noise_low=None if not noise else place(-noise),
            noise_width=None if not noise else round(place(noise) - place(-noise), 3),
            tone={"better": "ok", "worse": "danger"}.get(metric["verdict"], "muted"),
        )
    return found


@dataclass(frozen=True, slots=True)
class Dot:
    x: float
    y: float
    radius: float
    title: str
    tone: str = ""
    url: str = ""


def scatter_dots(scatter: Mapping[str, Any], grid: int, direction: str) -> list[Dot]:
    """Baseline to the right, candidate upwards; the area tells how many examples lie there."""
    cells = scatter.get("cells") or []
    if not cells:
        return []
    most = max(count for _, _, count in cells)
    step = WIDTH / grid
    better = 1 if direction == "higher" else -1
    return [
        Dot(
            x=round((x + 0.5) * step, 2),
            y=round(WIDTH - (y + 0.5) * step, 2),
            radius=round(0.7 + 2.6 * (count / most) ** 0.5, 2),
            title=f"{count:,} example{'s' if count != 1 else ''}",
            tone="tied" if x == y else "improved" if (y - x) * better > 0 else "regressed",
        )
        for x, y, count in cells
    ]


def spread(values: Sequence[float]) -> tuple[float, float]:
    """(low, high) of an axis with room at both ends."""
    low, high = min(values), max(values)
    room = (high - low) * 0.12 or abs(high) * 0.12 or 1.0
    return low - room, high + room


def distribution_of(before: Sequence[float], after: Sequence[float]) -> dict[str, Any]:
    """How many examples of each side lie where."""
    every = [*before, *after]
    if not every:
        return {}
    levels = sorted(set(every))
    if len(levels) <= BINS:
        return {
            "labels": [f"{level:.4g}" for level in levels],
            "baseline": [before.count(level) for level in levels],
            "candidate": [after.count(level) for level in levels],
        }
    low, high = min(every), max(every)
    width = (high - low) / BINS

    def counted(values: Sequence[float]) -> list[int]:
        counts = [0] * BINS
        for value in values:
            counts[min(BINS - 1, int((value - low) / width))] += 1
        return counts

    labels = [f"{low + at * width:.3g}–{low + (at + 1) * width:.3g}" for at in range(BINS)]
    return {"labels": labels, "baseline": counted(before), "candidate": counted(after)}


def scatter_of(pairs: Sequence[tuple[float, float]]) -> dict[str, Any]:
    """Both runs' scores of each example, counted on a grid: ``[column, row, count]``."""
    if not pairs:
        return {}
    every = [value for pair in pairs for value in pair]
    low, high = min(every), max(every)
    span = (high - low) or 1.0
    counts: defaultdict[tuple[int, int], int] = defaultdict(int)
    for before, after in pairs:
        counts[(_cell(before, low, span), _cell(after, low, span))] += 1
    return {"low": low, "high": high, "cells": [[x, y, n] for (x, y), n in sorted(counts.items())]}


def _cell(value: float, low: float, span: float) -> int:
    return min(GRID - 1, int((value - low) / span * GRID))
