"""The books of one request: an intent before each attempt, one settlement after it, and the request's own line.

Whatever happens, each attempt that was begun is settled exactly once, and what the counters held is put right. Lines
are in the spool before the answer's last byte leaves.
"""

from __future__ import annotations

import random
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec

from apps.gateway import metrics
from apps.gateway.admission import Admission
from apps.gateway.counters.base import Ask
from apps.gateway.errors import (
    Forbidden,
    GatewayError,
    LimitExceeded,
    ModelNotFound,
    Unavailable,
    UpstreamFailed,
)
from apps.gateway.fronts.base import Request
from apps.gateway.ledger.errors import SpoolError
from apps.gateway.ledger.lines import Intent, RequestLine, Settlement
from apps.gateway.ledger.pricing import FREE_OPERATIONS, cost_picousd
from apps.gateway.ledger.progress import NO_SLOT
from apps.gateway.prompts import Served
from apps.gateway.routing.health import Leave
from apps.gateway.routing.plans import Candidate, Plan
from apps.gateway.snapshot import EndpointFacts, ModelFacts, PriceFacts, Principal
from apps.gateway.types import Outcome, UsageStatus
from apps.models.providers.base import ProviderError, StreamDecoder, Usage

if TYPE_CHECKING:
    from apps.gateway.runtime import Runtime

_encode = msgspec.json.Encoder().encode
# Ids need to be unique, not secret: a generator seeded once from the system's is quicker than a system call each.
_random = random.Random(random.SystemRandom().getrandbits(256))  # noqa: S311


def new_id() -> str:
    """32 hexadecimal digits: 48 bits of Unix milliseconds, so that ids sort by time, and 80 random bits."""
    return f"{time.time_ns() // 1_000_000:012x}{_random.getrandbits(80):020x}"


class Attempt:
    """One upstream call: its facts, and its one settlement."""

    __slots__ = (
        "answered",
        "arm",
        "decoder",
        "dropped",
        "duration_ms",
        "endpoint",
        "first_token_ms",
        "hedged",
        "id",
        "leave",
        "measured",
        "model",
        "price",
        "settled",
        "slot",
        "started",
        "unread",
        "upstream_request_id",
    )

    def __init__(self, candidate: Candidate, price: PriceFacts) -> None:
        self.id = new_id()
        self.endpoint: EndpointFacts = candidate.endpoint
        self.model: ModelFacts = candidate.model
        self.arm = candidate.arm
        self.hedged = False  # another attempt answered first
        self.answered = False
        self.leave = Leave.NO
        self.measured: Usage | None = None  # as the upstream told in the end
        self.price = price
        self.started = time.monotonic()
        self.duration_ms = 0  # once it is settled
        self.first_token_ms: int | None = None
        self.decoder: StreamDecoder | None = None
        self.slot = NO_SLOT
        self.settled = False
        self.unread = False  # its time ran out while the caller did not read: that tells nothing of the endpoint
        self.dropped: tuple[str, ...] = ()  # the caller's parameters that this upstream could not take
        self.upstream_request_id = ""


