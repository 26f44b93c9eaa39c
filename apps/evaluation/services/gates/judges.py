"""Which judges a gate may rely on: those whose agreement with people is known, and is enough."""

from __future__ import annotations

from typing import Any

from apps.evaluation.models import ScorerVersion
from apps.evaluation.scorers import Need, registry
from apps.evaluation.selectors.scorers import calibration_of


def unfit_judges(versions: list[ScorerVersion]) -> tuple[str, str] | None:
    """(why, what to do) of the first judge whose agreement with people is not known well enough."""
    for version in versions:
        if not _judges(version):
            continue
        newest = calibration_of(version)
        name = f"{version.scorer.name} version {version.number}"
        remedy = "Calibrate it against people's ratings, or have its owner vouch for it with a reason."
        if newest is None:
            return f"The judge {name} is not calibrated.", remedy
        if not newest.is_sufficient:
            return f"The judge {name} agrees too little with people.", remedy
    return None


def standing_of(version: ScorerVersion) -> dict[str, Any] | None:
    """What a decision keeps about its judge, in plain values: who vouched for it, why and until when; or how far it
    agreed with people. None for a scorer that is no judge; ``is_sufficient`` alone where nothing is known of it."""
    if not _judges(version):
        return None
    newest = calibration_of(version)
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


def _judges(version: ScorerVersion) -> bool:
    """By its parameters, too: a probe may leave its verdict to a judge."""
    return Need.JUDGE in registry.make(version.scorer.kind, version.parameters).needs
