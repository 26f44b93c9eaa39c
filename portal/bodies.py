"""A bound on what a request may send to Django, which writes a body to disk before any view sees it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Any], Awaitable[None]]
Application = Callable[[dict[str, Any], Any, Any], Awaitable[None]]

# What a form has around its file.
AROUND = 1024**2
REFUSAL = b"The body is too large.\n"


def bounded(application: Application, most: int) -> Application:
    """413 for a body of more than ``most`` bytes (and a little): at once where it says so, else when it gets there."""
    limit = most + AROUND

    async def guarded(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await application(scope, receive, send)
            return
        declared = next((value for name, value in scope["headers"] if name == b"content-length"), b"")
        if declared.isdigit() and int(declared[:20]) > limit:
            await _refuse(send)
            return
        received = 0
        is_over = has_begun = False

        async def counted() -> Message:
            nonlocal received, is_over
            message = await receive()
            if message["type"] == "http.request":
                received += len(message.get("body", b""))
                if received > limit:
                    # To the application the caller has gone, so that it stops and forgets what it had.
                    is_over = True
                    return {"type": "http.disconnect"}
            return message

        async def watched(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        await application(scope, counted, watched)
        if is_over and not has_begun:
            await _refuse(send)

    return guarded


async def _refuse(send: Send) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": REFUSAL})
