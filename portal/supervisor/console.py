"""What the supervisor says to the person who started it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

COLOURS = {"web": "36", "drainer": "35", "worker": "33", "mlflow": "34", "lobby": "32"}
WIDTH = max(len(name) for name in COLOURS)


class Console:
    """Lines on standard output, each with the name of the process that it is from."""

    def __init__(self) -> None:
        self._colours = sys.stdout.isatty() and "NO_COLOR" not in os.environ

    def _paint(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colours else text

    def line(self, name: str, text: str) -> None:
        head = self._paint(f"{name:<{WIDTH}} |", COLOURS.get(name, "37"))
        self.write(f"{head} {text}\n")

    def say(self, text: str) -> None:
        self.line("lobby", text)

    def write(self, text: str) -> None:
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except (BrokenPipeError, ValueError):
            # Whoever read us has gone; Lobby runs on without telling.
            sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115

    def banner(self, *, url: str, api_url: str, seconds: float, data_dir: str, facts: Mapping[str, Any]) -> None:
        """Where Lobby is, who may sign in, what was found, and one line to try."""
        rows: list[tuple[str, str]] = [("Portal", self._paint(url, "1;4"))]
        logins: Sequence[Mapping[str, str]] = facts.get("logins", [])
        width = max((len(login["email"]) for login in logins), default=0)
        for index, login in enumerate(logins):
            rows.append(("Sign in" if index == 0 else "", f"{login['email']:<{width}}  {login['role']}"))
        if facts.get("password"):
            rows.append(("Password", f"{facts['password']}  (for each of them)"))
        for index, found in enumerate(facts.get("found", [])):
            rows.append(("Found" if index == 0 else "", str(found)))
        rows.append(("Data", data_dir))
        key, model = facts.get("api_key"), facts.get("model")
        if key:
            rows.append(("API key", str(key)))
        lines = ["", self._paint(f"  Lobby is ready, after {seconds:.1f} s.", "1;32"), ""]
        lines += [f"  {self._paint(f'{label:<9}', '2')} {text}" for label, text in rows]
        if key and model:
            lines += ["", "  Paste this to see an answer stream:", "", *curl(api_url, str(key), str(model))]
        lines += ["", "  Ctrl-C stops everything.", "", ""]
        self.write("\n".join(lines))


def curl(api_url: str, key: str, model: str) -> list[str]:
    """A command line that streams an answer. No indent: a line that is pasted starts at its first character."""
    body = f'{{"model": "{model}", "stream": true, "messages": [{{"role": "user", "content": "What is Lobby?"}}]}}'
    return [
        f"curl -N {api_url}/chat/completions \\",
        f"  -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' \\",
        f"  -d '{body}'",
    ]
