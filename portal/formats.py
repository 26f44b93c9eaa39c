"""How numbers, money, durations and names are written for people. Pure functions; the template filters call them."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal

PICO = Decimal(10) ** 12
NOTHING = "–"

Number = int | float | Decimal


def _trim(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text


def num(value: Number | None, decimals: int = 2) -> str:
    """``1234567`` -> ``1,234,567``; fractions keep up to ``decimals`` places."""
    if value is None:
        return NOTHING
    if isinstance(value, int):
        return f"{value:,}"
    if not math.isfinite(value):
        return NOTHING
    return _trim(f"{value:,.{decimals}f}")


def compact(value: Number | None) -> str:
    """``1234567`` -> ``1.2M``: three significant digits at most, where the size matters more than the digits."""
    if value is None or not math.isfinite(value):
        return NOTHING
    sign, amount = ("-" if value < 0 else ""), abs(Decimal(str(value)))
    for unit, size in (("T", 10**12), ("B", 10**9), ("M", 10**6), ("K", 10**3)):
        # 999,950 reads "1M", not "1000K": the unit is chosen after rounding.
        if amount >= size * Decimal("0.9995"):
            scaled = amount / size
            return f"{sign}{_trim(f'{scaled:.0f}' if scaled >= Decimal('99.95') else f'{scaled:.1f}')}{unit}"
    return sign + _trim(f"{amount:.2f}" if amount < 10 else f"{amount:.0f}")


def to_usd(value: Number) -> Decimal:
    """Picodollars (``int``) as dollars; a ``Decimal`` is taken to be dollars already."""
    return value if isinstance(value, Decimal) else Decimal(value) / PICO


def usd(value: Number | None) -> str:
    """Picodollars (``int``) or dollars (``Decimal``): ``$12.40``; under a dollar three digits count, ``$0.0042``."""
    if value is None:
        return NOTHING
    amount = to_usd(value)
    sign, amount = ("-" if amount < 0 else ""), abs(amount)
    if amount == 0:
        return "$0.00"
    if amount >= 1:
        return f"{sign}${amount:,.2f}"
    if amount < Decimal("0.000001"):
        return f"{sign}<$0.000001"
    places = 2 - amount.adjusted()
    text = _trim(f"{amount:.{places}f}")
    whole, _, fraction = text.partition(".")
    return f"{sign}${whole}.{fraction:0<2}"


def usd_exact(value: Number | None) -> str:
    """Every digit that is there: for tooltips, statements and exports."""
    if value is None:
        return NOTHING
    amount = to_usd(value)
    whole, _, fraction = f"{abs(amount):,f}".partition(".")
    return f"{'-' if amount < 0 else ''}${whole}.{fraction.rstrip('0'):0<2}"


def tokens(value: Number | None) -> str:
    """``12400`` -> ``12.4K tokens``."""
    if value is None:
        return NOTHING
    return f"{compact(value)} token{'' if value == 1 else 's'}"


def ms(value: Number | None) -> str:
    """A duration in milliseconds: ``0.43 ms``, ``430 ms``, ``2.1 s``, ``1 min 35 s``, ``2 h 5 min``."""
    if value is None or not math.isfinite(value):
        return NOTHING
    amount = float(value)
    if amount < 10:
        return f"{_trim(f'{amount:.2f}')} ms"
    if amount < 999.5:
        return f"{amount:.0f} ms"
    if amount < 59_950:
        return f"{_trim(f'{amount / 1000:.1f}')} s"
    seconds = round(amount / 1000)
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s" if seconds % 60 else f"{seconds // 60} min"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes % 60 else f"{minutes // 60} h"


def percent(value: Number | None, decimals: int = 1) -> str:
    """A share (``0.123``) as ``12.3%``."""
    if value is None or not math.isfinite(value):
        return NOTHING
    return f"{_trim(f'{float(value) * 100:.{decimals}f}')}%"


def relative(moment: dt.datetime, now: dt.datetime) -> str:
    """``3 min ago``, ``in 2 d``. The browser keeps it fresh (``static/js/time.js`` has the same steps)."""
    seconds = (now - moment).total_seconds()
    amount = abs(seconds)
    if amount < 45:
        return "just now" if seconds >= 0 else "in a moment"
    for limit, size, unit in (
        (3_600, 60, "min"),
        (86_400, 3_600, "h"),
        (30 * 86_400, 86_400, "d"),
        (365 * 86_400, 30 * 86_400, "mo"),
        (math.inf, 365 * 86_400, "y"),
    ):
        if amount < limit:
            text = f"{max(1, math.floor(amount / size + 0.5))} {unit}"
            return f"{text} ago" if seconds >= 0 else f"in {text}"
    raise AssertionError("unreachable: the last limit is infinite")


def initials(name: str) -> str:
    """``Ada Lovelace`` -> ``AL``; ``ada.lovelace@bank.test`` -> ``AL``; never empty."""
    words = [word for word in name.split("@")[0].replace(".", " ").replace("_", " ").replace("-", " ").split() if word]
    if not words:
        return "?"
    if len(words) == 1:
        return words[0][:2].upper()
    return (words[0][0] + words[-1][0]).upper()


def sparkline_points(
    values: list[float], width: float = 100, height: float = 28, pad: float = 2
) -> list[tuple[float, float]]:
    """The polyline of ``values`` in a box of ``width`` x ``height``, standing on zero unless some are negative."""
    if not values:
        return []
    low, high = min(values), max(values)
    low = min(low, 0.0) if low >= 0 else low
    span = high - low
    step = width / (len(values) - 1) if len(values) > 1 else 0.0

    def y(value: float) -> float:
        share = (value - low) / span if span else 0.0
        return round(height - pad - share * (height - 2 * pad), 2)

    points = [(round(index * step, 2), y(value)) for index, value in enumerate(values)]
    return points if len(points) > 1 else [points[0], (width, points[0][1])]
