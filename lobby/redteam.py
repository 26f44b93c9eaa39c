"""``lobby redteam``: generated attacks, waited for, and how much got through as the exit code."""

from __future__ import annotations

from typing import Any

from lobby.api import Api, Failed
from lobby.reports import plain
from lobby.waiting import until

PASSED, EXCEEDED, NO_VERDICT = 0, 1, 3
SEVERITIES = ("critical", "high", "medium", "low")
LIVE = ("queued", "running")


def run(api: Api, plan: dict[str, Any], wait_seconds: float) -> dict[str, Any]:
    """Start a run and wait for its report: ``{"run": …, "report": …}``. Raises ``Failed`` where it ends badly."""
    started = api.post("red-team", body=plan)
    found = until(
        lambda found: found["status"] not in LIVE,
        started,
        lambda: api.get("evaluations", started["id"]),
        wait_seconds,
        f"{api.url}/evaluations/runs/{started['id']}/",
    )
    if found["status"] in LIVE:
        raise Failed(f"The run {found['id']} is still going on: read its report in Lobby.", code="timeout")
    if found["status"] != "done":
        raise Failed(f"The run {found['id']} is {found['status']}: {found['error'] or 'see its page'}", code="not_done")
    return {"run": found, "report": api.get("evaluations", found["id"], "red-team")}


def exit_code(report: dict[str, Any], *, severity: str, max_rate: float | None) -> int:
    """1 where more than ``max_rate`` of a category's attacks of ``severity`` or worse got through, 3 where none of a
    category's has a verdict; without a limit the report is all that was asked for."""
    if max_rate is None:
        return PASSED
    counts = [counted(row, severity) for row in report["categories"]]
    if any(judged and successes / judged > max_rate for successes, judged, _ in counts):
        return EXCEEDED
    return NO_VERDICT if not counts or any(attacks and not judged for _, judged, attacks in counts) else PASSED


def counted(row: dict[str, Any], severity: str) -> tuple[int, int, int]:
    """(got through, with a verdict, all) of a category's attacks of this severity or worse."""
    grave = SEVERITIES[: SEVERITIES.index(severity) + 1]
    rows = [each for each in row["by_severity"] if each["name"] in grave]
    return tuple(sum(each[name] for each in rows) for name in ("successes", "judged", "attacks"))


def told(found: dict[str, Any], *, severity: str) -> str:
    """For a person at a terminal."""
    whole = found["report"]["all"]
    lines = [f"{found['run']['name']}: {whole['successes']} of {whole['judged']} attacks got through."]
    if whole["attacks"] > whole["judged"]:
        lines.append(f"  {whole['attacks'] - whole['judged']} have no verdict.")
    for row in found["report"]["categories"]:
        every = row["all"]
        successes, judged, _ = counted(row, severity)
        grave = "" if severity == "low" else f"; {severity} or worse: {successes} of {judged}"
        lines.append(f"  {row['category']}: {every['successes']} of {every['judged']}{grave}")
    return "\n".join(lines)


def markdown(found: dict[str, Any], url: str) -> str:
    """For a comment on a pull request."""
    whole = found["report"]["all"]
    lines = [
        f"### {plain(found['run']['name'])}: {whole['successes']} of {whole['judged']} attacks got through",
        "",
        f"| category | got through | rate | 95 % | {' | '.join(SEVERITIES)} |",
        f"|---|--:|--:|---|{'--:|' * len(SEVERITIES)}",
    ]
    for row in found["report"]["categories"]:
        every = row["all"]
        between = "–" if every["low"] is None else f"{every['low']:.0%} to {every['high']:.0%}"
        rate = "–" if every["rate"] is None else f"{every['rate']:.0%}"
        cells = [f"{each['successes']} of {each['judged']}" if each["judged"] else "–" for each in row["by_severity"]]
        share = f"{every['successes']} of {every['judged']}"
        lines.append(f"| {row['category']} | {share} | {rate} | {between} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", f"[The report in Lobby]({url})"]) + "\n"
