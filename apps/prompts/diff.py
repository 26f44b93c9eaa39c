"""What changed between two versions: words in the messages, and variables, parameters, tools, schema and model."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby, zip_longest
from typing import Any

from apps.prompts.types import Content, Message, plain

_WORDS = re.compile(r"\s+|\w+|[^\w\s]")
_LINES = re.compile(r"[^\n]*\n|[^\n]+")
MOST_PARTS = 20_000  # of both texts together
MOST_CHANGES = 500  # what is to be done grows with their square


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
    """The fewest removed and added parts that make ``new`` of ``old``; None beyond the bounds.

    Myers, "An O(ND) Difference Algorithm and Its Variations" (1986): its time is bounded whatever the texts are, while
    that of ``difflib`` is the cube of a part that comes often. ``x`` and ``y`` count the parts read of either text, and
    ``furthest`` is the ``x`` that so many changes reach on each diagonal ``x - y``.
    """
    if len(old) + len(new) > MOST_PARTS:
        return None
    furthest = {1: 0}
    steps: list[dict[int, int]] = []
    for changes in range(MOST_CHANGES + 1):
        steps.append(dict(furthest))
        for diagonal in range(-changes, changes + 1, 2):
            x = _after_change(furthest, diagonal, changes)
            while x < len(old) and x - diagonal < len(new) and old[x] == new[x - diagonal]:
                x += 1
            furthest[diagonal] = x
            if x >= len(old) and x - diagonal >= len(new):
                return _path_back(old, new, steps)
    return None


def _is_added(furthest: Mapping[int, int], diagonal: int, changes: int) -> bool:
    """Whether a diagonal is reached by adding a part, or by removing one."""
    return diagonal == -changes or (diagonal != changes and furthest[diagonal - 1] < furthest[diagonal + 1])


def _after_change(furthest: Mapping[int, int], diagonal: int, changes: int) -> int:
    return furthest[diagonal + 1] if _is_added(furthest, diagonal, changes) else furthest[diagonal - 1] + 1


def _path_back(old: list[str], new: list[str], steps: list[dict[int, int]]) -> list[tuple[str, str]]:
    edits: list[tuple[str, str]] = []
    x, diagonal = len(old), len(old) - len(new)
    for changes in range(len(steps) - 1, -1, -1):
        start = _after_change(steps[changes], diagonal, changes)
        edits += [("same", part) for part in reversed(old[start:x])]
        if not changes:
            break
        if _is_added(steps[changes], diagonal, changes):
            edits.append(("added", new[start - diagonal - 1]))
            x, diagonal = start, diagonal + 1
        else:
            edits.append(("removed", old[start - 1]))
            x, diagonal = start - 1, diagonal - 1
    return edits[::-1]


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
