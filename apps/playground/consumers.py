"""The playground's socket: it asks, stops and listens. The answers themselves belong to ``runs``."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

import msgspec
import structlog
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings

from apps.playground import services, wire
from apps.playground.database import in_database
from apps.playground.errors import ColumnInvalid
from apps.playground.messages import as_begun, shown_answer
from apps.playground.models import Answer
from apps.playground.run import Run, principal_for
from apps.playground.runs import runs
from apps.playground.seats import (
    NO_ACCESS,
    Refused,
    Seat,
    Sitter,
    origin_is_ours,
    session_key_of,
    sit_down,
    sit_on,
    watch,
)
from apps.playground.selectors import get_answer_for, get_conversation_for
from apps.playground.types import AnswerStatus
from apps.tenants.errors import Conflict, DomainError, NotFound

log = structlog.get_logger(__name__)

# How long another process may take to say that it has an answer; then it is taken for dead.
REMOTE_WITHIN_SECONDS = 3.0


@dataclass(slots=True)
class Listening:
    """To one answer. ``run`` is None where another process has it (``process``)."""

    run: Run | None
    after: int
    process: str = ""
    heard: bool = False


class PlaygroundConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]
    """One page's connection. Each message is checked anew, and what is wrong with one leaves the connection open."""

    seat: Seat

    async def connect(self) -> None:
        headers: dict[bytes, bytes] = dict(self.scope["headers"])
        query = parse_qs(self.scope.get("query_string", b"").decode("latin-1"))
        self._number = 0
        self._listening: dict[int, Listening] = {}
        self._more = asyncio.Event()
        self._pump: asyncio.Task[None] | None = None
        self._leaving: set[asyncio.Task[None]] = set()
        if not origin_is_ours(headers):
            await self.close(NO_ACCESS)
            return
        try:
            tenant = query.get("tenant", [""])[0]
            sitter: Sitter = await in_database(sit_down, session_key_of(headers), tenant)
        except Refused as refused:
            await self.close(refused.close_code)
            return
        self.seat = sitter.seat
        self._pump = asyncio.create_task(self._send_frames())
        watch.add(self.seat, self._leave)
        await self.accept()

    async def disconnect(self, code: int) -> None:
        watch.remove(self._leave)
        if self._pump is not None:
            self._pump.cancel()
        for answer_id in list(self._listening):
            await self._forget(answer_id)

    def _leave(self, refused: Refused) -> None:
        watch.remove(self._leave)
        task = asyncio.create_task(self._say_goodbye(refused))
        self._leaving.add(task)

    async def _say_goodbye(self, refused: Refused) -> None:
        await self._tell_error(None, refused)
        await self.close(refused.close_code)

    # The page's messages.

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if text_data is None:
            await self._error(None, "binary", "Messages are JSON, as text.")
            return
        if len(text_data) > wire.MOST_MESSAGE_BYTES:
            most = wire.MOST_MESSAGE_BYTES // 1024**2
            await self._error(None, "too_large", f"A message has at most {most} MB.")
            return
        try:
            message = wire.decode_message(text_data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            await self._error(wire.number_of(text_data), "malformed", f"The message cannot be read: {error}.")
            return
        if message.n <= self._number:
            await self._error(message.n, "replayed", f"Message {message.n} was here already.")
            return
        if message.n != self._number + 1:
            said = f"Message {message.n} is out of order: {self._number + 1} comes next."
            await self._error(message.n, "out_of_order", said)
            return
        self._number = message.n
        try:
            await self._obey(message)
        except Refused as refused:
            await self._say_goodbye(refused)
        except DomainError as error:
            await self._tell_error(message.n, error)
        except Exception:
            log.exception("playground_message_failed", kind=type(message).__name__)
            await self._error(message.n, "internal_error", "Something went wrong in Lobby. Nothing was run.")

    async def _obey(self, message: wire.Message) -> None:
        match message:
            case wire.Ping():
                await in_database(sit_on, self.seat)
                await self._tell({"type": "pong", "n": message.n})
            case wire.Run():
                await self._run(message)
            case wire.Continue():
                await self._continue(message)
            case wire.Stop():
                await self._stop(message)
            case wire.Join():
                await self._join(message)

    async def _run(self, message: wire.Run) -> None:
        process = await runs.open()
        async with runs.beginning(self.seat.user_id, message.key):
            begun = await in_database(_begin, self.seat, message, process)
            if begun.bodies:
                await self._start(begun, message.n)
                return
        # It was here before: the connection broke before it was confirmed.
        await self._confirm(begun, message.n)
        for answer in begun.answers:
            await self._follow(answer, 0, None)

    async def _continue(self, message: wire.Continue) -> None:
        process = await runs.open()
        begun = await in_database(_go_on, self.seat, message, process)
        await self._start(begun, message.n)

    async def _confirm(self, begun: services.Begun, n: int) -> None:
        """First of all, and as it began: the page has to know the answers before it hears of them."""
        conversation, turn = begun.conversation, begun.turn
        await self._tell(
            {
                "type": "begun",
                "n": n,
                "conversation": {
                    "id": conversation.public_id,
                    "title": conversation.title,
                    "blind": conversation.is_blind,
                },
                "turn": {"id": turn.pk, "parent": turn.parent_id, "message": turn.message, "files": begun.files},
                "answers": [shown_answer(as_begun(each), blind=conversation.is_blind) for each in begun.answers],
            }
        )

    async def _start(self, begun: services.Begun, n: int) -> None:
        conversation = begun.conversation
        blind = conversation.is_blind
        await self._confirm(begun, n)
        principal = principal_for(self.seat.user_id, conversation.project_id)
        if principal is None:
            # Just made: the gateway learns of a project within a second. Or just taken away.
            await in_database(services.interrupt_answers, [answer.pk for answer in begun.answers])
            for answer in begun.answers:
                await self._tell_ended(answer.pk, None)
            raise DomainError(
                "The gateway does not know this project yet, or you may not call models in it.",
                code="project_unknown",
                remedy="Try again in a second.",
            )
        for answer in begun.answers:
            run = Run(answer.pk, principal, begun.bodies[answer.pk], blind=blind)
            runs.start(run)
            self._listen(run, 0)

    async def _stop(self, message: wire.Stop) -> None:
        answers = await in_database(_own_answers, self.seat, message.answers)
        for answer in answers:
            run = runs.get(answer.pk)
            if run is not None:
                run.stop()
            elif answer.status == AnswerStatus.RUNNING and answer.process and settings.REDIS_URL:
                await runs.ask(answer.process, {"type": "run.stop", "answer": answer.pk})
        await self._tell({"type": "stopping", "n": message.n, "answers": [answer.pk for answer in answers]})

    async def _join(self, message: wire.Join) -> None:
        (answer,) = await in_database(_own_answers, self.seat, [message.answer])
        await self._follow(answer, message.after, message.n)

    async def _follow(self, answer: Answer, after: int, n: int | None) -> None:
        """Listen to it wherever it runs, or tell how it ended."""
        run = runs.get(answer.pk)
        if run is not None:
            await self._tell({"type": "joined", "n": n, "answer": answer.pk})
            self._listen(run, after)
            return
        if answer.status == AnswerStatus.RUNNING:
            if settings.REDIS_URL and answer.process and answer.process != runs.channel:
                await self._follow_elsewhere(answer, after, n)
                return
            await in_database(services.interrupt_answers, [answer.pk])
        await self._tell_ended(answer.pk, n)

    async def _follow_elsewhere(self, answer: Answer, after: int, n: int | None) -> None:
        listening = self._listening[answer.pk] = Listening(None, after, process=answer.process)
        asked = {"type": "run.join", "answer": answer.pk, "after": after, "reply": self.channel_name}
        await self._tell({"type": "joined", "n": n, "answer": answer.pk})
        if await runs.ask(answer.process, asked):
            asyncio.get_running_loop().call_later(REMOTE_WITHIN_SECONDS, self._expect_remote, answer.pk, listening)
        else:
            self._expect_remote(answer.pk, listening)

    def _expect_remote(self, answer_id: int, listening: Listening) -> None:
        if not listening.heard and self._listening.get(answer_id) is listening:
            self._leaving.add(asyncio.create_task(self._close_lost(answer_id)))

    async def _close_lost(self, answer_id: int) -> None:
        """The process that had it is gone."""
        self._listening.pop(answer_id, None)
        await in_database(services.interrupt_answers, [answer_id])
        await self._tell_ended(answer_id, None)

    # From another process.

    async def run_frame(self, message: dict[str, Any]) -> None:
        listening = self._listening.get(message["answer"])
        if listening is None or listening.run is not None:
            return
        listening.heard = True
        await self._send_text(message["frame"])
        listening.after = message["last"]
        if message["closed"]:
            self._listening.pop(message["answer"], None)

    async def run_gone(self, message: dict[str, Any]) -> None:
        if message["answer"] in self._listening:
            await self._close_lost(message["answer"])

    # To the page.

    def _listen(self, run: Run, after: int) -> None:
        self._listening[run.answer_id] = Listening(run, after)
        run.listen(self._more.set)
        self._more.set()

    async def _forget(self, answer_id: int) -> None:
        listening = self._listening.pop(answer_id, None)
        if listening is None:
            return
        if listening.run is not None:
            listening.run.forget(self._more.set)
        elif listening.process:
            message = {"type": "run.leave", "answer": answer_id, "reply": self.channel_name}
            await runs.ask(listening.process, message)

    async def _send_frames(self) -> None:
        """Whatever is new, as soon as it is; as much as there is, while the browser is slow."""
        while True:
            await self._more.wait()
            self._more.clear()
            for answer_id, listening in list(self._listening.items()):
                run = listening.run
                if run is None:
                    continue
                closed, last = run.closed, run.last
                if last > listening.after:
                    await self._send_text(run.frame(listening.after).decode())
                    listening.after = last
                if closed:
                    await self._tell({"type": "closed", "answer": answer_id})
                    await self._forget(answer_id)

    async def _tell_ended(self, answer_id: int, n: int | None) -> None:
        shown = await in_database(_shown, self.seat, answer_id)
        await self._tell({"type": "answer", "n": n, "answer": shown})

    async def _tell_error(self, n: int | None, error: DomainError) -> None:
        told = {"column": error.column, "problems": error.problems} if isinstance(error, ColumnInvalid) else {}
        await self._error(n, error.code, str(error), **told)

    async def _error(self, n: int | None, code: str, message: str, **told: Any) -> None:
        await self._tell({"type": "error", "n": n, "code": code, "message": message[:2_000], **told})

    async def _tell(self, message: dict[str, Any]) -> None:
        await self._send_text(wire.encode(message).decode())

    async def _send_text(self, text: str) -> None:
        send: Callable[..., Awaitable[None]] = self.send
        await send(text_data=text)


# One hop into the database for each message: who sits there, and the act.


def _begin(seat: Seat, message: wire.Run, process: str) -> services.Begun:
    """What the run began; what it began before, where it was here already."""
    sitter = sit_on(seat)
    before = services.begun_before(actor=sitter.actor, tenant=sitter.tenant, key=message.key)
    if before is not None:
        return before
    project = sitter.project(message.project)
    if project is None:
        raise NotFound("There is no such project, or you may not call models in it.")
    conversation = get_conversation_for(sitter.actor, message.conversation) if message.conversation else None
    if conversation is not None and conversation.tenant_id != seat.tenant_id:
        raise NotFound("There is no such conversation.")
    try:
        return services.begin_turn(
            actor=sitter.actor,
            project=project,
            columns=message.columns,
            message=message.message,
            attachments=message.attachments,
            kept=message.kept,
            conversation=conversation,
            parent=message.parent,
            blind=message.blind,
            use_case=message.use_case,
            process=process,
            key=message.key,
        )
    except Conflict as refused:  # another process was quicker
        before = services.begun_before(actor=sitter.actor, tenant=sitter.tenant, key=message.key)
        if refused.code != "begun_already" or before is None:
            raise
        return before


def _go_on(seat: Seat, message: wire.Continue, process: str) -> services.Begun:
    sitter = sit_on(seat)
    answer = _in_seat(sitter, message.answer)
    return services.continue_answer(actor=sitter.actor, answer=answer, results=message.results, process=process)


def _own_answers(seat: Seat, answer_ids: list[int]) -> list[Answer]:
    sitter = sit_on(seat)
    return [_in_seat(sitter, answer_id) for answer_id in answer_ids]


def _shown(seat: Seat, answer_id: int) -> dict[str, Any]:
    answer = _in_seat(sit_on(seat), answer_id)
    return shown_answer(answer, blind=answer.turn.conversation.is_blind)


def _in_seat(sitter: Sitter, answer_id: int) -> Answer:
    answer = get_answer_for(sitter.actor, answer_id)
    if answer.turn.conversation.tenant_id != sitter.seat.tenant_id:
        raise NotFound("There is no such answer.")
    return answer
