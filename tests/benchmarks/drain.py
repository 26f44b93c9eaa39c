"""How fast the drainer moves a spool into the database.

    python -m tests.benchmarks.drain [--requests 50000] [--url postgres://...]

Writes a spool as a gateway does (per request an intent, then a settlement and a request line in one append), then
drains it into an empty database of its own: SQLite on the same disk, and PostgreSQL (a private cluster with its
durability on). A record is a settlement with its request line. Prints a table; ``--json FILE`` writes the figures too.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec

from tests.servers import PostgresServer, ProgramMissing

ROOT = Path(__file__).resolve().parent.parent.parent


def fill(directory: Path, requests: int) -> int:
    """Write a spool of so many requests over 3 hours, and return its bytes.

    20 tenants have 5 projects each, of 2 keys each, each calling 2 models.
    """
    from apps.gateway.ledger.lines import Intent, RequestLine, Settlement
    from apps.gateway.ledger.spool import Spool

    choose = random.Random(1)
    encode = msgspec.json.Encoder().encode
    now = time.time_ns() // 1_000_000 - 3 * 3_600_000
    total = 0
    why = {
        "caller": "key ci (lby_0123)",
        "project": "retail/shop",
        "held": {"tokens": 4500, "cost_picousd": 123456789},
        "limits": [{"rule": "1,000 requests per minute", "left": 512}],
        "attempts": [{"endpoint": "gpt at OpenAI", "outcome": "ok", "status": 200, "ms": 812, "price_id": 4}],
    }
    with Spool(directory, max_bytes=1 << 40) as spool:
        for number in range(requests):
            tenant, key = choose.randrange(1, 21), choose.randrange(10)
            who: dict[str, Any] = {
                "request_id": f"{now + number:012x}{choose.getrandbits(80):020x}",
                "at": now + number * 3 * 3_600_000 // requests,
                "tenant_id": tenant,
                "project_id": tenant * 5 + key // 2,
                "api_key_id": tenant * 10 + key,
            }
            attempt: dict[str, Any] = {
                "attempt_id": f"{who['at']:012x}{choose.getrandbits(80):020x}",
                "model_id": 1 + (key + choose.randrange(2)) % 8,
                "endpoint_id": 3,
                "price_id": 4,
                "streamed": number % 2 == 0,
            }
            used: dict[str, Any] = {
                "input_tokens": choose.randrange(5000),
                "output_tokens": choose.randrange(1000),
                "cost_picousd": choose.randrange(10**10),
                "duration_ms": choose.randrange(30_000),
                "first_token_ms": 200 if number % 2 == 0 else None,
                "http_status": 200,
                "outcome": "ok",
            }
            intent = Intent(**who, **attempt, model_slug="gpt", operation="chat.completions")
            settled = Settlement(
                **who, **attempt, **used, status="measured", upstream_request_id="req_0123456789abcdef"
            )
            request = RequestLine(**who, **used, operation="chat.completions", model_slug="gpt", attempts=1, why=why)
            head, tail = encode(intent) + b"\n", encode(settled) + b"\n" + encode(request) + b"\n"
            spool.append(head)
            spool.append_settled(tail)
            total += len(head) + len(tail)
    return total


def measure(spool: Path, requests: int) -> dict[str, Any]:
    """In a process of its own, with the settings for one database: migrate, drain, check the counts."""
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connection

    from apps.gateway.ledger.drain import drain_once
    from apps.gateway.models import Granularity, RequestLog, UsageRecord, UsageRollup

    call_command("migrate", verbosity=0)
    size = fill(spool, requests)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    cpu, wall = time.process_time(), time.perf_counter()
    report = drain_once(spool)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    assert report.records == report.requests == requests, report
    assert UsageRecord.objects.unscoped("benchmark").count() == requests
    assert RequestLog.objects.unscoped("benchmark").count() == requests
    hours = UsageRollup.objects.unscoped("benchmark").filter(granularity=Granularity.HOUR)
    assert sum(hours.values_list("requests", flat=True)) == requests
    return {
        "database": connection.vendor,
        "requests": requests,
        "spool_bytes": size,
        "seconds": round(wall, 3),
        "records_per_second": round(requests / wall),
        "cpu_share": round(cpu / wall, 2),
        "memory_grown_kib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory,
        "rollup_rows": UsageRollup.objects.unscoped("benchmark").count(),
    }


def in_process(url: str, directory: Path, requests: int) -> dict[str, Any]:
    directory.mkdir()
    env = {**os.environ, "DATA_DIR": str(directory), "DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "portal.settings"}
    command = [sys.executable, "-m", "tests.benchmarks.drain", "--measure", str(directory / "spool"), str(requests)]
    done = subprocess.run(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def durable(directory: Path) -> PostgresServer:
    """The tests' clusters are fast and forgetful; here a commit must cost what it costs."""
    server = PostgresServer(directory)
    command = [word.replace("=off", "=on") for word in server.command()]
    server.command = lambda: command  # type: ignore[method-assign]
    return server


def run(requests: int, url: str = "") -> list[dict[str, Any]]:
    """The figures for SQLite, and for PostgreSQL where its programs are installed or ``url`` names one."""
    directory = Path(tempfile.mkdtemp(prefix="lobby-drain-"))
    directory.chmod(0o711)
    server = None
    try:
        figures = [in_process(f"sqlite:///{directory / 'lobby.db'}", directory / "sqlite", requests)]
        if not url:
            try:
                server = durable(directory / "cluster")
            except ProgramMissing as error:
                print(f"PostgreSQL is not measured: {error}", file=sys.stderr)
                return figures
            server.start()
            url = server.create_database("drain")
        return [*figures, in_process(url, directory / "postgresql", requests)]
    finally:
        if server is not None:
            server.remove()
        shutil.rmtree(directory, ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=50_000)
    parser.add_argument("--url", default="", help="an empty PostgreSQL database, in the place of a private cluster")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--measure", nargs=2, metavar=("SPOOL", "REQUESTS"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(Path(arguments.measure[0]), int(arguments.measure[1]))))
        return
    figures = run(arguments.requests, arguments.url)
    print(f"{'database':12} {'records':>9} {'seconds':>8} {'records/s':>10} {'CPU':>5} {'memory grown':>13}")
    for row in figures:
        print(
            f"{row['database']:12} {row['requests']:9,} {row['seconds']:8.2f} {row['records_per_second']:10,}"
            f" {row['cpu_share']:5.0%} {row['memory_grown_kib'] / 1024:9.1f} MiB"
        )
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
