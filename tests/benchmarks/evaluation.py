"""A run of 1,000 examples with three deterministic scorers on the embedded profile: run by hand.

    python -m tests.benchmarks.evaluation [--examples 1000] [--in-process] [--memory] [--comparison 5000]

The real worker (Celery, from the file-backed queue) calls the real gateway in front of an instant fake upstream. The
promise: under 40 s end to end, and under 15 ms an item. ``--in-process`` leaves Celery out, to see what it adds, and
prints the worker's own memory. ``--memory`` does so for a tenth of the examples first, then for all of them, each in a
process of its own: it promises that the second needs hardly more. ``--comparison`` has two runs of so many examples
compared and asks for their page, with its filters, over HTTP: each within 300 ms.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import httpx

from tests.evaluation.world import RunsWorld
from tests.fakes.process import FakeOpenAI
from tests.gateway.world import World
from tests.live import ROOT, LobbyFactory
from tests.template import migrated_database

SECONDS: Final = 40.0
MS_PER_ITEM: Final = 15.0
PAGE_MS: Final = 300.0
PAGE_ROUNDS: Final = 20
GROWTH: Final = 1.25  # of the worker's own memory, by ten times the examples
_TOLD: Final = "Memory of the worker: "
_WORK: Final = """
from pathlib import Path
from apps.evaluation.running import store
from apps.evaluation.running.worker import Worker
Worker(store.find_run("{run}")).work(1_800.0)
held = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
print(*(int(held[name].split()[0]) // 1024 for name in ("VmHWM", "RssAnon", "RssFile")))
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=1_000)
    parser.add_argument("--in-process", action="store_true")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--comparison", type=int, metavar="EXAMPLES")
    options = parser.parse_args()
    if options.memory:
        return memory(options.examples)
    if options.comparison:
        return comparison(options.comparison)
    with tempfile.TemporaryDirectory() as name, FakeOpenAI() as fake:
        factory = LobbyFactory(migrated_database(Path(name)), Path(name))
        world = World(factory(start=False), fake)
        try:
            world.start()
            runs = RunsWorld(world)
            examples = [
                {"input": {"messages": [{"role": "user", "content": f"Question {n}"}]}, "expected": "w0 w1"}
                for n in range(options.examples)
            ]
            version = runs.dataset("benchmark", examples)
            if not options.in_process:
                world.lobby.start_worker()
                warm = runs.start(runs.dataset("warm", examples[:1]))  # the worker's own start is not the run's
                _wait(runs, warm)
            began = time.monotonic()
            run = runs.start(version)
            if options.in_process:
                # A process of its own, which has made no dataset; it may take minutes.
                source = f"import django; django.setup()\n{_WORK.format(run=run)}"
                command = [sys.executable, "-c", source]
                told = subprocess.run(
                    command, env=world.lobby.env, cwd=ROOT, capture_output=True, text=True, check=True
                )
                peak, own, files = told.stdout.split()[-3:]
                print(f"{_TOLD}{own} MB of its own, {files} MB of files; {peak} MB at its peak")
            _wait(runs, run)
            spent = time.monotonic() - began
            facts = runs.run(
                "row = run_named(run)\nresult = [row.status, row.items.filter(status='done').count()]", run=run
            )
        finally:
            world.close()
            factory.stop()
    each = spent / options.examples * 1000
    print(
        f"{options.examples} examples, 3 scorers: {spent:.1f} s, {each:.1f} ms an item; {facts[1]} done ({facts[0]})."
    )
    kept = facts == ["done", options.examples] and spent < SECONDS * options.examples / 1000 and each < MS_PER_ITEM
    print("The promise holds." if kept else "The promise does NOT hold.")
    return 0 if kept else 1


def memory(examples: int) -> int:
    """A worker's own memory after a tenth of the examples, and after all of them. SQLite maps the database's file,
    as far as it is read: those pages are the system's to take back, and grow with the file."""
    owned = []
    for count in (examples // 10, examples):
        command = [sys.executable, "-m", "tests.benchmarks.evaluation", "--in-process", "--examples", str(count)]
        done = subprocess.run(command, env=os.environ, capture_output=True, text=True, check=False)
        line = next((each for each in done.stdout.splitlines() if each.startswith(_TOLD)), "")
        if not line:
            print(done.stdout, done.stderr, sep="\n")
            return 1
        owned.append(int(line.removeprefix(_TOLD).split()[0]))
        print(f"{count:,} examples: {line}")
    kept = owned[1] <= owned[0] * GROWTH
    print("The promise holds." if kept else "The promise does NOT hold.")
    return 0 if kept else 1


def comparison(examples: int) -> int:
    """The page of two runs, as it opens and by each of its filters: the median of each over HTTP."""
    with tempfile.TemporaryDirectory() as name, FakeOpenAI() as fake:
        factory = LobbyFactory(migrated_database(Path(name)), Path(name))
        world = World(factory(start=False), fake)
        try:
            world.start()
            runs = RunsWorld(world)
            rows = [
                {
                    "input": {"messages": [{"role": "user", "content": f"Question {n}"}]},
                    "expected": "w0 w1" if n % 3 else "elsewhere",
                    "slice": f"slice {n % 7}",
                }
                for n in range(examples)
            ]
            version = runs.dataset("compared", rows)
            pair = [runs.start(version, reuses_answers=False) for _ in range(2)]
            for run in pair:
                runs.work(run, 600.0)
            session = runs.run(
                """
from apps.evaluation.services.gates import compare_evaluations, weigh_comparison
from django.test import Client
made = compare_evaluations(actor=ada, baseline=run_named(pair[0]), candidate=run_named(pair[1]))
weigh_comparison(made.pk)
client = Client()
client.force_login(member, backend="django.contrib.auth.backends.ModelBackend")
result = {name: morsel.value for name, morsel in client.cookies.items()}
""",
                pair=pair,
            )
            address = f"{world.lobby.url}/evaluations/compare/?baseline={pair[0]}&candidate={pair[1]}"
            worst = 0.0
            with httpx.Client(cookies=session, timeout=60.0, trust_env=False) as client:
                for query in ("", "&show=tied", "&slice=slice+3", "&q=Question+12", "&sort=position&page=200"):
                    took = [_page(client, address + query) for _ in range(PAGE_ROUNDS)]
                    median = statistics.median(took)
                    worst = max(worst, median)
                    print(
                        f"2 x {examples:,} items, {query or 'as it opens'}: {median:.0f} ms, at most {max(took):.0f} ms"
                    )
        finally:
            world.close()
            factory.stop()
    print("The promise holds." if worst < PAGE_MS else "The promise does NOT hold.")
    return 0 if worst < PAGE_MS else 1


def _page(client: httpx.Client, address: str) -> float:
    began = time.perf_counter()
    answer = client.get(address)
    took = (time.perf_counter() - began) * 1000
    assert answer.status_code == 200, answer.status_code
    assert "Example by example" in answer.text
    return took


def _wait(runs: RunsWorld, run: str) -> None:
    while runs.run("result = run_named(run).status", run=run) not in ("done", "failed", "paused"):
        time.sleep(0.2)


if __name__ == "__main__":
    sys.exit(main())
