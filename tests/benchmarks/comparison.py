"""How long the server takes for a page of two runs beside each other.

    python -m tests.benchmarks.comparison [--examples 5000] [--scorers 3]

An empty SQLite database is filled with a dataset and two runs of it; the comparison page is asked for as it opens, by
another scorer, filtered by a slice, and searched. What is told is the median of the processor's time in milliseconds:
SQLite works inside the process, so that it is the server's whole time on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]
_VISITS: Final = 15
_WARM_VISITS: Final = 3


def measure(examples: int, scorers: int) -> dict[str, float]:
    """In a process of its own, with the settings for one database: migrate, fill, weigh, visit the page."""
    import django

    django.setup()
    from django.conf import settings
    from django.core.management import call_command
    from django.test import Client

    from apps.evaluation.services import gates
    from tests.cast import assemble
    from tests.evaluation.gating import dataset, finish, run_of, scorer

    settings.ALLOWED_HOSTS = ["*"]
    call_command("migrate", verbosity=0)
    cast = assemble()
    data = dataset(cast, examples)
    made = [scorer(cast, slug=f"match-{n}") for n in range(scorers)]
    runs = [run_of(cast, data, name, *made) for name in ("Before", "After")]
    chance = random.Random(1)
    for run in runs:
        finish(run, *[[float(chance.random() < 0.7) for _ in range(examples)] for _ in made])
    gates.compare_evaluations(actor=cast.actor("scientist"), baseline=runs[0], candidate=runs[1])
    gates.decide_gates()
    client = Client()
    client.force_login(cast["scientist"], backend="django.contrib.auth.backends.ModelBackend")
    address = f"/evaluations/compare/?baseline={runs[0].public_id}&candidate={runs[1].public_id}"
    asked = {"opened": "", "by_scorer": "&scorer=match-1", "by_slice": "&slice=storm", "searched": "&q=window"}
    return {name: _median(client, address + query) for name, query in asked.items()}


def _median(client: Any, address: str) -> float:
    took = []
    for visit in range(_VISITS):
        began = time.process_time()
        assert client.get(address).status_code == 200
        if visit >= _WARM_VISITS:
            took.append((time.process_time() - began) * 1_000)
    return round(statistics.median(took), 1)


def run(examples: int, scorers: int) -> dict[str, float]:
    """Measured in a fresh process with a database of its own."""
    with tempfile.TemporaryDirectory() as directory:
        env = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "portal.settings",
            "LOBBY_ENV_FILE": os.devnull,
            "DATA_DIR": directory,
        }
        command = [sys.executable, "-m", "tests.benchmarks.comparison", "--here"]
        command += ["--examples", str(examples), "--scorers", str(scorers)]
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=5_000)
    parser.add_argument("--scorers", type=int, default=3)
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    print(json.dumps((measure if asked.here else run)(asked.examples, asked.scorers)))


if __name__ == "__main__":
    main()
