"""A page's end of the socket, for tests: numbered messages, and the frames put together again."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode

import httpx
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.gateway.world import World
from tests.live import LiveLobby
from tests.playground.cast import PASSWORD

PATIENCE = 15.0


def sign_in(world: World, who: str = "dev") -> str:
    """The session's key of somebody who has just signed in."""
    with httpx.Client(base_url=world.lobby.url, timeout=PATIENCE) as client:
        client.get("/accounts/login/")
        form = {"login": f"{who}@bank.test", "password": PASSWORD, "csrfmiddlewaretoken": client.cookies["csrftoken"]}
        answer = client.post("/accounts/login/", data=form)
        assert answer.status_code == 302, answer.text[:500]
        return client.cookies["sessionid"]


def refusal(attempt: Callable[[], Any]) -> int:
    """The status that a handshake is refused with."""
    try:
        attempt()
    except InvalidStatus as refused:
        return refused.response.status_code
    raise AssertionError("The socket was opened.")


def wait_known(world: World, session: str, *, lobby: LiveLobby | None = None) -> None:
    """Until the gateway of that process knows who sits there, which it learns within a second."""

    def runs() -> bool:
        with Socket(world, session, lobby=lobby) as socket:
            answer = socket.run("Hello")["answers"][0]["id"]
            while True:
                message = socket.receive()
                if message["type"] == "error":
                    return False
                if answer in socket.ends:
                    return bool(socket.ends[answer]["status"] == "done")

    world.eventually(runs, within=60)


class Socket:
    """``with Socket(world, session) as socket``. Texts and ends are kept by answer."""

    def __init__(
        self,
        world: World,
        session: str,
        *,
        tenant: str = "acme",
        origin: str | None = None,
        path: str = "/ws/playground/",
        lobby: LiveLobby | None = None,
    ) -> None:
        url = (lobby or world.lobby).url
        headers = {"Cookie": f"sessionid={session}"} if session else {}
        opening = connect(
            f"{url.replace('http', 'ws', 1)}{path}?{urlencode({'tenant': tenant})}",
            origin=url if origin is None else (origin or None),  # type: ignore[arg-type]
            additional_headers=headers,
            open_timeout=PATIENCE,
            close_timeout=1,
            max_size=None,
        )
        self._connection: ClientConnection = opening.__enter__()
        self.n = 0
        self.text: dict[int, str] = {}
        self.last: dict[int, int] = {}
        self.ends: dict[int, dict[str, Any]] = {}
        self.figures: dict[int, dict[str, Any]] = {}
        self.tools: dict[int, list[dict[str, Any]]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._connection.close()

    def cut(self) -> None:
        """As when a cable is pulled: without a word."""
        self._connection.socket.close()

    def send(self, kind: str, **fields: Any) -> int:
        self.n += 1
        self.send_raw(json.dumps({"type": kind, "n": self.n, **fields}))
        return self.n

    def send_raw(self, data: str | bytes) -> None:
        self._connection.send(data)

    def receive(self, timeout: float = PATIENCE) -> dict[str, Any]:
        """The next message, its events put where they belong."""
        message: dict[str, Any] = json.loads(self._connection.recv(timeout))
        if message["type"] == "events":
            answer = message["answer"]
            assert message["after"] == self.last.get(answer, 0), "an event was lost"
            self.last[answer] = message["last"]
            for kind, value in message["parts"]:
                match kind:
                    case "text":
                        self.text[answer] = self.text.get(answer, "") + value
                    case "end":
                        self.ends[answer] = value
                    case "figures":
                        self.figures[answer] = value
                    case "tools":
                        self.tools[answer] = value
        return message

    def until(self, kind: str, holds: Callable[[dict[str, Any]], bool] = lambda _: True) -> dict[str, Any]:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            message = self.receive(deadline - time.monotonic())
            if message["type"] == kind and holds(message):
                return message
            assert kind == "error" or message["type"] != "error", message
        raise AssertionError(f"no {kind}")

    def until_holds(self, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not holds():
            self.receive(max(deadline - time.monotonic(), 0.01))

    def run(self, message: str, *, columns: list[dict[str, Any]] | None = None, **fields: Any) -> dict[str, Any]:
        """The confirmation of a run."""
        given = {"project": "app-1", "columns": columns or [{"model": "fake-chat"}], "key": uuid.uuid4().hex, **fields}
        n = self.send("run", message=message, **given)
        return self.until("begun", lambda each: each["n"] == n)

    def answer(self, begun: dict[str, Any]) -> dict[str, Any]:
        """The end of a run's first answer."""
        answer = begun["answers"][0]["id"]
        return self.until_ended(answer)

    def until_ended(self, answer: int) -> dict[str, Any]:
        self.until_holds(lambda: answer in self.ends)
        return self.ends[answer]

    def closed_with(self) -> int:
        """Read on until the server closes; its code."""
        deadline = time.monotonic() + PATIENCE
        code = None
        while code is None:
            try:
                self.receive(max(deadline - time.monotonic(), 0.01))
            except ConnectionClosed as closed:
                code = closed.rcvd.code if closed.rcvd is not None else 0
        return code
