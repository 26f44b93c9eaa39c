"""Which judges a gate may rely on: those whose agreement with people is known, and is enough."""

from __future__ import annotations

from typing import Final

from django.utils import timezone

from apps.evaluation.models import JudgeCalibration, ScorerVersion
from apps.evaluation.scorers import Need, registry

WHY: Final = "the judges of a gate, a monitor or a plan that its caller reached"


def unfit_judges(versions: list[ScorerVersion]) -> tuple[str, str] | None:
    """(why, what to do) of the first judge whose agreement with people is not known well enough."""
    for version in versions:
        made = registry.make(version.scorer.kind, version.parameters)
        if Need.JUDGE not in made.needs:
            continue
        rows = JudgeCalibration.objects.unscoped(WHY).filter(version=version, expires_at__gt=timezone.now())
        newest = rows.order_by("-pk").first()
        name = f"{version.scorer.name} version {version.number}"
        remedy = "Calibrate it against people's ratings, or have its owner vouch for it with a reason."
        if newest is None:
            return f"The judge {name} is not calibrated.", remedy
        if not newest.is_sufficient:
            return f"The judge {name} agrees too little with people.", remedy
    return None
