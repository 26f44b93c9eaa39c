"""How long the Home page spends in its queries, with few and with many rows in the ledger.

    python -m tests.benchmarks.home [--rows 10000,2000000]

For each size an empty SQLite database is filled with a month of traffic of four tenants, records, requests and rollups
alike, and the page is asked for by a member of one of them. What counts is the time in the database; the page's whole
time is told beside it.
"""

from __future__ import annotations

import argparse
import collections
import datetime
import itertools
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]
SIZES: Final = (10_000, 2_000_000)
_TENANTS, _PROJECTS, _MODELS = 4, 3, 3
_DAYS: Final = 30
_BATCH: Final = 20_000
_VISITS: Final = 40
_WARM_VISITS: Final = 5


def measure(rows: int) -> dict[str, Any]:
    """In a process of its own, with the settings for one database: migrate, fill, visit the page."""
    import django

    django.setup()
    from django.conf import settings
    from django.core.management import call_command
    from django.db import connection
    from django.test import Client

    settings.ALLOWED_HOSTS = ["*"]
    call_command("migrate", verbosity=0)
    member = _fill(rows)
    client = Client()
    client.force_login(member)
    spent: list[float] = []

    def timed(execute: Callable[..., Any], sql: str, parameters: Any, many: bool, context: dict[str, Any]) -> Any:
        began = time.perf_counter()
        try:
            return execute(sql, parameters, many, context)
        finally:
            spent.append(time.perf_counter() - began)

    query_ms, page_ms, queries = [], [], 0
    with connection.execute_wrapper(timed):
        for visit in range(_WARM_VISITS + _VISITS):
            spent.clear()
            began = time.perf_counter()
            response = client.get("/")
            took = time.perf_counter() - began
            if response.status_code != 200:
                raise SystemExit(f"the Home page answered {response.status_code}")
            if visit >= _WARM_VISITS:
                query_ms.append(sum(spent) * 1000)
                page_ms.append(took * 1000)
                queries = len(spent)
    return {
        "database": connection.vendor,
        "rows": rows,
        "queries": queries,
        "query_ms": round(statistics.median(query_ms), 3),
        "page_ms": round(statistics.median(page_ms), 3),
    }


def _fill(rows: int) -> Any:
    """Tenants, projects and models with so many records, requests and their rollups. Returns whom to visit as."""
    from django.db import connection, transaction

    from apps.gateway.models import Granularity, RequestLog, UsageRecord, UsageRollup
    from apps.models.models import Model
    from apps.tenants import services
    from apps.tenants.access import Actor
    from apps.tenants.types import Role

    actor = Actor.system("benchmark")
    member = services.create_user(actor=actor, email="member@example.org", name="Member")
    models = [Model.objects.create(slug=f"model-{number}", name=f"Model {number}") for number in range(_MODELS)]
    places = []
    for number in range(_TENANTS):
        tenant = services.create_tenant(actor=actor, slug=f"tenant-{number}", name=f"Tenant {number}")
        if number == 0:
            services.add_member(actor=actor, tenant=tenant, user=member, role=Role.ADMIN)
        for part in range(_PROJECTS):
            project = services.create_project(
                actor=actor, tenant=tenant, slug=f"project-{part}", name=f"Project {part}"
            )
            key = services.create_api_key(actor=actor, project=project, name="Load").api_key
            places.append((tenant.pk, project.pk, key.pk))
    choose = random.Random(1)
    now = datetime.datetime.now(datetime.UTC)
    sums: collections.Counter[tuple[Any, ...]] = collections.Counter()

    def facts() -> Iterator[dict[str, Any]]:
        for number in range(rows):
            tenant_id, project_id, key_id = places[number % len(places)]
            at = now - datetime.timedelta(days=_DAYS) * choose.random()
            model = models[choose.randrange(_MODELS)]
            hour = at.replace(minute=0, second=0, microsecond=0)
            for granularity, bucket in ((Granularity.HOUR, hour), (Granularity.DAY, hour.replace(hour=0))):
                sums[granularity, bucket, tenant_id, project_id, key_id, model.pk] += 1
            yield {
                "attempt_id": f"{number:032x}",
                "request_id": f"{number:032x}",
                "at": connection.ops.adapt_datetimefield_value(at),
                "tenant_id": tenant_id,
                "project_id": project_id,
                "api_key_id": key_id,
                "model_id": model.pk,
                "model_slug": model.slug,
                "operation": "chat.completions",
                "status": "measured",
                "outcome": "ok",
                "http_status": 200,
                "streamed": False,
                "input_tokens": 100,
                "output_tokens": 50,
                "cost_picousd": 10**9,
                "duration_ms": 800,
                "why": "{}",
            }

    with transaction.atomic():
        source = facts()
        while batch := list(itertools.islice(source, _BATCH)):
            _insert(UsageRecord, batch)
            _insert(RequestLog, batch)
        UsageRollup.objects.bulk_create(
            [
                UsageRollup(
                    granularity=granularity,
                    bucket=bucket,
                    tenant_id=tenant_id,
                    project_id=project_id,
                    api_key_id=key_id,
                    model_id=model_id,
                    status="measured",
                    requests=count,
                    input_tokens=100 * count,
                    output_tokens=50 * count,
                    cost_picousd=10**9 * count,
                    duration_ms=800 * count,
                )
                for (granularity, bucket, tenant_id, project_id, key_id, model_id), count in sums.items()
            ],
            batch_size=1000,
        )
    return member


def _insert(model: Any, batch: list[dict[str, Any]]) -> None:
    """Many rows past the ORM, which would take minutes; what a row does not name gets its field's default."""
    from django.db import connection

    fields = [field for field in model._meta.concrete_fields if not field.primary_key]
    defaults = {field.column: field.get_default() for field in fields}
    quoted = ", ".join(connection.ops.quote_name(field.column) for field in fields)
    places = ", ".join(["%s"] * len(fields))
    table = connection.ops.quote_name(model._meta.db_table)
    with connection.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO {table} ({quoted}) VALUES ({places})",
            [[row.get(column, default) for column, default in defaults.items()] for row in batch],
        )


def in_process(url: str, directory: Path, rows: int) -> dict[str, Any]:
    """One size, in a process and a database of its own."""
    directory.mkdir()
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    env = kept | {
        "DATA_DIR": str(directory),
        "DATABASE_URL": url,
        "DJANGO_SETTINGS_MODULE": "portal.settings",
        "LOBBY_ENV_FILE": os.devnull,
    }
    command = [sys.executable, "-m", "tests.benchmarks.home", "--measure", str(rows)]
    done = subprocess.run(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def run(sizes: tuple[int, ...] = SIZES) -> list[dict[str, Any]]:
    """The figures for each size, on SQLite."""
    directory = Path(tempfile.mkdtemp(prefix="lobby-home-"))
    try:
        return [in_process(f"sqlite:///{directory / f'{rows}.db'}", directory / str(rows), rows) for rows in sizes]
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default=",".join(map(str, SIZES)))
    parser.add_argument("--measure", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure is not None:
        print(json.dumps(measure(arguments.measure)))
        return
    print(f"{'ledger rows':>12} {'queries':>8} {'in queries':>11} {'page':>9}")
    for row in run(tuple(int(size) for size in arguments.rows.split(","))):
        print(f"{row['rows']:12,} {row['queries']:8} {row['query_ms']:8.2f} ms {row['page_ms']:6.1f} ms")


if __name__ == "__main__":
    main()
