"""A prompt and a route with evaluation plans, and what their gates said of three versions and two revisions.

The answers are made up, as the demonstration's models are: each version is right on so many of the examples. What was
made of them is not: the gates were decided by the same code that decides real ones, and the release is one of theirs.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime, timedelta

from apps.evaluation.content import clean_content
from apps.evaluation.models import (
    DatasetVersion,
    Evaluation,
    EvaluationItem,
    EvaluationMetric,
    GateDecision,
    Score,
    Scorer,
    ScorerVersion,
)
from apps.evaluation.running.summaries import summarise
from apps.evaluation.services import create_dataset, freeze_version, gates
from apps.evaluation.services.examples import Incoming, Provenance, store
from apps.evaluation.services.plans import PlanFacts, PlannedMetric, set_plan, told
from apps.evaluation.services.scorers import create_scorer, ensure_default_scorers
from apps.evaluation.types import ItemStatus, RunStatus, Source, Trigger
from apps.gateway import services as gateway
from apps.gateway.models import RouteRevision
from apps.models.models import Model
from apps.prompts import services as prompts
from apps.prompts.models import Prompt, PromptVersion
from apps.tenants.access import Actor
from apps.tenants.models import Project, Tenant, User
from portal.demo import cast

WHY = "demonstration"
MODEL = "meridian-mini"
EXAMPLES = 120
DAYS = 24


@dataclass(frozen=True, slots=True)
class Told:
    """A version, the share of the examples that it is right on, and what an answer costs and takes."""

    author: str
    message: str
    system: str
    share: float
    picousd: int
    milliseconds: int


VERSIONS = (
    Told("Tomas", "First version", "Say how urgent the claim is: urgent, soon or routine.", 0.68, 41_000_000, 610),
    Told(
        "Mei",
        "Says what urgent means",
        "Say how urgent the claim is: urgent, soon or routine.\nUrgent: somebody is hurt, or damage grows by the hour."
        "\nSoon: somebody cannot live or work as usual. Everything else is routine.",
        0.87,
        52_000_000,
        640,
    ),
    Told("Tomas", "Shorter", "One word for the claim: urgent, soon or routine.", 0.59, 38_000_000, 600),
    Told(
        "Mei",
        "Asks for one word",
        "Say how urgent the claim is in one word: urgent, soon or routine.\nUrgent: somebody is hurt, or damage grows"
        " by the hour.\nSoon: somebody cannot live or work as usual. Everything else is routine.",
        0.86,
        50_000_000,
        630,
    ),
)
CLAIMS = (
    ("Water runs from the ceiling and does not stop", "urgent", "water"),
    ("A branch went through the bedroom window; the family sleeps elsewhere", "soon", "storm"),
    ("A scratch on the door of a parked car", "routine", "motor"),
    ("The rider is in hospital, the other driver has left", "urgent", "motor"),
    ("Hail broke two skylights over the workshop", "soon", "storm"),
    ("A phone was dropped and its screen is cracked", "routine", "household"),
)


def seed_gates(now: datetime) -> None:
    """Needs the demonstration's tenants, people and models."""
    people = {person.name.split()[0]: Actor.of_user(User.objects.get(email=person.email)) for person in cast.PEOPLE}
    mei = people["Mei"]
    tenant = Tenant.objects.for_actor(mei).get(slug=cast.TENANTS[0].slug)
    project = Project.objects.for_tenant(tenant).get(slug="triage-dev")
    data = _dataset(tenant, mei)
    ensure_default_scorers(actor=mei, tenant=tenant)
    scorer = create_scorer(actor=mei, tenant=tenant, kind="exact-match", slug="right-urgency", name="Right urgency")
    prompt = prompts.create_prompt(
        actor=mei,
        tenant=tenant,
        slug="urgency",
        name="How urgent is a claim",
        description="Sorts new claims by how soon somebody has to act.",
        use_case="classify",
        tags=["triage"],
    )
    versions = [_version(people, prompt, number, each, now) for number, each in enumerate(VERSIONS, 1)]
    prompts.release_versions(
        actor=people["Tomas"], prompt=prompt, environment="prod", label="live", weights={1: 100}, reason="Start."
    )
    facts = PlanFacts(
        dataset=data.dataset,
        project=project,
        metrics=[PlannedMetric(scorer)],
        policy="automatic",
        most_cost_ratio=1.5,
    )
    plan = set_plan(actor=mei, owner=prompt, facts=facts)
    measure = scorer.versions.get()
    runs = [
        _run(project, MODEL, version, data, measure, each, version.number, now)
        for version, each in zip(versions, VERSIONS, strict=True)
    ]
    metric = {"name": scorer.name, "version": measure.number}
    for place, against in ((1, 0), (2, 1), (3, 1)):
        policy = told(plan)
        policy |= {
            "dataset_version": data.number,
            "model": MODEL,
            "baseline_version": versions[against].number,
            "metrics": [each | metric for each in policy["metrics"]],
            "trigger": Trigger.VERSION,
            "opened_by": "evaluation plan",
        }
        decision = GateDecision.objects.create(
            tenant=tenant,
            prompt=prompt,
            version=versions[place],
            candidate=runs[place],
            baseline=runs[against],
            policy=policy,
        )
        gates.decide_gate(decision.pk)
        moment = now - timedelta(days=DAYS - 6 * place, hours=-1)
        GateDecision.objects.unscoped(WHY).filter(pk=decision.pk).update(created_at=moment, decided_at=moment)
    _seed_route(people, project, data, scorer, measure, now)


