"""Counters in the process itself, for one web process.

Nothing awaits between a check and its effect, so that the event loop makes each call atomic without a lock.
What is counted is forgotten when the process ends; budgets are then seeded again from the ledger.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Generic, Protocol, TypeVar

from apps.gateway.counters.base import (
    LATE_SETTLE_SECONDS,
    SLICES,
    Admitted,
    Ask,
    Denied,
    Remaining,
    Unseeded,
)

# A slice is in some rolling window until the whole of it is a window old: the one being filled and SLICES before it.
SLOTS = SLICES + 1
BUDGET_GRACE_SECONDS = 3600.0
IDLE_SECONDS = 60.0
RETRY_IN_FLIGHT_SECONDS = 1.0
# Rounding in slice arithmetic is far below this; a caller that waits exactly as long as told must not be early.
RETRY_MARGIN_SECONDS = 0.001


class _Window:
    """What was taken in each of the last SLOTS slices; slice ``n`` begins at ``n / per_second``."""

    __slots__ = ("at", "per_second", "slots", "total")

    def __init__(self, window: int, now: float) -> None:
        self.per_second = SLICES / window
        self.at = int(now * self.per_second)
        self.slots = [0] * SLOTS
        self.total = 0

    def advance(self, at: int) -> None:
        """Make ``at`` the present slice: those that have left every rolling window are emptied."""
        slots = self.slots
        if at - self.at >= SLOTS:
            self.slots = [0] * SLOTS
            self.total = 0
        else:
            for passed in range(self.at + 1, at + 1):
                index = passed % SLOTS
                self.total -= slots[index]
                slots[index] = 0
        self.at = at

    def fits_after(self, room: int, now: float) -> float:
        """Seconds until at most ``room`` is left in the window if nothing more is taken."""
        total = self.total
        for number in range(self.at - SLICES, self.at + 1):
            total -= self.slots[number % SLOTS]
            if total <= room:
                break
        return max((number + SLOTS) / self.per_second - now, 0.0) + RETRY_MARGIN_SECONDS

    def is_idle(self, now: float) -> bool:
        return int(now * self.per_second) - self.at >= SLOTS


class _Concurrency:
    __slots__ = ("asked_at", "held")

    def __init__(self) -> None:
        self.held = 0
        self.asked_at = 0.0

    def is_idle(self, now: float) -> bool:
        # One that the present ask has looked at and not yet taken is in use.
        return self.held == 0 and now > self.asked_at + IDLE_SECONDS


class _Budget:
    __slots__ = ("ends_at", "held", "settled")

    def __init__(self, settled: int, ends_at: float) -> None:
        self.settled = settled
        self.held = 0
        self.ends_at = ends_at

    def is_idle(self, now: float) -> bool:
        return self.held == 0 and now > self.ends_at + BUDGET_GRACE_SECONDS


class _Lease:
    """What an ask took, and where."""

    __slots__ = ("concurrency", "expires_at", "grant", "held_by", "hold", "taken")

    def __init__(
        self,
        expires_at: float,
        grant: int,
        hold: int,
        taken: list[tuple[_Window, int]],
        concurrency: list[_Concurrency],
        held_by: list[_Budget],
    ) -> None:
        self.expires_at = expires_at
        self.grant = grant
        self.hold = hold
        self.taken = taken
        self.concurrency = concurrency
        self.held_by = held_by

    def release(self) -> None:
        for slot in self.concurrency:
            slot.held -= 1
        for budget in self.held_by:
            budget.held -= self.hold


class _Idleable(Protocol):
    def is_idle(self, now: float) -> bool: ...


_Key = TypeVar("_Key")
_State = TypeVar("_State", bound=_Idleable)


class _Registry(Generic[_Key, _State]):
    """States by key. Each new one looks at the two seen longest ago and drops the idle: memory follows use."""

    __slots__ = ("order", "states")

    def __init__(self) -> None:
        self.states: dict[_Key, _State] = {}
        self.order: deque[_Key] = deque()

    def add(self, key: _Key, state: _State, now: float) -> _State:
        order, states = self.order, self.states
        for _ in range(min(2, len(order))):
            oldest = order.popleft()
            if states[oldest].is_idle(now):
                del states[oldest]
            else:
                order.append(oldest)
        states[key] = state
        order.append(key)
        return state


class MemoryCounters:
    """``Counters`` of one process. Not safe to share between threads or event loops."""

    def __init__(self) -> None:
        self._windows: _Registry[tuple[str, str, int], _Window] = _Registry()
        self._concurrency: _Registry[str, _Concurrency] = _Registry()
        self._budgets: _Registry[str, _Budget] = _Registry()
        self._leases: dict[str, _Lease] = {}
        self._expired: dict[str, _Lease] = {}
        self._next_expiry = math.inf
        self._now = 0.0

    async def admit(self, ask: Ask) -> Admitted | Denied | Unseeded:
        now = ask.now
        self._now = now
        if now >= self._next_expiry:
            self._expire(now)

        known = self._budgets.states
        held_by: list[_Budget] = []
        for budget in ask.budgets:
            account = known.get(budget.key)
            if account is None:
                return Unseeded(tuple(b.key for b in ask.budgets if b.key not in known))
            held_by.append(account)

        # First look, taking nothing. `states` runs parallel to `ask.limits`.
        limits = ask.limits
        tokens = grant = ask.tokens
        windows = self._windows.states
        concurrencies = self._concurrency.states
        states: list[_Window | _Concurrency] = []
        fits = True
        for limit in limits:
            metric = limit.metric
            if metric == "concurrency":
                slot = concurrencies.get(limit.key)
                if slot is None:
                    slot = self._concurrency.add(limit.key, _Concurrency(), now)
                slot.asked_at = now
                if slot.held >= limit.amount:
                    fits = False
                states.append(slot)
                continue
            key = (metric, limit.key, limit.window)
            window = windows.get(key)
            if window is None:
                window = self._windows.add(key, _Window(limit.window, now), now)
            else:
                at = int(now * window.per_second)
                if at > window.at:
                    window.advance(at)
            left = limit.amount - window.total
            if metric == "requests":
                if left < 1:
                    fits = False
            elif left < grant:
                grant = left if left > 0 else 0
            states.append(window)

        hold = ask.cost
        if grant < tokens:
            if grant < ask.minimum_tokens:
                fits = False
            hold -= (tokens - grant) * ask.token_cost
        for budget, account in zip(ask.budgets, held_by, strict=True):
            if budget.hard and hold > 0:
                left = budget.amount - account.settled - account.held
                if hold > left:
                    cut = _tokens_to_cut(hold, left, grant - ask.minimum_tokens, ask.token_cost)
                    if cut < 0:
                        fits = False
                        break
                    grant -= cut
                    hold -= cut * ask.token_cost
        if ask.lease in self._leases:
            return self._again(ask, states, now)
        if not fits:
            return self._deny(ask, states, held_by, now)

        # Then take all of it.
        if hold < 0:
            hold = 0
        taken: list[tuple[_Window, int]] = []
        slots: list[_Concurrency] = []
        remaining: list[Remaining] = []
        for limit, state in zip(limits, states, strict=True):
            if type(state) is _Window:
                at = state.at
                if limit.metric == "tokens":
                    amount = grant
                    taken.append((state, at))
                else:
                    amount = 1
                state.slots[at % SLOTS] += amount
                state.total += amount
                left = limit.amount - state.total
                reset_after = (at + SLOTS) / state.per_second - now
                remaining.append(Remaining(limit, left if left > 0 else 0, reset_after))
            elif type(state) is _Concurrency:
                state.held += 1
                slots.append(state)
                remaining.append(Remaining(limit, limit.amount - state.held, 0.0))
        for account in held_by:
            account.held += hold
        expires_at = now + ask.lease_seconds
        if expires_at < self._next_expiry:
            self._next_expiry = expires_at
        self._leases[ask.lease] = _Lease(expires_at, grant, hold, taken, slots, held_by)
        return Admitted(grant, tuple(remaining))

    async def settle(self, ask: Ask, *, tokens: int, cost: int, now: float) -> None:
        lease = self._leases.pop(ask.lease, None)
        if lease is not None:
            for slot in lease.concurrency:
                slot.held -= 1
            hold = lease.hold
            for account in lease.held_by:
                account.held -= hold
                account.settled += cost
        else:
            lease = self._expired.pop(ask.lease, None)
            if lease is None:
                return  # settled before
            for account in lease.held_by:
                account.settled += cost
        over = tokens - lease.grant
        if not over:
            return
        for window, reserved_at in lease.taken:
            at = int(now * window.per_second)
            if at > window.at:
                window.advance(at)
            if over > 0:
                reserved_at = window.at
            elif window.at - reserved_at >= SLOTS:
                continue  # left the window already, and the reservation with it
            window.slots[reserved_at % SLOTS] += over
            window.total += over

    async def seed(self, spent: dict[str, tuple[int, float]]) -> None:
        for key, (settled, ends_at) in spent.items():
            if key not in self._budgets.states:
                self._budgets.add(key, _Budget(settled, ends_at), self._now)

    async def spent(self, keys: tuple[str, ...]) -> dict[str, tuple[int, int]]:
        """As of the latest ask: leases that expired since still count as held."""
        known = self._budgets.states
        return {key: (known[key].settled, known[key].held) for key in keys if key in known}

    async def aclose(self) -> None:
        return None

    def _expire(self, now: float) -> None:
        """Release the leases that nobody settled. Runs only when the earliest may be due, so mostly never."""
        for name, lease in list(self._expired.items()):
            if now > lease.expires_at + LATE_SETTLE_SECONDS:
                del self._expired[name]
        due = [name for name, lease in self._leases.items() if lease.expires_at <= now]
        for name in due:
            lease = self._leases.pop(name)
            lease.release()
            self._expired[name] = lease
        self._next_expiry = min((lease.expires_at for lease in self._leases.values()), default=math.inf)

    def _again(self, ask: Ask, states: list[_Window | _Concurrency], now: float) -> Admitted:
        remaining = []
        for limit, state in zip(ask.limits, states, strict=True):
            if isinstance(state, _Window):
                reset_after = (state.at + SLOTS) / state.per_second - now
                remaining.append(Remaining(limit, max(limit.amount - state.total, 0), reset_after))
            else:
                remaining.append(Remaining(limit, max(limit.amount - state.held, 0), 0.0))
        return Admitted(self._leases[ask.lease].grant, tuple(remaining))

    def _deny(self, ask: Ask, states: list[_Window | _Concurrency], held_by: list[_Budget], now: float) -> Denied:
        """Of all that refuse, the one to name. Refusals may be slower than admissions."""
        refusals: list[Denied] = []
        least = min(ask.minimum_tokens, ask.tokens)
        for limit, state in zip(ask.limits, states, strict=True):
            if isinstance(state, _Concurrency):
                left = max(limit.amount - state.held, 0)
                if left < 1:
                    soonest = min(self._next_expiry - now, RETRY_IN_FLIGHT_SECONDS)
                    refusals.append(Denied(limit.key, max(soonest, RETRY_MARGIN_SECONDS), left, limit.amount < 1))
                continue
            need = 1 if limit.metric == "requests" else least
            left = max(limit.amount - state.total, 0)
            if left < need:
                too_large = need > limit.amount
                wait = float(limit.window) if too_large else state.fits_after(limit.amount - need, now)
                refusals.append(Denied(limit.key, wait, left, too_large))
        smallest_hold = ask.cost - (ask.tokens - least) * ask.token_cost
        for budget, account in zip(ask.budgets, held_by, strict=True):
            left = budget.amount - account.settled - account.held
            if budget.hard and smallest_hold > 0 and smallest_hold > left:
                wait = max(budget.ends_at - now, 0.0)
                if smallest_hold <= budget.amount - account.settled:
                    wait = min(wait, RETRY_IN_FLIGHT_SECONDS)  # requests in flight will give back part of their holds
                refusals.append(Denied(budget.key, wait, max(left, 0), smallest_hold > budget.amount))
        return max(refusals, key=lambda refusal: (refusal.too_large, refusal.retry_after))


def _tokens_to_cut(hold: int, left: int, spare: int, token_cost: int) -> int:
    """How many tokens fewer bring ``hold`` down to ``left``; -1 if more than are to spare."""
    if token_cost <= 0:
        return -1
    cut = -((max(left, 0) - hold) // token_cost)
    return cut if cut <= spare else -1
