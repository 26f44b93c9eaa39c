"""The sandbox's structured answers: filled schemas, tool calls, verdicts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker  # type: ignore[import-untyped]

from apps.models.providers.sandbox.filler import Facts, Filler, SchemaError
from tests.models.providers.sandbox_client import Sandbox, joined, write_docs


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    return Sandbox(write_docs(tmp_path))


def valid(value: Any, schema: Any) -> Any:
    Draft202012Validator(schema, format_checker=FormatChecker()).validate(value)
    return value


def json_schema(schema: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": schema}}


INVOICE: dict[str, Any] = {
    "type": "object",
    "properties": {
        "customer": {"type": "string"},
        "email": {"type": "string", "format": "email"},
        "currency": {"enum": ["USD", "EUR", "GBP"]},
        "total": {"type": "number", "minimum": 0},
        "due": {"type": ["string", "null"], "format": "date"},
        "lines": {"type": "array", "minItems": 3, "maxItems": 5, "items": {"$ref": "#/$defs/line"}},
        "paid": {"type": "boolean"},
        "kind": {"const": "invoice"},
        "parent": {"anyOf": [{"$ref": "#/$defs/line"}, {"type": "null"}]},
    },
    "required": ["customer", "email", "currency", "total", "due", "lines", "paid", "kind", "parent"],
    "additionalProperties": False,
    "$defs": {
        "line": {
            "type": "object",
            "properties": {
                "text": {"type": "string", "minLength": 5, "maxLength": 12},
                "quantity": {"type": "integer", "exclusiveMinimum": 0, "multipleOf": 4},
            },
            "required": ["text", "quantity"],
            "additionalProperties": False,
        }
    },
}


async def test_a_schema_is_filled_validly_from_the_words_of_the_prompt(sandbox: Sandbox) -> None:
    text = "Bill “Ada Lovelace” (ada@example.org) 99.5 in EUR, due 2027-03-04."
    answer = valid(json.loads(await sandbox.say(text, response_format=json_schema(INVOICE))), INVOICE)
    assert answer["customer"] == "Ada Lovelace"
    assert answer["email"] == "ada@example.org"
    assert (answer["total"], answer["currency"], answer["due"]) == (99.5, "EUR", "2027-03-04")
    assert answer["parent"] is not None


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {}},
        {"type": "array", "items": {"enum": [1, 2, 3]}, "minItems": 3, "uniqueItems": True},
        {"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}], "items": False, "minItems": 2},
        {"type": "integer", "minimum": 5, "maximum": 5},
        {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.001},
        {"type": "number", "minimum": -1, "exclusiveMaximum": 0, "multipleOf": 0.25},
        {"type": "integer", "multipleOf": 1.5, "minimum": 1},
        {"type": "string", "minLength": 300},
        {"type": "string", "maxLength": 0},
        {"type": "string", "pattern": "^[A-Z]{2}-\\d{4}(?:x|y)+[^a-z]$"},
        {"type": "string", "pattern": "^\\w+@[a-z.]{3,8}$", "minLength": 9},
        {"type": "string", "format": "uuid"},
        {"type": "string", "format": "date-time"},
        {"type": "string", "format": "ipv6"},
        {"allOf": [{"type": "integer", "minimum": 3}, {"maximum": 3}]},
        {"oneOf": [{"type": "null"}, {"type": "string", "maxLength": 4}]},
        {"anyOf": [False, {"type": "boolean"}]},
        {"type": "object", "required": ["a", "b"], "additionalProperties": {"type": "integer"}, "minProperties": 4},
        {"type": "object", "properties": {"a": True, "b": {}, "c": False}, "maxProperties": 1},
        {"enum": ["x", None, 3], "type": ["null", "integer"]},
        {"minimum": 7},
        {
            "$defs": {
                "tree": {
                    "type": "object",
                    "properties": {"next": {"$ref": "#/$defs/tree"}, "n": {"type": "integer"}},
                    "required": ["n"],
                }
            },
            "$ref": "#/$defs/tree",
        },
        {
            "type": "object",
            "allOf": [
                {"properties": {"a": {"type": "integer"}}},
                {"properties": {"a": {"minimum": 9}}, "required": ["a"]},
            ],
        },
    ],
)
def test_what_it_makes_satisfies_the_schema(schema: Any) -> None:
    valid(Filler(schema, Facts("Some words about 12 boats in Rome")).fill(), schema)
    valid(Filler(schema, Facts("")).fill(), schema)


LEAVES = st.one_of(
    st.just({"type": "boolean"}),
    st.just({"type": "null"}),
    st.builds(
        lambda low, more: {"type": "string", "minLength": low, "maxLength": low + more},
        st.integers(0, 30),
        st.integers(0, 9),
    ),
    st.builds(
        lambda low, more: {"type": "integer", "minimum": low, "maximum": low + more},
        st.integers(-99, 99),
        st.integers(0, 9),
    ),
    st.builds(
        lambda low, more: {"type": "number", "minimum": low, "maximum": low + more},
        st.integers(-99, 99),
        st.integers(0, 9),
    ),
    st.builds(lambda values: {"enum": values}, st.lists(st.text(max_size=5), min_size=1, max_size=4, unique=True)),
)
SCHEMAS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(
            lambda properties, least: {
                "type": "object",
                "properties": properties,
                "required": sorted(properties)[:least],
            },
            st.dictionaries(st.text(max_size=6), inner, max_size=4),
            st.integers(0, 4),
        ),
        st.builds(
            lambda items, low, more: {"type": "array", "items": items, "minItems": low, "maxItems": low + more},
            inner,
            st.integers(0, 3),
            st.integers(0, 3),
        ),
        st.builds(lambda options: {"anyOf": options}, st.lists(inner, min_size=1, max_size=3)),
    ),
    max_leaves=12,
)


@given(schema=SCHEMAS, text=st.text(max_size=80))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_schema_of_these_kinds_is_satisfied_whatever_the_prompt(schema: Any, text: str) -> None:
    value = Filler(schema, Facts(text)).fill()
    valid(json.loads(json.dumps(value)), schema)


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"$ref": "https://example.com/schema.json"},
        {"$ref": "#/nowhere"},
        {"type": "integer", "minimum": 3, "maximum": 2},
        {"type": "integer", "exclusiveMinimum": 3, "exclusiveMaximum": 4},
        {"enum": []},
        {"type": "wizard"},
        {"type": "array", "items": {"enum": [1]}, "minItems": 2, "uniqueItems": True},
        {"type": "array", "items": {"type": "string"}, "minItems": 10**9},
        {"type": "string", "minLength": 10**9},
        {"type": "string", "pattern": "(a{1000}){1000}"},
        {"type": "string", "pattern": "(?=x)y"},
        {"type": "string", "pattern": "("},
        {"type": "object", "required": ["a"], "additionalProperties": False},
        {"type": "array", "minItems": "three"},
        {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]},
        {"allOf": [{"allOf": [{"$ref": "#"}] * 9}] * 9},
        {"type": "object", "properties": {"a": 7}, "required": ["a"]},
        False,
    ],
)
async def test_a_schema_that_cannot_be_filled_is_refused_soon(sandbox: Sandbox, schema: Any) -> None:
    with pytest.raises(SchemaError):
        Filler(schema, Facts("some words")).fill()
    body = {
        "model": "sandbox-chat",
        "messages": [{"role": "user", "content": "x"}],
        "response_format": json_schema(schema),
    }
    status, error = await sandbox.refused("/chat/completions", body)
    assert (status, error["code"], error["param"]) == (400, "invalid_json_schema", "response_format")


async def test_a_pattern_is_never_run(sandbox: Sandbox) -> None:
    schema = {"type": "string", "pattern": "^(a+)+$"}
    text = "a" * 5_000 + "!"
    assert valid(json.loads(await sandbox.say(text, response_format=json_schema(schema))), schema)


async def test_json_object_makes_the_keys_that_the_prompt_names(sandbox: Sandbox) -> None:
    answer = json.loads(
        await sandbox.say('Give JSON with "city" and "reason".', response_format={"type": "json_object"})
    )
    assert set(answer) == {"city", "reason"}
    plain = json.loads(await sandbox.say("What is a budget?", response_format={"type": "json_object"}))
    assert "budget" in plain["answer"]


async def test_a_schema_streams_as_text(sandbox: Sandbox) -> None:
    events = await sandbox.stream("Bill 3 in GBP", response_format=json_schema(INVOICE))
    valid(json.loads(joined(events)), INVOICE)


WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The forecast of temperature and rain for a place",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "unit": {"enum": ["celsius", "fahrenheit"]}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
TRANSFER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "transferMoney",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"to": {"type": "string"}, "amount": {"type": "number", "minimum": 1}},
            "required": ["to", "amount"],
            "additionalProperties": False,
        },
    },
}


def calls_of(answer: Any) -> list[tuple[str, Any]]:
    choice = answer["choices"][0]
    assert choice["finish_reason"] == "tool_calls", choice
    calls = choice["message"]["tool_calls"]
    assert len({call["id"] for call in calls}) == len(calls)
    return [(call["function"]["name"], json.loads(call["function"]["arguments"])) for call in calls]


async def test_a_tool_is_called_when_the_words_match_it(sandbox: Sandbox) -> None:
    tools = [TRANSFER, WEATHER]
    assert calls_of(await sandbox.chat("How is the weather in Paris?", tools=tools)) == [
        ("get_weather", {"city": "Paris"})
    ]
    money = calls_of(await sandbox.chat("Please transfer 250 to Bob", tools=tools))
    assert money == [("transferMoney", {"to": "Bob", "amount": 250})]
    by_description = await sandbox.chat("Will there be rain, what temperature?", tools=tools)
    assert calls_of(by_description)[0][0] == "get_weather"
    assert (await sandbox.chat("What is a budget?", tools=tools))["choices"][0]["message"]["content"]


async def test_tool_choice_is_obeyed(sandbox: Sandbox) -> None:
    tools = [WEATHER, TRANSFER]
    none = await sandbox.chat("How is the weather in Paris?", tools=tools, tool_choice="none")
    assert "tool_calls" not in none["choices"][0]["message"]
    required = calls_of(await sandbox.chat("Hello!", tools=tools, tool_choice="required"))
    assert len(required) == 1
    forced = {"type": "function", "function": {"name": "transferMoney"}}
    ((name, arguments),) = calls_of(await sandbox.chat("How is the weather?", tools=tools, tool_choice=forced))
    assert name == "transferMoney"
    valid(arguments, TRANSFER["function"]["parameters"])
    allowed = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [forced]}}
    assert (
        calls_of(await sandbox.chat("How is the weather?", tools=tools, tool_choice=allowed))[0][0] == "transferMoney"
    )


async def test_tools_are_called_in_parallel_unless_told_otherwise(sandbox: Sandbox) -> None:
    text = "What is the weather in Paris, Rome and New York?"
    calls = calls_of(await sandbox.chat(text, tools=[WEATHER]))
    assert [arguments["city"] for _, arguments in calls] == ["Paris", "Rome", "New York"]
    assert len(calls_of(await sandbox.chat(text, tools=[WEATHER], parallel_tool_calls=False))) == 1
    both = calls_of(await sandbox.chat("Transfer 5 to Bob; is the weather fine?", tools=[WEATHER, TRANSFER]))
    assert {name for name, _ in both} == {"get_weather", "transferMoney"}


async def test_a_call_streams_its_arguments_in_pieces(sandbox: Sandbox) -> None:
    events = await sandbox.stream("Weather in Paris and Rome?", tools=[WEATHER], stream_options={"include_usage": True})
    calls: dict[int, Any] = {}
    for event in events:
        for choice in event["choices"]:
            for delta in choice["delta"].get("tool_calls", ()):
                call = calls.setdefault(delta["index"], {"arguments": "", "pieces": 0})
                call.update({key: delta[key] for key in ("id", "type") if key in delta})
                call["name"] = delta["function"].get("name", call.get("name"))
                call["arguments"] += delta["function"].get("arguments", "")
                call["pieces"] += 1
    assert [json.loads(call["arguments"])["city"] for call in calls.values()] == ["Paris", "Rome"]
    assert all(call["name"] == "get_weather" and call["id"] and call["pieces"] > 2 for call in calls.values())
    assert events[-2]["choices"][0]["finish_reason"] == "tool_calls"
    assert events[-1]["usage"]["completion_tokens"] > 0


async def test_a_custom_tool_gets_plain_text(sandbox: Sandbox) -> None:
    tool = {"type": "custom", "custom": {"name": "run_query", "description": "Run it"}}
    answer = await sandbox.chat("Run the query: select 1", tools=[tool])
    (call,) = answer["choices"][0]["message"]["tool_calls"]
    assert call["custom"] == {"name": "run_query", "input": "Run the query: select 1"}


def after_a_call(content: str) -> list[dict[str, Any]]:
    call = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
    return [
        {"role": "user", "content": "How is the weather in Paris?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": content},
    ]


async def test_what_a_tool_returned_is_told(sandbox: Sandbox) -> None:
    table = await sandbox.say(*after_a_call('{"temperature": 21, "sky": "clear | blue"}'), tools=[WEATHER])
    assert "`get_weather` returned:" in table
    assert "| temperature | 21 |" in table
    assert "clear \\| blue" in table
    assert "- 1\n- 2" in await sandbox.say(*after_a_call("[1, 2]"), tools=[WEATHER])
    assert "Sunny, 21 degrees" in await sandbox.say(*after_a_call("Sunny, 21 degrees"), tools=[WEATHER])
    assert "returned nothing" in await sandbox.say(*after_a_call(""), tools=[WEATHER])


async def test_what_a_tool_returned_fills_a_schema(sandbox: Sandbox) -> None:
    schema = {"type": "object", "properties": {"degrees": {"type": "integer"}}, "required": ["degrees"]}
    answer = await sandbox.say(*after_a_call("It is 21 degrees"), tools=[WEATHER], response_format=json_schema(schema))
    assert json.loads(answer) == {"degrees": 21}


async def test_a_new_question_after_a_tool_s_answer_is_a_new_question(sandbox: Sandbox) -> None:
    answer = await sandbox.say(
        *after_a_call("Sunny"),
        {"role": "assistant", "content": "Sunny."},
        {"role": "user", "content": "What is a budget?"},
        tools=[WEATHER],
    )
    assert "docs/budgets.md" in answer


REFERENCE = "The budget holds an upper bound of the cost"
GOOD = "A budget holds the upper bound of its cost"
POOR = "Bananas are yellow"


def case(answer: str) -> str:
    return f"Rate from 1 to 5.\n\nQuestion: What is held?\nReference: {REFERENCE}\nAnswer: {answer}\n"


async def verdict(sandbox: Sandbox, text: str, **options: Any) -> str:
    return await sandbox.say(text, model="sandbox-judge", **options)


async def test_a_judge_scores_by_agreement_with_the_reference_on_the_scale_asked_for(sandbox: Sandbox) -> None:
    good, poor = await verdict(sandbox, case(GOOD)), await verdict(sandbox, case(POOR))
    assert good.startswith("Score: 5\n")
    assert poor.startswith("Score: 1\n")
    assert "lacks budget" in poor
    assert good == await verdict(sandbox, case(GOOD))


async def test_a_judge_fills_the_schema_with_its_verdict(sandbox: Sandbox) -> None:
    schema = {
        "type": "object",
        "properties": {
            "reasoning": {"type": "string"},
            "score": {"type": "integer", "minimum": 0, "maximum": 10},
            "passed": {"type": "boolean"},
            "label": {"enum": ["correct", "incorrect"]},
        },
        "required": ["reasoning", "score", "passed", "label"],
        "additionalProperties": False,
    }
    good = valid(json.loads(await verdict(sandbox, case(GOOD), response_format=json_schema(schema))), schema)
    poor = valid(json.loads(await verdict(sandbox, case(POOR), response_format=json_schema(schema))), schema)
    assert (good["score"], good["passed"], good["label"]) == (10, True, "correct")
    assert (poor["score"], poor["passed"], poor["label"]) == (0, False, "incorrect")
    assert "significant words of the reference" in good["reasoning"]


async def test_a_judge_answers_in_the_keys_that_the_prompt_shows(sandbox: Sandbox) -> None:
    prompt = case(GOOD) + '\nAnswer as JSON: {"rationale": "...", "result": "yes|no", "score": 3}'
    answer = json.loads(await verdict(sandbox, prompt))
    assert answer["result"] == "yes"
    assert answer["score"] in (4, 5)
    assert "Simulated verdict" in answer["rationale"]


async def test_a_judge_compares_two_answers(sandbox: Sandbox) -> None:
    text = f"<question>What is held?</question>\n<reference>{REFERENCE}</reference>\n"
    pair = text + f"<answer_a>{POOR}</answer_a>\n<answer_b>{GOOD}</answer_b>"
    assert (await verdict(sandbox, pair)).startswith("Winner: B")
    schema = {"type": "object", "properties": {"winner": {"enum": ["A", "B", "tie"]}}, "required": ["winner"]}
    assert json.loads(await verdict(sandbox, pair, response_format=json_schema(schema))) == {"winner": "B"}
    same = text + f"<answer_a>{GOOD}</answer_a>\n<answer_b>{GOOD}</answer_b>"
    assert (await verdict(sandbox, same)).startswith("Winner: tie")


async def test_a_judge_without_a_reference_goes_by_the_question(sandbox: Sandbox) -> None:
    ask = "### Question:\nHow are budgets held?\n### Response:\n{}"
    met = await verdict(sandbox, ask.format("Budgets are held by requests."))
    missed = await verdict(sandbox, ask.format("Bananas."))
    assert float(met.split()[1]) > float(missed.split()[1])
    assert "no labelled answer" in await verdict(sandbox, "Please judge.")
