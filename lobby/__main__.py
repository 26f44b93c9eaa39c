"""The command line: parses, calls, prints. ``--json`` prints one JSON document for programs."""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lobby import comparisons, datasets, gates, prompts, redteam, reports, sweeps
from lobby.api import Api, Failed

FAILED, DIFFERENT = 2, 1


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0; 1 where ``diff`` found a difference, an import refused rows, a gate found a worse version
    or too many attacks got through;
    2 for a failure; 3 where a gate or a red team came to no verdict."""
    asked = _parser().parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal that knows no é shows \xe9
        sys.stdout.reconfigure(errors="backslashreplace")
    done: list[dict[str, Any]] = []
    try:
        return _run(asked, done)
    except Failed as error:
        code, message = error.code, error.message
    except Exception as error:  # Python's own exit code for it is 1, which would say "worse" or "different"
        code, message = "unexpected", f"That should not happen: {type(error).__name__}: {error}"
    if asked.json:
        print(json.dumps({"error": {"code": code, "message": message}} | ({"done": done} if done else {})))
    else:
        print(f"lobby: {message}", file=sys.stderr)
    return FAILED


def _run(asked: argparse.Namespace, done: list[dict[str, Any]]) -> int:
    """The exit code. ``done`` gets what was done with prompts and datasets: it stays so when the next one fails."""
    api = Api.from_environment()
    tenant = asked.tenant or api.tenant()
    if asked.thing == "eval" and asked.verb == "sweep":
        return _sweep(api, tenant, asked)
    if asked.thing in ("eval", "gate"):
        return _gate(api, tenant, asked)
    if asked.thing == "redteam":
        return _red_team(api, tenant, asked)
    for each in _files(api, tenant, asked):
        done.append(each)
        if not asked.json:
            print(datasets.told(each) if asked.thing == "datasets" else _told(asked.verb, each), flush=True)
    if asked.json:
        print(json.dumps(done))
    return DIFFERENT if any(each.get("diff") or each.get("refused") for each in done) else 0


def _files(api: Api, tenant: str, asked: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """What was done with each, one after the other."""
    if asked.thing == "datasets":
        yield _push_dataset(api, tenant, asked)
        return
    match asked.verb:
        case "pull":
            yield from _pulled(api, tenant, asked)
        case "create":
            yield from (prompts.create(api, tenant, path) for path in asked.file)
        case "push":
            facts = {"message": asked.message, "creates": asked.create}
            yield from (prompts.push(api, tenant, path, **facts) for path in asked.file)
        case "diff":
            yield from (prompts.diff(api, tenant, path, version=asked.version) for path in asked.file)
        case "release":
            facts = {"version": asked.version, "environment": asked.environment, "label": asked.label}
            yield prompts.release(api, tenant, asked.prompt, reason=asked.message, **facts)


def _pulled(api: Api, tenant: str, asked: argparse.Namespace) -> Iterator[dict[str, Any]]:
    wanted = asked.prompt or prompts.slugs(api, tenant)
    if asked.version is not None and len(wanted) != 1:
        raise Failed("--version goes with one prompt.")
    for each in wanted:
        try:
            yield prompts.pull(api, tenant, each, asked.directory, version=asked.version)
        except Failed as error:
            if asked.prompt or error.code != "no_version":
                raise
            print(f"lobby: {error.message} It is left out.", file=sys.stderr)


def _gate(api: Api, tenant: str, asked: argparse.Namespace) -> int:
    """What the decision says is printed and written before the exit code is worked out, which may raise."""
    if asked.thing == "eval" and asked.verb == "status":
        rows = gates.status(api, tenant, asked.prompt)
        print(json.dumps(rows) if asked.json else "\n".join(map(gates.told, rows)) or "No gate yet.")
        return 0
    if asked.thing == "eval" and asked.verb == "compare":
        decision = _comparison(api, tenant, asked)
        page = f"{api.url}/evaluations/compare/?baseline={decision['baseline']}&candidate={decision['candidate']}"
    elif asked.thing == "gate":
        decision = gates.newest(api, tenant, asked.prompt, asked.version)
    else:
        decision = gates.run(
            api,
            tenant,
            asked.prompt,
            asked.version,
            dataset=asked.dataset,
            scorers=asked.scorer,
            suite=asked.suite,
            project=asked.project,
            wait_seconds=asked.timeout,
        )
    if "subject" not in decision:
        page = f"{api.url}/prompts/{tenant}/{asked.prompt}/versions/{asked.version}/review/?gate={decision['id']}"
    if asked.junit:
        _write(asked.junit, reports.junit(decision))
    if asked.markdown:
        _write(asked.markdown, reports.markdown(decision, page))
    print(json.dumps(decision) if asked.json else gates.told(decision))
    try:
        code = gates.exit_code(decision, inconclusive_passes=asked.inconclusive_passes, page=page)
    except Failed as error:
        print(f"lobby: {error.message}", file=sys.stderr)  # standard output has the decision
        return FAILED
    return code if asked.thing == "gate" or asked.gate else 0


def _sweep(api: Api, tenant: str, asked: argparse.Namespace) -> int:
    given = {
        "prompt": asked.prompt,
        "prompt_versions": asked.version,
        "models": asked.model,
        "split": asked.split,
        "suite": asked.suite,
        "scorers": [{"scorer": each} for each in asked.scorer or []],
        "parameter_values": sweeps.values_of(asked.set or []),
    }
    plan = {"tenant": tenant, "project": asked.project or api.project(), "dataset": asked.dataset}
    plan |= {name: value for name, value in given.items() if value}
    found = sweeps.run(api, plan, asked.timeout)
    print(json.dumps(found) if asked.json else sweeps.told(found))
    return 0


def _comparison(api: Api, tenant: str, asked: argparse.Namespace) -> dict[str, Any]:
    plan: dict[str, Any] = {"dataset": asked.dataset, "project": asked.project}
    for name in ("prompt", "suite", "split", "repetitions"):
        if getattr(asked, name):
            plan[name] = getattr(asked, name)
    if asked.version is not None:
        plan["prompt_version"] = asked.version
    if asked.scorer or not asked.suite:
        plan["scorers"] = [{"scorer": each, "role": "primary"} for each in asked.scorer or ["exact-match"]]
        plan["scorers"] += [{"scorer": each, "role": "guard", "margin": asked.margin} for each in asked.guard or []]
    return comparisons.compare(api, tenant, asked.model, asked.against, plan, asked.timeout)


def _red_team(api: Api, tenant: str, asked: argparse.Namespace) -> int:
    """What the report says is printed and written before it is held against the limit."""
    plan: dict[str, Any] = {"tenant": tenant}
    for name in ("project", "prompt", "prompt_version", "model", "size", "seed"):
        if getattr(asked, name) is not None:
            plan[name] = getattr(asked, name)
    if asked.categories:
        plan["categories"] = [each.strip() for each in asked.categories.split(",") if each.strip()]
    found = redteam.run(api, plan, asked.timeout)
    if asked.markdown:
        page = f"{api.url}/evaluations/runs/{found['run']['id']}/red-team/"
        _write(asked.markdown, redteam.markdown(found, page))
    print(json.dumps(found) if asked.json else redteam.told(found, severity=asked.severity))
    return redteam.exit_code(found["report"], severity=asked.severity, max_rate=asked.max_rate)


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise Failed(f"{path}: {error.strerror}.", code="bad_file") from None


def _push_dataset(api: Api, tenant: str, asked: argparse.Namespace) -> dict[str, Any]:
    mapping = None
    if asked.map:
        pairs = [each.rpartition("=") for each in asked.map]
        if not all(column and mark for column, mark, _ in pairs):
            raise Failed("Write --map as COLUMN=PART, for example --map text=input:claim.")
        mapping = {column: part for column, _, part in pairs}
    return datasets.push(
        api,
        tenant,
        asked.file,
        dataset=asked.dataset,
        create=asked.create,
        name=asked.name,
        prompt=asked.prompt,
        mapping=mapping,
        freeze=asked.freeze,
        message=asked.message,
        quiet=asked.json,
    )


def _told(verb: str, found: dict[str, Any]) -> str:
    match verb:
        case "diff":
            return str(found["diff"]).rstrip("\n") or f"{found['prompt']}: as version {found['version']}."
        case "pull":
            return f"{found['file']}: version {found['version']}{'' if found['changed'] else ', unchanged'}."
        case "release":
            where = f"“{found['label']}” in {found['environment']}"
            return f"{found['prompt']}: {where} means version {found['version']} now."
    if found["created"]:
        return f"{found['prompt']}: version {found['version']} is saved."
    return f"{found['prompt']}: version {found['version']} says exactly this already."


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lobby", description="Lobby from the command line. LOBBY_URL says where it is, LOBBY_API_KEY who asks."
    )
    things = parser.add_subparsers(dest="thing", required=True, metavar="prompts|datasets|eval|gate|redteam")
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
            each.add_argument("--create", action="store_true", help="make a prompt that is not there")
        if verb == "diff":
            each.add_argument("--version", type=int, help="by default the newest")
    pull = verbs.add_parser("pull", help="write prompts to files; all of the tenant's by default", parents=[common])
    pull.add_argument("prompt", nargs="*")
    pull.add_argument("-d", "--directory", type=Path, default=Path("prompts"))
    pull.add_argument("--version", type=int, help="by default the newest")
    release = verbs.add_parser("release", help="have a label mean a version", parents=[common])
    release.add_argument("prompt")
    release.add_argument("--version", type=int, required=True)
    release.add_argument("--environment", default="prod", help="dev, test or prod; by default prod")
    release.add_argument("--label", default="live", help="by default live")
    release.add_argument("-m", "--message", default="", help="why")
    _add_datasets(things, common)
    _gate_parser(things, common)
    _red_team_parser(things, common)
    return parser


def _gate_parser(things: Any, common: argparse.ArgumentParser) -> None:
    verdict = argparse.ArgumentParser(add_help=False, parents=[common])
    verdict.add_argument("--junit", type=Path, metavar="FILE", help="write JUnit XML")
    verdict.add_argument("--markdown", type=Path, metavar="FILE", help="write a summary for a pull request")
    verdict.add_argument("--inconclusive-passes", action="store_true", help="exit code 0 where there is no verdict")
    version = argparse.ArgumentParser(add_help=False, parents=[verdict])
    version.add_argument("--prompt", required=True)
    version.add_argument("--version", type=int, required=True)
    codes = "Exit code: 0 better or released, 1 worse or refused, 2 failure, 3 no verdict."
    things.add_parser("gate", help="what a version's gate decided", parents=[version], epilog=codes)
    verbs = things.add_parser("eval", help="versions evaluated beside the released ones").add_subparsers(
        dest="verb", required=True
    )
    run = verbs.add_parser("run", help="evaluate a version, and wait", parents=[version], epilog=codes)
    run.add_argument("--gate", action="store_true", help="make the verdict the exit code")
    run.add_argument("--dataset", default="", help="in the place of the prompt's plan: gives advice, releases nothing")
    run.add_argument("--suite", default="", help="a set of scorers, such as standard: advice, on the plan's dataset")
    run.add_argument("--scorer", action="append", help="with --dataset or --suite; may be given several times")
    run.add_argument("--project", default="", help="with the same: whose budget; by default the key's project")
    run.add_argument("--timeout", type=float, default=3600, metavar="SECONDS", help="how long to wait")
    sweep = verbs.add_parser("sweep", help="several models, versions or parameters side by side", parents=[common])
    sweep.add_argument("--prompt", default="", help="left out: the models alone, with the examples' own messages")
    sweep.add_argument("--version", type=int, action="append", help="may be given several times; by default the newest")
    sweep.add_argument("--model", action="append", help="may be given several times; by default the version's own")
    sweep.add_argument("--set", action="append", metavar="NAME=A,B", help="values of a parameter: temperature=0,0.7")
    sweep.add_argument("--dataset", required=True, help="its newest version")
    sweep.add_argument("--split", default="", choices=("test", "dev"))
    sweep.add_argument("--suite", default="", help="a set of scorers, such as standard")
    sweep.add_argument("--scorer", action="append", help="may be given several times")
    sweep.add_argument("--project", default="", help="whose budget; by default the key's project")
    sweep.add_argument("--timeout", type=float, default=3600, metavar="SECONDS", help="how long to wait")
    compare = verbs.add_parser("compare", help="a model or a route beside another one", parents=[verdict], epilog=codes)
    compare.add_argument("--model", required=True, help="the model or route that is to come")
    compare.add_argument("--against", required=True, metavar="MODEL", help="the model or route as it is")
    compare.add_argument("--dataset", required=True)
    compare.add_argument("--prompt", default="", help="rendered with the examples; by default their own messages")
    compare.add_argument("--version", type=int, help="of the prompt; by default the newest")
    compare.add_argument("--scorer", action="append", help="must improve; may be given several times")
    compare.add_argument("--guard", action="append", metavar="SCORER", help="must not get worse; likewise")
    compare.add_argument("--margin", type=float, default=0.0, help="by how much a guard may be worse; by default 0")
    compare.add_argument("--suite", default="", help="a set of scorers, such as standard")
    compare.add_argument("--split", choices=("dev", "test"), help="by default all examples")
    compare.add_argument("--repetitions", type=int, help="answers to each example")
    compare.add_argument("--gate", action="store_true", help="make the verdict the exit code")
    compare.add_argument("--project", default="", help="whose budget; by default the key's project")
    compare.add_argument("--timeout", type=float, default=3600, metavar="SECONDS", help="how long to wait")
    status = verbs.add_parser("status", help="a prompt's gates, and how far they are", parents=[common])
    status.add_argument("--prompt", required=True)


def _red_team_parser(things: Any, common: argparse.ArgumentParser) -> None:
    verbs = things.add_parser("redteam", help="generated attacks on a prompt or a model").add_subparsers(
        dest="verb", required=True
    )
    run = verbs.add_parser(
        "run",
        help="attack, and wait for the report",
        parents=[common],
        epilog="Exit code: 0 within the limit, 1 more got through, 2 failure, 3 a category without a verdict.",
    )
    run.add_argument("--prompt", help="its newest version, unless --version says which")
    run.add_argument("--version", type=int, dest="prompt_version")
    run.add_argument("--model", help="a model or a route; with --prompt in the place of its own")
    run.add_argument("--categories", default="", metavar="A,B", help="by default all")
    run.add_argument("--size", choices=("small", "standard", "thorough"), help="by default standard")
    run.add_argument("--seed", type=int, help="another one makes other secrets; by default 1")
    run.add_argument("--severity", choices=redteam.SEVERITIES, default="low", help="the limit is for these and worse")
    run.add_argument("--max-rate", type=_share, metavar="RATE", help="how much of a category may get through, 0 to 1")
    run.add_argument("--project", help="whose budget; by default the key's project")
    run.add_argument("--markdown", type=Path, metavar="FILE", help="write a summary for a pull request")
    run.add_argument("--timeout", type=float, default=3600, metavar="SECONDS", help="how long to wait")


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no share from 0 to 1")
    return share


def _add_datasets(things: Any, common: argparse.ArgumentParser) -> None:
    verbs = things.add_parser("datasets", help="files of examples").add_subparsers(dest="verb", required=True)
    push = verbs.add_parser(
        "push", help="upload and import a file; exit code 1 where rows were refused", parents=[common]
    )
    push.add_argument("file", type=Path, help="CSV, TSV, JSON Lines or Parquet")
    push.add_argument("--dataset", required=True, metavar="SLUG")
    push.add_argument("--create", action="store_true", help="make the dataset, if it is not there")
    push.add_argument("--name", default="", help="what people call it; by default its id")
    push.add_argument("--prompt", default="", metavar="SLUG", help="which prompt a new dataset tests")
    push.add_argument("--map", action="append", metavar="COLUMN=PART", help="what a column is; by default as guessed")
    push.add_argument("--freeze", action="store_true", help="freeze a version afterwards")
    push.add_argument("-m", "--message", default="", help="what changed, and why")


if __name__ == "__main__":
    sys.exit(main())
