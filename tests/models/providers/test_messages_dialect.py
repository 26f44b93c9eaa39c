"""The Messages dialect's own rules: what Anthropic's API is sent, and what of its callers' requests others can take."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx
import msgspec
import pytest
from msgspec import Raw

from apps.models.providers.base import Target, Unreadable, UpstreamCall
from apps.models.providers.conversation import (
    Audio,
    Block,
    Conversation,
    Document,
    Image,
    Message,
    OutputFormat,
    Reasoning,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from apps.models.providers.dialects import CHAT, MESSAGES
from apps.models.providers.dialects.messages.passing import DEFAULT_MAX_TOKENS
from apps.models.providers.dialects.messages.wire import ANSWER_TOOL

OPUS = Target("https://x", "claude-opus-5", capabilities=frozenset({"tools", "reasoning", "json_schema"}))
SONNET = Target("https://x", "claude-sonnet-4-5-20250929", max_output_tokens=8_000)
PLAIN = Target("https://x", "claude-3-5-haiku-20241022", capabilities=frozenset({"tools"}))
SCHEMA = Raw(b'{"type":"object"}')


def said(*blocks: Block, **fields: Any) -> Conversation:
    return Conversation(messages=[Message("user", list(blocks) or [Text("Hi")])], **fields)


def write(
    conversation: Conversation, target: Target = SONNET, *, cap: int | None = None
) -> tuple[dict[str, Any], tuple[str, ...]]:
    written = MESSAGES.write(conversation, target, stream=False, max_output_tokens=cap)
    fields: dict[str, Any] = json.loads(msgspec.json.encode(written.fields))
    return fields, written.dropped


def read(**fields: Any) -> Conversation:
    body = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 9, **fields}
    return MESSAGES.conversation(
        UpstreamCall("messages", {name: Raw(json.dumps(value).encode()) for name, value in body.items()})
    )


@pytest.mark.parametrize(
    ("asked", "cap", "target", "sent"),
    [
        (7, 5, SONNET, 7),
        (None, 5, SONNET, 5),
        (None, None, SONNET, 8_000),
        (None, None, OPUS, DEFAULT_MAX_TOKENS),
    ],
)
def test_max_tokens_are_the_callers_or_the_caps_or_the_models(
    asked: int | None, cap: int | None, target: Target, sent: int
) -> None:
    assert write(said(max_tokens=asked), target, cap=cap)[0]["max_tokens"] == sent


def test_a_temperature_above_one_is_clamped_and_named() -> None:
    assert write(said(temperature=0.7))[0]["temperature"] == 0.7
    fields, dropped = write(said(temperature=1.7))
    assert (fields["temperature"], dropped) == (1.0, ("temperature",))


def test_models_that_refuse_sampling_are_not_told_how() -> None:
    asked = said(temperature=0.2, top_p=0.5, top_k=3)
    fields, dropped = write(asked, OPUS)
    assert not {"temperature", "top_p", "top_k"} & fields.keys()
    assert dropped == ("temperature", "top_p", "top_k")
    assert write(asked, Target("https://x", "claude-opus-5", settings=(("sampling", "taken"),)))[1] == ()
    assert write(asked, Target("https://x", "my-claude", settings=(("sampling", "refused"),)))[1] == dropped


@pytest.mark.parametrize(
    ("target", "reasoning", "most", "thinking", "effort", "dropped"),
    [
        (SONNET, Reasoning(effort="low"), 9_000, {"type": "enabled", "budget_tokens": 2_048}, None, ()),
        (SONNET, Reasoning(budget_tokens=4_000), 9_000, {"type": "enabled", "budget_tokens": 4_000}, None, ()),
        (SONNET, Reasoning(budget_tokens=50), 9_000, {"type": "enabled", "budget_tokens": 1_024}, None, ()),
        (SONNET, Reasoning(effort="high"), 9_000, {"type": "enabled", "budget_tokens": 8_999}, None, ()),
        (SONNET, Reasoning(effort="high"), 500, None, None, ("reasoning",)),
        (SONNET, Reasoning(enabled=False), 9_000, None, None, ()),
        (OPUS, Reasoning(effort="minimal"), 500, {"type": "adaptive"}, "low", ()),
        (OPUS, Reasoning(budget_tokens=9_000), 500, {"type": "adaptive"}, "high", ()),
        (OPUS, Reasoning(), 500, {"type": "adaptive"}, None, ()),
        (OPUS, Reasoning(enabled=False), 500, {"type": "disabled"}, None, ()),
        (PLAIN, Reasoning(effort="low"), 9_000, None, None, ("reasoning",)),
    ],
)
def test_effort_and_budget_are_told_as_the_model_takes_them(
    target: Target,
    reasoning: Reasoning,
    most: int,
    thinking: dict[str, Any] | None,
    effort: str | None,
    dropped: tuple[str, ...],
) -> None:
    fields, named = write(said(reasoning=reasoning, max_tokens=most), target)
    assert fields.get("thinking") == thinking
    assert fields.get("output_config", {}).get("effort") == effort
    assert named == dropped


@pytest.mark.parametrize(
    ("name", "adaptive"),
    [
        ("claude-3-7-sonnet-20250219", False),
        ("claude-opus-4-20250514", False),
        ("claude-opus-4-1-20250805", False),
        ("claude-sonnet-4-5", False),
        ("claude-opus-4-6", True),
        ("eu.anthropic.claude-sonnet-4-6-v1:0", True),
        ("claude-opus-5-5", True),
        ("claude-haiku-6", True),
        ("my-claude", False),
    ],
)
def test_the_generation_is_told_by_the_name(name: str, adaptive: bool) -> None:
    fields, _ = write(said(reasoning=Reasoning(effort="low"), max_tokens=9_000), Target("https://x", name))
    assert fields["thinking"]["type"] == ("adaptive" if adaptive else "enabled")


def test_thought_gives_way_to_a_forced_tool_and_sampling_to_thought() -> None:
    tool = Tool("weather", parameters=SCHEMA)
    asked = said(tools=[tool], tool_choice=ToolChoice("required"), reasoning=Reasoning(effort="low"), max_tokens=9_000)
    fields, dropped = write(asked)
    assert "thinking" not in fields
    assert dropped == ("reasoning",)
    asked = said(reasoning=Reasoning(effort="low"), max_tokens=9_000, temperature=0.5, top_k=5)
    fields, dropped = write(asked)
    assert "temperature" not in fields
    assert dropped == ("temperature", "top_k")


def test_a_model_that_knows_no_schemas_answers_as_the_input_of_a_tool() -> None:
    form = OutputFormat("json_schema", SCHEMA, description="The answer")
    assert write(said(output_format=form), OPUS)[0]["output_config"] == {
        "format": {"type": "json_schema", "schema": {"type": "object"}}
    }
    fields, dropped = write(said(output_format=form), PLAIN)
    assert fields["tool_choice"] == {"type": "tool", "name": ANSWER_TOOL}
    assert [tool["name"] for tool in fields["tools"]] == [ANSWER_TOOL]
    assert dropped == ()
    # JSON without a schema goes that way everywhere; a caller's own tools stay callable.
    fields, _ = write(said(output_format=OutputFormat("json_object"), tools=[Tool("weather", parameters=SCHEMA)]), OPUS)
    assert fields["tool_choice"] == {"type": "any"}
    assert [tool["name"] for tool in fields["tools"]] == ["weather", ANSWER_TOOL]


@pytest.mark.parametrize("stream", [False, True])
def test_the_answer_of_that_tool_is_a_text(stream: bool) -> None:
    if not stream:
        block = {"type": "tool_use", "id": "t", "name": ANSWER_TOOL, "input": {"ok": True}}
        reply = MESSAGES.read(json.dumps({"content": [block], "stop_reason": "tool_use"}).encode())
        assert ([type(each) for each in reply.content], reply.stop) == ([Text], "stop")
        return
    events = [
        {"type": "message_start", "message": {"id": "m", "usage": {"input_tokens": 1, "output_tokens": 1}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "tool_use", "name": ANSWER_TOOL}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": '{"ok":1}'}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 4}},
        {"type": "message_stop"},
    ]
    writer = CHAT.writer(UpstreamCall("chat.completions", {}))
    out = writer.write(MESSAGES.reader().feed(b"".join(b"data: %s\n\n" % json.dumps(e).encode() for e in events)))
    assert b'"content":"{\\"ok\\":1}"' in out
    assert b'"finish_reason":"stop"' in out


def test_turns_are_put_together_and_results_come_first() -> None:
    conversation = Conversation(
        messages=[
            Message("system", [Text("One")]),
            Message("user", [Text("Hi")], name="ann"),
            Message("assistant", [ToolCall("call:1", "f", "not JSON"), ToolCall("c2", "g", "")]),
            Message("user", [ToolResult("call:1", [Text("a"), Image("image/png", "AA==")], is_error=True)]),
            Message("user", [Text(""), Text("And?"), ToolResult("c2", [])]),
            Message("system", [Text("Two", cache="1h")]),
        ]
    )
    fields, dropped = write(conversation)
    assert fields["system"] == [
        {"type": "text", "text": "One"},
        {"type": "text", "text": "Two", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
    ]
    first, second, third = fields["messages"]
    assert first == {"role": "user", "content": [{"type": "text", "text": "Hi"}]}
    assert [block["id"] for block in second["content"]] == ["call_1", "c2"]
    assert [block["input"] for block in second["content"]] == [{"raw_arguments": "not JSON"}, {}]
    assert [block["type"] for block in third["content"]] == ["tool_result", "tool_result", "text"]
    assert third["content"][0]["is_error"] is True
    assert third["content"][0]["tool_use_id"] == "call_1"
    assert dropped == ("messages.name",)


def test_thought_goes_back_only_with_its_signature() -> None:
    thoughts: list[Block] = [Thinking("signed", "c2ln"), Thinking(redacted="ZGF0YQ=="), Thinking("unsigned")]
    conversation = Conversation(messages=[Message("assistant", [*thoughts, Text("So.")])])
    fields, dropped = write(conversation)
    assert [block["type"] for block in fields["messages"][0]["content"]] == ["thinking", "redacted_thinking", "text"]
    assert dropped == ("thinking",)


def test_documents_are_pdfs_or_text() -> None:
    text = base64.b64encode("ä".encode()).decode()
    blocks = [
        Document("a.pdf", "application/pdf", "AA=="),
        Document("b.txt", "text/plain", text),
        Document(url="https://x/c.pdf", cache="5m"),
    ]
    fields, _ = write(said(*blocks))
    pdf, plain, named = fields["messages"][0]["content"]
    assert pdf["source"] == {"type": "base64", "media_type": "application/pdf", "data": "AA=="}
    assert plain["source"] == {"type": "text", "media_type": "text/plain", "data": "ä"}
    assert (plain["title"], named["source"]["type"]) == ("b.txt", "url")
    assert named["cache_control"] == {"type": "ephemeral"}
    for block in (Document("a.doc", "application/msword", "AA=="), Document("b", "text/plain", "!"), Audio("wav", "")):
        with pytest.raises(Unreadable):
            write(said(block))


def test_what_only_anthropic_knows_is_named() -> None:
    conversation = read(
        container="c",
        mcp_servers=[],
        service_tier="auto",
        tools=[{"type": "bash_20250124", "name": "bash"}],
        output_config={"effort": "max"},
        messages=[
            {"role": "user", "content": [{"type": "container_upload", "file_id": "f"}]},
            {"role": "assistant", "content": [{"type": "text", "text": "x", "citations": [{}]}]},
        ],
    )
    dropped = CHAT.write(conversation, Target("https://x", "m"), stream=False, max_output_tokens=None).dropped
    assert dropped == (
        "container",
        "messages[0].content[0] (container_upload)",
        "citations",
        "tools[0] (bash_20250124)",
        "output_config.effort (max, taken as high)",
    )


def test_chat_has_no_word_for_a_tools_error() -> None:
    result = {"type": "tool_result", "tool_use_id": "t", "content": "No", "is_error": True}
    conversation = read(messages=[{"role": "user", "content": [result]}])
    written = CHAT.write(conversation, Target("https://x", "m"), stream=False, max_output_tokens=None)
    assert written.dropped == ("is_error",)


def test_documents_search_results_and_marks_are_read() -> None:
    source = {"type": "content", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}
    found = {"type": "search_result", "source": "https://x", "title": "T", "content": [{"type": "text", "text": "c"}]}
    document = {"type": "document", "title": "D", "context": "Old", "source": source}
    conversation = read(
        messages=[{"role": "user", "content": [document, found]}], cache_control={"type": "ephemeral", "ttl": "1h"}
    )
    context, text, result = conversation.messages[0].content
    assert context == Text("Old")
    assert text == Document("D", "text/plain", text="a\nb")
    assert result == Text("T\nhttps://x\nc", cache="1h")


@pytest.mark.parametrize(
    ("status", "body", "kind", "refusal"),
    [
        (400, {"type": "invalid_request_error", "message": "prompt is too long: 5 > 4"}, "caller", "context_window"),
        (400, {"type": "x", "message": "Output blocked by content filtering policy"}, "caller", "content_policy"),
        (400, {"type": "invalid_request_error", "message": "Your credit balance is too low"}, "credential", ""),
        (413, {"type": "request_too_large", "message": "large"}, "caller", ""),
        (429, {"type": "rate_limit_error", "message": "slow"}, "rate_limited", ""),
        (529, {"type": "overloaded_error", "message": "Overloaded"}, "overloaded", ""),
        (500, {"type": "api_error", "message": "x"}, "overloaded", ""),
        (402, {"type": "billing_error", "message": "x"}, "credential", ""),
    ],
)  # fmt: skip
def test_errors_are_typed(status: int, body: dict[str, str], kind: str, refusal: str) -> None:
    error = MESSAGES.error(status, httpx.Headers(), json.dumps({"type": "error", "error": body}).encode())
    assert (error.kind, error.refusal) == (kind, refusal)


@pytest.mark.parametrize(
    ("reason", "stop"),
    [
        ("end_turn", "stop"),
        ("pause_turn", "stop"),
        ("stop_sequence", "stop_sequence"),
        ("model_context_window_exceeded", "length"),
        ("refusal", "content_filter"),
        ("something_new", "stop"),
    ],
)
def test_reasons_to_stop(reason: str, stop: str) -> None:
    body = {"content": [], "stop_reason": reason, "stop_details": {"type": "refusal", "explanation": "No."}}
    reply = MESSAGES.read(json.dumps(body).encode())
    assert reply.stop == stop
    assert bool(reply.content) is (reason == "refusal")


def test_blocks_of_servers_tools_are_passed_over_and_blocks_that_mix_are_refused() -> None:
    start = {"type": "message_start", "message": {"id": "m"}}
    server = {"type": "content_block_start", "index": 0, "content_block": {"type": "server_tool_use", "id": "s"}}
    delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": "{}"}}
    stop = {"type": "content_block_stop", "index": 0}
    text = {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": "x"}}
    data = b"".join(b"data: %s\n\n" % json.dumps(event).encode() for event in (start, server, delta, stop, text))
    events = MESSAGES.reader().feed(data)
    assert [getattr(event, "index", None) for event in events] == [None, 0, 0]
    for bad in (
        (start, start),
        (start, delta),
        (start, stop),
        (start, server, text),
        (text,),
        (start, {"type": "message_stop"}),
    ):
        reader = MESSAGES.reader()
        reader.feed(b"".join(b"data: %s\n\n" % json.dumps(event).encode() for event in bad))
        assert reader.error is not None
        assert (reader.error.kind, reader.finished) == ("malformed", False)
