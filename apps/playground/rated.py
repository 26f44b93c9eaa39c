"""What people have rated in the playground, as it can be copied into a rating set: thumbs on answers, blind votes.

What is taken of an exchange is what the pages of feedback show of it: the turn's own message (before it what a prompt
of the catalog said) and the answer. Earlier turns stay the conversation's own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import Exists, OuterRef, Q, QuerySet

from apps.playground.models import Answer, Attachment, Feedback, Vote
from apps.playground.types import RatingKind, Verdict, Winner, column_of
from apps.prompts.models import PromptVersion
from apps.prompts.rendering import Template
from apps.tenants.models import Tenant

WHY: Final = "of answers that the tenant's people have rated"
MOST_ROWS: Final = 5_000  # the newest ones
POINTS: Final = {Winner.A: 1.0, Winner.B: 0.0, Winner.TIE: 0.5, Winner.BOTH_BAD: 0.5}


@dataclass(frozen=True, slots=True)
class RatingCounts:
    """``even``: as many called an answer good as bad, or a vote was a tie. ``unfit``: without a text, or on a file."""

    good: int = 0
    bad: int = 0
    even: int = 0
    unfit: int = 0

    def usable(self, kind: RatingKind) -> int:
        """Even opinions are no rating; a tie of two answers is one."""
        return self.good + self.bad + (self.even if kind == RatingKind.VOTES else 0)


@dataclass(frozen=True, slots=True)
class Rated:
    """``rating`` is a verdict for one answer; of two the points of the first. ``answer`` stands against ``other``."""

    key: str
    source_ref: str
    answer: Answer
    rating: str | float
    use_case: str
    reasons: tuple[str, ...] = ()
    reference: str = ""
    other: str = ""


def counts_of(tenant: Tenant) -> dict[RatingKind, RatingCounts]:
    """Four queries, however much was rated."""
    settled = Counter(_settled(verdicts) for verdicts in _verdicts(tenant).values())
    won = Counter(POINTS[Winner(each)] for each in _votes(tenant).values_list("winner", flat=True)[:MOST_ROWS])
    unfit = Feedback.objects.for_tenant(tenant).filter(_unfit("answer")).order_by()
    lost = Vote.objects.for_tenant(tenant).filter(_unfit("answer_a") | Q(answer_b__text=""))
    return {
        RatingKind.THUMBS: RatingCounts(
            settled[Verdict.UP], settled[Verdict.DOWN], settled[None], unfit.values("answer").distinct().count()
        ),
        RatingKind.VOTES: RatingCounts(won[1.0], won[0.0], won[0.5], lost.count()),
    }


def rated_of(tenant: Tenant, kind: RatingKind) -> list[Rated]:
    """Oldest first."""
    return _thumbs_of(tenant) if kind == RatingKind.THUMBS else _votes_of(tenant)


def _thumbs_of(tenant: Tenant) -> list[Rated]:
    by_answer: dict[int, list[Feedback]] = {}
    for row in _feedback(tenant).select_related("answer__turn")[:MOST_ROWS]:
        by_answer.setdefault(row.answer_id, []).append(row)
    found = []
    for pk, rows in sorted(by_answer.items()):
        verdict = _settled(row.verdict for row in rows)
        if verdict is None:
            continue
        agreeing = [row for row in rows if row.verdict == verdict]  # newest first
        reasons = dict.fromkeys(reason for row in agreeing for reason in row.reasons)
        reference = next((row.correction for row in agreeing if row.correction), "")
        found.append(
            Rated(f"answer-{pk}", f"answer/{pk}", rows[0].answer, verdict, rows[0].use_case, tuple(reasons), reference)
        )
    return found


def _votes_of(tenant: Tenant) -> list[Rated]:
    rows = _votes(tenant).select_related("answer_a__turn", "answer_b")[:MOST_ROWS]
    return [
        Rated(
            f"vote-{row.pk}",
            f"vote/{row.pk}",
            row.answer_a,
            POINTS[Winner(row.winner)],
            row.use_case,
            other=row.answer_b.text,
        )
        for row in sorted(rows, key=lambda row: row.pk)
    ]


def messages_of(tenant: Tenant, answers: Iterable[Answer]) -> dict[int, list[dict[str, Any]]]:
    """What each answer answered, by its id; one query. An answer whose prompt is gone is not among them."""
    answers = list(answers)
    slugs = {each.prompt_slug for each in answers if each.prompt_slug}
    rows = PromptVersion.objects.unscoped(WHY).filter(prompt__tenant=tenant, prompt__slug__in=slugs)
    versions = {(row.prompt.slug, row.number): row for row in rows.select_related("prompt")}
    found: dict[int, list[dict[str, Any]]] = {}
    for answer in answers:
        messages = []
        if answer.prompt_slug:
            version = versions.get((answer.prompt_slug, answer.prompt_version or 0))
            choice = column_of(answer.settings).prompt
            if version is None or choice is None:
                continue
            said = Template(version.content).preview(choice.variables)
            messages = [{"role": each.role, "content": each.content} for each in said]
        if answer.turn.message:
            messages.append({"role": "user", "content": answer.turn.message})
        found[answer.pk] = messages
    return found


def _feedback(tenant: Tenant) -> QuerySet[Feedback]:
    return Feedback.objects.for_tenant(tenant).exclude(_unfit("answer")).order_by("-pk")


def _votes(tenant: Tenant) -> QuerySet[Vote]:
    return Vote.objects.for_tenant(tenant).exclude(_unfit("answer_a") | Q(answer_b__text="")).order_by("-pk")


def _unfit(answer: str) -> Q:
    """A judge sees texts alone: an answer without one, or on a file, cannot be judged again."""
    files = Attachment.objects.unscoped(WHY).filter(turn=OuterRef(f"{answer}__turn"))
    return Q(**{f"{answer}__text": ""}) | Q(Exists(files))


def _verdicts(tenant: Tenant) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for answer, verdict in _feedback(tenant).values_list("answer_id", "verdict")[:MOST_ROWS]:
        found.setdefault(answer, []).append(verdict)
    return found


def _settled(verdicts: Iterable[str]) -> str | None:
    """What most say; None where as many say the one as the other."""
    counts = Counter(verdicts)
    up, down = counts[Verdict.UP], counts[Verdict.DOWN]
    return None if up == down else str(Verdict.UP if up > down else Verdict.DOWN)
