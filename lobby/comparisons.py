"""``lobby eval compare``: a model or a route beside another one, weighed as a gate weighs versions."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from lobby.api import Api, Failed
from lobby.waiting import until

LIVE = ("queued", "running")


def compare(
    api: Api, tenant: str, model: str, against: str, plan: dict[str, Any], wait_seconds: float
) -> dict[str, Any]:
    """Both are asked the same examples; then the verdict, in the shape of a gate's decision: advice about ``model``.

    Raises ``Failed`` where a run ends badly, or a judge that decides is not calibrated.
    """
    body = {"tenant": tenant, "project": plan.pop("project", "") or _project(api), **plan}
    runs: dict[str, dict[str, Any]] = {}
    try:
        for side, name in (("baseline", against), ("candidate", model)):
            runs[side] = api.post("evaluations", body={**body, "model": name})
        made = api.post("comparisons", body={side: run["id"] for side, run in runs.items()})
        if made["unfit_judge"]:
            raise Failed(made["unfit_judge"], code="judge_not_calibrated")
    except Failed:
        for run in runs.values():  # nobody pays for what decides nothing
            with suppress(Failed):  # one that is done already
                api.post("evaluations", run["id"], "cancel", body={})
        raise

    def look() -> dict[str, Any]:
        found: dict[str, Any] = api.get("comparisons", made["id"])
        if found["status"] == "waiting":
            _still_on(api, runs)
        return found

    made = until(
        lambda found: found["status"] != "waiting",
        made,
        look,
        wait_seconds,
        f"{api.url}/evaluations/runs/{made['candidate']}/",
    )
    return decision_of(made, tenant, model, against)


def decision_of(made: dict[str, Any], tenant: str, model: str, against: str) -> dict[str, Any]:
    """A comparison as reports and exit codes read a decision."""
    evidence = made["evidence"] or {}
    return {
        "id": made["id"],
        "tenant": tenant,
        "subject": f"{model} against {against}",
        "status": {"done": "advised", "waiting": "running"}.get(made["status"], "failed"),
        "verdict": made["verdict"],
        "reasons": evidence.get("reasons") or [made["error"]] * bool(made["error"]),
        "policy": {"against": against},
        "candidate": made["candidate"],
        "baseline": made["baseline"],
        "created_at": made["created_at"],
        "evidence": evidence,
    }


def _still_on(api: Api, runs: dict[str, dict[str, Any]]) -> None:
    """Raises ``Failed`` for a run that has ended without its answers, or waits for a person."""
    for run in runs.values():
        found = api.get("evaluations", run["id"])
        if found["status"] not in (*LIVE, "done"):
            raise Failed(
                f"The run {found['id']} is {found['status']}: {found['error'] or 'see its page'}", code="not_done"
            )


def _project(api: Api) -> str:
    """That of the key."""
    where = str((api.get("me").get("key") or {}).get("project") or "")
    if not where:
        raise Failed("Say with --project in which project the calls are made.", code="no_project")
    return where.rpartition("/")[2]
