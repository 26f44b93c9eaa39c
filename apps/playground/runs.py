"""The answers under way in this process, and how the processes reach each other's.

Each process has a channel of its own on the channel layer; an answer's row names the one that runs it. To listen from
another process is to ask there for frames, which are numbered, so that one that got lost is asked for again.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any
from weakref import WeakValueDictionary

import structlog
from channels.exceptions import ChannelFull
from channels.layers import get_channel_layer

from apps.gateway.ending import end
from apps.playground.run import Run, principal_for
from apps.playground.types import AnswerStatus

log = structlog.get_logger(__name__)

KEEP_SECONDS = 60.0  # an answer that has ended can still be re-joined by its events
LOOK_EVERY_SECONDS = 1.0
FULL_WAIT_SECONDS = 0.05
FULL_TRIES = 200
LONGEST_SHUTDOWN_SECONDS = 5.0


class Runs:
    """One per process: ``runs``, below."""

    def __init__(self) -> None:
        self.channel = ""
        self._runs: dict[int, Run] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._ended: dict[int, float] = {}
        self._beginning: WeakValueDictionary[tuple[int, str], asyncio.Lock] = WeakValueDictionary()
        self._forwarding: dict[tuple[int, str], asyncio.Task[None]] = {}

    async def open(self) -> str:
        """This process's channel; made, and listened to, at the first call."""
        if not self.channel:
            # With the layer's own prefix: on Redis all channels of a process are read by one reader, by that prefix.
            channel: str = await get_channel_layer().new_channel()
            if not self.channel:  # another socket may have been quicker
                self.channel = channel
                self._keep(asyncio.create_task(self._listen(channel)))
                self._keep(asyncio.create_task(self._look_after()))
        return self.channel

    def start(self, run: Run) -> None:
        self._runs[run.answer_id] = run
        task = asyncio.create_task(run.serve())
        self._keep(task)
        task.add_done_callback(lambda _: self._ended.setdefault(run.answer_id, time.monotonic()))

    def get(self, answer_id: int) -> Run | None:
        return self._runs.get(answer_id)

    def beginning(self, user_id: int, key: str) -> asyncio.Lock:
        """Held from a run's being written down to its being under way: sent on two connections at once, it waits."""
        return self._beginning.setdefault((user_id, key), asyncio.Lock())

    # Between processes.

    async def ask(self, channel: str, message: dict[str, Any]) -> bool:
        """Tell another process; false when it takes nothing any more."""
        try:
            await get_channel_layer().send(channel, message)
        except ChannelFull:
            return False
        return True

    async def _listen(self, channel: str) -> None:
        layer = get_channel_layer()
        while True:
            try:
                message = await layer.receive(channel)
            except asyncio.CancelledError:
                raise
            except Exception as error:  # Redis is away: try again, as everything else does
                log.warning("playground_channel_unreadable", error=type(error).__name__)
                await asyncio.sleep(1.0)
                continue
            run = self._runs.get(message.get("answer", 0))
            match message["type"]:
                case "run.stop" if run is not None:
                    run.stop()
                case "run.join":
                    self._forward(message["answer"], run, message["reply"], message["after"])
                case "run.leave":
                    if task := self._forwarding.pop((message["answer"], message["reply"]), None):
                        task.cancel()

    def _forward(self, answer_id: int, run: Run | None, reply: str, after: int) -> None:
        if earlier := self._forwarding.pop((answer_id, reply), None):
            earlier.cancel()
        if run is None:
            self._keep(asyncio.create_task(self._tell_gone(reply, answer_id)))
            return
        task = asyncio.create_task(self._forward_frames(run, reply, after))
        self._forwarding[answer_id, reply] = task
        self._keep(task)

    async def _forward_frames(self, run: Run, reply: str, after: int) -> None:
        more = asyncio.Event()
        more.set()
        run.listen(more.set)
        try:
            while True:
                await more.wait()
                more.clear()
                closed, last = run.closed, run.last
                if last > after or closed:
                    frame = {"type": "run.frame", "answer": run.answer_id, "last": last, "closed": closed}
                    if not await self._reply(reply, {**frame, "frame": run.frame(after).decode()}):
                        return
                    after = last
                if closed:
                    return
        finally:
            run.forget(more.set)

    async def _tell_gone(self, reply: str, answer_id: int) -> None:
        await self._reply(reply, {"type": "run.gone", "answer": answer_id})

    async def _reply(self, channel: str, message: dict[str, Any]) -> bool:
        """A full channel is waited for, within reason: a socket that has gone never empties."""
        for _ in range(FULL_TRIES):
            if await self.ask(channel, message):
                return True
            await asyncio.sleep(FULL_WAIT_SECONDS)
        return False

    # House-keeping.

    async def _look_after(self) -> None:
        """Ends what its member may not run any more, within a second of the gateway's knowing; forgets what is old."""
        while True:
            await asyncio.sleep(LOOK_EVERY_SECONDS)
            now = time.monotonic()
            for answer_id, ended in list(self._ended.items()):
                if now - ended > KEEP_SECONDS:
                    del self._ended[answer_id]
                    self._runs.pop(answer_id, None)
            for run in list(self._runs.values()):
                if not run.saved.is_set() and principal_for(run.principal.user_id, run.principal.project.id) is None:
                    run.stop(AnswerStatus.INTERRUPTED)

    async def shut_down(self) -> None:
        """The server stops: hang up on every upstream, so that what was produced is written down."""
        for run in self._runs.values():
            run.stop(AnswerStatus.INTERRUPTED)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LONGEST_SHUTDOWN_SECONDS):
                await asyncio.gather(*(run.saved.wait() for run in self._runs.values()))
        await end(list(self._tasks))

    def _keep(self, task: asyncio.Task[None]) -> None:
        """The event loop holds tasks weakly: an answer must live until its books are closed."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


runs = Runs()
