"""The measurements, in their order, and what they give."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from tests.benchmarks import load, procfs
from tests.benchmarks.load import Result, Spec
from tests.benchmarks.subjects import LOAD_CPU, MODEL, Subject
from tests.fakes.process import FakeOpenAI

CONNECTIONS: Final = (1, 16, 64)
SLOW_TARGET: Final = 1000
"""Slow streams that a worker must carry."""
LEAST_CORE_SHARE: Final = 0.85
REFUSALS: Final = frozenset({"status 429", "status 503"})
STREAM_CONNECTIONS: Final = 16
STREAM_CHUNKS: Final = 50
OPEN_CONNECTIONS: Final = 256
"""Of an open load; enough that a request waits for the server and not for a connection."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How long and how often each thing is measured."""

    rounds: int = 3
    """Of which the median counts."""
    seconds: float = 3.0
    half_load_seconds: float = 8.0
    slow_streams: tuple[int, ...] = (1000, 2000, 3000, 4000, 5000)
    slow_chunks: int = 100
    slow_interval_ms: int = 100


QUICK: Final = Plan(
    rounds=1, seconds=0.3, half_load_seconds=0.3, slow_streams=(50,), slow_chunks=10, slow_interval_ms=20
)


class Measured(msgspec.Struct, kw_only=True):
    """One subject's figures."""

    name: str
    version: str
    start_seconds: float
    idle_mb: float
    loaded_mb: float = 0.0
    throughput: dict[int, Result] = {}
    """By the number of connections."""
    streams: Result
    half_rate: float = 0.0
    """Requests per second at half load."""
    half: Result
    half_direct: Result | None = None
    """The fake upstream alone at that rate."""
    one_direct: Result | None = None
    """The fake upstream alone at one connection, at the time of this measurement."""
    cpu_ms: float = 0.0
    """Processor time of the server per plain request: what a noisy machine disturbs least."""
    cpu_ms_stream: float = 0.0
    """The same per stream."""
    core_share: float = 1.0
    """The least share of its core that the subject got while it was asked for all it could do. Well below 1 means that
    other work had the rest, and that its throughput is not what it could be."""


class SlowRun(msgspec.Struct, kw_only=True):
    """Many slow streams at once."""

    streams: int
    chunks_per_second: float
    result: Result
    peak_mb: float
    direct: Result | None = None
    """The same without the proxy: what the upstream and the load generator add of their own."""


class Report(msgspec.Struct, kw_only=True):
    """A whole run."""

    date: str
    machine: dict[str, str]
    busy_before: float
    """Share of the machine's cores that was in use by others just before."""
    plan: Plan
    fake: Measured
    lobby: Measured | None = None
    litellm: Measured | None = None
    slow: list[SlowRun] = []
    heavy_imports: list[str] = []
    """Packages found in Lobby's web process that must not be there."""
    ledger: dict[str, int] = {}
    """Attempts and tokens in Lobby's ledger after its measurements."""
    upstream_count: dict[str, int] = {}
    """The same as its upstream counted them."""
    drained: dict[str, float] = {}
    """Records per second from the spool into a database, by its name."""
    home_ms: dict[str, float] = {}
    """The Home page's time in its queries, by the number of ledger rows."""
    problems: list[str] = []
    """Wrong answers and lost or disordered chunks: with one of them the figures count for nothing."""


def report(plan: Plan) -> Report:
    """An empty report of this machine."""
    nothing = Result(requests=0, errors={}, seconds=0, per_second=0, latency=None)
    fake = Measured(name="fake upstream", version="", start_seconds=0, idle_mb=0, streams=nothing, half=nothing)
    return Report(
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
        machine=machine(),
        busy_before=busy(),
        plan=plan,
        fake=fake,
    )


