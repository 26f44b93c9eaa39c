"""The one way from the event loop to the database: one hop for a whole act.

Its threads are its own: a database that hangs must not take those that look up where the upstreams are.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from asgiref.sync import sync_to_async
from django.db import close_old_connections

_threads = ThreadPoolExecutor(6, thread_name_prefix="playground")

T = TypeVar("T")


async def in_database(act: Callable[..., T], *args: Any, **options: Any) -> T:
    """``act(*args, **options)`` in a thread of the pool, which leaves no connection behind."""

    def run() -> T:
        close_old_connections()  # a thread of the pool keeps its connection, dead or not
        try:
            return act(*args, **options)
        finally:
            close_old_connections()

    return await sync_to_async(run, thread_sensitive=False, executor=_threads)()
