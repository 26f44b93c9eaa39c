"""The contract of the counters, held by one conformance suite against every backend.

``admit`` takes a request's whole ask (requests, tokens, a concurrency lease, a hold of money) over every limit and
budget at once: all or nothing. ``settle`` replaces the reservation by what was truly used and gives back the rest. A
lease that is never settled expires by itself. Money is in picodollars, time in Unix seconds.
"""

from __future__ import annotations

from typing import Literal, Protocol

import msgspec

SLICES = 12
"""A window is counted in this many slices, and a slice leaves it as a whole: no rolling window ever holds more than the
limit, and what was used is given back at most one slice late."""

LATE_SETTLE_SECONDS = 86_400.0
"""For how long after its expiry a lease is remembered, so that a late settlement still books, once."""


class Limit(msgspec.Struct, frozen=True, gc=False):
    """At most ``amount`` of ``metric`` in any rolling ``window`` seconds; concurrency has no window.

    A counter is one (metric, key, window): a new ``amount`` keeps what was counted, a new ``window`` starts anew.
    """

    key: str
    metric: Literal["requests", "tokens", "concurrency"]
    amount: int
    window: int = 60


class BudgetWindow(msgspec.Struct, frozen=True, gc=False):
    """A budget in its present period: ``key`` names both. Soft budgets count, and never refuse."""

    key: str
    amount: int
    hard: bool
    ends_at: float


class Ask(msgspec.Struct, frozen=True):
    """What a request wants admitted.

    ``tokens`` is an upper bound. With ``minimum_tokens`` below it the ask is elastic: the request named no maximum of
    its own and accepts any grant of at least ``minimum_tokens`` when a token limit or a hard budget cannot cover
    ``tokens``, and the caller caps the answer accordingly; ``cost`` is the hold for all of ``tokens``, of which each
    one below costs ``token_cost`` less.

    ``now`` is the caller's clock. A backend shared by processes uses its own instead, because theirs differ.
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


class Remaining(msgspec.Struct, frozen=True, gc=False):
    """What is left of a limit after this admission, and in how many seconds all of it is back (0 for concurrency)."""

    limit: Limit
    left: int
    reset_after: float


class Admitted(msgspec.Struct, frozen=True, gc=False):
    """``tokens`` is what was granted: ``ask.tokens``, or less if the ask was elastic."""

    tokens: int
    remaining: tuple[Remaining, ...]


class Denied(msgspec.Struct, frozen=True, gc=False):
    """Refused by ``key`` (a limit's or a budget's), of which ``left`` was left; nothing was taken anywhere.

    Of several that refuse, the one that refuses for longest is named. ``retry_after`` is in seconds: when enough will
    have left the window, or the budget's period ends; 1 second at most where only requests in flight stand in the way.
    ``too_large`` says that the ask is more than the whole limit or budget: waiting will not help.
    """

    key: str
    retry_after: float
    left: int
    too_large: bool = False


class Unseeded(msgspec.Struct, frozen=True, gc=False):
    """These budgets' spend so far is not known here: ``seed`` them from the ledger, then ask again."""

    keys: tuple[str, ...]


class CountersUnavailable(Exception):
    """The backend does not answer. The caller's policy decides: refuse with 503, or a bounded local lease."""


class Counters(Protocol):
    async def admit(self, ask: Ask) -> Admitted | Denied | Unseeded:
        """Take all of it or nothing. A lease that is held already is answered as admitted, and takes nothing more."""
        ...

    async def settle(self, ask: Ask, *, tokens: int, cost: int, now: float) -> None:
        """Put what was used in the place of what ``ask.lease`` reserved. Idempotent; an expired lease still books."""
        ...

    async def seed(self, spent: dict[str, tuple[int, float]]) -> None:
        """Set the spend (picodollars) of budgets not known yet, with the end of their period; a known one stays."""
        ...

    async def spent(self, keys: tuple[str, ...]) -> dict[str, tuple[int, int]]:
        """(settled, held) of each known budget."""
        ...

    async def aclose(self) -> None: ...
