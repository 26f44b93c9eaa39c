"""Checks of monitors: opened once a window is over, decided once its run is, each in one transaction.

A row is the truth. Whoever comes second finds the window opened, or the check decided; a worker that is killed leaves
either nothing or all of a step behind, and the next look takes it up. Windows that passed while nobody looked are not
made up for: the last one is checked.
"""

from apps.evaluation.services.checks.deciding import decide_checks
from apps.evaluation.services.checks.opening import due_at, locked, open_check, open_due_checks, window_end

__all__ = ["decide_checks", "due_at", "locked", "open_check", "open_due_checks", "window_end"]
