"""One request's life after its caller is known: plan, admit, route, call, relay.

What it used goes into its ``Books``, what leaves goes through its ``Answer``. Nothing is retried once a byte has left.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import httpx
import structlog

from apps.gateway import metrics
from apps.gateway.admission import admit
from apps.gateway.answer import Answer, Receive, Send, as_gateway_error
from apps.gateway.books import Attempt, Books
from apps.gateway.errors import GatewayError, InvalidRequest, Unavailable, UpstreamFailed
from apps.gateway.fronts.base import Front, Parsed
from apps.gateway.fronts.messages import estimated_count
from apps.gateway.runtime import Runtime
from apps.gateway.snapshot import EndpointFacts, Plan, Principal
from apps.gateway.types import Outcome
from apps.gateway.upstream import DISPATCHED, MAX_ANSWER_BYTES, MAX_ERROR_BYTES, Watch, chunks, read_all
from apps.models.providers.base import (
    CONVERSATIONS,
    Adapter,
    Operation,
    Prepared,
    ProviderError,
    Unreadable,
    UpstreamCall,
    Usage,
)
from apps.models.types import ModelKind

log = structlog.get_logger(__name__)

# After the last event, how long to wait for the connection to become reusable.
TRAILER_SECONDS = 1.0
# What a stream may hold before its answer proper begins.
MAX_HELD_BYTES = 1024 * 1024

# What a kind of model serves. Where nothing is said, it serves what carries a conversation.
_SERVED: dict[str, frozenset[Operation]] = {
    ModelKind.CHAT: CONVERSATIONS | {"count_tokens", "invoke"},
    ModelKind.EMBEDDING: frozenset({"embeddings", "invoke"}),
}
_TIMEOUTS = {
    "first_byte": "The upstream did not begin to answer in time.",
    "idle": "The upstream fell silent in the middle of its answer.",
    "total": "The upstream did not finish its answer in time.",
}


class _CallerLeft(Exception):
    """The caller closed its connection; there is nobody to answer."""


class _CannotSay(Exception):
    """This upstream cannot take a parameter that the caller will not have dropped."""

    def __init__(self, dropped: tuple[str, ...]) -> None:
        super().__init__(dropped)
        self.dropped = dropped


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
    ) -> None:
        self._runtime = runtime
        self._principal = principal
        self._front = front
        self._parsed = parsed
        self._request = request = parsed.request
        self._receive = receive
        self._request_id = request_id
        self._books = Books(runtime, principal, request, request_id=request_id, started=started)
        self._answer = Answer(send, front, request_id)

    async def serve(self) -> None:
        """Answer the request; never raises but for cancellation from outside."""
        try:
            await self._serve()
        except _CallerLeft:
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

    async def _serve(self) -> None:
        now = time.time()
        plan = self._books.plan = self._runtime.snapshot.plan(self._principal, self._request.model, now)
        if self._request.operation not in _SERVED[plan.model.kind]:
            raise InvalidRequest(
                f"'{plan.model.slug}' is of the kind '{plan.model.kind}'; it cannot serve {self._request.operation}.",
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
        bounds = self._front.bounds(self._parsed)
        admission = await admit(self._runtime, plan, self._parsed, bounds, request_id=self._request_id, now=now)
        self._books.admission = admission
        self._answer.admitted = admission.admitted
        if self._request.operation == "count_tokens" and not any(
            self._runtime.adapters[endpoint.provider_kind].serves("count_tokens", endpoint.target)
            for endpoint in plan.candidates
        ):
            await self._estimate()
        else:
            await self._route(plan, admission.call)

    async def _estimate(self) -> None:
        """Answer a count of tokens that none of the endpoints can make, and say that it is an estimate."""
        self._answer.headers.append((b"x-lobby-token-count", b"estimate"))
        await self._books.close(Outcome.OK, 200)
        await self._answer.whole(estimated_count(self._parsed), "application/json")

    # Routing: one endpoint after the other, as long as nothing has reached the caller.

    async def _route(self, plan: Plan, call: UpstreamCall) -> None:
        failure: ProviderError | None = None
        unsaid: tuple[str, ...] = ()
        for endpoint in plan.candidates:
            if failure is not None and not self._runtime.may_retry():
                break
            try:
                await self._attempt(endpoint, call)
                return
            except _CannotSay as error:
                unsaid = error.dropped
            except ProviderError as error:
                failure = error
                if self._answer.begun or not error.retryable:
                    break
        if failure is None:
            names = ", ".join(f"'{name}'" for name in unsaid)
            raise InvalidRequest(
                f"'{plan.model.slug}' cannot take {names}, and strict was asked for.",
                param=unsaid[0],
                code="unsupported_parameter",
            )
        raise as_gateway_error(failure)

    @property
    def _strict(self) -> bool:
        """Whether a parameter that the upstream cannot take is an error rather than named in a header."""
        asked = (self._request.lobby or {}).get("strict")
        return self._principal.project.strict if asked is None else bool(asked)

    def _prepare(self, adapter: Adapter, endpoint: EndpointFacts, call: UpstreamCall, attempt: Attempt) -> Prepared:
        try:
            prepared = adapter.prepare(endpoint.target, call, attempt_id=attempt.id)
        except Unreadable as error:
            raise InvalidRequest(error.message, param=error.param, code="invalid_value") from None
        if prepared.dropped and self._strict:
            raise _CannotSay(prepared.dropped)
        return prepared

    async def _attempt(self, endpoint: EndpointFacts, call: UpstreamCall) -> None:
        """Call one endpoint and relay its answer. Raises ``ProviderError``, after having settled."""
        runtime = self._runtime
        adapter = runtime.adapters[endpoint.provider_kind]
        attempt = Attempt(endpoint, endpoint.price_at(time.time()))
        prepared = self._prepare(adapter, endpoint, call, attempt)
        upstream_request = prepared.request
        self._answer.dropped = attempt.dropped = prepared.dropped
        self._books.intend(attempt)
        watch = Watch(endpoint.total_timeout)
        response: httpx.Response | None = None
        # A plain answer is had, and paid for, as a whole: only a stream ends when its caller leaves.
        watcher = asyncio.ensure_future(self._watch_caller(watch)) if call.stream else None
        try:
            watch.phase("first_byte", endpoint.first_byte_timeout)
            response = await runtime.client.send(
                upstream_request, simulated=endpoint.simulated, connect_timeout=endpoint.connect_timeout
            )
            if response.status_code != 200:
                body = await read_all(response, MAX_ERROR_BYTES)
                raise adapter.error(response.status_code, response.headers, body)
            attempt.upstream_request_id = response.headers.get(adapter.request_id_header, "")
            if call.stream:
                await self._relay_stream(attempt, adapter, call, response, watch)
            else:
                watch.phase("idle", endpoint.idle_timeout)
                answer = adapter.parse(
                    endpoint.target, call, response.headers, await read_all(response, MAX_ANSWER_BYTES)
                )
                watch.stop()
                self._books.settle(attempt, Outcome.OK, 200, answer.usage)
                await self._books.close(Outcome.OK, 200)
                await self._answer.whole(answer.body, answer.content_type)
        except ProviderError as error:
            _conceal(error, endpoint.target.credential)
            self._books.settle_failed(attempt, error, reached=response is not None)
            raise
        except asyncio.CancelledError:
            # Where the request had not left yet, nothing was had.
            used = None if upstream_request.extensions.get(DISPATCHED) else Usage()
            if not watch.caught():
                self._books.settle(attempt, Outcome.INTERRUPTED, 0, used)
                raise
            if watch.reason == "client":
                self._books.settle(attempt, Outcome.CANCELLED, 200 if response is not None else 0, used)
                raise _CallerLeft from None
            timeout = ProviderError("timeout", _TIMEOUTS[watch.reason or "total"], phase=watch.reason or "total")
            self._books.settle_failed(attempt, timeout, reached=response is not None)
            raise timeout from None
        except Exception:
            self._books.settle(attempt, Outcome.INTERRUPTED, 0, None)
            raise
        finally:
            watch.stop()
            if watcher is not None:
                watcher.cancel()
            runtime.progress.release(attempt.slot)
            if response is not None:
                await _close(response)

    async def _relay_stream(
        self, attempt: Attempt, adapter: Adapter, call: UpstreamCall, response: httpx.Response, watch: Watch
    ) -> None:
        """Pass the events on as they come. The settlement is written before the last byte leaves.

        What comes before the answer proper is held back: a stream that fails so early can still be had elsewhere.
        """
        runtime = self._runtime
        decoder = attempt.decoder = adapter.stream_decoder(attempt.endpoint.target, call, response.headers)
        attempt.slot = slot = runtime.progress.acquire(attempt.id, self._books.estimate)
        watch.phase("first_byte", attempt.endpoint.first_byte_timeout)
        stream = chunks(response)
        held = b""
        async for block in stream:
            out = decoder.feed(block)
            runtime.progress.set_output(slot, decoder.output_tokens)
            if decoder.usage is not None:  # what the upstream told stands, should this process die now
                runtime.progress.set_input(slot, decoder.usage.input_tokens)
                runtime.progress.set_output(slot, decoder.usage.output_tokens)
            if decoder.finished or decoder.error is not None:
                break
            if not decoder.output_tokens:
                held += out
                if len(held) > MAX_HELD_BYTES:
                    raise ProviderError("malformed", "The upstream sent no answer, but much else.")
                watch.touch()
                continue
            if not out:
                watch.touch()
                continue
            if attempt.first_token_ms is None:
                self._books.first_byte(attempt)
                watch.phase("idle", attempt.endpoint.idle_timeout)
            watch.pause()
            await self._answer.stream(held + out)
            held = b""
            watch.touch()
        else:
            out = decoder.end()
        watch.stop()
        if decoder.error is not None:
            if out and decoder.output_tokens:
                await self._answer.stream(held + out)
            raise decoder.error
        if attempt.first_token_ms is None:
            self._books.first_byte(attempt)
        self._books.settle(attempt, Outcome.OK, 200, decoder.usage)
        await self._books.close(Outcome.OK, 200)
        await self._answer.stream(held + out, last=True)
        await _read_trailer(stream)

    async def _watch_caller(self, watch: Watch) -> None:
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                watch.client_left()
                return


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


def _conceal(error: ProviderError, secret: str | None) -> None:
    """Some upstreams repeat the credential that they were shown in what they say is wrong."""
    if secret:
        for name in ("message", "code", "type", "param"):
            text = getattr(error, name)
            if text and secret in text:
                setattr(error, name, text.replace(secret, "[credential]"))


def _outcome_of(error: GatewayError) -> Outcome:
    if isinstance(error, UpstreamFailed):
        return Outcome.INVALID if error.status in (400, 404, 413, 422) else Outcome.UPSTREAM_ERROR
    return Outcome.INVALID if isinstance(error, InvalidRequest) else Outcome.DENIED
