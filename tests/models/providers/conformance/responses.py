"""OpenAI's Responses API, spoken."""

from __future__ import annotations

import json
from typing import Any

from apps.models.providers.base import Operation, Usage
from tests.models.providers.conformance.voices import SCHEMA, Asked, Said, Turn, pieces

REASONS = {"length": "max_output_tokens", "content_filter": "content_filter"}


class ResponsesVoice:
    operation: Operation = "responses"
    tells = frozenset({"input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens"})
    signs = True
    model = "upstream-model"
    lacks = frozenset({"stop"})

    def request(self, asked: Asked, *, stream: bool) -> dict[str, Any]:
        items: list[dict[str, Any]] = []
        for turn in asked.turns:
            items += [{"type": "function_call_output", "call_id": id, "output": text} for id, text in turn.results]
            kind = "output_text" if turn.role == "assistant" else "input_text"
            parts: list[dict[str, Any]] = [{"type": kind, "text": turn.text}] if turn.text else []
            parts += [{"type": "input_image", "image_url": f"data:image/png;base64,{data}"} for data in turn.images]
            if parts:
                items.append({"type": "message", "role": turn.role, "content": parts})
            items += [
                {"type": "function_call", "call_id": id, "name": name, "arguments": arguments}
                for id, name, arguments in turn.calls
            ]
        fields: dict[str, Any] = {"input": items, "max_output_tokens": asked.max_tokens}
        if asked.system:
            fields["instructions"] = asked.system
        if asked.tools:
            fields["tools"] = [{"type": "function", "name": name, "parameters": SCHEMA} for name in asked.tools]
        if asked.choice:
            named = {"type": "function", "name": asked.choice}
            fields["tool_choice"] = asked.choice if asked.choice in ("auto", "none", "required") else named
        if not asked.parallel:
            fields["parallel_tool_calls"] = False
        if asked.schema is not None:
            fields["text"] = {"format": {"type": "json_schema", "name": "answer", "schema": asked.schema}}
        if asked.effort:
            fields["reasoning"] = {"effort": asked.effort}
        fields |= {n: v for n, v in (("temperature", asked.temperature), ("top_p", asked.top_p)) if v is not None}
        return {**fields, **({"stream": True} if stream else {})}

    def understood(self, body: bytes) -> Asked:
        fields = json.loads(body)
        assert fields["store"] is False
        system, turns = fields.get("instructions", ""), list[Turn]()
        for item in fields["input"]:
            match item["type"]:
                case "message":
                    text = "".join(part["text"] for part in item["content"] if part["type"].endswith("_text"))
                    if item["role"] == "system":
                        system = text
                        continue
                    images = (part["image_url"] for part in item["content"] if part["type"] == "input_image")
                    turns.append(Turn(item["role"], text, tuple(url.partition(",")[2] for url in images)))
                case "function_call":
                    call = (item["call_id"], item["name"], item["arguments"])
                    if turns[-1].role != "assistant":
                        turns.append(Turn("assistant"))
                    last = turns[-1]
                    turns[-1] = Turn("assistant", last.text, calls=(*last.calls, call))
                case "function_call_output":
                    if not turns[-1].results:
                        turns.append(Turn("user"))
                    turns[-1] = Turn("user", results=(*turns[-1].results, (item["call_id"], item["output"])))
        choice = fields.get("tool_choice", "")
        form = fields.get("text", {}).get("format")
        return Asked(
            tuple(turns),
            system,
            tuple(tool["name"] for tool in fields.get("tools", [])),
            choice["name"] if isinstance(choice, dict) else choice.replace("auto", ""),
            fields.get("parallel_tool_calls", True),
            form["schema"] if form else None,
            fields.get("reasoning", {}).get("effort", ""),
            fields["max_output_tokens"],
            (),
            fields.get("temperature"),
            fields.get("top_p"),
        )

    def plain(self, said: Said) -> bytes:
        return json.dumps(self._response(said)).encode()

    def stream(self, said: Said) -> bytes:
        response = self._response(said)
        events: list[dict[str, Any]] = []

        def say(kind: str, **fields: Any) -> None:
            events.append({"type": kind, "sequence_number": len(events), **fields})

        say("response.created", response=response | {"status": "in_progress", "output": [], "usage": None})
        say("response.in_progress", response=response | {"status": "in_progress", "output": [], "usage": None})
        for index, item in enumerate(response["output"]):
            place = {"item_id": item["id"], "output_index": index}
            match item["type"]:
                case "reasoning":
                    say("response.output_item.added", output_index=index, item=item | {"summary": []})
                    part = {"type": "summary_text", "text": ""}
                    say("response.reasoning_summary_part.added", **place, summary_index=0, part=part)
                    for piece in pieces(said.thinking):
                        say("response.reasoning_summary_text.delta", **place, summary_index=0, delta=piece)
                    say("response.reasoning_summary_text.done", **place, summary_index=0, text=said.thinking)
                case "message":
                    say("response.output_item.added", output_index=index, item=item | {"content": []})
                    empty: dict[str, Any] = {"type": "output_text", "text": "", "annotations": []}
                    say("response.content_part.added", **place, content_index=0, part=empty)
                    for piece in pieces(said.text):
                        say("response.output_text.delta", **place, content_index=0, delta=piece, logprobs=[])
                    say("response.output_text.done", **place, content_index=0, text=said.text, logprobs=[])
                    say("response.content_part.done", **place, content_index=0, part=item["content"][0])
                case "function_call":
                    say("response.output_item.added", output_index=index, item=item | {"arguments": ""})
                    for piece in pieces(item["arguments"]):
                        say("response.function_call_arguments.delta", **place, delta=piece)
                    say("response.function_call_arguments.done", **place, arguments=item["arguments"])
            say("response.output_item.done", output_index=index, item=item)
        say(f"response.{response['status']}", response=response)
        return b"".join(b"event: %s\ndata: %s\n\n" % (e["type"].encode(), json.dumps(e).encode()) for e in events)

    def seen(self, body: bytes) -> Said:
        return self._said(json.loads(body))

    def seen_stream(self, data: bytes) -> Said:
        """What the last event says; the deltas before it have to add up to the same."""
        text = thinking = ""
        arguments: dict[str, str] = {}
        response: dict[str, Any] = {}
        for number, event in enumerate(data.strip().split(b"\n\n")):
            name, _, line = event.partition(b"\n")
            said = json.loads(line.removeprefix(b"data: "))
            assert name == b"event: " + said["type"].encode()
            assert said["sequence_number"] == number
            match said["type"]:
                case "response.output_text.delta":
                    text += said["delta"]
                case "response.reasoning_summary_text.delta":
                    thinking += said["delta"]
                case "response.function_call_arguments.delta":
                    arguments[said["item_id"]] = arguments.get(said["item_id"], "") + said["delta"]
                case "response.completed" | "response.incomplete":
                    response = said["response"]
        told = self._said(response)
        assert (told.text, told.thinking) == (text, thinking)
        calls = {item["id"]: item["arguments"] for item in response["output"] if item["type"] == "function_call"}
        assert {id: found for id, found in calls.items() if found} == arguments
        return told

    def _response(self, said: Said) -> dict[str, Any]:
        output: list[dict[str, Any]] = []
        if said.thinking:
            summary = [{"type": "summary_text", "text": said.thinking}]
            output.append(
                {"type": "reasoning", "id": "rs_1", "summary": summary, "encrypted_content": said.signature or None}
            )
        if said.text:
            part = {"type": "output_text", "text": said.text, "annotations": [], "logprobs": []}
            output.append(
                {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [part]}
            )
        output += [
            {"type": "function_call", "id": f"fc_{id}", "call_id": id, "name": name, "arguments": arguments}
            for id, name, arguments in said.calls
        ]
        reason = REASONS.get(said.stop)
        return {
            "id": "resp_1",
            "object": "response",
            "created_at": 1,
            "model": "m",
            "status": "incomplete" if reason else "completed",
            "incomplete_details": {"reason": reason} if reason else None,
            "error": None,
            "output": output,
            "usage": {
                "input_tokens": said.usage.input_tokens,
                "input_tokens_details": {
                    "cached_tokens": said.usage.cached_tokens,
                    "cache_write_tokens": said.usage.cache_write_tokens,
                },
                "output_tokens": said.usage.output_tokens,
                "output_tokens_details": {"reasoning_tokens": said.usage.reasoning_tokens},
                "total_tokens": said.usage.input_tokens + said.usage.output_tokens,
            },
        }

    def _said(self, response: dict[str, Any]) -> Said:
        items: list[dict[str, Any]] = response["output"]
        thoughts = [item for item in items if item["type"] == "reasoning"]
        calls = tuple((i["call_id"], i["name"], i["arguments"]) for i in items if i["type"] == "function_call")
        reason = (response["incomplete_details"] or {}).get("reason")
        stop = next((name for name, each in REASONS.items() if each == reason), "tool_calls" if calls else "stop")
        usage = response["usage"]
        return Said(
            "".join(part["text"] for item in items if item["type"] == "message" for part in item["content"]),
            "".join(part["text"] for item in thoughts for part in item["summary"]),
            "".join(item.get("encrypted_content") or "" for item in thoughts),
            calls,
            stop,
            Usage(
                usage["input_tokens"],
                usage["output_tokens"],
                usage["input_tokens_details"]["cached_tokens"],
                usage["input_tokens_details"]["cache_write_tokens"],
                reasoning_tokens=usage["output_tokens_details"]["reasoning_tokens"],
            ),
        )
