"""Streams of servers that speak like OpenAI's and each have a way of their own, read for another API's callers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from apps.models.providers.base import ProviderError, UpstreamCall
from apps.models.providers.conversation import BlockStarted, Delta, Event, Started, Stopped
from apps.models.providers.dialects.chat.reply import read
from apps.models.providers.dialects.chat.stream import ChatReader
from apps.models.providers.dialects.messages.stream import MessagesWriter

USAGE = {"prompt_tokens": 3, "completion_tokens": 2}


def call(index: int, id: str | None = None, name: str | None = None, arguments: str = "") -> dict[str, Any]:
    function = {"arguments": arguments, **({"name": name} if name else {})}
    return {"tool_calls": [{"index": index, "function": function, **({"id": id} if id else {})}]}


def stream(*deltas: dict[str, Any], finish: str | None = "tool_calls", **head: Any) -> list[Event]:
    chunks: list[Any] = [{**head, "choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    chunks.append({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": finish}], "usage": USAGE})
    text = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
    return ChatReader().feed(text.encode())


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
    with pytest.raises(ProviderError):
        stream(call(0, "a", "weather"), call(1, "b", "time"), call(0, arguments="{}"))


def test_an_empty_reason_to_stop_is_none() -> None:
    chunks = [{"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": ""}]} for text in ("Good ", "day")]
    chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "length"}]})
    reader = ChatReader()
    events = reader.feed("".join(f"data: {json.dumps(each)}\n\n" for each in chunks).encode())
    assert [event.text for event in events if isinstance(event, Delta)] == ["Good ", "day"]
    assert [event.reason for event in events if isinstance(event, Stopped)] == ["length"]
    assert isinstance(events[-1], Stopped)


def test_what_a_server_leaves_null_or_writes_as_a_fraction_is_no_fault() -> None:
    head = {"id": None, "model": None, "created": 1.7e9}
    [started] = [event for event in stream({"content": "Hi"}, finish="stop", **head) if isinstance(event, Started)]
    assert started == Started("", "", 1_700_000_000)
    answer = {**head, "choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}], "usage": USAGE}
    assert read(json.dumps(answer).encode()).created == 1_700_000_000
