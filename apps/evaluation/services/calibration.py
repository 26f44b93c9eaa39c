"""How far a judge agrees with people: measured on ratings, or set by the judge's owner, with a reason, for a while."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from django.db import transaction
from django.utils import timezone

from apps.evaluation.models import Evaluation, JudgeCalibration, Score, ScorerVersion
from apps.evaluation.running.subjects import RECORDED
from apps.evaluation.selectors.scorers import is_judge
from apps.evaluation.types import Direction, ScoreStatus, ValueKind
from apps.tenants import audit, validation
from apps.tenants.access import Actor, require
from apps.tenants.errors import Invalid, PermissionDenied

if TYPE_CHECKING:
    from apps.evaluation.statistics.calibration import Calibration

VALID_FOR: Final = timedelta(days=90)
OVERRIDE_FOR: Final = timedelta(days=30)
# What a gate asks of a judge: so many ratings, so many of them other than the commonest, at most this share of verdicts
# that could not be read, and an agreement whose interval lies above this.
LEAST_PAIRS: Final = 30
LEAST_OTHERS: Final = 5
MOST_ERRORS: Final = 0.1
LEAST_KAPPA: Final = 0.4
# An opinion of the answer: the end of the judge's scale that is better, or the other one.
OPINIONS: Final[Mapping[str, bool]] = {
    **dict.fromkeys(("pass", "passed", "good", "right", "correct", "up", "ok"), True),
    **dict.fromkeys(("fail", "failed", "bad", "wrong", "incorrect", "down"), False),
}
# An answer to the judge's own question: the upper end of its scale, whichever is better, or the lower one.
FINDINGS: Final[Mapping[str, bool]] = {"yes": True, "true": True, "no": False, "false": False}


@dataclass(frozen=True, slots=True)
class Rating:
    """One answer that both a person and the judge rated. ``judge`` is None where the judge's verdict was an error;
    ``source`` (of ``types.Source``) says where the person's rating came from."""

    human: float
    judge: float | None
    slice: str = ""
    source: str = ""


@transaction.atomic
def calibrate_judge(
    *, actor: Actor, version: ScorerVersion, ratings: Sequence[Rating], source: str
) -> JudgeCalibration:
    """Measure the judge on ``ratings``; ``source`` says whose they are. Raises ``Invalid`` where they do not suffice to
    say anything."""
    tenant = version.scorer.tenant
    require(actor, "evaluation.run", tenant, what="calibrate a judge")
    if not is_judge(version.scorer.kind):
        raise Invalid(f"{version.scorer.name} asks no model for its opinion: it needs no calibration.")
    rated = [each for each in ratings if each.judge is not None]
    errors = len(ratings) - len(rated)
    if not rated:
        raise Invalid("Nothing was rated by both a person and the judge.", code="no_ratings")
    from apps.evaluation.statistics import calibration as statistics

    labels = sorted({each.human for each in rated} | {each.judge for each in rated if each.judge is not None})
    ordered = version.value_kind == ValueKind.ORDINAL
    measured = statistics.calibrate(
        [
            statistics.Rated(each.human, each.judge, (each.slice,) if each.slice else ())
            for each in rated
            if each.judge is not None
        ],
        labels,
        weights="quadratic" if ordered else "unweighted",
        judge_errors=errors,
    )
    kappa = measured.kappa
    lacks = _lacks(measured)
    row = JudgeCalibration.objects.create(
        version=version,
        source=validation.clean_text(source, field="source", maximum=300),
        pairs=kappa.items,
        kappa=kappa.value,
        kappa_low=None if kappa.interval is None else kappa.interval.low,
        kappa_high=None if kappa.interval is None else kappa.interval.high,
        accuracy=kappa.agreement,
        baseline_accuracy=measured.baseline_agreement,
        sources=dict(Counter(each.source for each in rated if each.source).most_common()),
        by_slice={name: _told(each) for name, each in measured.by_slice.items()},
        is_sufficient=not lacks,
        lacks=lacks,
        created_by=actor.user,
        expires_at=timezone.now() + VALID_FOR,
    )
    _record(actor, row, {"kappa": kappa.value, "pairs": kappa.items, "sufficient": row.is_sufficient})
    return row


