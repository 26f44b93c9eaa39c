"""When a run may end before its last item: whoever decides by it (a gate) says when it has seen enough."""

from __future__ import annotations

from collections.abc import Callable

from apps.evaluation.models import Evaluation

# Given the run, says why the rest of it is not needed; empty: go on. Asked now and then, from a worker.
StopRule = Callable[[Evaluation], str]
_rules: list[StopRule] = []


def add_stop_rule(rule: StopRule) -> None:
    """Have ``rule`` asked of every run that goes on. Called once, when the application starts."""
    if rule not in _rules:
        _rules.append(rule)


def enough(run: Evaluation) -> str:
    """Why the rest of the run is not needed; empty where it is."""
    for rule in _rules:
        if why := rule(run):
            return why
    return ""
