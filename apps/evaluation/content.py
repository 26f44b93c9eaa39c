"""What an example may say: its parts checked and bounded, its hash, its text."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from apps.evaluation.errors import ExampleInvalid
from apps.evaluation.types import Split
from apps.prompts.errors import ContentInvalid
from apps.prompts.variables import clean_schema, problem_of

MOST_BYTES = 1_000_000  # of an example's canonical JSON, and of a row in a file
MOST_DEPTH = 20
MOST_TAGS = 12
LONGEST_TAG = 40
LONGEST_NAME = 100  # of a key, of a slice
MOST_MESSAGES = 500
SEARCHED = 2_000
ROLES = frozenset({"system", "developer", "user", "assistant", "tool"})
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_LARGEST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Content:
    """An example's parts, clean."""

    input: dict[str, Any]
    expected: Any = None
    context: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    slice: str = ""
    split: str = Split.TEST

    @property
    def digest(self) -> str:
        return content_hash(self.input, self.expected, self.context)

    @property
    def text(self) -> str:
        return plain_text([self.input, self.expected, self.context])[:SEARCHED]


class Schemas:
    """A dataset's schemas, made ready once."""

    def __init__(self, input_schema: Mapping[str, Any], expected_schema: Mapping[str, Any]) -> None:
        self._input = Draft202012Validator(dict(input_schema)) if input_schema else None
        self._expected = Draft202012Validator(dict(expected_schema)) if expected_schema else None

    def check(self, content: Content) -> None:
        """Raises ``ExampleInvalid``, naming the part and never repeating its value."""
        for name, check, value in (
            ("input", self._input, content.input),
            ("expected", self._expected, content.expected),
        ):
            if check is not None and (problem := problem_of(check, value)):
                raise ExampleInvalid(f"The {name} {problem}.", field=name)


ANY = Schemas({}, {})


def clean_schemas(value: Any, field: str) -> dict[str, Any]:
    """A schema that examples are held to. Raises ``ExampleInvalid``."""
    if value in ({}, None):
        return {}
    if len(canonical(value)) > 100_000:
        raise ExampleInvalid("The schema has more than 100,000 characters.", field=field)
    try:
        return clean_schema(value, field)
    except ContentInvalid as error:
        raise ExampleInvalid(error.message, field=field, remedy=error.remedy) from None


def clean_content(
    *,
    input: Any,
    expected: Any = None,
    context: Any = (),
    tags: Any = (),
    slice: str = "",
    split: str = Split.TEST,
    schemas: Schemas = ANY,
) -> Content:
    """Raises ``ExampleInvalid``, whose ``field`` is the part that is to blame."""
    content = Content(
        input=_clean_input(input),
        expected=checked(expected, "expected"),
        context=_clean_context(context),
        tags=_clean_tags(tags),
        slice=clean_label(slice, "slice"),
        split=_clean_split(split),
    )
    size = len(canonical([content.input, content.expected, content.context]).encode())
    if size > MOST_BYTES:
        raise ExampleInvalid(f"The example has {size:,} bytes; at most {MOST_BYTES:,} fit.", field="input")
    schemas.check(content)
    return content


def content_hash(input: Any, expected: Any, context: Any) -> str:
    """SHA-256 over the canonical JSON of the three: equal content, equal hash, whatever wrote it."""
    return hashlib.sha256(canonical([input, expected, list(context)]).encode()).hexdigest()


