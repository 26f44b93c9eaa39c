"""Lists and counts as people read them."""

from __future__ import annotations

from collections.abc import Sequence


def listed_in_words(names: Sequence[str], *, most: int = 5) -> str:
    """``Claims, Lending and Treasury``; of more than ``most``, how many others there are."""
    shown = list(names[:most])
    if len(names) > most:
        shown.append(f"{len(names) - most:,} more")
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}" if shown else ""


def counted(number: int, noun: str) -> str:
    """``1 model``, ``2 models``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
