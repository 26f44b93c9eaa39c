"""What an endpoint that fails costs the callers of a route, and what routing costs those of a plain model: run by hand.

    python -m tests.benchmarks.failover [--requests 1000] [--seconds 20]

Two endpoints, one of which fails every request, after nothing and after 50 ms. The breaker is off, so that each request
pays for its failed attempt: the promise is an added p99 of at most the failed attempt's time plus 5 ms, with no error.
Then the breaker is on, as it is by default. The calls of a kind are interleaved with the others', one at a time, so
that whatever else the machine does is shared by all of them; on a busy one only the medians mean something.

A dead region takes no connection: the promise is that it costs at most one timeout for each opening of its breaker,
and no caller more than one. Last, the decisions for a plain model's name, in this process.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import httpx

from tests.fakes.blackhole import blackhole
from tests.fakes.process import FakeOpenAI
from tests.gateway.routing.live import RoutedWorld
from tests.gateway.world import World, bearer, chat
from tests.live import LobbyFactory
from tests.template import migrated_database

ALLOWED_MS: Final = 5.0
DELAYS_MS: Final = (0, 50)
BREAKER_SECONDS: Final = 5
CONNECT_TIMEOUT_MS: Final = 500
AT_ONCE: Final = 16


def percentile(values: Iterable[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, math.ceil(len(ordered) * share) - 1)]


Spent = dict[str, list[float]]


def measured(routed: RoutedWorld, slugs: dict[str, str], requests: int) -> tuple[Spent, dict[str, int]]:
    """Milliseconds of each call and the number of answers that were no 200, by the kind of route."""
    spent: Spent = {name: [] for name in slugs}
    errors = dict.fromkeys(slugs, 0)
    with httpx.Client(base_url=routed.world.lobby.base_url, headers=bearer(routed.world.key), timeout=30) as client:
        for number in range(requests + 50):
            for name, slug in slugs.items():
                began = time.perf_counter()
                answer = client.post("/chat/completions", json={**chat(), "model": slug})
                if number >= 50:  # the first ones warm everything up
                    spent[name].append((time.perf_counter() - began) * 1000)
                    errors[name] += answer.status_code != 200
    return spent, errors


def lobby(stack: ExitStack, template: Path, directory: Path, failures: int) -> RoutedWorld:
    directory.mkdir()
    factory = LobbyFactory(template, directory)
    stack.callback(factory.stop)
    fake = stack.enter_context(FakeOpenAI(directory / "count.jsonl"))
    env = {"BREAKER_FAILURES": str(failures), "BREAKER_SECONDS": str(BREAKER_SECONDS)}
    world = World(factory(env, start=False), fake)
    stack.callback(world.close)
    world.start()
    return RoutedWorld(world)


def failover(routed: RoutedWorld, requests: int) -> bool:
    """Prints a table for each failure's delay; whether the promise holds."""
    kept = True
    for delay in DELAYS_MS:
        fails = f"fail=503 headers_ms={delay}"
        slugs = {
            "no failure": routed.route({"good": ""}),
            "failover": routed.route({"bad": fails, "good": ""}),
            "failure alone": f"{routed.route({'bad': fails})}-bad",  # the model itself: one attempt, nothing after it
        }
        spent, errors = measured(routed, slugs, requests)
        print(f"\nFailing after {delay} ms, {requests} requests of each kind:")
        for name, values in spent.items():
            print(f"  {name:14} p50 {percentile(values, 0.5):7.2f} ms   p99 {percentile(values, 0.99):7.2f} ms")
        for share in (0.5, 0.99):
            good, both, failed = (percentile(spent[name], share) for name in slugs)
            # The way in and out is in both, and must not be allowed for twice.
            attempt = max(failed - percentile(spent["no failure"], 0.5), delay)
            added, allowed = both - good, attempt + ALLOWED_MS
            print(f"  added p{share * 100:.0f}: {added:.2f} ms, of {allowed:.2f} ms: a failed attempt's and 5")
        kept = kept and added <= allowed and not errors["failover"]
        print(f"  errors seen by callers: {errors['failover']}")
    return kept


