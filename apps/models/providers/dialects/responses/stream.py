"""The Responses API's streams, written for a caller: each block is an item that is added, grows, and is done."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from apps.models.providers.base import UpstreamCall, Usage
from apps.models.providers.conversation import (
    BlockEnded,
    BlockStarted,
    Delta,
    Event,
    Refusal,
    Signed,
    Started,
    Stopped,
    StopReason,
    Text,
    Thinking,
    ToolCall,
    Used,
)
from apps.models.providers.dialects.responses.reply import finished, item, item_id, part, response, response_id

_encode = msgspec.json.Encoder().encode


class ResponsesWriter:
    def __init__(self, call: UpstreamCall) -> None:
        self._call = call
        self._id = ""
        self._head: dict[str, Any] = {}
        self._sequence = 0
        self._block: Text | Thinking | ToolCall | Refusal | None = None
        self._texts: list[str] = []  # of the block that is open
        self._output: list[dict[str, Any]] = []
        self._stop: StopReason = "stop"
        self._usage: Usage | None = None

    def write(self, events: Sequence[Event]) -> bytes:
        return b"".join(map(self._event, events))

    def close(self) -> bytes:
        done = finished(self._head, self._output, self._stop, self._usage)
        return self._say(f"response.{done['status']}", response=done)

    def _event(self, event: Event) -> bytes:
        match event:
            case Delta(_, text):
                self._texts.append(text)
                return self._delta(text)
            case Started(id, model, created):
                self._id = response_id(id)
                self._head = response(self._id, model, created, self._call)
                return self._say("response.created", response=self._head) + self._say(
                    "response.in_progress", response=self._head
                )
            case BlockStarted():
                return self._begin(event)
            case Signed(_, signature, redacted) if isinstance(self._block, Thinking):
                self._block.signature, self._block.redacted = signature, redacted
            case BlockEnded():
                return self._end()
            case Stopped(reason):
                self._stop = reason
            case Used(usage):
                self._usage = usage
        return b""

    @property
    def _place(self) -> dict[str, Any]:
        number = len(self._output)
        return {"item_id": item_id(self._id, number), "output_index": number}

    def _begin(self, event: BlockStarted) -> bytes:
        self._texts = []
        match event.kind:
            case "tool_call":
                self._block = ToolCall(event.id, event.name, "")
            case "thinking":
                self._block = Thinking()
            case "refusal":
                self._block = Refusal("")
            case _:
                self._block = Text("")
        added = item(self._block, self._place["item_id"], "in_progress")
        if isinstance(self._block, Text | Refusal):
            added["content"] = []
        said = self._say("response.output_item.added", output_index=len(self._output), item=added)
        if isinstance(self._block, Text | Refusal):
            said += self._say("response.content_part.added", **self._place, content_index=0, part=part(self._block))
        elif isinstance(self._block, Thinking):
            summary = {"type": "summary_text", "text": ""}
            said += self._say("response.reasoning_summary_part.added", **self._place, summary_index=0, part=summary)
        return said

    def _delta(self, text: str) -> bytes:
        match self._block:
            case ToolCall():
                return self._say("response.function_call_arguments.delta", **self._place, delta=text)
            case Thinking():
                return self._say("response.reasoning_summary_text.delta", **self._place, summary_index=0, delta=text)
            case Refusal():
                return self._say("response.refusal.delta", **self._place, content_index=0, delta=text)
        return self._say("response.output_text.delta", **self._place, content_index=0, delta=text, logprobs=[])

    def _end(self) -> bytes:
        text, block = "".join(self._texts), self._block
        assert block is not None
        said = b""
        match block:
            case ToolCall():
                block.arguments = text
                said = self._say(
                    "response.function_call_arguments.done", **self._place, name=block.name, arguments=text
                )
            case Thinking():
                block.text = text
                summary = {"type": "summary_text", "text": text}
                said = self._say("response.reasoning_summary_text.done", **self._place, summary_index=0, text=text)
                said += self._say("response.reasoning_summary_part.done", **self._place, summary_index=0, part=summary)
            case Refusal():
                block.text = text
                said = self._say("response.refusal.done", **self._place, content_index=0, refusal=text)
            case Text():
                block.text = text
                said = self._say("response.output_text.done", **self._place, content_index=0, text=text, logprobs=[])
        if isinstance(block, Text | Refusal):
            said += self._say("response.content_part.done", **self._place, content_index=0, part=part(block))
        done = item(block, self._place["item_id"], "completed")
        said += self._say("response.output_item.done", output_index=len(self._output), item=done)
        self._output.append(done)
        self._block = None
        return said

    def _say(self, type: str, **facts: Any) -> bytes:
        data = _encode({"type": type, "sequence_number": self._sequence, **facts})
        self._sequence += 1
        return b"event: %s\ndata: %s\n\n" % (type.encode(), data)
