"""Samples of what production requests say: for monitors, of projects whose tenant has agreed to it.

Nothing is kept by default. A tenant admin sets the project's ``content_percent``; a caller declines with
``"store": false`` (OpenAI's own word for it) or ``"lobby": {"store": false}``. Lobby's own calls are no samples. An
answer never waits for it: a thread writes once the last byte has left, and what cannot be written (a database that is
away, a thread that does not keep up, a process that is killed) is a sample less, counted in
``lobby_contents_lost_total``.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import msgspec
import structlog
from django.db import Error as DatabaseError
from django.db import close_old_connections

from apps.gateway import metrics
from apps.gateway.fronts.base import Parsed
from apps.gateway.prompts import Served
from apps.gateway.responses_memory import response_of
from apps.gateway.routing.strategies import drawn
from apps.gateway.services.contents import ContentFacts, Said, keep_content
from apps.gateway.snapshot import Principal
from apps.models.providers.base import CONVERSATIONS, ProviderError, Unreadable, UpstreamCall
from apps.models.providers.conversation import (
    Audio,
    Block,
    BlockStarted,
    Conversation,
    Delta,
    Document,
    Event,
    Image,
    Refusal,
    Stopped,
    Text,
    ToolCall,
    ToolResult,
)
from apps.models.providers.dialects import CHAT, CONVERSE, MESSAGES
from apps.models.providers.dialects.base import ConversationDialect

MOST_BYTES = 256 * 1024  # of a request, and of its answer: longer ones are no samples
MOST_WAITING = 100
_DIALECTS: dict[str, ConversationDialect] = {"chat.completions": CHAT, "messages": MESSAGES, "converse": CONVERSE}
_threads = ThreadPoolExecutor(1, thread_name_prefix="contents")
_room = threading.BoundedSemaphore(MOST_WAITING)

log = structlog.get_logger(__name__)


class _Part(msgspec.Struct):
    text: str = ""
    refusal: str = ""


class _Item(msgspec.Struct):
    type: str = "message"
    content: list[_Part] = []
    name: str = ""
    arguments: str = ""


class _Response(msgspec.Struct):
    output: list[_Item] = []
    status: str = ""


_decode_response = msgspec.json.Decoder(_Response).decode


def recorder(
    principal: Principal, parsed: Parsed, model_slug: str, prompt: Served | None, request_id: str
) -> Recorder | None:
    """None where this request is not to be kept."""
    share, request = principal.project.content_share, parsed.request
    if not share or principal.by_lobby or request.operation not in CONVERSATIONS:
        return None
    if bytes(parsed.fields.get("store", b"null")) == b"false" or (
        request.lobby is not None and request.lobby.store is False
    ):
        return None
    if drawn(request_id, "content") >= share or sum(len(bytes(raw)) for raw in parsed.fields.values()) > MOST_BYTES:
        return None
    facts = ContentFacts(
        request_id=request_id,
        at=datetime.now(UTC),
        tenant_id=principal.tenant.id,
        project_id=principal.project.id,
        environment=principal.project.environment,
        model_slug=model_slug,
        prompt_id=prompt.prompt_id if prompt is not None else 0,
        prompt_version=prompt.number if prompt is not None else 0,
        label=prompt.label if prompt is not None else "",
    )
    return Recorder(facts)


class Recorder:
    """Takes one request's answer as it leaves, and has both written once it is whole, or the request with its error."""

    __slots__ = ("_facts", "_parts", "_size")

    def __init__(self, facts: ContentFacts) -> None:
        self._facts = facts
        self._parts: list[bytes] = []
        self._size = 0

    def add(self, events: bytes) -> None:
        """Some of a stream."""
        self._size += len(events)
        if self._size <= MOST_BYTES:
            self._parts.append(events)

    def whole(self, call: UpstreamCall, body: bytes) -> None:
        self.add(body)
        self._hand_over(call, streamed=False)

    def streamed(self, call: UpstreamCall) -> None:
        """The stream has ended."""
        self._hand_over(call, streamed=True)

    def failed(self, call: UpstreamCall, code: str) -> None:
        """The caller was told ``code``; what may have left before is no answer."""
        self._parts, self._size = [], 0
        self._hand_over(call, error=code)

    def _hand_over(self, call: UpstreamCall, *, streamed: bool = False, error: str = "") -> None:
        if self._size > MOST_BYTES:
            return
        if not _room.acquire(blocking=False):
            metrics.contents_lost.labels("busy").inc()
            return
        _threads.submit(_keep, self._facts, call, b"".join(self._parts), streamed, error)


