"""What callers notice of endpoints that fail: nothing, as long as one is well; what the failing ones notice: little.

With counters in memory, and with PostgreSQL, Redis and two web workers that share what they know.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.aws import REGION
from tests.fakes.aws_models import secret_of
from tests.fakes.blackhole import blackhole
from tests.fakes.process import FakeAnthropic, FakeAzure, FakeBedrock, FakeOpenAI, FakeSageMaker
from tests.gateway.aws_world import ACCESS_KEY
from tests.gateway.routing.live import RoutedWorld
from tests.gateway.world import bearer, chat
from tests.reliability.books import read_books, totals_agree
from tests.reliability.conftest import Profile, WorldFactory

BREAKER_SECONDS = 3
KEY = {"secret": "sk-fake"}
# The fake of each kind of provider, and how it is signed for.
KINDS: dict[str, tuple[Any, ...]] = {
    "openai": (FakeOpenAI,),
    "azure_openai": (FakeAzure,),
    "gemini": (FakeOpenAI,),
    "anthropic": (FakeAnthropic,),
    "bedrock": (FakeBedrock, "aws"),
    "sagemaker": (FakeSageMaker, "aws"),
}
WORKERS = {"embedded": "1", "servers": "2"}


@pytest.fixture(scope="module")
def routed_worlds(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[Profile], RoutedWorld]]:
    factory = WorldFactory(request, tmp_path_factory.mktemp("routed"))
    made: dict[Profile, RoutedWorld] = {}

    def get(profile: Profile) -> RoutedWorld:
        if profile not in made:
            env = {
                "BREAKER_FAILURES": "5",
                "BREAKER_SECONDS": str(BREAKER_SECONDS),
                "WEB_WORKERS": WORKERS[profile],
            }
            made[profile] = RoutedWorld(factory(profile, env))
        return made[profile]

    yield get
    factory.close()


@pytest.fixture
def routed(profile: Profile, routed_worlds: Callable[[Profile], RoutedWorld]) -> RoutedWorld:
    return routed_worlds(profile)


def crowd(routed: RoutedWorld, slug: str, count: int, *, at_once: int = 16, stream: bool = False) -> list[int]:
    """The statuses of so many calls, ``at_once`` at a time; a stream's is 200 only when it ended as it should."""

    async def call(client: httpx.AsyncClient, places: asyncio.Semaphore) -> int:
        async with places:
            body = {**chat("Hello", stream=stream), "model": slug}
            answer = await client.post("/chat/completions", json=body, headers=bearer(routed.world.key))
            whole = not stream or answer.text.rstrip().endswith("[DONE]")
            return answer.status_code if whole else 599

    async def run() -> list[int]:
        places = asyncio.Semaphore(at_once)
        async with httpx.AsyncClient(base_url=routed.world.lobby.base_url, timeout=60) as client:
            return list(await asyncio.gather(*(call(client, places) for _ in range(count))))

    return asyncio.run(run())


@pytest.mark.parametrize("strategy", ["priority", "weighted", "least_busy", "latency"])
@pytest.mark.parametrize("fault", ["fail=503", "fail=close", "fail=reset"])
def test_of_two_endpoints_one_fails_and_no_caller_sees_an_error(routed: RoutedWorld, strategy: str, fault: str) -> None:
    slug = routed.route({"bad": fault, "good": ""}, strategy=strategy)
    statuses = crowd(routed, slug, 60) + crowd(routed, slug, 30, stream=True)
    assert statuses == [200] * 90
    assert routed.served(slug)["good"] == 90


def test_a_dead_region_costs_one_timeout_for_each_opening_of_its_breaker(routed: RoutedWorld) -> None:
    with blackhole() as dead:
        slug = routed.route({"dead": dead, "good": ""}, targets={"dead": {"connect_timeout_ms": 400}})
        began = time.monotonic()
        answers = [routed.ask(slug) for _ in range(25)]
        seconds = time.monotonic() - began
    assert {answer.status_code for answer in answers} == {200}
    # Who did not wait found the breaker open or being tried, by another's call or the gateway's look at who is idle.
    waited = 0
    for why in map(routed.why, answers):
        *failed, last = why["attempts"]
        assert last["outcome"] == "ok"
        assert failed or any("its circuit breaker" in left["why"] for left in why["left_out"]), why
        waited += len(failed)
    openings = 1 + int(seconds / BREAKER_SECONDS)
    assert waited <= openings * int(WORKERS["servers"])


def test_when_all_upstreams_answer_503_their_load_hardly_grows(routed: RoutedWorld) -> None:
    slug = routed.route({"a": "fail=503", "b": "fail=503"})
    count = 300
    statuses = crowd(routed, slug, count)
    assert set(statuses) == {503}
    assert sum(routed.served(slug).values()) <= 1.2 * count


def test_without_breakers_the_retry_budget_alone_holds_the_load(new_world: WorldFactory) -> None:
    routed = RoutedWorld(new_world("embedded", {"BREAKER_FAILURES": "0"}))
    slug = routed.route({"a": "fail=503", "b": "fail=503"})
    count, burst, first = 300, 10, 16
    assert set(crowd(routed, slug, count)) == {503}
    assert sum(routed.served(slug).values()) <= 1.2 * count + burst + first


