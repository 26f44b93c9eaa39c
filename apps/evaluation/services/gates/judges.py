"""Which judges a gate may rely on: those whose agreement with people is known, and is enough.

A probe (robustness, the bias screen) may leave its verdict to a judge: it is trusted as far as that judge is, which is
a scorer of its own, of the same kind and parameters. A model that says a question in other words judges nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from apps.evaluation.models import Comparison, EvaluationMetric, JudgeCalibration, ScorerVersion
from apps.evaluation.scorers import Need, ScorerUnknown, registry
from apps.evaluation.scorers.probes import ProbeScorer
from apps.evaluation.selectors.scorers import calibration_of
from apps.evaluation.types import MetricRole

WHY: Final = "the judge that a probe of the same tenant leaves its verdict to"


@dataclass(frozen=True, slots=True)
class _Judge:
    """``kind`` is the judge's; ``inside`` is true where a probe leaves its verdict to it."""

    kind: str
    inside: bool
    calibration: JudgeCalibration | None


def unfit_judges(versions: list[ScorerVersion]) -> tuple[str, str] | None:
    """(why, what to do) of the first judge whose agreement with people is not known well enough."""
    for version in versions:
        judge = _judge_of(version)
        if judge is None:
            continue
        name = f"{version.scorer.name} version {version.number}"
        remedy = "Calibrate it against people's ratings, or have its owner vouch for it with a reason."
        if judge.inside:
            name = f"{judge.kind} that decides for {name}"
            remedy = (
                f"Set up {judge.kind} with the same parameters as a scorer of its own; calibrate it there, or have its"
                " owner vouch for it with a reason."
            )
        if judge.calibration is None:
            return f"The judge {name} is not calibrated.", remedy
        if not judge.calibration.is_sufficient:
            why = " ".join((f"The judge {name} agrees too little with people.", *judge.calibration.lacks))
            return why, remedy
    return None


def unfit_judge_of(comparison: Comparison) -> str:
    """The same of what two runs are weighed by, in a sentence; empty where every judge is fit."""
    terms = comparison.terms.get("metrics", [])
    deciding = {each["scorer"] for each in terms if each["role"] != MetricRole.WATCH}
    rows = EvaluationMetric.objects.unscoped(WHY).filter(evaluation=comparison.candidate_id)
    metrics = rows.select_related("scorer_version__scorer").order_by("pk")
    try:
        unfit = unfit_judges([row.scorer_version for row in metrics if row.scorer_version.scorer.slug in deciding])
    except ScorerUnknown as error:  # the package that brought it is gone, and so is what is known of it
        return str(error)
    return "" if unfit is None else " ".join(unfit)


def standing_of(version: ScorerVersion) -> dict[str, Any] | None:
    """What a decision keeps about its judge, in plain values: who vouched for it, why and until when; or how far it
    agreed with people. None for a scorer that is no judge; ``is_sufficient`` alone where nothing is known of it."""
    judge = _judge_of(version)
    if judge is None:
        return None
    newest = judge.calibration
    if newest is None:
        return {"is_sufficient": False}
    standing = {"is_sufficient": newest.is_sufficient, "until": newest.expires_at.isoformat()}
    if newest.reason:
        by = "" if newest.created_by is None else str(newest.created_by)
        return standing | {"by": by, "reason": newest.reason}
    return standing | {
        "kappa": newest.kappa,
        "low": newest.kappa_low,
        "high": newest.kappa_high,
        "pairs": newest.pairs,
        "source": newest.source,
    }


def _judge_of(version: ScorerVersion) -> _Judge | None:
    """By its parameters, too: a probe may leave its verdict to a judge."""
    made = registry.make(version.scorer.kind, version.parameters)
    if Need.JUDGE not in made.needs:
        return None
    if not isinstance(made, ProbeScorer) or made.metric is None:
        return _Judge(version.scorer.kind, inside=False, calibration=calibration_of(version))
    rows = ScorerVersion.objects.unscoped(WHY).filter(
        scorer__tenant=version.scorer.tenant_id, scorer__kind=made.metric.slug, fingerprint=made.metric.version
    )
    found = [row for row in map(calibration_of, rows.order_by("pk")) if row is not None]
    # Of several scorers that are the same judge, what was found last counts.
    newest = max(found, key=lambda row: row.pk, default=None)
    return _Judge(made.metric.slug, inside=True, calibration=newest)