def measure_fake(upstream: FakeOpenAI, plan: Plan) -> Measured:
    """The upstream with no proxy before it: the ceiling of everything else, and the base of added latencies."""
    measure = _Measurer(plan, upstream.port, "sk-direct", MODEL, upstream.pid)
    throughput = {connections: measure.requests(connections) for connections in CONNECTIONS}
    cpu_ms = measure.cpu_ms
    streams = measure.streams()
    cpu_ms_stream = measure.cpu_ms
    rate = _max_rate(throughput) / 2
    return Measured(
        name="fake upstream",
        version="",
        start_seconds=0,
        idle_mb=procfs.rss_mb(upstream.pid),
        throughput=throughput,
        streams=streams,
        half_rate=rate,
        half=measure.at_rate(rate),
        cpu_ms=cpu_ms,
        cpu_ms_stream=cpu_ms_stream,
    )


def measure_proxy(subject: Subject, upstream: FakeOpenAI, plan: Plan) -> Measured:
    """A proxy that has been started."""
    measure = _Measurer(plan, subject.port, subject.key, subject.model, subject.pid, subject.cpu_seconds_beside)
    direct = _Measurer(plan, upstream.port, "sk-direct", MODEL, upstream.pid)
    throughput = {connections: measure.requests(connections) for connections in CONNECTIONS}
    cpu_ms = measure.cpu_ms
    streams = measure.streams()
    cpu_ms_stream = measure.cpu_ms
    rate = round(_max_rate(throughput) / 2, 1)
    return Measured(
        name=subject.name,
        version=subject.version,
        start_seconds=subject.start_seconds,
        idle_mb=subject.idle_mb,
        throughput=throughput,
        streams=streams,
        half_rate=rate,
        half=measure.at_rate(rate),
        half_direct=direct.at_rate(rate),
        one_direct=direct.requests(1),
        loaded_mb=procfs.rss_mb(subject.pid),
        core_share=min(measure.shares),
        cpu_ms=cpu_ms,
        cpu_ms_stream=cpu_ms_stream,
    )


def measure_slow_streams(subject: Subject, upstream: FakeOpenAI, plan: Plan, streams: int) -> SlowRun:
    """Many slow streams at once through a proxy that has been started, and the same without it."""
    with procfs.PeakMemory(subject.pid) as memory:
        result = load.run(_slow(plan, subject.port, subject.key, subject.model, streams), cpu=LOAD_CPU)
    return SlowRun(
        streams=streams,
        chunks_per_second=streams * 1000 / plan.slow_interval_ms,
        result=result,
        peak_mb=memory.peak_mb,
        direct=load.run(_slow(plan, upstream.port, "sk-direct", MODEL, streams), cpu=LOAD_CPU),
    )


def problems(found: Report) -> list[str]:
    """Everything that was not answered as it had to be."""
    told = []
    for measured in (found.fake, found.lobby, found.litellm):
        if measured is not None:
            runs = [(f"{connections} connections", run) for connections, run in measured.throughput.items()]
            runs += [("streams", measured.streams), ("half load", measured.half)]
            told += [f"{measured.name}, {what}: {wrong}" for what, run in runs if (wrong := _wrong(run))]
            told += [f"{measured.name}, {what}: no right answer" for what, run in runs if not run.requests]
    if found.ledger != found.upstream_count:
        told.append(f"the ledger has {found.ledger}, the upstream counted {found.upstream_count}")
    for run in found.slow:
        result = run.result
        if run.streams > SLOW_TARGET:  # Beyond the promise is where it may fail; the table tells.
            continue
        if _wrong(result) or result.chunks_missing or result.chunks_out_of_order:
            told.append(
                f"{run.streams} slow streams: {result.requests} complete, {result.chunks_missing} chunks missing, "
                f"{result.chunks_out_of_order} out of order, {result.errors}"
            )
    return told


def refused(result: Result) -> int:
    """Requests that were turned away for want of capacity: a right answer, and one that a busy machine provokes."""
    return sum(count for error, count in result.errors.items() if error in REFUSALS)


def _wrong(result: Result) -> dict[str, int]:
    return {error: count for error, count in result.errors.items() if error not in REFUSALS}


def cautions(found: Report) -> list[str]:
    """What else the reader must know before believing the figures."""
    told = contended(found)
    for measured in (found.lobby, found.litellm):
        if measured is not None:
            turned_away = sum(refused(run) for run in (*measured.throughput.values(), measured.streams, measured.half))
            told += [f"{measured.name} refused {turned_away:,} requests as overloaded"] * bool(turned_away)
    return told