@pytest.mark.parametrize("kind", KINDS)
def test_an_endpoint_of_any_kind_that_fails_is_left_alone_and_its_limits_are_kept(
    routed_worlds: Callable[[Profile], RoutedWorld], tmp_path: Path, kind: str
) -> None:
    routed = routed_worlds("embedded")
    signed = {"settings": {"region": REGION, "access_key_id": ACCESS_KEY}, "secret": secret_of(ACCESS_KEY)}
    provider = {"kind": kind, "credential_source": "database", **(signed if "aws" in KINDS[kind][1:] else KEY)}
    targets = {"bad": {"provider": provider}}
    with KINDS[kind][0](tmp_path / "count.jsonl") as fake:
        fake.control("fail=503")
        began = time.monotonic()
        slug = routed.route({"bad": fake.url, "good": ""}, targets=targets)
        assert set(crowd(routed, slug, 40)) == {200}
        assert set(crowd(routed, slug, 20, stream=True)) == {200}
        probes = 1 + int((time.monotonic() - began) / BREAKER_SECONDS)
        assert 5 <= fake.count()["arrivals"] <= 5 + 16 + probes
        fake.control("fail=429 retry_after=30")
        alone = routed.route({"bad": fake.url}, targets=targets)
        before = fake.count()["arrivals"]
        for answer in (routed.ask(alone), routed.ask(alone)):
            assert (answer.status_code, answer.json()["error"]["code"]) == (429, "provider_rate_limited")
            assert 20 <= int(answer.headers["retry-after"]) <= 30
        assert fake.count()["arrivals"] == before + 1


def test_half_open_sends_one_probe(routed: RoutedWorld) -> None:
    slug = routed.route({"bad": "fail=503 headers_ms=1500", "good": ""}, targets={"good": {"position": 1}})
    while routed.served(slug).get("bad", 0) < 5 * int(WORKERS["servers"]):
        before = routed.served(slug).get("bad", 0)
        assert set(crowd(routed, slug, 12, at_once=12)) == {200}
        if routed.served(slug).get("bad", 0) == before:
            break  # every breaker is open
    time.sleep(BREAKER_SECONDS + 1.2)  # the breaker's own clock: half-open, and the probe allotted
    before, began = routed.served(slug)["bad"], time.monotonic()
    assert set(crowd(routed, slug, 60, at_once=60)) == {200}
    periods = 1 + int((time.monotonic() - began) / BREAKER_SECONDS)
    assert routed.served(slug)["bad"] - before <= periods


def test_it_recovers_in_one_probe_interval(routed: RoutedWorld) -> None:
    # Of 20 failures most happen before the breakers open; the rest are probes that fail.
    slug = routed.route({"first": f"fail=503 first=5 key=recovery-{routed.numbers}", "second": ""})
    while routed.served(slug).get("first", 0) < 5:
        assert set(crowd(routed, slug, 4)) == {200}
    failed_until = time.monotonic()
    routed.world.eventually(lambda: _served_by(routed, slug, "first"), within=BREAKER_SECONDS * 2 + 10)
    assert time.monotonic() - failed_until < BREAKER_SECONDS * 2 + 5


def _served_by(routed: RoutedWorld, slug: str, name: str) -> bool:
    before = routed.served(slug).get(name, 0)
    assert routed.ask(slug).status_code == 200
    return routed.served(slug).get(name, 0) > before


def test_new_weights_are_in_force_within_a_second_in_every_process(routed: RoutedWorld) -> None:
    """Three times; the median, because the machine may be busy with something else now and then."""
    slug = routed.route({"a": "", "b": ""}, strategy="weighted", targets={"a": {"weight": 1}, "b": {"weight": 0}})
    late = []
    for wanted in ("b", "a", "b"):
        routed.world.shell.run(
            """
from apps.gateway import services as gateway
from apps.gateway.models import Route
route = Route.objects.unscoped("test").get(slug=slug)
models = [target.model for target in route.targets.all()]
targets = [{"model": model, "weight": int(model.slug == f"{slug}-{wanted}")} for model in models]
gateway.set_targets(actor=actor, route=route, targets=targets)
""",
            slug=slug,
            wanted=wanted,
        )
        changed = last = time.monotonic()
        in_a_row = 0
        while in_a_row < 30:  # which process answers is chance
            assert last - changed < 20, "not in force at all"
            asked = time.monotonic()
            served = routed.ask(slug).json()["model"].partition("@")[0].removeprefix(f"{slug}-")
            in_a_row = in_a_row + 1 if served == wanted else 0
            last = last if in_a_row else asked
        late.append(last - changed)
    assert statistics.median(late) < 1.0, late


def test_a_callers_mistakes_hurt_nobody_else(routed: RoutedWorld) -> None:
    slug = routed.route({"a": ""})
    for status in (400, 404, 413, 422):
        body = {**chat(f"Hello [[fail={status}]]"), "model": slug}
        assert {routed.world.post(body).status_code for _ in range(8)} == {status}
    assert set(crowd(routed, slug, 10)) == {200}


def test_in_the_end_the_ledger_is_the_upstreams_count(routed: RoutedWorld) -> None:
    """Failovers, hedges and shadows included."""
    shadow = {"c": {"purpose": "shadow"}}
    hedged = routed.route(
        {"a": "headers_ms=500", "b": "", "c": ""}, targets=shadow, hedge_after_ms=50, shadow_percent=50
    )
    assert set(crowd(routed, hedged, 20)) == {200}
    assert set(crowd(routed, hedged, 20, stream=True)) == {200}
    routed.world.fake.wait_idle()
    books = read_books(routed.world)
    books.check(elsewhere=[key for key in books.ours if key not in books.theirs])
    totals_agree(routed.world, books)
    assert any(record["outcome"] == "cancelled" for record in books.ours.values())
