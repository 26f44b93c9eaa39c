"""The ledger at the command line: drain the spool, add up, check against an upstream, make the rollups anew."""

from __future__ import annotations

import json
import signal
import threading
from argparse import ArgumentParser
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from apps.gateway.ledger.drain import DrainReport, drain_once, follow
from apps.gateway.ledger.errors import LedgerError
from apps.gateway.ledger.join import SHOWN, JoinReport, check
from apps.gateway.ledger.rebuild import rebuild_rollups
from apps.gateway.ledger.totals import TotalsReport, parse_since, totals
from apps.tenants.models import Project


class Command(BaseCommand):
    help = "Drain the spool into the database; totals; check against an upstream's count; rebuild the rollups."

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        drain = verbs.add_parser("drain", help="Move what is in the spool into the database.")
        mode = drain.add_mutually_exclusive_group()
        mode.add_argument("--once", action="store_true", help="What is there now, then end (the default).")
        mode.add_argument("--follow", action="store_true", help="Go on until SIGTERM or Ctrl-C.")
        drain.add_argument("--wait", type=float, default=10.0, metavar="SECONDS", help="For another drainer to end.")
        adding = verbs.add_parser("totals", help="Requests, tokens and cost, by status, project, provider and model.")
        adding.add_argument("--json", action="store_true", help="As JSON on standard output.")
        adding.add_argument("--since", metavar="T", help="An ISO time, or a duration such as 24h or 7d.")
        adding.add_argument("--project", metavar="TENANT/PROJECT")
        checking = verbs.add_parser("check", help="Join the ledger with an upstream's own count, attempt by attempt.")
        checking.add_argument("--upstream", required=True, type=Path, metavar="FILE.jsonl")
        checking.add_argument("--since", metavar="T", help="Only records of ours from then on.")
        checking.add_argument("--provider", default="", metavar="SLUG", help="Only records of ours at this provider.")
        checking.add_argument("--json", action="store_true")
        rebuild = verbs.add_parser("rebuild-rollups", help="Sum the records anew, and set right what differs.")
        rebuild.add_argument("--check", action="store_true", help="Only compare; a difference is exit status 1.")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            match options["verb"]:
                case "drain":
                    self._drain(follow_on=options["follow"], wait=options["wait"])
                case "totals":
                    self._totals(options)
                case "check":
                    self._check(options)
                case "rebuild-rollups":
                    self._rebuild(write=not options["check"])
        except LedgerError as error:
            raise CommandError(str(error)) from error

    def _drain(self, *, follow_on: bool, wait: float) -> None:
        if follow_on:
            stop = threading.Event()
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: stop.set())
            follow(settings.SPOOL_DIR, stop)
            return
        report = drain_once(settings.SPOOL_DIR, wait_seconds=wait)
        self.stdout.write(_drained(report))
        for problem in report.errors:
            self.stderr.write(problem)
        if report.errors:
            raise CommandError("Some of the spool could not be read; it is left where it is.")

    def _totals(self, options: dict[str, Any]) -> None:
        report = totals(Path(settings.SPOOL_DIR), since=_since(options["since"]), project=_project(options["project"]))
        if options["json"]:
            self.stdout.write(json.dumps(report.shown(), indent=2))
        else:
            self.stdout.write(_table(report))

    def _check(self, options: dict[str, Any]) -> None:
        report = check(options["upstream"], since=_since(options["since"]), provider=options["provider"])
        if options["json"]:
            self.stdout.write(msgspec.json.format(msgspec.json.encode(report), indent=2).decode())
        else:
            self.stdout.write(_joined(report))
        if report.faults:
            raise CommandError(f"The ledger and the upstream's count differ in {report.faults:,} places.")

    def _rebuild(self, *, write: bool) -> None:
        report = rebuild_rollups(write=write)
        self.stdout.write(
            f"{report.rows:,} rollups; {report.missing:,} were missing, {report.different:,} had other sums,"
            f" {report.extra:,} had no records."
        )
        if write and not report.equal:
            after = rebuild_rollups(write=False)
            if not after.equal:
                raise CommandError("They still differ after being written. Is something else writing rollups?")
            self.stdout.write("They are equal to their records now.")
        elif not report.equal:
            raise CommandError("The rollups differ from their records.")


