"""A body that is too large for Django is refused before it fills the disk."""

from __future__ import annotations

from typing import Any

import pytest

from portal.bodies import AROUND, bounded

MOST = 1_000


async def answered(chunks: list[bytes], declared: int | None = None) -> tuple[int, int]:
    """(status, bytes that the application got)."""
    got, sent = 0, []
    waiting = [
        {"type": "http.request", "body": chunk, "more_body": at + 1 < len(chunks)} for at, chunk in enumerate(chunks)
    ]

    async def application(scope: Any, receive: Any, send: Any) -> None:
        nonlocal got
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            got += len(message["body"])
            if not message["more_body"]:
                break
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def receive() -> Any:
        return waiting.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"content-length", str(declared).encode())] if declared is not None else []
    await bounded(application, MOST)({"type": "http", "headers": headers}, receive, send)
    return sent[0]["status"], got


@pytest.mark.parametrize(
    ("chunks", "declared", "status", "got"),
    [
        ([b"x" * 500, b"y"], 501, 200, 501),
        ([b"x"], MOST + AROUND + 1, 413, 0),  # by its own word
        ([b"x" * AROUND] * 5, None, 413, AROUND),  # without one
        ([b"x" * AROUND] * 5, 7, 413, AROUND),  # or with a false one
    ],
)
async def test_a_body_is_bounded(chunks: list[bytes], declared: int | None, status: int, got: int) -> None:
    assert await answered(chunks, declared) == (status, got)
