"""What the votes, the feedback and the examples add up to: how each model and prompt does for a use case, and how it is
going.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Avg, Count, Q, QuerySet
from django.db.models.functions import TruncWeek

from apps.evaluation.models import EvaluationMetric
from apps.evaluation.selectors.runs import measured_use_cases, newest_measures
from apps.evaluation.statistics.ranking import bradley_terry, share_won
from apps.playground.models import Answer, Feedback, SavedExample, Vote
from apps.playground.rated import POINTS
from apps.playground.selectors import examples_for
from apps.playground.types import AnswerStatus, Reason, TriageStatus, UseCase, Verdict, Winner
from apps.tenants.access import Actor
from apps.tenants.models import Tenant

# With fewer opinions a share of good ones says little; the page says so.
FEW_OPINIONS = 5
TREND_WEEKS = 12
# The best ones are looked through for each model's.
MOST_EXAMPLES = 200
# Newest first: more would not change what the chips show.
COUNTED_REASONS = 5_000


@dataclass
class Standing:
    """How one model, with one prompt of the catalog or without, does for one use case in one tenant: who voted, who
    liked, what its newest evaluation measured, what it costs.
    """

    model_slug: str
    prompt_slug: str = ""
    name: str = ""
    prompt_name: str = ""
    is_ready: bool = False  # it may be called from here now
    wins: int = 0
    losses: int = 0
    ties: int = 0
    both_bad: int = 0  # among the losses
    rating: float | None = None  # by who beat whom: 1,000 is the average here, 400 points are odds of ten to one
    liked: int = 0
    disliked: int = 0
    answers: int = 0
    cost_picousd: float | None = None
    first_token_ms: float | None = None
    example: SavedExample | None = None
    measured: EvaluationMetric | None = None

    @property
    def key(self) -> str:
        return f"{self.model_slug} {self.prompt_slug}"

    @property
    def opinions(self) -> int:
        return self.wins + self.losses + self.ties + self.liked + self.disliked

    @property
    def quality(self) -> float | None:
        """The share of opinions in its favour, a tie being half of one; None where there are none."""
        return (self.wins + self.ties / 2 + self.liked) / self.opinions if self.opinions else None

    @property
    def rank(self) -> float:
        """The same with one opinion of each kind added, so that a single vote does not win against fifty, and with
        votes weighed by who was beaten: to beat the best is worth more than to beat the worst.
        """
        decided = self.wins + self.losses + self.ties - self.both_bad
        won = 0.0 if self.rating is None else decided * share_won(self.rating)
        return (won + self.liked + 1) / (self.opinions + 2)

    @property
    def is_thin(self) -> bool:
        return self.opinions < FEW_OPINIONS


def standings(actor: Actor, tenant: Tenant, use_case: str) -> list[Standing]:
    """What was tried for ``use_case``, the best first. The same number of queries however much there is."""
    found: dict[tuple[str, str], Standing] = {}

    def of(slug: str, prompt: str) -> Standing:
        return found.setdefault((slug, prompt), Standing(slug, prompt, slug, prompt))

    votes = Vote.objects.for_actor(actor).filter(tenant=tenant, use_case=use_case).order_by()
    won: defaultdict[tuple[str, str], float] = defaultdict(float)
    pairs = votes.values("model_a", "answer_a__prompt_slug", "model_b", "answer_b__prompt_slug", "winner")
    for vote in pairs.annotate(count=Count("pk")):
        a = of(vote["model_a"], vote["answer_a__prompt_slug"])
        b = of(vote["model_b"], vote["answer_b__prompt_slug"])
        _count_vote(a, b, vote["winner"], vote["count"])
        if a is not b:
            points = POINTS[Winner(vote["winner"])] * vote["count"]
            won[a.key, b.key] += points
            won[b.key, a.key] += vote["count"] - points
    ratings = bradley_terry(won)
    for standing in found.values():
        standing.rating = ratings.get(standing.key)
    feedback = Feedback.objects.for_actor(actor).filter(tenant=tenant, use_case=use_case).order_by()
    for row in feedback.values("model_slug", "answer__prompt_slug", "verdict").annotate(count=Count("pk")):
        standing = of(row["model_slug"], row["answer__prompt_slug"])
        if row["verdict"] == Verdict.UP:
            standing.liked += row["count"]
        else:
            standing.disliked += row["count"]
    answers = Answer.objects.for_actor(actor).filter(
        turn__conversation__tenant=tenant, turn__conversation__use_case=use_case, status=AnswerStatus.DONE
    )
    figures = answers.order_by().values("model_slug", "prompt_slug")
    for each in figures.annotate(count=Count("pk"), cost=Avg("cost_picousd"), first=Avg("first_token_ms")):
        standing = of(each["model_slug"], each["prompt_slug"])
        standing.answers, standing.cost_picousd, standing.first_token_ms = each["count"], each["cost"], each["first"]
    for example in examples_for(actor, tenant, use_case=use_case, best_first=True)[:MOST_EXAMPLES]:
        standing = of(example.model_slug, example.prompt_slug)
        if standing.example is None:
            standing.example = example

    for (model, prompt), metric in newest_measures(actor, tenant, use_case).items():
        of(model, prompt).measured = metric

    def order(each: Standing) -> tuple[float, float, str, str]:
        return -each.rank, each.cost_picousd or 0, each.model_slug, each.prompt_slug

    return sorted(found.values(), key=order)


def used_cases(actor: Actor, tenant: Tenant) -> list[tuple[str, str]]:
    """(value, label) of the use cases that anybody here has tried or shared something for, or that an evaluation of a
    prompt has measured.
    """
    rows: list[QuerySet[Any]] = [
        Vote.objects.for_actor(actor).filter(tenant=tenant),
        Feedback.objects.for_actor(actor).filter(tenant=tenant),
        SavedExample.objects.for_actor(actor).filter(tenant=tenant),
    ]
    used = {value for each in rows for value in each.order_by().values_list("use_case", flat=True).distinct()}
    used |= measured_use_cases(actor, tenant)
    return [(str(value), str(label)) for value, label in UseCase.choices if value in used]


def _count_vote(a: Standing, b: Standing, winner: str, count: int) -> None:
    match winner:
        case Winner.A:
            a.wins += count
            b.losses += count
        case Winner.B:
            b.wins += count
            a.losses += count
        case Winner.TIE:
            a.ties += count
            b.ties += count
        case _:
            for each in (a, b):
                each.losses += count
                each.both_bad += count


@dataclass(frozen=True)
class Trend:
    """Feedback on one model (or all) over the last weeks, as the chart wants it, and what was wrong."""

    chart: dict[str, Any]
    liked: int
    disliked: int
    waiting: int
    reasons: list[tuple[str, str, int]] = field(default_factory=list)

    @property
    def total(self) -> int:
        return self.liked + self.disliked

    @property
    def share_liked(self) -> float | None:
        return self.liked / self.total if self.total else None


def feedback_trend(rows: QuerySet[Feedback], now: datetime) -> Trend:
    """``rows`` as ``selectors.feedback_for`` gives them. Three queries."""
    this_week = (now - timedelta(days=now.weekday())).replace(hour=0, minute=0, second=0, microsecond=0)
    weeks = [this_week - timedelta(weeks=back) for back in range(TREND_WEEKS - 1, -1, -1)]
    rows = rows.filter(created_at__gte=weeks[0]).order_by()
    counts: dict[tuple[str, Any], int] = {}
    per_week = rows.annotate(week=TruncWeek("created_at", tzinfo=now.tzinfo)).values("week", "verdict")
    for each in per_week.annotate(count=Count("pk")):
        counts[each["verdict"], each["week"].date()] = each["count"]
    series = {
        verdict: [counts.get((verdict, week.date()), 0) for week in weeks] for verdict in (Verdict.UP, Verdict.DOWN)
    }
    bad = rows.filter(verdict=Verdict.DOWN).exclude(reasons=[]).order_by("-created_at")
    reasons = Counter(reason for each in bad.values_list("reasons", flat=True)[:COUNTED_REASONS] for reason in each)
    labels = dict(Reason.choices)
    return Trend(
        chart={
            "labels": [f"{week:%-d %b}" for week in weeks],
            "series": [
                {"name": "Good", "values": series[Verdict.UP], "tone": "ok"},
                {"name": "Bad", "values": series[Verdict.DOWN], "tone": "danger"},
            ],
            "stacked": True,
        },
        liked=sum(series[Verdict.UP]),
        disliked=sum(series[Verdict.DOWN]),
        waiting=rows.filter(Q(verdict=Verdict.DOWN) & Q(status=TriageStatus.OPEN)).count(),
        reasons=[(name, str(labels.get(name, name)), count) for name, count in reasons.most_common()],
    )
