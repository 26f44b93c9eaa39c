"""What tests of gates need: a dataset, scorers, a prompt of versions, and runs whose scores are written as wished."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.utils import timezone

from apps.evaluation.models import (
    Dataset,
    DatasetVersion,
    Evaluation,
    EvaluationItem,
    EvaluationMetric,
    Example,
    ExampleRevision,
    Score,
    Scorer,
    ScorerVersion,
    VersionExample,
)
from apps.evaluation.services.plans import PlanFacts, PlannedMetric, set_plan
from apps.evaluation.services.scorers import create_scorer
from apps.evaluation.types import ItemStatus, MetricRole, RunStatus, Source
from apps.models import services as registry
from apps.prompts import services as prompts
from apps.prompts.models import Prompt, PromptVersion
from apps.tenants.access import Actor
from tests.cast import Cast

MODEL = "acme/judge:1b"
SIZE = 60


def dataset(cast: Cast, size: int = SIZE, slug: str = "golden") -> DatasetVersion:
    """``size`` examples in one version, in slices of two."""
    row = Dataset.objects.create(tenant=cast.claims, slug=slug, name=slug.title(), owner=cast["scientist"])
    examples = Example.objects.bulk_create([Example(dataset=row, key=f"case-{n:04}") for n in range(size)])
    revisions = ExampleRevision.objects.bulk_create(
        [
            ExampleRevision(
                example=example,
                number=1,
                input={"claim": f"Claim {n}: hail broke window {n}."},
                expected=f"hail {n}",
                slice="storm" if n % 2 else "fire",
                content_hash=hashlib.sha256(f"{slug} {n}".encode()).hexdigest(),
                source=Source.UPLOAD,
            )
            for n, example in enumerate(examples)
        ]
    )
    version = DatasetVersion.objects.create(dataset=row, number=1, manifest_hash=slug * 3, size=size)
    VersionExample.objects.bulk_create(
        [VersionExample(version=version, revision=revision, position=n) for n, revision in enumerate(revisions)]
    )
    return version


def scorer(cast: Cast, kind: str = "exact-match", slug: str = "") -> Scorer:
    return create_scorer(actor=cast.actor("scientist"), tenant=cast.claims, kind=kind, slug=slug or kind)


def version_of(made: Scorer) -> ScorerVersion:
    found = made.versions.order_by("-number").first()
    assert found is not None
    return found


def model(cast: Cast) -> None:
    """One that the tenant may call."""
    system = Actor.system("test")
    provider = registry.create_provider(
        actor=system, slug="acme", name="Acme", base_url="https://192.0.43.7/v1", credential_source="none"
    )
    row = registry.create_model(actor=system, slug=MODEL, name="Acme Judge", lifecycle="approved")
    registry.create_endpoint(actor=system, model=row, provider=provider, upstream_model="judge")
    registry.grant_access(actor=system, tenant=cast.claims, project=None, model=row)


@dataclass
class Gated:
    """A prompt of which version 1 is live in production, with a plan."""

    cast: Cast
    prompt: Prompt
    data: DatasetVersion
    scorer: Scorer

    def save(self, text: str, by: str = "developer") -> PromptVersion:
        content = {"messages": [{"role": "user", "content": f"{text} {{{{claim}}}}"}], "model": MODEL}
        return prompts.save_version(actor=self.cast.actor(by), prompt=self.prompt, content=content).version

    def plan(self, **facts: Any) -> None:
        metrics = facts.pop("metrics", [PlannedMetric(self.scorer, MetricRole.PRIMARY)])
        whole = PlanFacts(dataset=self.data.dataset, project=self.cast.triage, metrics=metrics, **facts)
        set_plan(actor=self.cast.actor("scientist"), owner=self.prompt, facts=whole)

    def release(self, number: int) -> None:
        prompts.release_versions(
            actor=self.cast.actor("developer"),
            prompt=self.prompt,
            environment="prod",
            label="live",
            weights={number: 100},
        )


def gated(cast: Cast, size: int = SIZE) -> Gated:
    model(cast)
    prompt = prompts.create_prompt(
        actor=cast.actor("developer"), tenant=cast.claims, slug="triage", name="Claims triage"
    )
    made = Gated(cast, prompt, dataset(cast, size), scorer(cast))
    made.save("Sort.")
    made.release(1)
    return made


def finish(run: Evaluation, *columns: Sequence[float | None], cost: int = 1_000, ms: int = 500) -> None:
    """End ``run`` as a worker would have: one column of scores for each of its metrics, None for an error."""
    metrics = list(run.metrics.select_related("scorer_version").order_by("pk"))
    members = list(run.dataset_version.members.select_related("revision").order_by("position"))
    items = EvaluationItem.objects.bulk_create(
        [
            EvaluationItem(
                evaluation=run,
                revision=member.revision,
                position=member.position,
                status=ItemStatus.DONE,
                output=f"{run.name} says of {member.position}: {columns[0][member.position]}",
                duration_ms=ms,
                cost_picousd=cost,
            )
            for member in members
        ]
    )
    Score.objects.bulk_create(
        [
            Score(
                item=item,
                scorer_version=metric.scorer_version,
                status="error" if column[item.position] is None else "ok",
                value=column[item.position],
                error_code="judge_not_json" if column[item.position] is None else "",
                reason="The judge's answer is no JSON." if column[item.position] is None else "",
            )
            for metric, column in zip(metrics, columns, strict=True)
            for item in items
        ]
    )
    for metric, column in zip(metrics, columns, strict=True):
        known = [value for value in column if value is not None]
        metric.summary = {"mean": sum(known) / len(known), "n": len(known), "errors": len(column) - len(known)}
        metric.save(update_fields=["summary"])
    Evaluation.objects.unscoped("test").filter(pk=run.pk).update(
        status=RunStatus.DONE, finished_at=timezone.now(), items_total=len(items), spent_picousd=cost * len(items)
    )


def run_of(cast: Cast, data: DatasetVersion, name: str, *scorers: Scorer) -> Evaluation:
    """A run that nobody has worked on, of a model alone."""
    run = Evaluation.objects.create(
        tenant=cast.claims, project=cast.triage, name=name, model=MODEL, dataset_version=data
    )
    EvaluationMetric.objects.bulk_create(
        [EvaluationMetric(evaluation=run, scorer_version=version_of(each)) for each in scorers]
    )
    return run


def right(share: float, size: int = SIZE) -> list[float]:
    """Right on the first ``share`` of the examples."""
    return [float(place < share * size) for place in range(size)]
