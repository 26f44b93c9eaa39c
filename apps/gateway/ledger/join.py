"""The full outer join of our ledger and an upstream's own count, on the attempt id.

The upstream's file holds JSON lines. A line has ``attempt`` (the ``x-lobby-attempt-id`` that it was sent) and, as far
as the upstream knows them, ``prompt_tokens``, ``completion_tokens``, ``usage_sent`` (false: its answer told no usage),
``cost_usd`` and ``tenant`` (the slug that the credential stands for). Lines with the same ``seq`` speak of one attempt
and the later adds to the earlier (an arrival, then its end); without ``seq`` each line is an attempt of its own.
Unknown fields are left aside.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from apps.gateway.ledger import store
from apps.gateway.ledger.errors import LedgerError
from apps.gateway.ledger.pricing import FREE, PriceTerms, cost_picousd
from apps.gateway.models import UsageRecord
from apps.gateway.types import UsageStatus
from apps.models.models import Price
from apps.models.types import CONNECTION_TEST
from apps.tenants.models import Tenant
from apps.tenants.money import to_usd

WHY = "the operator's check against an upstream"
SHOWN = 20


class UpstreamLine(msgspec.Struct):
    attempt: str
    seq: int | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    usage_sent: bool | None = None
    cost_usd: Decimal | None = None
    tenant: str | None = None


class JoinReport(msgspec.Struct):
    """Faults are what must be none; the rest is for information. Deltas are ours less the upstream's."""

    ours: int = 0
    theirs: int = 0
    matched: int = 0
    missing: list[str] = []  # the upstream served them, we have no record
    duplicate: list[str] = []  # the upstream served an attempt id more than once
    extra: list[str] = []  # we recorded an answer of the upstream, which knows nothing of it
    wrong_tenant: list[str] = []
    token_differences: list[str] = []  # of measured records
    cost_differences: list[str] = []  # from the upstream's cost, or from our own price times our own tokens
    unnamed: int = 0  # calls at the upstream without an attempt id: not ours
    tests: int = 0  # connection tests, which are the platform's own and in no ledger
    unseen: int = 0  # records of ours that never reached the upstream (no connection, or killed before)
    estimated: int = 0  # records whose tokens are estimates
    estimated_input_delta: int = 0
    estimated_output_delta: int = 0
    largest_output_delta: int = 0

    @property
    def faults(self) -> int:
        return sum(
            len(found)
            for found in (
                self.missing,
                self.duplicate,
                self.extra,
                self.wrong_tenant,
                self.token_differences,
                self.cost_differences,
            )
        )


def read_upstream(lines: Iterable[bytes], report: JoinReport) -> dict[str, list[UpstreamLine]]:
    """The upstream's attempts by id. Raises ``LedgerError`` naming the line that is none."""
    decode = msgspec.json.Decoder(UpstreamLine).decode
    by_seq: dict[int, UpstreamLine] = {}
    found: dict[str, list[UpstreamLine]] = {}
    for number, raw in enumerate(lines, start=1):
        if not raw.strip():
            continue
        try:
            line = decode(raw)
        except msgspec.DecodeError as error:
            raise LedgerError(f"Line {number} of the upstream's count is no attempt: {error}.") from None
        known = by_seq.get(line.seq) if line.seq is not None else None
        if known is not None:
            for name in line.__struct_fields__:
                if (value := getattr(line, name)) is not None:
                    setattr(known, name, value)
            continue
        if line.seq is not None:
            by_seq[line.seq] = line
        report.theirs += 1
        if line.attempt == CONNECTION_TEST:
            report.tests += 1
        elif line.attempt:
            found.setdefault(line.attempt, []).append(line)
        else:
            report.unnamed += 1
    return found


def check(path: Path, *, since: Any = None, provider: str = "") -> JoinReport:
    """Join the ledger (from ``since`` on, of one ``provider``) with the upstream's file. Raises ``LedgerError``."""
    report = JoinReport()
    try:
        with path.open("rb") as file:
            theirs = read_upstream(file, report)
    except OSError as error:
        raise LedgerError(f"{path} cannot be read: {error.strerror or error}.") from error
    report.duplicate = sorted(attempt for attempt, calls in theirs.items() if len(calls) > 1)
    records = UsageRecord.objects.unscoped(WHY).order_by()
    if since is not None:
        records = records.filter(at__gte=since)
    if provider:
        records = records.filter(endpoint__provider__slug=provider)
    terms = {price.pk: PriceTerms.of(price) for price in Price.objects.all()}
    tenants = dict(Tenant.objects.unscoped(WHY).values_list("pk", "slug"))
    for record in records.iterator(chunk_size=2000):
        report.ours += 1
        calls = theirs.pop(record.attempt_id, None)
        expected = cost_picousd(terms.get(record.price_id or 0, FREE), store.as_settlement(record))
        priced = record.status != UsageStatus.RECONCILED and not (record.http_status >= 400 or _nothing(record))
        if priced and record.cost_picousd != expected:
            report.cost_differences.append(_difference(record, "cost", record.cost_picousd, expected))
        if calls is None:
            if record.http_status:
                report.extra.append(record.attempt_id)
            else:
                report.unseen += 1
            continue
        report.matched += 1
        _compare(record, calls[-1], tenants.get(record.tenant_id or 0, ""), report)
    report.missing = sorted(theirs)
    return report


def _nothing(record: UsageRecord) -> bool:
    """An attempt that the upstream charges nothing for, its price per request included."""
    return not (record.input_tokens or record.output_tokens or record.cost_picousd)


def _compare(record: UsageRecord, call: UpstreamLine, tenant: str, report: JoinReport) -> None:
    if call.tenant is not None and call.tenant != tenant:
        report.wrong_tenant.append(f"{record.attempt_id}: ours {tenant}, theirs {call.tenant}")
    if call.cost_usd is not None and call.cost_usd != to_usd(record.cost_picousd):
        ours = f"{to_usd(record.cost_picousd):f}"
        report.cost_differences.append(f"{record.attempt_id}: cost_usd ours {ours}, theirs {call.cost_usd:f}")
    pairs = (
        ("input_tokens", record.input_tokens, call.prompt_tokens),
        ("output_tokens", record.output_tokens, call.completion_tokens),
    )
    if record.status in (UsageStatus.MEASURED, UsageStatus.RECONCILED):
        if call.usage_sent is not False:
            for name, ours_count, theirs_count in pairs:
                if theirs_count is not None and ours_count != theirs_count:
                    report.token_differences.append(_difference(record, name, ours_count, theirs_count))
        return
    report.estimated += 1
    if call.prompt_tokens is not None:
        report.estimated_input_delta += record.input_tokens - call.prompt_tokens
    if call.completion_tokens is not None:
        delta = record.output_tokens - call.completion_tokens
        report.estimated_output_delta += delta
        report.largest_output_delta = max(report.largest_output_delta, abs(delta))


def _difference(record: UsageRecord, name: str, ours: int, theirs: int) -> str:
    return f"{record.attempt_id}: {name} ours {ours}, theirs {theirs}"
