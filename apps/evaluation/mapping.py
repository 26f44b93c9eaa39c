"""Which column of a file is what of an example: guessed, checked, and done to each row.

A mapping has a part by column: ``input`` (an object), ``input:NAME`` (one variable), ``messages``, ``expected``,
``context``, ``tags``, ``slice``, ``split``, ``key``, or nothing for a column that is left out.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from apps.evaluation.content import Content, Schemas, canonical, clean_content, clean_label, split_tags
from apps.evaluation.errors import ExampleInvalid
from apps.evaluation.reading.jsonl_rows import parse_object
from apps.tenants.errors import Invalid

INPUT = "input"
VARIABLE = "input:"
PARTS = (INPUT, "messages", "expected", "context", "tags", "slice", "split", "key")
SEVERAL = ("context", "tags")  # more than one column may be it
_WORDS: Mapping[str, str] = {
    **dict.fromkeys(("key", "id", "example_id", "case", "case_id", "uuid", "external_id"), "key"),
    **dict.fromkeys(
        (
            "expected", "expected_output", "expected_answer", "answer", "output", "label", "target", "reference",
            "ground_truth", "gold", "ideal", "completion", "response",
        ),
        "expected",
    ),
    **dict.fromkeys(("context", "contexts", "documents", "passages", "evidence", "sources", "source_text"), "context"),
    **dict.fromkeys(("tags", "tag", "labels"), "tags"),
    **dict.fromkeys(("slice", "segment", "group", "category", "topic"), "slice"),
    **dict.fromkeys(("split", "subset"), "split"),
    **dict.fromkeys(("messages", "conversation", "conversations", "chat"), "messages"),
}  # fmt: skip
_RATINGS = ("rating", "human_rating")
_ANSWERS = ("answer", "response", "output", "completion")
# What public datasets for sorting texts call the right answer: that, where no other column is it.
_LABELS = ("label_text", "category", "intent", "class", "sentiment", "topic")


def parts_for(variables: Iterable[str]) -> list[tuple[str, str]]:
    """What a column can be, with its name for people."""
    return [
        *((VARIABLE + name, f"Variable {name}") for name in variables),
        (INPUT, "Input, as an object"),
        ("messages", "Messages of a conversation"),
        ("expected", "Expected answer"),
        ("context", "Context it must rest on"),
        ("tags", "Tags"),
        ("slice", "Slice"),
        ("split", "Split: test or dev"),
        ("key", "Key: your own id of the example"),
    ]


def guess(
    columns: Sequence[str], rows: Sequence[Mapping[str, Any]], variables: Mapping[str, Mapping[str, Any]]
) -> dict[str, str]:
    """A part for each column; empty where nothing speaks for one. ``variables``: an input's, with schemas."""
    mapping: dict[str, str] = dict.fromkeys(columns, "")
    by_name = {_word(name): name for name in variables}
    taken: set[str] = set()

    def take(column: str, part: str) -> None:
        if part in SEVERAL or part not in taken:
            mapping[column] = part
            taken.add(part)

    for column in columns:
        word = _word(column.removeprefix("input.").removeprefix("inputs."))
        if word in by_name:
            take(column, VARIABLE + by_name[word])
    for column in columns:
        if mapping[column]:
            continue
        word = _word(column)
        if word in ("input", "inputs", "variables") and _objects(rows, column):
            take(column, INPUT)
        elif word in _WORDS:
            take(column, _WORDS[word])
    first = next(iter(columns), "")
    if "key" not in taken and not mapping.get(first, "key") and _word(first).endswith("_id") and _differ(rows, first):
        take(first, "key")
    if not variables or "answer" in variables:
        _take_ratings(mapping, taken)
    labels = [column for word in _LABELS for column in columns if _word(column) == word]
    if "expected" not in taken and labels and mapping[labels[0]] in ("", "slice"):
        taken.discard(mapping[labels[0]])
        take(labels[0], "expected")
    left = [column for column in columns if not mapping[column]]
    missing = [name for name, schema in variables.items() if VARIABLE + name not in taken and "default" not in schema]
    has_whole = INPUT in taken or "messages" in taken
    if left and len(missing) == 1 and not has_whole:
        # The column that says most is the one that the prompt is about.
        said = {column: sum(len(str(row.get(column) or "")) for row in rows) for column in left}
        take(max(left, key=lambda column: said[column]), VARIABLE + missing[0])
    elif not variables and not has_whole:
        for column in left:
            take(column, VARIABLE + _name(column))
    return mapping


