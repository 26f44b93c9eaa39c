"""``lobby prompts``: prompts between a team's repository and Lobby's catalog."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Any

from lobby.api import Api, Failed
from lobby.prompt_files import SETTINGS, PromptFile, read, write

SUFFIX = ".prompt"
# As in the catalog's texts.
_VARIABLE = re.compile(r"\{\{[ \t]{0,8}([A-Za-z_][A-Za-z0-9_]{0,63})[ \t]{0,8}\}\}")
_INCLUDE = "{{>"


def create(api: Api, tenant: str, path: Path) -> dict[str, Any]:
    """The prompt, and its first version, from a file. A prompt that a refused file left empty is taken."""
    file = _read(path)
    facts = {name: value for name, value in file.facts.items() if name != "id"}
    facts.setdefault("name", file.id)
    try:
        api.post("prompts", body={"tenant": tenant, "slug": file.id, **facts})
    except Failed as error:
        if error.code != "slug_taken":
            raise
        if api.get("prompts", tenant, file.id, "versions", page_size="1")["results"]:
            error.message += " Save a version of it with 'lobby prompts push'."
            raise
    return push(api, tenant, path, message="First version")


def push(api: Api, tenant: str, path: Path, *, message: str = "", creates: bool = False) -> dict[str, Any]:
    """Save the file as a version; where the catalog has this very text, nothing new is made. With ``creates`` a prompt
    that is not there is made."""
    file = _read(path)
    try:
        saved = api.post("prompts", tenant, file.id, "versions", body={**file.content, "message": message})
    except Failed as error:
        if creates and error.status == 404:
            return create(api, tenant, path)
        error.message = f"{path}: {error.message}"  # of several files, which
        raise
    return {
        "prompt": file.id,
        "version": saved["number"],
        "hash": saved["content_hash"],
        "created": saved["created"],
        "file": str(path),
    }


def release(
    api: Api, tenant: str, prompt: str, *, version: int, environment: str, label: str, reason: str = ""
) -> dict[str, Any]:
    """Have the label mean this version alone. Refused where a plan guards the label: there its gate decides."""
    body: dict[str, Any] = {
        "environment": environment,
        "label": label,
        "versions": [{"version": version}],
        "reason": reason,
    }
    made = api.post("prompts", tenant, prompt, "releases", body=body)
    return {"prompt": prompt, "version": version, "environment": environment, "label": label, "release": made["id"]}


def pull(api: Api, tenant: str, prompt: str, directory: Path, *, version: int | None = None) -> dict[str, Any]:
    """Write a version (by default the newest) to ``directory``. An unchanged file is left alone."""
    file, number = _from_catalog(api, tenant, prompt, version)
    path, text = directory / f"{prompt}{SUFFIX}", write(file)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        changed = not path.exists() or path.read_text(encoding="utf-8", errors="replace") != text
        if changed:
            path.write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise Failed(f"{path}: {error.strerror}.", code="bad_file") from None
    return {"prompt": prompt, "version": number, "file": str(path), "changed": changed}


def diff(api: Api, tenant: str, path: Path, *, version: int | None = None) -> dict[str, Any]:
    """What a push would change: the catalog's version against the file."""
    file = _read(path)
    theirs, number = _from_catalog(api, tenant, file.id, version)
    ours = _as_stored(file, theirs)
    before, after = (write(PromptFile(theirs.facts, _canonical(each))) for each in (theirs.content, ours))
    lines = difflib.unified_diff(
        before.splitlines(keepends=True),
        after.splitlines(keepends=True),
        fromfile=f"{file.id} version {number}",
        tofile=str(path),
    )
    return {"prompt": file.id, "version": number, "diff": "".join(lines)}


def slugs(api: Api, tenant: str) -> list[str]:
    return [row["slug"] for row in api.every("prompts", tenant=tenant, is_archived="false")]


def _read(path: Path) -> PromptFile:
    try:
        return read(path.read_text(encoding="utf-8"), str(path))
    except OSError as error:
        raise Failed(f"{path}: {error.strerror}.", code="bad_file") from None
    except UnicodeDecodeError:
        raise Failed(f"{path} is not UTF-8.", code="bad_file") from None


def _from_catalog(api: Api, tenant: str, prompt: str, version: int | None) -> tuple[PromptFile, int]:
    facts = api.get("prompts", tenant, prompt)
    if version is None:
        rows = api.get("prompts", tenant, prompt, "versions", page_size="1")["results"]
        if not rows:
            raise Failed(f"{prompt} has no version yet.", code="no_version")
        row = rows[0]
    else:
        row = api.get("prompts", tenant, prompt, "versions", version)
    content = {name: row[name] for name in ("messages", *SETTINGS) if name in row}
    content["variables"] = dict(sorted(content.get("variables", {}).items()))
    known = {name: facts[name] for name in ("name", "description", "use_case", "tags")}
    return PromptFile({"id": prompt, **known}, content), row["number"]


def _as_stored(file: PromptFile, theirs: PromptFile) -> dict[str, Any]:
    """The file's content with what the server fills in when it is pushed."""
    content = dict(file.content)
    declared = content.get("variables", {})
    text = "".join(message["content"] for message in content["messages"])
    filled = {name: {"type": "string"} for name in _VARIABLE.findall(text)}
    if _INCLUDE in text:  # what that says of its variables is known to the server alone
        filled = theirs.content.get("variables", {})
    content["variables"] = {name: _typed(schema) for name, schema in {**filled, **declared}.items()}
    content["parameters"] = {name: value for name, value in content.get("parameters", {}).items() if value is not None}
    content["tools"] = [
        {"type": "function", **tool} if isinstance(tool, dict) else tool for tool in content.get("tools", [])
    ]
    return content


def _typed(schema: Any) -> Any:
    if isinstance(schema, dict) and not {"type", "enum", "const"} & set(schema):
        return {"type": "string", **schema}
    return schema


def _canonical(value: Any) -> Any:
    """As the server's hash has it: a database may keep keys in another order, and 1 as 1.0."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {name: _canonical(value[name]) for name in sorted(value)}
    if isinstance(value, list):
        return [_canonical(each) for each in value]
    return value
