"""The drainer: what becomes of each kind of line, and of what is no line."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from apps.gateway.ledger import files
from apps.gateway.ledger.drain import Drainer, drain_once
from apps.gateway.ledger.errors import SpoolBusy
from apps.gateway.ledger.files import SegmentName
from apps.gateway.ledger.pricing import PriceTerms, cost_picousd
from apps.gateway.ledger.progress import ProgressTable
from apps.gateway.ledger.quarantine import Finding, read_findings
from apps.gateway.ledger.spool import Spool
from apps.gateway.models import Granularity, RequestLog, UsageRecord
from apps.models.models import Model, Price
from apps.tenants.models import ApiKey, Project, Tenant
from tests.gateway.ledger import books
from tests.gateway.ledger.books import dead_segment, encoded, intent, request, settlement, whole

pytestmark = [pytest.mark.backends, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    directory = tmp_path / "spool"
    directory.mkdir()
    return directory


def left(spool: Path) -> list[str]:
    """What is in the directory, besides what the drainer keeps for itself."""
    return sorted(path.name for path in spool.iterdir() if path.name not in (files.DRAIN_LOCK, files.DRAINED))


def findings(spool: Path) -> list[Finding]:
    return [finding for path in sorted((spool / files.QUARANTINE).glob("*")) for finding in read_findings(path)]


def test_every_field_arrives(spool: Path) -> None:
    at = 1_790_000_000_123
    full = settlement(
        1, at=at, user_id=9, price_id=8, status="estimated", outcome="cancelled", http_status=200, streamed=True,
        input_tokens=100, output_tokens=50, cached_tokens=30, cache_write_tokens=20, reasoning_tokens=10,
        cache_write_1h_tokens=5, audio_input_tokens=6, audio_output_tokens=7, image_input_tokens=8,
        image_output_tokens=9, units=11,
        cost_picousd=10**17, duration_ms=1234, first_token_ms=0, upstream_request_id="req_1",
    )  # fmt: skip
    asked = request(
        1, at=at, user_id=9, outcome="cancelled", http_status=499, streamed=True, error_code="gone", attempts=2,
        input_tokens=100, output_tokens=50, cost_picousd=10**17, duration_ms=1300, first_token_ms=12,
        prompt_id=4, prompt_version=2,
        why={"rule": 'quotes " and \\ and \t', "list": [1, 2.5, None, True], "text": "é字🙂"},
    )  # fmt: skip
    dead_segment(spool, encoded(intent(1), full, asked))
    drain_once(spool)
    record = UsageRecord.objects.unscoped("test").get()
    for name in ("attempt_id", "request_id", *(field for field in full.__struct_fields__ if field != "at")):
        assert getattr(record, name) == getattr(full, name), name
    assert record.at == datetime.fromtimestamp(at // 1000, UTC).replace(microsecond=123_000)
    log = RequestLog.objects.unscoped("test").get()
    for name in (field for field in asked.__struct_fields__ if field != "at"):
        assert getattr(log, name) == getattr(asked, name), name
    assert log.at == record.at


def test_missing_ids_are_null_in_rows_and_zero_in_rollups(spool: Path) -> None:
    dead_segment(spool, encoded(settlement(1, tenant_id=0, project_id=0, api_key_id=0, model_id=0, endpoint_id=0)))
    drain_once(spool)
    (row,) = books.records()
    names = ("tenant_id", "project_id", "api_key_id", "user_id", "model_id", "endpoint_id", "price_id")
    assert [row[name] for name in names] == [None] * 7
    assert {(r["tenant_id"], r["project_id"], r["model_id"], r["user_id"]) for r in books.rollups()} == {(0, 0, 0, 0)}


def test_rollups_are_the_sums_of_records(spool: Path) -> None:
    hour = 3_600_000
    start = 1_790_000_000_000 // (24 * hour) * 24 * hour
    lines = [
        settlement(1, at=start, first_token_ms=5),
        settlement(2, at=start + hour - 1),
        settlement(3, at=start + hour, outcome="upstream_error"),
        settlement(4, at=start, status="estimated", outcome="cancelled"),
    ]
    dead_segment(spool, encoded(*lines))
    drain_once(spool)
    rows = books.rollups()
    hours = {(r["bucket"], r["status"]): r for r in rows if r["granularity"] == Granularity.HOUR}
    first = datetime.fromtimestamp(start / 1000, UTC)
    second = datetime.fromtimestamp((start + hour) / 1000, UTC)
    assert {key: (r["requests"], r["errors"]) for key, r in hours.items()} == {
        (first, "measured"): (2, 0),
        (second, "measured"): (1, 1),
        (first, "estimated"): (1, 0),
    }
    assert hours[first, "measured"]["cost_picousd"] == lines[0].cost_picousd + lines[1].cost_picousd
    assert (hours[first, "measured"]["first_token_ms"], hours[first, "measured"]["first_tokens"]) == (5, 1)
    days = {r["status"]: r for r in rows if r["granularity"] == Granularity.DAY}
    assert {status: r["requests"] for status, r in days.items()} == {"measured": 3, "estimated": 1}


def test_days_are_the_tenants_own(spool: Path) -> None:
    tenant = Tenant.objects.create(slug="tokyo", name="Tokyo", time_zone="Asia/Tokyo")
    at = int(datetime(2026, 3, 1, 16, 0, tzinfo=UTC).timestamp() * 1000)  # 01:00 on the 2nd in Tokyo
    dead_segment(spool, encoded(settlement(1, at=at, tenant_id=tenant.pk)))
    drain_once(spool)
    (day,) = [r["bucket"] for r in books.rollups() if r["granularity"] == Granularity.DAY]
    assert day == datetime(2026, 3, 1, 15, 0, tzinfo=UTC)


def test_draining_again_changes_nothing(spool: Path, tmp_path: Path) -> None:
    dead_segment(spool, b"".join(whole(number) for number in range(50)))
    books.keep(spool, tmp_path / "copy")
    drain_once(spool)
    once = books.books()
    books.keep(tmp_path / "copy", spool)
    report = drain_once(spool)
    assert (report.records, report.requests, report.known) == (0, 0, 100)
    assert books.books() == once


def test_one_attempt_twice_in_a_batch_counts_once_and_the_first_stands(spool: Path) -> None:
    dead_segment(spool, encoded(settlement(1, cost_picousd=5), settlement(1, cost_picousd=7), request(1), request(1)))
    report = drain_once(spool)
    assert (report.records, report.requests) == (1, 1)
    assert books.records()[0]["cost_picousd"] == 5
    assert {row["requests"] for row in books.rollups()} == {1}


def test_a_drained_dead_writer_leaves_nothing(spool: Path) -> None:
    with Spool(spool, max_bytes=1 << 30) as writer:
        table = ProgressTable(spool, writer.writer)
        writer.append(whole(1))
        table.close()
    drain_once(spool)
    assert left(spool) == []
    assert not files.has_orphans(spool)
    assert files.undrained_bytes(spool) == 0


def test_a_living_writers_segment_stays_until_it_moves_on(spool: Path) -> None:
    with Spool(spool, max_bytes=1 << 30, segment_bytes=400) as writer:
        drainer = Drainer(spool)
        writer.append(whole(1))
        assert drainer.run().records == 1
        assert len(files.segments(spool)) == 1
        assert files.undrained_bytes(spool) == 0
        writer.append(encoded(intent(2)))
        report = drainer.run()
        assert report.segments_deleted == 1
        assert [name.sequence for name in files.segments(spool)] == [2]
        assert (report.open_intents, report.interrupted) == (1, 0)


def test_a_segment_with_an_open_intent_stays(spool: Path) -> None:
    with Spool(spool, max_bytes=1 << 30, segment_bytes=1) as writer:
        drainer = Drainer(spool)
        writer.append(encoded(intent(1)))
        for number in range(2, 6):
            writer.append(whole(number))
        drainer.run()
        # The first holds the intent; the last is being written to.
        assert [name.sequence for name in files.segments(spool)] == [1, 5]
        writer.append_settled(encoded(settlement(1), request(1)))
        drainer.run()
        assert [name.sequence for name in files.segments(spool)] == [6]
    assert drainer.run().interrupted == 0
    assert len(books.records()) == 5


def test_a_drainer_that_begins_anew_knows_what_is_settled(spool: Path) -> None:
    """The settlement's segment was drained and deleted by the drainer before; the intent's is still there."""
    with Spool(spool, max_bytes=1 << 30, segment_bytes=1) as writer:
        writer.append(encoded(intent(1)))
        writer.append_settled(encoded(settlement(1), request(1)))
        writer.append(encoded(intent(2)))
        first = Drainer(spool)
        first.run()
        dead_segment(spool, encoded(intent(1)), writer=writer.writer, sequence=1)
        report = Drainer(spool).run()
        assert report.open_intents == 1
        assert [name.sequence for name in files.segments(spool)] == [3]


def test_an_unmatched_intent_of_a_dead_writer_becomes_interrupted(spool: Path) -> None:
    model = Model.objects.create(slug="small", name="Small")
    price = Price.objects.create(model=model, input_picousd=150_000, output_picousd=600_000, request_picousd=7)
    with Spool(spool, max_bytes=1 << 30) as writer:
        table = ProgressTable(spool, writer.writer)
        attempts = [intent(number, attempt_id=os.urandom(16).hex(), price_id=price.pk) for number in range(4)]
        writer.append(encoded(*attempts))
        slots = [table.acquire(attempts[0].attempt_id, 11), table.acquire(attempts[1].attempt_id, 0)]
        table.set_output(slots[0], 40)
        table.set_input(slots[1], 77)
        slot = table.acquire(attempts[2].attempt_id, 11)
        table.set_output(slot, 5)
        writer.append_settled(encoded(settlement(2, attempt_id=attempts[2].attempt_id), request(2)))
        table.release(slot)
        assert Drainer(spool).run().interrupted == 0  # it lives
        table.close()
    report = drain_once(spool)
    assert (report.interrupted, report.open_intents) == (3, 0)
    found = {row["attempt_id"]: row for row in books.records()}
    usage = [
        (found[a.attempt_id]["status"], found[a.attempt_id]["input_tokens"], found[a.attempt_id]["output_tokens"])
        for a in attempts
    ]
    assert usage == [("interrupted", 11, 40), ("interrupted", 77, 0), ("measured", 12, 2), ("interrupted", 11, 0)]
    assert found[attempts[0].attempt_id]["cost_picousd"] == 11 * 150_000 + 40 * 600_000 + 7
    terms = PriceTerms.of(price)
    for row in found.values():
        if row["status"] == "interrupted":
            record = UsageRecord.objects.unscoped("test").get(attempt_id=row["attempt_id"])
            assert row["cost_picousd"] == cost_picousd(terms, record)
            assert row["outcome"] == "interrupted"
    logged = {row["request_id"]: row for row in books.requests()}
    assert [logged[f"{number:032x}"]["outcome"] for number in range(4)] == [
        "interrupted",
        "interrupted",
        "ok",
        "interrupted",
    ]
    assert logged[f"{0:032x}"]["cost_picousd"] == found[attempts[0].attempt_id]["cost_picousd"]
    assert logged[f"{0:032x}"]["model_slug"] == "small"
    assert {r["status"]: r["requests"] for r in books.rollups() if r["granularity"] == "day"} == {
        "interrupted": 3,
        "measured": 1,
    }


def test_an_interrupted_request_adds_up_all_its_attempts(spool: Path) -> None:
    failed = settlement(1, attempt_id="f" * 32, outcome="upstream_error", http_status=503, at=5_000)
    dead_segment(spool, encoded(intent(1, attempt_id="f" * 32), failed, intent(1, price_id=0)))
    drain_once(spool)
    (log,) = books.requests()
    assert log["attempts"] == 2
    assert log["input_tokens"] == failed.input_tokens + 11
    assert log["cost_picousd"] == failed.cost_picousd
    assert log["at"] == datetime.fromtimestamp(5, UTC)


def test_a_settled_request_without_its_own_line_is_logged_as_interrupted(spool: Path) -> None:
    dead_segment(spool, encoded(intent(1), settlement(1)))
    drain_once(spool)
    (log,) = books.requests()
    assert (log["outcome"], log["attempts"], log["cost_picousd"]) == ("interrupted", 1, 1001)
    assert [row["status"] for row in books.records()] == ["measured"]


def test_a_torn_last_line_is_kept_aside_and_told(spool: Path) -> None:
    torn = encoded(settlement(2))[:-20]
    path = dead_segment(spool, whole(1) + encoded(intent(2)) + torn)
    report = drain_once(spool)
    assert (report.quarantined, report.interrupted) == (1, 1)
    (finding,) = findings(spool)
    assert (finding.segment, finding.offset, finding.data) == (path.name, len(whole(1)) + len(encoded(intent(2))), torn)
    assert "torn" in finding.reason
    assert {row["status"] for row in books.records()} == {"measured", "interrupted"}
    assert left(spool) == [files.QUARANTINE]


def test_a_line_that_is_still_being_written_is_waited_for(spool: Path) -> None:
    with Spool(spool, max_bytes=1 << 30) as writer:
        drainer = Drainer(spool)
        (name,) = files.segments(spool)
        data = whole(1)
        with (spool / str(name)).open("ab", buffering=0) as file:
            file.write(data[:-30])
            assert drainer.run().requests == 0
            file.write(data[-30:])
        report = drainer.run()
        assert (report.requests, report.quarantined) == (1, 0)
        assert writer.writer == name.writer


GARBAGE = {
    "not json": b"nonsense",
    "zeros, as a power cut leaves them": b"\0" * 4096,
    "another kind of line": b'{"line": "invoice"}',
    "no attempt": b'{"line": "settlement"}',
    "half a number": b'{"line":"request","request_id":"x","at":1e',
    "broken UTF-8": b'{"line":"request","request_id":"\xff","at":1,"operation":"x","outcome":"ok","http_status":1}',
    "deep": b'{"line":"request","request_id":"x","at":1,"operation":"x","outcome":"ok","http_status":1,"why":'
    + b"[" * 5000,
    "a list": b"[]",
    "empty": b"",
}


@pytest.mark.parametrize("name", GARBAGE)
def test_what_is_no_line_is_kept_aside_and_the_rest_goes_on(spool: Path, name: str) -> None:
    dead_segment(spool, whole(1) + GARBAGE[name] + b"\n" + whole(2))
    report = drain_once(spool)
    assert (report.records, report.requests, report.quarantined) == (2, 2, 1)
    (finding,) = findings(spool)
    assert (finding.offset, finding.data) == (len(whole(1)), GARBAGE[name])
    assert left(spool) == [files.QUARANTINE]


def changed(line: bytes, **fields: Any) -> bytes:
    return msgspec.json.encode({**msgspec.json.decode(line), **fields}) + b"\n"


@pytest.mark.parametrize(
    "fields",
    [
        {"input_tokens": 2**62},
        {"input_tokens": -1},
        {"cost_picousd": 2**63},
        {"http_status": 40_000},
        {"duration_ms": 2**31},
        {"attempt_id": "x" * 33},
        {"attempt_id": ""},
        {"at": 10**18},
        {"status": "guessed"},
        {"outcome": "fine"},
        {"streamed": "yes"},
        {"tenant_id": 1.5},
    ],
)
def test_a_value_that_no_usage_can_have_is_kept_aside(spool: Path, fields: dict[str, Any]) -> None:
    dead_segment(spool, whole(1) + encoded(intent(2)) + changed(encoded(settlement(2)), **fields))
    report = drain_once(spool)
    assert report.quarantined == 1
    # Its attempt is not lost with it.
    assert sorted(row["status"] for row in books.records()) == ["interrupted", "measured"]


def test_texts_from_outside_fit_their_columns(spool: Path) -> None:
    dead_segment(
        spool,
        encoded(
            settlement(1, upstream_request_id="r" * 5000),
            request(1, model_slug="m" * 5000, error_code="e" * 5000, operation="o" * 100),
            settlement(2, upstream_request_id="nul\0nul"),
            request(2, model_slug="a\0b", why={"text\0": ["\0", "\\u0000", "fine"]}),
        ),
    )
    report = drain_once(spool)
    assert (report.records, report.requests, report.quarantined) == (2, 2, 0)
    first, second = books.requests()
    assert (len(first["model_slug"]), len(first["error_code"]), len(first["operation"])) == (200, 64, 30)
    assert second["model_slug"] == "a\N{REPLACEMENT CHARACTER}b"
    assert "\0" not in repr(second["why"])
    assert books.records()[1]["upstream_request_id"] == "nul\N{REPLACEMENT CHARACTER}nul"


def test_a_value_that_only_the_database_refuses_does_not_hold_up_the_rest(spool: Path) -> None:
    """Rollup sums beyond 64 bits: ten costs of a million dollars in one bucket."""
    lines = [settlement(number, cost_picousd=10**18, at=1_790_000_000_000) for number in range(12)]
    dead_segment(spool, encoded(*lines) + whole(20))
    report = drain_once(spool)
    total = sum(row["cost_picousd"] for row in books.rollups() if row["granularity"] == "day")
    assert total == sum(row["cost_picousd"] for row in books.records())
    assert report.records + report.quarantined == 13
    assert all("refused by the database" in finding.reason for finding in findings(spool))


def test_an_unreadable_segment_is_told_and_the_others_go_on(spool: Path) -> None:
    writer = files.new_writer()
    broken = spool / str(SegmentName(writer, 1))
    broken.mkdir()
    dead_segment(spool, whole(1) + encoded(intent(2)), writer=writer, sequence=2)
    dead_segment(spool, whole(3))
    drainer = Drainer(spool)
    report = drainer.run()
    assert report.records == 2
    assert report.errors == [f"{broken.name} cannot be read: Is a directory"]
    # The settlement of the open intent may be in what cannot be read: nothing is decided about it yet.
    assert (report.interrupted, report.open_intents) == (0, 1)
    assert left(spool) == [broken.name, str(SegmentName(writer, 2))]
    broken.rmdir()
    broken.write_bytes(encoded(settlement(2), request(2)))
    report = drain_once(spool)
    assert (report.records, report.interrupted, report.errors) == (1, 0, [])
    assert left(spool) == []


def test_a_second_drainer_is_told_that_there_is_one(spool: Path) -> None:
    lock = files.try_lock(spool / files.DRAIN_LOCK)
    assert lock is not None
    with pytest.raises(SpoolBusy):
        drain_once(spool)
    os.close(lock)
    drain_once(spool)


def test_names_that_are_not_ours_are_left_alone(spool: Path) -> None:
    (spool / "notes.jsonl").write_bytes(whole(1))
    (spool / "1-2-3.jsonl").write_bytes(whole(2))
    drain_once(spool)
    assert left(spool) == ["1-2-3.jsonl", "notes.jsonl"]
    assert books.records() == []


@pytest.mark.parametrize("batch_lines", [1, 2, 7, 1000])
def test_batches_of_any_size_come_to_the_same(spool: Path, batch_lines: int) -> None:
    dead_segment(spool, b"".join(whole(number) for number in range(30)) + b"bad\n" + encoded(intent(99)))
    report = Drainer(spool, batch_lines=batch_lines).run()
    assert (report.records, report.requests, report.interrupted, report.quarantined) == (31, 31, 1, 1)
    assert left(spool) == [files.QUARANTINE]


def test_memory_is_bounded_however_big_the_backlog(
    spool: Path, count_allocated: Callable[[Callable[[], object]], int]
) -> None:
    for part in range(4):
        dead_segment(spool, b"".join(whole(number) for number in range(part * 1500, (part + 1) * 1500)))
    size = sum(path.stat().st_size for path in spool.iterdir())
    peak = count_allocated(lambda: Drainer(spool, batch_lines=200).run())
    assert len(books.records()) == 6000
    assert peak < size / 1.5


def test_a_key_knows_to_the_minute_when_it_was_last_used(spool: Path) -> None:
    tenant = Tenant.objects.create(slug="acme", name="Acme")
    project = Project.objects.create(tenant=tenant, slug="app", name="App")
    key = ApiKey.objects.create(project=project, name="k", prefix="k" * 10, secret_hmac="0" * 64)
    began = 1_790_000_000_000

    def used_at(number: int, at: int) -> datetime | None:
        dead_segment(spool, encoded(settlement(number, api_key_id=key.pk, at=at)), sequence=number)
        drain_once(spool)
        key.refresh_from_db()
        return key.last_used_at

    first = datetime.fromtimestamp(began / 1000, UTC)
    assert used_at(1, began) == first
    assert used_at(2, began + 30_000) == first  # within the minute: not worth a write
    assert used_at(3, began + 90_000) == datetime.fromtimestamp((began + 90_000) / 1000, UTC)
    assert used_at(4, began) != first  # a late line does not turn it back


def test_an_interrupted_attempt_is_charged_by_the_piece_and_what_is_free_is_not(spool: Path) -> None:
    model = Model.objects.create(slug="painter", name="Painter", kind="image")
    price = Price.objects.create(
        model=model,
        effective_from=datetime(2020, 1, 1, tzinfo=UTC),
        unit="image",
        unit_picousd=7,
        request_picousd=1_000,
    )
    facts: dict[str, Any] = {"price_id": price.pk, "input_tokens": 0}
    drawn = intent(1, operation="images.generations", units=3, **facts)
    counted = intent(2, operation="count_tokens", **facts)
    dead_segment(spool, encoded(drawn, counted))
    drain_once(spool)
    assert [(row["units"], row["cost_picousd"]) for row in books.records()] == [(3, 1_021), (0, 0)]
