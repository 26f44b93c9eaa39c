"""``make bench``: measures the fake upstream alone, Lobby and LiteLLM's proxy side by side, and prints what came out.

python -m tests.benchmarks                       everything, about ten minutes; writes .bench/results.json
python -m tests.benchmarks --quick               a few seconds, without LiteLLM: does the harness work?
python -m tests.benchmarks --only lobby,slow     a part; what an earlier run measured of the rest is kept
python -m tests.benchmarks --markdown            puts the last results into docs/benchmarks.md
"""

from __future__ import annotations

import argparse
import resource
import sys
from pathlib import Path
from typing import Final

import msgspec

from tests.benchmarks import drain, home, measure, report
from tests.benchmarks.measure import QUICK, Plan, Report
from tests.benchmarks.subjects import LOAD_CPU, PROXY_CPU, ROOT, LiteLLM, Lobby, StartError
from tests.fakes.process import FakeOpenAI

PARTS: Final = ("fake", "lobby", "slow", "litellm", "drain", "home")
QUICK_PARTS: Final = ("fake", "lobby", "slow")
VENDORS: Final = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
FOLDER: Final = ROOT / ".bench"
DRAINED_REQUESTS: Final = 50_000
MOST_DELAY_MS: Final = 1000.0
"""Beyond this p99 of the delay of a chunk more slow streams are not tried."""


def main(argv: list[str] | None = None) -> int:
    """Runs the benchmarks. Returns 0, or 1 where an answer was wrong or a subject did not start."""
    parser = argparse.ArgumentParser(description="Benchmarks of Lobby beside LiteLLM's proxy")
    parser.add_argument("--quick", action="store_true", help="a few seconds, without LiteLLM")
    parser.add_argument("--only", help=f"a comma-separated part of {','.join(PARTS)}")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="for results, logs and LiteLLM's environment")
    parser.add_argument("--rounds", type=int, help="rounds of each measurement, of which the median counts")
    parser.add_argument("--drainer-cpu", type=int, default=PROXY_CPU, help="the core of Lobby's drainer")
    parser.add_argument("--markdown", nargs="?", type=Path, const=ROOT / "docs" / "benchmarks.md", metavar="PAGE")
    arguments = parser.parse_args(argv)
    results: Path = arguments.folder / "results.json"
    if arguments.markdown:
        report.write_into(msgspec.json.decode(results.read_bytes(), type=Report), arguments.markdown)
        return 0
    parts = list(QUICK_PARTS if arguments.quick else PARTS)
    if arguments.only:
        parts = arguments.only.split(",")
    if unknown := set(parts).difference(PARTS):
        parser.error(f"unknown parts: {', '.join(sorted(unknown))}")
    plan = QUICK if arguments.quick else Plan()
    if arguments.rounds:
        plan = msgspec.structs.replace(plan, rounds=arguments.rounds)
    try:
        found = run(arguments.folder, parts, plan, drainer_cpu=arguments.drainer_cpu, earlier=_earlier(results, plan))
    except StartError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    results.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=2))
    print(report.text(found))
    return 1 if found.problems else 0


def run(
    folder: Path,
    parts: list[str],
    plan: Plan,
    *,
    drainer_cpu: int = PROXY_CPU,
    earlier: Report | None = None,
    database: Path | None = None,
) -> Report:
    """Makes the measurements of the given parts. ``database`` is a migrated one for Lobby to begin with. Raises
    StartError when a subject cannot be brought up."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ".gitignore").write_text("*\n")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    measure.pin_self()
    found = measure.report(plan)
    if earlier is not None:
        found = msgspec.structs.replace(earlier, date=found.date, machine=found.machine, busy_before=found.busy_before)
    with FakeOpenAI(cpu=LOAD_CPU) as upstream:
        # Latencies are differences from the upstream alone: it is always measured in the same run.
        _say("the fake upstream alone")
        found.fake = measure.measure_fake(upstream, plan)
        if "lobby" in parts or "slow" in parts:
            _say("Lobby")
            # An upstream of its own, whose count is then that of Lobby's attempts alone.
            counting = FakeOpenAI(cpu=LOAD_CPU)
            with counting, Lobby(folder / "lobby", counting, drainer_cpu=drainer_cpu, database=database) as lobby:
                found.heavy_imports = lobby.heavy_imports()
                if "lobby" in parts:
                    found.lobby = measure.measure_proxy(lobby, upstream, plan)
                if "slow" in parts:
                    found.slow = []
                    for streams in plan.slow_streams:
                        _say(f"{streams} slow streams")
                        slow = measure.measure_slow_streams(lobby, upstream, plan, streams)
                        found.slow.append(slow)
                        delay = slow.result.chunk_delay
                        if slow.result.errors or delay is None or delay.p99 / 1000 > MOST_DELAY_MS:
                            break
                _say("the ledger against the upstream's count")
                found.ledger = lobby.ledger_totals()
                totals = counting.wait_idle()
                found.upstream_count = {
                    "attempts": totals["arrivals"],
                    "prompt_tokens": totals["prompt_tokens"],
                    "completion_tokens": totals["completion_tokens"],
                }
        if "litellm" in parts:
            _say("LiteLLM")
            with LiteLLM(folder / "litellm", upstream) as litellm:
                found.litellm = measure.measure_proxy(litellm, upstream, plan)
    if "drain" in parts:
        _say("the drainer")
        found.drained = {VENDORS[row["database"]]: row["records_per_second"] for row in drain.run(DRAINED_REQUESTS)}
    if "home" in parts:
        _say("the Home page")
        found.home_ms = {str(row["rows"]): row["query_ms"] for row in home.run()}
    found.problems = measure.problems(found)
    return found


def _earlier(results: Path, plan: Plan) -> Report | None:
    """What an earlier run by the same plan measured."""
    try:
        earlier = msgspec.json.decode(results.read_bytes(), type=Report)
    except (OSError, msgspec.DecodeError):
        return None
    return earlier if earlier.plan == plan else None


def _say(what: str) -> None:
    print(f"bench: {what} …", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
