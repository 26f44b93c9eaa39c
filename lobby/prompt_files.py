"""A prompt as a file that a person reads and a repository keeps: YAML in front, then the messages as they are.

    ---
    id: claims-triage
    model: acme-large
    parameters:
      temperature: 0.2
    variables:
      claim:
        type: string
    ---
    --- system ---
    You sort claims.
    --- user ---
    {{claim}}

A line of a message that would itself look like such a mark is written with a backslash in front of it. What is written
is read back exactly, line ends as ``\\n``, and writing it again gives the same bytes.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from lobby.api import Failed

FENCE = "---"
FACTS = ("id", "name", "description", "use_case", "tags")
SETTINGS = ("model", "parameters", "variables", "tools", "output_schema")
_MARK = re.compile(r"--- (system|user|assistant) ---")
_ESCAPED = re.compile(r"\\+--- (?:system|user|assistant) ---")


@dataclass(slots=True)
class PromptFile:
    """``facts`` are the prompt's, ``content`` is a version's as the API has it."""

    facts: dict[str, Any] = field(default_factory=dict)
    content: dict[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return str(self.facts["id"])


class _Loader(yaml.SafeLoader):
    """A date is a text: JSON has no dates, and PyYAML no error of its own for one that there is not: 2024-02-30."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, shape) for tag, shape in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


class _Dumper(yaml.SafeDumper):
    """Texts of several lines as blocks, and lists set in, so that a difference reads well."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    # A block drops spaces at the ends of its lines' last: then quotes are exact.
    style = "|" if "\n" in text and not re.search(r"[ \t]\n|[ \t]$|^\s|\t|[^\x20-\x7e\n\xa0-\ud7ff]", text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def write(file: PromptFile) -> str:
    front: dict[str, Any] = {name: file.facts[name] for name in FACTS if file.facts.get(name)}
    front |= {name: file.content[name] for name in SETTINGS if file.content.get(name) not in (None, "", {}, [])}
    head = yaml.dump(front, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
    parts = [f"{FENCE}\n{head}{FENCE}\n"]
    for message in file.content.get("messages", []):
        lines = [("\\" + line if _is_mark(line) else line) for line in message["content"].split("\n")]
        parts.append(f"--- {message['role']} ---\n" + "\n".join(lines) + "\n")
    return "".join(parts)


def read(text: str, name: str = "the file") -> PromptFile:
    """Raises ``Failed``, with the line where one is to blame."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if lines[0] != FENCE or FENCE not in lines[1:]:
        raise Failed(f"{name}: it begins with a line '---', settings in YAML, and another line '---'.", code="bad_file")
    end = lines.index(FENCE, 1)
    try:
        front = yaml.load("\n".join(lines[1:end]), Loader=_Loader) or {}  # noqa: S506 - it is a safe one
        front = json.loads(json.dumps(front, allow_nan=False, ensure_ascii=False).encode())  # as the API will have it
    except yaml.YAMLError as error:
        raise Failed(f"{name}: the settings are no YAML: {error}", code="bad_file") from None
    except (ValueError, TypeError) as error:
        raise Failed(f"{name}: a value of the settings cannot be sent as JSON: {error}.", code="bad_file") from None
    if not isinstance(front, dict) or not isinstance(front.get("id"), str):
        raise Failed(f"{name}: the settings need an id, such as 'id: claims-triage'.", code="bad_file")
    if unknown := [each for each in front if each not in (*FACTS, *SETTINGS)]:
        known = ", ".join((*FACTS, *SETTINGS))
        raise Failed(f"{name}: there is no setting {unknown[0]!r}. Settings: {known}.", code="bad_file")
    for each in ("variables", "parameters"):
        if not isinstance(front.get(each) or {}, dict):
            raise Failed(f"{name}: {each} is a mapping, of lines such as 'name: value'.", code="bad_file")
    content: dict[str, Any] = {each: front[each] for each in SETTINGS if front.get(each) is not None}
    content["messages"] = _messages(lines[end + 1 :], end + 2, name)
    return PromptFile({each: front[each] for each in FACTS if front.get(each) is not None}, content)


def _messages(lines: list[str], first: int, name: str) -> list[dict[str, str]]:
    if lines and lines[-1] == "":
        lines = lines[:-1]  # the file's own last line end
    messages: list[dict[str, Any]] = []
    for number, line in enumerate(lines, first):
        mark = _MARK.fullmatch(line)
        if mark:
            messages.append({"role": mark[1], "lines": []})
        elif messages:
            messages[-1]["lines"].append(line[1:] if _ESCAPED.fullmatch(line) else line)
        elif line.strip():
            raise Failed(
                f"{name}, line {number}: a message begins with a line such as '--- system ---'.", code="bad_file"
            )
    if not messages:
        raise Failed(
            f"{name}: there is no message: write a line '--- system ---' and the text below it.", code="bad_file"
        )
    return [{"role": each["role"], "content": "\n".join(each["lines"])} for each in messages]


def _is_mark(line: str) -> bool:
    return bool(_MARK.fullmatch(line) or _ESCAPED.fullmatch(line))
