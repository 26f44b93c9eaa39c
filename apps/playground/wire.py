"""What goes over the socket: the page's messages, checked field by field, and the parts of a gateway's stream.

Every message of the page carries ``n``, which counts up from 1 on each connection. Answers come as numbered events, so
that a page that lost its connection can go on where it was.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from apps.playground.types import MOST_ATTACHED_BYTES, MOST_ATTACHMENTS, Attached, Column

# The files in base64, and room for the words beside them. Larger ones are refused; beyond the web server's own limit
# (16 MiB) it closes the connection.
MOST_MESSAGE_BYTES = MOST_ATTACHED_BYTES * 4 // 3 + 2 * 1024**2

Count = Annotated[int, Meta(ge=1, le=2**53)]
Identifier = Annotated[int, Meta(ge=1, le=2**63 - 1)]


class Ping(msgspec.Struct, tag="ping", forbid_unknown_fields=True):
    n: Count


class Run(msgspec.Struct, tag="run", forbid_unknown_fields=True):
    """Ask. ``key`` is the page's own: sent again after a broken connection, it does not run twice. ``kept`` are files
    of the conversation, by their ids, that go with the message beside its own ``attachments``.
    """

    n: Count
    key: Annotated[str, Meta(min_length=8, max_length=64)]
    project: Annotated[str, Meta(max_length=50)]
    columns: list[Column]
    message: str
    attachments: Annotated[list[Attached], Meta(max_length=MOST_ATTACHMENTS)] = []
    kept: Annotated[list[Identifier], Meta(max_length=MOST_ATTACHMENTS)] = []
    conversation: Annotated[str, Meta(max_length=16)] = ""
    parent: Identifier | None = None
    blind: bool = False
    use_case: Annotated[str, Meta(max_length=20)] = ""


class Continue(msgspec.Struct, tag="continue", forbid_unknown_fields=True):
    """Give the results of an answer's tool calls, by the calls' ids."""

    n: Count
    answer: Identifier
    results: Annotated[dict[str, str], Meta(max_length=64)]


class Stop(msgspec.Struct, tag="stop", forbid_unknown_fields=True):
    n: Count
    answers: Annotated[list[Identifier], Meta(max_length=32)]


class Join(msgspec.Struct, tag="join", forbid_unknown_fields=True):
    """Listen to an answer from the event after ``after`` on."""

    n: Count
    answer: Identifier
    after: Annotated[int, Meta(ge=0, le=2**53)] = 0


Message = Ping | Run | Continue | Stop | Join

encode = msgspec.json.Encoder().encode
decode_message = msgspec.json.Decoder(Message).decode


def number_of(text: str) -> int | None:
    """The ``n`` of a message that is otherwise wrong, so that the page learns which one it was."""
    try:
        found = msgspec.json.decode(text, type=dict[str, Any]).get("n")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return found if type(found) is int else None


# The gateway's stream, in OpenAI's chunks.


class FunctionDelta(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class CallDelta(msgspec.Struct):
    index: int = 0
    id: str | None = None
    function: FunctionDelta | None = None


class Delta(msgspec.Struct):
    content: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[CallDelta] | None = None


class Choice(msgspec.Struct):
    delta: Delta | None = None
    finish_reason: str | None = None


class Usage(msgspec.Struct):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class Chunk(msgspec.Struct):
    choices: list[Choice] | None = None
    usage: Usage | None = None
    error: dict[str, Any] | None = None


decode_chunk = msgspec.json.Decoder(Chunk).decode
