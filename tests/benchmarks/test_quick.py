"""The benchmarks' harness works, and what it measures is right. Nothing here depends on how fast anything is."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests.benchmarks import __main__ as bench
from tests.benchmarks import load, measure, report
from tests.benchmarks.load import Latency, Result, Spec
from tests.benchmarks.measure import QUICK, Measured, Report, SlowRun
from tests.fakes.process import FakeOpenAI

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the benchmarks read /proc and pin processes to cores")


@pytest.fixture(scope="module")
def upstream() -> Iterator[FakeOpenAI]:
    with FakeOpenAI() as fake:
        yield fake


@pytest.fixture
def keep_affinity() -> Iterator[None]:
    cores = os.sched_getaffinity(0)
    yield
    os.sched_setaffinity(0, cores)


def spec(upstream: FakeOpenAI, kind: load.Kind, **changes: object) -> Spec:
    base = Spec(
        kind=kind, port=upstream.port, key="k", model="fake-chat", connections=4, seconds=0.2, warmup_seconds=0.05
    )
    return msgspec.structs.replace(base, **changes)


def test_closed_load_counts_what_the_upstream_counts(upstream: FakeOpenAI) -> None:
    before = upstream.count()["outcomes"].get("completed", 0)
    result = load.run(spec(upstream, "closed"))
    assert result.errors == {}
    assert 0 < result.requests <= result.answers
    assert result.answers == upstream.count()["outcomes"]["completed"] - before


def test_streams_are_checked_chunk_by_chunk(upstream: FakeOpenAI) -> None:
    result = load.run(spec(upstream, "closed", stream=True, chunks=50))
    assert result.errors == {}
    assert result.chunks == 50 * result.answers > 0


def test_open_load_keeps_its_rate(upstream: FakeOpenAI) -> None:
    before = upstream.count()["arrivals"]
    result = load.run(spec(upstream, "open", rate=500.0, seconds=0.4))
    assert result.errors == {}
    # The arrivals are drawn from a fixed seed: their number does not depend on the machine.
    assert 150 < upstream.count()["arrivals"] - before < 300


def test_open_load_counts_the_wait_of_a_request_that_is_due(upstream: FakeOpenAI) -> None:
    upstream.control("headers_ms=50")
    try:
        result = load.run(spec(upstream, "open", rate=100.0, connections=1, seconds=0.3))
    finally:
        upstream.control("normal")
    # One connection answers 20 a second: of 100 a second that are due, the last ones wait long.
    assert result.latency is not None
    assert result.latency.max > 500_000


def test_slow_streams_come_complete_and_in_order(upstream: FakeOpenAI) -> None:
    result = load.run(spec(upstream, "slow", connections=20, stream=True, chunks=10, interval_ms=10, ramp_seconds=0.1))
    assert (result.requests, result.chunks, result.errors) == (20, 200, {})
    assert (result.chunks_missing, result.chunks_out_of_order) == (0, 0)
    assert result.chunk_delay is not None
    assert result.chunk_delay.p50 > 0


@pytest.mark.parametrize(
    ("mode", "kind", "error"),
    [
        ("fail=503 every=3", "closed", "status 503"),
        ("chunks=7", "closed", "wrong text"),
        ("fail=close every=3", "closed", "connection lost"),
        ("fail=no_done", "slow", "no [DONE]"),
        ("fail=close_mid at=3", "slow", "connection lost"),
    ],
)
def test_wrong_answers_are_errors(upstream: FakeOpenAI, mode: str, kind: load.Kind, error: str) -> None:
    slow = {"stream": True, "chunks": 5, "interval_ms": 5, "ramp_seconds": 0.05} if kind == "slow" else {}
    upstream.control(mode)
    try:
        result = load.run(spec(upstream, kind, **slow))
    finally:
        upstream.control("normal")
    assert result.errors[error] > 0
    if mode == "fail=close_mid at=3":
        assert result.chunks_missing == 4 * 2


def test_lost_chunks_of_a_fast_stream_are_seen(upstream: FakeOpenAI) -> None:
    upstream.control("chunks=49")
    try:
        result = load.run(spec(upstream, "closed", stream=True, chunks=50))
    finally:
        upstream.control("normal")
    assert result.requests == 0
    assert result.chunks_missing == result.errors["wrong chunks"] > 0


@pytest.mark.usefixtures("keep_affinity")
def test_a_quick_run_of_lobby_is_right_in_every_answer(tmp_path: Path, lobby_template: Path) -> None:
    found = bench.run(tmp_path, list(bench.QUICK_PARTS), QUICK, database=lobby_template)
    assert found.problems == []
    assert found.lobby is not None
    assert found.lobby.streams.requests > 0
    (slow,) = found.slow
    # On a busy machine some may be turned away; what was begun is complete.
    assert slow.result.requests + measure.refused(slow.result) == 50
    assert slow.result.chunks == 10 * slow.result.requests > 0
    assert found.ledger == found.upstream_count
    assert found.heavy_imports == []


def result(per_second: float, p50: float, **more: object) -> Result:
    latency = Latency(p50=p50, p90=p50, p99=p50 * 2, max=p50 * 3)
    plain = Result(requests=1, errors={}, seconds=1, per_second=per_second, latency=latency)
    return msgspec.structs.replace(plain, **more)


def subject(name: str, factor: float) -> Measured:
    return Measured(
        name=name,
        version="1",
        start_seconds=1,
        idle_mb=100,
        throughput={count: result(100 * factor, 1000 / factor + 100) for count in measure.CONNECTIONS},
        streams=result(30 * factor, 1000),
        half_rate=50 * factor,
        half=result(50 * factor, 1000),
        half_direct=result(50 * factor, 100),
        one_direct=result(1000, 100),
    )


def test_the_report_judges_each_target(tmp_path: Path) -> None:
    slow = SlowRun(
        streams=1000,
        chunks_per_second=10_000,
        result=result(1, 1, requests=1000, chunk_delay=Latency(p50=1, p90=1, p99=200_000, max=300_000)),
        peak_mb=100,
    )
    found = Report(
        date="2026-01-01",
        machine=measure.machine(),
        busy_before=0,
        plan=QUICK,
        fake=subject("fake", 1000),
        lobby=subject("Lobby", 25),
        litellm=subject("LiteLLM", 1),
        slow=[slow],
        drained={"SQLite": 6000, "PostgreSQL": 9000},
        home_ms={"10000": 2.0, "2000000": 2.2},
    )
    met = {target.name: target.met for target in report.targets(found)}
    assert met["requests/s against LiteLLM, best of each"] is True
    assert met["streams/s against LiteLLM"] is False
    assert met["added latency p50, 1 connection"] is True
    assert met["1,000 slow streams: delay per chunk p99"] is False
    assert met["draining into SQLite"] is True
    assert met["draining into PostgreSQL"] is False
    assert met["Home's query time, 2 M against 10 k rows"] is True
    assert measure.problems(found) == []
    page = tmp_path / "benchmarks.md"
    page.write_text(f"# Before\n{report.BEGIN}\nold\n{report.END}\n# After\n")
    report.write_into(found, page)
    written = page.read_text()
    assert "old" not in written
    assert written.startswith("# Before\n")
    assert written.endswith("# After\n")
    assert "| requests/s, 16 connections | 100,000 | 2,500 | 100 | 25 x |" in written
    assert "MISSED" in report.text(found)


def test_figures_taken_while_other_work_ran_are_not_compared() -> None:
    found = Report(
        date="2026-01-01",
        machine=measure.machine(),
        busy_before=0,
        plan=QUICK,
        fake=subject("fake", 1000),
        lobby=subject("Lobby", 100),
        litellm=subject("LiteLLM", 1),
    )
    assert next(target for target in report.targets(found) if ">= 60 x" in target.wanted).met is True
    assert found.litellm is not None
    found.litellm.core_share = 0.3
    assert next(target for target in report.targets(found) if ">= 60 x" in target.wanted).met is None
    assert "CAREFUL: LiteLLM got only 30% of its core" in report.text(found)


def test_a_wrong_answer_spoils_the_run() -> None:
    wrong = subject("Lobby", 1)
    wrong.streams = result(1, 1, errors={"wrong chunks": 2})
    found = Report(
        date="2026-01-01", machine={}, busy_before=0, plan=QUICK, fake=subject("fake", 1), lobby=wrong, litellm=None
    )
    wrong.half = result(1, 1, errors={"status 503": 3})
    assert measure.problems(found) == ["Lobby, streams: {'wrong chunks': 2}"]
    assert measure.cautions(found) == ["Lobby refused 3 requests as overloaded"]
