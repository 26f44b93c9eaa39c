"""The editor's form: a version's content as fields that a person fills in, and back.

Nothing is lost on the way: the schema that a variable was declared by travels along as JSON, and where its fields were
left as they are it stays. A value that would not read back from its field as it is written (the empty text, one that
begins with a line end) stands there as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.http import QueryDict
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from apps.prompts import placeholders, variables
from apps.prompts.content import check_storable
from apps.prompts.errors import ContentInvalid
from apps.prompts.types import MOST_MESSAGES, MOST_VARIABLES, Content, plain

ROLES = ("system", "user", "assistant")
TYPES = ("string", "integer", "number", "boolean", "array", "object")
NUMBERS = ("temperature", "top_p", "presence_penalty", "frequency_penalty", "max_tokens", "seed")
EFFORTS = ("none", "minimal", "low", "medium", "high")
_VALUES = frozenset({"default", "examples", "enum"})


@dataclass(slots=True)
class VariableRow:
    name: str
    type: str = "string"  # as ``variables.type_of`` says it
    description: str = ""
    choices: str = ""  # one a line
    default: str = ""
    example: str = ""  # the first one
    declared: str = '{"type": "string"}'  # the schema that the fields were filled in from, as JSON

    @property
    def types(self) -> list[str]:
        """What the select offers: a type that people do not choose stays what it is."""
        return [*TYPES] if self.type in TYPES else [self.type, *TYPES]


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
        """One for each name in the messages, as it was declared or as new."""
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
        parameters["stop"] = "\n".join(_text_of(each, "string") for each in stop)
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
            parameters[name] = [_value_of(each, "string", name) for each in _lines(value)] if name == "stop" else value
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


def field_in_words(field: str) -> str:
    """What the form calls the field that a ``ContentInvalid`` names."""
    part, _, rest = field.partition("/")
    name = rest.partition("/")[0]
    if part == "variables" and name:
        return f"Variable {name}"
    return in_words(name if part == "parameters" and name else part)


def in_words(name: str) -> str:
    return {"model": "Default model", "output_schema": "JSON schema of the answer", "message": "What changed"}.get(
        name, name.replace("_", " ").capitalize()
    )


def sample_values(draft: Draft) -> dict[str, Any]:
    """What the preview is filled in with: each variable's example, else its default."""
    values: dict[str, Any] = {}
    for row in draft.rows():
        for text in (row.example, row.default):
            if text:
                try:
                    values[row.name] = _value_of(text, row.type, row.name)
                except ContentInvalid:
                    values[row.name] = text
                break
    return values


def schema_of(row: VariableRow) -> dict[str, Any]:
    """The schema that the row was filled in from, with what was changed in its fields."""
    field_name = f"variables/{row.name}"
    schema = variables.clean_schema(_json(row.declared, field_name, dict), field_name)
    before = _row(row.name, schema)
    if row.type != before.type:
        # Values are of the type that they were declared with: all are read anew.
        schema = {name: each for name, each in schema.items() if name not in _VALUES} | {"type": row.type}
        before = _row(row.name, schema)
    if row.description.strip() != before.description:
        _put(schema, "description", [row.description.strip()] if row.description.strip() else [])
    if _lines(row.choices) != _lines(before.choices):
        choices = [_value_of(each, row.type, row.name) for each in _lines(row.choices)]
        _put(schema, "enum", [choices] if choices else [])
    if row.default != before.default:
        _put(schema, "default", [_value_of(row.default, row.type, row.name)] if row.default else [])
    if row.example != before.example:
        examples = [_value_of(row.example, row.type, row.name)] if row.example else []
        examples += schema.get("examples", [])[1:]
        _put(schema, "examples", [examples] if examples else [])
    return schema


def _put(schema: dict[str, Any], keyword: str, value: list[Any]) -> None:
    """The one value, or without one the keyword is gone."""
    schema.pop(keyword, None)
    if value:
        schema[keyword] = value[0]


def _row(name: str, schema: Mapping[str, Any]) -> VariableRow:
    kind = variables.type_of(schema)
    examples = schema.get("examples")
    return VariableRow(
        name=name,
        type=kind,
        description=" ".join(schema.get("description", "").split()),
        choices="\n".join(_text_of(each, kind) for each in schema.get("enum", [])),
        default=_text_of(schema["default"], kind) if "default" in schema else "",
        example=_text_of(examples[0], kind) if examples else "",
        declared=json.dumps(schema, ensure_ascii=False),
    )


def _text_of(value: Any, kind: str) -> str:
    """As it stands in a field of one line, so that ``_value_of`` makes the same of it."""
    text = placeholders.written(value)
    if isinstance(value, str) and (not _is_line(text) or _value_of(text, kind, "") != value):
        return json.dumps(value, ensure_ascii=False)
    return text


def _value_of(text: str, kind: str, name: str) -> Any:
    """What a field says. A text stands there as it is, or in double quotes as JSON; all else is JSON."""
    types = [each for each in kind.split(" or ") if each in variables.TYPES]
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        if not types or "string" in types:
            return text
        raise ContentInvalid(
            f"{text[:40]!r} is no {kind} for {name!r}.",
            field=f"variables/{name}",
            remedy='Write it as JSON, for example 3, true or ["a", "b"].',
        ) from None
    check_storable(value)
    if "string" in types and not Draft202012Validator({"type": types}).is_valid(value):
        return text
    return value


def _is_line(text: str) -> bool:
    return bool(text) and text == text.strip() and "\n" not in text and "\r" not in text


def _lines(text: str) -> list[str]:
    return [line for each in text.split("\n") if (line := each.strip())]


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
    check_storable(value)
    if not isinstance(value, kind):
        raise ContentInvalid(
            "This has to be a JSON list." if kind is list else "This has to be a JSON object.", field=field_name
        )
    return value


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
