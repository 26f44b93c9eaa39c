"""How streams are cut: each byte of a long event is moved a few times, however small the blocks it comes in."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import pytest

from apps.models.providers.aws.eventstream import MessageReader, event
from apps.models.providers.dialects.chat.passing import PassingStream as ChatStream
from apps.models.providers.dialects.messages.passing import PassingStream as MessagesStream
from apps.models.providers.framing import ServerSentEvents

SIZE, BLOCK = 1024 * 1024, 1024
# All of it JSON, as long as it is.
LINE = b"data: " + b" " * (BLOCK - 7) + b"\n"
LONG_LINE = b'data: {}\n\ndata: {"x":"' + b"x" * SIZE + b'"}\n\n'
MANY_LINES = b"data: {}\n\n" + LINE * (SIZE // BLOCK) + b"data: {}\n\n"


@pytest.mark.parametrize(
    ("make", "data"),
    [
        *((make, data) for make in (ServerSentEvents, MessagesStream) for data in (LONG_LINE, MANY_LINES)),
        (ServerSentEvents, MANY_LINES.replace(b"\n", b"\r\n")),
        (MessagesStream, MANY_LINES.replace(b"\n", b"\r\n")),
        (lambda: ChatStream(wants_usage=True), MANY_LINES),
        (MessageReader, event("chunk", b"x" * SIZE)),
    ],
)
def test_a_long_event_in_small_blocks_is_not_copied_at_each(
    make: Callable[[], ServerSentEvents | MessagesStream | MessageReader], data: bytes
) -> None:
    """What is allocated in each call is added up: to copy what has come so far each time would be 500 MB."""
    reader = make()
    allocated, came = 0, False
    tracemalloc.start()
    try:
        for at in range(0, len(data), BLOCK):
            block = data[at : at + BLOCK]
            before = tracemalloc.get_traced_memory()[0]
            tracemalloc.reset_peak()
            came = bool(reader.feed(block))
            allocated += tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert came
    assert allocated < 16 * SIZE
