"""The typed variables of a prompt: which JSON schemas may be declared, and whether values fit them.

The schemas are a part of JSON Schema (2020-12): enough to type a value, and nothing that could fetch something
(``$ref``) or run for long on a value made for it (``pattern``, ``uniqueItems``): the gateway checks values on its path.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jsonschema import Draft202012Validator, ValidationError  # type: ignore[import-untyped]

from apps.prompts.errors import ContentInvalid, VariablesInvalid
from apps.prompts.placeholders import NAME, written
from apps.prompts.types import MOST_VARIABLES

TYPES = ("string", "integer", "number", "boolean", "array", "object", "null")
MOST_DEPTH = 6
MOST_CHOICES = 200
_COUNTS = ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties")
_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
_TEXTS = ("title", "description", "format")  # said to people; a format is not checked
_OTHERS = ("type", "default", "examples", "enum", "const", "items", "properties", "required", "additionalProperties")
KEYWORDS = frozenset((*_COUNTS, *_BOUNDS, *_TEXTS, *_OTHERS))


def clean_variables(variables: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The declarations, each with a type. Raises ``ContentInvalid``, naming the variable."""
    if len(variables) > MOST_VARIABLES:
        raise ContentInvalid(f"There are {len(variables)} variables; at most {MOST_VARIABLES} fit.", field="variables")
    return {name: _clean(name, schema) for name, schema in variables.items()}


def _clean(name: str, schema: Any) -> dict[str, Any]:
    if not NAME.fullmatch(name):
        raise ContentInvalid(
            f"{name[:70]!r} cannot be a variable's name.",
            field="variables",
            remedy="Use letters, digits and underscores, at most 64, for example claim_text.",
        )
    field = f"variables/{name}"
    if isinstance(schema, Mapping) and not {"type", "enum", "const"} & set(schema):
        schema = {"type": "string", **schema}
    cleaned = clean_schema(schema, field)
    check = Draft202012Validator(cleaned)
    if "default" in cleaned and (problem := problem_of(check, cleaned["default"])):
        raise ContentInvalid(f"The default of {name!r} {problem}.", field=field)
    for example in cleaned.get("examples", []):
        if problem := problem_of(check, example):
            raise ContentInvalid(f"An example of {name!r} {problem}.", field=field)
    return cleaned


def type_of(schema: Mapping[str, Any]) -> str:
    """In words: ``string``, or ``string or null``; ``any`` where only its choices say what it may be."""
    types = schema.get("type", "any")
    return types if isinstance(types, str) else " or ".join(types)


@dataclass(frozen=True, slots=True)
class VariableShown:
    """A declaration for people to read: values as they stand in a text. None where it has no such value."""

    name: str
    type: str
    description: str
    choices: str
    longest: int | None
    default: str | None
    example: str | None


def shown(name: str, schema: Mapping[str, Any]) -> VariableShown:
    examples = schema.get("examples")
    return VariableShown(
        name=name,
        type=type_of(schema),
        description=schema.get("description", ""),
        choices=", ".join(written(each) for each in schema.get("enum", [])),
        longest=schema.get("maxLength"),
        default=written(schema["default"]) if "default" in schema else None,
        example=written(examples[0]) if examples else None,
    )


def clean_schema(schema: Any, field: str, depth: int = 1) -> dict[str, Any]:
    """The schema, if it is made of what is allowed here. Raises ``ContentInvalid``."""
    if not isinstance(schema, Mapping):
        raise ContentInvalid('A variable is declared by a JSON schema such as {"type": "string"}.', field=field)
    if depth > MOST_DEPTH:
        raise ContentInvalid(f"The schema is nested more than {MOST_DEPTH} deep.", field=field)
    if unknown := sorted(set(map(str, schema)) - KEYWORDS):
        raise ContentInvalid(
            f"{unknown[0][:40]!r} is no keyword that a variable's schema may have.",
            field=field,
            remedy=f"Keywords: {', '.join(sorted(KEYWORDS))}.",
        )
    cleaned = dict(schema)
    for keyword, value in schema.items():
        if problem := _wrong(keyword, value):
            raise ContentInvalid(f"{keyword!r} {problem}.", field=field)
    if "items" in schema:
        cleaned["items"] = clean_schema(schema["items"], field, depth + 1)
    if "properties" in schema:
        properties = schema["properties"]
        cleaned["properties"] = {str(name): clean_schema(each, field, depth + 1) for name, each in properties.items()}
    if isinstance(schema.get("additionalProperties"), Mapping):
        cleaned["additionalProperties"] = clean_schema(schema["additionalProperties"], field, depth + 1)
    return cleaned


