"""What is Redis' own: its clock, its keys, and its absence."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
import redis

from apps.gateway.counters.base import Admitted, BudgetWindow, CountersUnavailable, Denied, Limit, Unseeded
from apps.gateway.counters.redis import CALL_SECONDS, RedisCounters
from apps.gateway.routing.shared_health import RedisBoard, Report
from tests.gateway.counters.conftest import Desk, patient_redis
from tests.servers import RedisServer

pytestmark = pytest.mark.redis

ONE = Limit("one", "requests", 1)
AT_MOST = CALL_SECONDS + 1.5  # the two cores are shared


@pytest_asyncio.fixture
async def desk(redis_server: RedisServer) -> AsyncIterator[Desk]:
    counters = patient_redis(redis_server.url, clock="server")
    yield Desk(counters)
    await counters.aclose()


@pytest_asyncio.fixture
async def impatient(redis_server: RedisServer) -> AsyncIterator[Desk]:
    """As in production."""
    counters = RedisCounters(redis_server.url)
    yield Desk(counters)
    await counters.aclose()


async def unavailable(desk: Desk) -> float:
    """Ask in vain, and return how long that took."""
    began = time.monotonic()
    with pytest.raises(CountersUnavailable, match="Redis does not answer"):
        await desk.admit(desk.ask(ONE))
    return time.monotonic() - began


async def until_available(desk: Desk, *limits: Limit) -> Admitted | Denied | Unseeded:
    deadline = time.monotonic() + 10
    while True:
        try:
            return await desk.admit(desk.ask(*limits))
        except CountersUnavailable:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)


async def test_windows_are_cut_by_the_clock_of_redis_and_not_by_that_of_the_caller(desk: Desk) -> None:
    for wrong in (0.0, 1e9, 3e9):
        desk.now = wrong
        answer = await desk.admit(desk.ask(ONE))
        assert isinstance(answer, Admitted if wrong == 0.0 else Denied)


async def test_several_processes_share_one_count(desk: Desk, redis_server: RedisServer) -> None:
    others = [patient_redis(redis_server.url, clock="server") for _ in range(4)]
    limit = Limit("shared", "concurrency", 7, 0)
    budget = BudgetWindow("b", 1_000, True, time.time() + 3_600)
    await desk.counters.seed({"b": (0, budget.ends_at)})
    asks = [(others[number % 4], desk.ask(limit, budgets=(budget,), cost=10)) for number in range(60)]
    answers = await asyncio.gather(*(counters.admit(ask) for counters, ask in asks))
    assert sum(isinstance(answer, Admitted) for answer in answers) == 7
    assert await desk.spent("b") == (0, 70)
    # Whoever admitted it, anybody may settle it.
    admitted = [ask for (_, ask), answer in zip(asks, answers, strict=True) if isinstance(answer, Admitted)]
    for ask in admitted:
        await desk.settle(ask, cost=3)
    assert await desk.spent("b") == (21, 0)
    for counters in others:
        await counters.aclose()


async def test_every_key_expires_and_lies_in_one_slot(desk: Desk, redis_server: RedisServer) -> None:
    budget = BudgetWindow("b", 1_000, True, time.time() + 3_600)
    await desk.counters.seed({"b": (0, budget.ends_at)})
    limits = (ONE, Limit("t", "tokens", 100), Limit("c", "concurrency", 3, 0))
    settled, open_ask = (
        desk.ask(*limits, budgets=(budget,), tokens=5, cost=10),
        desk.ask(*limits[1:], budgets=(budget,)),
    )
    await desk.admitted(settled)
    await desk.admitted(open_ask)
    await desk.settle(settled, tokens=50, cost=7)
    with redis.Redis.from_url(redis_server.url) as client:
        names = sorted(name.decode() for name in client.scan_iter())
        assert len(names) == 8
        assert all(name.startswith("lobby:{counters}:") for name in names)
        ttls = {name: client.pttl(name) for name in names}
        assert all(milliseconds > 0 for milliseconds in ttls.values()), ttls
        assert max(ttls.values()) < 2 * 86_400_000


async def test_keys_do_not_pile_up(desk: Desk, redis_server: RedisServer) -> None:
    with redis.Redis.from_url(redis_server.url) as client:
        short = Limit("short", "tokens", 10**6, 1)
        for _ in range(2):
            for _ in range(40):
                ask = desk.ask(short, tokens=10)
                await desk.admitted(ask)
                await desk.settle(ask, tokens=5)
                await asyncio.sleep(0.01)
        assert client.hlen("lobby:{counters}:limit:tokens:1:short") <= 13
        assert client.exists("lobby:{counters}:leases") == 0
        assert all(b":lease:" in name or b":limit:" in name for name in client.scan_iter())


async def test_a_forgotten_script_is_taught_again(desk: Desk, redis_server: RedisServer) -> None:
    await desk.admitted(desk.ask())
    with redis.Redis.from_url(redis_server.url) as client:
        client.script_flush()
    await desk.admitted(desk.ask())


async def test_a_lease_from_before_a_data_loss_still_books(desk: Desk, redis_server: RedisServer) -> None:
    budget = BudgetWindow("b", 1_000, True, time.time() + 3_600)
    await desk.counters.seed({"b": (100, budget.ends_at)})
    ask = desk.ask(Limit("t", "tokens", 100), budgets=(budget,), tokens=50, cost=300)
    await desk.admitted(ask)
    redis_server.flush()
    other = desk.ask(budgets=(budget,), cost=1)
    assert await desk.admit(other) == Unseeded(("b",))
    await desk.counters.seed({"b": (100, budget.ends_at)})
    await desk.settle(ask, tokens=40, cost=200)
    await desk.settle(ask, tokens=40, cost=200)
    assert await desk.spent("b") == (300, 0)
    assert (await desk.denied(desk.ask(Limit("t", "tokens", 100), tokens=61))).left == 60


async def test_a_stopped_redis_is_told_at_once_and_is_used_again_when_it_is_back(
    impatient: Desk, redis_server: RedisServer
) -> None:
    await asyncio.gather(
        *(impatient.admit(impatient.ask(Limit("w", "requests", 100))) for _ in range(20))
    )  # a pool of connections
    redis_server.stop()
    for _ in range(3):
        assert await unavailable(impatient) < AT_MOST
    took = await asyncio.gather(*(unavailable(impatient) for _ in range(100)))
    assert max(took) < AT_MOST
    redis_server.start()
    assert isinstance(await until_available(impatient, ONE), Admitted)
    for _ in range(20):
        assert isinstance(await until_available(impatient, ONE), Denied)


async def test_a_redis_killed_in_the_middle_of_the_load_is_used_again_when_it_is_back(
    impatient: Desk, redis_server: RedisServer
) -> None:
    outcomes: list[str] = []
    stopping = asyncio.Event()

    async def load() -> None:
        while not stopping.is_set():
            try:
                await impatient.admit(impatient.ask(Limit("load", "requests", 10**6)))
                outcomes.append("ok")
            except CountersUnavailable:
                outcomes.append("unavailable")
                await asyncio.sleep(0.005)

    async def wait_for(outcome: str) -> None:
        outcomes.clear()
        async with asyncio.timeout(20):
            while outcome not in outcomes:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    tasks = [asyncio.create_task(load()) for _ in range(8)]
    await wait_for("ok")
    await asyncio.to_thread(redis_server.kill)
    await wait_for("unavailable")
    await asyncio.to_thread(redis_server.start)
    await wait_for("ok")
    stopping.set()
    await asyncio.gather(*tasks)


async def test_a_frozen_redis_hangs_nobody(impatient: Desk, redis_server: RedisServer) -> None:
    await until_available(impatient)
    redis_server.freeze()
    took = await asyncio.gather(*(unavailable(impatient) for _ in range(60)))
    assert max(took) < AT_MOST
    redis_server.thaw()
    assert isinstance(await until_available(impatient), Admitted)


async def test_a_redis_that_accepts_and_never_answers_hangs_nobody() -> None:
    with socket.socket() as hole:
        hole.bind(("127.0.0.1", 0))
        hole.listen(1)
        kept: list[socket.socket] = []

        def accept() -> None:
            try:
                while True:
                    kept.append(hole.accept()[0])
            except OSError:
                return

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        counters = RedisCounters(f"redis://127.0.0.1:{hole.getsockname()[1]}")
        try:
            assert await unavailable(Desk(counters)) < AT_MOST
            with pytest.raises(CountersUnavailable):
                await counters.spent(("b",))
            with pytest.raises(CountersUnavailable):
                await counters.seed({"b": (0, time.time() + 60)})
            with pytest.raises(CountersUnavailable):
                await Desk(counters).settle(Desk(counters).ask(ONE))
        finally:
            await counters.aclose()
            hole.shutdown(socket.SHUT_RDWR)
            for connection in kept:
                connection.close()
            thread.join(5)


async def test_a_cancellation_is_heard_wherever_it_comes(desk: Desk, redis_server: RedisServer) -> None:
    """At every turn of the loop while Redis is asked: one that got lost would keep a web from ending at SIGTERM."""
    board = RedisBoard(redis_server.url)
    report = Report("me", time.time(), [])

    async def ask() -> None:
        await desk.admitted(desk.ask(Limit("many", "requests", 1000)))
        await board.exchange(report)
        await asyncio.Event().wait()

    await board.exchange(report)
    for turns in range(40):
        task = asyncio.create_task(ask())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task], timeout=5)
        assert task.cancelled(), turns
    await board.aclose()


async def test_an_ask_that_is_heard_after_its_settlement_takes_nothing(desk: Desk) -> None:
    """Of two connections the later one may be heard first: who gave up has given back what is asked for here."""
    budget = await desk.seeded("late", 100)
    ask = desk.ask(Limit("late", "concurrency", 1), budgets=(budget,), tokens=5, cost=60)
    await desk.settle(ask)
    with pytest.raises(CountersUnavailable, match="settled"):
        await desk.admit(ask)
    assert await desk.spent("late") == (0, 0)
    await desk.admitted(desk.ask(Limit("late", "concurrency", 1), budgets=(budget,), cost=60))
