"""Test cards: magic words that make the sandbox slow, refuse or fail, as a payment provider's card numbers do."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_CARD: Final = re.compile(r"\[\[([a-z-]{1,20})(?::([^\[\]]{0,100}))?\]\]")
_DURATION: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m)")
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0}
MAX_LONG: Final = 100_000
MAX_WAIT: Final = 600.0
SLOW_FIRST, SLOW_CHUNK = 3.0, 0.25


class CardError(ValueError):
    """A card that is not written as it should be. The text says how."""


@dataclass(slots=True)
class Cards:
    """What the cards of a request ask for. Durations in seconds."""

    first: float | None = None
    chunk: float | None = None
    refuse: bool = False
    status: int = 0
    retry_after: int | None = None
    cut: int | None = None
    stall: int | None = None
    timeout: bool = False
    long: int = 0
    no_usage: bool = False


def take(text: str, cards: Cards) -> str:
    """Read the cards in ``text`` into ``cards`` and return the text without them. Unknown ones are left as text."""

    def read(match: re.Match[str]) -> str:
        return "" if apply(match[1], match[2] or "", cards) else match[0]

    return _CARD.sub(read, text) if "[[" in text else text


def take_from_model(model: str, cards: Cards) -> str:
    """``sandbox-chat+slow+cut:5`` is ``sandbox-chat`` with two cards."""
    name, *suffixes = model.split("+")
    for suffix in suffixes:
        card, _, value = suffix.partition(":")
        if not apply(card, value, cards):
            raise CardError(f"There is no test card {card!r}.")
    return name


def apply(card: str, value: str, cards: Cards) -> bool:
    """Whether ``card`` is one. Raises CardError where its value makes no sense."""
    match card:
        case "slow":
            cards.first, cards.chunk = SLOW_FIRST, SLOW_CHUNK
            for name, setting in _settings(card, value):
                if name not in ("first", "chunk"):
                    raise CardError(f"[[slow]] has no setting {name!r}: write [[slow:first=2s,chunk=100ms]].")
                setattr(cards, name, _seconds(setting))
        case "refuse":
            cards.refuse = True
        case "error":
            status, _, rest = value.partition(",")
            cards.status = _whole(card, status, 400, 599)
            for name, setting in _settings(card, rest):
                if name != "retry_after":
                    raise CardError(f"[[error]] has no setting {name!r}: write [[error:429,retry_after=7]].")
                cards.retry_after = _whole(card, setting, 0, 3_600)
        case "cut":
            cards.cut = _whole(card, value, 0, MAX_LONG)
        case "stall":
            cards.stall = _whole(card, value, 0, MAX_LONG)
        case "timeout":
            cards.timeout = True
        case "long":
            cards.long = _whole(card, value, 1, MAX_LONG)
        case "no-usage":
            cards.no_usage = True
        case _:
            return False
    return True


def _settings(card: str, text: str) -> list[tuple[str, str]]:
    settings = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = part.partition("=")
        if not equals:
            raise CardError(f"[[{card}]]: {part!r} is not written name=value.")
        settings.append((name.strip(), value.strip()))
    return settings


def _seconds(text: str) -> float:
    match = _DURATION.fullmatch(text)
    if match is None:
        raise CardError(f"{text!r} is not a duration: write 100ms, 2s or 1m.")
    return min(float(match[1]) * _SECONDS[match[2]], MAX_WAIT)


def _whole(card: str, text: str, least: int, most: int) -> int:
    text = text.strip()
    if not (text.isascii() and text.isdigit() and len(text) < 10 and least <= int(text) <= most):
        raise CardError(f"[[{card}:…]] takes a whole number from {least} to {most}, not {text!r}.")
    return int(text)