# What a route sends to: the first is there, the second is better, the third is not.
BEHIND = (
    Told("Priya", "As it was", "meridian-mini", 0.66, 41_000_000, 610),
    Told("Priya", "The large model, for its judgement", "meridian-large", 0.88, 58_000_000, 720),
    Told("Priya", "The sandbox, which costs nothing", "sandbox-chat", 0.41, 1_000_000, 90),
)


def _seed_route(
    people: dict[str, Actor],
    project: Project,
    data: DatasetVersion,
    scorer: Scorer,
    measure: ScorerVersion,
    now: datetime,
) -> None:
    priya, tenant = people["Priya"], project.tenant
    models = Model.objects.in_bulk(field_name="slug")
    route = gateway.create_route(
        actor=priya,
        tenant=tenant,
        slug="claims-urgency",
        name="Claims, urgency",
        description="What sorts new claims. Guarded: another model behind it has to be better at it.",
        targets=[{"model": models[BEHIND[0].system]}],
        message=BEHIND[0].message,
    )
    facts = PlanFacts(
        dataset=data.dataset,
        project=project,
        metrics=[PlannedMetric(scorer)],
        policy="automatic",
        most_cost_ratio=2.0,
    )
    plan = set_plan(actor=people["Mei"], owner=route, facts=facts)
    runs = [_run(project, f"{route.slug}@1", None, data, measure, BEHIND[0], 1, now)]
    for number, told_of in enumerate(BEHIND[1:], 2):
        saved = gateway.update_route(
            actor=priya, route=route, targets=[{"model": models[told_of.system]}], message=told_of.message
        )
        assert saved.proposed is not None
        runs.append(_run(project, saved.proposed.called, None, data, measure, told_of, number, now))
        policy = told(plan)
        policy |= {
            "dataset_version": data.number,
            "model": saved.proposed.called,
            "baseline_version": number - 1,
            "metrics": [each | {"name": scorer.name, "version": measure.number} for each in policy["metrics"]],
            "trigger": Trigger.VERSION,
            "opened_by": "evaluation plan",
        }
        decision = GateDecision.objects.create(
            tenant=tenant,
            route=saved.route,
            revision=saved.proposed,
            candidate=runs[-1],
            baseline=runs[-2],
            policy=policy,
        )
        gates.decide_gate(decision.pk)
        moment = now - timedelta(days=DAYS - 6 * (number - 1), hours=-1)
        GateDecision.objects.unscoped(WHY).filter(pk=decision.pk).update(created_at=moment, decided_at=moment)
    for number in range(1, len(BEHIND) + 1):
        moment = now - timedelta(days=DAYS - 6 * (number - 1))
        row = RouteRevision.objects.unscoped(WHY).filter(route=route, number=number)
        row.update(created_at=moment)
        row.exclude(in_force_at=None).update(in_force_at=moment + timedelta(hours=1))


