"""Gates: a prompt's new version, or a route's new revision, is evaluated beside what is in force, and the evidence
decides.

A decision's row is the truth. It is opened once for the same question, and decided once: whoever comes second (a
doubled message, a worker that was killed and woken) finds it decided. ``decide_gates`` looks at every open one, so
that a message that got lost loses nothing.
"""

from apps.evaluation.services.gates.answering import answer_gate, override_gate, widen_release
from apps.evaluation.services.gates.comparing import compare_evaluations, weigh_comparison
from apps.evaluation.services.gates.deciding import decide_gate, decide_gates
from apps.evaluation.services.gates.judges import unfit_judge_of, unfit_judges
from apps.evaluation.services.gates.notices import deliver_notices, review_path_of
from apps.evaluation.services.gates.opening import (
    DECIDE_TASK,
    open_gate,
    open_gate_of_new_version,
    open_gate_of_revision,
)
from apps.evaluation.services.gates.stopping import seen_enough

__all__ = [
    "DECIDE_TASK",
    "answer_gate",
    "compare_evaluations",
    "decide_gate",
    "decide_gates",
    "deliver_notices",
    "open_gate",
    "open_gate_of_new_version",
    "open_gate_of_revision",
    "override_gate",
    "review_path_of",
    "seen_enough",
    "unfit_judge_of",
    "unfit_judges",
    "weigh_comparison",
    "widen_release",
]