def _take_ratings(mapping: dict[str, str], taken: set[str]) -> None:
    """Rated answers, for the calibration of a judge: what people said is expected, and the answer is what is judged."""
    words = {_word(column): column for column in mapping}
    rating = next((words[word] for word in _RATINGS if word in words), None)
    answer = next((words[word] for word in _ANSWERS if word in words), None)
    if rating is None or answer is None or mapping[rating]:
        return
    if all(column == answer for column, part in mapping.items() if part == "expected"):
        mapping |= {rating: "expected", answer: f"{VARIABLE}answer"}
        taken |= {"expected", f"{VARIABLE}answer"}


def _word(text: str) -> str:
    return re.sub(r"[\W_]+", "_", text.strip().lower()).strip("_")


def _name(column: str) -> str:
    name = _word(column.removeprefix("input."))[:64] or "text"
    return name if name[0].isalpha() else f"v_{name}"[:64]


def _differ(rows: Sequence[Mapping[str, Any]], column: str) -> bool:
    """Whether each row has a short text or number of its own there."""
    values = [row.get(column) for row in rows]
    short = [value for value in values if isinstance(value, str | int) and 0 < len(str(value)) <= 100]
    return len(values) > 1 and len(short) == len(set(short)) == len(values)


def _objects(rows: Sequence[Mapping[str, Any]], column: str) -> bool:
    values = [row[column] for row in rows if row.get(column) not in (None, "")]
    return bool(values) and all(
        isinstance(value, dict) or (isinstance(value, str) and value.lstrip().startswith("{")) for value in values
    )


def clean_mapping(mapping: Mapping[str, Any], columns: Sequence[str]) -> dict[str, str]:
    """Every part known and where it may be; raises ``Invalid``."""
    cleaned = {column: str(mapping.get(column) or "") for column in columns}
    if unknown := [column for column in mapping if column not in cleaned]:
        raise Invalid(f"The file has no column {str(unknown[0])[:60]!r}.", field="mapping")
    used: dict[str, str] = {}
    for column, part in cleaned.items():
        if not part:
            continue
        if part.startswith(VARIABLE):
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,63}", part.removeprefix(VARIABLE)):
                raise Invalid(f"{part[:80]!r} names no variable.", field="mapping")
        elif part not in PARTS:
            raise Invalid(
                f"{part[:60]!r} is no part of an example.",
                field="mapping",
                remedy=f"Parts: input:NAME, {', '.join(PARTS)}.",
            )
        if part in used and part not in SEVERAL:
            raise Invalid(
                f"The columns {used[part][:60]!r} and {column[:60]!r} are both {part}.",
                field="mapping",
                remedy="Leave one of them out, or say what else it is.",
            )
        used[part] = column
    inputs = [part for part in used if part in (INPUT, "messages") or part.startswith(VARIABLE)]
    if not inputs:
        raise Invalid(
            "No column is the input.", field="mapping", remedy="Say which column is a variable, or the conversation."
        )
    if "messages" in inputs and len(inputs) > 1:
        raise Invalid("A conversation is the whole input: no other column can be a part of it.", field="mapping")
    return cleaned


@dataclass(frozen=True, slots=True)
class Mapped:
    """``key`` is the file's own, or made of the input, so that the same input is the same example."""

    key: str
    content: Content


