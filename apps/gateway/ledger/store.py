"""The drainer's SQL: the ledger's rows, and the rollups that count exactly the rows that were new.

Raw SQL, in this module alone, for three reasons: the rollups must be bumped by what ``INSERT ... ON CONFLICT DO NOTHING
RETURNING`` says was inserted, which the ORM does not tell; they are bumped by one upsert that adds to what is there,
which the ORM cannot say; and the ORM's model instances cost more time per row than the database does.

One transaction holds all of it: a row without its share in the rollups, or the reverse, is never seen, and a batch that
is written again changes nothing.
"""

from __future__ import annotations

import operator
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import chain, islice
from typing import Any, NamedTuple, TypeVar

import msgspec
from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper
from django.db.models import Count, Min, Sum

from apps.gateway.ledger.calendar import HOUR_MS, DayBuckets, hour_start
from apps.gateway.ledger.lines import Intent, Settlement
from apps.gateway.ledger.pricing import PriceTerms
from apps.gateway.ledger.reader import StoredRequestLine
from apps.gateway.models import Granularity, RequestLog, UsageRecord, UsageRollup
from apps.gateway.types import Outcome
from apps.models.models import Price
from apps.models.providers.base import USAGE_KINDS
from apps.tenants.models import ApiKey

_encode = msgspec.json.Encoder().encode
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_attempt_id = operator.attrgetter("attempt_id")
_request_id = operator.attrgetter("request_id")
ERRORS = frozenset({Outcome.UPSTREAM_ERROR.value, Outcome.INTERRUPTED.value})
# SQLite's least bound on the variables of a statement; small statements of one shape are prepared once and reused.
_SQLITE_VARIABLES = 999

KEY_USE_RESOLUTION = timedelta(minutes=1)

T = TypeVar("T")


class Column(NamedTuple):
    """``value`` is PostgreSQL's expression of what is written, where that is not the line's own value as it is."""

    name: str
    type: str  # PostgreSQL's, of the line's value
    value: str = ""


class Table:
    """A table, the columns that are written to it, and its insert statement without the values."""

    def __init__(self, name: str, columns: Sequence[Column], tail: str) -> None:
        self.columns = columns
        self.tail = tail
        names = ", ".join(f'"{column.name}"' for column in columns)
        self.head = f'INSERT INTO "{name}" ({names})'
        values = ", ".join(column.value or f'"{column.name}"' for column in columns)
        typed = ", ".join(f'"{column.name}" {column.type}' for column in columns)
        # Names and types of ours, nothing of a request.
        source = f"json_to_recordset(%s) AS row ({typed})"
        self._from_document = f"{self.head} SELECT {values} FROM {source} {tail}"  # noqa: S608

    def insert(self, cursor: CursorWrapper, lines: Sequence[T], as_row: Callable[[T], Sequence[Any]]) -> list[Any]:
        """Insert ``lines``, which as JSON are objects with the columns' names and leave out what is 0 or empty;
        ``as_row`` gives the columns' values. What the statement's RETURNING gave, if it has one."""
        if not lines:
            return []
        if connection.vendor == "postgresql":
            return self._insert_document(cursor, lines)
        return self._insert_values(cursor, [as_row(line) for line in lines])

    def _insert_document(self, cursor: CursorWrapper, lines: Sequence[Any]) -> list[Any]:
        """PostgreSQL takes a batch as one JSON document: one short statement however many rows, and next to no work
        here, where binding each value (or an array of each column) costs more than the server's own work."""
        cursor.execute(self._from_document, [_encode(lines).decode()])
        return list(cursor.fetchall()) if cursor.description else []

    def _insert_values(self, cursor: CursorWrapper, rows: Sequence[Sequence[Any]]) -> list[Any]:
        size = _SQLITE_VARIABLES // len(self.columns)
        found: list[Any] = []
        for start in range(0, len(rows), size):
            chunk = rows[start : start + size]
            cursor.execute(self._statement(len(chunk)), list(chain.from_iterable(chunk)))
            if cursor.description:
                found += cursor.fetchall()
        return found

    def _statement(self, count: int) -> str:
        row = f"({', '.join(['%s'] * len(self.columns))})"
        return f"{self.head} VALUES {', '.join([row] * count)} {self.tail}"


def _columns(names: str, type_: str, unsaid: str = "") -> list[Column]:
    """``unsaid`` stands for what a line leaves out; otherwise that is NULL."""
    return [Column(name, type_, f'COALESCE("{name}", {unsaid})' if unsaid else "") for name in names.split()]


