"""The order in which a request's candidates are asked: what serves it, what is healthy, what the strategy says.

Pure decisions over a plan, the request's facts and the endpoints' health; the same code answers a simulation. Chance
is a hash: of the request's id, or of the conversation's where a route is sticky. So a conversation meets the same order
in every process and after every restart, with nothing remembered anywhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final

from apps.gateway.routing.facts import RequestFacts
from apps.gateway.routing.health import Blocked, Health
from apps.gateway.routing.plans import Candidate, Plan, TargetFacts
from apps.gateway.types import Purpose, Strategy

# What an answer is taken to be long where speed or cost is compared and no maximum was named.
USUAL_OUTPUT_TOKENS: Final = 256

Serves = Callable[[Candidate], bool]


@dataclass(frozen=True, slots=True)
class Selection:
    """``order`` is asked one after the other; ``left_out`` says why the others are not, and who may not be asked now.

    ``scores`` are what the strategy compared, the lower the better; ``blocked`` are those whose health alone keeps them
    out.
    """

    order: tuple[Candidate, ...]
    left_out: tuple[tuple[str, str], ...]
    scores: tuple[tuple[str, float], ...] = ()
    blocked: tuple[Blocked, ...] = ()

    @property
    def arm(self) -> str:
        """What an A/B comparison has drawn."""
        return self.order[0].arm if self.order else ""


@dataclass(frozen=True, slots=True)
class Asking:
    """One request as it is ordered for. ``seed`` is the conversation of a sticky route, else the request's id."""

    seed: str
    now: float  # Unix seconds, for prices and the ends of grants
    facts: RequestFacts = field(default_factory=RequestFacts)
    input_tokens: int = 0  # estimated
    output_tokens: int = USUAL_OUTPUT_TOKENS


def select(plan: Plan, health: Health, serves: Serves, asking: Asking) -> Selection:
    """The order for one request."""
    if plan.route is None:
        return _in_order(plan, health, serves)
    left_out = list(plan.left_out)
    fitting = [each for each in plan.candidates if _fits(each, serves, asking, left_out)]
    healthy, blocked = _healthy(fitting, health, left_out)
    scored = _scored(plan.route.strategy, healthy, health, asking, sticky=plan.route.sticky)
    scored.sort(key=lambda each: (health.comes_last(each[1].endpoint.id), each[0]))
    order = _once_each(candidate for _, candidate in scored)
    scores = tuple((candidate.label, round(rank[1], 6)) for rank, candidate in scored)
    return Selection(order, tuple(left_out), scores, blocked)


def fallbacks(plan: Plan, purpose: Purpose, health: Health, serves: Serves, asking: Asking) -> Selection:
    """The candidates of a special chain, by position: they pass the same checks as all others."""
    left_out: list[tuple[str, str]] = []
    fitting = [each for each in plan.fallbacks.get(purpose, ()) if _fits(each, serves, asking, left_out)]
    healthy, blocked = _healthy(fitting, health, left_out)
    return Selection(_once_each(sorted(healthy, key=_position)), tuple(left_out), (), blocked)


