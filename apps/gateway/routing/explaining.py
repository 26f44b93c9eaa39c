"""What a route decided, in words: from the facts that the gateway wrote down (``RequestLog.why``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from apps.gateway.types import Purpose, Strategy

_SCORES = {
    Strategy.LEAST_BUSY: "{:,.2f} requests in flight for its weight",
    Strategy.LATENCY: "{:,.0f} ms expected",
    Strategy.COST: "",  # picodollars: said as money below
}
_FALLBACKS = {
    Purpose.FALLBACK_CONTEXT: "The input was too long for the model: its own chain of targets was asked.",
    Purpose.FALLBACK_POLICY: "The provider's content policy refused: its own chain of targets was asked.",
}


def route_words(why: Mapping[str, Any], candidates: Sequence[str]) -> tuple[str, str, tuple[str, ...]]:
    """(title, note, details) of a request that a route served; a title of "" where none did."""
    route = why.get("route")
    if not isinstance(route, dict) or not route.get("slug"):
        return "", "", ()
    strategy = Strategy(route["strategy"]) if route.get("strategy") in Strategy.values else Strategy.PRIORITY
    title = f"Route {route['slug']} chose by {strategy.label.lower()}"
    if not candidates:
        title = f"Route {route['slug']} found nobody to ask"
    notes = []
    if isinstance(route.get("revision"), int):
        notes.append(f"By its revision {route['revision']}.")
    if route.get("arm"):
        notes.append(f"Arm {route['arm']} of its comparison.")
    if route.get("sticky"):
        notes.append("A conversation stays where it began.")
    if route.get("fallback") in Purpose.values:
        notes.append(_FALLBACKS.get(Purpose(route["fallback"]), ""))
    if why.get("shadow_of"):
        notes.append(f"A shadow of request {why['shadow_of']}: nobody was answered from it.")
    scores = {
        str(each.get("endpoint")): each.get("score") for each in route.get("scores", ()) if isinstance(each, dict)
    }
    details = tuple(
        f"{number}. {name}{_score(strategy, scores.get(name))}" for number, name in enumerate(candidates, 1)
    )
    return title, " ".join(note for note in notes if note), details


def _score(strategy: Strategy, score: Any) -> str:
    if not isinstance(score, int | float) or strategy not in _SCORES:
        return ""
    if strategy is Strategy.COST:
        return f": up to ${score / 1e12:,.6f}"
    return (
        ": not measured yet" if strategy is Strategy.LATENCY and not score else f": {_SCORES[strategy].format(score)}"
    )
