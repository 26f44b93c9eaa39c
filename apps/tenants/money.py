"""Money: integers of picodollars (1e-12 USD) inside, exact decimals of dollars at the edges."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

PICO = 10**12


def to_usd(picousd: int) -> Decimal:
    """Exact dollars."""
    return Decimal(picousd).scaleb(-12)


def to_picousd(usd: Decimal | str) -> int:
    """Exact picodollars; ``ValueError`` for what is no amount, or finer than a picodollar."""
    try:
        scaled = Decimal(usd).scaleb(12)
    except InvalidOperation:
        raise ValueError(f"{usd!r} is not an amount of dollars.") from None
    if not scaled.is_finite() or scaled != scaled.to_integral_value():
        raise ValueError(f"{usd} USD cannot be written in whole picodollars (12 decimals).")
    return int(scaled)


def format_usd(picousd: int) -> str:
    """``$1,234.50`` from a cent on; below, as many digits as it takes to see two: ``$0.0042``."""
    amount = to_usd(picousd)
    if amount == 0 or abs(amount) >= Decimal("0.01"):
        return f"${amount:,.2f}" if amount >= 0 else f"-${-amount:,.2f}"
    digits = max(2, 1 - amount.adjusted())
    text = f"{abs(amount):.{digits}f}".rstrip("0")
    return f"{'-' if amount < 0 else ''}${text}"
