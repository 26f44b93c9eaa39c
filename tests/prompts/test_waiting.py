"""``lobby`` waits for workers: not for ever, and not in silence."""

from __future__ import annotations

import time

import pytest

from lobby import waiting
from lobby.api import Failed


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which passes with sleep alone."""
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    return now


def test_an_answer_that_is_lost_ends_no_wait(clock: list[float]) -> None:
    lost = [Failed("…", code="unreachable"), Failed("…", status=502), Failed("…", code="rate_limited", status=429)]

    def look() -> dict[str, bool]:
        if 20 < clock[0] < 60:
            raise lost[int(clock[0]) % 3]
        return {"over": clock[0] > 100}

    assert waiting.until(lambda found: found["over"], {"over": False}, look, 600) == {"over": True}


def test_a_lobby_that_is_gone_and_a_refusal_end_the_wait(clock: list[float]) -> None:
    def raising(error: Failed) -> float:
        clock[0] = 0

        def look() -> dict[str, bool]:
            raise error

        with pytest.raises(Failed):
            waiting.until(lambda found: False, {"over": False}, look, 600)
        return clock[0]

    assert waiting.PATIENCE < raising(Failed("…", status=503)) < waiting.PATIENCE + 2 * waiting.LONGEST_PAUSE
    assert raising(Failed("…", code="not_found", status=404)) == waiting.FIRST_PAUSE


def test_a_long_wait_says_now_and_then_that_it_goes_on_and_where(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    looks: list[float] = []

    def look() -> dict[str, bool]:
        looks.append(clock[0])
        return {"over": clock[0] > 65}

    found = waiting.until(lambda found: found["over"], {"over": False}, look, 600, "https://lobby.example.com/x/")
    assert found == {"over": True}
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 3
    assert all("https://lobby.example.com/x/" in line for line in said)
    assert looks[0] == waiting.FIRST_PAUSE
    assert looks[-1] - looks[-2] == waiting.LONGEST_PAUSE
    clock[0] = 0
    assert waiting.until(lambda found: False, {"over": False}, look, 3) == {"over": False}
    assert clock[0] == 3
    assert capsys.readouterr().err == ""