def _keep(facts: ContentFacts, call: UpstreamCall, answered: bytes, streamed: bool, error: str) -> None:
    close_old_connections()  # a thread of a pool keeps its connection, dead or not
    try:
        answer = Said("assistant", "") if error else _answer(call.operation, answered, streamed=streamed)
        if answer is not None:
            keep_content(facts, _messages(call.conversation()), answer, error)
    except (Unreadable, ProviderError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as unreadable:
        metrics.contents_lost.labels("unreadable").inc()
        log.info("content_unreadable", request_id=facts.request_id, error=type(unreadable).__name__)
    except DatabaseError as away:
        metrics.contents_lost.labels("database").inc()
        log.warning("content_not_kept", request_id=facts.request_id, error=type(away).__name__)
    finally:
        close_old_connections()
        _room.release()


def _messages(conversation: Conversation) -> list[Said]:
    said = []
    for message in conversation.messages:
        text = "\n".join(filter(None, map(_text, message.content)))
        is_result = bool(message.content) and all(isinstance(each, ToolResult) for each in message.content)
        said.append(Said("tool" if is_result else message.role, text))
    return said


def _text(block: Block) -> str:
    """In words: of what is no text, that it was there."""
    match block:
        case Text() | Refusal():
            return block.text
        case Image():
            return "[image]"
        case Audio():
            return "[audio]"
        case Document():
            return block.text or f"[document {block.name}]"
        case ToolCall():
            return f"[calls {block.name}({block.arguments})]"
        case ToolResult():
            return "\n".join(filter(None, map(_text, block.content)))
    return ""


def _answer(operation: str, answered: bytes, *, streamed: bool) -> Said | None:
    """None where the stream did not end with an answer. Raises what its dialect does."""
    if operation == "responses":
        body = response_of(answered, streamed=streamed)
        return None if body is None else _of_response(_decode_response(body))
    dialect = _DIALECTS[operation]
    if streamed:
        reader = dialect.reader()
        events = reader.feed(answered)
        return None if reader.error is not None else _of_events(events)
    reply = dialect.read(answered)
    calls = [(each.name, each.arguments) for each in reply.content if isinstance(each, ToolCall)]
    return _said((each.text for each in reply.content if isinstance(each, Text | Refusal)), calls, reply.stop)


def _of_response(response: _Response) -> Said:
    texts = (part.text or part.refusal for item in response.output if item.type == "message" for part in item.content)
    calls = [(item.name, item.arguments) for item in response.output if item.type == "function_call"]
    return _said(texts, calls, "stop" if response.status == "completed" else response.status)


def _of_events(events: Iterable[Event]) -> Said:
    blocks: dict[int, tuple[BlockStarted, list[str]]] = {}
    stop = ""
    for event in events:
        if isinstance(event, BlockStarted):
            blocks[event.index] = (event, [])
        elif isinstance(event, Delta) and event.index in blocks:
            blocks[event.index][1].append(event.text)
        elif isinstance(event, Stopped):
            stop = event.reason
    texts = ["".join(parts) for block, parts in blocks.values() if block.kind in ("text", "refusal")]
    calls = [(block.name, "".join(parts)) for block, parts in blocks.values() if block.kind == "tool_call"]
    return _said(texts, calls, stop)


def _said(texts: Iterable[str], calls: Iterable[tuple[str, str]], stop: str) -> Said:
    said: tuple[dict[str, Any], ...] = tuple({"name": name, "arguments": arguments} for name, arguments in calls)
    return Said("assistant", "\n".join(texts), said, stop)
