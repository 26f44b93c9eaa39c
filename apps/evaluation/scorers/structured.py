"""Answers that are JSON."""

from __future__ import annotations

import json
import math
from typing import Any, ClassVar, Final

from apps.evaluation.scorers import schemas
from apps.evaluation.scorers.base import Scorer
from apps.evaluation.scorers.types import Need, Output, Sample, Score, ValueKind
from apps.evaluation.scorers.wording import normalised, shown

_FENCES: Final[dict[str, Any]] = {
    "type": "boolean",
    "default": True,
    "description": "The JSON may stand in a fenced block of Markdown.",
}


class NotJson(ValueError):
    """Why a text is not JSON."""


def parsed(output: Output, *, fenced: bool = True) -> Any:
    """The answer as a JSON value. Raises ``NotJson``; NaN and doubled keys are not JSON either.

    Whoever has parsed a text before may have been less strict: that counts only where there is no text.
    """
    if output.parsed is not None and not output.text.strip():
        return output.parsed
    return read_json(output.text, fenced=fenced)


def read_json(text: str, *, fenced: bool = False) -> Any:
    """Raises ``NotJson``."""
    if fenced:
        text = _unfenced(text)
    try:
        return json.loads(text, parse_constant=_no_constant, object_pairs_hook=_no_doubles)
    except NotJson:
        raise
    except json.JSONDecodeError as error:
        raise NotJson(f"{error.msg} at line {error.lineno}, column {error.colno}") from None
    except (ValueError, RecursionError):
        raise NotJson("it is nested too deep, or holds too long a number") from None


def _unfenced(text: str) -> str:
    first, _, rest = text.strip().partition("\n")
    return rest.removesuffix("```") if first.rstrip().lower() in ("```", "```json") and rest.endswith("```") else text


def _no_constant(name: str) -> Any:
    raise NotJson(f"{name} is no number of JSON's")


def _no_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise NotJson("a key is given twice")
    return made


class JsonValid(Scorer):
    slug = "json-valid"
    title = "Valid JSON"
    description = "1 where the answer is JSON, and nothing else."
    parameters_schema: ClassVar[dict[str, dict[str, Any]]] = {"fenced": _FENCES}
    code_version = 2
    value_kind = ValueKind.BINARY

    def score(self, sample: Sample, output: Output) -> Score:
        try:
            parsed(output, fenced=self.parameters["fenced"])
        except NotJson as error:
            return Score.passed(False, f"Not JSON: {error}.")
        return Score.passed(True)


class JsonSchema(Scorer):
    slug = "json-schema"
    title = "JSON Schema"
    description = "1 where the answer is JSON that fits the schema (2020-12; patterns in RE2's syntax)."
    parameters_schema: ClassVar[dict[str, dict[str, Any]]] = {
        "schema": {"type": ["object", "boolean"], "description": "The JSON Schema that the answer has to fit."},
        "fenced": _FENCES,
    }
    code_version = 3
    value_kind = ValueKind.BINARY

    def prepare(self) -> None:
        try:
            self._schema = schemas.Schema(self.parameters["schema"])
        except ValueError as error:
            raise self.invalid("schema", f"is no schema to check by: {error}") from None

    def score(self, sample: Sample, output: Output) -> Score:
        try:
            value = parsed(output, fenced=self.parameters["fenced"])
        except NotJson as error:
            return Score.passed(False, f"Not JSON: {error}.")
        try:
            wrong = self._schema.problem(value)
        except schemas.TooMuchWork:
            told = "The schema refers to itself so often that it takes too long to hold this answer against it."
            return Score.failed("schema_too_costly", told)
        if wrong is not None:
            return Score.passed(False, f"At {wrong.json_path[:100]}: {wrong.message[:200]}.")
        return Score.passed(True)


class JsonFields(Scorer):
    slug = "json-fields"
    title = "JSON fields"
    description = "The share of the expected object's fields that the answer's JSON has with the same value."
    parameters_schema: ClassVar[dict[str, dict[str, Any]]] = {
        "fields": {
            "type": "array",
            "items": {"type": "string", "minLength": 1, "maxLength": 200},
            "maxItems": 200,
            "default": [],
            "description": "Which, as dotted paths: party.name, or party for all in it; left empty, all expected.",
        },
        "tolerance": {"type": "number", "minimum": 0, "default": 1e-9, "description": "Between numbers, relative."},
        "normalise": {"type": "boolean", "default": True, "description": "Texts may differ in case and punctuation."},
        "fenced": _FENCES,
    }
    code_version = 3
    needs = frozenset({Need.EXPECTED})

    def score(self, sample: Sample, output: Output) -> Score:
        try:
            wanted = [read_json(value) if isinstance(value, str) else value for value in sample.expected]
        except NotJson as error:
            return Score.failed("expected_not_json", f"The expected value is not JSON: {error}.")
        try:
            given = parsed(output, fenced=self.parameters["fenced"])
        except NotJson as error:
            return Score(0.0, reason=f"Not JSON: {error}.")
        scores = [self._against(given, each) for each in wanted]
        return max(scores, key=lambda score: -1.0 if score.value is None else score.value)

    def _against(self, given: Any, wanted: Any) -> Score:
        expected = _leaves(wanted)
        if not isinstance(wanted, dict | list) or not expected:
            return Score.failed("expected_not_an_object", "The expected value has no fields.")
        names = list(expected)
        if self.parameters["fields"]:
            inside = {field: [name for name in names if _is_in(name, field)] for field in self.parameters["fields"]}
            if lacking := [field for field, chosen in inside.items() if not chosen]:
                return Score.failed("expected_lacks_field", f"The expected value has no field {shown(lacking[0], 40)}.")
            names = list(dict.fromkeys(name for chosen in inside.values() for name in chosen))
        found = _leaves(given)
        wrong = [name for name in names if not self._same(found.get(name, _ABSENT), expected[name])]
        reason = f"Wrong or missing: {', '.join(shown(name, 40) for name in wrong[:10])}." if wrong else ""
        return Score(1 - len(wrong) / len(names), reason=reason, details={"wrong": wrong[:50]})

    def _same(self, given: Any, wanted: Any) -> bool:
        if isinstance(given, bool) or isinstance(wanted, bool):
            return given is wanted
        if isinstance(given, int | float) and isinstance(wanted, int | float):
            try:
                return math.isclose(given, wanted, rel_tol=self.parameters["tolerance"])
            except OverflowError:  # a number of hundreds of digits
                return given == wanted
        if isinstance(given, str) and isinstance(wanted, str) and self.parameters["normalise"]:
            return normalised(given) == normalised(wanted)
        return type(given) is type(wanted) and bool(given == wanted)


_ABSENT: Final = object()


def _is_in(name: str, field: str) -> bool:
    """Whether a leaf is the field, or lies in it."""
    return name == field or name.startswith(f"{field}.")


def _leaves(value: Any, path: str = "") -> dict[str, Any]:
    """Every value that is no object or list, by its dotted path; an empty one is a leaf as well."""
    children: list[tuple[str, Any]] = []
    if isinstance(value, dict):
        children = [(str(name), each) for name, each in value.items()]
    elif isinstance(value, list):
        children = [(str(place), each) for place, each in enumerate(value)]
    if not children:
        return {path: value} if path else {}
    made: dict[str, Any] = {}
    for name, each in children:
        made |= _leaves(each, f"{path}.{name}" if path else name)
    return made
