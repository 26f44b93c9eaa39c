"""``lobby eval`` and ``lobby gate``: a version beside the released one, and the verdict as the exit code."""

from __future__ import annotations

from typing import Any

from lobby.api import Api, Failed
from lobby.waiting import until

PASSED, WORSE, INCONCLUSIVE = 0, 1, 3


def run(
    api: Api,
    tenant: str,
    prompt: str,
    version: int,
    *,
    dataset: str = "",
    scorers: list[str] | None = None,
    suite: str = "",
    project: str = "",
    wait_seconds: float = 3_600.0,
) -> dict[str, Any]:
    """The gate decision about the version, once it is made. Asked again, the same question has the same decision."""
    body: dict[str, Any] = {"tenant": tenant, "prompt": prompt, "version": version}
    if dataset:
        body["dataset"] = dataset
    if scorers:
        body["scorers"] = scorers
    if suite:
        body["suite"] = suite
    if project:
        body["project"] = project
    return wait(api, api.post("gates", body=body), wait_seconds)


def wait(api: Api, decision: dict[str, Any], seconds: float) -> dict[str, Any]:
    """Until the decision is made, or ``seconds`` are over: then it is returned as it is."""
    return until(
        lambda found: found["status"] != "running",
        decision,
        lambda: api.get("gates", decision["id"]),
        seconds,
        f"{api.url}/evaluations/runs/{decision['candidate']}/",
    )


def newest(api: Api, tenant: str, prompt: str, version: int) -> dict[str, Any]:
    """The newest decision about a version, where there are others than advice of those. Raises ``Failed`` where
    there is none."""
    rows = api.get("gates", tenant=tenant, prompt=prompt, version=str(version), page_size="100")["results"]
    if not rows:
        raise Failed(
            f"{prompt} version {version} has not been through a gate: run 'lobby eval run --gate'.", code="no_gate"
        )
    # Anybody may ask for advice at any time: it does not undo what the plan's gate decided.
    row = next((each for each in rows if each["policy"].get("policy") != "advice"), rows[0])
    found: dict[str, Any] = api.get("gates", row["id"])
    return found


def status(api: Api, tenant: str, prompt: str) -> list[dict[str, Any]]:
    """The newest decisions about a prompt, with how far their evaluations are."""
    rows = api.get("gates", tenant=tenant, prompt=prompt, page_size="20")["results"]
    return [api.get("gates", row["id"]) if row["status"] == "running" else row for row in rows]


def exit_code(decision: dict[str, Any], *, inconclusive_passes: bool = False, page: str = "its page") -> int:
    """0 better or released, 1 worse or refused, 3 no verdict either way. Raises ``Failed`` where none was decided."""
    told = " ".join(decision["reasons"]) or f"See {page}"
    if decision["status"] == "failed":
        raise Failed(f"The gate could not decide: {told}", code="gate_failed")
    if decision["status"] == "running":
        again = "" if "subject" in decision else ", or ask again with 'lobby gate'"
        raise Failed(f"The evaluation is still running: see {page}{again}", code="timeout")
    if is_released(decision):
        return PASSED
    if is_refused(decision):
        return WORSE
    if decision["verdict"] == "better":
        return PASSED
    return PASSED if inconclusive_passes else INCONCLUSIVE


def is_released(decision: dict[str, Any]) -> bool:
    """Whatever its verdict was: an override is somebody's word that the evidence does not count."""
    return str(decision["status"]) in ("released", "overridden")


def is_refused(decision: dict[str, Any]) -> bool:
    """Worse, or stopped although it was not: by a person, or as what it was compared with is released no more."""
    verdict, status = str(decision["verdict"]), str(decision["status"])
    return verdict == "worse" or (status == "stopped" and verdict != "inconclusive")


def told(decision: dict[str, Any]) -> str:
    """For a person at a terminal."""
    lines = [f"{subject(decision)}: {headline(decision)}"]
    lines += [f"  {reason}" for reason in decision["reasons"]]
    worst = decision.get("evidence", {}).get("worst", [])
    if worst and decision["verdict"] == "worse":
        lines.append("  It lost most on:")
        lines += [
            f"    {each['example']}: {each['metric']} {each['baseline']:.3g} -> {each['candidate']:.3g}"
            for each in worst
        ]
    if decision["status"] == "running" and (progress := decision.get("progress")):
        lines.append(f"  {progress['done']:,} of {progress['total']:,} answers.")
    return "\n".join(lines)


def subject(decision: dict[str, Any]) -> str:
    """What was decided about: a prompt's version, or a model or route."""
    return str(decision.get("subject") or f"{decision['prompt']} version {decision['version']}")


_STATUS = {
    "running": "being evaluated",
    "waiting": "waits for approval",
    "released": "released",
    "stopped": "stopped",
    "overridden": "released by an override",
    "advised": "advice only",
    "failed": "could not be decided",
}


def headline(decision: dict[str, Any]) -> str:
    """Verdict and what became of it, in a few words."""
    status = _STATUS.get(decision["status"], decision["status"])
    return f"{decision['verdict']}, {status}" if decision["verdict"] else status
