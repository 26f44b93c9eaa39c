"""One request's life after its caller is known: plan, admit, route, call, relay, settle.

Whatever happens (an error, a caller that leaves, a server that stops), each attempt that was begun gets exactly one
settlement, and what the counters held is put right. Nothing is retried once a byte has reached the caller.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any

import httpx
import msgspec

from apps.gateway import metrics
from apps.gateway.counters.base import Admitted, Ask, CountersUnavailable, Denied, Remaining, Unseeded
from apps.gateway.errors import (
    GatewayError,
    InvalidRequest,
    LimitExceeded,
    ModelNotFound,
    Unavailable,
    UpstreamFailed,
)
from apps.gateway.ledger.errors import SpoolError
from apps.gateway.ledger.lines import Intent, RequestLine, Settlement
from apps.gateway.ledger.pricing import cost_picousd
from apps.gateway.ledger.progress import NO_SLOT
from apps.gateway.snapshot import ASSUMED_MAX_OUTPUT_TOKENS, EndpointFacts, Plan, PriceFacts, Principal
from apps.gateway.types import Outcome, UsageStatus
from apps.gateway.upstream import MAX_ANSWER_BYTES, MAX_ERROR_BYTES, Watch, chunks, read_all
from apps.gateway.wire import Request, input_bounds
from apps.models.providers.base import ProviderError, StreamDecoder, UpstreamCall, Usage
from apps.tenants.money import format_usd

if TYPE_CHECKING:
    from apps.gateway.runtime import Runtime

Send = Callable[[dict[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Header = tuple[bytes, bytes]

# How long an admission may outlive its request when the process forgets it, beyond the endpoint's total timeout.
LEASE_GRACE_SECONDS = 60.0
# After the last event, how long to wait for the connection to become reusable.
TRAILER_SECONDS = 1.0

_encode = msgspec.json.Encoder().encode
# Ids need to be unique, not secret: a generator seeded once from the system's is quicker than a system call each.
_random = random.Random(random.SystemRandom().getrandbits(256))  # noqa: S311


def new_id() -> str:
    """32 hexadecimal digits: 48 bits of Unix milliseconds, so that ids sort by time, and 80 random bits."""
    return f"{time.time_ns() // 1_000_000:012x}{_random.getrandbits(80):020x}"


class _CallerLeft(Exception):
    """The caller closed its connection; there is nobody to answer."""


class Attempt:
    """One upstream call: its facts, and its one settlement."""

    __slots__ = ("decoder", "endpoint", "first_token_ms", "id", "price", "settled", "slot", "started")

    def __init__(self, endpoint: EndpointFacts, price: PriceFacts) -> None:
        self.id = new_id()
        self.endpoint = endpoint
        self.price = price
        self.started = time.monotonic()
        self.first_token_ms: int | None = None
        self.decoder: StreamDecoder | None = None
        self.slot = NO_SLOT
        self.settled = False


class Exchange:
    """Serves one parsed request of one principal through ``send``."""

    def __init__(
        self,
        runtime: Runtime,
        principal: Principal,
        request: Request,
        fields: dict[str, msgspec.Raw],
        *,
        request_id: str,
        receive: Receive,
        send: Send,
        started: float,
    ) -> None:
        self._runtime = runtime
        self._principal = principal
        self._request = request
        self._fields = fields
        self._receive = receive
        self._send = send
        self._started = started
        self._at = int(time.time() * 1000)
        self.request_id = request_id
        self._plan: Plan | None = None
        self._admitted: Admitted | None = None
        self._ask: Ask | None = None
        self._answering = False  # the response's head has left
        self._ended = False  # the response's last byte has left
        self._closed = False  # the books are
        self._lines = b""  # for the spool
        self._attempts: list[dict[str, Any]] = []
        self._usage = Usage()
        self._cost = 0
        self._first_token_ms: int | None = None
        self._estimate = 0

    async def serve(self) -> None:
        """Answer the request; never raises but for cancellation from outside."""
        try:
            await self._serve()
        except _CallerLeft:
            await self._close_books(Outcome.CANCELLED, 499, "client_closed_request")
        except GatewayError as error:
            await self._close_books(_outcome_of(error), error.status, error.code, error)
            await self._answer_error(error)
        except asyncio.CancelledError:
            await self._close_books(Outcome.INTERRUPTED, 503, "server_stopped")
            raise

    async def _serve(self) -> None:
        now = time.time()
        plan = self._plan = self._runtime.snapshot.plan(self._principal, self._request.model, now)
        if plan.model.kind != _KINDS[self._request.operation]:
            raise InvalidRequest(
                f"'{plan.model.slug}' is {_KIND_NAMES[plan.model.kind]}; it cannot serve {self._request.operation}.",
                param="model",
                code="wrong_model_kind",
            )
        if self._request.prompt is not None:
            raise InvalidRequest(
                f"The prompt '{self._request.prompt.id[:100]}' is not in this tenant's catalog.",
                status=404,
                param="prompt.id",
                code="prompt_not_found",
            )
        if not plan.candidates:
            reasons = "; ".join(f"{endpoint}: {why}" for endpoint, why in plan.left_out) or "it has none"
            raise Unavailable(f"No endpoint may serve '{plan.model.slug}' now ({reasons}).", code="no_endpoint")
        call = await self._admit(plan, now)
        await self._route(plan, call)

    # Admission.

    async def _admit(self, plan: Plan, now: float) -> UpstreamCall:
        """Ask every limit and budget at once. Raises ``LimitExceeded`` or ``Unavailable``."""
        request = self._request
        bound, self._estimate = input_bounds(self._fields)
        asked = request.max_output
        per_choice = asked if asked is not None else plan.model.max_output_tokens or ASSUMED_MAX_OUTPUT_TOKENS
        prices = [endpoint.price_at(now).terms for endpoint in plan.candidates]
        output_rate = max(price.dearest_output for price in prices)
        output = per_choice * request.choices
        self._ask = ask = Ask(
            lease=self.request_id,
            now=now,
            limits=plan.limits,
            budgets=tuple(budget.window(now) for budget in plan.budgets),
            tokens=bound + output,
            cost=max(price.bound(bound, output) for price in prices),
            # An embedding has no output, and an answer of at least one token is the least worth asking for.
            minimum_tokens=bound + output if asked is not None else bound + request.choices,
            token_cost=output_rate,
            lease_seconds=plan.candidates[0].total_timeout + LEASE_GRACE_SECONDS,
        )
        if plan.limits or plan.budgets:
            self._admitted = await self._ask_counters(plan, ask)
            granted = (self._admitted.tokens - bound) // request.choices
        else:
            granted = per_choice
        cap = None
        if asked is None and plan.capped and (granted < per_choice or plan.model.max_output_tokens is None):
            cap = granted
        return UpstreamCall(request.operation, self._fields, stream=request.streams, max_output_tokens=cap)  # type: ignore[arg-type]

    async def _ask_counters(self, plan: Plan, ask: Ask) -> Admitted:
        counters = self._runtime.counters
        try:
            result = await counters.admit(ask)
            if isinstance(result, Unseeded):
                await self._runtime.seed_budgets(plan, result.keys)
                result = await counters.admit(ask)
        except CountersUnavailable:
            raise Unavailable(
                "Limits and budgets cannot be checked right now. Try again in a moment.",
                code="counters_unavailable",
                retry_after=1.0,
            ) from None
        if isinstance(result, Admitted):
            return result
        if isinstance(result, Denied):
            raise self._denial(plan, ask, result)
        raise Unavailable("The budgets' spend is not known yet. Try again in a moment.", retry_after=1.0)

    def _denial(self, plan: Plan, ask: Ask, denied: Denied) -> LimitExceeded:
        rule = plan.rules.get(denied.key)
        if rule is not None:
            wants = ""
            if any(limit.key == denied.key and limit.metric == "tokens" for limit in plan.limits):
                wants = (
                    f" This request may use up to {ask.minimum_tokens:,} tokens and {max(denied.left, 0):,} are left;"
                    " a shorter input or a smaller max_completion_tokens asks for less."
                )
            again = "" if denied.too_large else f"Try again in {max(1, round(denied.retry_after + 0.499)):,} s, or a"
            return LimitExceeded(
                f"Rate limit reached: {rule.text}.{wants} {again or 'A'}sk {rule.owner} for more.",
                code="request_over_limit" if denied.too_large else None,
                retry_after=denied.retry_after,
                rule=rule.text,
            )
        budget = next(b for b in plan.budgets if b.window(ask.now).key == denied.key)
        return LimitExceeded(
            f"The {budget.rule.text} cannot cover this request: it may cost up to {format_usd(ask.cost)} and"
            f" {format_usd(max(denied.left, 0))} is left. Ask {budget.rule.owner} for more, or send a smaller"
            " max_completion_tokens.",
            type="insufficient_quota",
            code="budget_exceeded",
            retry_after=denied.retry_after,
            rule=budget.rule.text,
        )

    # Routing: one endpoint after the other, as long as nothing has reached the caller.

    async def _route(self, plan: Plan, call: UpstreamCall) -> None:
        failure: ProviderError | None = None
        for endpoint in plan.candidates:
            if failure is not None and not self._runtime.may_retry():
                break
            try:
                await self._attempt(endpoint, call)
                return
            except ProviderError as error:
                failure = error
                if self._answering or not error.retryable:
                    break
        assert failure is not None
        raise _as_gateway_error(failure)

    async def _attempt(self, endpoint: EndpointFacts, call: UpstreamCall) -> None:
        """Call one endpoint and relay its answer. Raises ``ProviderError``, after having settled."""
        runtime = self._runtime
        adapter = runtime.adapters[endpoint.provider_kind]
        attempt = Attempt(endpoint, endpoint.price_at(time.time()))
        upstream_request = adapter.build_request(endpoint.target, call, attempt_id=attempt.id)
        self._intend(attempt)
        watch = Watch(endpoint.total_timeout)
        response: httpx.Response | None = None
        try:
            watch.phase("first_byte", endpoint.first_byte_timeout)
            response = await runtime.client.send(
                upstream_request, simulated=endpoint.simulated, connect_timeout=endpoint.connect_timeout
            )
            if response.status_code != 200:
                body = await read_all(response, MAX_ERROR_BYTES)
                raise adapter.error(response.status_code, response.headers, body)
            if call.stream:
                await self._relay_stream(attempt, call, response, watch)
            else:
                watch.phase("idle", endpoint.idle_timeout)
                answer = adapter.parse(call, await read_all(response, MAX_ANSWER_BYTES))
                watch.stop()
                self._settle(attempt, Outcome.OK, 200, answer.usage, upstream=response.headers)
                await self._close_books(Outcome.OK, 200)
                await self._answer(answer.body)
        except ProviderError as error:
            self._settle_failed(attempt, error, reached=response is not None)
            raise
        except asyncio.CancelledError:
            if not watch.caught():
                self._settle(attempt, Outcome.INTERRUPTED, 0, None)
                raise
            if watch.reason == "client":
                self._settle(attempt, Outcome.CANCELLED, 200 if response is not None else 0, None)
                raise _CallerLeft from None
            timeout = ProviderError("timeout", _TIMEOUTS[watch.reason or "total"], phase=watch.reason or "total")
            self._settle_failed(attempt, timeout, reached=response is not None)
            raise timeout from None
        finally:
            watch.stop()
            runtime.progress.release(attempt.slot)
            if response is not None:
                await _close(response)

    async def _relay_stream(self, attempt: Attempt, call: UpstreamCall, response: httpx.Response, watch: Watch) -> None:
        """Pass the events on as they come. The settlement is written before the last byte leaves."""
        runtime = self._runtime
        content_type = response.headers.get("content-type", "")
        if not content_type.startswith("text/event-stream"):
            raise ProviderError("malformed", f"The upstream answered a stream as {content_type or 'nothing known'}.")
        adapter = runtime.adapters[attempt.endpoint.provider_kind]
        decoder = attempt.decoder = adapter.stream_decoder(call, wants_usage=self._request.wants_usage)
        attempt.slot = slot = runtime.progress.acquire(attempt.id, self._estimate)
        watcher = asyncio.ensure_future(self._watch_caller(watch))
        try:
            watch.phase("first_byte", attempt.endpoint.first_byte_timeout)
            stream = chunks(response)
            async for block in stream:
                out = decoder.feed(block)
                runtime.progress.set_output(slot, decoder.output_tokens)
                if decoder.usage is not None:  # what the upstream told stands, should this process die now
                    runtime.progress.set_input(slot, decoder.usage.input_tokens)
                    runtime.progress.set_output(slot, decoder.usage.output_tokens)
                if decoder.finished or decoder.error is not None:
                    break
                if not out:
                    watch.touch()
                    continue
                if attempt.first_token_ms is None:
                    self._first_byte(attempt)
                    watch.phase("idle", attempt.endpoint.idle_timeout)
                watch.pause()
                if not self._answering:
                    await self._start(200, _STREAM_HEADERS)
                await self._send({"type": "http.response.body", "body": out, "more_body": True})
                watch.touch()
            else:
                # No end was announced. Some servers do not; but those have told the usage by then.
                out = b""
                if decoder.usage is None:
                    raise ProviderError("disconnected", "The upstream ended its stream too early.", phase="stream")
            watch.stop()
            if decoder.error is not None:
                if out and decoder.output_tokens:
                    if not self._answering:
                        await self._start(200, _STREAM_HEADERS)
                    await self._send({"type": "http.response.body", "body": out, "more_body": True})
                raise decoder.error
            if attempt.first_token_ms is None:
                self._first_byte(attempt)
            self._settle(attempt, Outcome.OK, 200, decoder.usage, upstream=response.headers)
            await self._close_books(Outcome.OK, 200)
            if not self._answering:
                await self._start(200, _STREAM_HEADERS)
            await self._send({"type": "http.response.body", "body": out, "more_body": False})
            self._ended = True
            await _read_trailer(stream)
        finally:
            watcher.cancel()

    def _first_byte(self, attempt: Attempt) -> None:
        attempt.first_token_ms = _since(attempt.started)
        self._first_token_ms = _since(self._started)

    async def _watch_caller(self, watch: Watch) -> None:
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                watch.client_left()
                return

    # The ledger.

    def _intend(self, attempt: Attempt) -> None:
        """Nothing is dispatched before its intent is durable."""
        principal, plan = self._principal, self._plan
        assert plan is not None
        line = Intent(
            request_id=self.request_id,
            at=int(time.time() * 1000),
            tenant_id=principal.tenant.id,
            project_id=principal.project.id,
            api_key_id=principal.api_key_id,
            user_id=principal.user_id,
            attempt_id=attempt.id,
            model_id=plan.model.id,
            endpoint_id=attempt.endpoint.id,
            price_id=attempt.price.price_id,
            model_slug=plan.model.slug,
            operation=self._request.operation,
            streamed=self._request.streams,
            input_tokens=self._estimate,
        )
        try:
            self._runtime.spool.append(_encode(line) + b"\n")
        except SpoolError:
            raise Unavailable(
                "Usage cannot be recorded right now, so nothing is called. Try again in a moment.",
                code="ledger_unavailable",
                retry_after=5.0,
            ) from None

    def _settle_failed(self, attempt: Attempt, error: ProviderError, *, reached: bool) -> None:
        """An attempt that failed. An upstream that said no or was never reached charges nothing; one that fell silent
        or broke off had the input and may charge for it, so what is known is counted."""
        if error.status or error.phase == "connect":
            self._settle(attempt, _failed_outcome(error), error.status, Usage(), error=error)
        else:
            self._settle(attempt, _failed_outcome(error), 200 if reached else 0, None, error=error)

    def _settle(
        self,
        attempt: Attempt,
        outcome: Outcome,
        http_status: int,
        usage: Usage | None,
        *,
        upstream: httpx.Headers | None = None,
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
            usage = Usage(self._estimate, attempt.decoder.output_tokens if attempt.decoder else 0)
        cost = cost_picousd(attempt.price.terms, usage)
        principal, plan = self._principal, self._plan
        assert plan is not None
        duration = _since(attempt.started)
        line = Settlement(
            request_id=self.request_id,
            at=int(time.time() * 1000) - duration,
            tenant_id=principal.tenant.id,
            project_id=principal.project.id,
            api_key_id=principal.api_key_id,
            user_id=principal.user_id,
            attempt_id=attempt.id,
            model_id=plan.model.id,
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
            reasoning_tokens=usage.reasoning_tokens,
            cost_picousd=cost,
            duration_ms=duration,
            first_token_ms=attempt.first_token_ms,
            upstream_request_id=(upstream.get("x-request-id", "") if upstream is not None else "")[:200],
        )
        self._lines += _encode(line) + b"\n"
        if outcome != Outcome.OK:
            self._flush()  # else it goes with the request's own line, before the last byte
        self._cost += cost
        self._usage = Usage(
            self._usage.input_tokens + usage.input_tokens,
            self._usage.output_tokens + usage.output_tokens,
            self._usage.cached_tokens + usage.cached_tokens,
            self._usage.cache_write_tokens + usage.cache_write_tokens,
            self._usage.reasoning_tokens + usage.reasoning_tokens,
        )
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

    async def _close_books(
        self, outcome: Outcome, status: int, code: str = "", error: GatewayError | None = None
    ) -> None:
        """Give back what the counters held, and write the request's own line: once, before the answer's last byte."""
        if self._closed:
            return
        self._closed = True
        runtime = self._runtime
        duration = _since(self._started)
        if self._attempts or runtime.may_log_denial():
            self._lines += _encode(self._line(outcome, status, code, error, duration)) + b"\n"
        else:
            metrics.unlogged.inc()
        self._flush()
        metrics.count_request(self._request.operation, outcome.value, status, duration / 1000)
        if self._admitted is not None and self._ask is not None:
            used = self._usage.input_tokens + self._usage.output_tokens
            await runtime.settle_counters(self._ask, tokens=used, cost=self._cost)

    def _line(self, outcome: Outcome, status: int, code: str, error: GatewayError | None, duration: int) -> RequestLine:
        principal = self._principal
        return RequestLine(
            request_id=self.request_id,
            at=self._at,
            tenant_id=principal.tenant.id,
            project_id=principal.project.id,
            api_key_id=principal.api_key_id,
            user_id=principal.user_id,
            operation=self._request.operation,
            outcome=outcome.value,
            http_status=status,
            model_slug=self._plan.model.slug if self._plan else _printable(self._request.model),
            streamed=self._request.streams,
            error_code=code[:64],
            attempts=len(self._attempts),
            input_tokens=self._usage.input_tokens,
            output_tokens=self._usage.output_tokens,
            cost_picousd=self._cost,
            duration_ms=duration,
            first_token_ms=self._first_token_ms,
            why=self._why(error),
        )

    def _why(self, error: GatewayError | None) -> dict[str, Any]:
        """The facts behind the answer, as the portal shows them (``apps/gateway/explanation.py``)."""
        why: dict[str, Any] = {"caller": self._principal.label, "project": self._principal.project.label}
        if error is not None and error.rule:
            why["denied_by"] = error.rule
        if isinstance(error, LimitExceeded | Unavailable | ModelNotFound):
            # Our own words. Other errors may repeat what was sent, which is not kept.
            why["said"] = error.message
        if self._ask is not None:
            why["held"] = {"tokens": self._ask.tokens, "cost_picousd": self._ask.cost}
        plan = self._plan
        if plan is None:
            return why
        if self._admitted is not None:
            why["granted_tokens"] = self._admitted.tokens
            why["limits"] = [
                {"rule": plan.rules[left.limit.key].text, "left": left.left} for left in self._admitted.remaining
            ]
        if plan.budgets:
            why["budgets"] = [budget.rule.text for budget in plan.budgets]
        why["candidates"] = [endpoint.label for endpoint in plan.candidates]
        if plan.left_out:
            why["left_out"] = [{"endpoint": endpoint, "why": reason} for endpoint, reason in plan.left_out]
        if self._attempts:
            why["attempts"] = self._attempts
        return why

    # The answer.

    async def _start(self, status: int, headers: list[Header]) -> None:
        self._answering = True
        shown = [*headers, *_identity(self.request_id), *self._limit_headers()]
        await self._send({"type": "http.response.start", "status": status, "headers": shown})

    async def _answer(self, body: bytes) -> None:
        await self._start(200, [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))])
        await self._send({"type": "http.response.body", "body": body, "more_body": False})
        self._ended = True

    async def _answer_error(self, error: GatewayError) -> None:
        """The error as a response; or, in a stream that has begun, as its last event."""
        if self._ended:
            return
        self._ended = True
        if self._answering:
            await self._send({"type": "http.response.body", "body": error.event(), "more_body": False})
            return
        self._answering = True
        await send_error(self._send, error, self.request_id, extra=self._limit_headers())

    def _limit_headers(self) -> list[Header]:
        """``x-ratelimit-*`` as OpenAI has them: of several limits of a kind, the one with the least left."""
        if self._admitted is None:
            return []
        tightest: dict[str, Remaining] = {}  # by metric
        for left in self._admitted.remaining:
            metric = left.limit.metric
            if metric not in tightest or left.left < tightest[metric].left:
                tightest[metric] = left
        headers: list[Header] = []
        for name in ("requests", "tokens"):
            if name not in tightest:
                continue
            left, suffix = tightest[name], name.encode()
            headers += [
                (b"x-ratelimit-limit-" + suffix, b"%d" % left.limit.amount),
                (b"x-ratelimit-remaining-" + suffix, b"%d" % max(left.left, 0)),
                (b"x-ratelimit-reset-" + suffix, b"%.3fs" % left.reset_after),
            ]
        return headers


_KINDS = {"chat.completions": "chat", "embeddings": "embedding"}
_KIND_NAMES = {"chat": "a chat model", "embedding": "an embedding model"}
_STREAM_HEADERS: list[Header] = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]
_TIMEOUTS = {
    "connect": "The upstream did not accept the connection in time.",
    "first_byte": "The upstream did not begin to answer in time.",
    "idle": "The upstream fell silent in the middle of its answer.",
    "total": "The upstream did not finish its answer in time.",
    "client": "The caller left.",
}


async def send_error(send: Send, error: GatewayError, request_id: str, *, extra: list[Header] | None = None) -> None:
    """A whole response that is an error, in the shape of the OpenAI API."""
    body = error.body()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        *_identity(request_id),
        *(extra or []),
    ]
    if error.retry_after is not None:
        headers.append((b"retry-after", b"%d" % max(1, round(error.retry_after + 0.499))))
    if error.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def _identity(request_id: str) -> tuple[Header, Header]:
    """The official client reads ``x-request-id``; ours is the name that the portal speaks of."""
    encoded = request_id.encode()
    return (b"x-lobby-request-id", encoded), (b"x-request-id", encoded)


async def _read_trailer(stream: AsyncIterator[bytes]) -> None:
    """Read past the last event to the end of the body: only then is the connection of use to the next request."""
    try:
        async with asyncio.timeout(TRAILER_SECONDS):
            async for _ in stream:
                pass
    except (ProviderError, TimeoutError):
        pass  # all that matters had come; this connection is not reused


async def _close(response: httpx.Response) -> None:
    """Give the connection back if its answer was read to the end; else hang up."""
    stream = response.stream
    assert isinstance(stream, httpx.AsyncByteStream)
    try:
        await stream.aclose()
    except Exception as error:
        metrics.close_failures.labels(type(error).__name__).inc()


def _since(started: float) -> int:
    return int((time.monotonic() - started) * 1000)


def _printable(text: str) -> str:
    return "".join(character for character in text if character.isprintable())[:200]


def _outcome_of(error: GatewayError) -> Outcome:
    if isinstance(error, UpstreamFailed):
        return Outcome.INVALID if error.status in (400, 404, 413, 422) else Outcome.UPSTREAM_ERROR
    return Outcome.INVALID if isinstance(error, InvalidRequest) else Outcome.DENIED


def _failed_outcome(error: ProviderError) -> Outcome:
    return Outcome.INVALID if error.kind == "caller" else Outcome.UPSTREAM_ERROR


def _as_gateway_error(error: ProviderError) -> UpstreamFailed:
    """A provider's failure as the caller sees it. What concerns our own credential is not the caller's to read."""
    message = error.message
    match error.kind:
        case "caller":
            return UpstreamFailed(
                message,
                status=error.status,
                type=error.type or "invalid_request_error",
                code=error.code or "upstream_rejected",
                param=error.param,
            )
        case "credential":
            return UpstreamFailed(
                "The provider refused Lobby's own credential or account. The service engineers can mend this.",
                code="provider_credential",
            )
        case "rate_limited":
            return UpstreamFailed(
                f"The provider is limiting Lobby's requests: {message}",
                status=429,
                code="provider_rate_limited",
                retry_after=error.retry_after if error.retry_after is not None else 1.0,
            )
        case "timeout":
            return UpstreamFailed(message, status=504, code=f"upstream_timeout_{error.phase or 'status'}")
        case "unreachable":
            return UpstreamFailed(
                message, status=503, code="upstream_unreachable", retry_after=error.retry_after or 1.0
            )
        case _:
            status = 503 if error.status == 503 else 502
            return UpstreamFailed(
                message, status=status, code=error.code or f"upstream_{error.kind}", retry_after=error.retry_after
            )
