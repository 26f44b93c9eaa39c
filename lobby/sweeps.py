"""``lobby eval sweep``: several versions, models and values of parameters at once, and their figures side by side."""

from __future__ import annotations

import json
from typing import Any

from lobby.api import Api, Failed
from lobby.waiting import until


def run(api: Api, plan: dict[str, Any], wait_seconds: float) -> dict[str, Any]:
    """Start a sweep and wait until none of its runs goes on. Raises ``Failed`` where one has not ended well."""
    started = api.post("evaluations", "sweeps", body=plan)
    found = until(
        lambda found: not found["is_live"] or _waits_for_somebody(found),
        started,
        lambda: api.get("evaluations", "sweeps", started["id"]),
        wait_seconds,
        f"{api.url}/evaluations/sweeps/{started['id']}/",
    )
    for row in found["rows"]:
        if row["run"]["status"] != "done":
            why = row["run"]["error"] or "see its page"
            raise Failed(f"{row['run']['name']} is {row['run']['status']}: {why}", code="not_done")
    return found


def _waits_for_somebody(found: dict[str, Any]) -> bool:
    return any(row["run"]["status"] == "paused" for row in found["rows"])


def values_of(texts: list[str]) -> dict[str, list[Any]]:
    """``NAME=A,B`` as what to try of each parameter: JSON where it is, else words."""
    found: dict[str, list[Any]] = {}
    for text in texts:
        name, sign, values = text.partition("=")
        if not sign or not name or not values:
            raise Failed(f"Write {text!r} as NAME=VALUE,VALUE, for example --set temperature=0,0.7.")
        found[name] = [_value(each) for each in values.split(",") if each]
    return found


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def told(found: dict[str, Any]) -> str:
    """A table for a person at a terminal."""
    scorers = list(dict.fromkeys(each["scorer"] for row in found["rows"] for each in row["run"]["metrics"]))
    lines = [[*found["axes"], *scorers, "ms", "USD"]]
    for row in found["rows"]:
        means = {each["scorer"]: each["mean"] for each in row["run"]["metrics"]}
        taken = row["mean_duration_ms"]
        lines.append(
            [
                *(value or "-" for value in row["tried"]),
                *("-" if means.get(each) is None else f"{means[each]:.4g}" for each in scorers),
                "-" if taken is None else f"{taken:.0f}",
                str(row["mean_cost_usd"] or "-"),
            ]
        )
    widths = [max(len(line[place]) for line in lines) for place in range(len(lines[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )
