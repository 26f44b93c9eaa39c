"""JSON Schemas of users, made safe to check with: their patterns run on RE2, and nothing is fetched."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from jsonschema import Draft202012Validator, SchemaError, ValidationError, validators  # type: ignore[import-untyped]
from referencing import Registry

from apps.evaluation.scorers.patterns import PatternError, compiled

MOST_CHARACTERS: Final = 100_000
# These look at names by Python's own patterns inside the library, or are of no use to a score.
_REFUSED: Final = frozenset({"unevaluatedProperties", "unevaluatedItems", "$dynamicRef", "$recursiveRef"})


def validator(schema: Any) -> Any:
    """Checks values against ``schema`` by ``iter_errors``. Raises ValueError, saying what is wrong with it."""
    if len(json.dumps(schema)) > MOST_CHARACTERS:
        raise ValueError(f"it is longer than {MOST_CHARACTERS:,} characters")
    _look_through(schema, 0)
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise ValueError(error.message[:200]) from None
    return _Validator(schema, registry=Registry())


def _look_through(schema: Any, depth: int) -> None:
    if depth > 60:
        raise ValueError("it is nested more than 60 deep")
    if isinstance(schema, list):
        for each in schema:
            _look_through(each, depth + 1)
    elif isinstance(schema, Mapping):
        for name, value in schema.items():
            if name in _REFUSED:
                raise ValueError(f"{name} is not supported")
            if name == "$ref" and isinstance(value, str) and not value.startswith("#"):
                raise ValueError("$ref may only point inside the schema")
            patterns = [value] if name == "pattern" else value if name == "patternProperties" else []
            for pattern in patterns if isinstance(patterns, list | Mapping) else []:
                if isinstance(pattern, str):
                    try:
                        compiled(pattern)
                    except PatternError as error:
                        raise ValueError(f"the pattern {pattern[:60]!r} is none of RE2's: {error}") from None
            _look_through(value, depth + 1)


def _pattern(check: Any, pattern: str, value: Any, schema: Any) -> Iterator[ValidationError]:
    if check.is_type(value, "string") and not compiled(pattern).search(value):
        yield ValidationError("does not match the pattern")


def _pattern_properties(check: Any, patterns: Mapping[str, Any], value: Any, schema: Any) -> Iterator[ValidationError]:
    if check.is_type(value, "object"):
        for pattern, each in patterns.items():
            for name in value:
                if compiled(pattern).search(name):
                    yield from check.descend(value[name], each, path=name, schema_path=pattern)


def _additional_properties(check: Any, allowed: Any, value: Any, schema: Any) -> Iterator[ValidationError]:
    if not check.is_type(value, "object"):
        return
    patterns = [compiled(pattern) for pattern in schema.get("patternProperties", {})]
    others = [
        name
        for name in value
        if name not in schema.get("properties", {}) and not any(pattern.search(name) for pattern in patterns)
    ]
    if check.is_type(allowed, "object"):
        for name in others:
            yield from check.descend(value[name], allowed, path=name)
    elif not allowed and others:
        yield ValidationError(f"has properties that are not allowed: {', '.join(sorted(others))[:100]}")


_Validator: Final = validators.extend(
    Draft202012Validator,
    {
        "pattern": _pattern,
        "patternProperties": _pattern_properties,
        "additionalProperties": _additional_properties,
    },
)
