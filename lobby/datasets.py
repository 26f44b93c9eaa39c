"""``lobby datasets``: files of examples into Lobby's datasets."""

from __future__ import annotations

import math
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from lobby.api import Api, Failed
from lobby.waiting import until

OVER = ("done", "failed", "cancelled")
SEVERAL = ("context", "tags")  # more than one column may be it


def push(
    api: Api,
    tenant: str,
    path: Path,
    *,
    dataset: str,
    create: bool = False,
    name: str = "",
    prompt: str = "",
    mapping: dict[str, str] | None = None,
    freeze: bool = False,
    message: str = "",
    quiet: bool = False,
) -> dict[str, Any]:
    """Upload, import, and wait until it is done; then a version, where one is asked for. ``created`` tells whether the
    dataset was made; None where nobody asked for that.

    Of a dataset that was made for a file of which nothing could be used nothing stays.
    """
    is_new = _create(api, tenant, dataset, name or dataset, prompt) if create else None
    try:
        found = _imported(api, tenant, path, dataset, mapping, quiet) | {"created": is_new}
    except BaseException:  # Ctrl-C, too
        if is_new:
            _remove(api, tenant, dataset)
        raise
    if is_new and not found["added"] and _remove(api, tenant, dataset):
        return found | {"dropped": True}
    if freeze:
        version = api.post("datasets", tenant, dataset, "versions", body={"message": message})
        found |= {"version": version["number"], "hash": version["manifest_hash"], "frozen": version["created"]}
    return found


def _imported(
    api: Api, tenant: str, path: Path, dataset: str, mapping: dict[str, str] | None, quiet: bool
) -> dict[str, Any]:
    upload = api.send("datasets", tenant, dataset, "uploads", path=path)
    upload = _until(api, tenant, dataset, upload, ("ready", *OVER), quiet=True)
    if upload["status"] == "ready":
        body = {} if mapping is None else {"mapping": _said(upload["mapping"], mapping)}
        try:
            upload = api.post("datasets", tenant, dataset, "uploads", upload["id"], "import", body=body)
        except Failed:
            _cancel(api, tenant, dataset, upload)
            raise
        upload = _until(api, tenant, dataset, upload, OVER, quiet=quiet)
    if upload["status"] != "done":
        raise Failed(upload["error"] or f"The import is {upload['status']}.", code=f"import_{upload['status']}")
    return {
        "dataset": dataset,
        "file": str(path),
        **{each: upload[f"rows_{each}"] for each in ("added", "changed", "same", "refused")},
        "errors": upload["errors"],
        "mapping": upload["mapping"],
        "version": None,
        "hash": None,
        "frozen": False,
        "dropped": False,
    }


def _said(guessed: dict[str, str], mapping: dict[str, str]) -> dict[str, str]:
    """What was said of a column counts: of another one, the guess that it is the same part is withdrawn."""
    said = {part for part in mapping.values() if part not in SEVERAL}
    return {column: "" if part in said else part for column, part in guessed.items()} | mapping


def told(found: dict[str, Any]) -> str:
    lines = [
        f"{found['dataset']}: {found['added']} added, {found['changed']} changed, {found['same']} the same,"
        f" {found['refused']} refused."
    ]
    if found["created"] is False:
        lines.append(f"  {found['dataset']} was there already: these examples were added to it")
    used = [f"{column} is {part}" for column, part in found["mapping"].items() if part]
    left = [column for column, part in found["mapping"].items() if not part]
    lines.append(f"  columns: {', '.join(used)}")
    if left:
        lines.append(f"  left out: {', '.join(left)} (--map COLUMN=PART says what a column is)")
    for each in found["errors"]:
        where = f"line {each['line']}" + (f", {each['column']}" if each["column"] else "")
        lines.append(f"  {where}: {each['reason']}")
    if found["refused"] > len(found["errors"]):
        lines.append(f"  and {found['refused'] - len(found['errors'])} more")
    if found["dropped"]:
        lines.append("  no row could be used: the dataset was not made")
    if found["version"] is not None:
        lines.append(f"  version {found['version']}{'' if found['frozen'] else ', which was there already'}")
    return "\n".join(lines)


def _create(api: Api, tenant: str, dataset: str, name: str, prompt: str) -> bool:
    """Whether it was not there yet."""
    body: dict[str, Any] = {"tenant": tenant, "slug": dataset, "name": name}
    if prompt:
        body["prompt"] = prompt
    try:
        api.post("datasets", body=body)
    except Failed as error:
        if error.code != "slug_taken":
            raise
        return False
    return True


def _cancel(api: Api, tenant: str, dataset: str, upload: dict[str, Any]) -> None:
    """Else files that nobody imports pile up, until no further one is taken."""
    with suppress(Failed):
        api.post("datasets", tenant, dataset, "uploads", upload["id"], "cancel", body={})


def _remove(api: Api, tenant: str, dataset: str) -> bool:
    """Whether it is gone. It stays where somebody has put examples into it meanwhile."""
    try:
        api.delete("datasets", tenant, dataset)
    except Failed:
        return False
    return True


def _until(
    api: Api, tenant: str, dataset: str, upload: dict[str, Any], wanted: tuple[str, ...], *, quiet: bool
) -> dict[str, Any]:
    shows = not quiet and sys.stderr.isatty()

    def look() -> dict[str, Any]:
        found: dict[str, Any] = api.get("datasets", tenant, dataset, "uploads", upload["id"])
        if shows:
            done = found["bytes_read"] / max(found["size"], 1)
            if found["rows_total"]:
                done = found["rows_read"] / found["rows_total"]
            sys.stderr.write(f"\r{done:4.0%}  {found['rows_read']:,} rows, {found['rows_refused']:,} refused ")
            sys.stderr.flush()
        return found

    over = until(lambda found: found["status"] in wanted, upload, look, math.inf)
    if shows:
        sys.stderr.write("\n")
    return over
