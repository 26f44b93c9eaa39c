"""An address at which a TCP connection is neither accepted nor refused, for connect timeouts."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from typing import Final

_FILLERS: Final = 4


@contextlib.contextmanager
def blackhole(host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """Yields the base URL of a listening socket whose backlog is full: the kernel drops every further SYN."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind((host, port))
        listener.listen(0)
        for _ in range(_FILLERS):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield f"http://{host}:{listener.getsockname()[1]}/v1"
