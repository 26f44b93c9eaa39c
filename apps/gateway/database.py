"""What a request needs of the database: asked in a thread, and waited for within bounds.

Hardly any request asks. The database may hang, and then neither those that do wait for ever, nor are the threads that
hang with it the ones that look up where the upstreams are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, ParamSpec, TypeVar

from asgiref.sync import sync_to_async
from django.db import Error as DatabaseError
from django.db import close_old_connections

PATIENCE_SECONDS: Final = 5.0
_threads = ThreadPoolExecutor(4, thread_name_prefix="database")

P = ParamSpec("P")
T = TypeVar("T")


class DatabaseAway(Exception):
    """It refused, or did not answer in time."""


async def ask(act: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What ``act`` gives. Raises ``DatabaseAway``."""

    def run() -> T:
        close_old_connections()  # a thread of the pool keeps its connection, dead or not
        try:
            return act(*args, **kwargs)
        finally:
            close_old_connections()

    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await sync_to_async(run, thread_sensitive=False, executor=_threads)()
    except (DatabaseError, TimeoutError) as error:
        raise DatabaseAway(type(error).__name__) from error
