"""Short words for tests of scorers."""

from __future__ import annotations

from typing import Any

from apps.evaluation.scorers import Message, Output, Sample, Score, drive
from apps.evaluation.scorers.registry import make


def sample(*expected: Any, asked: str = "What is it?", context: tuple[str, ...] = (), **more: Any) -> Sample:
    return Sample("example-1", (Message("user", asked),), expected=expected, context=context, **more)


def scored(slug: str, answer: str | Output, of: Sample, **parameters: Any) -> Score:
    output = Output(answer) if isinstance(answer, str) else answer
    return drive(make(slug, parameters), of, output)