_TOKENS = " ".join([*USAGE_KINDS, "cost_picousd"])
_tokens = operator.attrgetter(*_TOKENS.split())
_AT = Column("at", "bigint", "'epoch'::timestamptz + \"at\" * interval '1 millisecond'")

_RECORDS = Table(
    UsageRecord._meta.db_table,
    [
        *_columns("attempt_id request_id", "varchar"),
        _AT,
        *_columns("tenant_id project_id api_key_id user_id price_id", "bigint"),
        # Never left out: 0 where there is none.
        *(Column(name, "bigint", f'NULLIF("{name}", 0)') for name in ("model_id", "endpoint_id")),
        *_columns("status outcome", "varchar"),
        *_columns("http_status", "smallint", "0"),
        *_columns("streamed", "boolean", "FALSE"),
        *_columns(_TOKENS, "bigint", "0"),
        *_columns("duration_ms", "integer", "0"),
        Column("first_token_ms", "integer"),
        *_columns("upstream_request_id", "varchar", "''"),
    ],
    'ON CONFLICT ("attempt_id") DO NOTHING RETURNING "attempt_id"',
)

_REQUESTS = Table(
    RequestLog._meta.db_table,
    [
        Column("request_id", "varchar"),
        _AT,
        *_columns("tenant_id project_id api_key_id user_id", "bigint"),
        *_columns("model_slug operation", "varchar", "''"),
        *_columns("streamed", "boolean", "FALSE"),
        Column("outcome", "varchar"),
        Column("http_status", "smallint"),
        *_columns("error_code", "varchar", "''"),
        *_columns("attempts", "smallint", "0"),
        *_columns("input_tokens output_tokens cost_picousd", "bigint", "0"),
        *_columns("duration_ms", "integer", "0"),
        Column("first_token_ms", "integer"),
        Column("prompt_id", "bigint"),
        Column("prompt_version", "integer"),
        *_columns("why", "jsonb", "'{}'"),
    ],
    'ON CONFLICT ("request_id") DO NOTHING RETURNING "request_id"',
)

ROLLUP_KEY = "granularity tenant_id bucket project_id model_id api_key_id user_id status"
ROLLUP_SUMS = f"requests errors {_TOKENS} duration_ms first_token_ms first_tokens"
_ROLLUPS = Table(
    UsageRollup._meta.db_table,
    [
        Column("granularity", "varchar"),
        Column("tenant_id", "bigint"),
        Column("bucket", "timestamptz"),
        *_columns("project_id model_id api_key_id user_id", "bigint"),
        Column("status", "varchar"),
        *_columns(ROLLUP_SUMS, "bigint", "0"),
    ],
    "ON CONFLICT ({key}) DO UPDATE SET {sums}".format(
        key=", ".join(f'"{name}"' for name in ROLLUP_KEY.split()),
        sums=", ".join(
            f'"{name}" = "{UsageRollup._meta.db_table}"."{name}" + excluded."{name}"' for name in ROLLUP_SUMS.split()
        ),
    ),
)
_ROLLUP_KEY, _ROLLUP_SUMS = ROLLUP_KEY.split(), ROLLUP_SUMS.split()
_HOUR, _DAY = Granularity.HOUR.value, Granularity.DAY.value

_KEYS_USED = (
    f'UPDATE "{ApiKey._meta.db_table}" SET "last_used_at" = used.column2 FROM (VALUES {{rows}}) AS used'  # noqa: S608
    ' WHERE "id" = used.column1 AND ("last_used_at" IS NULL OR "last_used_at" < used.column3)'
)

RollupKey = tuple[str, int, datetime, int, int, int, int, str]


class Rollups:
    """Sums by key. The same arithmetic bumps the rollups while draining and makes them anew from the records."""

    def __init__(self, days: DayBuckets) -> None:
        self._days = days
        self.sums: dict[RollupKey, list[int]] = {}

    def add(self, records: Iterable[Settlement]) -> None:
        """Group by group, and column by column: a step of Python for each record's each column costs as much as all
        the rest of draining it."""
        groups: defaultdict[tuple[Any, ...], list[tuple[int, ...]]] = defaultdict(list)
        for record in records:
            tenant, moment, first_token_ms = record.tenant_id, record.at, record.first_token_ms
            group = (
                tenant,
                moment // HOUR_MS,
                self._days.start(tenant, moment),
                record.project_id,
                record.model_id,
                record.api_key_id,
                record.user_id,
                record.status,
            )
            counted = (  # in the order of ROLLUP_SUMS
                1,
                record.outcome in ERRORS,
                *_tokens(record),
                record.duration_ms,
                first_token_ms or 0,
                first_token_ms is not None,
            )
            groups[group].append(counted)
        for (tenant, hour, day, *rest), rows in groups.items():
            sums = [sum(column) for column in zip(*rows, strict=True)]
            for granularity, bucket in ((_HOUR, hour_start(hour * HOUR_MS)), (_DAY, day)):
                key = (granularity, tenant, bucket, *rest)
                known = self.sums.get(key)
                self.sums[key] = sums if known is None else list(map(operator.add, known, sums))

    def lines(self) -> list[dict[str, Any]]:
        """In one order whoever writes them: two writers that lock the same rows do not lock them crosswise."""
        return [
            {
                **dict(zip(_ROLLUP_KEY, (*key[:2], _text(key[2]), *key[3:]), strict=True)),
                **{name: amount for name, amount in zip(_ROLLUP_SUMS, self.sums[key], strict=True) if amount},
            }
            for key in sorted(self.sums)
        ]


