"""A run of 1,000 examples with three deterministic scorers on the embedded profile: run by hand.

    python -m tests.benchmarks.evaluation [--examples 1000] [--in-process]

The real worker (Celery, from the file-backed queue) calls the real gateway in front of an instant fake upstream. The
promise: under 40 s end to end, and under 15 ms an item. ``--in-process`` leaves Celery out, to see what it adds, and
prints the worker's own memory.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from tests.evaluation.world import RunsWorld
from tests.fakes.process import FakeOpenAI
from tests.gateway.world import World
from tests.live import LobbyFactory
from tests.template import migrated_database

SECONDS: Final = 40.0
MS_PER_ITEM: Final = 15.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=1_000)
    parser.add_argument("--in-process", action="store_true")
    options = parser.parse_args()
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
                runs.work(run, 600.0)
                peak = runs.run("import resource\nresult = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss")
                print(f"Peak memory of the worker: {peak / 1024:.0f} MB")
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


def _wait(runs: RunsWorld, run: str) -> None:
    while runs.run("result = run_named(run).status", run=run) not in ("done", "failed", "paused"):
        time.sleep(0.2)


if __name__ == "__main__":
    sys.exit(main())
