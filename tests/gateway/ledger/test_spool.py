"""The spool's writer: what an append promises, and what it does when the disk does not take it."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from apps.gateway.ledger import files
from apps.gateway.ledger.errors import SpoolError, SpoolFull
from apps.gateway.ledger.spool import Spool

LINE = b'{"line": "x"}\n'


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    with Spool(tmp_path / "spool", max_bytes=1 << 30) as opened:
        yield opened


def contents(directory: Path) -> list[bytes]:
    return [(directory / str(name)).read_bytes() for name in files.segments(directory)]


def test_what_was_appended_is_there_in_order(spool: Spool) -> None:
    spool.append(b"one\n")
    spool.append_settled(b"two\nthree\n")
    assert contents(spool.directory) == [b"one\ntwo\nthree\n"]


def test_a_full_segment_is_followed_by_the_next(tmp_path: Path) -> None:
    with Spool(tmp_path, max_bytes=1 << 30, segment_bytes=100) as spool:
        for _ in range(30):
            spool.append(LINE)
        names = files.segments(tmp_path)
    assert [name.sequence for name in names] == list(range(1, len(names) + 1))
    assert len(names) > 3
    assert b"".join(contents(tmp_path)) == LINE * 30
    assert all(part.endswith(b"\n") and len(part) < 100 + len(LINE) for part in contents(tmp_path))


def test_an_old_segment_is_ended_though_nothing_more_comes(tmp_path: Path) -> None:
    with Spool(tmp_path, max_bytes=1 << 30, segment_seconds=0.1) as spool:
        spool.append(LINE)
        deadline = time.monotonic() + 20
        while len(files.segments(tmp_path)) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert contents(tmp_path)[:2] == [LINE, b""]


def test_the_bound_stops_new_work_and_not_what_was_begun(tmp_path: Path) -> None:
    with Spool(tmp_path, max_bytes=10 * len(LINE)) as spool:
        for _ in range(10):
            spool.append(LINE)
        with pytest.raises(SpoolFull, match="drainer"):
            spool.append(LINE)
        spool.append_settled(LINE)
    assert contents(tmp_path) == [LINE * 11]


def test_the_bound_counts_what_others_left(tmp_path: Path) -> None:
    with Spool(tmp_path, max_bytes=1000) as first:
        first.append(b"x" * 899 + b"\n")
    with Spool(tmp_path, max_bytes=1000) as second:
        with pytest.raises(SpoolFull):
            second.append(b"y" * 199 + b"\n")
        second.append(b"z" * 49 + b"\n")


def test_room_comes_back_when_the_drainer_deletes(tmp_path: Path) -> None:
    with Spool(tmp_path, max_bytes=1000, segment_bytes=100) as spool:
        for _ in range(9):
            spool.append(b"x" * 99 + b"\n")
        for name in files.segments(tmp_path)[:-1]:
            (tmp_path / str(name)).unlink()
        deadline = time.monotonic() + 20
        while True:
            try:
                spool.append(b"y" * 499 + b"\n")
                break
            except SpoolFull:
                assert time.monotonic() < deadline
                time.sleep(0.05)


def test_a_writer_is_known_to_live_until_it_is_closed(tmp_path: Path) -> None:
    spool = Spool(tmp_path, max_bytes=1000).open()
    lock = tmp_path / files.lock_name(spool.writer)
    spool.append(LINE)
    assert files.is_held(lock)
    assert not files.has_orphans(tmp_path)
    spool.close()
    assert not files.is_held(lock)
    assert files.has_orphans(tmp_path)


def test_a_closed_spool_takes_nothing(tmp_path: Path) -> None:
    spool = Spool(tmp_path, max_bytes=1000).open()
    spool.close()
    with pytest.raises(SpoolError, match="not open"):
        spool.append(LINE)


def test_a_directory_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SpoolError, match="cannot be opened"):
        Spool(tmp_path / "file", max_bytes=1000).open()


def test_threads_do_not_mix_their_lines(tmp_path: Path) -> None:
    with Spool(tmp_path, max_bytes=1 << 30, segment_bytes=5000) as spool:

        def write(name: int) -> None:
            for number in range(500):
                spool.append(b"%d %d\n%d %d end\n" % (name, number, name, number))

        threads = [threading.Thread(target=write, args=(name,)) for name in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    lines = b"".join(contents(tmp_path)).splitlines()
    assert len(lines) == 4000
    for name in range(4):
        mine = [line for line in lines if line.startswith(b"%d " % name)]
        assert mine == [part for n in range(500) for part in (b"%d %d" % (name, n), b"%d %d end" % (name, n))]


def run(source: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(source), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_line_that_did_not_fit_leaves_no_trace(tmp_path: Path) -> None:
    """The file may not grow beyond 1,000 bytes: the write is short, and the rest is refused."""
    done = run(
        """
        import resource, sys
        from apps.gateway.ledger.spool import Spool
        from apps.gateway.ledger.errors import SpoolError
        spool = Spool(sys.argv[1], max_bytes=1 << 30).open()
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
        taken, refused = 0, 0
        for number in range(20):
            try:
                spool.append(b"%03d" % number + b"x" * 92 + b"\\n")
                taken += 1
            except SpoolError as error:
                refused += 1
                message = str(error)
        # Two lines in one append: the first fits, the second does not. (8 bytes were left, and 40 are given.)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1040, resource.RLIM_INFINITY))
        try:
            spool.append(b"a" * 29 + b"\\n" + b"b" * 99 + b"\\n")
        except SpoolError:
            refused += 1
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        spool.append(b"after\\n")
        print(taken, refused, message)
        """,
        str(tmp_path),
    )
    assert done.stdout.startswith("10 11 "), done.stderr
    assert "cannot be written" in done.stdout
    (data,) = contents(tmp_path)
    lines = data.split(b"\n")
    assert [line[:3] for line in lines[:10]] == [b"%03d" % number for number in range(10)]
    assert lines[10:] == [b"a" * 29, b"after", b""]


def test_a_full_disk_refuses_and_recovers(tmp_path: Path) -> None:
    """A real file system with no room left, where this user may mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    options = ["-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if subprocess.run(["mount", *options], capture_output=True, check=False).returncode != 0:
        disk = Path("/dev/full")
        with pytest.raises(OSError, match="No space"), disk.open("wb", buffering=0) as file:
            file.write(b"x")
        pytest.skip(
            "this user may not mount a small file system; the short write is tested by a limit on the file's size"
        )
    try:
        with Spool(disk, max_bytes=1 << 30) as spool:
            (disk / "ballast").write_bytes(b"x" * 32 * 1024)
            written = 0

            def fill() -> None:
                nonlocal written
                while True:
                    spool.append(b"%07d\n" % written)
                    written += 1

            with pytest.raises(SpoolError, match="No space left"):
                fill()
            with pytest.raises(SpoolError):
                spool.append_settled(b"x" * 4096 + b"\n")
            (disk / "ballast").unlink()
            spool.append(b"after\n")
            data = b"".join(contents(disk))
        assert data == b"".join(b"%07d\n" % number for number in range(written)) + b"after\n"
        assert written > 100
    finally:
        subprocess.run(["umount", str(disk)], check=True)


WRITER = """
import os, sys
from apps.gateway.ledger.spool import Spool
spool = Spool(sys.argv[1], max_bytes=1 << 30, segment_bytes=20_000).open()
number = 0
while True:
    spool.append(b"%09d" % number + b"x" * (number * 7 % 300) + b"\\n")
    os.write(1, b"%09d" % number)
    number += 1
"""


@pytest.mark.parametrize("round_", range(8))
def test_what_an_append_returned_from_survives_sigkill(tmp_path: Path, round_: int) -> None:
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, bufsize=0)
    assert process.stdout is not None
    wanted = random.Random(round_).randrange(1, 5000) * 9
    told = bytearray()
    while len(told) < wanted:
        told += os.read(process.stdout.fileno(), 65536)
    process.send_signal(signal.SIGKILL)
    told += process.stdout.read()
    process.wait()
    process.stdout.close()
    count = len(told) // 9
    data = b"".join(contents(tmp_path))
    whole = data[: data.rfind(b"\n") + 1].splitlines()
    assert [line[:9] for line in whole] == [b"%09d" % number for number in range(len(whole))]
    assert count <= len(whole) <= count + 1
    assert files.has_orphans(tmp_path)
