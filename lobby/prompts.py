"""``lobby prompts``: prompts between a team's repository and Lobby's catalog."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

from lobby.api import Api, Failed
from lobby.prompt_files import SETTINGS, PromptFile, read, write

SUFFIX = ".prompt"


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


def push(api: Api, tenant: str, path: Path, *, message: str = "") -> dict[str, Any]:
    """Save the file as a version; where the catalog has this very text, nothing new is made."""
    file = _read(path)
    try:
        saved = api.post("prompts", tenant, file.id, "versions", body={**file.content, "message": message})
    except Failed as error:
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
    directory.mkdir(parents=True, exist_ok=True)
    path, text = directory / f"{prompt}{SUFFIX}", write(file)
    changed = not path.exists() or path.read_text(encoding="utf-8") != text
    if changed:
        path.write_text(text, encoding="utf-8", newline="\n")
    return {"prompt": prompt, "version": number, "file": str(path), "changed": changed}


def diff(api: Api, tenant: str, path: Path, *, version: int | None = None) -> dict[str, Any]:
    """What a push would change: the catalog's version against the file."""
    file = _read(path)
    theirs, number = _from_catalog(api, tenant, file.id, version)
    # A variable that a file leaves to its default declaration is in the catalog as what that means.
    lines = difflib.unified_diff(
        write(theirs).splitlines(keepends=True),
        write(PromptFile(theirs.facts, _as_stored(file, theirs))).splitlines(keepends=True),
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
    """The file's content with what the server would fill in, where it has said so before."""
    content = dict(file.content)
    declared, known = dict(content.get("variables", {})), theirs.content.get("variables", {})
    text = "".join(message["content"] for message in content["messages"])
    for name, schema in known.items():
        if name not in declared and f"{{{{{name}}}}}" in text.replace(" ", ""):
            declared[name] = schema
    content["variables"] = dict(sorted(declared.items()))
    return content
