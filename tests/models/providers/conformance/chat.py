"""OpenAI's chat completions, spoken."""

from __future__ import annotations

import json
from typing import Any

from apps.models.providers.base import Operation, Usage
from tests.models.providers.conformance.voices import SCHEMA, Asked, Said, Turn, pieces

FINISH = {"stop": "stop", "length": "length", "tool_calls": "tool_calls", "content_filter": "content_filter"}


class ChatVoice:
    operation: Operation = "chat.completions"
    tells = frozenset({"input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens"})
    signs = True  # in ``reasoning_details``, of plain answers
    model = "upstream-model"
    lacks: frozenset[str] = frozenset()

    def request(self, asked: Asked, *, stream: bool) -> dict[str, Any]:
        messages: list[dict[str, Any]] = [{"role": "system", "content": asked.system}] if asked.system else []
        for turn in asked.turns:
            messages += [{"role": "tool", "tool_call_id": id, "content": text} for id, text in turn.results]
            parts: list[dict[str, Any]] = [{"type": "text", "text": turn.text}] if turn.text else []
            parts += [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{d}"}} for d in turn.images]
            calls = [
                {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}
                for id, name, arguments in turn.calls
            ]
            if parts or calls:
                message = {"role": turn.role, "content": parts or None, **({"tool_calls": calls} if calls else {})}
                messages.append(message)
        fields: dict[str, Any] = {"messages": messages, "max_completion_tokens": asked.max_tokens}
        if asked.tools:
            fields["tools"] = [{"type": "function", "function": {"name": n, "parameters": SCHEMA}} for n in asked.tools]
        if asked.choice:
            named = {"type": "function", "function": {"name": asked.choice}}
            fields["tool_choice"] = asked.choice if asked.choice in ("auto", "none", "required") else named
        if not asked.parallel:
            fields["parallel_tool_calls"] = False
        if asked.schema is not None:
            schema = {"name": "answer", "schema": asked.schema}
            fields["response_format"] = {"type": "json_schema", "json_schema": schema}
        if asked.effort:
            fields["reasoning_effort"] = asked.effort
        if asked.stop:
            fields["stop"] = list(asked.stop)
        fields |= {n: v for n, v in (("temperature", asked.temperature), ("top_p", asked.top_p)) if v is not None}
        return {**fields, **({"stream": True, "stream_options": {"include_usage": True}} if stream else {})}

    def understood(self, body: bytes) -> Asked:
        fields = json.loads(body)
        system, turns = "", list[Turn]()
        for message in fields["messages"]:
            parts = message["content"] or []
            parts = [{"type": "text", "text": parts}] if isinstance(parts, str) else parts
            text = "".join(part["text"] for part in parts if part["type"] == "text")
            if message["role"] == "system":
                system = text
                continue
            if message["role"] == "tool":
                if turns and turns[-1].role == "user" and not turns[-1].text:
                    turns[-1] = Turn("user", results=(*turns[-1].results, (message["tool_call_id"], text)))
                else:
                    turns.append(Turn("user", results=((message["tool_call_id"], text),)))
                continue
            images = tuple(p["image_url"]["url"].partition(",")[2] for p in parts if p["type"] == "image_url")
            calls = tuple(
                (call["id"], call["function"]["name"], call["function"]["arguments"])
                for call in message.get("tool_calls", [])
            )
            turns.append(Turn(message["role"], text, images, calls))
        choice = fields.get("tool_choice", "")
        form = fields.get("response_format")
        return Asked(
            tuple(turns),
            system,
            tuple(tool["function"]["name"] for tool in fields.get("tools", [])),
            choice["function"]["name"] if isinstance(choice, dict) else choice.replace("auto", ""),
            fields.get("parallel_tool_calls", True),
            form["json_schema"]["schema"] if form else None,
            fields.get("reasoning_effort", ""),
            fields["max_completion_tokens"],
            tuple(fields.get("stop", [])),
            fields.get("temperature"),
            fields.get("top_p"),
        )

    def plain(self, said: Said) -> bytes:
        message: dict[str, Any] = {"role": "assistant", "content": said.text or None, "refusal": None}
        if said.thinking:
            detail = {"type": "reasoning.text", "text": said.thinking, "signature": said.signature}
            message |= {"reasoning_content": said.thinking, "reasoning_details": [detail]}
        if said.calls:
            message["tool_calls"] = [
                {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}
                for id, name, arguments in said.calls
            ]
        choice: dict[str, Any] = {"index": 0, "message": message, "finish_reason": FINISH[said.stop]}
        head: dict[str, Any] = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m"}
        return json.dumps({**head, "choices": [choice], "usage": self._usage(said.usage)}).encode()

    def stream(self, said: Said) -> bytes:
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
        deltas += [{"reasoning_content": piece} for piece in pieces(said.thinking)]
        deltas += [{"content": piece} for piece in pieces(said.text)]
        for index, (id, name, arguments) in enumerate(said.calls):
            function = {"name": name, "arguments": ""}
            deltas.append({"tool_calls": [{"index": index, "id": id, "type": "function", "function": function}]})
            deltas += [
                {"tool_calls": [{"index": index, "function": {"arguments": piece}}]} for piece in pieces(arguments)
            ]
        choices: list[list[dict[str, Any]]] = [
            [{"index": 0, "delta": delta, "finish_reason": None}] for delta in deltas
        ]
        choices.append([{"index": 0, "delta": {}, "finish_reason": FINISH[said.stop]}])
        head: dict[str, Any] = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
        chunks: list[dict[str, Any]] = [{**head, "choices": choice} for choice in choices]
        chunks.append({**head, "choices": [], "usage": self._usage(said.usage)})
        return b"".join(b"data: " + json.dumps(each).encode() + b"\n\n" for each in chunks) + b"data: [DONE]\n\n"

    def seen(self, body: bytes) -> Said:
        answer = json.loads(body)
        [choice] = answer["choices"]
        message = choice["message"]
        details = message.get("reasoning_details") or [{}]
        return Said(
            message["content"] or "",
            message.get("reasoning_content", ""),
            details[0].get("signature") or "",
            tuple(
                (call["id"], call["function"]["name"], call["function"]["arguments"])
                for call in message.get("tool_calls", [])
            ),
            choice["finish_reason"],
            self._told(answer["usage"]),
        )

    def seen_stream(self, data: bytes) -> Said:
        events = [part.removeprefix(b"data: ") for part in data.strip().split(b"\n\n")]
        assert events.pop() == b"[DONE]"
        text = thinking = signature = stop = ""
        usage, calls = Usage(), list[list[str]]()
        for chunk in map(json.loads, events):
            if chunk.get("usage"):
                usage = self._told(chunk["usage"])
            for choice in chunk["choices"]:
                delta = choice["delta"]
                text += delta.get("content") or ""
                thinking += delta.get("reasoning_content") or ""
                for detail in delta.get("reasoning_details", []):
                    signature += detail.get("signature") or ""
                for call in delta.get("tool_calls", []):
                    if call["index"] == len(calls):
                        calls.append([call["id"], call["function"]["name"], ""])
                    calls[call["index"]][2] += call["function"].get("arguments", "")
                stop = choice["finish_reason"] or stop
        return Said(text, thinking, signature, tuple((id, name, args) for id, name, args in calls), stop, usage)

    def _usage(self, usage: Usage) -> dict[str, Any]:
        return {
            "prompt_tokens": usage.input_tokens,
            "completion_tokens": usage.output_tokens,
            "total_tokens": usage.input_tokens + usage.output_tokens,
            "prompt_tokens_details": {
                "cached_tokens": usage.cached_tokens,
                "cache_write_tokens": usage.cache_write_tokens,
            },
            "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        }

    def _told(self, usage: dict[str, Any]) -> Usage:
        assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
        inputs, outputs = usage["prompt_tokens_details"], usage["completion_tokens_details"]
        return Usage(
            usage["prompt_tokens"],
            usage["completion_tokens"],
            cached_tokens=inputs["cached_tokens"],
            cache_write_tokens=inputs["cache_write_tokens"],
            reasoning_tokens=outputs["reasoning_tokens"],
        )
