"""What a request's page says of its route."""

from __future__ import annotations

import pytest

from apps.gateway.routing.explaining import route_words


@pytest.mark.parametrize(
    ("strategy", "score", "says"),
    [
        ("latency", 812.4, "1. a: 812 ms expected"),
        ("latency", 0.0, "1. a: not measured yet"),
        ("least_busy", 0.5, "1. a: 0.50 requests in flight for its weight"),
        ("cost", 2_500_000_000, "1. a: up to $0.002500"),
        ("priority", 3.0, "1. a"),
        ("of another release", 3.0, "1. a"),
    ],
)
def test_scores_are_said_in_their_own_words(strategy: str, score: float, says: str) -> None:
    route = {"slug": "drafts", "strategy": strategy, "scores": [{"endpoint": "a", "score": score}]}
    title, _, details = route_words({"route": route}, ["a"])
    assert title.startswith("Route drafts chose by ")
    assert details == (says,)


def test_arms_chains_and_shadows_are_told() -> None:
    route = {"slug": "drafts", "strategy": "weighted", "arm": "red", "sticky": True, "fallback": "fallback_context"}
    _, note, _ = route_words({"route": route, "shadow_of": "0" * 32}, ["a"])
    for part in ("Arm red", "stays where it began", "too long for the model", f"shadow of request {'0' * 32}"):
        assert part in note


def test_a_plain_model_has_no_route() -> None:
    assert route_words({}, ["a"]) == ("", "", ())
