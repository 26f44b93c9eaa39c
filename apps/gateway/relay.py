"""One attempt of a request: an endpoint is called, and its answer relayed to the caller as it comes.

What it used goes into the request's ``Books``, what leaves goes through its ``Answer``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence

import httpx

from apps.gateway import metrics, responses_memory
from apps.gateway.admission import Admission
from apps.gateway.answer import Answer, Receive
from apps.gateway.books import Attempt, Books
from apps.gateway.content_log import Recorder
from apps.gateway.errors import InvalidRequest
from apps.gateway.fronts.base import Parsed
from apps.gateway.routing.attempts import Race
from apps.gateway.routing.health import Leave
from apps.gateway.routing.plans import Candidate, Plan
from apps.gateway.runtime import Runtime
from apps.gateway.snapshot import EndpointFacts, Principal
from apps.gateway.types import Outcome
from apps.gateway.upstream import DISPATCHED, MAX_ANSWER_BYTES, MAX_ERROR_BYTES, Watch, chunks, read_all
from apps.models.providers.base import (
    Adapter,
    ProviderError,
    Unreadable,
    UpstreamCall,
    Usage,
)
from apps.models.providers.concealing import conceal_in

# After the last event, how long to wait for the connection to become reusable.
TRAILER_SECONDS = 1.0
# What is held back of a stream before its answer proper begins. An upstream that repeats a long request there goes over
# it: then what there is leaves, and the stream can no longer be had elsewhere.
MAX_HELD_BYTES = 1024 * 1024
# Of the names of parameters that an upstream cannot take: they may be the caller's own.
MOST_NAMES = 30
LONGEST_NAME = 100
_TIMEOUTS = {
    "connect": "The upstream did not accept the connection in time.",
    "first_byte": "The upstream did not begin to answer in time.",
    "idle": "The upstream fell silent in the middle of its answer.",
    "total": "The upstream did not finish its answer in time.",
}


class CallerLeft(Exception):
    """The caller closed its connection; there is nobody to answer."""


class CannotSay(Exception):
    """This upstream cannot take a parameter that the caller will not have dropped."""

    def __init__(self, dropped: tuple[str, ...]) -> None:
        super().__init__(dropped)
        self.dropped = dropped


class NotNow(Exception):
    """Nothing may be sent to this endpoint now; its health says why."""


class _LostRace(Exception):
    """Another attempt has answered first."""


class Relay:
    """Makes the attempts of one admitted request. ``race`` is set while two of them are under way."""

    def __init__(
        self,
        runtime: Runtime,
        principal: Principal,
        parsed: Parsed,
        admission: Admission,
        books: Books,
        answer: Answer,
        receive: Receive,
        recorder: Recorder | None = None,
    ) -> None:
        self._runtime = runtime
        self._principal = principal
        self._parsed = parsed
        self._admission = admission
        self._books = books
        self._answer = answer
        self._receive = receive
        self._recorder = recorder
        self._unsaid = books.prompt.unsaid if books.prompt is not None else ()
        self.race: Race | None = None
        self.tried: set[int] = set()  # endpoints
        self.attempts = 0

    async def _keep(self, answered: bytes) -> None:
        """For a caller that may go on from this answer. Nobody was answered by a shadow."""
        if not self._books.shadow_of:
            await responses_memory.keep(self._principal, self._parsed, answered)

    async def _claim(self, attempt: Attempt) -> None:
        """Something for the caller is at hand. Raises ``_LostRace`` when another attempt was quicker."""
        if self.race is not None and not await self.race.win():
            raise _LostRace
        self._answer.dropped = (*self._unsaid, *attempt.dropped)
        self._answer.media_type = attempt.decoder.media_type if attempt.decoder is not None else ""

    @property
    def _strict(self) -> bool:
        """Whether a parameter that the upstream cannot take is an error rather than named in a header."""
        options = self._parsed.request.lobby
        asked = options.strict if options is not None else None
        return self._principal.project.strict if asked is None else asked

    def _prepare(
        self, adapter: Adapter, endpoint: EndpointFacts, call: UpstreamCall, attempt: Attempt
    ) -> httpx.Request:
        try:
            prepared = adapter.prepare(endpoint.target, call, attempt_id=attempt.id)
        except Unreadable as error:
            raise InvalidRequest(error.message, param=error.param, code="invalid_value") from None
        attempt.dropped = _printable(prepared.dropped)
        if (self._unsaid or attempt.dropped) and self._strict:
            raise CannotSay((*self._unsaid, *attempt.dropped))
        return prepared.request

    async def attempt(self, plan: Plan, candidate: Candidate) -> None:
        """Call one endpoint and relay its answer. Raises ``ProviderError``, after having settled."""
        endpoint, health = candidate.endpoint, self._runtime.health
        adapter = self._runtime.adapters[endpoint.provider_kind]
        call = self._admission.call(plan, self._parsed, candidate.model)
        attempt = Attempt(candidate, endpoint.price_at(time.time()))
        request = self._prepare(adapter, endpoint, call, attempt)
        attempt.leave = health.begin(endpoint.id)
        if attempt.leave is Leave.NO:
            blocked = health.blocked(endpoint.id)
            raise NotNow(blocked.reason if blocked is not None else "it was not to be asked just then")
        self.tried.add(endpoint.id)
        self.attempts += 1
        failure: ProviderError | None = None
        try:
            self._books.intend(attempt)
            await self._call(attempt, adapter, call, request)
        except ProviderError as error:
            failure = error
            raise
        finally:
            if failure is not None and not attempt.unread:
                health.failed(endpoint.id, attempt.leave, failure)
            elif attempt.answered:
                tokens = attempt.measured.output_tokens if attempt.measured is not None else 0
                health.ok(
                    endpoint.id,
                    attempt.leave,
                    ms=attempt.duration_ms,
                    first_ms=attempt.first_token_ms,
                    output_tokens=tokens,
                )
            else:
                health.left(endpoint.id, attempt.leave)

    async def _call(
        self, attempt: Attempt, adapter: Adapter, call: UpstreamCall, upstream_request: httpx.Request
    ) -> None:
        runtime, endpoint = self._runtime, attempt.endpoint
        watch = Watch(endpoint.total_timeout)
        response: httpx.Response | None = None
        # A plain answer is had, and paid for, as a whole: only a stream ends when its caller leaves.
        watcher = None
        if call.stream:
            watcher = asyncio.ensure_future(self._watch_caller(watch))
            runtime.streams[watch] = self._principal
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
                body = await read_all(response, MAX_ANSWER_BYTES, watch.touch)
                watch.stop()
                answer = adapter.parse(endpoint.target, call, response.headers, body)
                attempt.measured = answer.usage
                await self._claim(attempt)
                attempt.answered = True
                self._books.settle(attempt, Outcome.OK, 200, answer.usage)
                await self._books.close(Outcome.OK, 200)
                await self._keep(answer.body)
                self._answer.headers += self._books.figures()
                await self._answer.whole(answer.body, answer.content_type)
                if self._recorder is not None:
                    self._recorder.whole(call, answer.body)
        except ProviderError as error:
            conceal_in(error, endpoint.target.credential)
            self._books.settle_failed(attempt, error, reached=response is not None)
            raise
        except asyncio.CancelledError:
            # Where the request had not left yet, nothing was had.
            used = None if upstream_request.extensions.get(DISPATCHED) else Usage()
            status = 200 if response is not None else 0
            if self.race is not None and self.race.is_lost:
                attempt.hedged = True
                self._books.settle(attempt, Outcome.CANCELLED, status, used)
                raise
            if not watch.caught():
                self._books.settle(attempt, Outcome.INTERRUPTED, 0, used)
                raise
            if watch.reason in ("client", "access"):
                self._books.settle(attempt, Outcome.CANCELLED, status, used)
                raise watch.refusal or CallerLeft from None
            attempt.unread = watch.paused
            phase = (watch.reason or "total") if used is None else "connect"
            timeout = ProviderError("timeout", _TIMEOUTS[phase], phase=phase)
            self._books.settle_failed(attempt, timeout, reached=response is not None)
            raise timeout from None
        except _LostRace:
            attempt.hedged = True
            self._books.settle(attempt, Outcome.CANCELLED, 200, attempt.measured)
            raise
        except Exception:
            self._books.settle(attempt, Outcome.INTERRUPTED, 0, None)
            raise
        finally:
            watch.stop()
            runtime.streams.pop(watch, None)
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
            if decoder.begun is not None:
                runtime.progress.set_input(slot, decoder.begun.input_tokens)
            if decoder.usage is not None:  # what the upstream told stands, should this process die now
                runtime.progress.set_input(slot, decoder.usage.input_tokens)
                runtime.progress.set_output(slot, decoder.usage.output_tokens)
            if decoder.finished or decoder.error is not None:
                break
            if not decoder.output_tokens and not self._answer.begun and len(held) + len(out) <= MAX_HELD_BYTES:
                held += out
                watch.touch()
                continue
            if not out:
                watch.touch()
                continue
            if attempt.first_token_ms is None:
                await self._claim(attempt)
                self._books.first_byte(attempt)
                attempt.leave = runtime.health.begun(attempt.endpoint.id, attempt.leave)
                watch.phase("idle", attempt.endpoint.idle_timeout)
            watch.pause()
            if self._recorder is not None:
                self._recorder.add(held + out)
            await self._answer.stream(held + out)
            held = b""
            watch.touch()
        else:
            out = decoder.end()
        if decoder.error is not None:
            if out and decoder.output_tokens:
                await self._claim(attempt)
                watch.pause()
                await self._answer.stream(held + out)
            raise decoder.error
        watch.stop()
        attempt.measured = decoder.usage
        if attempt.first_token_ms is None:
            await self._claim(attempt)
            self._books.first_byte(attempt)
        attempt.answered = True
        self._books.settle(attempt, Outcome.OK, 200, decoder.usage)
        await self._books.close(Outcome.OK, 200)
        await self._keep(out)
        figures = self._books.figures_in_stream() if self._answer.is_event_stream else b""
        await self._answer.stream(held + figures + out, last=True)
        if self._recorder is not None:
            self._recorder.add(held + out)
            self._recorder.streamed(call)
        await _read_trailer(stream)

    async def _watch_caller(self, watch: Watch) -> None:
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                watch.client_left()
                return


def _printable(names: Sequence[str]) -> tuple[str, ...]:
    """Fit for a header and a record, whatever a caller calls its fields and however many it sends."""
    shown = tuple(ascii(name)[1:-1][:LONGEST_NAME] for name in names[:MOST_NAMES])
    return shown if len(names) <= MOST_NAMES else (*shown, f"{len(names) - MOST_NAMES} more")


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
