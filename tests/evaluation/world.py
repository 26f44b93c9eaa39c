"""A running Lobby in front of a fake upstream, with a member, a dataset and scorers: where runs are tried for real."""

from __future__ import annotations

from typing import Any

from tests.gateway.world import World

KINDS = ("exact-match", "normalised-match", "contains")
_PRELUDE = """
from apps.evaluation.models import *
from apps.evaluation.running import store
from apps.evaluation.running.worker import Worker
from apps.evaluation.services import runs, scorers
from apps.evaluation.services.runs import MetricChoice, RunPlan
from apps.evaluation.types import *
from apps.prompts import services as prompts
from apps.tenants.types import Role
import hashlib

tenant = Tenant.objects.unscoped("test").get(slug="acme")
project = Project.objects.unscoped("test").filter(tenant=tenant, slug="evals").first()
member = User.objects.filter(email="ada@example.com").first()
ada = Actor.of_user(member) if member else None


def run_named(public_id):
    return Evaluation.objects.unscoped("test").get(public_id=public_id)


def facts_of(run):
    run.refresh_from_db()
    items = list(EvaluationItem.objects.unscoped("test").filter(evaluation=run).order_by("position", "repetition"))
    scores = Score.objects.unscoped("test").filter(item__evaluation=run).values_list(
        "item__position", "item__repetition", "scorer_version__scorer__slug", "status", "value", "error_code"
    )
    return {
        "status": run.status,
        "error": run.error,
        "spent": run.spent_picousd,
        "estimate": run.estimate_picousd,
        "items": [
            {
                "status": item.status,
                "output": item.output,
                "reused": item.is_reused,
                "cost": item.cost_picousd,
                "tries": item.tries,
                "ms": [item.first_token_ms, item.duration_ms],
                "tool_calls": item.tool_calls,
                "request_id": item.request_id,
                "error_code": item.error_code,
                "error": item.error,
            }
            for item in items
        ],
        "scores": sorted(map(list, scores)),
        "metrics": {
            metric.scorer_version.scorer.slug: metric.summary
            for metric in EvaluationMetric.objects.unscoped("test").filter(evaluation=run)
        },
    }
"""


class RunsWorld:
    """``run`` runs source in the Lobby's environment, with evaluation's services at hand."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.run(
            """
project = services.create_project(actor=actor, tenant=tenant, slug="evals", name="Evals")
member = User.objects.create_user("ada@example.com", "correct horse battery staple", name="Ada")
Membership.objects.create(tenant=tenant, user=member, role=Role.DATA_SCIENTIST)
for kind in kinds:
    scorers.create_scorer(actor=Actor.of_user(member), tenant=tenant, kind=kind)
from apps.tenants.control_plane import control_plane_changed
control_plane_changed()
""",
            kinds=KINDS,
        )

    def run(self, source: str, **values: Any) -> Any:
        return self.world.shell.run(_PRELUDE + source, **values)

    def dataset(self, slug: str, examples: list[dict[str, Any]]) -> int:
        """A frozen version of a dataset: its primary key."""
        pk: int = self.run(
            """
dataset = Dataset.objects.create(tenant=tenant, slug=slug, name=slug)
digest = lambda value: hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
import json
rows = Example.objects.bulk_create([Example(dataset=dataset, key=str(at)) for at in range(len(examples))])
revisions = ExampleRevision.objects.bulk_create([
    ExampleRevision(example=row, number=1, source=Source.UPLOAD, content_hash=digest(each), **each)
    for row, each in zip(rows, examples)
])
version = DatasetVersion.objects.create(dataset=dataset, number=1, manifest_hash=digest(slug), size=len(rows))
VersionExample.objects.bulk_create([
    VersionExample(version=version, revision=revision, position=at) for at, revision in enumerate(revisions)
])
result = version.pk
""",
            slug=slug,
            examples=examples,
        )
        return pk

    def start(self, version: int, model: str = "fake-chat", *, streamed: bool = False, **plan: Any) -> str:
        """Queue a run with all three scorers, and one of the first token if it is ``streamed``; its public id."""
        public_id: str = self.run(
            """
version = DatasetVersion.objects.unscoped("test").select_related("dataset").get(pk=version)
metrics = [MetricChoice(v) for v in ScorerVersion.objects.unscoped("test")
           .filter(scorer__kind__in=kinds).select_related("scorer")]
if streamed:
    first = Scorer.objects.unscoped("test").filter(tenant=tenant, kind="first-token").first()
    first = first or scorers.create_scorer(actor=ada, tenant=tenant, kind="first-token")
    metrics.append(MetricChoice(first.versions.select_related("scorer").get()))
plan = RunPlan(project=project, dataset_version=version, metrics=metrics, model=model, **plan)
result = runs.start_run(actor=ada, plan=plan).public_id
""",
            version=version,
            model=model,
            plan=plan,
            streamed=streamed,
            kinds=KINDS,
        )
        return public_id

    def work(self, public_id: str, seconds: float = 60.0) -> str:
        """Be a worker at the run until it leaves it; how it left."""
        outcome: str = self.run(
            "result = Worker(store.find_run(public_id)).work(seconds).value", public_id=public_id, seconds=seconds
        )
        return outcome

    def facts(self, public_id: str) -> dict[str, Any]:
        facts: dict[str, Any] = self.run("result = facts_of(run_named(public_id))", public_id=public_id)
        return facts
