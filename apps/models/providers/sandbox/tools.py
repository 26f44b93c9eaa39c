"""Choosing among the tools of a request, filling their arguments, and telling what they returned."""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import dataclass
from typing import Any, Final

from apps.models.providers.sandbox.filler import Facts, Filler
from apps.models.providers.sandbox.tokens import terms

MAX_CALLS: Final = 8
_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[_\-.]+")


@dataclass(frozen=True, slots=True)
class Tool:
    kind: str
    name: str
    description: str
    parameters: dict[str, Any]
    strict: bool


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a tool: ``arguments`` is JSON text, or plain text for a custom tool."""

    kind: str
    name: str
    arguments: str


class ToolError(ValueError):
    """A tool, or the choice of one, that is not written as it should be."""


def read(tools: list[dict[str, Any]]) -> list[Tool]:
    found = []
    for number, tool in enumerate(tools):
        kind = tool.get("type")
        body = tool.get(kind) if kind in ("function", "custom") else None
        if not isinstance(body, dict) or not isinstance(body.get("name"), str) or not body["name"]:
            raise ToolError(f"tools[{number}] is neither a function nor a custom tool with a name.")
        parameters = body.get("parameters") or {}
        if not isinstance(parameters, dict):
            raise ToolError(f"tools[{number}].{kind}.parameters is not an object.")
        description = str(body.get("description") or "")
        found.append(Tool(str(kind), body["name"], description, parameters, bool(body.get("strict"))))
    return found


def choose(tools: list[Tool], choice: Any, text: str) -> list[Tool]:
    """The tools to call, the most fitting first; none where an answer in words is due."""
    if choice == "none" or not tools:
        return []
    if isinstance(choice, dict):
        if choice.get("type") == "allowed_tools":
            allowed = choice.get("allowed_tools") or {}
            names = {_named(tool) for tool in allowed.get("tools") or ()}
            return choose([tool for tool in tools if tool.name in names], allowed.get("mode", "auto"), text)
        wanted = _named(choice)
        for tool in tools:
            if tool.name == wanted:
                return [tool]
        raise ToolError(f"tool_choice names {wanted!r}, which is not among the tools.")
    if choice not in (None, "auto", "required"):
        raise ToolError(f"tool_choice is one of none, auto and required, or names a tool; not {choice!r}.")
    asked = set(terms(text))
    ranked = sorted(tools, key=lambda tool: -_fit(tool, asked))
    fitting = [tool for tool in ranked if _fit(tool, asked) >= 2]
    return fitting[:MAX_CALLS] if fitting or choice != "required" else ranked[:1]


def call(tools: list[Tool], facts: Facts, *, parallel: bool) -> list[Call]:
    """The calls of the chosen tools. Raises SchemaError where no arguments satisfy a tool's schema."""
    calls: list[Call] = []
    for tool in tools if parallel else tools[:1]:
        for about in _subjects(tool, facts) if parallel else [facts]:
            if tool.kind == "custom":
                calls.append(Call("custom", tool.name, about.text))
                continue
            schema = {"type": "object", **tool.parameters}
            arguments = Filler(schema, about, optional=tool.strict).fill()
            calls.append(Call("function", tool.name, json.dumps(arguments, ensure_ascii=False)))
    return calls[:MAX_CALLS]


def tell(results: list[tuple[str, str]]) -> str:
    """What tools returned, in words: (name, content) of each."""
    parts = []
    for name, content in results:
        shown = f"`{name}`" if name else "The tool"
        try:
            value = json.loads(content)
        except (ValueError, RecursionError):
            value = content
        if isinstance(value, dict) and value:
            rows = "\n".join(f"| {_cell(key)} | {_cell(item)} |" for key, item in list(value.items())[:50])
            parts.append(f"{shown} returned:\n\n| field | value |\n| --- | --- |\n{rows}")
        elif isinstance(value, list) and value:
            parts.append(
                f"{shown} returned {len(value)} items:\n\n" + "\n".join(f"- {_cell(item)}" for item in value[:50])
            )
        elif content.strip():
            parts.append(f"{shown} returned: {content.strip()}")
        else:
            parts.append(f"{shown} returned nothing.")
    return "\n\n".join(parts)


def _named(choice: dict[str, Any]) -> str:
    body = choice.get(choice.get("type") or "")
    return str(body.get("name")) if isinstance(body, dict) else str(choice.get("name"))


def _fit(tool: Tool, asked: set[str]) -> int:
    """A word of the tool's name counts twice, one of its description once."""
    name = set(terms(_HUMP.sub(" ", tool.name)))
    return 2 * len(name & asked) + len((set(terms(tool.description)) - name) & asked)


def _subjects(tool: Tool, facts: Facts) -> list[Facts]:
    """One per call: *the weather in Paris and Rome* is two calls of a tool that takes one place."""
    required = tool.parameters.get("required") or []
    properties = tool.parameters.get("properties") or {}
    if len(required) == 1 and isinstance(properties, dict):
        only = properties.get(required[0])
        if isinstance(only, dict) and only.get("type") == "string" and not only.keys() & {"enum", "pattern", "format"}:
            names = list(dict.fromkeys(facts.named))
            joined = len(names) > 1 and all(
                re.search(rf"{re.escape(one)}\s*(?:,|and\b|,\s*and\b|&)\s*{re.escape(other)}", facts.text)
                for one, other in itertools.pairwise(names)
            )
            if joined:
                return [Facts(f'"{name}"') for name in names[:MAX_CALLS]]
    return [facts]


def _cell(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return " ".join(text.split()).replace("|", "\\|")
