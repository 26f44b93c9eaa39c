"""What the fake OpenAI upstream says to its Responses API: the same answers as in chat, in that API's words.

It keeps nothing: ``store`` has to be false, and a ``previous_response_id`` is refused.
"""

from __future__ import annotations

import time
from typing import Any

from tests.fakes.openai_wire import ID, Answer, Event, Plan, behaviour_of, encode, read_json, refused, texts_of


def responses_plan(body: bytes, mode: str = "") -> Plan:
    """The answer to a request. Raises RequestError."""
    request = read_json(body)
    if request.get("previous_response_id") is not None or request.get("store") is not False:
        raise refused(400, "Nothing is kept here: send all items, with store false", param="store")
    chat = _as_chat(request)
    texts = [text for message in chat["messages"] for text in texts_of(message.get("content"))]
    behaviour = behaviour_of(request, texts, mode)
    tokens = behaviour.prompt_tokens if behaviour.prompt_tokens >= 0 else sum(len(text.split()) for text in texts)
    answer = Answer(chat, behaviour, tokens)
    told = answer.usage(answer.tokens)
    usage: dict[str, Any] | None = {
        "input_tokens": told["prompt_tokens"],
        "input_tokens_details": {"cached_tokens": told["prompt_tokens_details"]["cached_tokens"]},
        "output_tokens": told["completion_tokens"],
        "output_tokens_details": {"reasoning_tokens": told["completion_tokens_details"]["reasoning_tokens"]},
        "total_tokens": told["total_tokens"],
    }
    if behaviour.usage == "missing":
        usage = None
    head = _head(request)
    item = _item(answer)
    incomplete = answer.finish_reason == "length"
    response = head | {
        "status": "incomplete" if incomplete else "completed",
        "incomplete_details": {"reason": "max_output_tokens"} if incomplete else None,
        "output": [item],
        "usage": usage,
    }
    sent = usage is not None
    if not request.get("stream"):
        return Plan(request["model"], False, behaviour, tokens, told["completion_tokens"], encode(response), (), sent)
    events = tuple(_events(head, answer, item, response))
    return Plan(request["model"], True, behaviour, tokens, told["completion_tokens"], b"", events, sent)


def _as_chat(request: dict[str, Any]) -> dict[str, Any]:
    given = request.get("input")
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    if not isinstance(items, list) or not items:
        raise refused(400, "'input' must be a string or a list of items", param="input")
    messages: list[dict[str, Any]] = []
    if request.get("instructions"):
        messages.append({"role": "system", "content": request["instructions"]})
    for item in items:
        match item.get("type", "message"):
            case "message":
                if item["role"] not in ("user", "assistant", "system", "developer"):
                    raise refused(400, f"Invalid role {item['role']!r}", param="input")
                messages.append({"role": item["role"], "content": item["content"]})
            case "function_call":
                function = {"name": item["name"], "arguments": item["arguments"]}
                messages.append({"role": "assistant", "tool_calls": [{"id": item["call_id"], "function": function}]})
            case "function_call_output":
                messages.append({"role": "tool", "tool_call_id": item["call_id"], "content": item["output"]})
            case "reasoning":
                if not item.get("encrypted_content"):
                    raise refused(404, f"Item with id {item.get('id')!r} not found", param="input")
            case kind:
                raise refused(400, f"Invalid value: {kind!r}", param="input")
    tools = [
        {"type": "function", "function": {key: tool.get(key) for key in ("name", "parameters")}}
        for tool in request.get("tools") or []
        if tool["type"] == "function"
    ]
    choice = request.get("tool_choice")
    if isinstance(choice, dict):
        choice = {"type": "function", "function": {"name": choice.get("name")}}
    form = (request.get("text") or {}).get("format") or {}
    named = {"json_schema": form} if form.get("type") == "json_schema" else {}
    return {
        "model": request["model"],
        "messages": messages,
        "tools": tools,
        "tool_choice": choice,
        "response_format": {"type": form.get("type", "text"), **named},
        "max_completion_tokens": request.get("max_output_tokens"),
    }


def _head(request: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": "resp_" + ID.decode(),
        "object": "response",
        "created_at": int(time.time()),
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        "instructions": request.get("instructions"),
        "metadata": request.get("metadata") or {},
        "model": request["model"],
        "output": [],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "store": False,
        "temperature": 1.0,
        "text": request.get("text") or {"format": {"type": "text"}},
        "tool_choice": request.get("tool_choice") or "auto",
        "tools": request.get("tools") or [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": None,
    }


def _item(answer: Answer) -> dict[str, Any]:
    text = "".join(answer.pieces)
    if answer.tool is not None:
        return {
            "id": "fc_" + ID.decode(),
            "type": "function_call",
            "status": "completed",
            "call_id": "call_" + ID.decode(),
            "name": answer.tool["name"],
            "arguments": text,
        }
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    return {
        "id": "msg_" + ID.decode(),
        "type": "message",
        "status": "completed",
        "role": "assistant",
        "content": [part],
    }


def _events(head: dict[str, Any], answer: Answer, item: dict[str, Any], response: dict[str, Any]) -> list[Event]:
    events: list[Event] = []

    def add(type: str, tokens: int = 0, index: int = -1, **fields: Any) -> None:
        data = {"type": type, "sequence_number": len(events), **fields}
        events.append(Event(encode(data), tokens, index, type.encode()))

    place: dict[str, Any] = {"item_id": item["id"], "output_index": 0}
    inner: dict[str, Any] = {"content_index": 0, "logprobs": []}
    text = "".join(answer.pieces)
    add("response.created", response=head)
    add("response.in_progress", response=head)
    called = answer.tool is not None
    begun: dict[str, Any] = (
        {"status": "in_progress", "arguments": ""} if called else {"status": "in_progress", "content": []}
    )
    add("response.output_item.added", output_index=0, item=item | begun)
    if not called:
        empty = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
        add("response.content_part.added", **place, content_index=0, part=empty)
    for index, piece in enumerate(answer.pieces):
        if called:
            add("response.function_call_arguments.delta", 1, index, **place, delta=piece)
        else:
            add("response.output_text.delta", 1, index, **place, **inner, delta=piece)
    if called:
        add("response.function_call_arguments.done", **place, arguments=text, name=item["name"])
    else:
        add("response.output_text.done", **place, **inner, text=text)
        add("response.content_part.done", **place, content_index=0, part=item["content"][0])
    add("response.output_item.done", output_index=0, item=item)
    add(f"response.{response['status']}", response=response)
    return events
