"""How scores and the figures of runs are written. A row with a ``scorer_version`` says what its values are in."""

from __future__ import annotations

import json
import math
from datetime import datetime
from decimal import Decimal
from typing import Any

from django import template

from portal import formats

register = template.Library()


def written(value: float | None, version: Any) -> str:
    """A value of a scorer: a share, an amount of its unit, or a plain figure."""
    if value is None or not math.isfinite(value):
        return formats.NOTHING
    if version.value_kind == "binary":
        return formats.percent(value)
    match version.unit:
        case "ms":
            return formats.ms(value)
        case "USD":
            return formats.usd(Decimal(f"{value:.12f}"))
        case "":
            return figure(value)
        case unit:
            return f"{figure(value)} {unit}"


@register.filter
def figure(value: float | None) -> str:
    """``0.873``, ``4.2``, ``1,250``: three digits that count."""
    if value is None or not math.isfinite(value):
        return formats.NOTHING
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    text = f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


@register.filter
def metric_value(metric: Any) -> str:
    return written(metric.summary.get("mean"), metric.scorer_version)


@register.filter
def metric_low(metric: Any) -> str:
    return written(metric.summary.get("low"), metric.scorer_version)


@register.filter
def metric_high(metric: Any) -> str:
    return written(metric.summary.get("high"), metric.scorer_version)


@register.filter
def score_value(score: Any) -> str:
    """One item's score: yes or no as a word, an error as one."""
    if score.value is None:
        return "error"
    if score.scorer_version.value_kind == "binary":
        return score.label or ("yes" if score.value else "no")
    return written(score.value, score.scorer_version)


@register.filter
def is_pass(score: Any) -> bool | None:
    """Of a yes-or-no scorer whether this is the better answer; None of any other."""
    if score.value is None or score.scorer_version.value_kind != "binary":
        return None
    wants_yes: bool = score.scorer_version.direction == "higher"
    return bool(score.value) == wants_yes


@register.filter
def seconds(value: float | None) -> str:
    return formats.ms(None if value is None else value * 1000)


@register.filter
def took(run: Any) -> str:
    started: datetime | None = run.started_at
    ended: datetime | None = run.finished_at
    return formats.NOTHING if started is None or ended is None else seconds((ended - started).total_seconds())


@register.filter
def as_text(value: Any) -> str:
    """A JSON value for people: a text as itself, anything else indented."""
    if value is None:
        return formats.NOTHING
    return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
