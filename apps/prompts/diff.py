"""What changed between two versions: words in the messages, and variables, parameters, tools, schema and model."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import zip_longest
from typing import Any

from apps.prompts.types import Content, Message, plain

_TOKENS = re.compile(r"\s+|\w+|[^\w\s]")
_LINES = re.compile(r"[^\n]*\n|[^\n]+")
# Beyond so many words of one message lines are compared instead: comparing words costs their square.
MOST_WORDS = 3_000


@dataclass(frozen=True, slots=True)
class Piece:
    """``kind`` is same, added or removed."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class MessageDiff:
    """``role`` is the newer one's; ``was_role`` is set where it differs. ``kind``: same, changed, added or removed."""

    number: int
    role: str
    was_role: str
    kind: str
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """One named thing. ``before`` or ``after`` is empty where it was not there."""

    name: str
    before: str
    after: str

    @property
    def kind(self) -> str:
        if not self.before:
            return "added"
        return "changed" if self.after else "removed"


@dataclass(frozen=True, slots=True)
class ContentDiff:
    messages: tuple[MessageDiff, ...]
    variables: tuple[Change, ...]
    settings: tuple[Change, ...]  # parameters, tools, schema, model, included prompts

    @property
    def changed_messages(self) -> int:
        return sum(each.kind != "same" for each in self.messages)

    @property
    def is_empty(self) -> bool:
        return not (self.changed_messages or self.variables or self.settings)


def diff(old: Content, new: Content) -> ContentDiff:
    pairs = zip_longest(old.messages, new.messages)
    settings = [
        *_changes(plain(old.parameters), plain(new.parameters)),
        *_changes(_tools(old), _tools(new), "tool "),
        *_changes(_one("output schema", old.output_schema), _one("output schema", new.output_schema)),
        *_changes(_one("model", old.model), _one("model", new.model)),
        *_changes(_includes(old), _includes(new), "includes "),
    ]
    return ContentDiff(
        messages=tuple(_message(number, before, after) for number, (before, after) in enumerate(pairs, 1)),
        variables=tuple(_changes(old.variables, new.variables)),
        settings=tuple(settings),
    )


def word_diff(old: str, new: str) -> tuple[Piece, ...]:
    """Pieces that, without the added ones, make ``old``, and without the removed ones ``new``."""
    before, after = _TOKENS.findall(old), _TOKENS.findall(new)
    if len(before) + len(after) > MOST_WORDS:
        before, after = _LINES.findall(old), _LINES.findall(new)
    pieces: list[Piece] = []
    for tag, a, b, c, d in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if tag == "equal":
            pieces.append(Piece("same", "".join(before[a:b])))
            continue
        if a != b:
            pieces.append(Piece("removed", "".join(before[a:b])))
        if c != d:
            pieces.append(Piece("added", "".join(after[c:d])))
    return tuple(pieces)


def _message(number: int, before: Message | None, after: Message | None) -> MessageDiff:
    if before is None:
        assert after is not None
        return MessageDiff(number, after.role, "", "added", (Piece("added", after.content),))
    if after is None:
        return MessageDiff(number, before.role, "", "removed", (Piece("removed", before.content),))
    if before == after:
        return MessageDiff(number, after.role, "", "same", (Piece("same", after.content),))
    was = before.role if before.role != after.role else ""
    return MessageDiff(number, after.role, was, "changed", word_diff(before.content, after.content))


def _changes(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[Change]:
    names = list(dict.fromkeys((*old, *new)))
    pairs = [(name, old.get(name), new.get(name)) for name in names]
    return [Change(prefix + name, _written(a), _written(b)) for name, a, b in pairs if _written(a) != _written(b)]


def _one(name: str, value: Any) -> dict[str, Any]:
    return {name: value} if value not in (None, "") else {}


def _tools(content: Content) -> dict[str, Any]:
    return {tool.function.name: plain(tool.function) for tool in content.tools}


def _includes(content: Content) -> dict[str, Any]:
    return {reference: f"version {each.number} ({each.hash[:8]})" for reference, each in content.includes.items()}


def _written(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