def canonical(value: Any) -> str:
    """Whole numbers without a fraction, whichever way they came; keys in order."""
    return json.dumps(_plain_numbers(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _plain_numbers(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, dict):
        return {name: _plain_numbers(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain_numbers(each) for each in value]
    return value


def texts_in(value: Any) -> Iterator[str]:
    """Every text in a JSON value, in order; the names of an object's properties are not among them."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        if set(value) == {"role", "content"}:  # a message: who says it is no text of its own
            yield from texts_in(value["content"])
            return
        for each in value.values():
            yield from texts_in(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from texts_in(each)
    elif value is not None and not isinstance(value, bool):
        yield str(value)


def plain_text(value: Any) -> str:
    return " ".join(" ".join(texts_in(value)).split())


def checked(value: Any, field: str) -> Any:
    """``value`` if the database and every reader can hold it. Raises ``ExampleInvalid``."""
    waiting = [(value, 1)]
    while waiting:
        each, depth = waiting.pop()
        if depth > MOST_DEPTH:
            raise ExampleInvalid(f"It is nested more than {MOST_DEPTH} deep.", field=field)
        if isinstance(each, str):
            if _UNSTORABLE.search(each):
                raise ExampleInvalid(
                    "A text holds a NUL character or half a surrogate pair, which cannot be stored.", field=field
                )
        elif isinstance(each, float):
            if not math.isfinite(each):
                raise ExampleInvalid("NaN and Infinity are no values; leave it out instead.", field=field)
        elif isinstance(each, int) or each is None:  # a bool is an int
            if each is not None and abs(each) > _LARGEST:
                raise ExampleInvalid("A whole number is too large; write it as a text.", field=field)
        elif isinstance(each, dict):
            waiting += [(name, depth) for name in each]
            waiting += [(below, depth + 1) for below in each.values()]
        elif isinstance(each, list):
            waiting += [(below, depth + 1) for below in each]
        else:
            raise ExampleInvalid(f"A value is of the kind {type(each).__name__}, which JSON has not.", field=field)
    return value


def clean_label(value: Any, field: str) -> str:
    """A key or a slice: a short text of one line."""
    if not isinstance(value, str):
        raise ExampleInvalid("This is a short text.", field=field)
    text = " ".join(value.split())
    if len(text) > LONGEST_NAME:
        raise ExampleInvalid(f"The {field} has {len(text)} characters; at most {LONGEST_NAME} fit.", field=field)
    if not text.isprintable():
        raise ExampleInvalid(f"The {field} holds control characters.", field=field)
    return text


def _clean_input(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ExampleInvalid(
            'The input is an object: values by name, or {"messages": [{"role": "user", "content": "…"}]}.',
            field="input",
        )
    if not value:
        raise ExampleInvalid("The input is empty.", field="input")
    checked(value, "input")
    if set(value) == {"messages"} and isinstance(value["messages"], list):
        _check_messages(value["messages"])
    return value


def _check_messages(messages: list[Any]) -> None:
    if not messages:
        raise ExampleInvalid("There is no message.", field="input")
    if len(messages) > MOST_MESSAGES:
        raise ExampleInvalid(f"There are {len(messages)} messages; at most {MOST_MESSAGES} fit.", field="input")
    for at, message in enumerate(messages, 1):
        if not isinstance(message, dict) or message.get("role") not in ROLES:
            raise ExampleInvalid(
                f"Message {at} has no role.", field="input", remedy=f"Roles: {', '.join(sorted(ROLES))}."
            )
        if not isinstance(message.get("content"), str | list | None):
            raise ExampleInvalid(f"Message {at} has a content that is no text.", field="input")


def _clean_context(value: Any) -> list[str]:
    if value is None:
        return []
    if isinstance(value, str):
        value = [value] if value.strip() else []
    if not isinstance(value, list | tuple) or not all(isinstance(each, str) for each in value):
        raise ExampleInvalid("The context is a list of texts.", field="context")
    checked(list(value), "context")
    return list(value)


def _clean_tags(value: Any) -> list[str]:
    if value is None:
        return []
    if not isinstance(value, list | tuple) or not all(isinstance(each, str) for each in value):
        raise ExampleInvalid("Tags are a list of short texts.", field="tags")
    tags = list(dict.fromkeys(tag for each in value if (tag := each.strip().lower())))
    if len(tags) > MOST_TAGS:
        raise ExampleInvalid(f"There are {len(tags)} tags; at most {MOST_TAGS} fit.", field="tags")
    for tag in tags:
        if len(tag) > LONGEST_TAG or not tag.isprintable() or '"' in tag or "\\" in tag:
            raise ExampleInvalid(f"{tag[:50]!r} cannot be a tag.", field="tags")
    return tags


# What other tools call the parts that one may look at while working, and the part that one must not.
SPLITS: Mapping[str, str] = {
    "": Split.TEST,
    "test": Split.TEST,
    "eval": Split.TEST,
    "dev": Split.DEV,
    "development": Split.DEV,
    "train": Split.DEV,
    "valid": Split.DEV,
    "validation": Split.DEV,
    "val": Split.DEV,
}


def _clean_split(value: Any) -> str:
    split = SPLITS.get(value.strip().lower()) if isinstance(value, str) else None
    if split is None:
        raise ExampleInvalid(f"{str(value)[:40]!r} is no split.", field="split", remedy="Splits: test, dev.")
    return str(split)


def split_tags(text: str) -> Iterable[str]:
    """As people type them: with commas or semicolons between."""
    return [tag for each in re.split("[,;]", text) if (tag := each.strip())]
