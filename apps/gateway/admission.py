"""Admission: one question to every limit and budget that covers a request, and its answer in words."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING

import msgspec

from apps.gateway.counters.base import Admitted, Ask, CountersUnavailable, Denied, Remaining, Unseeded
from apps.gateway.errors import LimitExceeded, Unavailable
from apps.gateway.fronts.base import Parsed
from apps.gateway.routing.attempts import MORE_ROUNDS
from apps.gateway.routing.plans import Candidate, Plan
from apps.gateway.snapshot import ASSUMED_MAX_OUTPUT_TOKENS, ModelFacts
from apps.models.providers.base import UpstreamCall
from apps.tenants.money import format_usd

if TYPE_CHECKING:
    from apps.gateway.runtime import Runtime

# How long an admission may outlive its request when the process forgets it, beyond its endpoints' total timeouts.
LEASE_GRACE_SECONDS = 60.0


@dataclass(slots=True)
class Admission:
    """A request that may go ahead. ``admitted`` is None where no limit and no budget covers it.

    Where a route serves several models, the limits of a model alone are asked when an attempt goes to it (``enter``),
    each under a lease of its own (``entered``, by model id): so they count what their model served, and nothing else.
    """

    ask: Ask
    admitted: Admitted | None
    estimate: int  # of the input's tokens, for a record that nothing better is known of
    bound: int  # of the input's tokens
    granted: int  # output tokens per choice
    choices: int
    copies: int
    entered: dict[int, Ask] = field(default_factory=dict)
    _covered: tuple[int, int] = (0, 0)  # tokens and cost of failed attempts that are held besides
    _calls: dict[int, UpstreamCall] = field(default_factory=dict)
    _entries: int = 0

    def held(self) -> dict[str, int]:
        """What is held, for the request's line; with what was asked for, where less of it was granted."""
        ask = self.ask
        tokens = ask.tokens if self.admitted is None else self.admitted.tokens
        held = {"tokens": tokens, "cost_picousd": ask.cost - (ask.tokens - tokens) * ask.token_cost}
        return held if tokens == ask.tokens else held | {"asked_tokens": ask.tokens}

    def call(self, plan: Plan, parsed: Parsed, model: ModelFacts) -> UpstreamCall:
        """The call as ``model`` is asked."""
        call = self._calls.get(model.id)
        if call is None:
            call = self._calls[model.id] = self._make_call(plan, parsed, model)
        return call

    def _make_call(self, plan: Plan, parsed: Parsed, model: ModelFacts) -> UpstreamCall:
        request = parsed.request
        wanted = _output_of(model, request.max_output)
        capped = (
            request.max_output is None and plan.capped and (self.granted < wanted or model.max_output_tokens is None)
        )
        return UpstreamCall(
            request.operation,
            parsed.fields,
            stream=request.streams,
            max_output_tokens=min(self.granted, wanted) if capped else None,
            wants_usage=request.wants_usage,
            model=request.model,
            content=parsed.content,
            content_type=parsed.content_type,
            headers=parsed.headers,
            carried=parsed.carried,
        )

    def per_choice(self, admitted: Admitted) -> int:
        """The output tokens of each choice that were admitted."""
        return (admitted.tokens // self.copies - self.bound) // self.choices

    async def enter(self, runtime: Runtime, plan: Plan, candidate: Candidate) -> None:
        """Ask the limits of the candidate's model alone. Raises as ``admit`` does."""
        model = candidate.model
        if not candidate.limits or model.id in self.entered:
            return
        self._entries += 1
        lease = f"{self.ask.lease}:{self._entries}"  # a settled lease is never taken again
        ask = msgspec.structs.replace(self.ask, lease=lease, limits=candidate.limits, budgets=(), cost=0, token_cost=0)
        admitted = await _ask_counters(runtime, plan, ask)
        self.entered[model.id] = ask
        if admitted.tokens < ask.tokens:
            # What this model grants may be less; what was granted before stays the bound for the others.
            self._calls.pop(model.id, None)
            self.granted = max(1, min(self.granted, self.per_choice(admitted)))

    async def cover(self, runtime: Runtime, plan: Plan, charged: tuple[int, int]) -> Ask | None:
        """Before another attempt: hold what those that failed were ``charged`` beside the hold for one that serves, so
        that all of them together stay within what is held. The lease, where one was taken. Raises as ``admit`` does.
        """
        tokens, cost = (max(0, now - before) for now, before in zip(charged, self._covered, strict=True))
        limits = tuple(limit for limit in self.ask.limits if limit.metric == "tokens")
        if self.admitted is None or not (tokens or cost) or not (limits or self.ask.budgets):
            return None
        self._entries += 1
        lease = f"{self.ask.lease}:{self._entries}"
        ask = msgspec.structs.replace(
            self.ask, lease=lease, limits=limits, tokens=tokens, minimum_tokens=tokens, cost=cost, token_cost=0
        )
        await _ask_counters(runtime, plan, ask)
        self._covered = charged
        return ask


@dataclass(frozen=True, slots=True)
class Entry:
    """A caller who may have the database asked for its request: what was taken for that, which the request keeps."""

    ask: Ask
    admitted: Admitted


async def enter(runtime: Runtime, plan: Plan, *, request_id: str, now: float) -> Entry | None:
    """Admit a request whose size is known only when what was said before it has been read: it counts as a request,
    takes its place, and finds room for one token at least. None where nothing covers it. Raises as ``admit`` does."""
    if not (plan.limits or plan.budgets):
        return None
    ask = Ask(
        lease=f"{request_id}:in",
        now=now,
        limits=plan.limits,
        budgets=tuple(budget.window(now) for budget in plan.budgets),
        tokens=1,
        cost=1,
        minimum_tokens=1,
        token_cost=0,
        lease_seconds=_lease_seconds(plan, chain(plan.candidates, *plan.fallbacks.values())),
    )
    return Entry(ask, await _ask_counters(runtime, plan, ask))


async def admit(
    runtime: Runtime,
    plan: Plan,
    candidates: Sequence[Candidate],
    parsed: Parsed,
    bounds: tuple[int, int],
    *,
    request_id: str,
    now: float,
    copies: int = 1,
    entry: Entry | None = None,
) -> Admission:
    """Ask every limit and budget at once; ``bounds`` are the input's tokens, at the most and as an estimate.

    The hold is for the dearest of the ``candidates``, as many times as it may be called at once (``copies``). What was
    asked at the ``entry`` is not asked again.

    Raises ``LimitExceeded``, or ``Unavailable`` when they cannot be asked.
    """
    request = parsed.request
    bound, estimate = bounds
    asked = request.max_output
    per_choice = max(_output_of(candidate.model, asked) for candidate in candidates)
    prices = [candidate.endpoint.price_at(now).terms for candidate in candidates]
    output = per_choice * request.choices
    # Who names no maximum takes less than the model's: an answer of one token is the least worth asking for.
    least = output if asked is not None else request.choices
    dearest, cheapest = (max(price.bound(bound, each, parsed.units) for price in prices) for each in (output, least))
    ask = Ask(
        lease=request_id,
        now=now,
        limits=plan.limits if entry is None else tuple(each for each in plan.limits if each.metric == "tokens"),
        budgets=tuple(budget.window(now) for budget in plan.budgets),
        tokens=(bound + output) * copies,
        cost=dearest * copies,
        minimum_tokens=(bound + least) * copies,
        # What each token less saves whichever candidate serves: the dearest is not the same one at every length.
        token_cost=(dearest - cheapest) // max(output - least, 1),
        lease_seconds=_lease_seconds(plan, candidates),
    )
    admission = Admission(ask, None, estimate, bound, per_choice, request.choices, copies)
    if plan.limits or plan.budgets:
        admitted = await _ask_counters(runtime, plan, ask)
        if entry is not None:
            counted = tuple(each for each in entry.admitted.remaining if each.limit.metric != "tokens")
            admitted = Admitted(admitted.tokens, (*counted, *admitted.remaining))
        admission.admitted = admitted
        admission.granted = admission.per_choice(admitted)
    return admission


def _lease_seconds(plan: Plan, candidates: Iterable[Candidate]) -> float:
    """A route asks its endpoints in several rounds: a hold has to outlive the slowest way through all of them."""
    rounds = 1 + MORE_ROUNDS if plan.route is not None else 1
    return sum(candidate.endpoint.total_timeout for candidate in candidates) * rounds + LEASE_GRACE_SECONDS


def _output_of(model: ModelFacts, asked: int | None) -> int:
    """The most output tokens per choice."""
    return asked if asked is not None else model.max_output_tokens or ASSUMED_MAX_OUTPUT_TOKENS


async def _ask_counters(runtime: Runtime, plan: Plan, ask: Ask) -> Admitted:
    try:
        result = await runtime.counters.admit(ask)
        if isinstance(result, Unseeded):
            await runtime.seed_budgets(plan, result.keys)
            result = await runtime.counters.admit(ask)
    except asyncio.CancelledError:
        await runtime.settle_counters(ask, tokens=0, cost=0)  # it may have been admitted: give all of it back
        raise
    except CountersUnavailable:
        raise Unavailable(
            "Limits and budgets cannot be checked right now. Try again in a moment.",
            code="counters_unavailable",
            retry_after=1.0,
        ) from None
    if isinstance(result, Admitted):
        return result
    if isinstance(result, Denied):
        raise _denial(plan, ask, result)
    raise Unavailable("The budgets' spend is not known yet. Try again in a moment.", retry_after=1.0)


def _denial(plan: Plan, ask: Ask, denied: Denied) -> LimitExceeded:
    """Which rule denied, with what was left, and who can change it."""
    rule = plan.rules.get(denied.key)
    if rule is not None:
        wants = ""
        if any(limit.key == denied.key and limit.metric == "tokens" for limit in ask.limits):
            wants = (
                f" This request may use up to {ask.minimum_tokens:,} tokens and {max(denied.left, 0):,} are left;"
                " a shorter input or a smaller max_completion_tokens asks for less."
            )
        again = "" if denied.too_large else f"Try again in {max(1, round(denied.retry_after + 0.499)):,} s, or a"
        error = LimitExceeded(
            f"Rate limit reached: {rule.text}.{wants} {again or 'A'}sk {rule.owner} for more.",
            code="request_over_limit" if denied.too_large else None,
            retry_after=denied.retry_after,
            rule=rule.text,
        )
        limit = next((limit for limit in ask.limits if limit.key == denied.key), None)
        if limit is not None:
            error.remaining = Remaining(limit, denied.left, denied.retry_after)
        return error
    budget = next(b for b in plan.budgets if b.window(ask.now).key == denied.key)
    least = ask.cost - (ask.tokens - ask.minimum_tokens) * ask.token_cost
    # Who named no maximum was asked for the shortest answer already: a smaller maximum would not help.
    costs, or_less = f"it may cost up to {format_usd(least)}", ", or send a smaller max_completion_tokens"
    if ask.minimum_tokens < ask.tokens:
        costs, or_less = f"even its shortest answer may cost {format_usd(least)}", ""
    return LimitExceeded(
        f"The {budget.rule.text} cannot cover this request: {costs} and {format_usd(max(denied.left, 0))} is left."
        f" Ask {budget.rule.owner} for more{or_less}.",
        type="insufficient_quota",
        code="budget_exceeded",
        retry_after=denied.retry_after,
        rule=budget.rule.text,
    )