@dataclass(slots=True)
class Lines:
    """What is to be written in one transaction."""

    settlements: list[Settlement] = field(default_factory=list)
    requests: list[StoredRequestLine] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.settlements) + len(self.requests)


@dataclass(frozen=True, slots=True)
class Written:
    """How much of it was new."""

    records: int
    requests: int


def write(lines: Lines, days: DayBuckets) -> Written:
    """Write what is new of ``lines``, all or nothing. Raises ``django.db.Error``."""
    days.learn({line.tenant_id for line in lines.settlements})
    with transaction.atomic(), connection.cursor() as cursor:
        records = _write_records(cursor, lines.settlements, days)
        return Written(records, _write_requests(cursor, lines.requests))


def write_interrupted(settlements: Sequence[Settlement], requests: Sequence[Intent], days: DayBuckets) -> Written:
    """Write the records of attempts that a dead process left, and the log rows of the requests that lack one.

    A request may have had attempts that were settled: its row adds up all of them. Raises ``django.db.Error``.
    """
    days.learn({line.tenant_id for line in settlements})
    with transaction.atomic(), connection.cursor() as cursor:
        records = _write_records(cursor, settlements, days)
        used = _used_by([intent.request_id for intent in requests])
        rows = [_interrupted_request(intent, used.get(intent.request_id, {})) for intent in requests]
        return Written(records, _write_requests(cursor, rows))


def known_attempts(attempt_ids: Sequence[str]) -> list[str]:
    """Those that have a record."""
    rows = UsageRecord.objects.unscoped("the drainer's own rows").filter(attempt_id__in=attempt_ids)
    return list(rows.order_by().values_list("attempt_id", flat=True))


def price_terms(price_ids: Iterable[int]) -> dict[int, PriceTerms]:
    """The terms of these prices, as far as they are there."""
    return {price.pk: PriceTerms.of(price) for price in Price.objects.filter(pk__in=price_ids)}


def add_to_rollups(rollups: Rollups) -> None:
    """Add the sums to those in the database; inside the caller's transaction."""
    with connection.cursor() as cursor:
        _ROLLUPS.insert(cursor, rollups.lines(), _rollup_row)


def _write_records(cursor: CursorWrapper, settlements: Iterable[Settlement], days: DayBuckets) -> int:
    first: dict[str, Settlement] = {}
    for line in settlements:
        first.setdefault(line.attempt_id, line)
    # In the order of the ids, so that two drainers of the same lines wait for each other instead of deadlocking.
    ordered = sorted(first.values(), key=_attempt_id)
    new = [first[attempt_id] for (attempt_id,) in _RECORDS.insert(cursor, ordered, _record_row)]
    rollups = Rollups(days)
    rollups.add(new)
    _ROLLUPS.insert(cursor, rollups.lines(), _rollup_row)
    _mark_keys_used(cursor, new)
    return len(new)


