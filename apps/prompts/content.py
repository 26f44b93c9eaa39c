"""What a version says: checked, completed by what it includes, and named by its hash.

The hash is SHA-256 over canonical JSON: keys sorted, no spaces, whole numbers without a fraction (databases write
numbers differently). Included prompts count by their own hash: two versions with the same hash render alike for good.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from apps.prompts import placeholders
from apps.prompts.errors import ContentInvalid
from apps.prompts.types import (
    MOST_CHARACTERS,
    MOST_MESSAGES,
    MOST_TOOLS,
    Content,
    Include,
    Message,
    plain,
)
from apps.prompts.variables import clean_variables

MOST_JSON = 100_000  # characters of a schema, or of all tools
MOST_JSON_DEPTH = 40
_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,199}")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_location = re.compile(r" - at `\$\.?(?P<path>[^`]*)`$")
_quoted = re.compile(r"`([^`]*)`")
# What msgspec says in Python's notation.
_TYPES = {
    "float": "a number",
    "int": "a whole number",
    "str": "a text",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "nothing",
}
_BOUNDS = ((" of length ", " with a length "), (" <= ", " of at most "), (" >= ", " of at least "))

# Finds what ``slug``, ``slug@3`` or ``slug@label`` refers to, with the variables that its text has.
Resolve = Callable[[str], tuple[Include, Mapping[str, dict[str, Any]]]]


def clean_content(raw: Mapping[str, Any], resolve: Resolve, carried: Mapping[str, dict[str, Any]] = {}) -> Content:
    """The content of a version to be saved. Raises ``ContentInvalid``, or what ``resolve`` raises.

    ``carried`` declares variables that only included prompts have, and counts before what those say of them.
    """
    check_storable(raw)
    if "includes" in raw:
        raise ContentInvalid("What a prompt includes is worked out from its messages.", field="includes")
    try:
        content = msgspec.convert(dict(raw), Content)
    except msgspec.ValidationError as error:
        raise _invalid(str(error)) from None
    messages = [Message(each.role, _lines(each.content)) for each in content.messages]
    if not messages or not any(each.content.strip() for each in messages):
        raise ContentInvalid("A prompt needs at least one message that says something.", field="messages")
    if len(messages) > MOST_MESSAGES:
        raise ContentInvalid(f"There are {len(messages)} messages; at most {MOST_MESSAGES} fit.", field="messages")
    texts = [each.content for each in messages]
    includes: dict[str, Include] = {}
    inherited: dict[str, dict[str, Any]] = {}
    for reference in placeholders.includes_in(texts):
        includes[reference], theirs = resolve(reference)
        inherited = {**theirs, **inherited}
    whole = [placeholders.with_includes(text, {name: each.text for name, each in includes.items()}) for text in texts]
    size = sum(map(len, whole))
    if size > MOST_CHARACTERS:
        raise ContentInvalid(
            f"The messages have {size:,} characters; at most {MOST_CHARACTERS:,} fit.", field="messages"
        )
    return Content(
        messages=messages,
        variables=_variables(content.variables, {**inherited, **carried}, placeholders.variables_in(whole)),
        parameters=content.parameters,
        tools=_tools(content),
        output_schema=_bounded(content.output_schema, "output_schema"),
        model=_model(content.model),
        includes=includes,
    )


def content_hash(content: Content) -> str:
    value = {name: plain(getattr(content, name)) for name in Content.__struct_fields__}
    value["includes"] = {reference: each.hash for reference, each in content.includes.items()}
    canonical = json.dumps(_canonical(value), sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()


def whole_messages(content: Content) -> list[Message]:
    """The messages with the included texts in their places; variables still stand in them."""
    included = {reference: each.text for reference, each in content.includes.items()}
    return [Message(each.role, placeholders.with_includes(each.content, included)) for each in content.messages]


def variables_in_order(content: Content) -> dict[str, dict[str, Any]]:
    """As they come in the text, which is an order that databases do not keep."""
    names = placeholders.variables_in(each.content for each in whole_messages(content))
    return {name: content.variables[name] for name in names if name in content.variables}


def _variables(
    declared: Mapping[str, Any], inherited: Mapping[str, dict[str, Any]], found: list[str]
) -> dict[str, dict[str, Any]]:
    """In the order of the text. What is not declared is as the included prompt has it, or a text that must be given."""
    if unused := [name for name in declared if name not in found]:
        raise ContentInvalid(
            f"{unused[0][:64]!r} is declared, but no message has {{{{{unused[0][:64]}}}}}.",
            field=f"variables/{unused[0][:64]}",
            remedy="Use it in a message, or leave its declaration out.",
        )
    return clean_variables({name: declared.get(name, inherited.get(name, {"type": "string"})) for name in found})


def _tools(content: Content) -> list[Any]:
    names = [tool.function.name for tool in content.tools]
    if len(names) > MOST_TOOLS:
        raise ContentInvalid(f"There are {len(names)} tools; at most {MOST_TOOLS} fit.", field="tools")
    if twice := [name for name in names if names.count(name) > 1]:
        raise ContentInvalid(f"The tool {twice[0]!r} is there twice.", field="tools")
    _bounded(plain(content.tools), "tools")
    return content.tools


def _bounded(value: Any, field: str) -> Any:
    if value is not None and len(json.dumps(value)) > MOST_JSON:
        raise ContentInvalid(f"It has more than {MOST_JSON:,} characters.", field=field)
    return value


def _model(model: str) -> str:
    model = model.strip()
    if model and not _MODEL.fullmatch(model):
        raise ContentInvalid(f"{model[:60]!r} is no model's name.", field="model")
    return model


def _lines(text: str) -> str:
    """Line ends as one character, so that a file's or a browser's do not make another version."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def check_storable(value: Any, depth: int = 0) -> None:
    """Raises ``ContentInvalid`` for what a JSON field of every database cannot hold."""
    if depth > MOST_JSON_DEPTH:
        raise ContentInvalid("It is nested too deeply.")
    match value:
        case str():
            if _UNSTORABLE.search(value):
                raise ContentInvalid("A text holds characters that cannot be stored.")
        case float():
            if value != value or value in (float("inf"), float("-inf")):
                raise ContentInvalid("A number is not finite.")
        case Mapping():
            for name, each in value.items():
                check_storable(str(name), depth + 1)
                check_storable(each, depth + 1)
        case list() | tuple():
            for each in value:
                check_storable(each, depth + 1)


def _canonical(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {name: _canonical(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_canonical(each) for each in value]
    return value


def _invalid(text: str) -> ContentInvalid:
    match = _location.search(text)
    path = match["path"] if match else ""
    text = text[: match.start()] if match else text
    for symbols, words in _BOUNDS:
        text = text.replace(symbols, words)
    text = _quoted.sub(lambda quoted: " or ".join(_TYPES.get(e, f"'{e}'") for e in quoted[1].split(" | ")), text)
    return ContentInvalid(f"{text}.", field=path.replace("[", "/").replace("]", "").replace(".", "/") or None)
