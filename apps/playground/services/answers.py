"""What a run writes down of its answer. The run acts for itself: whoever started it was checked then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from django.utils import timezone

from apps.playground.models import Answer
from apps.playground.services.validation import storable
from apps.playground.types import AnswerStatus

_WHY = "a run writes its own answer"
# The gateway ends each attempt long before: what still runs then has lost its process.
LONGEST_RUN = timedelta(minutes=30)


def save_progress(answer_id: int, *, text: str, reasoning: str) -> None:
    """What had arrived, should the process die now."""
    rows = Answer.objects.unscoped(_WHY).filter(pk=answer_id, status=AnswerStatus.RUNNING)
    rows.update(text=storable(text), reasoning=storable(reasoning))


def finish_answer(
    answer_id: int,
    *,
    status: str,
    text: str,
    reasoning: str,
    tool_calls: Sequence[Mapping[str, Any]],
    error: Mapping[str, Any],
    request_id: str,
    input_tokens: int | None,
    output_tokens: int | None,
    first_token_ms: int | None,
    duration_ms: int,
    prompt_version: int | None = None,
) -> None:
    """Once: an answer that has ended is not written again."""
    Answer.objects.unscoped(_WHY).filter(pk=answer_id, status=AnswerStatus.RUNNING).update(
        status=status,
        text=storable(text),
        reasoning=storable(reasoning),
        tool_calls=list(tool_calls),
        error=dict(error),
        request_id=request_id,
        prompt_version=prompt_version,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        first_token_ms=first_token_ms,
        duration_ms=duration_ms,
    )


def save_figures(answer_id: int, *, input_tokens: int, output_tokens: int, cost_picousd: int) -> None:
    """The ledger's own, a moment after the end."""
    Answer.objects.unscoped(_WHY).filter(pk=answer_id).update(
        input_tokens=input_tokens, output_tokens=output_tokens, cost_picousd=cost_picousd
    )


def interrupt_answers(answer_ids: Sequence[int] | None = None) -> int:
    """Answers whose process is gone; without ids, all that have run for too long."""
    rows = Answer.objects.unscoped(_WHY).filter(status=AnswerStatus.RUNNING)
    if answer_ids is None:
        rows = rows.filter(created_at__lt=timezone.now() - LONGEST_RUN)
    else:
        rows = rows.filter(pk__in=answer_ids)
    return rows.update(
        status=AnswerStatus.INTERRUPTED,
        error={"code": "interrupted", "message": "The server that was answering has stopped. Run it again."},
    )
