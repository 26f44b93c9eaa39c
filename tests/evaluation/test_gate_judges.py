"""Which judges a gate relies on: those that are measured and suffice, or that their owner vouches for."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.evaluation.models import (
    Evaluation,
    GateDecision,
    JudgeCalibration,
    Scorer,
)
from apps.evaluation.services import calibration, gates
from apps.evaluation.services.calibration import Rating
from apps.evaluation.services.plans import PlannedMetric
from apps.evaluation.services.scorers import create_scorer
from apps.evaluation.types import GateStatus, MetricRole
from apps.tenants.errors import Invalid
from tests.cast import Cast
from tests.evaluation.gating import Gated, gated, version_of


@pytest.fixture
def world(cast: Cast) -> Gated:
    return gated(cast)


@pytest.fixture
def judge(world: Gated) -> Scorer:
    """The primary metric of the plan: a model's opinion, of which nothing is known yet."""
    made = create_scorer(
        actor=world.cast.actor("scientist"),
        tenant=world.cast.claims,
        kind="judge-reference",
        name="Right",
        parameters={"model": "m"},
    )
    world.plan(metrics=[PlannedMetric(made)])
    return made


def measured(world: Gated, judge: Scorer, agreeing: int, of: int = 40) -> JudgeCalibration:
    ratings = [Rating(float(n % 2), float(n % 2 if n < agreeing else 1 - n % 2)) for n in range(of)]
    return calibration.calibrate_judge(
        actor=world.cast.actor("scientist"), version=version_of(judge), ratings=ratings, source="Rated answers"
    )


def refused(world: Gated, text: str) -> Invalid:
    """Why the gate does not open; nothing was started."""
    before = Evaluation.objects.unscoped("test").count()
    with pytest.raises(Invalid) as error:
        gates.open_gate(actor=world.cast.actor("developer"), version=world.save(text))
    assert (error.value.code, error.value.field) == ("judge_not_calibrated", "metrics")
    assert "have its owner vouch for it" in (error.value.remedy or "")
    assert Evaluation.objects.unscoped("test").count() == before
    return error.value


def opened(world: Gated, text: str) -> GateDecision:
    return gates.open_gate(actor=world.cast.actor("developer"), version=world.save(text))


def test_a_judge_without_calibration_is_refused(world: Gated, judge: Scorer) -> None:
    assert refused(world, "Sort well.").message == "The judge Right version 1 is not calibrated."
    world.plan(metrics=[PlannedMetric(world.scorer), PlannedMetric(judge, MetricRole.GUARD)])
    refused(world, "Sort better.")
    # A gate that opens by itself is refused by the same rule, and its decision says so.
    version = world.save("Sort best.")
    gates.open_gate_of_new_version(version.pk)
    decision = GateDecision.objects.unscoped("test").get(version=version)
    assert (decision.status, decision.candidate) == (GateStatus.FAILED, None)
    assert decision.reasons[0].startswith("The judge Right version 1 is not calibrated.")


def test_a_probe_is_trusted_as_far_as_the_judge_that_it_asks(world: Gated, judge: Scorer) -> None:
    def robust(slug: str, **parameters: Any) -> Scorer:
        actor, tenant = world.cast.actor("scientist"), world.cast.claims
        return create_scorer(actor=actor, tenant=tenant, kind="robustness", slug=slug, parameters=parameters)

    by_judge = robust("by-judge", metric={"scorer": "judge-reference", "parameters": {"model": "m"}})
    world.plan(metrics=[PlannedMetric(world.scorer), PlannedMetric(by_judge, MetricRole.GUARD)])
    error = refused(world, "Sort well.")
    assert error.message == "The judge judge-reference that decides for Robustness version 1 is not calibrated."
    assert "a scorer of its own" in (error.remedy or "")
    row = measured(world, judge, agreeing=38)  # which is that judge: of the same kind and parameters
    decision = opened(world, "Sort better.")
    assert decision.policy["metrics"][1]["judge"]["kappa"] == row.kappa
    # Who only says the question otherwise judges nothing, and needs no calibration.
    world.plan(metrics=[PlannedMetric(robust("reworded", kinds=["paraphrase"], model="m"))])
    assert opened(world, "Sort best.").policy["metrics"][0]["judge"] is None


def test_the_owners_word_opens_the_gate_and_stays_with_the_decision(world: Gated, judge: Scorer) -> None:
    row = calibration.override_calibration(
        actor=world.cast.actor("scientist"), version=version_of(judge), reason="Three of us read 50 verdicts."
    )
    decision = opened(world, "Sort well.")
    (metric,) = decision.policy["metrics"]
    assert metric["judge"] == {
        "is_sufficient": True,
        "by": "Scientist",
        "reason": "Three of us read 50 verdicts.",
        "until": row.expires_at.isoformat(),
    }
    # What is known of the judge later makes no other question of it.
    measured(world, judge, agreeing=40)
    assert gates.open_gate(actor=world.cast.actor("developer"), version=decision.subject).pk == decision.pk


def test_a_measured_judge_opens_the_gate_with_its_kappa(world: Gated, judge: Scorer) -> None:
    row = measured(world, judge, agreeing=38)
    (metric,) = opened(world, "Sort well.").policy["metrics"]
    assert metric["judge"] == {
        "is_sufficient": True,
        "until": row.expires_at.isoformat(),
        "kappa": pytest.approx(0.9),
        "low": row.kappa_low,
        "high": row.kappa_high,
        "pairs": 40,
        "source": "Rated answers",
    }


def test_agreement_that_does_not_suffice_or_has_expired_is_refused(world: Gated, judge: Scorer) -> None:
    measured(world, judge, agreeing=24)
    lack = "The judge Right version 1 agrees too little with people. "
    assert refused(world, "One.").message.startswith(f"{lack}The interval of kappa begins at -0.")
    measured(world, judge, agreeing=12, of=12)  # all of them, and too few
    few = f"{lack}Answers that both rated: 12. A gate asks for 30."
    assert refused(world, "Two.").message == few
    row = measured(world, judge, agreeing=40)
    assert opened(world, "Three.").status == GateStatus.RUNNING
    rows = JudgeCalibration.objects.unscoped("test")
    rows.filter(pk=row.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    assert refused(world, "Four.").message == few
    rows.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert refused(world, "Five.").message == "The judge Right version 1 is not calibrated."


def test_a_judge_that_is_only_shown_needs_no_calibration(world: Gated, judge: Scorer) -> None:
    world.plan(metrics=[PlannedMetric(world.scorer), PlannedMetric(judge, MetricRole.WATCH)])
    decision = opened(world, "Sort well.")
    assert decision.status == GateStatus.RUNNING
    assert [each["judge"] for each in decision.policy["metrics"]] == [None, {"is_sufficient": False}]
