"""The editor's form: a version's content as fields that a person fills in, and back.

Nothing is lost on the way: the keywords of a variable's schema that have no field of their own travel along as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.http import QueryDict

from apps.prompts import placeholders
from apps.prompts.errors import ContentInvalid
from apps.prompts.types import MOST_MESSAGES, MOST_VARIABLES, Content, plain

ROLES = ("system", "user", "assistant")
TYPES = ("string", "integer", "number", "boolean", "array", "object")
NUMBERS = ("temperature", "top_p", "presence_penalty", "frequency_penalty", "max_tokens", "seed")
EFFORTS = ("none", "minimal", "low", "medium", "high")
_FIELDS = frozenset({"type", "description", "default", "examples", "enum"})


@dataclass(slots=True)
class VariableRow:
    name: str
    type: str = "string"
    description: str = ""
    choices: str = ""  # one a line
    default: str = ""
    example: str = ""
    more: str = "{}"  # the schema's other keywords, as JSON


@dataclass(slots=True)
class Draft:
    """What stands in the editor's fields."""

    messages: list[tuple[str, str]] = field(default_factory=list)
    variables: list[VariableRow] = field(default_factory=list)
    parameters: dict[str, str] = field(default_factory=dict)
    tools: str = ""
    output_schema: str = ""
    model: str = ""

    @property
    def texts(self) -> list[str]:
        return [text for _, text in self.messages]

    def found(self) -> list[str]:
        """The names in the messages, in their order."""
        return placeholders.variables_in(self.texts)[:MOST_VARIABLES]

    def rows(self) -> list[VariableRow]:
        """One for each name in the messages, as it was declared or as new; then those that included prompts bring."""
        declared = {row.name: row for row in self.variables}
        found = self.found()
        return [declared.get(name) or VariableRow(name) for name in found]


def draft_of(content: Content) -> Draft:
    order = placeholders.variables_in([each.content for each in content.messages])
    names = [name for name in order if name in content.variables]
    numbers = plain(content.parameters)
    stop = numbers.pop("stop", None)
    parameters = {name: json.dumps(value) if not isinstance(value, str) else value for name, value in numbers.items()}
    if stop:
        parameters["stop"] = "\n".join(stop)
    return Draft(
        messages=[(each.role, each.content) for each in content.messages],
        variables=[_row(name, content.variables[name]) for name in names],
        parameters=parameters,
        tools=_pretty(plain(content.tools)) if content.tools else "",
        output_schema=_pretty(content.output_schema) if content.output_schema is not None else "",
        model=content.model,
    )


def draft_from(form: QueryDict) -> Draft:
    """The fields as they were sent, whatever is wrong with them."""
    columns = [form.getlist(f"variable_{name}")[:MOST_VARIABLES] for name in VariableRow.__dataclass_fields__]
    return Draft(
        messages=list(zip(form.getlist("role"), form.getlist("content"), strict=False))[:MOST_MESSAGES],
        variables=[VariableRow(*row) for row in zip(*columns, strict=False)],
        parameters={
            name: value for name in (*NUMBERS, "stop", "reasoning_effort") if (value := form.get(name, "").strip())
        },
        tools=form.get("tools", "").strip(),
        output_schema=form.get("output_schema", "").strip(),
        model=form.get("model", "").strip(),
    )


def content_of(draft: Draft) -> dict[str, Any]:
    """For ``services.save_version``. Raises ``ContentInvalid`` where a field cannot be read."""
    parameters: dict[str, Any] = {}
    for name, value in draft.parameters.items():
        if name in NUMBERS:
            parameters[name] = _number(name, value)
        else:
            parameters[name] = value.splitlines() if name == "stop" else value
    content: dict[str, Any] = {
        "messages": [{"role": role, "content": text} for role, text in draft.messages if text.strip()],
        "variables": {row.name: schema_of(row) for row in draft.rows()},
        "parameters": parameters,
        "model": draft.model,
    }
    if draft.tools:
        content["tools"] = _json(draft.tools, "tools", list)
    if draft.output_schema:
        content["output_schema"] = _json(draft.output_schema, "output_schema", dict)
    return content


def sample_values(draft: Draft) -> dict[str, Any]:
    """What the preview is filled in with: each variable's example, else its default."""
    values: dict[str, Any] = {}
    for row in draft.rows():
        for text in (row.example, row.default):
            if text:
                try:
                    values[row.name] = _value(row, text)
                except ContentInvalid:
                    values[row.name] = text
                break
    return values


def schema_of(row: VariableRow) -> dict[str, Any]:
    field_name = f"variables/{row.name}"
    schema: dict[str, Any] = {"type": row.type}
    schema |= {name: each for name, each in _json(row.more or "{}", field_name, dict).items() if name not in _FIELDS}
    if row.description.strip():
        schema["description"] = row.description.strip()
    if choices := [line.strip() for line in row.choices.splitlines() if line.strip()]:
        schema["enum"] = [_value(row, each) for each in choices]
    if row.default:
        schema["default"] = _value(row, row.default)
    if row.example:
        schema["examples"] = [_value(row, row.example)]
    return schema


def _row(name: str, schema: Mapping[str, Any]) -> VariableRow:
    types = schema.get("type", "string")
    plain_type = types if isinstance(types, str) and types in TYPES else "string"
    more = {each: value for each, value in schema.items() if each not in _FIELDS}
    examples = schema.get("examples") or []
    return VariableRow(
        name=name,
        type=plain_type,
        description=str(schema.get("description", "")),
        choices="\n".join(placeholders.written(each) for each in schema.get("enum", [])),
        default=placeholders.written(schema["default"]) if "default" in schema else "",
        example=placeholders.written(examples[0]) if examples else "",
        more=json.dumps(more),
    )


def _value(row: VariableRow, text: str) -> Any:
    if row.type == "string":
        return text
    try:
        return json.loads(text)
    except ValueError:
        raise ContentInvalid(
            f"{text[:40]!r} is no {row.type} for {row.name!r}.",
            field=f"variables/{row.name}",
            remedy='Write it as JSON, for example 3, true or ["a", "b"].',
        ) from None


def _number(name: str, text: str) -> float | int:
    try:
        return int(text) if text.lstrip("-").isdigit() else float(text)
    except ValueError:
        raise ContentInvalid(f"{text[:40]!r} is no number.", field=f"parameters/{name}") from None


def _json(text: str, field_name: str, kind: type) -> Any:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ContentInvalid(f"This is no JSON: {error}.", field=field_name) from None
    if not isinstance(value, kind):
        raise ContentInvalid(
            "This has to be a JSON list." if kind is list else "This has to be a JSON object.", field=field_name
        )
    return value


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
