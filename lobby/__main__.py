"""The command line: parses, calls, prints. ``--json`` prints one JSON document for programs."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lobby import prompts
from lobby.api import Api, Failed

FAILED, DIFFERENT = 2, 1


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0, 1 where ``diff`` found a difference, 2 for a failure."""
    asked = _parser().parse_args(arguments)
    try:
        api = Api.from_environment()
        tenant = asked.tenant or api.tenant()
        found = _run(api, tenant, asked)
    except Failed as error:
        if asked.json:
            print(json.dumps({"error": {"code": error.code, "message": error.message}}))
        else:
            print(f"lobby: {error.message}", file=sys.stderr)
        return FAILED
    if asked.json:
        print(json.dumps(found, ensure_ascii=False))
    else:
        for each in found:
            print(_told(asked.verb, each))
    return DIFFERENT if asked.verb == "diff" and any(each["diff"] for each in found) else 0


def _run(api: Api, tenant: str, asked: argparse.Namespace) -> list[dict[str, Any]]:
    if asked.verb == "pull":
        wanted = asked.prompt or prompts.slugs(api, tenant)
        if asked.version is not None and len(wanted) != 1:
            raise Failed("--version goes with one prompt.")
        return [prompts.pull(api, tenant, each, asked.directory, version=asked.version) for each in wanted]
    match asked.verb:
        case "create":
            return [prompts.create(api, tenant, path) for path in asked.file]
        case "push":
            return [prompts.push(api, tenant, path, message=asked.message) for path in asked.file]
    return [prompts.diff(api, tenant, path, version=asked.version) for path in asked.file]


def _told(verb: str, found: dict[str, Any]) -> str:
    match verb:
        case "diff":
            return str(found["diff"]).rstrip("\n") or f"{found['prompt']}: as version {found['version']}."
        case "pull":
            return f"{found['file']}: version {found['version']}{'' if found['changed'] else ', unchanged'}."
    if found["created"]:
        return f"{found['prompt']}: version {found['version']} is saved."
    return f"{found['prompt']}: version {found['version']} says exactly this already."


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lobby", description="Lobby from the command line. LOBBY_URL says where it is, LOBBY_API_KEY who asks."
    )
    things = parser.add_subparsers(dest="thing", required=True, metavar="prompts")
    verbs = things.add_parser("prompts", help="prompts as files of a repository").add_subparsers(
        dest="verb", required=True
    )
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="print JSON")
    common.add_argument("--tenant", default="", help="by default that of the key")
    for verb, text in (
        ("create", "make a prompt from a file, with its first version"),
        ("push", "save files as versions"),
        ("diff", "compare files with the catalog; exit code 1 where they differ"),
    ):
        each = verbs.add_parser(verb, help=text, parents=[common])
        each.add_argument("file", nargs="+", type=Path)
        if verb == "push":
            each.add_argument("-m", "--message", default="", help="what changed, and why")
        if verb == "diff":
            each.add_argument("--version", type=int, help="by default the newest")
    pull = verbs.add_parser("pull", help="write prompts to files; all of the tenant's by default", parents=[common])
    pull.add_argument("prompt", nargs="*")
    pull.add_argument("-d", "--directory", type=Path, default=Path("prompts"))
    pull.add_argument("--version", type=int, help="by default the newest")
    return parser


if __name__ == "__main__":
    sys.exit(main())
