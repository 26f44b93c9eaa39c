"""What changed between two versions: words in the messages, and variables, parameters, tools, schema and model."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby, zip_longest
from typing import Any

from rapidfuzz.distance import Indel

from apps.prompts.types import Content, Message, plain

_WORDS = re.compile(r"\s+|\w+|[^\w\s]")
_LINES = re.compile(r"[^\n]*\n|[^\n]+")
MOST_PARTS = 20_000  # of both texts together
_KINDS = {"equal": "same", "delete": "removed", "insert": "added"}


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
    """Pieces that, without the added ones, make ``old``, and without the removed ones ``new``.

    They are words; or lines, or the texts as wholes, where there is too much to compare.
    """
    for parts in (_WORDS, _LINES):
        edits = _edits(parts.findall(old), parts.findall(new))
        if edits is not None:
            break
    else:
        edits = [("removed", old), ("added", new)]
    pieces: list[Piece] = []
    for is_same, run in groupby(edits, key=lambda edit: edit[0] == "same"):
        told = list(run)
        kinds = ("same",) if is_same else ("removed", "added")
        texts = ((kind, "".join(part for each, part in told if each == kind)) for kind in kinds)
        pieces.extend(Piece(kind, text) for kind, text in texts if text)
    return tuple(pieces)


def _edits(old: list[str], new: list[str]) -> list[tuple[str, str]] | None:
    """The fewest removed and added parts that make ``new`` of ``old``; None where there are too many to compare.

    By rapidfuzz, whose time is bounded whatever the texts are: that of ``difflib`` is the cube of a part that comes
    often.
    """
    if len(old) + len(new) > MOST_PARTS:
        return None
    return [
        (_KINDS[each.tag], "".join(old[each.src_start : each.src_end] or new[each.dest_start : each.dest_end]))
        for each in Indel.opcodes(old, new)
    ]


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
