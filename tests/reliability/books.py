"""The ledger beside the upstream's own count, attempt by attempt."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from tests.fakes.count import Attempt
from tests.gateway.world import World

DRAINED_WITHIN = 60.0
# Seconds that a chunk may take from the upstream to us on a busy machine.
ON_ITS_WAY = 0.25


@dataclass(frozen=True)
class Books:
    """A full outer join on attempt id: every record of ours, every attempt of theirs."""

    ours: dict[str, dict[str, Any]]
    theirs: dict[str, Attempt]
    requests: dict[str, dict[str, Any]]

    @property
    def statuses(self) -> dict[str, int]:
        return dict(Counter(record["status"] for record in self.ours.values()))

    def off_by(self, attempt_id: str) -> int:
        """Chunks that the upstream had sent and that our record does not count."""
        return (self.theirs[attempt_id].completion_tokens or 0) - int(self.ours[attempt_id]["output_tokens"])

    def in_flight(self, attempt_id: str) -> int:
        """Of a stream that was cut off: how many chunks may have been on their way, sent and never read."""
        attempt = self.theirs[attempt_id]
        sent = attempt.completion_tokens or 0
        seconds = ((attempt.ended_ns or 0) - attempt.arrived_ns) / 1e9
        return min(sent, round(sent * ON_ITS_WAY / seconds) + 1)

    def check(self, *, elsewhere: Collection[str] = ()) -> None:
        """Exactly the upstream's attempts; measured tokens to the token; the others off by what was in flight.

        ``elsewhere`` are attempts at other upstreams.
        """
        assert sorted(self.theirs.keys() - self.ours.keys()) == [], "the upstream served them, the ledger has none"
        for attempt_id in self.ours.keys() - self.theirs.keys() - set(elsewhere):
            # Killed, or refused a connection, between the intent and the dispatch: nothing was had.
            record = self.ours[attempt_id]
            assert (record["http_status"], record["output_tokens"]) == (0, 0), record
            assert record["status"] == "interrupted" or record["cost_picousd"] == 0, record
        for attempt_id, attempt in self.theirs.items():
            record = self.ours[attempt_id]
            told = (record["input_tokens"], record["output_tokens"])
            if record["status"] == "measured":
                if attempt.usage_sent:
                    assert told == (attempt.prompt_tokens, attempt.completion_tokens), (record, attempt)
                else:  # an answer that was no answer charges nothing
                    assert (told, record["cost_picousd"]) == ((0, 0), 0), (record, attempt)
            elif record["streamed"]:
                assert record["status"] in ("estimated", "interrupted"), record
                assert 0 <= self.off_by(attempt_id) <= self.in_flight(attempt_id), (record, attempt)
        for record in self.ours.values():
            assert record["request_id"] in self.requests, record


def read_books(world: World) -> Books:
    """The books when all is drained. Each attempt has one record by the table's own key."""
    wait_drained(world)
    rows = world.shell.run(
        """
from apps.gateway.models import RequestLog, UsageRecord
records = list(UsageRecord.objects.unscoped("test").values())
requests = list(RequestLog.objects.unscoped("test").values())
result = [records, requests]
"""
    )
    world.fake.wait_idle()
    attempts = world.fake.attempts()
    theirs = {attempt.attempt: attempt for attempt in attempts}
    assert len(theirs) == len(attempts), "an attempt came twice, or without its id"
    return Books(
        ours={row["attempt_id"]: row for row in rows[0]},
        theirs=theirs,
        requests={row["request_id"]: row for row in rows[1]},
    )


def wait_drained(world: World) -> None:
    """Until the ledger has every line of the spool."""
    deadline = time.monotonic() + DRAINED_WITHIN
    quiet = 0
    while quiet < 2:  # an empty spool may be one that a line is just being written to
        undrained = world.shell.run(
            """
from django.conf import settings
from apps.gateway.ledger import files
result = [files.undrained_bytes(settings.SPOOL_DIR), files.has_orphans(settings.SPOOL_DIR)]
"""
        )
        quiet = quiet + 1 if undrained == [0, False] else 0
        assert time.monotonic() < deadline, f"{undrained} of the spool is not drained after {DRAINED_WITHIN} s"
        time.sleep(0.05)


def operators_check(world: World) -> dict[str, Any]:
    """What ``manage.py ledger check`` finds; it ends with an error where it finds a fault."""
    count = world.fake.count_file
    found: dict[str, Any] = json.loads(world.lobby.manage("ledger", "check", "--upstream", str(count), "--json"))
    return found


def totals_agree(world: World, books: Books) -> None:
    """The rollups' totals, which an operator compares with an invoice, are the records' sums."""
    total = world.lobby.totals()["total"]
    assert total["requests"] == len(books.ours)
    for name in ("input_tokens", "output_tokens"):
        assert total[name] == sum(record[name] for record in books.ours.values())
