"""JSON Schemas of users, made safe to check with: their patterns run on RE2, nothing is fetched, and a check ends."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from fractions import Fraction
from graphlib import CycleError, TopologicalSorter
from typing import Any, Final

from jsonschema import Draft202012Validator, SchemaError, ValidationError, validators  # type: ignore[import-untyped]
from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from apps.evaluation.scorers.patterns import PatternError, compiled, searchable

MOST_CHARACTERS: Final = 100_000
# How many keywords one value may be held against: a schema that refers to itself may double its work with each level.
MOST_STEPS: Final = 200_000
_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
# These look at names by Python's own patterns inside the library, or are of no use to a score.
_REFUSED: Final = ("unevaluatedProperties", "unevaluatedItems", "$dynamicRef", "$recursiveRef")
# Keywords that hold schemas, for the same value and for what is in it.
_OF_THE_VALUE: Final = ("allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas")
_OF_ITS_PARTS: Final = (
    "properties", "patternProperties", "additionalProperties", "propertyNames", "items", "prefixItems", "contains",
    "$defs", "definitions",
)  # fmt: skip
_BY_NAME: Final = frozenset({"properties", "patternProperties", "dependentSchemas", "$defs", "definitions"})

_left: ContextVar[int] = ContextVar("steps_left")


class TooMuchWork(Exception):
    """A value and a schema that cannot be held against each other in ``MOST_STEPS``."""


class Schema:
    """A schema to check values by. Raises ValueError, saying what is wrong with it."""

    def __init__(self, schema: Any) -> None:
        try:
            written = json.dumps(schema)
            if len(written) > MOST_CHARACTERS:
                raise ValueError(f"it is longer than {MOST_CHARACTERS:,} characters")
            own = json.loads(written)
            Draft202012Validator.check_schema(own, format_checker=None)
        except SchemaError as error:
            raise ValueError(error.message[:200]) from None
        except RecursionError:
            raise ValueError("it is nested too deep") from None
        _make_safe(own)
        self._validator = _Validator(own, registry=Registry())

    def problem(self, value: Any) -> ValidationError | None:
        """The first thing in which ``value`` does not fit. Raises ``TooMuchWork``."""
        before = _left.set(MOST_STEPS)
        try:
            return next(self._validator.iter_errors(value), None)
        except RecursionError:
            raise TooMuchWork from None
        finally:
            _left.reset(before)


def _make_safe(root: Any) -> None:
    """Look through all the schemas in ``root``, and take out what would have the library read one in another way."""
    same_value: dict[int, list[int]] = {}
    refs: list[tuple[int, str]] = []
    waiting = [root]
    while waiting:
        schema = waiting.pop()
        if isinstance(schema, bool):
            continue
        if lacking := [name for name in _REFUSED if name in schema]:
            raise ValueError(f"{lacking[0]} is not supported")
        # Where one of these stands, the library leaves this module's keywords, or the root that $ref begins at.
        if schema.pop("$schema", _DIALECT).removesuffix("#") != _DIALECT:
            raise ValueError("$schema may only name the dialect of 2020-12")
        if schema.pop("$id", None) is not None and schema is not root:
            raise ValueError("$id may only stand at the top")
        for pattern in (*([schema["pattern"]] if "pattern" in schema else ()), *schema.get("patternProperties", {})):
            try:
                compiled(pattern)
            except PatternError as error:
                raise ValueError(f"the pattern {pattern[:60]!r} is none of RE2's: {error}") from None
        if "$ref" in schema:
            refs.append((id(schema), schema["$ref"]))
        of_the_value = list(_inside(schema, _OF_THE_VALUE))
        same_value[id(schema)] = [id(each) for each in of_the_value if not isinstance(each, bool)]
        waiting += [*of_the_value, *_inside(schema, _OF_ITS_PARTS)]
    resolver = Registry().resolver_with_root(DRAFT202012.create_resource(root))
    for place, ref in refs:
        target = _target(resolver, ref)
        if isinstance(target, bool):
            continue
        if id(target) not in same_value:
            raise ValueError(f"$ref points at {ref[:60]!r}, where there is no schema")
        same_value[place].append(id(target))
    steps: dict[int, int] = {}
    try:
        for place in TopologicalSorter(same_value).static_order():
            steps[place] = 1 + sum(steps[each] for each in same_value[place])
    except CycleError:
        raise ValueError("a $ref leads back to itself without going into the value") from None
    if max(steps.values(), default=0) > MOST_STEPS:
        raise ValueError(f"its $refs make more than {MOST_STEPS:,} schemas of it for a single value")


def _inside(schema: Mapping[str, Any], keywords: tuple[str, ...]) -> Iterator[Any]:
    for keyword in keywords:
        if keyword in schema:
            held = schema[keyword]
            yield from held.values() if keyword in _BY_NAME else held if isinstance(held, list) else [held]


def _target(resolver: Any, ref: str) -> Any:
    if not ref.startswith("#"):
        raise ValueError("$ref may only point inside the schema")
    try:
        return resolver.lookup(ref).contents
    except (Unresolvable, TypeError, ValueError):
        raise ValueError(f"$ref points at {ref[:60]!r}, where there is nothing") from None


def _pattern(check: Any, pattern: str, value: Any, schema: Any) -> Iterator[ValidationError]:
    if check.is_type(value, "string") and not compiled(pattern).search(searchable(value)):
        yield ValidationError("does not match the pattern")


def _pattern_properties(check: Any, patterns: Mapping[str, Any], value: Any, schema: Any) -> Iterator[ValidationError]:
    if check.is_type(value, "object"):
        for pattern, each in patterns.items():
            for name in value:
                if compiled(pattern).search(searchable(name)):
                    yield from check.descend(value[name], each, path=name, schema_path=pattern)


def _additional_properties(check: Any, allowed: Any, value: Any, schema: Any) -> Iterator[ValidationError]:
    if not check.is_type(value, "object"):
        return
    patterns = [compiled(pattern) for pattern in schema.get("patternProperties", {})]
    others = [
        name
        for name in value
        if name not in schema.get("properties", {})
        and not any(pattern.search(searchable(name)) for pattern in patterns)
    ]
    if check.is_type(allowed, "object"):
        for name in others:
            yield from check.descend(value[name], allowed, path=name)
    elif not allowed and others:
        yield ValidationError(f"has properties that are not allowed: {', '.join(sorted(others))[:100]}")


def _multiple_of(check: Any, step: Any, value: Any, schema: Any) -> Iterator[ValidationError]:
    """By the digits as they are written: of floats, 19.99 would be no multiple of 0.01."""
    if check.is_type(value, "number") and (abs(value) == math.inf or Fraction(str(value)) % Fraction(str(step))):
        yield ValidationError(f"is not a multiple of {step}")


# The library's own keep every error of every branch, each with the value in its message.
def _any_of(check: Any, branches: list[Any], value: Any, schema: Any) -> Iterator[ValidationError]:
    if not any(_fits(check, value, each) for each in branches):
        yield ValidationError("fits none of the schemas of anyOf")


def _one_of(check: Any, branches: list[Any], value: Any, schema: Any) -> Iterator[ValidationError]:
    fitting = sum(_fits(check, value, each) for each in branches)
    if fitting != 1:
        yield ValidationError(f"fits {fitting or 'none'} of the schemas of oneOf")


def _fits(check: Any, value: Any, schema: Any) -> bool:
    return next(check.descend(value, schema), None) is None


_Keyword = Callable[[Any, Any, Any, Any], Any]


def _counted(keyword: _Keyword) -> _Keyword:
    def counted(check: Any, wanted: Any, value: Any, schema: Any) -> Any:
        left = _left.get()
        if not left:
            raise TooMuchWork
        _left.set(left - 1)
        return keyword(check, wanted, value, schema)

    return counted


_KEYWORDS: Final[Mapping[str, _Keyword]] = {
    **Draft202012Validator.VALIDATORS,
    "pattern": _pattern,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional_properties,
    "multipleOf": _multiple_of,
    "anyOf": _any_of,
    "oneOf": _one_of,
}
_Validator: Final = validators.extend(
    Draft202012Validator, {name: _counted(keyword) for name, keyword in _KEYWORDS.items()}
)
