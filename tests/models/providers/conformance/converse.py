"""Amazon Bedrock's Converse, spoken: its streams written apart from ours, and read by botocore."""

from __future__ import annotations

import json
from typing import Any

from botocore.eventstream import EventStreamBuffer

from apps.models.providers.base import Operation, Usage
from tests.fakes.aws_frames import event
from tests.fakes.aws_models import check, service
from tests.models.providers.conformance.voices import SCHEMA, Asked, Said, Turn, pieces

STOPS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "content_filtered"}
BUDGETS = {"low": 2_048, "medium": 8_192, "high": 24_576}
INPUT = service("bedrock-runtime").operation_model("Converse").input_shape
OUTPUT = service("bedrock-runtime").operation_model("Converse").output_shape
EVENTS = service("bedrock-runtime").operation_model("ConverseStream").output_shape.members["stream"]


class ConverseVoice:
    """What is asked and answered is held against botocore's model of the service."""

    operation: Operation = "converse"
    model = "eu.anthropic.claude"
    tells = frozenset({"input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens", "cache_write_1h_tokens"})
    signs = True
    lacks = frozenset({"parallel"})

    def request(self, asked: Asked, *, stream: bool) -> dict[str, Any]:
        messages = []
        for turn in asked.turns:
            content: list[dict[str, Any]] = [
                {"toolResult": {"toolUseId": id, "content": [{"text": text}]}} for id, text in turn.results
            ]
            content += [{"text": turn.text}] if turn.text else []
            content += [{"image": {"format": "png", "source": {"bytes": data}}} for data in turn.images]
            content += [{"toolUse": {"toolUseId": i, "name": n, "input": json.loads(a)}} for i, n, a in turn.calls]
            messages.append({"role": turn.role, "content": content})
        config: dict[str, Any] = {"maxTokens": asked.max_tokens}
        if asked.stop:
            config["stopSequences"] = list(asked.stop)
        if asked.temperature is not None:
            config["temperature"] = asked.temperature
        if asked.top_p is not None:
            config["topP"] = asked.top_p
        fields: dict[str, Any] = {"messages": messages, "inferenceConfig": config}
        if asked.system:
            fields["system"] = [{"text": asked.system}]
        if asked.tools:
            tools = [{"toolSpec": {"name": name, "inputSchema": {"json": SCHEMA}}} for name in asked.tools]
            fields["toolConfig"] = {"tools": tools}
        if asked.choice:
            named = {"tool": {"name": asked.choice}}
            fields["toolConfig"]["toolChoice"] = {"any": {}} if asked.choice == "required" else named
        if asked.schema is not None:
            definition = {"jsonSchema": {"schema": json.dumps(asked.schema), "name": "answer"}}
            fields["outputConfig"] = {"textFormat": {"type": "json_schema", "structure": definition}}
        if asked.effort:
            thinking = {"type": "enabled", "budget_tokens": BUDGETS[asked.effort]}
            fields["additionalModelRequestFields"] = {"thinking": thinking}
        return fields

    def understood(self, body: bytes) -> Asked:
        fields = json.loads(body)
        check(INPUT, fields)
        turns = []
        for message in fields["messages"]:
            blocks = message["content"]
            uses = [block["toolUse"] for block in blocks if "toolUse" in block]
            results = [block["toolResult"] for block in blocks if "toolResult" in block]
            turns.append(
                Turn(
                    message["role"],
                    "".join(block["text"] for block in blocks if "text" in block),
                    tuple(block["image"]["source"]["bytes"] for block in blocks if "image" in block),
                    tuple((use["toolUseId"], use["name"], json.dumps(use["input"])) for use in uses),
                    tuple((each["toolUseId"], "".join(part["text"] for part in each["content"])) for each in results),
                )
            )
        config, tools = fields.get("inferenceConfig", {}), fields.get("toolConfig", {})
        match tools.get("toolChoice", {}):
            case {"any": _}:
                choice = "required"
            case {"tool": {"name": name}}:
                choice = name
            case _:
                choice = ""
        budget = fields.get("additionalModelRequestFields", {}).get("thinking", {}).get("budget_tokens")
        form = fields.get("outputConfig", {}).get("textFormat")
        return Asked(
            tuple(turns),
            "".join(block["text"] for block in fields.get("system", [])),
            tuple(tool["toolSpec"]["name"] for tool in tools.get("tools", [])),
            choice,
            True,
            json.loads(form["structure"]["jsonSchema"]["schema"]) if form else None,
            next((effort for effort, tokens in BUDGETS.items() if tokens == budget), ""),
            config["maxTokens"],
            tuple(config.get("stopSequences", [])),
            config.get("temperature"),
            config.get("topP"),
        )

    def plain(self, said: Said) -> bytes:
        content: list[dict[str, Any]] = []
        if said.thinking:
            thought = {"text": said.thinking, "signature": said.signature}
            content.append({"reasoningContent": {"reasoningText": thought}})
        if said.text:
            content.append({"text": said.text})
        content += [{"toolUse": {"toolUseId": i, "name": n, "input": json.loads(a)}} for i, n, a in said.calls]
        answer = {
            "output": {"message": {"role": "assistant", "content": content}},
            "stopReason": STOPS[said.stop],
            "usage": self._usage(said.usage),
            "metrics": {"latencyMs": 1},
        }
        check(OUTPUT, answer)
        return json.dumps(answer).encode()

    def stream(self, said: Said) -> bytes:
        events: list[tuple[str, dict[str, Any]]] = [("messageStart", {"role": "assistant"})]
        blocks: list[tuple[dict[str, Any] | None, list[dict[str, Any]]]] = []
        if said.thinking:
            thoughts: list[dict[str, Any]] = [{"text": piece} for piece in pieces(said.thinking)]
            blocks.append((None, [{"reasoningContent": each} for each in [*thoughts, {"signature": said.signature}]]))
        if said.text:
            blocks.append((None, [{"text": piece} for piece in pieces(said.text)]))
        for id, name, arguments in said.calls:
            start = {"toolUse": {"toolUseId": id, "name": name}}
            blocks.append((start, [{"toolUse": {"input": piece}} for piece in ["", *pieces(arguments)]]))
        for index, (begin, deltas) in enumerate(blocks):
            if begin is not None:
                events.append(("contentBlockStart", {"contentBlockIndex": index, "start": begin}))
            events += [("contentBlockDelta", {"contentBlockIndex": index, "delta": delta}) for delta in deltas]
            events.append(("contentBlockStop", {"contentBlockIndex": index}))
        events.append(("messageStop", {"stopReason": STOPS[said.stop]}))
        events.append(("metadata", {"usage": self._usage(said.usage), "metrics": {"latencyMs": 1}}))
        return b"".join(event(name, json.dumps(payload).encode()) for name, payload in events)

    def seen(self, body: bytes) -> Said:
        answer = json.loads(body)
        check(OUTPUT, answer)
        return self._said(answer["output"]["message"]["content"], answer["stopReason"], answer["usage"])

    def seen_stream(self, data: bytes) -> Said:
        buffer = EventStreamBuffer()
        buffer.add_data(data)
        names, stop, usage = [], "", dict[str, Any]()
        blocks: dict[int, dict[str, Any]] = {}
        for message in buffer:
            name, payload = message.headers[":event-type"], json.loads(message.payload)
            check(EVENTS.members[name], payload)
            names.append(name)
            match payload:
                case {"contentBlockIndex": index, "start": {"toolUse": use}}:
                    assert index not in blocks
                    blocks[index] = {"toolUse": {**use, "input": ""}}
                case {"contentBlockIndex": index, "delta": {"text": text}}:
                    blocks.setdefault(index, {"text": ""})["text"] += text
                case {"contentBlockIndex": index, "delta": {"toolUse": {"input": text}}}:
                    blocks[index]["toolUse"]["input"] += text
                case {"contentBlockIndex": index, "delta": {"reasoningContent": thought}}:
                    empty = {"reasoningContent": {"reasoningText": {"text": "", "signature": ""}}}
                    kept = blocks.setdefault(index, empty)["reasoningContent"]["reasoningText"]
                    for key, value in thought.items():
                        kept[key] += value
                case {"stopReason": reason}:
                    stop = reason
                case {"usage": told}:
                    usage = told
        assert names[0] == "messageStart"
        assert names[-2:] == ["messageStop", "metadata"]
        assert names.count("contentBlockStop") == len(blocks)
        for block in blocks.values():
            if "toolUse" in block:
                block["toolUse"]["input"] = json.loads(block["toolUse"]["input"] or "{}")
        return self._said(list(blocks.values()), stop, usage)

    def _said(self, content: list[dict[str, Any]], stop: str, usage: dict[str, Any]) -> Said:
        thoughts = [block["reasoningContent"]["reasoningText"] for block in content if "reasoningContent" in block]
        uses = [block["toolUse"] for block in content if "toolUse" in block]
        return Said(
            "".join(block["text"] for block in content if "text" in block),
            "".join(thought["text"] for thought in thoughts),
            "".join(thought.get("signature", "") for thought in thoughts),
            tuple((use["toolUseId"], use["name"], json.dumps(use["input"])) for use in uses),
            next(ours for ours, theirs in STOPS.items() if theirs == stop),
            self._told(usage),
        )

    def _usage(self, usage: Usage) -> dict[str, Any]:
        told: dict[str, Any] = {
            "inputTokens": usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens,
            "outputTokens": usage.output_tokens,
            "totalTokens": usage.input_tokens + usage.output_tokens,
            "cacheReadInputTokens": usage.cached_tokens,
            "cacheWriteInputTokens": usage.cache_write_tokens,
        }
        if usage.cache_write_1h_tokens:
            told["cacheDetails"] = [{"ttl": "1h", "inputTokens": usage.cache_write_1h_tokens}]
        return told

    def _told(self, usage: dict[str, Any]) -> Usage:
        read, wrote = usage["cacheReadInputTokens"], usage["cacheWriteInputTokens"]
        total = usage["inputTokens"] + read + wrote
        assert usage["totalTokens"] == total + usage["outputTokens"]
        details = usage.get("cacheDetails", [])
        return Usage(
            total,
            usage["outputTokens"],
            cached_tokens=read,
            cache_write_tokens=wrote,
            cache_write_1h_tokens=sum(each["inputTokens"] for each in details if each["ttl"] == "1h"),
        )
