"""Any two runs weighed against each other, by a gate or because a person asked."""

from __future__ import annotations

from typing import Any, Final

from django.db import transaction
from django.utils import timezone

from apps.evaluation import evidence
from apps.evaluation.models import Comparison, Evaluation, GateDecision
from apps.evaluation.terms import Terms
from apps.evaluation.types import LIVE_RUNS, ComparisonStatus
from apps.tenants.access import Actor, require
from apps.tenants.errors import Invalid
from apps.tenants.jobs import enqueue

WHY: Final = "two runs of one tenant that are weighed against each other"


@transaction.atomic
def compare_evaluations(*, actor: Actor, baseline: Evaluation, candidate: Evaluation) -> Comparison:
    """The two weighed against each other, whatever they evaluated: versions, models, routes. A worker does it, once
    both are done; the same two again are the same comparison."""
    tenant = candidate.tenant
    require(actor, "evaluation.run", tenant, what="compare evaluations")
    if baseline.tenant_id != tenant.pk:
        raise Invalid("The two evaluations are not of one tenant.", field="baseline")
    if baseline.pk == candidate.pk:
        raise Invalid("An evaluation is not compared with itself.", field="baseline")
    comparison, created = Comparison.objects.for_tenant(tenant).get_or_create(
        baseline=baseline,
        candidate=candidate,
        defaults={
            "tenant": tenant,
            "terms": evidence.terms_of(candidate).as_json(),
            "created_by": actor.user,
        },
    )
    if not created and comparison.status == ComparisonStatus.FAILED:
        comparison.status, comparison.error = ComparisonStatus.WAITING, ""
        comparison.save(update_fields=["status", "error"])
    if comparison.status == ComparisonStatus.WAITING:
        enqueue("evaluation.weigh", comparison.pk)
    return comparison


def weigh_comparison(comparison_id: int) -> None:
    """Nothing, where it is weighed or a run goes on."""
    rows = Comparison.objects.unscoped(WHY).select_related("tenant", *sides_of("candidate"), *sides_of("baseline"))
    comparison = rows.filter(pk=comparison_id, status=ComparisonStatus.WAITING).first()
    if comparison is None:
        return
    runs = (comparison.baseline, comparison.candidate)
    if any(run.status in LIVE_RUNS for run in runs):
        return
    values: dict[str, Any] = {"weighed_at": timezone.now()}
    try:
        found = evidence.weigh(comparison.baseline, comparison.candidate, Terms.of(comparison.terms))
        values |= {"status": ComparisonStatus.DONE, "verdict": found["verdict"], "evidence": found}
    except ValueError as error:
        values |= {"status": ComparisonStatus.FAILED, "error": str(error)[:500]}
    Comparison.objects.unscoped(WHY).filter(pk=comparison.pk, status=ComparisonStatus.WAITING).update(**values)


def keep_comparison(decision: GateDecision, found: dict[str, Any]) -> None:
    """So that the page of the two runs shows what the gate saw."""
    assert decision.baseline is not None
    assert decision.candidate is not None
    Comparison.objects.unscoped(WHY).update_or_create(
        baseline=decision.baseline,
        candidate=decision.candidate,
        defaults={
            "tenant": decision.tenant,
            "terms": Terms.of(decision.policy).as_json(),
            "status": ComparisonStatus.DONE,
            "verdict": found["verdict"],
            "evidence": found,
            "error": "",
            "weighed_at": timezone.now(),
        },
    )


def sides_of(side: str) -> tuple[str, str]:
    return f"{side}__prompt_version", f"{side}__dataset_version__dataset"
