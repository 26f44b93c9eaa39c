"""The run as a person reads it: a table, the targets, and the same in Markdown."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.benchmarks.load import Latency, Result
from tests.benchmarks.measure import (
    CONNECTIONS,
    SLOW_TARGET,
    STREAM_CHUNKS,
    Measured,
    Report,
    cautions,
    contended,
    refused,
)

BEGIN: Final = "<!-- results: written by `make bench` with --markdown; do not edit by hand -->"
END: Final = "<!-- end of results -->"
DRAIN_TARGETS: Final = {"SQLite": 5000.0, "PostgreSQL": 10000.0}


@dataclasses.dataclass(frozen=True, slots=True)
class Target:
    """A promise, and what was measured. A target whose value is None was not measured."""

    name: str
    wanted: str
    value: float | None
    shown: str
    met: bool | None


def rows(report: Report) -> list[tuple[str, ...]]:
    """The comparison: a title, the three subjects, and Lobby against LiteLLM."""
    fake, lobby, litellm = report.fake, report.lobby, report.litellm
    table: list[tuple[str, ...]] = []

    def row(title: str, get: Callable[[Measured], float | None], form: str, unit: str = "") -> None:
        values = [None if measured is None else get(measured) for measured in (fake, lobby, litellm)]
        shown = ["-" if value is None else f"{value:{form}}{unit}" for value in values]
        ratio = f"{values[1] / values[2]:.3g} x" if values[1] and values[2] else "-"
        table.append((title, *shown, ratio))

    def throughput(connections: int) -> Callable[[Measured], float]:
        return lambda measured: measured.throughput[connections].per_second

    def added_at_half(percentile: str) -> Callable[[Measured], float | None]:
        return lambda measured: added(measured.half, measured.half_direct, percentile)

    for connections in CONNECTIONS:
        row(f"requests/s, {connections} connection{'s' * (connections > 1)}", throughput(connections), ",.0f")
    row(f"{STREAM_CHUNKS}-chunk streams/s, 16 connections", lambda m: m.streams.per_second, ",.0f")
    row("latency p50, 1 connection", lambda m: _ms(m.throughput[1].latency, "p50"), ".2f", " ms")
    row("added latency p50, 1 connection", lambda m: added(m.throughput[1], m.one_direct, "p50"), ".2f", " ms")
    row("added latency p99, 1 connection", lambda m: added(m.throughput[1], m.one_direct, "p99"), ".2f", " ms")
    row("half load, requests/s", lambda m: m.half_rate, ",.0f")
    row("added latency p50, half load", added_at_half("p50"), ".2f", " ms")
    row("added latency p99, half load", added_at_half("p99"), ".2f", " ms")
    row("processor time per request", lambda m: m.cpu_ms, ".3f", " ms")
    row("processor time per stream", lambda m: m.cpu_ms_stream, ".3f", " ms")
    row("memory, idle", lambda m: m.idle_mb, ".0f", " MB")
    row("memory, after load", lambda m: m.loaded_mb or None, ".0f", " MB")
    row("start", lambda m: m.start_seconds or None, ".1f", " s")
    return table


def targets(report: Report) -> list[Target]:
    """What was promised of Lobby, against what was measured."""
    lobby, litellm = report.lobby, report.litellm
    disturbed = bool(contended(report))
    found: list[Target] = []

    def target(name: str, wanted: str, value: float | None, form: str, met: Callable[[float], bool]) -> None:
        shown = "not measured" if value is None else form.format(value)
        found.append(Target(name, wanted, value, shown, None if value is None else met(value)))

    def ratio(get: Callable[[Measured], float | None]) -> float | None:
        ours, theirs = (get(lobby) if lobby else None), (get(litellm) if litellm else None)
        return ours / theirs if ours and theirs else None

    if disturbed:  # A ratio of two numbers of which other work took a part is no ratio.
        litellm = None
    target("requests/s against LiteLLM, best of each", ">= 20 x", ratio(best), "{:.1f} x", lambda value: value >= 20)
    streams = ratio(lambda m: m.streams.per_second)
    target("streams/s against LiteLLM", ">= 60 x", streams, "{:.1f} x", lambda value: value >= 60)
    latency = ratio(lambda m: added(m.throughput[1], m.one_direct, "p50"))
    target("added latency p50, 1 connection", "<= 0.1 x", latency, "{:.3f} x", lambda value: value <= 0.1)
    slow = next((run for run in report.slow if run.streams >= SLOW_TARGET), None)
    wrong = None
    if slow is not None:
        wrong = float(slow.result.chunks_missing + slow.result.chunks_out_of_order + sum(slow.result.errors.values()))
    target("1,000 slow streams: lost or disordered chunks", "0", wrong, "{:.0f}", lambda value: value == 0)
    memory = slow.peak_mb if slow else None
    target("1,000 slow streams: memory", "< 500 MB", memory, "{:.0f} MB", lambda value: value < 500)
    delay = _ms(slow.result.chunk_delay, "p99") if slow else None
    target("1,000 slow streams: delay per chunk p99", "< 100 ms", delay, "{:.1f} ms", lambda value: value < 100)
    target("web start", "< 3 s", lobby.start_seconds if lobby else None, "{:.2f} s", lambda value: value < 3)
    target("web idle memory", "< 160 MB", lobby.idle_mb if lobby else None, "{:.0f} MB", lambda value: value < 160)
    heavy = float(len(report.heavy_imports)) if lobby else None
    target("MLflow, boto3 and the like in the web process", "none", heavy, "{:.0f}", lambda value: value == 0)
    off = None
    if report.ledger:
        off = float(sum(abs(report.ledger[name] - report.upstream_count[name]) for name in report.ledger))
    counted = f"{report.ledger.get('attempts', 0):,} attempts and their tokens against the upstream's count"
    target(counted, "equal", off, "off by {:.0f}", lambda value: value == 0)
    for name, least in DRAIN_TARGETS.items():
        drained = report.drained.get(name)
        target(f"draining into {name}", f">= {least:,.0f}/s", drained, "{:,.0f}/s", lambda value, n=least: value >= n)  # type: ignore[misc]
    if len(report.home_ms) > 1:
        times = [report.home_ms[rows] for rows in sorted(report.home_ms, key=int)]
        growth: float | None = times[-1] / times[0]
    else:
        growth = None
    target("Home's query time, 2 M against 10 k rows", "no growth", growth, "{:.2f} x", lambda value: value <= 1.5)
    return found


def best(measured: Measured) -> float:
    """The most requests per second at any number of connections."""
    return max(result.per_second for result in measured.throughput.values())


def added(result: Result, direct: Result | None, percentile: str) -> float | None:
    """What a proxy adds to a latency of the upstream alone, in milliseconds."""
    ours, base = _ms(result.latency, percentile), _ms(direct.latency if direct else None, percentile)
    return None if ours is None or base is None else max(0.0, ours - base)


def text(report: Report) -> str:
    """The whole run for a terminal."""
    lines = [_machine_line(report), ""]
    head = ("", "fake upstream", _title(report.lobby, "Lobby"), _title(report.litellm, "LiteLLM"), "Lobby/LiteLLM")
    lines += _columns([head, *rows(report)])
    if report.slow:
        lines += ["", *_columns([_SLOW_HEAD, *_slow_rows(report)])]
    lines += ["", *_columns([("target", "wanted", "measured", ""), *_target_rows(report)])]
    lines += ["", *(f"CAREFUL: {reason}" for reason in cautions(report))]
    lines += [f"WRONG: {problem}" for problem in report.problems]
    return "\n".join(lines).rstrip()


def markdown(report: Report) -> str:
    """The whole run for the documentation."""
    head = ("", "fake upstream", _title(report.lobby, "Lobby"), _title(report.litellm, "LiteLLM"), "Lobby/LiteLLM")
    parts = [_machine_line(report), "", *_pipes([head, *rows(report)]), ""]
    if report.slow:
        parts += ["Slow streams, 10 chunks/s each, on one worker:", "", *_pipes([_SLOW_HEAD, *_slow_rows(report)]), ""]
    parts += _pipes([("target", "wanted", "measured", ""), *_target_rows(report)])
    parts += [f"\n**{reason}.**" for reason in cautions(report)]
    return "\n".join(parts)


def write_into(report: Report, path: Path) -> None:
    """Puts the run between the marks of a Markdown file. Raises ValueError where it has none."""
    page = path.read_text()
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{path} lacks the lines between which results are written: {BEGIN} and {END}")
    path.write_text(f"{before}{BEGIN}\n\n{markdown(report)}\n\n{END}{after}")


_SLOW_HEAD: Final = (
    "slow streams",
    "complete",
    "refused",
    "chunks",
    "missing",
    "out of order",
    "delay p50",
    "delay p99",
    "delay max",
    "direct p99",
    "peak memory",
)


def _slow_rows(report: Report) -> list[tuple[str, ...]]:
    table = []
    for run in report.slow:
        result, direct = run.result, run.direct.chunk_delay if run.direct else None
        table.append(
            (
                f"{run.streams:,}",
                f"{result.requests:,}",
                f"{refused(result):,}",
                f"{result.chunks:,}",
                str(result.chunks_missing),
                str(result.chunks_out_of_order),
                *(_shown(_ms(result.chunk_delay, percentile)) for percentile in ("p50", "p99", "max")),
                _shown(_ms(direct, "p99")),
                f"{run.peak_mb:.0f} MB",
            )
        )
    return table


def _target_rows(report: Report) -> list[tuple[str, ...]]:
    words = {True: "met", False: "MISSED", None: ""}
    return [(target.name, target.wanted, target.shown, words[target.met]) for target in targets(report)]


def _machine_line(report: Report) -> str:
    facts = report.machine
    line = (
        f"{report.date}, {facts['cores']} cores of {facts['cpu']}, {facts['memory']}, {facts['system']}, "
        f"Python {facts['python']}, uvicorn {facts['uvicorn']}, Django {facts['django']}; "
        f"median of {report.plan.rounds} rounds of {report.plan.seconds:g} s."
    )
    if report.busy_before > 0.1:
        line += (
            f" The machine was {report.busy_before:.0%} busy with other work just before: read the figures with care."
        )
    return line


def _title(measured: Measured | None, name: str) -> str:
    return f"{name} {measured.version}".strip() if measured else name


def _ms(latency: Latency | None, percentile: str) -> float | None:
    return None if latency is None else getattr(latency, percentile) / 1000


def _shown(milliseconds: float | None) -> str:
    return "-" if milliseconds is None else f"{milliseconds:.1f} ms"


def _columns(table: list[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    return [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in table
    ]


def _pipes(table: list[tuple[str, ...]]) -> list[str]:
    rule = "|" + "|".join("---" if column == 0 else "---:" for column in range(len(table[0]))) + "|"
    lines = ["| " + " | ".join(row) + " |" for row in table]
    return [lines[0], rule, *lines[1:]]
