"""A streamed chat completion, put together again: what it says, and the figures that the gateway adds as a comment."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

_FIGURES: Final = ": lobby "


class BrokenOff(Exception):
    """The stream ended in an error, or not at all."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def whole(text: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The chat completion that the events of ``text`` make, and its figures.

    Raises:
        BrokenOff: as the provider, or the gateway, said.
        ValueError, KeyError, TypeError, AttributeError: it is no stream of chat completions.
    """
    content: list[str] = []
    calls: dict[int, dict[str, str]] = {}
    finish_reason, ended = "", False
    usage: dict[str, Any] = {}
    figures: dict[str, Any] = {}
    for line in text.split("\n"):
        if line.startswith(_FIGURES):
            figures = json.loads(line.removeprefix(_FIGURES))
        if not line.startswith("data:"):
            continue
        data = line.removeprefix("data:").strip()
        if data == "[DONE]":
            ended = True
            break
        event = json.loads(data)
        if error := event.get("error"):
            raise BrokenOff(str(error.get("code") or "broken_off"), str(error.get("message") or "It broke off."))
        usage = event.get("usage") or usage
        for choice in event.get("choices") or ():
            if choice.get("index", 0):
                continue
            delta = choice.get("delta") or {}
            content.append(delta.get("content") or "")
            for piece in delta.get("tool_calls") or ():
                _add_call(calls, piece)
            finish_reason = choice.get("finish_reason") or finish_reason
    if not ended:
        raise BrokenOff("broken_off", "The stream ended before its answer did.")
    message: dict[str, Any] = {"content": "".join(content)}
    if calls:
        message["tool_calls"] = [{"function": calls[place]} for place in sorted(calls)]
    return {"choices": [{"message": message, "finish_reason": finish_reason}], "usage": usage}, figures


def _add_call(calls: dict[int, dict[str, str]], piece: Mapping[str, Any]) -> None:
    call = calls.setdefault(int(piece.get("index") or 0), {"name": "", "arguments": ""})
    function = piece.get("function") or {}
    call["name"] = str(function.get("name") or call["name"])
    call["arguments"] += str(function.get("arguments") or "")