def contended(found: Report) -> list[str]:
    """Which subjects had to share their core with other work, so that their throughput is not to be compared."""
    return [
        f"{measured.name} got only {measured.core_share:.0%} of its core: something else ran on this machine"
        for measured in (found.lobby, found.litellm)
        if measured is not None and measured.core_share < LEAST_CORE_SHARE
    ]


def machine() -> dict[str, str]:
    """What the figures were measured on."""
    cpu = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "")
    memory = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal"))
    return {
        "cpu": cpu.partition(":")[2].strip() or platform.machine(),
        "cores": str(os.cpu_count()),
        "memory": f"{int(memory.split()[1]) / 1e6:.0f} GB",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in ("uvicorn", "uvloop", "httptools", "django")},
    }


def busy(seconds: float = 1.0) -> float:
    """Share of the machine's processor time in use over a moment."""

    def read() -> tuple[int, int]:
        ticks = [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:]]
        return sum(ticks), ticks[3] + ticks[4]

    total, idle = read()
    time.sleep(seconds)
    later, later_idle = read()
    return round(1 - (later_idle - idle) / max(1, later - total), 2)


class _Measurer:
    """The single measurements against one server."""

    def __init__(
        self, plan: Plan, port: int, key: str, model: str, pid: int, beside: Callable[[], float] = lambda: 0.0
    ) -> None:
        self._plan = plan
        self._pid = pid
        self._beside = beside
        self.cpu_ms = 0.0
        """Processor time of the server per request in the last measurement, in milliseconds."""
        self.shares: list[float] = []
        """Of its core, in each measurement of what it can do at most."""
        self._port = port
        self._key = key
        self._model = model

    def requests(self, connections: int) -> Result:
        return self._closed(connections, stream=False, chunks=8)

    def streams(self) -> Result:
        return self._closed(STREAM_CONNECTIONS, stream=True, chunks=STREAM_CHUNKS)

    def at_rate(self, rate: float) -> Result:
        return self._median(
            Spec(
                kind="open",
                port=self._port,
                key=self._key,
                model=self._model,
                connections=OPEN_CONNECTIONS,
                rate=rate,
                seconds=self._plan.half_load_seconds,
            ),
            lambda result: result.latency.p99 if result.latency else 0.0,
        )

    def _closed(self, connections: int, *, stream: bool, chunks: int) -> Result:
        return self._median(
            Spec(
                kind="closed",
                port=self._port,
                key=self._key,
                model=self._model,
                connections=connections,
                seconds=self._plan.seconds,
                stream=stream,
                chunks=chunks,
            ),
            lambda result: result.per_second,
        )

    def _median(self, spec: Spec, key: Callable[[Result], float]) -> Result:
        """The middle one of the rounds; an error in any of them is kept."""
        used, beside = procfs.cpu_seconds(self._pid), self._beside()
        results = [load.run(spec, cpu=LOAD_CPU) for _ in range(self._plan.rounds)]
        used, beside = procfs.cpu_seconds(self._pid) - used, self._beside() - beside
        if spec.kind == "closed" and spec.connections > 1:
            self.shares.append(round((used + beside) / sum(result.span for result in results), 2))
        self.cpu_ms = round(used * 1000 / max(1, sum(result.answers for result in results)), 4)
        middle = statistics.median_low([key(result) for result in results])
        chosen = next(result for result in results if key(result) == middle)
        errors: dict[str, int] = {}
        for result in results:
            for name, count in result.errors.items():
                errors[name] = errors.get(name, 0) + count
        return msgspec.structs.replace(chosen, errors=errors)


def _slow(plan: Plan, port: int, key: str, model: str, streams: int) -> Spec:
    return Spec(
        kind="slow",
        port=port,
        key=key,
        model=model,
        connections=streams,
        stream=True,
        chunks=plan.slow_chunks,
        interval_ms=plan.slow_interval_ms,
        ramp_seconds=max(1.0, streams / 1000),
    )


def _max_rate(throughput: dict[int, Result]) -> float:
    return max(result.per_second for result in throughput.values())


def pin_self() -> None:
    """Keeps the benchmark's own process off the core of what it measures."""
    os.sched_setaffinity(0, {LOAD_CPU})