def _wrong(keyword: str, value: Any) -> str:
    """What is wrong with a keyword's value; empty when nothing is."""
    if keyword in _COUNTS:
        return "" if type(value) is int and value >= 0 else "is a whole number from 0"
    if keyword in _BOUNDS:
        fits = isinstance(value, int | float) and not isinstance(value, bool)
        return "" if fits and -sys.float_info.max <= value <= sys.float_info.max else "is a number"
    if keyword in _TEXTS:
        return "" if isinstance(value, str) and len(value) <= 2_000 else "is a text of at most 2,000 characters"
    match keyword:
        case "type":
            types = value if isinstance(value, list) else [value]
            fits = bool(types) and all(isinstance(each, str) and each in TYPES for each in types)
            return "" if fits and len(set(types)) == len(types) else f"is one of {', '.join(TYPES)}"
        case "examples" | "enum":
            fits = isinstance(value, list) and len(value) <= MOST_CHOICES and (keyword == "examples" or bool(value))
            return "" if fits else f"is a list of at most {MOST_CHOICES} values"
        case "required":
            fits = isinstance(value, list) and len(value) <= MOST_CHOICES and all(isinstance(e, str) for e in value)
            return "" if fits else "is a list of names"
        case "properties":
            return "" if isinstance(value, Mapping) and len(value) <= MOST_CHOICES else "maps names to schemas"
        case "additionalProperties":
            return "" if isinstance(value, bool | Mapping) else "is true, false or a schema"
    return ""


class VariableCheck:
    """The declarations of one version, made ready once."""

    def __init__(self, variables: Mapping[str, dict[str, Any]]) -> None:
        self._checks = {name: Draft202012Validator(schema) for name, schema in variables.items()}
        self._defaults = {name: schema["default"] for name, schema in variables.items() if "default" in schema}

    def complete(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The values with the defaults of those left out. Raises ``VariablesInvalid``, naming all that are wrong."""
        known = ", ".join(self._checks) or "none"
        problems = {
            name: f"is no variable of this prompt (it has: {known})" for name in values if name not in self._checks
        }
        for name, check in self._checks.items():
            if name in values:
                if problem := problem_of(check, values[name]):
                    problems[name] = problem
            elif name not in self._defaults:
                problems[name] = "is missing"
        if problems:
            raise VariablesInvalid(problems)
        return self._defaults | dict(values)


_WORDS = {
    "minLength": "has fewer than {} characters",
    "maxLength": "has more than {} characters",
    "minItems": "has fewer than {} items",
    "maxItems": "has more than {} items",
    "minProperties": "has fewer than {} properties",
    "maxProperties": "has more than {} properties",
    "minimum": "is below {}",
    "maximum": "is above {}",
    "exclusiveMinimum": "is not above {}",
    "exclusiveMaximum": "is not below {}",
    "const": "is not the one value allowed",
    "additionalProperties": "has a property that is not declared",
}


def problem_of(check: Draft202012Validator, value: Any) -> str:
    """What is wrong with ``value``, without repeating it; empty when it fits."""
    error: ValidationError | None = next(check.iter_errors(value), None)
    if error is None:
        return ""
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}"[:60] for part in error.absolute_path)
    at = f"(at {where.removeprefix('.')}) " if where else ""
    wanted = error.validator_value
    match error.validator:
        case "type":
            types = wanted if isinstance(wanted, list) else [wanted]
            return f"{at}must be of the type {' or '.join(types)}, not {_type(error.instance)}"
        case "enum":
            shown = ", ".join(str(each)[:40] for each in wanted[:20])
            return f"{at}is not one of: {shown}{', …' if len(wanted) > 20 else ''}"
        case "required":
            missing = [name for name in wanted if name not in error.instance]
            return f"{at}lacks {', '.join(missing[:5])}"
        case keyword:
            return at + _WORDS.get(str(keyword), "does not fit its schema").format(wanted)


def _type(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
    return "object"