def drawn(seed: str, what: str) -> float:
    """A number in (0, 1), evenly distributed over seeds."""
    digest = blake2b(f"{seed}\0{what}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest) + 1) / (2**64 + 2)


def _in_order(plan: Plan, health: Health, serves: Serves) -> Selection:
    """A plain model: its endpoints by priority. As a rule all of them are well, and nothing is made anew."""
    for candidate in plan.candidates:
        endpoint_id = candidate.endpoint.id
        if health.blocked(endpoint_id) is not None or health.comes_last(endpoint_id) or not serves(candidate):
            break
    else:
        return Selection(plan.candidates, plan.left_out)
    left_out = list(plan.left_out)
    fitting = [each for each in plan.candidates if _served(each, serves, left_out)]
    healthy, blocked = _healthy(fitting, health, left_out)
    healthy.sort(key=lambda each: health.comes_last(each.endpoint.id))
    return Selection(tuple(healthy), tuple(left_out), (), blocked)


def _served(candidate: Candidate, serves: Serves, left_out: list[tuple[str, str]]) -> bool:
    if serves(candidate):
        return True
    left_out.append((candidate.label, "does not serve this operation"))
    return False


def _fits(candidate: Candidate, serves: Serves, asking: Asking, left_out: list[tuple[str, str]]) -> bool:
    facts, target = asking.facts, candidate.endpoint.target
    if candidate.ends_at is not None and candidate.ends_at <= asking.now:
        left_out.append((candidate.label, "the grant of its model has ended"))
    elif not _served(candidate, serves, left_out):
        pass
    elif facts.has_images and not target.can("vision"):
        left_out.append((candidate.label, "its model takes no images"))
    elif facts.has_tools and not target.can("tools"):
        left_out.append((candidate.label, "its model calls no tools"))
    elif candidate.target is not None and candidate.target.condition and not candidate.target.condition(facts):
        left_out.append((candidate.label, "its condition does not hold"))
    else:
        return True
    return False


def _healthy(
    candidates: Iterable[Candidate], health: Health, left_out: list[tuple[str, str]]
) -> tuple[list[Candidate], tuple[Blocked, ...]]:
    kept, blocked = [], []
    for candidate in candidates:
        why = health.blocked(candidate.endpoint.id)
        if why is None:
            kept.append(candidate)
        else:
            blocked.append(why)
            left_out.append((candidate.label, why.reason))
    return kept, tuple(blocked)


_Scored = list[tuple[tuple[float, ...], Candidate]]


def _scored(
    strategy: Strategy, candidates: Sequence[Candidate], health: Health, asking: Asking, *, sticky: bool
) -> _Scored:
    """Each candidate with its rank: what decides first, then the score, then what keeps equals apart."""
    ranked: _Scored = []
    for candidate in candidates:
        first, score = 0.0, 0.0
        match strategy:
            case Strategy.PRIORITY:
                first = score = float(_target(candidate).position)
            case Strategy.CONDITIONS:
                # Whose condition holds comes before who has none.
                first, score = float(_target(candidate).condition is None), float(_target(candidate).position)
            case Strategy.WEIGHTED:
                first, score = _lot(candidate, asking.seed)
            case _ if sticky:
                first, score = _lot(candidate, asking.seed)
            case Strategy.LEAST_BUSY:
                weight = max(_target(candidate).weight, 0.001)
                score = health.busy(candidate.endpoint.id) / weight
            case Strategy.LATENCY:
                score = health.expected_ms(candidate.endpoint.id, asking.output_tokens) or 0.0
            case Strategy.COST:
                terms = candidate.endpoint.price_at(asking.now).terms
                score = float(terms.bound(asking.input_tokens, asking.output_tokens))
        lot = 0.0
        if sticky or strategy in (Strategy.LEAST_BUSY, Strategy.LATENCY):
            lot = drawn(asking.seed, str(candidate.endpoint.id))  # equals share
        rank = (first, score, lot, *_position(candidate))
        ranked.append((rank, candidate))
    return ranked


def _lot(candidate: Candidate, seed: str) -> tuple[float, float]:
    """Weighted rendezvous: the smallest of ``-ln(u) / weight`` is chosen with a probability of its share of the
    weights, and a target that comes or goes moves only the seeds that it wins or had won.

    Source: Efraimidis and Spirakis, Weighted random sampling with a reservoir, 2006. Weight 0 comes after all others.
    """
    target = _target(candidate)
    u = drawn(seed, f"target {target.id}")
    return (0.0, -math.log(u) / target.weight) if target.weight else (1.0, u)


def _target(candidate: Candidate) -> TargetFacts:
    assert candidate.target is not None  # every candidate of a route has one
    return candidate.target


def _position(candidate: Candidate) -> tuple[float, float, float]:
    target = candidate.target
    position = (target.position, target.id) if target is not None else (0, 0)
    return (float(position[0]), float(position[1]), float(candidate.endpoint.priority))


def _once_each(candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """Two targets may name one endpoint: it is asked once."""
    found: dict[int, Candidate] = {}
    for candidate in candidates:
        found.setdefault(candidate.endpoint.id, candidate)
    return tuple(found.values())