def _mark_keys_used(cursor: CursorWrapper, settlements: Iterable[Settlement]) -> None:
    """When each key was last used, to the minute: a busy key's row is not written with every batch."""
    last: dict[int, int] = {}
    for line in settlements:
        if line.api_key_id:
            last[line.api_key_id] = max(line.at, last.get(line.api_key_id, 0))
    # One statement for all keys. VALUES names its columns column1, column2, ... on both databases.
    for batch in in_batches(sorted(last.items()), _SQLITE_VARIABLES // 3):
        values = [(key_id, _text(at(moment)), _text(at(moment) - KEY_USE_RESOLUTION)) for key_id, moment in batch]
        row = "(%s, %s::timestamptz, %s::timestamptz)" if connection.vendor == "postgresql" else "(%s, %s, %s)"
        rows = ", ".join([row] * len(values))
        cursor.execute(_KEYS_USED.format(rows=rows), list(chain.from_iterable(values)))


def _used_by(request_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Of each request: when it began, its attempts, and what they used."""
    rows = UsageRecord.objects.unscoped("the drainer's own rows").filter(request_id__in=request_ids).order_by()
    summed = rows.values("request_id").annotate(
        since=Min("at"),
        count=Count("*"),
        sum_input=Sum("input_tokens"),
        sum_output=Sum("output_tokens"),
        sum_cost=Sum("cost_picousd"),
    )
    return {
        row["request_id"]: {
            "at": milliseconds(row["since"]),
            "attempts": row["count"],
            "input_tokens": int(row["sum_input"]),
            "output_tokens": int(row["sum_output"]),
            "cost_picousd": int(row["sum_cost"]),
        }
        for row in summed
    }


def _write_requests(cursor: CursorWrapper, lines: Iterable[StoredRequestLine]) -> int:
    return len(_REQUESTS.insert(cursor, sorted(lines, key=_request_id), _request_row))


def _text(moment: datetime) -> str:
    """A moment as both databases take it: PostgreSQL reads the offset, SQLite keeps the text as Django writes it."""
    return str(moment) if connection.vendor == "postgresql" else str(moment.replace(tzinfo=None))


def _rollup_row(line: dict[str, Any]) -> list[Any]:
    return [*(line[name] for name in _ROLLUP_KEY), *(line.get(name, 0) for name in _ROLLUP_SUMS)]


def _record_row(line: Settlement) -> list[Any]:
    return [
        line.attempt_id,
        line.request_id,
        _text(at(line.at)),
        line.tenant_id or None,
        line.project_id or None,
        line.api_key_id or None,
        line.user_id or None,
        line.price_id or None,
        line.model_id or None,
        line.endpoint_id or None,
        line.status,
        line.outcome,
        line.http_status,
        line.streamed,
        *_tokens(line),
        line.duration_ms,
        line.first_token_ms,
        line.upstream_request_id,
    ]


def _request_row(line: StoredRequestLine) -> list[Any]:
    return [
        line.request_id,
        _text(at(line.at)),
        line.tenant_id or None,
        line.project_id or None,
        line.api_key_id or None,
        line.user_id or None,
        line.model_slug,
        line.operation,
        line.streamed,
        line.outcome,
        line.http_status,
        line.error_code,
        line.attempts,
        line.input_tokens,
        line.output_tokens,
        line.cost_picousd,
        line.duration_ms,
        line.first_token_ms,
        line.prompt_id or None,
        line.prompt_version or None,
        bytes(line.why).decode(),
    ]


def _interrupted_request(intent: Intent, used: dict[str, Any]) -> StoredRequestLine:
    why = {
        "interrupted": "The gateway's process ended before this request did; its usage is what was seen until then.",
        "attempts": [{"outcome": Outcome.INTERRUPTED.value, "price_id": intent.price_id}],
    }
    return StoredRequestLine(
        request_id=intent.request_id,
        tenant_id=intent.tenant_id,
        project_id=intent.project_id,
        api_key_id=intent.api_key_id,
        user_id=intent.user_id,
        operation=intent.operation,
        outcome=Outcome.INTERRUPTED.value,
        http_status=0,
        model_slug=intent.model_slug,
        streamed=intent.streamed,
        error_code="interrupted",
        why=msgspec.Raw(msgspec.json.encode(why)),
        **({"at": intent.at} | used),
    )


def at(milliseconds: int) -> datetime:
    """Unix milliseconds as a moment, exactly."""
    return _EPOCH + timedelta(milliseconds=milliseconds)


def milliseconds(moment: datetime) -> int:
    """The reverse of ``at``."""
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def in_batches(items: Iterable[Any], size: int) -> Iterable[list[Any]]:
    remaining = iter(items)
    while batch := list(islice(remaining, size)):
        yield batch


def as_settlement(record: UsageRecord) -> Settlement:
    """The line that a record came from, as far as sums need it."""
    return Settlement(
        request_id=record.request_id,
        at=milliseconds(record.at),
        tenant_id=record.tenant_id or 0,
        project_id=record.project_id or 0,
        api_key_id=record.api_key_id or 0,
        user_id=record.user_id or 0,
        attempt_id=record.attempt_id,
        model_id=record.model_id or 0,
        endpoint_id=record.endpoint_id or 0,
        price_id=record.price_id or 0,
        status=record.status,
        outcome=record.outcome,
        http_status=record.http_status,
        streamed=record.streamed,
        cost_picousd=record.cost_picousd,
        duration_ms=record.duration_ms,
        first_token_ms=record.first_token_ms,
        **{name: getattr(record, name) for name in USAGE_KINDS},
    )
