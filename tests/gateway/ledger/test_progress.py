"""The progress table: counts that outlive the process, and that never stand in a stream's way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from apps.gateway.ledger import files
from apps.gateway.ledger.errors import SpoolError
from apps.gateway.ledger.progress import NO_SLOT, Progress, ProgressTable, read_progress

WRITER = files.new_writer()


def path(directory: Path) -> Path:
    return directory / files.progress_name(WRITER)


def test_counts_are_read_by_attempt(tmp_path: Path) -> None:
    table = ProgressTable(tmp_path, WRITER)
    ids = [os.urandom(16).hex() for _ in range(5)]
    slots = [table.acquire(attempt, 100 + number) for number, attempt in enumerate(ids)]
    for number, slot in enumerate(slots):
        table.set_output(slot, number)
    table.set_input(slots[1], 7)
    table.release(slots[2])
    expected = {attempt: Progress(100 + number, number) for number, attempt in enumerate(ids) if number != 2}
    expected[ids[1]] = Progress(7, 1)
    assert read_progress(path(tmp_path)) == expected
    table.close()
    assert read_progress(path(tmp_path)) == expected


def test_a_reused_slot_starts_from_nothing(tmp_path: Path) -> None:
    table = ProgressTable(tmp_path, WRITER)
    first = table.acquire("a" * 32, 5)
    table.set_output(first, 99)
    table.release(first)
    assert table.acquire("b" * 32, 6) == first
    assert read_progress(path(tmp_path)) == {"b" * 32: Progress(6, 0)}
    table.close()


def test_the_table_grows_and_then_goes_without(tmp_path: Path) -> None:
    table = ProgressTable(tmp_path, WRITER, step=4, most=10)
    slots = [table.acquire(f"{number:032x}", number) for number in range(1, 13)]
    assert sorted(slots) == [NO_SLOT, NO_SLOT, *range(10)]
    for slot in slots:
        table.set_output(slot, 3)
    table.release(NO_SLOT)
    assert len(read_progress(path(tmp_path))) == 10
    table.release(slots[0])
    assert table.acquire("f" * 32) == slots[0]
    table.close()


def test_counts_beyond_the_slots_width_are_capped(tmp_path: Path) -> None:
    table = ProgressTable(tmp_path, WRITER)
    slot = table.acquire("a" * 32, 2**40)
    table.set_output(slot, 2**33)
    assert read_progress(path(tmp_path)) == {"a" * 32: Progress(2**32 - 1, 2**32 - 1)}
    table.close()


def test_a_table_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(SpoolError, match="cannot be made"):
        ProgressTable(tmp_path / "missing", WRITER)


def test_a_missing_table_is_empty(tmp_path: Path) -> None:
    assert read_progress(path(tmp_path)) == {}


SOURCE = """
import os, sys
from apps.gateway.ledger.progress import ProgressTable
table = ProgressTable(sys.argv[1], sys.argv[2])
slot = table.acquire("ab" * 16, 12)
number = 0
while True:
    number += 1
    table.set_output(slot, number)
    os.write(1, b"%09d" % number)
"""


def test_the_last_count_survives_sigkill(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SOURCE, str(tmp_path), WRITER]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    told = process.stdout.read(9 * 1000)
    process.send_signal(signal.SIGKILL)
    told += process.stdout.read()
    process.wait()
    process.stdout.close()
    seen = read_progress(path(tmp_path))["ab" * 16]
    assert seen.input_tokens == 12
    assert seen.output_tokens - len(told) // 9 in (0, 1)
