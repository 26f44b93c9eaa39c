"""The contract of the counters, held by one conformance suite against every backend.

``admit`` takes a request's whole ask (requests, tokens, a concurrency lease, a hold of money) over every limit and budget
at once: all or nothing. ``settle`` replaces the reservation by what was truly used and gives back the rest. A lease that
is never settled expires by itself. Money is in picodollars, time in Unix seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

SLICES = 12
"""A window is counted in this many slices, and a slice leaves it as a whole: no rolling window ever holds more than the
limit, and what was used is given back at most one slice late."""


@dataclass(frozen=True, slots=True)
class Limit:
    """At most ``amount`` of ``metric`` in any rolling ``window`` seconds; concurrency has no window."""

    key: str
    metric: Literal["requests", "tokens", "concurrency"]
    amount: int
    window: int = 60


@dataclass(frozen=True, slots=True)
class BudgetWindow:
    """A budget in its present period: ``key`` names both. Soft budgets count, and never refuse."""

    key: str
    amount: int
    hard: bool
    ends_at: float


@dataclass(frozen=True, slots=True)
class Ask:
    """What a request wants admitted.

    ``tokens`` is an upper bound. With ``elastic_tokens`` the request named no maximum of its own: it accepts any grant of
    at least ``minimum_tokens`` when a token limit cannot cover ``tokens``, and the caller caps the answer accordingly;
    ``cost`` is the hold for all of ``tokens``, of which each one below costs ``token_cost`` less.
    """

    lease: str
    now: float
    limits: tuple[Limit, ...]
    budgets: tuple[BudgetWindow, ...]
    tokens: int
    cost: int
    minimum_tokens: int
    token_cost: int
    lease_seconds: float


@dataclass(frozen=True, slots=True)
class Remaining:
    limit: Limit
    left: int
    reset_after: float


@dataclass(frozen=True, slots=True)
class Admitted:
    """``tokens`` is what was granted: ``ask.tokens``, or less if the ask was elastic."""

    tokens: int
    remaining: tuple[Remaining, ...]


@dataclass(frozen=True, slots=True)
class Denied:
    """Refused by ``key`` (a limit's or a budget's). ``retry_after`` in seconds; nothing was taken anywhere."""

    key: str
    retry_after: float
    left: int


@dataclass(frozen=True, slots=True)
class Unseeded:
    """These budgets' spend so far is not known here: ``seed`` them from the ledger, then ask again."""

    keys: tuple[str, ...]


class CountersUnavailable(Exception):
    """The backend does not answer. The caller's policy decides: refuse with 503, or a bounded local lease."""


class Counters(Protocol):
    async def admit(self, ask: Ask) -> Admitted | Denied | Unseeded: ...

    async def settle(self, ask: Ask, *, tokens: int, cost: int, now: float) -> None:
        """Put what was used in the place of what ``ask.lease`` reserved. Idempotent; an expired lease still books."""
        ...

    async def seed(self, spent: dict[str, tuple[int, float]]) -> None:
        """Set the spend (picodollars) of budgets not known yet, with the end of their period; a known one is left as it is."""
        ...

    async def spent(self, keys: tuple[str, ...]) -> dict[str, tuple[int, int]]:
        """(settled, held) of each known budget."""
        ...

    async def aclose(self) -> None: ...
