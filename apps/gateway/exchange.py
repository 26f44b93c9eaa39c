"""One request's life after its caller is known: plan, order, admit, call, relay.

What it used goes into its ``Books``, what leaves goes through its ``Answer``. Nothing is retried once a byte has left.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Coroutine
from typing import Any

import structlog

from apps.gateway import content_log, responses_memory
from apps.gateway.admission import Admission, admit, enter
from apps.gateway.answer import Answer, Receive, Send, as_gateway_error
from apps.gateway.books import Books, new_id
from apps.gateway.errors import (
    GatewayError,
    InvalidRequest,
    LimitExceeded,
    ResidencyForbids,
    Unavailable,
    UpstreamFailed,
)
from apps.gateway.fronts.base import Front, Parsed
from apps.gateway.fronts.messages import estimated_count
from apps.gateway.prompts import Served
from apps.gateway.relay import CallerLeft, CannotSay, NotNow, Relay
from apps.gateway.routing.attempts import MORE_ROUNDS, MOST_ATTEMPTS, Race, backoff
from apps.gateway.routing.callers import Caller, conversation_of, facts_of
from apps.gateway.routing.plans import Candidate, Plan
from apps.gateway.routing.strategies import USUAL_OUTPUT_TOKENS, Asking, Selection, drawn, fallbacks, select
from apps.gateway.runtime import Runtime
from apps.gateway.snapshot import Principal
from apps.gateway.types import Outcome, Purpose
from apps.models.providers.base import (
    CONVERSATIONS,
    Operation,
    ProviderError,
)
from apps.models.types import ModelKind

log = structlog.get_logger(__name__)

# What a kind of model serves. Where nothing is said, it serves what carries a conversation.
_SERVED: dict[str, frozenset[Operation]] = {
    ModelKind.CHAT: CONVERSATIONS | {"count_tokens", "invoke"},
    ModelKind.EMBEDDING: frozenset({"embeddings", "invoke"}),
    ModelKind.RERANK: frozenset({"rerank"}),
    ModelKind.IMAGE: frozenset({"images.generations"}),
    ModelKind.TRANSCRIPTION: frozenset({"audio.transcriptions"}),
    ModelKind.SPEECH: frozenset({"audio.speech"}),
    ModelKind.MODERATION: frozenset({"moderations"}),
}


_CHAINS = {"context_window": Purpose.FALLBACK_CONTEXT, "content_policy": Purpose.FALLBACK_POLICY}


class Exchange:
    """Serves one parsed request of one principal through ``send``, in the words of its front."""

    def __init__(
        self,
        runtime: Runtime,
        principal: Principal,
        front: Front,
        parsed: Parsed,
        *,
        request_id: str,
        receive: Receive,
        send: Send,
        started: float,
        caller: Caller | None = None,
        shadow_of: str = "",
        plan: Plan | None = None,
        prompt: Served | None = None,
    ) -> None:
        self._runtime = runtime
        self._principal = principal
        self._front = front
        self._parsed = parsed
        self._request = request = parsed.request
        self._receive = receive
        self._request_id = request_id
        self._caller = caller or Caller()
        self._shadow_of = shadow_of
        self._plan = plan
        self._admission: Admission
        self._recorder: content_log.Recorder | None = None
        self._relay: Relay
        self._books = Books(runtime, principal, request, request_id=request_id, started=started)
        self._books.shadow_of = shadow_of
        self._answer = Answer(send, front, request_id)
        self._books.prompt = prompt
        if prompt is not None:
            self._answer.headers.append((b"x-lobby-prompt-version", b"%d" % prompt.number))

    async def serve(self) -> None:
        """Answer the request; never raises but for cancellation from outside."""
        try:
            await self._serve()
        except CallerLeft:
            await self._books.close(Outcome.CANCELLED, 499, "client_closed_request")
        except GatewayError as error:
            await self._fail(error)
        except asyncio.CancelledError:
            await self._books.close(Outcome.INTERRUPTED, 503, "server_stopped")
            raise
        except Exception:
            # A fault of ours. The books are closed all the same, and the caller learns what to quote.
            log.exception("exchange_failed", request_id=self._request_id)
            await self._fail(
                GatewayError(
                    f"Something went wrong in Lobby. Quote the request id {self._request_id} to its engineers."
                )
            )

    async def _fail(self, error: GatewayError) -> None:
        await self._books.close(_outcome_of(error), error.status, error.code, error)
        await self._answer.error(error)
        if self._recorder is not None and self._books.plan is not None and isinstance(error, UpstreamFailed):
            call = self._admission.call(self._books.plan, self._parsed, self._books.plan.model)
            self._recorder.failed(call, error.code)

    async def _serve(self) -> None:
        now = time.time()
        plan = self._plan or self._runtime.snapshot.plan(self._principal, self._request.model, now)
        self._books.plan = plan
        if self._request.operation not in _SERVED[plan.model.kind]:
            raise InvalidRequest(
                f"'{plan.model.slug}' is of the kind '{plan.model.kind}'; it cannot serve {self._request.operation}.",
                param="model",
                code="wrong_model_kind",
            )
        self._books.units = self._parsed.estimated_units
        entry = None
        if not self._shadow_of and responses_memory.goes_on(self._parsed):  # a shadow has it from who it mirrors
            # What was said before is in the database: only for who is admitted.
            entry = await enter(self._runtime, plan, request_id=self._request_id, now=now)
            if entry is not None:
                self._books.leases.append(entry.ask)
            self._parsed = await responses_memory.go_on(self._principal, self._parsed)
        bounds = self._front.bounds(self._parsed)
        asking = self._asking(plan, bounds[1], now)
        # Where nobody counts tokens, they are estimated.
        estimates = self._request.operation == "count_tokens" and not any(map(self._serves, plan.candidates))
        selection = select(plan, self._runtime.health, _anybody if estimates else self._serves, asking)
        if plan.route is not None:
            self._books.route = _decided(plan, selection, asking)
        self._books.order, self._books.left_out = selection.order, list(selection.left_out)
        if not selection.order:
            if plan.candidates and not any(map(self._serves, plan.candidates)):
                raise InvalidRequest(
                    f"'{plan.slug}' cannot serve {self._request.operation}: no endpoint of it speaks that API.",
                    param="model",
                    code="operation_not_served",
                )
            raise nothing_to_ask(plan, selection)
        hedges = plan.route is not None and plan.route.hedge_after is not None
        self._admission = admission = await admit(
            self._runtime,
            plan,
            [*selection.order, *(each for name in _CHAINS.values() for each in plan.fallbacks.get(name, ()))],
            self._parsed,
            bounds,
            request_id=self._request_id,
            now=now,
            copies=2 if hedges else 1,
            entry=entry,
        )
        self._books.admission = admission
        self._answer.admitted = admission.admitted
        if not self._shadow_of:
            self._recorder = content_log.recorder(
                self._principal, self._parsed, plan.slug, self._books.prompt, self._request_id
            )
        self._relay = Relay(
            self._runtime,
            self._principal,
            self._parsed,
            admission,
            self._books,
            self._answer,
            self._receive,
            self._recorder,
        )
        if estimates:
            await self._estimate()
        else:
            self._mirror(plan)
            await self._route(plan, selection, asking)

    def _mirror(self, plan: Plan) -> None:
        """Send the request to the route's shadow, too, if it is in the sample. It is a request of its own, with its own
        limits, hold and books; whatever becomes of it, this one does not notice.
        """
        route, shadows = plan.route, plan.shadow()
        if route is None or shadows is None or not route.shadow_share:
            return
        if drawn(self._request_id, "shadow") >= route.shadow_share or not self._runtime.may_mirror():
            return
        shadow = Exchange(
            self._runtime,
            self._principal,
            self._front,
            self._parsed,
            request_id=new_id(),
            receive=_never,
            send=_discard,
            started=time.monotonic(),
            caller=self._caller,
            shadow_of=self._request_id,
            plan=shadows,
        )
        self._runtime.mirror(shadow.serve())

    async def _estimate(self) -> None:
        """Answer a count of tokens that none of the endpoints can make, and say that it is an estimate."""
        self._answer.headers.append((b"x-lobby-token-count", b"estimate"))
        await self._books.close(Outcome.OK, 200)
        await self._answer.whole(estimated_count(self._parsed), "application/json")

    def _serves(self, candidate: Candidate) -> bool:
        endpoint = candidate.endpoint
        return self._runtime.adapters[endpoint.provider_kind].serves(self._request.operation, endpoint.target)

    def _asking(self, plan: Plan, tokens: int, now: float) -> Asking:
        """The request as it is ordered for; a plain model needs to know nothing of it."""
        if plan.route is None:
            return _PLAIN
        facts = facts_of(self._caller, self._principal, self._runtime.snapshot, self._parsed, tokens, now)
        conversation = conversation_of(self._caller, self._parsed) if plan.route.sticky else ""
        seed = f"{self._principal.tenant.id} {conversation}" if conversation else self._request_id
        return Asking(seed, now, facts, tokens, self._request.max_output or USUAL_OUTPUT_TOKENS)

    # Routing: one endpoint after the other, as long as nothing has reached the caller.

    async def _route(self, plan: Plan, selection: Selection, asking: Asking) -> None:
        queue, again = deque(selection.order), list[Candidate]()
        rounds = MORE_ROUNDS if plan.route is not None and not self._shadow_of else 0
        failure: ProviderError | None = None
        denied: LimitExceeded | None = None
        unsaid: tuple[str, ...] = ()
        chained: set[Purpose] = set()
        while True:
            if not queue:
                wait = backoff(failure, MORE_ROUNDS - rounds) if failure is not None and again and rounds else None
                if wait is None or self._answer.begun:
                    break
                rounds -= 1
                await asyncio.sleep(wait)
                queue, again = deque(again), []
            candidate = queue.popleft()
            if self._relay.attempts >= MOST_ATTEMPTS or not self._may_try(candidate, failure):
                break
            if failure is not None and not await self._covers(plan, candidate):
                break
            try:
                await self._admission.enter(self._runtime, plan, candidate)
                await self._attempt_or_race(plan, candidate, queue)
                return
            except LimitExceeded as error:  # of the candidate's model alone
                denied = denied or error
                self._books.left_out.append((candidate.label, f"over a limit of its model: {error.rule}"))
            except NotNow as error:
                self._books.left_out.append((candidate.label, str(error)))
            except CannotSay as error:
                unsaid = error.dropped
                self._books.left_out.append((candidate.label, f"cannot take {', '.join(unsaid)}"))
            except ProviderError as error:
                failure = error
                if self._answer.begun:
                    break
                chain = _CHAINS.get(error.refusal)
                if chain is not None and chain not in chained and plan.fallbacks.get(chain):
                    chained.add(chain)
                    found = fallbacks(plan, chain, self._runtime.health, self._serves, asking)
                    self._books.left_out += found.left_out
                    self._books.route["fallback"] = chain.value
                    queue = deque(each for each in found.order if each.endpoint.id not in self._relay.tried)
                elif not error.retryable:
                    break
                else:
                    again.append(candidate)
            if candidate.limits and (not queue or queue[0].model.id != candidate.model.id):
                await self._books.leave(candidate.model.id)
        if failure is not None:
            raise as_gateway_error(failure)
        if denied is not None:
            raise denied
        if not unsaid:
            raise nothing_to_ask(plan, select(plan, self._runtime.health, self._serves, asking))
        names = ", ".join(f"'{name}'" for name in unsaid)
        raise InvalidRequest(
            f"'{plan.slug}' cannot take {names}, and strict was asked for.",
            param=unsaid[0],
            code="unsupported_parameter",
        )

    def _may_try(self, candidate: Candidate, failure: ProviderError | None) -> bool:
        """The first attempt is free, and so is one at an endpoint that has not failed of late: it adds load to nothing
        that is in trouble. All others come out of the retry budget, so that when everything fails nothing is doubled.
        """
        endpoint_id = candidate.endpoint.id
        if failure is None or failure.refusal:
            return True
        if endpoint_id not in self._relay.tried and self._runtime.health.is_proven(endpoint_id):
            return True
        return self._runtime.may_retry()

    async def _covers(self, plan: Plan, candidate: Candidate) -> bool:
        """Whether there is room for another attempt beside what those that failed were charged."""
        try:
            lease = await self._admission.cover(self._runtime, plan, self._books.charged)
        except (LimitExceeded, Unavailable) as error:
            why = f"what failed attempts may be charged leaves no room for another: {error.message}"
            self._books.left_out.append((candidate.label, why))
            return False
        if lease is not None:
            self._books.leases.append(lease)
        return True

    async def _attempt_or_race(self, plan: Plan, candidate: Candidate, queue: deque[Candidate]) -> None:
        after = plan.route.hedge_after if plan.route is not None else None
        if after is None or not queue:
            await self._relay.attempt(plan, candidate)
            return

        def second() -> Coroutine[Any, Any, None] | None:
            for other in queue:
                # A model's own limits are asked one at a time: a race stays within what was asked already.
                entered = not other.limits or other.model.id in self._admission.entered
                if entered and self._runtime.health.blocked(other.endpoint.id) is None:
                    if not self._runtime.may_retry():
                        return None
                    queue.remove(other)
                    return self._relay.attempt(plan, other)
            return None

        self._relay.race = Race()
        try:
            await self._relay.race.run(self._relay.attempt(plan, candidate), second, after)
        finally:
            self._relay.race = None


async def _never() -> dict[str, Any]:
    """What a shadow hears from its caller: it has none."""
    await asyncio.Event().wait()
    return {}


async def _discard(message: dict[str, Any]) -> None:
    """Where a shadow's answer goes."""


