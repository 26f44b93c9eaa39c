"""``lobby`` waits for workers: not for ever, and not in silence."""

from __future__ import annotations

import time

import pytest

from lobby import waiting


def test_a_long_wait_says_now_and_then_that_it_goes_on_and_where(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(time, "sleep", lambda seconds: clock.__setitem__(0, clock[0] + seconds))
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
