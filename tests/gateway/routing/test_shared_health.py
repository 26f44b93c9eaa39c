"""The state of breakers between processes: told once, not echoed, one probe for all, and no harm when nobody hears."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from pathlib import Path

import pytest
from pytest_django import Settings

from apps.gateway.routing.health import Health, Leave, State
from apps.gateway.routing.health_keeper import HealthKeeper, can_connect
from apps.gateway.routing.health_selectors import endpoint_health_for
from apps.gateway.routing.shared_health import BoardUnavailable, FileBoard, RedisBoard, Report, read_reports
from apps.models.providers.base import ProviderError, Target
from apps.tenants.access import Actor
from apps.tenants.errors import PermissionDenied
from tests.fakes.blackhole import blackhole
from tests.gateway.routing.making import endpoint, model, snapshot
from tests.servers import RedisServer

ENDPOINT = 7


class Process:
    """One web process, as far as health goes."""

    def __init__(self, redis: RedisServer) -> None:
        self.now = 1_000.0
        self.health = Health(failures=2, seconds=5.0, clock=lambda: self.now)
        self.keeper = HealthKeeper(self.health, RedisBoard(redis.url))

    async def tick(self) -> None:
        await self.keeper._talk()
        await self.keeper._allot_probes()

    def fail(self) -> Leave:
        leave = self.health.begin(ENDPOINT)
        if leave is not Leave.NO:
            self.health.failed(ENDPOINT, leave, ProviderError("overloaded", "No"))
        return leave

    @property
    def state(self) -> State:
        return self.health.of(ENDPOINT).state(self.now)


def test_what_one_learns_all_know_and_one_of_them_probes(redis_server: RedisServer) -> None:
    async def story() -> None:
        first, second = Process(redis_server), Process(redis_server)
        first.fail()
        first.fail()
        assert (first.state, second.state) == (State.OPEN, State.CLOSED)
        await first.tick()
        await second.tick()
        assert second.state == State.OPEN
        # What was told is not told on: it ends with the one who knows.
        [told] = second.keeper.report().endpoints
        assert (told.state, told.told) == ("open", True)
        for process in (first, second):
            process.now += 5.1
            assert process.health.begin(ENDPOINT) is Leave.NO, "no probe before it is allotted"
        await first.tick()
        await second.tick()
        leaves = [process.health.begin(ENDPOINT) for process in (first, second)]
        assert sorted(leaves) == [Leave.NO, Leave.PROBE]
        prober = (first, second)[leaves.index(Leave.PROBE)]
        prober.health.ok(ENDPOINT, Leave.PROBE, ms=5, first_ms=None, output_tokens=1)
        await prober.tick()
        await second.tick()
        assert (first.state, second.state) == (State.CLOSED, State.CLOSED)
        for process in (first, second):
            await process.keeper.aclose()

    asyncio.run(story())


def test_when_redis_is_away_each_goes_by_itself(redis_server: RedisServer) -> None:
    async def story() -> None:
        process = Process(redis_server)
        redis_server.stop()
        process.fail()
        process.fail()
        await process.tick()
        process.now += 5.1
        await process.tick()
        assert process.health.begin(ENDPOINT) is Leave.PROBE
        board = RedisBoard(redis_server.url)
        with pytest.raises(BoardUnavailable):
            await board.exchange(process.keeper.report())
        await board.aclose()
        await process.keeper.aclose()

    asyncio.run(story())


@pytest.mark.parametrize("shared", [False, True])
def test_the_staff_see_what_is_published(
    shared: bool, tmp_path: Path, settings: Settings, request: pytest.FixtureRequest
) -> None:
    settings.DATA_DIR = tmp_path
    settings.REDIS_URL = request.getfixturevalue("redis_server").url if shared else ""
    staff = Actor.system("test")
    assert endpoint_health_for(staff) == {}

    async def publish() -> None:
        health = Health(failures=2, seconds=5.0)
        for ms in (100, 200, 900):
            health.ok(1, health.begin(1), ms=ms, first_ms=ms // 2, output_tokens=50)
        for _ in range(2):
            health.failed(2, health.begin(2), ProviderError("timeout", "No", phase="first_byte"))
        health.begin(1)
        board = RedisBoard(settings.REDIS_URL) if shared else FileBoard(tmp_path / "health")
        await board.exchange(HealthKeeper(health, board).report())
        if shared:
            await board.aclose()

    asyncio.run(publish())
    seen = endpoint_health_for(staff)
    assert (seen[1].state, seen[1].in_flight, seen[1].requests, seen[1].failures) == (State.CLOSED, 1, 3, 0)
    assert seen[1].duration_ms == (200, 900)
    assert (seen[2].state, seen[2].failures, seen[2].last_error) == (State.OPEN, 2, "it did not answer in time")
    assert seen[2].reason
    with pytest.raises(PermissionDenied):
        endpoint_health_for(Actor(kind=staff.kind.USER, label="nobody"))


def test_a_file_that_is_torn_or_old_is_not_believed(tmp_path: Path, settings: Settings) -> None:
    settings.DATA_DIR, settings.REDIS_URL = tmp_path, ""
    directory = tmp_path / "health"
    directory.mkdir()
    (directory / "1.json").write_bytes(b'{"process":"1","at":1.0,"endpoints":[]}')
    (directory / "2.json").write_bytes(b'{"process":"2","at":')
    assert read_reports() == []


def test_a_bare_connection_tells_a_dead_region_apart(settings: Settings, free_port: int) -> None:
    settings.LOBBY_ALLOWED_PRIVATE_HOSTS = ["127.0.0.1"]

    async def story() -> None:
        with blackhole() as dead:
            assert not await can_connect(dead, 0.2)
        assert not await can_connect(f"http://127.0.0.1:{free_port}/v1", 1.0)
        server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        assert await can_connect(f"http://127.0.0.1:{port}/v1", 1.0)
        server.close()
        await server.wait_closed()
        assert not await can_connect("http://169.254.169.254/latest", 0.2), "the guard stands before it"

    asyncio.run(story())


def test_a_dead_region_holds_up_nothing_else(tmp_path: Path, settings: Settings) -> None:
    """Its own connection takes as long as it takes; what is known of the others is told every second meanwhile."""
    settings.LOBBY_ALLOWED_PRIVATE_HOSTS = ["127.0.0.1"]
    settings.HEALTH_PROBE_SECONDS = 1

    class Told(FileBoard):
        """How often the process has told of itself while it waited for the dead region."""

        def __init__(self) -> None:
            super().__init__(tmp_path)
            self.meanwhile = 0
            self.often = asyncio.Event()

        async def exchange(self, report: Report) -> list[Report]:
            self.meanwhile += health.of(ENDPOINT).connecting
            if self.meanwhile >= 3:
                self.often.set()
            return []

    health = Health(failures=2, seconds=5.0)

    async def story() -> None:
        with blackhole() as dead:
            gone = replace(endpoint(ENDPOINT), target=Target(dead, "e"), connect_timeout=60)
            known = snapshot(model(1, gone))
            board = Told()
            keeper = HealthKeeper(health, board)
            running = asyncio.create_task(keeper.run(lambda: known))
            async with asyncio.timeout(30):
                await board.often.wait()
            running.cancel()
            await keeper.aclose()
            assert not health.of(ENDPOINT).connecting

    asyncio.run(story())


async def test_a_slow_disk_does_not_hold_up_the_loop(tmp_path: Path) -> None:
    board = FileBoard(tmp_path)
    pipe = tmp_path / f"{os.getpid()}.tmp"
    os.mkfifo(pipe)  # writing waits until somebody reads
    told = asyncio.create_task(board.exchange(Report("me", 0.0, [])))
    assert b"me" in await asyncio.to_thread(pipe.read_bytes)
    assert await told == []
