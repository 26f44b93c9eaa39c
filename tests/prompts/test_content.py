"""What a version may say, how it is rendered, and how its hash names it."""

from __future__ import annotations

import json
import random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.prompts import placeholders
from apps.prompts.content import clean_content, content_hash
from apps.prompts.errors import ContentInvalid, VariablesInvalid
from apps.prompts.rendering import Template
from apps.prompts.types import Content, plain
from tests.prompts.conftest import said

names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,20}", fullmatch=True)
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00\r"), max_size=200)
values = st.one_of(texts, st.integers(), st.booleans(), st.none(), st.lists(texts, max_size=3))
ANY = ["string", "integer", "number", "boolean", "null", "array", "object"]


def clean(raw: dict[str, Any]) -> Content:
    def nothing(reference: str) -> Any:
        raise ContentInvalid(f"no {reference}")

    return clean_content(raw, nothing)


@given(st.lists(st.tuples(texts, names), min_size=1, max_size=6), st.data())
def test_values_stand_where_their_names_stood_and_nothing_else_changes(
    parts: list[tuple[str, str]], data: st.DataObject
) -> None:
    parts = [(text.replace("{", "("), name) for text, name in parts]
    text = "".join(f"{before}{{{{{name}}}}}" for before, name in parts)
    given_values = {name: data.draw(values) for _, name in parts}
    content = clean(said(text, variables={name: {"type": ANY} for name in given_values}))
    rendered = Template(content).render(given_values)[0].content
    assert rendered == "".join(before + placeholders.written(given_values[name]) for before, name in parts)


@given(names, names)
def test_a_value_is_never_expanded_again(first: str, second: str) -> None:
    content = clean(said(f"{{{{{first}}}}} {{{{ {second} }}}}"))
    trick = f"{{{{{second}}}}}{{{{> house}}}}{{{{{first}}}}}"
    rendered = Template(content).render({first: trick, second: trick})[0].content
    assert rendered == f"{trick} {trick}"


@pytest.mark.parametrize(
    "text",
    ["{{ 7*7 }}", "{{a.b}}", "{{a|safe}}", "{% if x %}", "{{__import__('os')}}", "{ {x}}", "{{x }", "${x}", "{{a b}}"],
)
def test_what_is_no_name_in_braces_stays_as_it_is(text: str) -> None:
    assert Template(clean(said(text))).render({})[0].content == text


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(texts, json_values, max_size=4), st.floats(0, 2), st.randoms(use_true_random=False))
def test_the_hash_depends_on_what_is_said_and_not_on_how_it_is_written(
    schema: dict[str, Any], temperature: float, order: random.Random
) -> None:
    raw = said("You sort claims.", output_schema=schema, parameters={"temperature": temperature})
    content = clean(raw)
    # Through a database, and with every object's keys in another order.
    shuffled = _shuffled(json.loads(json.dumps(raw)), order)
    assert content_hash(clean(shuffled)) == content_hash(content)
    stored = msgspec.convert(json.loads(json.dumps(plain(content))), Content)
    assert content_hash(stored) == content_hash(content)
    other = clean({**raw, "messages": [{"role": "system", "content": "You sort claims!"}]})
    assert content_hash(other) != content_hash(content)


def _shuffled(value: Any, order: random.Random) -> Any:
    if isinstance(value, dict):
        names = list(value)
        order.shuffle(names)
        return {name: _shuffled(value[name], order) for name in names}
    return [_shuffled(each, order) for each in value] if isinstance(value, list) else value


def test_numbers_that_databases_write_differently_make_one_hash() -> None:
    one, other = ({"const": 1e3, "multipleOf": 2.0}, {"const": 1000, "multipleOf": 2})
    assert content_hash(clean(said("x", output_schema=one))) == content_hash(clean(said("x", output_schema=other)))


def test_every_wrong_variable_is_named_and_no_value_is_repeated() -> None:
    content = clean(
        said(
            "{{ticket}} {{count}} {{tone}} {{lang}}",
            variables={
                "count": {"type": "integer", "minimum": 1},
                "tone": {"enum": ["plain", "warm"]},
                "lang": {"type": "string", "default": "English"},
            },
        )
    )
    with pytest.raises(VariablesInvalid) as raised:
        Template(content).render({"count": "a-private-value", "tone": "another-private-value", "extra": 1})
    assert set(raised.value.problems) == {"ticket", "count", "tone", "extra"}
    assert "'ticket' is missing" in str(raised.value)
    assert "must be of the type integer, not string" in str(raised.value)
    assert "private-value" not in str(raised.value)
    good = Template(content).render({"ticket": "T", "count": 3, "tone": "warm"})
    assert good[0].content == "T 3 warm English"


def test_true_is_no_number_and_inner_values_are_checked() -> None:
    schema = {"type": "array", "items": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}}
    template = Template(clean(said("{{rows}}", variables={"rows": schema})))
    mistakes: list[Any] = [[{"n": True}], [{"n": "1"}], [{}], {"n": 1}]
    for wrong in mistakes:
        with pytest.raises(VariablesInvalid):
            template.render({"rows": wrong})
    assert template.render({"rows": [{"n": 1}]})[0].content == '[{"n": 1}]'


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"variables": {"x": {"$ref": "http://169.254.169.254/"}}}, "variables/x"),
        ({"variables": {"x": {"type": "string", "pattern": "(a+)+$"}}}, "variables/x"),
        ({"variables": {"x": {"type": "strin"}}}, "variables/x"),
        ({"variables": {"x": {"type": "integer", "default": "three"}}}, "variables/x"),
        ({"variables": {"x": {"type": "integer", "examples": ["three"]}}}, "variables/x"),
        ({"variables": {"x": {"type": "string", "minLength": -1}}}, "variables/x"),
        ({"variables": {"x": {"type": "integer", "minimum": 10**400}}}, "variables/x"),
        ({"variables": {"x": {"type": "number", "maximum": float("-inf")}}}, None),
        ({"variables": {"x": "string"}}, "variables/x"),
        ({"variables": {"unused": {"type": "string"}}}, "variables/unused"),
        ({"parameters": {"temperature": 3}}, "parameters/temperature"),
        ({"parameters": {"magic": 1}}, "parameters"),
        ({"tools": [{"function": {"name": "no spaces"}}]}, "tools/0/function/name"),
        ({"tools": [{"function": {"name": "a"}}, {"function": {"name": "a"}}]}, "tools"),
        ({"model": "no model!"}, "model"),
        ({"includes": {}}, "includes"),
        ({"surprise": 1}, None),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages/0/role"),
        ({"messages": [{"role": "user", "content": "nul \x00"}]}, None),
        ({"output_schema": {"x": float("nan")}}, None),
    ],
)
def test_what_cannot_be_saved_is_refused_with_its_place(more: dict[str, Any], field: str | None) -> None:
    with pytest.raises(ContentInvalid) as raised:
        clean({**said("About {{x}}"), **more})
    assert raised.value.field == field


def test_line_ends_of_files_and_browsers_make_no_other_version() -> None:
    assert content_hash(clean(said("a\r\nb\rc"))) == content_hash(clean(said("a\nb\nc")))