def _since(text: str | None) -> datetime | None:
    try:
        return parse_since(text, timezone.now()) if text else None
    except ValueError as error:
        raise CommandError(f"--since: {error}") from None


def _project(text: str | None) -> Project | None:
    if not text:
        return None
    tenant, _, slug = text.partition("/")
    project = Project.objects.unscoped("the operator's totals").filter(tenant__slug=tenant, slug=slug).first()
    if project is None:
        raise CommandError(f"There is no project {text!r}. Write it as TENANT/PROJECT.")
    return project


def _drained(report: DrainReport) -> str:
    return (
        f"{report.lines:,} lines read: {report.records:,} records and {report.requests:,} requests are new"
        f" ({report.interrupted:,} interrupted), {report.known:,} were known, {report.quarantined:,} quarantined."
        f" {report.open_intents:,} attempts in flight; {report.undrained_bytes:,} bytes undrained."
    )


_COLUMNS = (
    ("requests", "requests"),
    ("errors", "errors"),
    ("input_tokens", "input"),
    ("cached_tokens", "cached"),
    ("cache_write_tokens", "cache write"),
    ("output_tokens", "output"),
    ("reasoning_tokens", "reasoning"),
)
# Shown where there are any.
_RARE_COLUMNS = (
    ("cache_write_1h_tokens", "of it 1 h"),
    ("audio_input_tokens", "sound in"),
    ("audio_output_tokens", "sound out"),
    ("image_input_tokens", "images in"),
    ("image_output_tokens", "images out"),
    ("units", "units"),
)


def _table(report: TotalsReport) -> str:
    blocks = [("total", report.total)]
    blocks += [(status, block) for status, block in report.by_status.items() if block.requests]
    blocks += [(label, entry.total) for label, entry in report.by_project.items()]
    blocks += [(f"provider {slug}", block) for slug, block in report.by_provider.items()]
    blocks += [(f"model {slug}", block) for slug, block in report.by_model.items()]
    columns = (*_COLUMNS, *(each for each in _RARE_COLUMNS if getattr(report.total, each[0])))
    rows = [["", *(title for _, title in columns), "cost, USD"]]
    for label, block in blocks:
        counts = (f"{getattr(block, name):,}" for name, _ in columns)
        rows.append([label, *counts, str(block.shown()["cost_usd"])])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for first, *rest in rows:
        cells = [cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True)]
        lines.append("  ".join([first.ljust(widths[0]), *cells]))
    since = f"since {report.since.isoformat()}" if report.since else "from the beginning"
    lines.append(f"\n{since}, until {report.until.isoformat()}; {report.undrained_bytes:,} bytes not drained yet")
    return "\n".join(line.rstrip() for line in lines)


def _joined(report: JoinReport) -> str:
    lines = [
        f"{report.ours:,} records of ours, {report.theirs:,} attempts at the upstream, {report.matched:,} matched;"
        f" {report.unseen:,} of ours never reached it, {report.unnamed:,} of theirs name no attempt,"
        f" {report.tests:,} were connection tests.",
        f"{report.estimated:,} estimated: input off by {report.estimated_input_delta:+,}, output by"
        f" {report.estimated_output_delta:+,} in all, by {report.largest_output_delta:,} at most.",
    ]
    for name in ("missing", "duplicate", "extra", "wrong_tenant", "token_differences", "cost_differences"):
        found: list[str] = getattr(report, name)
        lines.append(f"{name.replace('_', ' ')}: {len(found):,}")
        lines += [f"  {item}" for item in found[:SHOWN]]
        if len(found) > SHOWN:
            lines.append(f"  and {len(found) - SHOWN:,} more")
    return "\n".join(lines)