def _dataset(tenant: Tenant, owner: Actor) -> DatasetVersion:
    row = create_dataset(
        actor=owner,
        tenant=tenant,
        slug="urgency-golden",
        name="Urgency, golden set",
        description="Claims that two handlers sorted alike.",
    )
    incoming = []
    for n in range(EXAMPLES):
        text, urgency, kind = CLAIMS[n % len(CLAIMS)]
        content = clean_content(input={"claim": f"{text} (claim {n + 1})."}, expected=urgency, slice=kind)
        incoming.append(Incoming(f"claim-{n:03}", content))
    store(row, incoming, Provenance(Source.PERSON, owner.user))
    return freeze_version(actor=owner, dataset=row, message="The first 120").version


def _version(people: dict[str, Actor], prompt: Prompt, number: int, said: Told, now: datetime) -> PromptVersion:
    content = {
        "messages": [{"role": "system", "content": said.system}, {"role": "user", "content": "{{claim}}"}],
        "parameters": {"temperature": 0, "max_tokens": 4},
        "model": MODEL,
    }
    saved = prompts.save_version(actor=people[said.author], prompt=prompt, content=content, message=said.message)
    moment = now - timedelta(days=DAYS - 6 * (number - 1))
    PromptVersion.objects.unscoped(WHY).filter(pk=saved.version.pk).update(created_at=moment)
    return saved.version


def _run(
    project: Project,
    model: str,
    version: PromptVersion | None,
    data: DatasetVersion,
    scorer: ScorerVersion,
    said: Told,
    number: int,
    now: datetime,
) -> Evaluation:
    moment = now - timedelta(days=DAYS - 6 * (number - 1))
    what = model if version is None else f"{version.prompt.name} v{version.number}"
    author = User.objects.get(email=f"{said.author.lower()}@lobby.example") if version is None else version.author
    run = Evaluation.objects.create(
        tenant=project.tenant,
        project=project,
        name=f"{what} on {data.dataset.name} v{data.number}",
        prompt_version=version,
        model=model,
        dataset_version=data,
        split="test",
        trigger=Trigger.VERSION,
        status=RunStatus.DONE,
        items_total=data.size,
        spent_picousd=said.picousd * data.size,
        created_by=author,
        started_at=moment,
        finished_at=moment + timedelta(minutes=1),
    )
    metric = EvaluationMetric.objects.create(evaluation=run, scorer_version=scorer, role="primary")
    members = list(data.members.select_related("revision").order_by("position"))
    # The same examples are hard for every version: what differs between two of them is what their shares say.
    hard = random.Random(7).sample(range(len(members)), len(members))  # noqa: S311
    right = [rank >= (1 - said.share) * len(members) for rank in hard]
    chance = random.Random(number)  # noqa: S311
    items = EvaluationItem.objects.bulk_create(
        [
            EvaluationItem(
                evaluation=run,
                revision=member.revision,
                position=member.position,
                status=ItemStatus.DONE,
                output=_said(str(member.revision.expected), good),
                duration_ms=int(said.milliseconds * chance.uniform(0.7, 1.4)),
                input_tokens=40,
                output_tokens=1,
                cost_picousd=said.picousd,
                finished_at=moment,
            )
            for member, good in zip(members, right, strict=True)
        ]
    )
    Score.objects.bulk_create(
        [Score(item=item, scorer_version=scorer, value=float(good)) for item, good in zip(items, right, strict=True)]
    )
    summarise(run)
    metric.refresh_from_db()
    Evaluation.objects.unscoped(WHY).filter(pk=run.pk).update(created_at=moment)
    return run


def _said(expected: str, good: bool) -> str:
    return expected if good else {"urgent": "soon", "soon": "routine", "routine": "soon"}[expected]