class Books:
    """``plan`` and ``admission`` are set as they become known; a request may end before either."""

    def __init__(
        self, runtime: Runtime, principal: Principal, request: Request, *, request_id: str, started: float
    ) -> None:
        self._runtime = runtime
        self._principal = principal
        self._request = request
        self._request_id = request_id
        self._started = started
        self._at = int(time.time() * 1000)
        self._closed = False
        self._lines = b""  # for the spool
        self._attempts: list[dict[str, Any]] = []
        self._usage = Usage()
        self._cost = 0
        self._tokens_by_model: dict[int, int] = {}
        self._last_model = ""  # of the last attempt that ended
        self._first_token_ms: int | None = None
        self.plan: Plan | None = None
        self.left_out: list[tuple[str, str]] = []  # (endpoint, why): the plan's own, and what came of the request
        self.order: tuple[Candidate, ...] = ()
        self.route: dict[str, Any] = {}  # what a route decided, for the why
        self.shadow_of = ""  # the request that this one mirrors
        self.admission: Admission | None = None
        self.prompt: Served | None = None
        self.units = 0  # an estimate of what is charged by the piece
        self.leases: list[Ask] = []  # taken beside the admission's own

    @property
    def charged(self) -> tuple[int, int]:
        """The tokens and the cost of the attempts that have ended."""
        return self._usage.input_tokens + self._usage.output_tokens, self._cost

    @property
    def estimate(self) -> int:
        """Of the input's tokens."""
        return self.admission.estimate if self.admission is not None else 0

    def figures(self) -> list[tuple[bytes, bytes]]:
        """What a whole answer took, in headers; of a stream it is not known when its head leaves."""
        return [
            (b"x-lobby-cost-picousd", b"%d" % self._cost),
            (b"x-lobby-duration-ms", b"%d" % _since(self._started)),
        ]

    def figures_in_stream(self) -> bytes:
        """The same of a stream, as a comment of its last events: for Lobby's own calls alone."""
        if not self._principal.by_lobby:
            return b""
        figures = {
            "cost_picousd": self._cost,
            "duration_ms": _since(self._started),
            "first_token_ms": self._first_token_ms,
        }
        return b": lobby " + _encode(figures) + b"\n\n"

    def first_byte(self, attempt: Attempt) -> None:
        """The first of a stream's bytes is about to leave."""
        attempt.first_token_ms = _since(attempt.started)
        self._first_token_ms = _since(self._started)

    def intend(self, attempt: Attempt) -> None:
        """Nothing is dispatched before its intent is durable."""
        principal, plan = self._principal, self.plan
        assert plan is not None
        line = Intent(
            request_id=self._request_id,
            at=int(time.time() * 1000),
            tenant_id=principal.tenant.id,
            project_id=principal.project.id,
            api_key_id=principal.api_key_id,
            user_id=principal.user_id,
            attempt_id=attempt.id,
            model_id=attempt.model.id,
            endpoint_id=attempt.endpoint.id,
            price_id=attempt.price.price_id,
            model_slug=attempt.model.slug,
            operation=self._request.operation,
            streamed=self._request.streams,
            input_tokens=self.estimate,
            units=self.units,
        )
        try:
            self._runtime.spool.append(_encode(line) + b"\n")
        except SpoolError:
            raise Unavailable(
                "Usage cannot be recorded right now, so nothing is called. Try again in a moment.",
                code="ledger_unavailable",
                retry_after=5.0,
            ) from None

    def settle_failed(self, attempt: Attempt, error: ProviderError, *, reached: bool) -> None:
        """An attempt that failed. An upstream that said no or was never reached charges nothing; one that fell silent
        or broke off had the input and may charge for it, so what is known is counted. One that said no as the first
        thing of its stream is one that said no."""
        refused = error.kind == "caller" and (attempt.decoder is None or not attempt.decoder.output_tokens)
        if error.status or error.phase in ("connect", "answer") or refused:
            self.settle(attempt, _failed_outcome(error), error.status, Usage(), error=error)
        else:
            self.settle(attempt, _failed_outcome(error), 200 if reached else 0, None, error=error)

    def settle(
        self,
        attempt: Attempt,
        outcome: Outcome,
        http_status: int,
        usage: Usage | None,
        *,
        error: ProviderError | None = None,
    ) -> None:
        """Write the attempt's one settlement. Without ``usage`` what arrived is counted, and marked as an estimate."""
        if attempt.settled:
            return
        attempt.settled = True
        if usage is None and attempt.decoder is not None:
            usage = attempt.decoder.usage
        status = UsageStatus.MEASURED
        if usage is None:
            status = UsageStatus.ESTIMATED
            usage = Usage(self.estimate, units=self.units)
            if attempt.decoder is not None:
                usage = replace(attempt.decoder.begun or usage, output_tokens=attempt.decoder.output_tokens)
        usage = usage.bounded()
        cost = 0 if self._request.operation in FREE_OPERATIONS else cost_picousd(attempt.price.terms, usage)
        principal, plan = self._principal, self.plan
        assert plan is not None
        duration = attempt.duration_ms = _since(attempt.started)
        line = Settlement(
            request_id=self._request_id,
            at=int(time.time() * 1000) - duration,
            tenant_id=principal.tenant.id,
            project_id=principal.project.id,
            api_key_id=principal.api_key_id,
            user_id=principal.user_id,
            attempt_id=attempt.id,
            model_id=attempt.model.id,
            endpoint_id=attempt.endpoint.id,
            price_id=attempt.price.price_id,
            status=status.value,
            outcome=outcome.value,
            http_status=http_status,
            streamed=self._request.streams,
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cached_tokens=usage.cached_tokens,
            cache_write_tokens=usage.cache_write_tokens,
            cache_write_1h_tokens=usage.cache_write_1h_tokens,
            reasoning_tokens=usage.reasoning_tokens,
            audio_input_tokens=usage.audio_input_tokens,
            audio_output_tokens=usage.audio_output_tokens,
            image_input_tokens=usage.image_input_tokens,
            image_output_tokens=usage.image_output_tokens,
            units=usage.units,
            cost_picousd=cost,
            duration_ms=duration,
            first_token_ms=attempt.first_token_ms,
            upstream_request_id=attempt.upstream_request_id[:200],
        )
        self._lines += _encode(line) + b"\n"
        if outcome != Outcome.OK:
            self._flush()  # else it goes with the request's own line, before the last byte
        self._cost += cost
        used = usage.input_tokens + usage.output_tokens
        self._tokens_by_model[attempt.model.id] = self._tokens_by_model.get(attempt.model.id, 0) + used
        self._last_model = attempt.model.slug
        self._usage = self._usage.plus(usage)
        facts: dict[str, Any] = {
            "id": attempt.id,
            "endpoint": attempt.endpoint.label,
            "region": attempt.endpoint.region,
            "outcome": outcome.value,
            "status": http_status,
            "usage": status.value,
            "after_ms": int((attempt.started - self._started) * 1000),
            "ms": duration,
            "first_token_ms": attempt.first_token_ms,
            "price_id": attempt.price.price_id,
        }
        if attempt.arm:
            facts["arm"] = attempt.arm
        if attempt.hedged:
            facts["hedged"] = True
        if plan.route is not None:
            facts["model"] = attempt.model.slug
        if attempt.dropped:
            facts["dropped"] = list(attempt.dropped)
        if error is not None:
            # A provider that refuses our credential may repeat it in its message: that stays out of every record.
            facts["error"] = "the credential was refused" if error.kind == "credential" else error.message[:300]
            facts["phase"] = error.phase
        self._attempts.append(facts)
        metrics.count_attempt(attempt.endpoint.provider, outcome.value, usage, cost, attempt.first_token_ms)

    def _flush(self) -> None:
        if self._lines:
            self._runtime.record(self._lines)
            self._lines = b""

    async def close(self, outcome: Outcome, status: int, code: str = "", error: GatewayError | None = None) -> None:
        """Give back what the counters held, and write the request's own line: once, before the answer's last byte."""
        if self._closed:
            return
        self._closed = True
        runtime = self._runtime
        duration = _since(self._started)
        if self._attempts or (not self.shadow_of and (outcome == Outcome.OK or runtime.may_log_denial())):
            self._lines += _encode(self._line(outcome, status, code, error, duration)) + b"\n"
        else:
            metrics.unlogged.inc()
        self._flush()
        metrics.count_request(self._request.operation, outcome.value, status, duration / 1000)
        if self.admission is not None and self.admission.admitted is not None:
            used = self._usage.input_tokens + self._usage.output_tokens
            await runtime.settle_counters(self.admission.ask, tokens=used, cost=self._cost)
        while self.leases:
            await runtime.settle_counters(self.leases.pop(), tokens=0, cost=0)
        if self.admission is not None:
            for model_id in tuple(self.admission.entered):
                await self.leave(model_id)

    async def leave(self, model_id: int) -> None:
        """Give back what the model's own limits held beyond what it has used."""
        assert self.admission is not None
        ask = self.admission.entered.pop(model_id, None)
        if ask is not None:
            await self._runtime.settle_counters(ask, tokens=self._tokens_by_model.pop(model_id, 0), cost=0)

    def _line(self, outcome: Outcome, status: int, code: str, error: GatewayError | None, duration: int) -> RequestLine:
        principal = self._principal
        return RequestLine(
            request_id=self._request_id,
            at=self._at,
            tenant_id=principal.tenant.id,
            project_id=principal.project.id,
            api_key_id=principal.api_key_id,
            user_id=principal.user_id,
            operation=self._request.operation,
            outcome=outcome.value,
            http_status=status,
            model_slug=self._last_model or (self.plan.slug if self.plan else _printable(self._request.model)),
            streamed=self._request.streams,
            error_code=code[:64],
            attempts=len(self._attempts),
            input_tokens=self._usage.input_tokens,
            output_tokens=self._usage.output_tokens,
            cost_picousd=self._cost,
            duration_ms=duration,
            first_token_ms=self._first_token_ms,
            prompt_id=self.prompt.prompt_id if self.prompt is not None else 0,
            prompt_version=self.prompt.number if self.prompt is not None else 0,
            why=self._why(error),
        )

    def _why(self, error: GatewayError | None) -> dict[str, Any]:
        """The facts behind the answer, as the portal shows them (``apps/gateway/explanation.py``)."""
        why: dict[str, Any] = {"caller": self._principal.label, "project": self._principal.project.label}
        if self._principal.by_lobby:
            why["by_lobby"] = True
        if error is not None and error.rule:
            why["denied_by"] = error.rule
        own = isinstance(error, LimitExceeded | Unavailable | ModelNotFound | Forbidden)
        if error is not None and (own or (isinstance(error, UpstreamFailed) and not self._attempts)):
            # Our own words. Other errors may repeat what was sent, which is not kept.
            why["said"] = error.message
        if self.prompt is not None:
            why["prompt"] = self.prompt.why()
        plan, admission = self.plan, self.admission
        if plan is None:
            return why
        if admission is not None:
            why["held"] = admission.held()
            if admission.admitted is not None:
                why["limits"] = [
                    {"rule": plan.rules[left.limit.key].text, "left": left.left}
                    for left in admission.admitted.remaining
                ]
        if plan.budgets:
            why["budgets"] = [budget.rule.text for budget in plan.budgets]
        if self.route:
            why["route"] = self.route
        if self.shadow_of:
            why["shadow_of"] = self.shadow_of
        why["candidates"] = [candidate.label for candidate in self.order]
        if self.left_out:
            why["left_out"] = [{"endpoint": endpoint, "why": reason} for endpoint, reason in self.left_out]
        if self._attempts:
            why["attempts"] = self._attempts
        return why


def _since(started: float) -> int:
    return int((time.monotonic() - started) * 1000)


def _printable(text: str) -> str:
    return "".join(character for character in text if character.isprintable())[:200]


def _failed_outcome(error: ProviderError) -> Outcome:
    return Outcome.INVALID if error.kind == "caller" else Outcome.UPSTREAM_ERROR