_PLAIN = Asking("", 0.0)


def _anybody(candidate: Candidate) -> bool:
    return True


def _decided(plan: Plan, selection: Selection, asking: Asking) -> dict[str, Any]:
    """What a route decided for this request, as it is written down."""
    assert plan.route is not None
    route = plan.route
    facts: dict[str, Any] = {"slug": route.slug, "name": route.name, "strategy": route.strategy.value}
    if route.revision:
        facts["revision"] = route.revision
    if route.sticky:
        facts["sticky"] = True
    if selection.arm:
        facts["arm"] = selection.arm
    if asking.facts.country:
        facts["country"] = asking.facts.country
    facts["scores"] = [{"endpoint": label, "score": score} for label, score in selection.scores]
    return facts


def nothing_to_ask(plan: Plan, selection: Selection) -> GatewayError:
    """Why no endpoint may be asked now; for how long, where that will pass by itself."""
    reasons = "; ".join(f"{label}: {why}" for label, why in selection.left_out) or "it has none"
    if plan.barred:
        return ResidencyForbids(f"No endpoint of '{plan.slug}' runs where the tenant's data may go ({reasons}).")
    if not selection.blocked:
        return Unavailable(f"No endpoint may serve '{plan.slug}' now ({reasons}).", code="no_endpoint")
    seconds = min(blocked.seconds for blocked in selection.blocked)
    if all(blocked.by_limit for blocked in selection.blocked):
        return UpstreamFailed(
            f"The provider is limiting Lobby's requests ({reasons}).",
            status=429,
            code="provider_rate_limited",
            retry_after=seconds,
        )
    return UpstreamFailed(
        f"No endpoint of '{plan.slug}' is well at the moment ({reasons}).",
        status=503,
        code="endpoints_unhealthy",
        retry_after=seconds,
    )


def _outcome_of(error: GatewayError) -> Outcome:
    if isinstance(error, UpstreamFailed):
        return Outcome.INVALID if error.status in (400, 404, 413, 422) else Outcome.UPSTREAM_ERROR
    return Outcome.INVALID if isinstance(error, InvalidRequest) else Outcome.DENIED