@transaction.atomic
def override_calibration(*, actor: Actor, version: ScorerVersion, reason: str) -> JudgeCalibration:
    """Have gates rely on the judge all the same, for a month. For the judge's owner, or a tenant admin."""
    scorer = version.scorer
    require(actor, "evaluation.run", scorer.tenant, what="vouch for a judge")
    if not is_judge(scorer.kind):
        raise Invalid(f"{scorer.name} asks no model for its opinion: it needs no calibration.")
    may = actor.tenants_allowing("gate.override")
    is_owner = actor.user is not None and scorer.owner_id == actor.user.pk
    if not is_owner and may is not None and scorer.tenant_id not in may:
        raise PermissionDenied(
            f"Only the owner of {scorer.name} may vouch for it.", remedy="Ask its owner, or a tenant admin."
        )
    reason = " ".join(validation.clean_text(reason, field="reason", maximum=500).split())
    if len(reason) < 10:
        raise Invalid("Say why, in a sentence: whoever reads the gate's decision will see it.", field="reason")
    row = JudgeCalibration.objects.create(
        version=version,
        source=f"Vouched for by {actor.name}"[:300],
        is_sufficient=True,
        reason=reason,
        created_by=actor.user,
        expires_at=timezone.now() + OVERRIDE_FOR,
    )
    _record(actor, row, {"reason": reason})
    return row


def ratings_of_run(run: Evaluation, version: ScorerVersion) -> list[Rating]:
    """A run over a labelled dataset: what people had said of each answer (the example's expected rating) beside the
    judge's score of it. Of repetitions the first counts: the same answer rated again is no further rating."""
    if run.model != RECORDED:
        raise Invalid(
            "That run asked a model: people have rated other answers than those it gave.",
            field="run",
            remedy="Run the judge over recorded answers.",
        )
    scores = Score.objects.unscoped("of a run that its caller reached").filter(
        item__evaluation=run, item__repetition=0, scorer_version=version
    )
    found = []
    for score in scores.select_related("item__revision").order_by("item__position"):
        human = rating_from(score.item.revision.expected, version)
        if human is not None:
            judge = score.value if score.status == ScoreStatus.OK else None
            revision = score.item.revision
            found.append(Rating(human, judge, revision.slice, revision.source))
    return found


def rating_from(value: Any, version: ScorerVersion) -> float | None:
    """A person's rating on the judge's scale: a number as it is, the usual words at an end of the scale; None where it
    is neither. Raises ``Invalid`` for a number beside the scale, and for a word where the scale has no ends."""
    if isinstance(value, dict):
        value = value.get("rating")
    low, high = version.low, version.high
    if isinstance(value, bool):
        value = str(value)
    if isinstance(value, int | float):
        if (low is not None and value < low) or (high is not None and value > high):
            raise Invalid(
                f"People rated an answer {value:g}, which is not on the judge's scale{_ends(version)}.",
                code="not_on_the_scale",
                remedy="Rate on the judge's own scale, or by words such as good and bad.",
            )
        return float(value)
    word = value.strip().lower() if isinstance(value, str) else ""
    if word in OPINIONS:
        is_upper = OPINIONS[word] == (version.direction == Direction.HIGHER)
    elif word in FINDINGS:
        is_upper = FINDINGS[word]
    else:
        return None
    if low is None or high is None:
        raise Invalid(
            f"The judge's scale has no ends, so that {word!r} has no place on it.",
            code="not_on_the_scale",
            remedy="Rate the answers by numbers.",
        )
    return high if is_upper else low


def _ends(version: ScorerVersion) -> str:
    return "" if version.low is None or version.high is None else f" from {version.low:g} to {version.high:g}"


def _lacks(measured: Calibration) -> list[str]:
    """Why a gate does not rely on it, in sentences; none where it does."""
    kappa, errors = measured.kappa, measured.judge_errors
    verdicts = kappa.items + errors
    lacks = []
    if kappa.items < LEAST_PAIRS:
        lacks.append(f"Answers that both rated: {kappa.items}. A gate asks for {LEAST_PAIRS}.")
    if measured.others < LEAST_OTHERS:
        lacks.append(f"Ratings other than the commonest: {measured.others}. A gate asks for {LEAST_OTHERS}.")
    if errors > MOST_ERRORS * verdicts:
        lacks.append(
            f"Verdicts that could not be read: {errors} of {verdicts}. A gate takes at most {MOST_ERRORS:.0%}."
        )
    if not measured.beats_constant:
        lacks.append("It comes no closer to people's ratings than somebody who always gives the same one.")
    if kappa.interval is None:
        lacks.append("Kappa is not defined: all ratings are the same.")
    elif kappa.interval.low <= LEAST_KAPPA:
        lacks.append(
            f"The interval of kappa begins at {kappa.interval.low:.2f}. A gate asks for more than {LEAST_KAPPA}."
        )
    return lacks


def _told(kappa: Any) -> dict[str, Any]:
    return {
        "kappa": kappa.value,
        "low": None if kappa.interval is None else kappa.interval.low,
        "high": None if kappa.interval is None else kappa.interval.high,
        "accuracy": kappa.agreement,
        "pairs": kappa.items,
    }


def _record(actor: Actor, row: JudgeCalibration, told: Mapping[str, Any]) -> None:
    scorer = row.version.scorer
    told = {"scorer": scorer.slug, "version": row.version.number, **told}
    audit.record(actor, "judge.vouched_for" if row.reason else "judge.calibrated", scorer, told, scorer.tenant)
