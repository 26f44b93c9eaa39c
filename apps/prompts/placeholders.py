"""``{{name}}`` and ``{{> prompt}}`` in a text: found, and put in.

Plain substitution in one pass, and nothing more: no template language, no expressions. What is put in is never looked
at again, so that a variable's value cannot name another variable. Anything else in double braces stays as it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_VARIABLE = re.compile(r"\{\{[ \t]{0,8}([A-Za-z_][A-Za-z0-9_]{0,63})[ \t]{0,8}\}\}")
_INCLUDE = re.compile(r"\{\{>[ \t]{0,8}([a-z0-9][a-z0-9-]{0,49}(?:@[A-Za-z0-9][A-Za-z0-9._-]{0,49})?)[ \t]{0,8}\}\}")


def variables_in(texts: Iterable[str]) -> list[str]:
    """The names, each once, in the order in which they come."""
    return list(dict.fromkeys(name for text in texts for name in _VARIABLE.findall(text)))


def includes_in(texts: Iterable[str]) -> list[str]:
    """The references to other prompts, for example ``house-style`` or ``house-style@3``."""
    return list(dict.fromkeys(reference for text in texts for reference in _INCLUDE.findall(text)))


def with_includes(text: str, included: Mapping[str, str]) -> str:
    return _INCLUDE.sub(lambda match: included.get(match[1], match[0]), text)


def with_values(text: str, values: Mapping[str, str]) -> str:
    """A name that has no value stays as it is."""
    return _VARIABLE.sub(lambda match: values.get(match[1], match[0]), text)


def written(value: Any) -> str:
    """A value as it stands in the text: a text as it is, everything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def pieces(text: str) -> list[tuple[str, str]]:
    """The text in pieces for showing it: (kind, text), where kind is empty, ``variable`` or ``include``."""
    found: list[tuple[str, str]] = []
    at = 0
    matches = [("variable", match) for match in _VARIABLE.finditer(text)]
    matches += [("include", match) for match in _INCLUDE.finditer(text)]
    for kind, match in sorted(matches, key=lambda each: each[1].start()):
        if match.start() > at:
            found.append(("", text[at : match.start()]))
        found.append((kind, match[0]))
        at = match.end()
    if at < len(text):
        found.append(("", text[at:]))
    return found