class Mapper:
    """``types`` by variable are those that a cell of text is read as; texts stay as they are where none is known."""

    def __init__(self, mapping: Mapping[str, str], types: Mapping[str, str], expected_type: str, schemas: Schemas):
        self._columns = [(column, part) for column, part in mapping.items() if part]
        self._types = types
        self._expected_type = expected_type
        self._schemas = schemas

    def mapped(self, values: Mapping[str, Any]) -> Mapped:
        """Raises ``ExampleInvalid``, whose ``field`` is the part that is to blame."""
        parts: dict[str, Any] = {}
        variables: dict[str, Any] = {}
        for column, part in self._columns:
            value = values.get(column)
            if value is None or value == "":
                continue
            if part.startswith(VARIABLE):
                name = part.removeprefix(VARIABLE)
                variables[name] = typed(value, self._types.get(name, ""), part)
            elif part == INPUT:
                whole = _json(value, part)
                if not isinstance(whole, dict):
                    raise ExampleInvalid("The input is no object.", field=INPUT)
                variables = {**whole, **variables}
            elif part == "messages":
                variables = {"messages": _messages(value)}
            elif part == "expected":
                parts["expected"] = _expected(value, self._expected_type)
            elif part == "context":
                parts.setdefault("context", []).extend(_texts(value))
            elif part == "tags":
                parts.setdefault("tags", []).extend(_texts(value, between=True))
            else:
                parts[part] = str(value).strip() if isinstance(value, str | int) else _refuse(part)
        if not variables:
            raise ExampleInvalid("The input is empty.", field=INPUT)
        key = clean_label(parts.pop("key", ""), "key")
        content = clean_content(input=variables, schemas=self._schemas, **parts)
        return Mapped(key or key_of(content.input), content)

    def column_of(self, field: str | None) -> str:
        """The column that a part came from; empty where it is made of several."""
        found = [column for column, part in self._columns if field and field in (part, part.split(":")[0])]
        return found[0] if len(found) == 1 else ""


def key_of(input: Mapping[str, Any]) -> str:
    return "auto-" + hashlib.sha256(canonical(input).encode()).hexdigest()[:20]


def _refuse(part: str) -> str:
    raise ExampleInvalid(f"The {part} is a short text.", field=part)


def typed(value: Any, kind: str, part: str) -> Any:
    """A text as the type that is wanted; anything else, and a text where no type is, as it is."""
    if not isinstance(value, str) or kind in ("", "string"):
        return value
    text = value.strip()
    match kind:
        case "integer" | "number":
            if re.fullmatch(r"[+-]?\d{1,18}", text):
                return int(text)
            if kind == "number" and re.fullmatch(r"[+-]?\d{1,300}(?:\.\d{1,300})?(?:[eE][+-]?\d{1,3})?", text):
                return float(text)
            raise ExampleInvalid(f"{text[:30]!r} is no {kind}.", field=part)
        case "boolean":
            known = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
            if text.lower() not in known:
                raise ExampleInvalid(f"{text[:30]!r} is neither true nor false.", field=part)
            return known[text.lower()]
    return _json(value, part)


def _json(value: Any, part: str) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return parse_object('{"value":' + value + "}")["value"]
    except (ValueError, KeyError):
        raise ExampleInvalid(f"The cell is no JSON: {value[:30]!r}.", field=part) from None


def _messages(value: Any) -> Any:
    if isinstance(value, str) and not value.lstrip().startswith("["):
        return [{"role": "user", "content": value}]
    found = _json(value, "messages")
    if not isinstance(found, list):
        raise ExampleInvalid("A conversation is a list of messages.", field="messages")
    return found


def _expected(value: Any, kind: str) -> Any:
    if isinstance(value, str) and kind and kind != "string":
        try:
            return typed(value, kind, "expected")
        except ExampleInvalid as error:
            raise ExampleInvalid(error.message, field="expected") from None
    if isinstance(value, str) and not kind and value.lstrip()[:1] in ("{", "["):
        try:
            return parse_object('{"value":' + value + "}")["value"]
        except (ValueError, KeyError):
            return value
    return value


def _texts(value: Any, *, between: bool = False) -> list[Any]:
    if isinstance(value, list):
        return value
    if isinstance(value, str):
        if value.lstrip().startswith("["):
            try:
                found = json.loads(value)
            except ValueError:
                found = None
            if isinstance(found, list):
                return found
        return list(split_tags(value)) if between else [value]
    return [str(value)]
