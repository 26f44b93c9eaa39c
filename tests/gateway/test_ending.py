"""Tasks end, whether they hear the first cancellation or not; and so does a process, whatever holds it up."""

from __future__ import annotations

import asyncio
import subprocess
import sys

from apps.gateway.ending import end


async def test_a_task_that_lost_a_cancellation_is_asked_again() -> None:
    asked = 0

    async def deaf_once() -> None:
        nonlocal asked
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                asked += 1
                if asked > 1:
                    raise

    async def failing() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise ValueError("at its end")

    tasks = [asyncio.create_task(deaf_once()), asyncio.create_task(failing()), asyncio.create_task(asyncio.sleep(0))]
    await asyncio.sleep(0)
    await end(tasks)
    assert asked == 2
    assert [task.done() for task in tasks] == [True] * 3


STUCK = """
import threading
from apps.gateway.ending import end_within
end_within(0.2)
threading.Event().wait()
"""


def test_a_process_that_does_not_end_by_itself_is_ended_and_tells_where_it_was() -> None:
    ended = subprocess.run([sys.executable, "-c", STUCK], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert "in wait" in ended.stderr
