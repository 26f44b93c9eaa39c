"""The endpoints' health between processes: each publishes what it sees, and reads what the others see.

With Redis a hash holds one report a process, and who may send a probe is settled by ``SET NX``; without it there is one
web process, whose report is a file for the pages, the commands and the API to read. A report is small and replaced as a
whole; one that is not renewed is forgotten. Nothing on a request's path waits for any of this.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from pathlib import Path
from typing import Final, Protocol, cast

import msgspec
from django.conf import settings

REPORT_SECONDS: Final = 15.0
KEY: Final = "lobby:health"
CALL_SECONDS: Final = 0.5
MOST_PROCESSES: Final = 1_000


class EndpointReport(msgspec.Struct, omit_defaults=True):
    """One endpoint as one process sees it. Durations are in seconds before the report was made, or from then on."""

    id: int
    state: str = "closed"
    reason: str = ""
    told: bool = False  # opened on another process's word
    open_for: float = 0.0
    closed_ago: float | None = None
    cool_for: float = 0.0
    in_flight: int = 0
    requests: int = 0
    failures: int = 0
    failures_in_row: int = 0
    expected_first_ms: float | None = None
    tokens_per_s: float | None = None
    measured_ago: float | None = None
    first_token_ms: tuple[int, int] | None = None  # median and 95th percentile
    duration_ms: tuple[int, int] | None = None
    ok_ago: float | None = None
    failed_ago: float | None = None
    last_error: str = ""


class Report(msgspec.Struct):
    """What one process publishes."""

    process: str
    at: float  # Unix seconds
    endpoints: list[EndpointReport]

    @property
    def is_fresh(self) -> bool:
        return abs(time.time() - self.at) < REPORT_SECONDS


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Report).decode


class BoardUnavailable(Exception):
    """The other processes cannot be heard right now: each goes by what it sees itself."""


class Board(Protocol):
    is_shared: bool

    async def exchange(self, report: Report) -> list[Report]:
        """Publish; what the others have published. Raises ``BoardUnavailable``."""
        ...

    async def claim_probe(self, endpoint_id: int, seconds: float) -> bool:
        """Whether this process may send the next probe. Raises ``BoardUnavailable``."""
        ...

    async def aclose(self) -> None: ...


class FileBoard:
    """For one web process: a file that others read."""

    is_shared = False

    def __init__(self, directory: Path) -> None:
        self._path = directory / f"{os.getpid()}.json"

    async def exchange(self, report: Report) -> list[Report]:
        await asyncio.to_thread(self._publish, _encode(report))
        return []

    def _publish(self, report: bytes) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            written = self._path.with_suffix(".tmp")
            written.write_bytes(report)
            written.replace(self._path)
        except OSError as error:
            raise BoardUnavailable from error

    async def claim_probe(self, endpoint_id: int, seconds: float) -> bool:
        return True

    async def aclose(self) -> None:
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)


class RedisBoard:
    """For any number of processes."""

    is_shared = True

    def __init__(self, url: str) -> None:
        # The Redis client is not loaded where it is not used.
        from redis.asyncio import Redis

        # No timeout of the client's own, as in counters/redis.py.
        self._redis: Redis = Redis.from_url(
            url, socket_timeout=None, socket_connect_timeout=CALL_SECONDS, max_connections=2
        )

    async def exchange(self, report: Report) -> list[Report]:
        from redis.exceptions import RedisError

        try:
            async with asyncio.timeout(2 * CALL_SECONDS):
                await self._redis.hset(KEY, report.process, _encode(report))
                await self._redis.expire(KEY, int(REPORT_SECONDS) * 4)
                rows = await self._redis.hgetall(KEY)
                reports, stale = _read_rows(cast(dict[bytes, bytes], rows))
                if stale:
                    await self._redis.hdel(KEY, *stale)
        except (RedisError, OSError, TimeoutError) as error:
            raise BoardUnavailable from error
        return [each for each in reports if each.process != report.process]

    async def claim_probe(self, endpoint_id: int, seconds: float) -> bool:
        from redis.exceptions import RedisError

        try:
            async with asyncio.timeout(2 * CALL_SECONDS):
                name = f"lobby:probe:{endpoint_id}"
                return bool(await self._redis.set(name, b"1", nx=True, px=int(seconds * 1000)))
        except (RedisError, OSError, TimeoutError) as error:
            raise BoardUnavailable from error

    async def aclose(self) -> None:
        await self._redis.aclose()


def make_board() -> Board:
    return RedisBoard(settings.REDIS_URL) if settings.REDIS_URL else FileBoard(settings.DATA_DIR / "health")


def read_reports() -> list[Report]:
    """What all processes have published of late, for pages and the API. Empty when nothing can be read."""
    if not settings.REDIS_URL:
        return _read_files(settings.DATA_DIR / "health")
    from redis import Redis
    from redis.exceptions import RedisError

    try:
        with Redis.from_url(
            settings.REDIS_URL, socket_timeout=CALL_SECONDS, socket_connect_timeout=CALL_SECONDS
        ) as redis:
            return _read_rows(cast(dict[bytes, bytes], redis.hgetall(KEY)))[0]
    except (RedisError, OSError):
        return []


def _read_files(directory: Path) -> list[Report]:
    reports = []
    for path in sorted(directory.glob("*.json"))[:MOST_PROCESSES]:
        with contextlib.suppress(OSError, msgspec.DecodeError):
            reports.append(_decode(path.read_bytes()))
    return [report for report in reports if report.is_fresh]


def _read_rows(rows: dict[bytes, bytes]) -> tuple[list[Report], list[bytes]]:
    """(fresh reports, the fields that are to be forgotten)."""
    reports, stale = [], []
    for name, row in list(rows.items())[:MOST_PROCESSES]:
        try:
            report = _decode(row)
        except msgspec.DecodeError:
            stale.append(name)
            continue
        if report.is_fresh:
            reports.append(report)
        else:
            stale.append(name)
    return reports, stale
