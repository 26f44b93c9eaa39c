"""A candidate's run ends early where the rest of it could not change what its gate decides."""

from __future__ import annotations

from typing import Final

from apps.evaluation import evidence
from apps.evaluation.models import Evaluation, GateDecision
from apps.evaluation.services.gates.comparing import sides_of
from apps.evaluation.terms import Terms
from apps.evaluation.types import GateStatus, RunStatus, Verdict

WHY: Final = "the gate of a run that its worker goes on with"
_SURE: Final = {
    Verdict.BETTER: "It stays better, whatever the rest would score.",
    Verdict.WORSE: "It stays worse, whatever the rest would score.",
    Verdict.INCONCLUSIVE: "It cannot become better, whatever the rest would score.",
}


def seen_enough(run: Evaluation) -> str:
    """Why the gate needs no more of ``run``; empty where it does, or where no gate waits for it. A run that another
    gate measures its own candidate by goes on to its end."""
    waiting = GateDecision.objects.unscoped(WHY).filter(status=GateStatus.RUNNING)
    if waiting.filter(baseline=run).exists():
        return ""
    rows = waiting.select_related(*sides_of("candidate"), *sides_of("baseline"))
    decision = rows.filter(candidate=run, baseline__status=RunStatus.DONE).first()
    if decision is None:
        return ""
    assert decision.baseline is not None
    assert decision.candidate is not None
    verdict = evidence.certain_verdict(decision.baseline, decision.candidate, Terms.of(decision.policy))
    return "" if verdict is None else _SURE[verdict]
