"""From a branch of turns to what the gateway is asked: the same JSON that an application would send."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from apps.playground.models import Answer, Attachment, Turn
from apps.playground.types import READ_ON, Column

encode = msgspec.json.Encoder().encode
_SCHEMA_NAME = re.compile(r"[^A-Za-z0-9_-]+")


def messages_for(
    chain: Sequence[Turn], column: int, settings: Column, *, goes_on: bool = False
) -> list[dict[str, Any]]:
    """The conversation as the column saw it. The last turn, unless it ``goes_on``, is what is asked now; it may have
    answers already: steps that called tools.

    What a prompt of the catalog says comes before them; the gateway puts it there.
    """
    has_system = settings.system and settings.prompt is None
    messages: list[dict[str, Any]] = [{"role": "system", "content": settings.system}] if has_system else []
    for turn in chain:
        steps = _steps(turn, column)
        is_last = turn is chain[-1] and not goes_on
        if not is_last and not any(answer.status in READ_ON for answer in steps):
            continue  # it got no answer: asking again would only confuse
        if content := content_of(turn.message, turn.attachments.all()):
            messages.append({"role": "user", "content": content})
        for answer in steps:
            if answer.status in READ_ON and (answer.text or answer.tool_calls):
                messages += _said(answer)
    return messages


def body_for(chain: Sequence[Turn], column: int, settings: Column) -> bytes:
    return encode({**request_of(settings), "messages": messages_for(chain, column, settings)} | _STREAMED)


_STREAMED = {"stream": True, "stream_options": {"include_usage": True}}


def request_of(settings: Column) -> dict[str, Any]:
    """All of a request but its messages."""
    request: dict[str, Any] = {"model": settings.model} if settings.model else {}
    if settings.prompt is not None:
        request["prompt"] = msgspec.to_builtins(settings.prompt)
    request |= msgspec.to_builtins(settings.parameters)
    if settings.tools:
        request["tools"] = [{"type": "function", "function": tool_function(tool)} for tool in settings.tools]
    if settings.schema is not None:
        name = _SCHEMA_NAME.sub("_", str(settings.schema.get("title", "")))[:64].strip("_") or "answer"
        shape = {"name": name, "schema": settings.schema, "strict": True}
        request["response_format"] = {"type": "json_schema", "json_schema": shape}
    return request


def tool_function(tool: dict[str, Any]) -> dict[str, Any]:
    """A tool as it was typed: the function itself, or in OpenAI's wrapping."""
    inner = tool.get("function")
    return inner if isinstance(inner, dict) else tool


def text_of(message: Mapping[str, Any]) -> str:
    """A message's text, without what else is in it."""
    content = message.get("content")
    if isinstance(content, list):
        return "\n\n".join(part["text"] for part in content if part["type"] == "text")
    return str(content or "")


def _steps(turn: Turn, column: int) -> list[Answer]:
    """A column that was added later reads on from the first."""
    answers = list(turn.answers.all())
    return [each for each in answers if each.column == column] or [each for each in answers if each.column == 0]


def _said(answer: Answer) -> list[dict[str, Any]]:
    message: dict[str, Any] = {"role": "assistant", "content": answer.text or None}
    if not answer.tool_calls:
        return [message]
    message["tool_calls"] = [
        {"id": call["id"], "type": "function", "function": {"name": call["name"], "arguments": call["arguments"]}}
        for call in answer.tool_calls
    ]
    # Each call has to have its result, or the next request is refused.
    results = [
        {"role": "tool", "tool_call_id": call["id"], "content": answer.tool_results.get(call["id"], "")}
        for call in answer.tool_calls
    ]
    return [message, *results]


def content_of(message: str, files: Iterable[Attachment]) -> str | list[dict[str, Any]]:
    """What a person says, with their files before it."""
    parts = [_part(each) for each in files]
    if not parts:
        return message
    return [*parts, {"type": "text", "text": message}] if message else parts


def _part(file: Attachment) -> dict[str, Any]:
    if file.is_image:
        return {"type": "image_url", "image_url": {"url": f"data:{file.media_type};base64,{file.content}"}}
    return {"type": "text", "text": f"The file {file.name}:\n\n{file.content}"}


def shown_file(file: Attachment) -> dict[str, Any]:
    """A file for the page; an image by where it lies."""
    return {"id": file.pk, "name": file.name, "image": file.is_image, "size": file.size}


def as_begun(answer: Answer) -> Answer:
    """The same before it said anything: what it has said comes, or came, as events."""
    return Answer(
        pk=answer.pk,
        turn_id=answer.turn_id,
        column=answer.column,
        step=answer.step,
        model_slug=answer.model_slug,
        prompt_slug=answer.prompt_slug,
        settings=answer.settings,
    )


def shown_answer(answer: Answer, *, blind: bool) -> dict[str, Any]:
    """An answer for the page. Before the vote nothing in it tells the model."""
    shown: dict[str, Any] = {
        "id": answer.pk,
        "turn": answer.turn_id,
        "column": answer.column,
        "step": answer.step,
        "model": "" if blind else answer.model_slug,
        "prompt": "" if blind else answer.prompt_slug,
        "prompt_version": answer.prompt_version,
        "text": answer.text,
        "reasoning": answer.reasoning,
        "tool_calls": answer.tool_calls,
        "tool_results": answer.tool_results,
        "status": answer.status,
        "error": answer.error,
        "request_id": answer.request_id,
        "input_tokens": answer.input_tokens,
        "output_tokens": answer.output_tokens,
        "cost_picousd": answer.cost_picousd,
        "first_token_ms": answer.first_token_ms,
        "duration_ms": answer.duration_ms,
        "settings": answer.settings,
    }
    return concealed(shown) if blind else shown


_TELLING = ("prompt_version", "input_tokens", "output_tokens", "cost_picousd", "first_token_ms", "duration_ms")


def concealed(shown: dict[str, Any]) -> dict[str, Any]:
    """Without its request, its figures, its settings and the words of its error."""
    hidden: dict[str, Any] = {name: None for name in _TELLING if name in shown}
    if "settings" in shown:
        hidden["settings"] = {}
    if shown["error"]:
        said = "This column got no answer. Start a new comparison, with other models."
        hidden["error"] = {"code": "failed", "message": said}
    return {**shown, **hidden, "request_id": ""}
