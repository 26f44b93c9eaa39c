"""JSON Schemas that somebody writes to stop a worker, or by mistake: told at once, or checked in good time."""

from __future__ import annotations

import json
from typing import Any

import pytest

from apps.evaluation.scorers import ParametersInvalid, Score
from apps.evaluation.scorers.registry import make
from tests.evaluation.scoring import sample, scored

DIALECT = "https://json-schema.org/draft/2020-12/schema"
EVIL = "^(a+)+$"
# Its time doubles with each letter in an engine that tries every way.
LONG = "a" * 60 + "!"


def checked(schema: Any, answer: Any) -> Score:
    return scored("json-schema", json.dumps(answer), sample(), schema=schema)


@pytest.mark.parametrize(
    ("schema", "answer"),
    [
        ({"$schema": DIALECT, "pattern": EVIL}, LONG),
        ({"$schema": f"{DIALECT}#", "pattern": EVIL}, LONG),
        ({"properties": {"a": {"$schema": DIALECT, "pattern": EVIL}}}, {"a": LONG}),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"$schema": DIALECT, "pattern": EVIL}}}, LONG),
        ({"$ref": "#a", "$defs": {"b": {"$anchor": "a", "$schema": DIALECT, "pattern": EVIL}}}, LONG),
        ({"items": {"anyOf": [{"not": {}}, {"$schema": DIALECT, "patternProperties": {EVIL: False}}]}}, [{"aaa": 1}]),
        ({"if": {"$schema": DIALECT, "pattern": EVIL}, "else": False}, LONG),
        ({"$id": "https://example.com/one", "$ref": "#/$defs/a", "$defs": {"a": {"pattern": EVIL}}}, LONG),
        ({"properties": {"$schema": {"const": "x"}, "$id": {"const": "y"}}}, {"$schema": "y"}),
    ],
)
def test_patterns_run_on_re2_wherever_they_stand(schema: Any, answer: Any) -> None:
    assert checked(schema, answer).value == 0.0


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"$schema": "http://json-schema.org/draft-07/schema#"}, "only name the dialect of 2020-12"),
        ({"items": {"$schema": "http://json-schema.org/draft-07/schema#"}}, "only name the dialect of 2020-12"),
        ({"items": {"$id": "https://example.com/x"}}, "may only stand at the top"),
        ({"$ref": "other.json"}, "only point inside"),
        ({"$ref": "#/nope"}, "there is nothing"),
        ({"$ref": "#nope"}, "there is nothing"),
        ({"allOf": [True], "items": {"$ref": "#/allOf/one"}}, "there is nothing"),
        ({"items": {"$ref": "#/const"}, "const": {"pattern": EVIL}}, "there is no schema"),
        ({"$ref": "#"}, "leads back to itself"),
        ({"allOf": [{"anyOf": [{"$ref": "#"}]}]}, "leads back to itself"),
        ({"items": {"unevaluatedItems": False}}, "unevaluatedItems is not supported"),
        ({"properties": {"a": {"pattern": r"(a)\1"}}}, "none of RE2's"),
        ({"pattern": "\ud800"}, "none of RE2's"),
        ({"description": "x" * 100_000}, "longer than"),
        (
            {"$ref": "#/$defs/0", "$defs": {str(at): {"allOf": [{"$ref": f"#/$defs/{at + 1}"}] * 2} for at in range(40)}
             | {"40": {}}},
            "more than 200,000 schemas",
        ),
    ],
)  # fmt: skip
def test_a_schema_that_is_none_or_has_no_end_is_refused_when_it_is_set_up(schema: Any, words: str) -> None:
    with pytest.raises(ParametersInvalid, match=words) as caught:
        make("json-schema", {"schema": schema})
    assert caught.value.field == "schema"


def test_a_schema_nested_too_deep_is_refused() -> None:
    schema: dict[str, Any] = {}
    for _ in range(2_000):
        schema = {"not": schema}
    with pytest.raises(ParametersInvalid, match="nested too deep"):
        make("json-schema", {"schema": schema})


TREE = {
    "$ref": "#/$defs/node",
    "$defs": {
        "any": True,
        "node": {
            "type": "object",
            "properties": {"name": {"$ref": "#/$defs/any"}, "in": {"type": "array", "items": {"$ref": "#/$defs/node"}}},
            "required": ["name"],
        },
    },
}


def test_a_schema_may_lead_back_to_itself_through_the_value() -> None:
    assert checked(TREE, {"name": 1, "in": [{"name": 2, "in": []}]}).value == 1.0
    wrong = checked(TREE, {"name": 1, "in": [{"in": []}]})
    assert (wrong.value, wrong.reason) == (0.0, "At $.in[0]: 'name' is a required property.")


def nested(depth: int) -> Any:
    value: Any = {}
    for _ in range(depth):
        value = {"a": value}
    return value


def test_what_doubles_with_each_level_of_the_answer_ends() -> None:
    twice = {"allOf": [{"properties": {"a": {"$ref": "#"}}}] * 2}
    assert checked(twice, nested(5)).value == 1.0
    score = checked(twice, nested(60))
    assert score.error is not None
    assert score.error.code == "schema_too_costly"
    either = {"anyOf": [{"properties": {"a": {"$ref": "#"}}, "required": ["b"]}] * 2}
    assert checked(either, nested(60) | {"text": "x" * 50_000}).error is not None


def test_branches_are_told_apart() -> None:
    schema = {"oneOf": [{"type": "integer"}, {"minimum": 5}]}
    assert [checked(schema, value).value for value in (3, 5.5, 7, 1.5)] == [1.0, 1.0, 0.0, 0.0]
    assert checked({"anyOf": [{"type": "integer"}, {"minimum": 5}]}, 7).value == 1.0


def test_patterns_are_in_re2s_syntax_and_no_text_breaks_one() -> None:
    assert checked({"pattern": r"^\p{Lu}\pL*$"}, "Ünter").value == 1.0
    assert checked({"pattern": "^a"}, "\ud800").value == 0.0
    names = {"patternProperties": {"^a": True}, "additionalProperties": False}
    assert checked(names, {"\ud800": 1}).value == 0.0