def with_breaker(routed: RoutedWorld, requests: int) -> bool:
    slug = routed.route({"bad": "fail=503", "good": ""})
    good = routed.route({"good": ""})
    spent, errors = measured(routed, {"good": good, "failover": slug}, requests)
    served = routed.served(slug)
    p99 = {name: percentile(values, 0.99) for name, values in spent.items()}
    print(
        f"\nWith the breaker: p99 {p99['failover']:.2f} ms beside {p99['good']:.2f} ms, {errors['failover']} errors,"
        f" {served.get('bad', 0)} of {requests + 50} requests went to the failing endpoint first."
    )
    return not errors["failover"]


def dead_region(routed: RoutedWorld, seconds: float) -> bool:
    """One call after the other, then many at once into a region that just died."""

    def call(slug: str) -> tuple[float, int]:
        began = time.perf_counter()
        answer = routed.ask(slug)
        return (time.perf_counter() - began) * 1000, answer.status_code

    limits = {"dead": {"connect_timeout_ms": CONNECT_TIMEOUT_MS}}
    with blackhole() as url:
        slug = routed.route({"dead": url, "good": ""}, targets=limits)
        began, spent = time.monotonic(), list[tuple[float, int]]()
        while (took := time.monotonic() - began) < seconds:
            spent.append(call(slug))
    with blackhole() as url, ThreadPoolExecutor(AT_ONCE) as pool:
        slug = routed.route({"dead": url, "good": ""}, targets=limits)
        together = list(pool.map(call, [slug] * AT_ONCE))
    waited = sum(ms >= CONNECT_TIMEOUT_MS for ms, _ in spent)
    openings = 1 + int(took / BREAKER_SECONDS)
    errors = sum(status != 200 for _, status in spent + together)
    longest = max(ms for ms, _ in spent + together)
    print(
        f"\nA dead region, connections to it timing out after {CONNECT_TIMEOUT_MS} ms, for {took:.0f} s:"
        f"\n  of {len(spent)} calls in a row {waited} waited for it, of {openings} allowed: one for each opening"
        f"\n  the longest call, {AT_ONCE} at once into a region just dead included: {longest:.0f} ms"
        f"\n  errors seen by callers: {errors}"
    )
    return waited <= openings and longest < 2 * CONNECT_TIMEOUT_MS and not errors


def plain_decisions() -> None:
    """Microseconds that a plain model's request spends on being routed."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    import django

    django.setup()
    from apps.gateway.routing.health import Health
    from apps.gateway.routing.plans import make_plan
    from apps.gateway.routing.strategies import Asking, select
    from tests.gateway.routing.making import endpoint, model, principal, snapshot

    plan, health = make_plan(snapshot(model(1, endpoint(1))), principal(), "m1"), Health()
    asking, rounds = Asking("", 0.0), 50_000
    began = time.process_time()
    for _ in range(rounds):
        select(plan, health, lambda candidate: True, asking)
        health.ok(1, health.begin(1), ms=100, first_ms=10, output_tokens=50)
    print(f"\nRouting a plain model's request: {(time.process_time() - began) / rounds * 1e6:.1f} us.")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=1_000)
    parser.add_argument("--seconds", type=float, default=20, help="in front of a dead region")
    arguments = parser.parse_args()
    requests = arguments.requests
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        template = migrated_database(Path(name))
        kept = failover(lobby(stack, template, Path(name) / "off", 0), requests)
        routed = lobby(stack, template, Path(name) / "on", 5)
        kept = with_breaker(routed, requests) and kept
        kept = dead_region(routed, arguments.seconds) and kept
    plain_decisions()
    print("\nThe promise holds." if kept else "\nThe promise does NOT hold.")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
