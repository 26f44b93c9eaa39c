"""One answer under way. It belongs to this process, not to a socket: it goes on when nobody listens.

Its events are numbered from 1. A listener keeps the number of the last one it has, and asks for what came after: a slow
one, or one that comes back, gets many in one frame, and none is lost.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Literal

import msgspec
import structlog

from apps.gateway.asgi import application
from apps.gateway.books import new_id
from apps.gateway.snapshot import Principal, principals_of
from apps.playground import services
from apps.playground.database import in_database
from apps.playground.ledger import Figures, read_figures
from apps.playground.messages import concealed
from apps.playground.types import AnswerStatus
from apps.playground.wire import CallDelta, decode_chunk, encode

log = structlog.get_logger(__name__)

CHAT_PATH = "/v1/chat/completions"
SAVE_EVERY_SECONDS = 5.0
# The ledger has an answer's cost a moment after its end; a drainer that is behind is not waited for longer.
FIGURES_EVERY_SECONDS = 0.25
FIGURES_WITHIN_SECONDS = 15.0

Kind = Literal["prompt", "text", "reasoning", "tools", "end", "figures"]
Event = tuple[Kind, Any]


def principal_for(user_id: int, project_id: int) -> Principal | None:
    """The member as the gateway knows them in that project; None where they may not call models there (any more)."""
    runtime = application.runtime
    if runtime is None:
        return None
    found = next((each for each in principals_of(runtime.snapshot, user_id) if each.project.id == project_id), None)
    return found if found is not None and found.tenant.is_active and found.project.is_active else None


class Run:
    """``start`` it once; ``stop`` hangs up on the upstream. ``blind`` keeps to itself what would tell the model."""

    def __init__(self, answer_id: int, principal: Principal, body: bytes, *, blind: bool = False) -> None:
        self.answer_id = answer_id
        self.principal = principal
        self.blind = blind
        self.saved = asyncio.Event()  # its answer is written down
        self.closed = False  # its last event is there
        self._body = body
        self._events: list[Event] = []
        self._listeners: set[Callable[[], None]] = set()
        self._left = asyncio.Event()
        self._stopped: AnswerStatus | None = None
        self._started = 0.0
        self._first_token_ms: int | None = None
        self._status = 0
        self._rest = b""
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._calls: dict[int, dict[str, str]] = {}
        self._calls_at: int | None = None  # the event that has them as they are
        self._finish = ""
        self._usage: tuple[int, int] | None = None
        self._error: dict[str, Any] = {}
        self._request_id = ""
        self._prompt_version: int | None = None

    # Listening.

    def listen(self, wake: Callable[[], None]) -> None:
        """``wake`` is called, in the event loop, whenever there is more."""
        self._listeners.add(wake)

    def forget(self, wake: Callable[[], None]) -> None:
        self._listeners.discard(wake)

    @property
    def last(self) -> int:
        """The number of the newest event."""
        return len(self._events)

    def frame(self, after: int) -> bytes:
        """Everything after the event numbered ``after``, runs of the same kind as one part."""
        after = min(max(after, 0), len(self._events))
        parts: list[tuple[Kind, Any]] = []
        for kind, value in self._events[after:]:
            if value is None:
                continue  # the calls as they were; a later event has them as they are
            if parts and kind == parts[-1][0] and kind in ("text", "reasoning"):
                parts[-1] = (kind, parts[-1][1] + value)
            else:
                parts.append((kind, value))
        return encode(
            {"type": "events", "answer": self.answer_id, "after": after, "last": len(self._events), "parts": parts}
        )

    # Running.

    def stop(self, status: AnswerStatus = AnswerStatus.STOPPED) -> None:
        """As when a caller hangs up: the gateway closes the upstream and settles what was produced."""
        if self._stopped is None and not self._left.is_set():
            self._stopped = status
            self._left.set()

    async def serve(self) -> None:
        """From the call to the figures. Never raises but for cancellation."""
        self._started = time.monotonic()
        saving = asyncio.create_task(self._save_now_and_then())
        try:
            self._request_id = new_id()
            await application.call(
                self.principal, CHAT_PATH, self._body, self._receive, self._send, request_id=self._request_id
            )
        except Exception:
            log.exception("playground_run_failed", answer=self.answer_id)
            self._error = self._error or {"code": "internal_error", "message": "Something went wrong in Lobby."}
        finally:
            saving.cancel()
        status = self._final_status()
        try:
            await self._finish_answer(status)
            self.saved.set()
            if self._request_id:
                await self._add_figures()
        except Exception:
            log.exception("playground_answer_not_saved", answer=self.answer_id)
        finally:
            self.saved.set()
            self.closed = True
            self._wake()

    def _final_status(self) -> AnswerStatus:
        if self._stopped is not None:
            return self._stopped
        if not self._error and self._status != 200:
            self._error = {"code": "no_answer", "message": "The gateway gave no answer."}
        return AnswerStatus.FAILED if self._error else AnswerStatus.DONE

    async def _finish_answer(self, status: AnswerStatus) -> None:
        duration_ms = round((time.monotonic() - self._started) * 1000)
        used = self._usage or (None, None)
        calls = [self._calls[index] for index in sorted(self._calls)]
        end: dict[str, Any] = {
            "status": str(status),
            "finish": self._finish,
            "tool_calls": calls,
            "error": self._error,
            "request_id": self._request_id,
            "prompt_version": self._prompt_version,
            "input_tokens": used[0],
            "output_tokens": used[1],
            "first_token_ms": self._first_token_ms,
            "duration_ms": duration_ms,
        }
        try:
            await in_database(
                services.finish_answer,
                self.answer_id,
                status=str(status),
                text="".join(self._text),
                reasoning="".join(self._reasoning),
                tool_calls=calls,
                error=self._error,
                request_id=self._request_id,
                prompt_version=self._prompt_version,
                input_tokens=used[0],
                output_tokens=used[1],
                first_token_ms=self._first_token_ms,
                duration_ms=duration_ms,
            )
        finally:
            # Told once it is written down, so that a vote at once finds it; told in any case.
            self._add("end", concealed(end) if self.blind else end)

    async def _add_figures(self) -> None:
        """The ledger's own tokens and cost."""
        until = time.monotonic() + FIGURES_WITHIN_SECONDS
        while time.monotonic() < until:
            figures: Figures | None = await in_database(read_figures, self._request_id)
            if figures is not None:
                await in_database(
                    services.save_figures,
                    self.answer_id,
                    input_tokens=figures.input_tokens,
                    output_tokens=figures.output_tokens,
                    cost_picousd=figures.cost_picousd,
                )
                if not self.blind:
                    self._add("figures", msgspec.to_builtins(figures))
                return
            await asyncio.sleep(FIGURES_EVERY_SECONDS)

    async def _save_now_and_then(self) -> None:
        saved = 0
        while True:
            await asyncio.sleep(SAVE_EVERY_SECONDS)
            if len(self._events) == saved:
                continue
            saved = len(self._events)
            try:
                await in_database(
                    services.save_progress,
                    self.answer_id,
                    text="".join(self._text),
                    reasoning="".join(self._reasoning),
                )
            except Exception as error:
                log.warning("playground_progress_not_saved", answer=self.answer_id, error=type(error).__name__)

    def _add(self, kind: Kind, value: Any) -> None:
        self._events.append((kind, value))
        self._wake()

    def _wake(self) -> None:
        for wake in list(self._listeners):
            wake()

    # The gateway's side: what an ASGI server would be to it.

    async def _receive(self) -> dict[str, Any]:
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            headers = dict(message["headers"])
            if served := headers.get(b"x-lobby-prompt-version"):
                self._prompt_version = int(served)
                if not self.blind:
                    self._add("prompt", self._prompt_version)
            if retry_after := headers.get(b"retry-after"):
                self._error["retry_after"] = retry_after.decode("latin-1")
            return
        self._rest += message.get("body", b"")
        if self._status != 200:
            if not message.get("more_body"):
                self._read_refusal()
            return
        *events, self._rest = self._rest.split(b"\n\n")
        for event in events:
            self._read_event(event)

    def _read_refusal(self) -> None:
        try:
            chunk = decode_chunk(self._rest)
        except msgspec.DecodeError:
            chunk = None
        told = (chunk.error if chunk is not None else None) or {}
        self._error |= {
            "code": str(told.get("code") or "refused"),
            "message": str(told.get("message") or f"The gateway answered {self._status}."),
            "status": self._status,
        }

    def _read_event(self, event: bytes) -> None:
        data = event.removeprefix(b"data:").strip()
        if not event.startswith(b"data:") or data == b"[DONE]":
            return
        try:
            chunk = decode_chunk(data)
        except msgspec.DecodeError:
            return  # an event of a kind that we do not know says nothing to the page
        if chunk.error is not None:
            self._error = {
                "code": str(chunk.error.get("code") or "failed"),
                "message": str(chunk.error.get("message") or "The answer broke off."),
            }
        if chunk.usage is not None:
            self._usage = (chunk.usage.prompt_tokens, chunk.usage.completion_tokens)
        for choice in chunk.choices or ():
            self._finish = choice.finish_reason or self._finish
            delta = choice.delta
            if delta is None:
                continue
            if thought := delta.reasoning_content or delta.reasoning:
                self._say("reasoning", thought, self._reasoning)
            if text := delta.content or delta.refusal:
                self._say("text", text, self._text)
            if delta.tool_calls:
                self._call(delta.tool_calls)

    def _say(self, kind: Kind, text: str, kept: list[str]) -> None:
        if self._first_token_ms is None:
            self._first_token_ms = round((time.monotonic() - self._started) * 1000)
        kept.append(text)
        self._add(kind, text)

    def _call(self, deltas: list[CallDelta]) -> None:
        """A tool call comes in pieces; the page gets the calls as they are so far."""
        if self._first_token_ms is None:
            self._first_token_ms = round((time.monotonic() - self._started) * 1000)
        for delta in deltas:
            call = self._calls.setdefault(delta.index, {"id": "", "name": "", "arguments": ""})
            call["id"] = delta.id or call["id"]
            if delta.function is not None:
                call["name"] = delta.function.name or call["name"]
                call["arguments"] += delta.function.arguments or ""
        if self._calls_at is not None:  # kept, every piece would cost as much as all before it
            self._events[self._calls_at] = ("tools", None)
        self._calls_at = len(self._events)
        self._add("tools", [dict(self._calls[index]) for index in sorted(self._calls)])
