"""Running a prompt as the signed-in member, through the gateway's own pipeline: the same rules, limits and ledger."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import msgspec

from apps.gateway.asgi import application
from apps.gateway.snapshot import Principal, principals_of

CHAT_PATH = "/v1/chat/completions"
# What waits for a browser that reads slowly; beyond it the upstream is not read either.
WAITING_EVENTS = 64
_encode = msgspec.json.Encoder().encode
# The event loop holds tasks weakly: a call must live until its books are closed.
_running: set[asyncio.Task[None]] = set()


@dataclass(frozen=True, slots=True)
class Prompt:
    """What to ask. ``system`` may be empty."""

    model: str
    system: str
    message: str

    def body(self) -> bytes:
        """The same JSON as an application would send to ``/v1/chat/completions``."""
        messages = [{"role": "system", "content": self.system}] if self.system else []
        messages.append({"role": "user", "content": self.message})
        return _encode(
            {
                "model": self.model,
                "messages": messages,
                "stream": True,
                "stream_options": {"include_usage": True},
            }
        )


def principal_for(user_id: int, project_id: int) -> Principal | None:
    """The member as the gateway knows them in that project; None where their role may not call models there."""
    runtime = application.runtime
    if runtime is None:
        return None
    return next((each for each in principals_of(runtime.snapshot, user_id) if each.project.id == project_id), None)


class Call:
    """One call under way. ``start`` waits for the answer's head; ``chunks`` gives its body; closing it hangs up."""

    def __init__(self, principal: Principal, prompt: Prompt) -> None:
        self._principal = principal
        self._body = prompt.body()
        self._messages: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue(WAITING_EVENTS)
        self._left = asyncio.Event()

    async def start(self) -> tuple[int, dict[str, str]]:
        """Status and headers of the gateway's answer."""
        task = asyncio.create_task(self._run())
        _running.add(task)
        task.add_done_callback(_running.discard)
        try:
            head = await self._messages.get()
        except asyncio.CancelledError:
            self.hang_up()
            raise
        if head is None:
            raise RuntimeError("the gateway ended without an answer")
        return head["status"], {name.decode("latin-1"): value.decode("latin-1") for name, value in head["headers"]}

    async def chunks(self) -> AsyncIterator[bytes]:
        try:
            while (message := await self._messages.get()) is not None:
                if message["body"]:
                    yield message["body"]
        finally:
            self.hang_up()

    def hang_up(self) -> None:
        """As when a caller closes its connection: the gateway stops the upstream and settles what was used."""
        self._left.set()

    async def _run(self) -> None:
        try:
            await application.call(self._principal, CHAT_PATH, self._body, self._receive, self._send)
        finally:
            await self._put(None)

    async def _receive(self) -> dict[str, Any]:
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: dict[str, Any]) -> None:
        await self._put(message)

    async def _put(self, message: dict[str, Any] | None) -> None:
        """Hand on, as quickly as it is read; or drop it when nobody reads any more."""
        if self._left.is_set():
            return
        putting = asyncio.ensure_future(self._messages.put(message))
        leaving = asyncio.ensure_future(self._left.wait())
        await asyncio.wait({putting, leaving}, return_when=asyncio.FIRST_COMPLETED)
        putting.cancel()
        leaving.cancel()
