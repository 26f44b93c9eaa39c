"""Intent first, exactly-once effect, and the full outer join, where the spool and the database meet.

Writers and drainers are real processes, killed by SIGKILL at random points; the truth is what a writer was promised.
"""

from __future__ import annotations

import contextlib
import json
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from apps.gateway.ledger import files
from apps.gateway.ledger.drain import Drainer, drain_once, follow
from apps.gateway.ledger.errors import DatabaseUnavailable
from apps.gateway.ledger.rebuild import rebuild_rollups
from apps.gateway.ledger.spool import Spool
from apps.gateway.models import UsageRecord
from tests.gateway.ledger import books
from tests.gateway.ledger.books import dead_copy, encoded, intent, settlement, whole
from tests.live import LobbyFactory
from tests.reliability.spool_writer import ACCOUNT
from tests.servers import PostgresServer, die_with_parent

WITHIN = 60.0
backends = pytest.mark.backends
database = pytest.mark.django_db(transaction=True)


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    directory = tmp_path / "spool"
    directory.mkdir()
    return directory


def start_writer(spool: Path, seed: int, requests: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.reliability.spool_writer", str(spool), str(seed), str(requests)]
    return subprocess.Popen(command, preexec_fn=die_with_parent())


def wait_until(true: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WITHIN
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


@contextlib.contextmanager
def in_thread(act: Callable[[], object]) -> Iterator[threading.Thread]:
    failures: list[BaseException] = []

    def run() -> None:
        try:
            act()
        except BaseException as error:
            failures.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield thread
    finally:
        thread.join(WITHIN)
    assert not failures, failures
    assert not thread.is_alive()


@dataclass
class Promised:
    """What the writers' accounts say."""

    begun: set[str]
    seen: dict[str, int]
    ended: dict[str, tuple[int, int]]

    @classmethod
    def read(cls, directory: Path) -> Promised:
        promised = cls(set(), {}, {})
        for path in directory.glob(f"{ACCOUNT}-*"):
            for line in path.read_text().splitlines():
                act, attempt, *numbers = line.split()
                if act == "begun":
                    promised.begun.add(attempt)
                elif act == "seen":
                    promised.seen[attempt] = int(numbers[0])
                else:
                    promised.ended[attempt] = (int(numbers[0]), int(numbers[1]))
        return promised


def check_against(promised: Promised, writers: int) -> None:
    """Each promised attempt has its one record, as promised; at most one more per writer, killed inside an append."""
    found = {row["attempt_id"]: row for row in books.records()}
    assert promised.begun <= found.keys()
    assert len(found) - len(promised.begun) <= writers
    settled_silently = 0
    for attempt, row in found.items():
        if attempt in promised.ended:
            assert (row["status"], row["output_tokens"], row["cost_picousd"]) == ("measured", *promised.ended[attempt])
            continue
        settled_silently += row["status"] == "measured"
        # A stored count may be one ahead of the account.
        assert row["output_tokens"] - promised.seen.get(attempt, 0) in (0, 1)
        assert row["input_tokens"] == 9
    assert settled_silently <= writers
    assert {row["request_id"] for row in books.requests()} == {row["request_id"] for row in found.values()}
    assert rebuild_rollups(write=False).equal


@backends
@database
@pytest.mark.parametrize("seed", [11, 12])
def test_sigkill_of_the_writer_loses_nothing_that_was_promised(spool: Path, seed: int) -> None:
    writers = [start_writer(spool, seed * 10 + number, 10**9) for number in range(2)]
    wait_until(lambda: len(Promised.read(spool.parent).ended) > 20, "the writers do not get on")
    time.sleep(random.Random(seed).uniform(0, 0.5))
    drainer = Drainer(spool)
    for _ in range(3):
        drainer.run()
    for writer in writers:
        writer.send_signal(signal.SIGKILL)
        writer.wait()
    drain_once(spool)
    promised = Promised.read(spool.parent)
    assert len(promised.begun) > len(promised.ended) > 0
    check_against(promised, writers=2)
    assert files.segments(spool) == []
    assert not list(spool.glob("*.progress"))


FOLLOW = """
import django, sys, threading
django.setup()
from apps.gateway.ledger.drain import follow
follow(sys.argv[1], threading.Event(), poll_seconds=0.02)
"""


@backends
@database
def test_sigkill_of_the_drainer_at_any_point_counts_nothing_twice(
    spool: Path, tmp_path: Path, database_environment: dict[str, str]
) -> None:
    writers = [start_writer(spool, seed, 1000) for seed in (1, 2)]
    choose = random.Random(5)
    kills = 0
    while any(writer.poll() is None for writer in writers) or kills < 4:
        drainer = subprocess.Popen(
            [sys.executable, "-c", FOLLOW, str(spool)], env=database_environment, preexec_fn=die_with_parent()
        )
        time.sleep(choose.uniform(0.9, 1.8))
        drainer.send_signal(signal.SIGKILL)
        drainer.wait()
        kills += 1
        assert kills < 60
    assert [writer.wait() for writer in writers] == [0, 0]
    drain_once(spool)
    promised = Promised.read(tmp_path)
    assert len(promised.ended) == 2000
    check_against(promised, writers=0)
    assert files.segments(spool) == []


@backends
@database
def test_ten_shuffled_replays_with_concurrent_writers_change_nothing(spool: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    writer = start_writer(spool, 1, 10**9)
    wait_until(lambda: files.spool_bytes(spool) > 150_000 if any(spool.iterdir()) else False, "nothing is written")
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    books.keep(spool, copy)
    drain_once(spool)
    once = {row["attempt_id"]: row for row in books.records()}
    assert len(once) > 100
    stop = threading.Event()
    with in_thread(lambda: follow(spool, stop, poll_seconds=0.01)):
        try:
            others = [start_writer(spool, seed, 300) for seed in (2, 3)]
            for _ in range(10):
                dead_copy(copy, spool)
            assert [other.wait() for other in others] == [0, 0]
            wait_until(lambda: not any(path.suffix == ".jsonl" for path in spool.iterdir()), "the spool is not drained")
        finally:
            stop.set()
    after = {row["attempt_id"]: row for row in books.records()}
    assert {attempt: after[attempt] for attempt in once} == once
    assert len(after) == len(once) + 600
    assert len(books.requests()) == len(after)
    assert rebuild_rollups(write=False).equal


@backends
@database
def test_drainers_that_ignore_each_other_still_count_once(spool: Path, tmp_path: Path) -> None:
    """The lock is a courtesy: without it, two drainers of the same lines come to the same."""
    for part in range(5):
        data = b"".join(whole(number) for number in range(part * 100, part * 100 + 100)) + encoded(intent(9000 + part))
        books.dead_segment(tmp_path / "one", data)
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    runs = [Drainer(tmp_path / name, batch_lines=20) for name in ("one", "two")]

    def run(drainer: Drainer) -> None:
        while True:
            try:
                drainer.run()
            except DatabaseUnavailable:  # a deadlock's victim: it goes on, as in follow
                continue
            return

    with in_thread(lambda: run(runs[0])), in_thread(lambda: run(runs[1])):
        pass
    assert len(books.records()) == len(books.requests()) == 505
    assert rebuild_rollups(write=False).equal


@pytest.mark.postgres
def test_a_database_that_is_down_loses_nothing_and_is_caught_up_by_itself(
    live_lobby: LobbyFactory, postgres_server: PostgresServer, postgres_template: str
) -> None:
    lobby = live_lobby(postgres=postgres_server, postgres_template=postgres_template, start=False)
    lobby.start_drainer()
    with Spool(lobby.data_dir / "spool", max_bytes=1 << 30, segment_bytes=50_000) as writer:
        for number in range(200):
            writer.append(whole(number))
        wait_until(lambda: files.undrained_bytes(lobby.data_dir / "spool") == 0, "the first are not drained")
        assert lobby.totals()["total"]["requests"] == 200
        postgres_server.kill()
        for number in range(200, 1200):
            writer.append(whole(number))
        wait_until(lambda: "drain_waits" in lobby.output("drainer"), "the outage is not told")
        assert files.undrained_bytes(lobby.data_dir / "spool") > 0
        assert lobby.running("drainer")
        postgres_server.start()
        for number in range(1200, 1400):
            writer.append(whole(number))
        wait_until(lambda: files.undrained_bytes(lobby.data_dir / "spool") == 0, "it does not catch up")
    totals = lobby.totals()
    assert totals["total"]["requests"] == 1400
    assert totals["total"]["output_tokens"] == sum(range(1400))
    assert totals["undrained_bytes"] == 0
    assert lobby.stop_process("drainer") == 0
    lobby.manage("ledger", "rebuild-rollups", "--check")


# The full outer join, and the proof that it finds what it is for.


@pytest.fixture
def joined(spool: Path, tmp_path: Path) -> Path:
    """A ledger of 50 attempts, and an upstream's count that agrees with it."""
    books.dead_segment(spool, b"".join(whole(number) for number in range(50)))
    drain_once(spool)
    # Without a price row a cost is told by the record alone: the records' own, so that the join recomputes them.
    UsageRecord.objects.unscoped("test").update(cost_picousd=0)
    count = tmp_path / "count.jsonl"
    count.write_text("".join(json.dumps(upstream_line(number)) + "\n" for number in range(50)))
    return count


def upstream_line(number: int) -> dict[str, object]:
    line = settlement(number)
    return {
        "seq": number,
        "attempt": line.attempt_id,
        "prompt_tokens": line.input_tokens,
        "completion_tokens": line.output_tokens,
        "usage_sent": True,
        "cost_usd": "0",
    }


def join(count: Path) -> tuple[dict[str, object], bool]:
    """The report, and whether the command failed."""
    out = StringIO()
    try:
        call_command("ledger", "check", "--upstream", str(count), "--json", stdout=out)
    except CommandError:
        return json.loads(out.getvalue()), True
    return json.loads(out.getvalue()), False


FAULTS = ("missing", "duplicate", "extra", "wrong_tenant", "token_differences", "cost_differences")


def faults(report: dict[str, object]) -> dict[str, object]:
    return {name: report[name] for name in FAULTS if report[name]}


@backends
@database
def test_books_that_agree_have_no_fault(joined: Path) -> None:
    report, failed = join(joined)
    assert (report["ours"], report["theirs"], report["matched"], faults(report), failed) == (50, 50, 50, {}, False)


@backends
@database
def test_a_lost_record_is_found(joined: Path) -> None:
    lost = settlement(7).attempt_id
    UsageRecord.objects.unscoped("test").filter(attempt_id=lost).delete()
    report, failed = join(joined)
    assert (faults(report), failed) == ({"missing": [lost]}, True)


@backends
@database
def test_a_doubled_record_is_found(joined: Path) -> None:
    """The database refuses the same attempt twice, so a double can only hide behind another attempt id."""
    row = UsageRecord.objects.unscoped("test").get(attempt_id=settlement(7).attempt_id)
    row.pk, row.attempt_id = None, "d" * 32
    row.save()
    report, failed = join(joined)
    assert (faults(report), failed) == ({"extra": ["d" * 32]}, True)


@backends
@database
def test_a_call_that_was_made_twice_is_found(joined: Path) -> None:
    with joined.open("a") as file:
        file.write(json.dumps(upstream_line(7) | {"seq": 1000}) + "\n")
    report, failed = join(joined)
    assert (faults(report), failed) == ({"duplicate": [settlement(7).attempt_id]}, True)


@backends
@database
@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"input_tokens": 18}, "token_differences"),
        ({"output_tokens": 6}, "token_differences"),
        ({"cost_picousd": 1}, "cost_differences"),
    ],
)
def test_an_altered_record_is_found(joined: Path, change: dict[str, int], fault: str) -> None:
    altered = settlement(7).attempt_id
    UsageRecord.objects.unscoped("test").filter(attempt_id=altered).update(**change)
    report, failed = join(joined)
    assert (list(faults(report)), failed) == ([fault], True)
    assert altered in str(report[fault])


@backends
@database
def test_a_record_of_the_wrong_tenant_is_found(joined: Path) -> None:
    with joined.open("a") as file:
        file.write(json.dumps({"seq": 7, "attempt": settlement(7).attempt_id, "tenant": "another"}) + "\n")
    report, failed = join(joined)
    assert (list(faults(report)), failed) == (["wrong_tenant"], True)


@database
def test_an_upstreams_count_that_is_no_count_is_a_clear_error(tmp_path: Path) -> None:
    count = tmp_path / "count.jsonl"
    count.write_text('{"attempt": "a"}\n{"attempt": 5}\n')
    with pytest.raises(CommandError, match="Line 2 of the upstream's count"):
        call_command("ledger", "check", "--upstream", str(count))
    with pytest.raises(CommandError, match="cannot be read"):
        call_command("ledger", "check", "--upstream", str(tmp_path / "missing"))
