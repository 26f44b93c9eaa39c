"""Scorers: what an answer is worth, and what a change of the prompt or the model did to it. See docs/scorers.md.

A scorer does no I/O. ``Scorer.steps`` is a generator: it yields the calls that it needs, is sent their replies, and
returns the ``Score``. Most need none. Who runs them sends the calls through Lobby's gateway, so that a judge is
metered, limited and logged like any caller:

    scorer = registry.make("judge-rubric", {"model": "sandbox-judge", "criteria": "It names the policy."})
    score = scorers.drive(scorer, sample, output, ask)   # ask: list[Call] -> list[Reply]

This package imports nothing heavy and no ORM: the portal lists scorers from it. What needs a large library imports it
when it scores.
"""

from apps.evaluation.scorers.base import Scorer, Steps
from apps.evaluation.scorers.driving import begin, drive
from apps.evaluation.scorers.errors import ParametersInvalid, ScorerUnknown
from apps.evaluation.scorers.types import (
    Call,
    ChatCall,
    Direction,
    EmbeddingCall,
    Failure,
    Message,
    Need,
    Output,
    Reply,
    Sample,
    Score,
    SubjectCall,
    ToolCall,
    ValueKind,
    Vectors,
)

__all__ = [
    "Call",
    "ChatCall",
    "Direction",
    "EmbeddingCall",
    "Failure",
    "Message",
    "Need",
    "Output",
    "ParametersInvalid",
    "Reply",
    "Sample",
    "Score",
    "Scorer",
    "ScorerUnknown",
    "Steps",
    "SubjectCall",
    "ToolCall",
    "ValueKind",
    "Vectors",
    "begin",
    "drive",
]
