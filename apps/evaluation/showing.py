"""An example for people: chats as chats, values by name; and back again from the fields of a form."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from apps.evaluation.mapping import typed
from apps.evaluation.models import Dataset
from apps.evaluation.selectors.datasets import examples_of, variables_of

SHOWN_CHARACTERS = 20_000


@dataclass(frozen=True, slots=True)
class Shown:
    """``messages`` are (role, text), ``values`` are (name, text): one of the two."""

    messages: list[tuple[str, str]] = field(default_factory=list)
    values: list[tuple[str, str]] = field(default_factory=list)


def shown(input: Mapping[str, Any]) -> Shown:
    if _is_chat(input):
        return Shown(messages=[(str(each.get("role", "")), _of_message(each)) for each in input["messages"]])
    return Shown(values=[(name, written(value)) for name, value in input.items()])


def written(value: Any) -> str:
    """A value as text: a text as it is, nothing for null, lists line by line, anything else indented."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value[:SHOWN_CHARACTERS]
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return "\n".join(value)[:SHOWN_CHARACTERS]
    if isinstance(value, dict) and all(not isinstance(each, dict | list) for each in value.values()):
        return "\n".join(f"{name}: {_plain(each)}" for name, each in value.items())[:SHOWN_CHARACTERS]
    return json.dumps(value, indent=2, ensure_ascii=False)[:SHOWN_CHARACTERS]


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _of_message(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    parts = content if isinstance(content, list) else [content]
    texts = [each.get("text", f"[{each.get('type', 'part')}]") if isinstance(each, dict) else each for each in parts]
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else []:
        function = call.get("function", {}) if isinstance(call, dict) else {}
        texts.append(f"{function.get('name', 'a tool')}({function.get('arguments', '')})")
    return "\n".join(str(each) for each in texts if each)[:SHOWN_CHARACTERS]


def _is_chat(input: Mapping[str, Any]) -> bool:
    messages = input.get("messages")
    return isinstance(messages, list) and all(isinstance(each, dict) for each in messages)


# As a form.


@dataclass(frozen=True, slots=True)
class Field:
    name: str
    label: str
    text: str
    fixed: bool = False


def fields_of(input: Mapping[str, Any]) -> list[Field]:
    if _is_chat(input):
        return [
            Field(
                f"content_{at}", str(each.get("role", "")), _of_message(each), not isinstance(each.get("content"), str)
            )
            for at, each in enumerate(input["messages"])
        ]
    return [Field(f"value_{name}", name, _edited(value)) for name, value in input.items()]


def _edited(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False)


def input_from(data: Mapping[str, str], before: Mapping[str, Any], types: Mapping[str, str]) -> dict[str, Any]:
    """What the form says, on what was there. Raises ``ExampleInvalid``."""
    if _is_chat(before):
        return {
            "messages": [
                {**each, "content": _lines(data.get(f"content_{at}", each["content"]))}
                if isinstance(each.get("content"), str)
                else each
                for at, each in enumerate(before["messages"])
            ]
        }
    values: dict[str, Any] = {}
    for name, value in before.items():
        text = _lines(data.get(f"value_{name}", ""))
        if text:
            kind = types.get(name) or ("string" if isinstance(value, str) else _kind(value))
            values[name] = typed(text, kind, f"input:{name}")
    return values


def expected_from(text: str, before: Any, kind: str) -> Any:
    """Empty is null. What was no text stays none, as far as it still reads as one."""
    text = _lines(text)
    if not text.strip():
        return None
    return typed(text, kind or ("string" if before is None or isinstance(before, str) else _kind(before)), "expected")


def _kind(value: Any) -> str:
    match value:
        case bool():
            return "boolean"
        case int() | float():
            return "number"
    return "object"


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n")


def blank_input(dataset: Dataset) -> dict[str, Any]:
    """What a new example of this dataset is filled in by: its variables, else the shape of the newest one."""
    variables = variables_of(dataset)
    if variables:
        return dict.fromkeys(variables, "")
    newest = examples_of(dataset).order_by("-pk").first()
    if newest is not None and newest.current is not None and not _is_chat(newest.current.input):
        return dict.fromkeys(newest.current.input, "")
    return {"messages": [{"role": "user", "content": ""}]}
