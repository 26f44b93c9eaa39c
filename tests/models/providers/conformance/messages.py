"""Anthropic's Messages API, spoken."""

from __future__ import annotations

import json
from typing import Any

from apps.models.providers.base import Operation, Usage
from tests.models.providers.conformance.voices import SCHEMA, Asked, Said, Turn, pieces

STOPS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}
CHOICES = {"auto": "auto", "none": "none", "required": "any"}
BUDGETS = {"low": 2_048, "medium": 8_192, "high": 24_576}


class MessagesVoice:
    operation: Operation = "messages"
    tells = frozenset(
        {"input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens", "cache_write_1h_tokens"}
        | {"reasoning_tokens"}
    )
    signs = True
    model = "upstream-model"
    lacks: frozenset[str] = frozenset()

    def request(self, asked: Asked, *, stream: bool) -> dict[str, Any]:
        messages = []
        for turn in asked.turns:
            content: list[dict[str, Any]] = [
                {"type": "tool_result", "tool_use_id": id, "content": [{"type": "text", "text": text}]}
                for id, text in turn.results
            ]
            content += [{"type": "text", "text": turn.text}] if turn.text else []
            sources = ({"type": "base64", "media_type": "image/png", "data": data} for data in turn.images)
            content += [{"type": "image", "source": source} for source in sources]
            content += [{"type": "tool_use", "id": i, "name": n, "input": json.loads(a)} for i, n, a in turn.calls]
            messages.append({"role": turn.role, "content": content})
        fields: dict[str, Any] = {"messages": messages, "max_tokens": asked.max_tokens}
        if asked.system:
            fields["system"] = asked.system
        if asked.tools:
            fields["tools"] = [{"name": name, "input_schema": SCHEMA} for name in asked.tools]
        if asked.choice:
            named = {"type": "tool", "name": asked.choice}
            fields["tool_choice"] = {"type": CHOICES[asked.choice]} if asked.choice in CHOICES else named
        if not asked.parallel:
            fields.setdefault("tool_choice", {"type": "auto"})["disable_parallel_tool_use"] = True
        if asked.schema is not None:
            fields["output_config"] = {"format": {"type": "json_schema", "schema": asked.schema}}
        if asked.effort:
            fields["thinking"] = {"type": "enabled", "budget_tokens": BUDGETS[asked.effort]}
        if asked.stop:
            fields["stop_sequences"] = list(asked.stop)
        fields |= {n: v for n, v in (("temperature", asked.temperature), ("top_p", asked.top_p)) if v is not None}
        return {**fields, **({"stream": True} if stream else {})}

    def understood(self, body: bytes) -> Asked:
        fields = json.loads(body)
        turns = []
        for message in fields["messages"]:
            blocks = message["content"]
            blocks = [{"type": "text", "text": blocks}] if isinstance(blocks, str) else blocks
            turns.append(
                Turn(
                    message["role"],
                    "".join(block["text"] for block in blocks if block["type"] == "text"),
                    tuple(block["source"]["data"] for block in blocks if block["type"] == "image"),
                    tuple((b["id"], b["name"], json.dumps(b["input"])) for b in blocks if b["type"] == "tool_use"),
                    tuple(
                        (block["tool_use_id"], "".join(part["text"] for part in block["content"]))
                        for block in blocks
                        if block["type"] == "tool_result"
                    ),
                )
            )
        choice = dict(fields.get("tool_choice", {}))
        parallel = not choice.pop("disable_parallel_tool_use", False)
        names = {"any": "required", "auto": ""}
        kind: str = choice.get("type", "")
        thinking = fields.get("thinking", {})
        form = fields.get("output_config", {}).get("format")
        return Asked(
            tuple(turns),
            fields.get("system", ""),
            tuple(tool["name"] for tool in fields.get("tools", [])),
            choice["name"] if kind == "tool" else names.get(kind, kind),
            parallel,
            form["schema"] if form else None,
            next((effort for effort, budget in BUDGETS.items() if budget == thinking.get("budget_tokens")), ""),
            fields["max_tokens"],
            tuple(fields.get("stop_sequences", [])),
            fields.get("temperature"),
            fields.get("top_p"),
        )

    def plain(self, said: Said) -> bytes:
        content: list[dict[str, Any]] = []
        if said.thinking:
            content.append({"type": "thinking", "thinking": said.thinking, "signature": said.signature})
        if said.text:
            content.append({"type": "text", "text": said.text})
        content += [{"type": "tool_use", "id": i, "name": n, "input": json.loads(a)} for i, n, a in said.calls]
        head = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "stop_sequence": None}
        end = {"stop_reason": STOPS[said.stop], "usage": self._usage(said.usage)}
        return json.dumps({**head, "content": content, **end}).encode()

    def stream(self, said: Said) -> bytes:
        begun = self._usage(said.usage) | {"output_tokens": 1}
        message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [], "usage": begun}
        events: list[dict[str, Any]] = [{"type": "message_start", "message": message}, {"type": "ping"}]
        blocks: list[tuple[dict[str, Any], list[dict[str, Any]]]] = []
        if said.thinking:
            thoughts = [{"type": "thinking_delta", "thinking": piece} for piece in pieces(said.thinking)]
            signed = {"type": "signature_delta", "signature": said.signature}
            blocks.append(({"type": "thinking", "thinking": "", "signature": ""}, [*thoughts, signed]))
        if said.text:
            blocks.append(
                ({"type": "text", "text": ""}, [{"type": "text_delta", "text": p} for p in pieces(said.text)])
            )
        for id, name, arguments in said.calls:
            parts = [{"type": "input_json_delta", "partial_json": piece} for piece in ["", *pieces(arguments)]]
            blocks.append(({"type": "tool_use", "id": id, "name": name, "input": {}}, parts))
        for index, (block, deltas) in enumerate(blocks):
            events.append({"type": "content_block_start", "index": index, "content_block": block})
            events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
            events.append({"type": "content_block_stop", "index": index})
        delta = {"stop_reason": STOPS[said.stop], "stop_sequence": None}
        # The end repeats what the beginning told, as the API's own does, but not how the cache was written.
        usage = self._usage(said.usage)
        del usage["cache_creation"]
        events += [{"type": "message_delta", "delta": delta, "usage": usage}, {"type": "message_stop"}]
        return b"".join(b"event: %s\ndata: %s\n\n" % (e["type"].encode(), json.dumps(e).encode()) for e in events)

    def seen(self, body: bytes) -> Said:
        answer = json.loads(body)
        assert (answer["type"], answer["role"]) == ("message", "assistant")
        return self._said(answer["content"], answer["stop_reason"], answer["usage"])

    def seen_stream(self, data: bytes) -> Said:
        blocks: list[dict[str, Any]] = []
        names, stop, usage = [], "", dict[str, Any]()
        for part in data.strip().split(b"\n\n"):
            name, _, text = part.partition(b"\ndata: ")
            event = json.loads(text)
            assert name == b"event: " + event["type"].encode()
            names.append(event["type"])
            if event["type"] == "message_start":
                usage = event["message"]["usage"]
            if event["type"] == "content_block_start":
                assert event["index"] == len(blocks)
                blocks.append({**event["content_block"], "json": ""})
            if event["type"] == "content_block_delta":
                for key, value in event["delta"].items():
                    if key != "type":
                        into = "json" if key == "partial_json" else key
                        blocks[event["index"]][into] += value
            if event["type"] == "message_delta":
                stop, usage = event["delta"]["stop_reason"], usage | event["usage"]
        assert names[0] == "message_start"
        assert names[-2:] == ["message_delta", "message_stop"]
        assert names.count("content_block_start") == names.count("content_block_stop") == len(blocks)
        for block in blocks:
            if block["type"] == "tool_use":
                block["input"] = json.loads(block["json"] or "{}")
        return self._said(blocks, stop, usage)

    def _said(self, content: list[dict[str, Any]], stop: str, usage: dict[str, Any]) -> Said:
        thoughts = [block for block in content if block["type"] == "thinking"]
        return Said(
            "".join(block["text"] for block in content if block["type"] == "text"),
            "".join(block["thinking"] for block in thoughts),
            "".join(block["signature"] for block in thoughts),
            tuple((b["id"], b["name"], json.dumps(b["input"])) for b in content if b["type"] == "tool_use"),
            next(ours for ours, theirs in STOPS.items() if theirs == stop),
            self._told(usage),
        )

    def _usage(self, usage: Usage) -> dict[str, Any]:
        return {
            "input_tokens": usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens,
            "cache_read_input_tokens": usage.cached_tokens,
            "cache_creation_input_tokens": usage.cache_write_tokens,
            "cache_creation": {
                "ephemeral_5m_input_tokens": usage.cache_write_tokens - usage.cache_write_1h_tokens,
                "ephemeral_1h_input_tokens": usage.cache_write_1h_tokens,
            },
            "output_tokens": usage.output_tokens,
            "output_tokens_details": {"thinking_tokens": usage.reasoning_tokens},
        }

    def _told(self, usage: dict[str, Any]) -> Usage:
        read, written = usage["cache_read_input_tokens"], usage["cache_creation_input_tokens"]
        creation = usage["cache_creation"]
        assert sum(creation.values()) == written
        return Usage(
            usage["input_tokens"] + read + written,
            usage["output_tokens"],
            cached_tokens=read,
            cache_write_tokens=written,
            cache_write_1h_tokens=creation["ephemeral_1h_input_tokens"],
            reasoning_tokens=usage.get("output_tokens_details", {}).get("thinking_tokens", 0),
        )
