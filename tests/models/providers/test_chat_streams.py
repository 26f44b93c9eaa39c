"""Streams of servers that speak like OpenAI's and each have a way of their own, read for another API's callers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from apps.models.providers.base import UpstreamCall, Usage
from apps.models.providers.conversation import (
    BlockStarted,
    Delta,
    Event,
    Started,
    Stopped,
    Text,
    Thinking,
    ToolCall,
    Used,
)
from apps.models.providers.dialects.chat.reply import read
from apps.models.providers.dialects.chat.stream import ChatReader
from apps.models.providers.dialects.chat.wire import passed
from apps.models.providers.dialects.messages.stream import MessagesWriter
from apps.models.providers.framing import ServerSentEvents

USAGE = {"prompt_tokens": 3, "completion_tokens": 2}


def call(index: int, id: str | None = None, name: str | None = None, arguments: str = "") -> dict[str, Any]:
    function = {"arguments": arguments, **({"name": name} if name else {})}
    return {"tool_calls": [{"index": index, "function": function, **({"id": id} if id else {})}]}


def stream(
    *deltas: dict[str, Any], finish: str | None = "tool_calls", reader: ChatReader | None = None, **head: Any
) -> list[Event]:
    chunks: list[Any] = [{**head, "choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    chunks.append({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": finish}], "usage": USAGE})
    text = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
    return (reader or ChatReader()).feed(text.encode())


def calls(events: list[Event]) -> list[tuple[str, str]]:
    """(name, arguments) of each."""
    found: dict[int, list[str]] = {}
    for event in events:
        match event:
            case BlockStarted(index, "tool_call", _, name):
                found[index] = [name, ""]
            case Delta(index, text) if index in found:
                found[index][1] += text
    return [(name, arguments) for name, arguments in found.values()]


TWO = [("weather", '{"city":"Oslo"}'), ("time", '{"zone":"CET"}')]


@pytest.mark.parametrize(
    "deltas",
    [
        # Numbered, as OpenAI does it.
        [
            call(0, "a", "weather"), call(0, arguments='{"city":'), call(0, arguments='"Oslo"}'),
            call(1, "b", "time", '{"zone":'), call(1, arguments='"CET"}'),
        ],
        # All numbered 0, each whole: Gemini.
        [call(0, "a", "weather", '{"city":"Oslo"}'), call(0, "b", "time", '{"zone":"CET"}')],
        # Numbered, with an id of its own in every piece: vLLM, once.
        [
            call(0, "a", "weather"), call(0, "x1", arguments='{"city":'), call(0, "x2", arguments='"Oslo"}'),
            call(1, "b", "time"), call(1, "x3", arguments='{"zone":"CET"}'),
        ],
    ],
)  # fmt: skip
def test_calls_side_by_side_stay_two_however_they_are_numbered(deltas: list[dict[str, Any]]) -> None:
    events = stream(*deltas)
    assert calls(events) == TWO
    written = MessagesWriter(UpstreamCall("messages", {}, stream=True, model="m")).write(events)
    assert written.count(b'"type":"tool_use"') == 2


def test_calls_of_the_same_name_are_two() -> None:
    same = [call(0, id, "weather", json.dumps({"city": id})) for id in ("a", "b")]
    assert [json.loads(arguments)["city"] for _, arguments in calls(stream(*same))] == ["a", "b"]


def test_arguments_that_are_mixed_are_refused() -> None:
    reader = ChatReader()
    events = stream(call(0, "a", "weather"), call(1, "b", "time"), call(0, arguments="{}"), reader=reader)
    assert reader.error is not None
    assert reader.error.kind == "malformed"
    assert calls(events) == [("weather", ""), ("time", "")], "what was read before it stands"


def test_an_empty_reason_to_stop_is_none() -> None:
    chunks = [{"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": ""}]} for text in ("Good ", "day")]
    chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "length"}]})
    reader = ChatReader()
    events = reader.feed("".join(f"data: {json.dumps(each)}\n\n" for each in chunks).encode())
    assert [event.text for event in events if isinstance(event, Delta)] == ["Good ", "day"]
    assert [event.reason for event in events if isinstance(event, Stopped)] == ["length"]
    assert isinstance(events[-1], Stopped)


def test_what_a_server_leaves_null_or_writes_as_a_fraction_is_no_fault() -> None:
    head: dict[str, Any] = {"id": None, "model": None, "created": 1.7e9}
    [started] = [event for event in stream({"content": "Hi"}, finish="stop", **head) if isinstance(event, Started)]
    assert started == Started("", "", 1_700_000_000)
    answer = {**head, "choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}], "usage": USAGE}
    assert read(json.dumps(answer).encode()).created == 1_700_000_000


def test_an_answer_in_parts_is_text_and_thought() -> None:
    """Mistral's thinking models."""
    parts = [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}, {"type": "text", "text": "42"}]
    events = stream({"content": parts[:1]}, {"content": parts[1:]}, {"content": "!"}, finish="stop")
    kinds = [(event.index, event.kind) for event in events if isinstance(event, BlockStarted)]
    assert kinds == [(0, "thinking"), (1, "text")]
    assert [event.text for event in events if isinstance(event, Delta)] == ["Hm.", "42", "!"]
    answer = {"choices": [{"message": {"content": parts}, "finish_reason": "stop"}]}
    assert read(json.dumps(answer).encode()).content == [Thinking("Hm."), Text("42")]


def test_arguments_that_are_no_text_are_the_same_arguments() -> None:
    function = {"name": "weather", "arguments": {"city": "Oslo"}}
    [(name, arguments)] = calls(stream({"tool_calls": [{"index": 0, "id": "a", "function": function}]}))
    assert (name, json.loads(arguments)) == ("weather", {"city": "Oslo"})
    answer = {"choices": [{"message": {"tool_calls": [{"id": "a", "function": function}]}}]}
    [call] = read(json.dumps(answer).encode()).content
    assert isinstance(call, ToolCall)
    assert json.loads(call.arguments) == {"city": "Oslo"}


def test_counts_may_be_written_as_fractions() -> None:
    chunk = {"choices": [], "usage": {"prompt_tokens": 3.0, "completion_tokens": 2.0, "prompt_tokens_details": {}}}
    [used] = [
        event for event in ChatReader().feed(f"data: {json.dumps(chunk)}\n\n".encode()) if isinstance(event, Used)
    ]
    assert used.usage == Usage(3, 2)
    assert passed(json.dumps({**chunk, "choices": [{}]}).encode(), holds="choices").usage == Usage(3, 2)


@pytest.mark.parametrize("cut", range(6))
def test_a_byte_order_mark_hides_nothing(cut: int) -> None:
    reader = ServerSentEvents()
    text = b"\xef\xbb\xbfdata: 1\n\n"
    assert [event.data for piece in (text[:cut], text[cut:]) for event in reader.feed(piece)] == [b"1"]
    assert [event.data for event in ServerSentEvents().feed(b"data: 1\n\ndata: 2\n\n")] == [b"1", b"2"]
