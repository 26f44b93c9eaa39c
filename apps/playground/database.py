"""The one way from the event loop to the database: one hop for a whole act."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from asgiref.sync import sync_to_async
from django.db import close_old_connections

T = TypeVar("T")


async def in_database(act: Callable[..., T], *args: Any, **options: Any) -> T:
    """``act(*args, **options)`` in a thread of the pool, which leaves no connection behind."""

    def run() -> T:
        close_old_connections()  # a thread of the pool keeps its connection, dead or not
        try:
            return act(*args, **options)
        finally:
            close_old_connections()

    return await sync_to_async(run, thread_sensitive=False)()
