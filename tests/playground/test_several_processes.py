"""Two web processes, one database, one Redis: an answer that runs in one is joined and stopped through the other."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.fakes.process import FakeOpenAI
from tests.gateway.world import World
from tests.live import LiveLobby, LobbyFactory
from tests.playground.cast import CAST, PASSWORD
from tests.playground.page import Socket, sign_in, wait_known
from tests.servers import RedisServer

pytestmark = pytest.mark.redis


@pytest.fixture
def two(lobby_template: Path, tmp_path: Path, redis_server: RedisServer) -> Iterator[tuple[World, LiveLobby]]:
    secrets = {name: f"{name.lower()}-0123456789abcdef0123456789abcdef" for name in ("SECRET_KEY", "API_KEY_PEPPER")}
    factory = LobbyFactory(lobby_template, tmp_path)
    with ExitStack() as stack:
        stack.callback(factory.stop)
        fake = stack.enter_context(FakeOpenAI(tmp_path / "count.jsonl"))
        world = World(factory(secrets, redis_url=redis_server.url, start=False), fake)
        stack.callback(world.close)
        world.start()
        world.shell.run(CAST, password=PASSWORD)
        beside = tmp_path / "beside"
        beside.mkdir()
        database = f"sqlite:///{world.lobby.data_dir / 'lobby.db'}"
        other = LiveLobby(beside, {**secrets, "REDIS_URL": redis_server.url, "DATABASE_URL": database})
        other.env |= {name: world.lobby.env[name] for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL")}
        stack.callback(other.stop)
        other.start()
        for each in (None, other):
            wait_known(world, sign_in(world), lobby=each)
        yield world, other


def test_an_answer_is_joined_and_stopped_through_another_process(two: tuple[World, LiveLobby]) -> None:
    world, other = two
    session = sign_in(world)
    first = Socket(world, session)
    begun = first.run("Long [[chunks=120 delay_ms=20]]")
    answer = begun["answers"][0]["id"]
    first.until_holds(lambda: first.last.get(answer, 0) >= 5)
    first.cut()
    with Socket(world, session, lobby=other) as second:
        second.text, second.last = {answer: first.text[answer]}, {answer: first.last[answer]}
        second.send("join", answer=answer, after=first.last[answer])
        second.until_holds(lambda: answer in second.ends)
        assert second.ends[answer]["output_tokens"] == 120
    with Socket(world, session) as third:
        third.send("join", answer=answer)
        third.until_holds(lambda: answer in third.ends)
        assert third.text[answer] == second.text[answer], "not a token lost on the way between the processes"
        begun = third.run("Longer [[chunks=900 delay_ms=20]]")
        answer = begun["answers"][0]["id"]
        with Socket(world, session, lobby=other) as fourth:
            fourth.send("join", answer=answer)
            fourth.until_holds(lambda: fourth.last.get(answer, 0) >= 3)
            fourth.send("stop", answers=[answer])
            for socket in (third, fourth):
                socket.until_ended(answer)
                assert socket.ends[answer]["status"] == "stopped"


def test_a_run_that_is_sent_again_to_another_process_runs_once(two: tuple[World, LiveLobby]) -> None:
    """As a page does it whose connection broke before the run was confirmed, behind a load balancer."""
    world, other = two
    session, key = sign_in(world), uuid.uuid4().hex
    text = f"Once {key} [[chunks=900 delay_ms=20]]"
    first = Socket(world, session)
    begun = first.run(text, key=key)
    answer = begun["answers"][0]["id"]
    first.until_holds(lambda: first.last.get(answer, 0) >= 3)
    with Socket(world, session, lobby=other) as second:
        assert second.run(text, key=key)["turn"] == begun["turn"]
        second.until_holds(lambda: second.last.get(answer, 0) >= 5)
        world.lobby.kill()
        first.cut()
    with Socket(world, session, lobby=other) as third:
        assert third.run(text, key=key)["turn"] == begun["turn"]
        assert third.until("answer")["answer"]["status"] == "interrupted"
    assert sum(text in each["body"] for each in world.fake.requests()) == 1


def test_an_answer_whose_process_died_is_told_as_interrupted(two: tuple[World, LiveLobby]) -> None:
    world, other = two
    session = sign_in(world)
    first = Socket(world, session)
    begun = first.run("Long [[chunks=900 delay_ms=20]]")
    answer = begun["answers"][0]["id"]
    first.until_holds(lambda: first.last.get(answer, 0) >= 5)
    world.lobby.kill()
    first.cut()
    with Socket(world, session, lobby=other) as second:
        second.send("join", answer=answer)
        told = second.until("answer")["answer"]
        assert (told["status"], told["error"]["code"]) == ("interrupted", "interrupted")
