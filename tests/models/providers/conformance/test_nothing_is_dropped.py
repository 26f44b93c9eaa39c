"""Nothing that a caller says is dropped in silence: every field of every front API, and every kind of content, changes
what each upstream is sent, or is named among what it could not be told, or is refused in words.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
from msgspec import Raw

from apps.gateway.fronts.messages import MessagesRequest
from apps.gateway.fronts.openai import ChatRequest
from apps.gateway.fronts.responses import ResponsesRequest
from apps.models.providers.base import Operation, Target, Unreadable, UpstreamCall
from apps.models.providers.composed import ComposedAdapter
from apps.models.providers.dialects import CHAT, CONVERSE, EMBEDDINGS, MESSAGES, RESPONSES
from apps.models.providers.dialects.base import ConversationDialect
from apps.models.providers.dialects.tgi import TgiDialect
from apps.models.providers.services import HeaderService
from tests.fakes.aws_models import service
from tests.models.providers.conformance.voices import PNG, SCHEMA

UPSTREAMS: dict[str, tuple[ConversationDialect, str, frozenset[str]]] = {
    "chat": (CHAT, "gpt-5", frozenset()),
    "responses": (RESPONSES, "gpt-5", frozenset()),
    "claude": (MESSAGES, "claude-sonnet-4-5", frozenset()),
    "newer claude": (MESSAGES, "claude-opus-5", frozenset()),
    "plain claude": (MESSAGES, "claude-3-haiku", frozenset({"tools"})),
    "claude on bedrock": (CONVERSE, "anthropic.claude-sonnet-4-5", frozenset()),
    "llama on bedrock": (CONVERSE, "meta.llama3", frozenset({"tools"})),
    "tgi": (TgiDialect(), "llama", frozenset()),
}
PDF = "JVBERi0xLjQ="
URL = f"data:image/png;base64,{PNG}"


@dataclass
class Case:
    """What is added to ``before`` makes ``after``; every text in it that begins with ``mark`` has to arrive."""

    what: str
    before: dict[str, Any]
    after: dict[str, Any]
    path: str


# What happens there anyway: a form is always held to, and thought is shown where there is any.
ANYWAY = {
    *((what, upstream) for what in ("form.strict", "summary") for upstream in ("claude", "newer claude")),
    ("form.strict", "claude on bedrock"),
    ("summary", "claude on bedrock"),
}


@dataclass
class Front:
    operation: Operation
    known: frozenset[str]  # the top-level fields of its API
    ours: frozenset[str]  # of them, those that Lobby itself heeds, so that an upstream need not
    base: dict[str, Any]
    cases: list[Case] = field(default_factory=list)

    def top(self, name: str, value: Any, **given: Any) -> None:
        """A top-level field, beside the ``given`` ones."""
        before = {**self.base, **given}
        self.cases.append(Case(name, before, {**before, name: value}, name))

    def inside(self, what: str, path: str, value: Any, **given: Any) -> None:
        """A field at ``path`` (``messages.0.name``) of the base with the ``given`` fields; an item of a list, too."""
        before = {**self.base, **given}
        after = copy.deepcopy(before)
        at: Any = after
        *steps, last = path.split(".")
        for step in steps:
            at = at[int(step)] if isinstance(at, list) else at[step]
        if isinstance(at, list):
            at.append(value)
        else:
            at[last] = value
        self.cases.append(Case(what, before, after, path))


def chat() -> Front:
    hello = {"role": "user", "content": [{"type": "text", "text": "Hello"}]}
    front = Front(
        "chat.completions",
        frozenset(ChatRequest.__struct_fields__),
        frozenset({"model", "messages", "stream", "stream_options", "prompt", "lobby"}),
        {"model": "m", "messages": [hello]},
    )
    weather: dict[str, Any] = {"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}
    form = {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA}}
    tools = {"tools": [weather, {"type": "function", "function": {"name": "time"}}]}
    for name, value in {
        "max_tokens": 77, "max_completion_tokens": 77, "n": 2, "temperature": 0.5, "top_p": 0.5, "top_k": 5,
        "presence_penalty": 0.5, "frequency_penalty": 0.5, "logit_bias": {"5": 1}, "logprobs": True, "top_logprobs": 2,
        "stop": ["mark"], "seed": 7, "user": "mark", "tools": [weather], "functions": [{"name": "f"}],
        "function_call": "auto", "response_format": form, "reasoning_effort": "high",
        "modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "wav"},
        "prediction": {"type": "content", "content": "x"}, "metadata": {"a": "b"}, "store": True,
        "service_tier": "flex", "verbosity": "low", "prompt_cache_key": "x", "safety_identifier": "x",
        "web_search_options": {}, "vendor_extension": 1,
    }.items():  # fmt: skip
        front.top(name, value)
    front.top("response_format", {"type": "json_object"})
    front.top("tool_choice", "required", **tools)
    front.top("tool_choice", {"type": "function", "function": {"name": "time"}}, **tools)
    front.top("parallel_tool_calls", False, **tools)
    front.inside("strict", "tools.0.function.strict", True, tools=[weather])
    front.inside("description", "tools.0.function.description", "mark", tools=[weather])
    front.inside("tools", "tools.-1", {"type": "custom", "custom": {"name": "x"}}, tools=[weather])
    schema = "response_format.json_schema"
    front.inside("form.strict", f"{schema}.strict", True, response_format=form)
    front.inside("description", f"{schema}.description", "mark", response_format=form)
    for part in (
        {"type": "text", "text": "mark"},
        {"type": "image_url", "image_url": {"url": URL}},
        {"type": "image_url", "image_url": {"url": "https://example.com/mark.png"}},
        {"type": "input_audio", "input_audio": {"data": PDF, "format": "wav"}},
        {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{PDF}", "filename": "mark"}},
        {"type": "file", "file": {"file_id": "file-1"}},
        {"type": "video_url", "video_url": {"url": URL}},
    ):
        front.inside(str(part["type"]), "messages.0.content.-1", part)
    image = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": URL}}]}
    front.inside("detail", "messages.0.content.0.image_url.detail", "low", messages=[image])
    call = {"id": "mark_1", "type": "function", "function": {"name": "weather", "arguments": '{"a":"mark"}'}}
    custom = {"id": "c", "type": "custom", "custom": {"name": "x", "input": "y"}}
    result = {"role": "tool", "tool_call_id": "mark_1", "content": "mark"}
    answer: dict[str, Any] = {"role": "assistant", "content": "Hi"}
    for role in ("user", "assistant", "system"):
        front.inside("name", "messages.0.name", "mark", messages=[{"role": role, "content": "Hi"}, hello])
    for name, value in {
        "refusal": "mark", "tool_calls": [call], "reasoning_content": "mark", "audio": {"id": "audio_1"},
        "reasoning_details": [{"type": "reasoning.text", "text": "mark", "signature": "x"}],
        "function_call": {"name": "weather", "arguments": "{}"},
    }.items():  # fmt: skip
        front.inside(name, f"messages.1.{name}", value, messages=[hello, answer, hello])
    encrypted = [{"type": "reasoning.encrypted", "data": "mark"}]
    front.inside("reasoning", "messages.1.reasoning_details", encrypted, messages=[hello, answer, hello])
    front.inside("tool_calls", "messages.1.tool_calls", [custom], messages=[hello, answer, hello])
    front.inside("tool", "messages.-1", result, messages=[hello, {**answer, "tool_calls": [call]}], **tools)
    front.inside("developer", "messages.-1", {"role": "developer", "content": "mark"})
    return front


def responses() -> Front:
    hello = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello"}]}
    front = Front(
        "responses",
        frozenset(ResponsesRequest.__struct_fields__),
        # Kept and given back by Lobby's own memory; a background and a conversation the front refuses.
        frozenset({"model", "input", "stream", "stream_options", "prompt", "lobby", "store", "previous_response_id",
                   "metadata", "background", "conversation"}),
        {"model": "m", "input": [hello]},
    )  # fmt: skip
    weather = {"type": "function", "name": "weather", "parameters": SCHEMA}
    form = {"type": "json_schema", "name": "answer", "schema": SCHEMA}
    tools = {"tools": [weather, {"type": "function", "name": "time", "parameters": SCHEMA}]}
    for name, value in {
        "instructions": "mark", "max_output_tokens": 77, "max_tool_calls": 2, "temperature": 0.5, "top_p": 0.5,
        "top_logprobs": 2, "tools": [weather], "text": {"format": form}, "reasoning": {"effort": "high"},
        "include": ["message.output_text.logprobs"], "truncation": "auto", "service_tier": "flex", "user": "mark",
        "safety_identifier": "x", "prompt_cache_key": "x", "vendor_extension": 1,
    }.items():  # fmt: skip
        front.top(name, value)
    front.top("text", {"verbosity": "low"})
    front.top("text", {"format": {"type": "json_object"}})
    front.top("tool_choice", "required", **tools)
    front.top("tool_choice", {"type": "function", "name": "time"}, **tools)
    front.top("tool_choice", {"type": "file_search"}, **tools)
    front.top("parallel_tool_calls", False, **tools)
    front.inside("summary", "reasoning.summary", "detailed", reasoning={"effort": "high"})
    front.inside("strict", "tools.0.strict", True, tools=[weather])
    front.inside("description", "tools.0.description", "mark", tools=[weather])
    front.inside("tools", "tools.-1", {"type": "web_search"}, tools=[weather])
    front.inside("form.strict", "text.format.strict", True, text={"format": form})
    front.inside("description", "text.format.description", "mark", text={"format": form})
    for part in (
        {"type": "input_text", "text": "mark"},
        {"type": "input_image", "image_url": URL},
        {"type": "input_image", "file_id": "file-1"},
        {"type": "input_file", "file_data": f"data:application/pdf;base64,{PDF}", "filename": "mark"},
        {"type": "input_file", "file_url": "https://example.com/mark.pdf"},
        {"type": "input_audio", "input_audio": {"data": PDF, "format": "wav"}},
    ):
        front.inside(str(part["type"]), "input.0.content.-1", part)
    image = {"role": "user", "content": [{"type": "input_image", "image_url": URL}]}
    front.inside("detail", "input.0.content.0.detail", "low", input=[image])
    call = {"type": "function_call", "call_id": "mark_1", "name": "weather", "arguments": '{"a":"mark"}'}
    for item in (
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "mark"}]},
        {"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "mark"}]},
        {"type": "message", "role": "developer", "content": "mark"},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "mark"}]},
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "mark"},
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "redacted:mark"},
        {"type": "item_reference", "id": "msg_1"},
        {"type": "web_search_call", "id": "ws_1", "status": "completed"},
        {"type": "custom_tool_call", "call_id": "c", "name": "x", "input": "y"},
        call,
    ):
        front.inside(str(item["type"]), "input.-1", item, **tools)
    output = {"type": "function_call_output", "call_id": "mark_1", "output": [{"type": "input_text", "text": "mark"}]}
    front.inside("function_call_output", "input.-1", output, input=[hello, call], **tools)
    picture = {"type": "function_call_output", "call_id": "mark_1", "output": image["content"]}
    front.inside("function_call_output", "input.-1", picture, input=[hello, call], **tools)
    return front


def messages(operation: Literal["messages", "invoke"] = "messages") -> Front:
    hello = {"role": "user", "content": [{"type": "text", "text": "Hello"}]}
    named: dict[str, Any] = {"anthropic_version": "bedrock-2023-05-31"} if operation == "invoke" else {"model": "m"}
    front = Front(
        operation,
        frozenset(MessagesRequest.__struct_fields__),
        frozenset({"model", "messages", "stream", "prompt", "lobby"}),
        {**named, "messages": [hello], "max_tokens": 20_000},
    )
    weather = {"name": "weather", "input_schema": SCHEMA}
    tools = {"tools": [weather, {"name": "time", "input_schema": SCHEMA}]}
    cache = {"type": "ephemeral"}
    form = {"type": "json_schema", "schema": SCHEMA}
    for name, value in {
        "max_tokens": 77, "system": "mark", "temperature": 0.5, "top_p": 0.5, "top_k": 5, "stop_sequences": ["mark"],
        "tools": [weather], "thinking": {"type": "enabled", "budget_tokens": 3_000}, "output_config": {"format": form},
        "output_format": form, "metadata": {"user_id": "mark"}, "cache_control": cache, "service_tier": "standard_only",
        "container": "x", "context_management": {"edits": []}, "mcp_servers": [{"type": "url", "url": "x"}],
        "inference_geo": "us", "speed": "fast", "vendor_extension": 1,
    }.items():  # fmt: skip
        front.top(name, value)
    if operation == "invoke":
        front.top("anthropic_beta", ["x"])
    front.top("output_config", {"effort": "low"})
    front.top("output_config", {"effort": "max"})
    front.top("thinking", {"type": "adaptive", "display": "omitted"})
    front.top("tool_choice", {"type": "any"}, **tools)
    front.top("tool_choice", {"type": "tool", "name": "time"}, **tools)
    front.top("tool_choice", {"type": "auto", "disable_parallel_tool_use": True}, **tools)
    front.inside("description", "tools.0.description", "mark", tools=[weather])
    front.inside("strict", "tools.0.strict", True, tools=[weather])
    front.inside("cache_control", "tools.0.cache_control", cache, tools=[weather])
    front.inside("defer_loading", "tools.0.defer_loading", True, tools=[weather])
    front.inside("web_search", "tools.-1", {"type": "web_search_20250305", "name": "web_search"}, tools=[weather])
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
    document = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": PDF}}
    plain = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "mark"}}
    blocks = [{"type": "content", "content": [{"type": "text", "text": "mark"}]}]
    found = {
        "type": "search_result",
        "source": "mark-a",
        "title": "mark-b",
        "content": [{"type": "text", "text": "mark-c"}],
    }
    for part in (
        {"type": "text", "text": "mark"},
        image,
        {"type": "image", "source": {"type": "url", "url": "https://example.com/mark.png"}},
        {"type": "image", "source": {"type": "file", "file_id": "x"}},
        document, plain, found,
        {"type": "document", "source": blocks[0]},
        {"type": "document", "source": {"type": "url", "url": "https://example.com/mark.pdf"}},
        {"type": "container_upload", "file_id": "x"},
    ):  # fmt: skip
        front.inside(str(part["type"]), "messages.0.content.-1", part)
    for name, value in {
        "title": "mark",
        "context": "mark",
        "citations": {"enabled": True},
        "cache_control": cache,
    }.items():
        for each in (document, plain):
            front.inside(name, f"messages.0.content.0.{name}", value, messages=[{"role": "user", "content": [each]}])
    front.inside("cache_control", "messages.0.content.0.cache_control", cache)
    front.inside("citations", "system.0.citations", [{}], system=[{"type": "text", "text": "Hi"}])
    use = {"type": "tool_use", "id": "mark_1", "name": "weather", "input": {"a": "mark"}}
    answer = {"role": "assistant", "content": [{"type": "text", "text": "Hi"}]}
    for part in (
        use,
        {"type": "thinking", "thinking": "mark", "signature": "x"},
        {"type": "redacted_thinking", "data": "mark"},
        {"type": "server_tool_use", "id": "x", "name": "web_search", "input": {}},
    ):
        front.inside(str(part["type"]), "messages.1.content.-1", part, messages=[hello, answer, hello], **tools)
    result = {"type": "tool_result", "tool_use_id": "mark_1", "content": [{"type": "text", "text": "mark"}]}
    said = [hello, {"role": "assistant", "content": [use]}, {"role": "user", "content": [result]}]
    for name, value in {"is_error": True, "cache_control": cache, "content": [image]}.items():
        front.inside(name, f"messages.2.content.0.{name}", value, messages=said, **tools)
    front.inside("cache_control", "messages.2.content.0.content.0.cache_control", cache, messages=said, **tools)
    return front


def converse() -> Front:
    hello = {"role": "user", "content": [{"text": "Hello"}]}
    members = service("bedrock-runtime").operation_model("Converse").input_shape.members
    front = Front(
        "converse",
        frozenset(members),
        frozenset({"modelId", "messages"}),
        {"messages": [hello], "inferenceConfig": {"maxTokens": 20_000}},
    )
    weather: dict[str, Any] = {"toolSpec": {"name": "weather", "inputSchema": {"json": SCHEMA}}}
    clock: dict[str, Any] = {"toolSpec": {"name": "time", "inputSchema": {"json": SCHEMA}}}
    tools = {"toolConfig": {"tools": [weather, clock]}}
    structure = {"jsonSchema": {"schema": json.dumps(SCHEMA), "name": "answer"}}
    form = {"textFormat": {"type": "json_schema", "structure": structure}}
    point = {"cachePoint": {"type": "default"}}
    for name, value in {
        "system": [{"text": "mark"}], "toolConfig": {"tools": [weather]}, "outputConfig": form,
        "inferenceConfig": {"maxTokens": 77},
        "additionalModelRequestFields": {"thinking": {"type": "enabled", "budget_tokens": 3_000}},
        "guardrailConfig": {"guardrailIdentifier": "x", "guardrailVersion": "1"}, "requestMetadata": {"a": "b"},
        "promptVariables": {"a": {"text": "b"}}, "additionalModelResponseFieldPaths": ["/x"],
        "performanceConfig": {"latency": "optimized"}, "serviceTier": {"type": "flex"}, "vendor_extension": 1,
    }.items():  # fmt: skip
        front.top(name, value)
    for name in ("top_k", "reasoning_effort", "vendor_extension"):
        more = {name: "high" if name == "reasoning_effort" else 5}
        front.cases.append(Case(name, front.base, {**front.base, "additionalModelRequestFields": more}, name))
    for name, value in {"temperature": 0.5, "topP": 0.5, "stopSequences": ["mark"]}.items():
        front.inside(name, f"inferenceConfig.{name}", value)
    front.top("outputConfig", {"effort": "high"})
    front.inside("description", "outputConfig.textFormat.structure.jsonSchema.description", "mark", outputConfig=form)
    front.inside("toolChoice", "toolConfig.toolChoice", {"any": {}}, **tools)
    front.inside("toolChoice", "toolConfig.toolChoice", {"tool": {"name": "time"}}, **tools)
    front.inside("description", "toolConfig.tools.0.toolSpec.description", "mark", **tools)
    front.inside("strict", "toolConfig.tools.0.toolSpec.strict", True, **tools)
    front.inside("tools", "toolConfig.tools.-1", {"systemTool": {"name": "x"}}, **tools)
    front.inside("cachePoint", "toolConfig.tools.-1", point, **tools)
    front.inside("cachePoint", "system.-1", point, system=[{"text": "Hi"}])
    front.inside("guardContent", "system.-1", {"guardContent": {"text": {"text": "mark"}}}, system=[{"text": "Hi"}])
    image = {"image": {"format": "png", "source": {"bytes": PNG}}}
    document = {"document": {"format": "pdf", "name": "mark", "source": {"bytes": PDF}}}
    found = {"searchResult": {"source": "mark-a", "title": "mark-b", "content": [{"text": "mark-c"}], "citations": {}}}
    parts: list[dict[str, Any]] = [
        {"text": "mark"}, image, document, found, point,
        {"document": {"format": "txt", "name": "mark", "source": {"text": "mark2"}}},
        {"document": {"format": "txt", "name": "mark", "source": {"content": [{"text": "mark2"}]}}},
        {"document": {"format": "pdf", "name": "x", "source": {"s3Location": {"uri": "s3://x"}}}},
        {"audio": {"format": "wav", "source": {"bytes": PDF}}},
        {"video": {"format": "mp4", "source": {"bytes": PDF}}},
        {"guardContent": {"text": {"text": "mark", "qualifiers": ["query"]}}},
    ]  # fmt: skip
    for part in parts:
        front.inside(next(iter(part)), "messages.0.content.-1", part)
    for name, value in {"context": "mark", "citations": {"enabled": True}}.items():
        given = [{"role": "user", "content": [{"text": "Hi"}, document]}]
        front.inside(name, f"messages.0.content.1.document.{name}", value, messages=given)
    enabled = {"enabled": True}
    given = [{"role": "user", "content": [found]}]
    front.inside("citations", "messages.0.content.0.searchResult.citations", enabled, messages=given)
    use = {"toolUse": {"toolUseId": "mark_1", "name": "weather", "input": {"a": "mark"}}}
    answer = {"role": "assistant", "content": [{"text": "Hi"}]}
    thought = {"reasoningText": {"text": "mark", "signature": "x"}}
    for part in (
        use,
        {"reasoningContent": thought},
        {"reasoningContent": {"redactedContent": "bWFyaw=="}},
        {"citationsContent": {"content": [{"text": "mark"}], "citations": []}},
    ):
        front.inside(next(iter(part)), "messages.1.content.-1", part, messages=[hello, answer, hello], **tools)
    after = {"role": "assistant", "content": [{"text": "Hi"}, {"reasoningContent": thought}]}
    front.inside("cachePoint", "messages.1.content.-1", point, messages=[hello, after, hello])
    for content in ({"text": "mark"}, {"json": {"a": "mark"}}, image, document, found):
        result = {"toolResult": {"toolUseId": "mark_1", "content": [{"text": "Hi"}]}}
        said = [hello, {"role": "assistant", "content": [use]}, {"role": "user", "content": [result]}]
        front.inside("toolResult", "messages.2.content.0.toolResult.content.-1", content, messages=said, **tools)
        front.inside("status", "messages.2.content.0.toolResult.status", "error", messages=said, **tools)
    return front


FRONTS = {
    "chat": chat(),
    "responses": responses(),
    "messages": messages(),
    "invoke": messages("invoke"),
    "converse": converse(),
}


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for each in value.values():
            yield from texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from texts(each)
    elif isinstance(value, str):
        yield value


def prepared(operation: Operation, fields: dict[str, Any], upstream: str) -> tuple[str, set[str]]:
    dialect, model, capabilities = UPSTREAMS[upstream]
    target = Target("https://example.com", model, "key", capabilities=capabilities, max_output_tokens=64_000)
    native = {} if upstream == "tgi" else {dialect.operation: dialect}
    adapter = ComposedAdapter(HeaderService(lambda target, *_: target.base_url), native, into=dialect)
    raw = {name: Raw(json.dumps(value).encode()) for name, value in fields.items()}
    call = UpstreamCall(operation, raw, wants_usage=True, model="m", content=json.dumps(fields).encode())
    done = adapter.prepare(target, call, attempt_id="a")
    return done.request.read().decode(), set(done.dropped)


@pytest.mark.parametrize("upstream", UPSTREAMS)
@pytest.mark.parametrize("front", FRONTS)
def test_what_is_said_arrives_or_is_named_or_refused(front: str, upstream: str) -> None:
    silent = []
    for case in FRONTS[front].cases:
        if (case.what, upstream) in ANYWAY:
            continue
        try:
            body, dropped = prepared(FRONTS[front].operation, case.before, upstream)
            changed, now_dropped = prepared(FRONTS[front].operation, case.after, upstream)
        except Unreadable:
            continue
        # Of what was named before as a whole, its parts need no name of their own.
        news = now_dropped - dropped or any(case.path.startswith(name) for name in dropped)
        before = set(texts(case.before))
        marks = [text for text in texts(case.after) if text not in before and text.startswith("mark")]
        if not news and (changed == body or not all(mark in changed for mark in marks)):
            silent.append((case.what, case.after))
    assert not silent, "\n".join(f"{what}: {json.dumps(after)[:600]}" for what, after in silent)


@pytest.mark.parametrize(
    ("front", "header"), [("messages", "anthropic-beta"), ("invoke", "x-amzn-bedrock-guardrailidentifier")]
)
def test_a_header_that_asks_for_something_is_named_where_another_api_is_spoken(front: str, header: str) -> None:
    fields = {name: Raw(json.dumps(value).encode()) for name, value in FRONTS[front].base.items()}
    call = UpstreamCall(FRONTS[front].operation, fields, model="m", headers={"accept": "*/*", header: "x"})
    adapter = ComposedAdapter(HeaderService(lambda target, *_: target.base_url), {}, into=CHAT)
    assert adapter.prepare(Target("https://example.com", "m"), call, attempt_id="a").dropped == (header,)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"inputText": "Hello", "dimensions": 256, "normalize": True}, ()),
        ({"inputText": "Hello", "normalize": False}, ("normalize",)),
        ({"texts": ["Hello"], "input_type": "search_query", "truncate": "NONE"}, ("input_type",)),
        ({"texts": ["Hello"], "input_type": "search_query", "truncate": "END"}, ("truncate", "input_type")),
    ],
)
def test_what_is_asked_of_embeddings_arrives_or_is_named(fields: dict[str, Any], named: tuple[str, ...]) -> None:
    raw = {name: Raw(json.dumps(value).encode()) for name, value in fields.items()}
    adapter = ComposedAdapter(HeaderService(lambda target, *_: target.base_url), {}, into=CHAT, embeddings=EMBEDDINGS)
    done = adapter.prepare(Target("https://example.com", "m"), UpstreamCall("invoke", raw, model="m"), attempt_id="a")
    assert done.dropped == named


@pytest.mark.parametrize("front", FRONTS)
def test_every_field_of_the_api_is_among_the_cases(front: str) -> None:
    tried = {case.what for case in FRONTS[front].cases}
    assert FRONTS[front].known - FRONTS[front].ours <= tried
