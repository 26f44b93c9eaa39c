"""The gateway's ASGI application: the front APIs, health and metrics, beside Django rather than through it."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from dataclasses import replace
from types import FrameType
from typing import Any, cast
from urllib.parse import unquote

import msgspec
import structlog
from django.conf import settings

from apps.gateway import fronts, metrics, prompts, responses_memory, sigv4
from apps.gateway.answer import Receive, Send, send_error
from apps.gateway.auth import authenticate, authenticate_signed, check_active
from apps.gateway.books import Books, new_id
from apps.gateway.ending import END_SECONDS, end_within
from apps.gateway.errors import GatewayError, InvalidRequest, Unavailable
from apps.gateway.exchange import Exchange
from apps.gateway.fronts.base import JSON, Arrived, Front
from apps.gateway.fronts.messages import AnthropicErrors
from apps.gateway.models_list import is_anthropic, list_body, model_body
from apps.gateway.prompts import PromptCall
from apps.gateway.routing.callers import BY_PROXY, Caller
from apps.gateway.runtime import Runtime
from apps.gateway.sigv4 import Signature
from apps.gateway.snapshot import Principal
from apps.gateway.types import Outcome

log = structlog.get_logger(__name__)

# A body over the limit is read on and thrown away up to this many times the limit, so that the caller, which is still
# writing, gets to read the error.
DISCARD_FACTOR = 4
# A caller that sends its body slower than this is not waited for.
BODY_SECONDS = 60.0
DISCARD_SECONDS = 10.0
RESPONSES = "/v1/responses/"
NOBODY = 0  # no tenant's id
HEALTH_PATHS = frozenset({"/healthz", "/readyz", "/metrics"})

ANTHROPIC_ERRORS = AnthropicErrors()

_encode = msgspec.json.Encoder().encode


def is_gateway_path(path: str) -> bool:
    return path.startswith(("/v1/", "/model/")) or path == "/v1" or path in HEALTH_PATHS


class _ClientDisconnected(Exception):
    """The caller left while it was still sending."""


class GatewayApplication:
    def __init__(self) -> None:
        self.runtime: Runtime | None = None

    async def lifespan(self, receive: Receive, send: Send) -> None:
        """Start with the server, and stop after it has drained."""
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                try:
                    self.runtime = Runtime()
                    await self.runtime.start()
                except Exception as error:
                    log.exception("gateway_failed_to_start")
                    await send({"type": "lifespan.startup.failed", "message": f"{type(error).__name__}: {error}"})
                    raise
                self._drain_on_sigterm(self.runtime)
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                if self.runtime is not None:
                    await self.runtime.stop()
                await send({"type": "lifespan.shutdown.complete"})
                return

    @staticmethod
    def _drain_on_sigterm(runtime: Runtime) -> None:
        """Readiness goes off first, for ``DRAIN_SECONDS``, so that no balancer sends more; then the server drains."""
        server_handler = signal.getsignal(signal.SIGTERM)
        if not callable(server_handler):
            return
        loop = asyncio.get_running_loop()

        def drain(number: int, frame: FrameType | None) -> None:
            runtime.draining = True
            delay = float(settings.DRAIN_SECONDS)
            end_within(delay + settings.WEB_GRACE_SECONDS + END_SECONDS)
            loop.call_soon_threadsafe(loop.call_later, delay, lambda: server_handler(number, frame))

        signal.signal(signal.SIGTERM, drain)

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        started = time.monotonic()
        path: str = scope["path"]
        if path in HEALTH_PATHS:
            await self._health(path, send)
            return
        request_id = new_id()
        raw_path: bytes = scope.get("raw_path") or path.encode()
        path = raw_path.partition(b"?")[0].decode("latin-1")
        front = fronts.find(path)
        errors = front or (ANTHROPIC_ERRORS if is_anthropic(dict(scope["headers"])) else fronts.errors_at(path))
        try:
            await self._v1(scope, path, front, receive, send, request_id, started)
        except GatewayError as error:
            metrics.refusals.labels(str(error.status), error.code).inc()
            await send_error(send, errors, error, request_id)
        except _ClientDisconnected:
            return
        except Exception:
            # Whatever happens after an answer has begun is the exchange's to handle; so none has begun here.
            log.exception("request_failed", request_id=request_id)
            failure = GatewayError(f"Something went wrong in Lobby (request {request_id}).")
            await send_error(send, errors, failure, request_id)

    async def _v1(
        self,
        scope: dict[str, Any],
        path: str,
        front: Front | None,
        receive: Receive,
        send: Send,
        request_id: str,
        started: float,
    ) -> None:
        runtime = self.runtime
        if runtime is None:
            raise Unavailable("Lobby is starting.", retry_after=1.0)
        headers: dict[bytes, bytes] = dict(scope["headers"])
        client = scope["client"][0] if scope.get("client") else ""
        signature: Signature | None = None
        try:
            if front is not None and fronts.takes_signatures(path) and sigv4.is_signed(headers):
                query = scope.get("query_string", b"")
                signature = sigv4.read(scope["method"], path.encode("latin-1"), query, headers, time.time())
            else:
                principal = authenticate(headers, runtime.snapshot, client, runtime.signing_keys, time.time())
        except GatewayError:
            if front is not None and scope["method"] == "POST":
                await _discard_body(receive)
            raise
        if front is None:
            if path.startswith(RESPONSES):
                await self._response(scope, unquote(path.removeprefix(RESPONSES)), principal, send, request_id)
            else:
                await self._models(scope, path, principal, send, request_id)
            return
        if scope["method"] != "POST":
            raise InvalidRequest(f"{path[:200]} takes POST.", status=405, code="method_not_allowed")
        body: bytes | None = None
        if signature is not None:
            # Who calls is told by a signature over the body: until it is read, it takes the room of nobody's.
            runtime.load.enter(NOBODY)
            try:
                body = await _read_body(headers, front.media_types, receive)
            finally:
                runtime.load.leave(NOBODY)
            principal = authenticate_signed(signature, body, runtime.snapshot, client, time.time())
        runtime.load.enter(principal.tenant.id)
        try:
            if body is None:
                body = await _read_body(headers, front.media_types, receive)
            arrived = Arrived(path, headers, body)
            caller = Caller(headers, by_proxy=bool(scope.get(BY_PROXY)))
            await self._exchange(principal, front, arrived, caller, receive, send, request_id, started)
        finally:
            runtime.load.leave(principal.tenant.id)

    async def _exchange(
        self,
        principal: Principal,
        front: Front,
        arrived: Arrived,
        caller: Caller,
        receive: Receive,
        send: Send,
        request_id: str,
        started: float,
    ) -> None:
        runtime = self.runtime
        assert runtime is not None
        call = prompts.asked(front, arrived.body)
        if call is not None:
            try:
                arrived = await prompts.fill(
                    call, arrived, principal, runtime.snapshot, runtime.pinned_version, request_id
                )
            except GatewayError as error:
                await self._refuse(principal, call, error, request_id, started)
                raise
        parsed = front.parse(arrived)
        if call is not None and call.served is not None and call.served.carried:
            parsed = replace(parsed, carried=call.served.carried)
        runtime.count_request()
        exchange = Exchange(
            runtime,
            principal,
            front,
            parsed,
            request_id=request_id,
            receive=receive,
            send=send,
            started=started,
            caller=caller,
            prompt=call.served if call is not None else None,
        )
        await exchange.serve()

    async def _refuse(
        self, principal: Principal, call: PromptCall, error: GatewayError, request_id: str, started: float
    ) -> None:
        """A call whose prompt cannot be had is in the log like any that an exchange refuses."""
        assert self.runtime is not None
        books = Books(self.runtime, principal, call, request_id=request_id, started=started)
        books.prompt = call.served
        outcome = Outcome.INVALID if isinstance(error, InvalidRequest) else Outcome.DENIED
        await books.close(outcome, error.status, error.code, error)

    async def call(
        self, principal: Principal, path: str, body: bytes, receive: Receive, send: Send, *, request_id: str
    ) -> None:
        """Serve a signed-in member's call from inside the portal: the same path, without the key. ``request_id`` is a
        ``new_id()`` of the caller's, who then knows it even where no answer begins.
        """
        started = time.monotonic()
        front = fronts.find(path)
        assert front is not None
        principal = replace(principal, by_lobby=True)
        try:
            if self.runtime is None:
                raise Unavailable("The gateway does not run in this process.")
            check_active(principal)
            self.runtime.load.enter(principal.tenant.id)
            try:
                arrived = Arrived(path, {}, body)
                await self._exchange(principal, front, arrived, Caller(), receive, send, request_id, started)
            finally:
                self.runtime.load.leave(principal.tenant.id)
        except GatewayError as error:
            await send_error(send, front, error, request_id)

    async def _models(
        self, scope: dict[str, Any], path: str, principal: Principal, send: Send, request_id: str
    ) -> None:
        """``GET /v1/models`` and ``GET /v1/models/{id}``: what this caller may call."""
        assert self.runtime is not None
        snapshot, now = self.runtime.snapshot, time.time()
        anthropic = is_anthropic(dict(scope["headers"]))
        if path == "/v1/models":
            body = list_body(snapshot.callable_plans(principal, now), anthropic=anthropic)
        elif path.startswith("/v1/models/"):
            plan = snapshot.plan(principal, unquote(path.removeprefix("/v1/models/")), now)
            body = model_body(plan, anthropic=anthropic)
        else:
            raise InvalidRequest(
                f"There is no {scope['method']} {path[:200]} here. See /api/docs/ and the README.",
                status=404,
                code="unknown_url",
            )
        if scope["method"] not in ("GET", "HEAD"):
            raise InvalidRequest(f"{path[:200]} takes GET.", status=405, code="method_not_allowed")
        await _respond(send, 200, body, b"application/json", request_id)

    async def _response(
        self, scope: dict[str, Any], response_id: str, principal: Principal, send: Send, request_id: str
    ) -> None:
        """``GET`` and ``DELETE /v1/responses/{id}``: one that this project has stored."""
        match scope["method"]:
            case "GET" | "HEAD":
                body = await responses_memory.read(principal, response_id)
            case "DELETE":
                await responses_memory.forget(principal, response_id)
                body = _encode({"id": response_id, "object": "response", "deleted": True})
            case _:
                raise InvalidRequest(f"{RESPONSES}{{id}} takes GET and DELETE.", status=405, code="method_not_allowed")
        await _respond(send, 200, body, b"application/json", request_id)

    async def _health(self, path: str, send: Send) -> None:
        if path == "/healthz":
            await _respond(send, 200, b'{"status":"ok"}', b"application/json")
        elif path == "/metrics":
            await _respond(send, 200, metrics.render(), metrics.CONTENT_TYPE.encode())
        else:
            checks = self.runtime.readiness() if self.runtime is not None else {"started": False}
            status = 200 if all(checks.values()) else 503
            body = _encode({"status": "ready" if status == 200 else "not ready", "checks": checks})
            await _respond(send, status, body, b"application/json")


async def _respond(send: Send, status: int, body: bytes, content_type: bytes, request_id: str = "") -> None:
    headers = [(b"content-type", content_type), (b"content-length", b"%d" % len(body)), (b"cache-control", b"no-store")]
    if request_id:
        headers.append((b"x-lobby-request-id", request_id.encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def _read_body(headers: dict[bytes, bytes], media_types: frozenset[bytes], receive: Receive) -> bytes:
    """The whole body. Raises ``InvalidRequest`` for one too large, too slow, or of another media type."""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await _receive_body(headers, media_types, receive)
    except TimeoutError:
        raise InvalidRequest(
            f"The body did not arrive within {BODY_SECONDS:.0f} s.", status=408, code="request_timeout"
        ) from None


async def _receive_body(headers: dict[bytes, bytes], media_types: frozenset[bytes], receive: Receive) -> bytes:
    limit: int = settings.GATEWAY_MAX_BODY_BYTES
    content_type = headers.get(b"content-type", JSON).partition(b";")[0].strip().lower()
    encoding = headers.get(b"content-encoding", b"identity").strip().lower()
    message = await receive()
    body = cast(bytes, message.get("body", b""))
    if message.get("more_body"):
        parts, size = [body], len(body)
        while message.get("more_body"):
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _ClientDisconnected
            part = message.get("body", b"")
            size += len(part)
            if size <= limit:
                parts.append(part)
            elif size > limit * DISCARD_FACTOR:
                break
        if size > limit:
            raise _too_large(limit)
        body = b"".join(parts)
    if message["type"] == "http.disconnect":
        raise _ClientDisconnected
    if encoding not in (b"identity", b""):
        shown = encoding.decode("latin-1")[:50]
        raise InvalidRequest(
            f"Content-Encoding '{shown}' is not taken: send the JSON uncompressed.",
            status=415,
            code="unsupported_encoding",
        )
    if content_type not in media_types:
        shown, wanted = content_type.decode("latin-1")[:100], b" or ".join(sorted(media_types)).decode()
        raise InvalidRequest(
            f"Content-Type '{shown}' is not taken: send {wanted}.", status=415, code="unsupported_media_type"
        )
    if len(body) > limit:
        raise _too_large(limit)
    return body


def _too_large(limit: int) -> InvalidRequest:
    return InvalidRequest(f"The body is larger than {limit:,} bytes.", status=413, code="request_too_large")


async def _discard_body(receive: Receive) -> None:
    """Read on what a refused caller is still sending, within bounds, so that it gets to read why."""
    left = settings.GATEWAY_MAX_BODY_BYTES
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(DISCARD_SECONDS):
            while left > 0:
                message = await receive()
                if message["type"] == "http.disconnect" or not message.get("more_body"):
                    return
                left -= len(message.get("body", b""))


application = GatewayApplication()
