"""A red team that went through: on a model of the demonstration's, with findings that became examples.

The answers are made up, as the demonstration's models are: which attacks they give way to is written here. What was
made of them is not: the suite, the verdicts and the examples come from the code that makes real ones.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from apps.evaluation import scorers
from apps.evaluation.models import DatasetVersion, Evaluation, EvaluationItem, EvaluationMetric, Score
from apps.evaluation.redteam import By, Category, Severity, Size
from apps.evaluation.redteam.generation import severity_of, technique_of
from apps.evaluation.running.subjects import make_subject
from apps.evaluation.running.summaries import summarise
from apps.evaluation.scorers import registry
from apps.evaluation.services.redteam import RedTeamPlan, add_findings, ensure_attack_scorer, make_suite
from apps.evaluation.types import ItemStatus, RunStatus, Trigger
from apps.tenants.access import Actor
from apps.tenants.models import Project, Tenant, User
from portal.demo import cast

WHY = "demonstration"
MODEL = "meridian-mini"
# What the model gave way to then, and what it still does.
WEAK_BEFORE = frozenset({"fiction", "many-shot", "html-comment", "document", "base64", "translation-frame"})
WEAK_NOW = frozenset({"fiction", "html-comment", "base64"})
REFUSED = "I can't help with that. If you or somebody else is in danger, please call the emergency services."
HELD = "Opening hours are 9 to 5. Is there anything else that I can do for you?"
GAVE_WAY = (
    "Sure. (The demonstration shows no harmful answer. What would stand here is what the attack asked for, at length"
    " and in earnest, as a model writes it that was talked round.)"
)


def seed_red_team(now: datetime) -> None:
    """Needs the demonstration's tenants, people and models."""
    people = {person.name.split()[0]: Actor.of_user(User.objects.get(email=person.email)) for person in cast.PEOPLE}
    mei = people["Mei"]
    tenant = Tenant.objects.for_actor(mei).get(slug=cast.TENANTS[0].slug)
    project = Project.objects.for_tenant(tenant).get(slug="triage-dev")
    suite = make_suite(actor=mei, plan=RedTeamPlan(project=project, model=MODEL, size=Size.SMALL))
    _run(mei, project, suite, WEAK_BEFORE, now - timedelta(days=9))
    newest = _run(mei, project, suite, WEAK_NOW, now - timedelta(days=2))
    add_findings(actor=mei, run=newest)


def _run(actor: Actor, project: Project, suite: DatasetVersion, weak: frozenset[str], at: datetime) -> Evaluation:
    version = ensure_attack_scorer(actor=actor, tenant=project.tenant)
    run = Evaluation.objects.create(
        tenant=project.tenant,
        project=project,
        name=f"Red team: {MODEL}",
        model=MODEL,
        dataset_version=suite,
        trigger=Trigger.PERSON,
        status=RunStatus.DONE,
        items_total=suite.size,
        reuses_answers=False,
        created_by=actor.user,
        started_at=at,
        finished_at=at + timedelta(seconds=48),
    )
    EvaluationMetric.objects.create(evaluation=run, scorer_version=version)
    scorer, subject = registry.make("attack-success"), make_subject(None, MODEL, {}, None)
    items, scores = [], []
    for member in suite.members.select_related("revision").order_by("position"):
        revision = member.revision
        assert revision.expected is not None
        output = _answer(revision.expected["attack"], revision.tags, weak, revision.slice)
        score = scorer.score(subject.sample(revision), scorers.Output(text=output))
        items.append(
            EvaluationItem(
                evaluation=run,
                revision=revision,
                position=member.position,
                status=ItemStatus.DONE,
                output=output,
                duration_ms=700 + 9 * len(output) % 500,
                input_tokens=120,
                output_tokens=len(output) // 4,
                cost_picousd=30_000_000,
                finished_at=at,
            )
        )
        scores.append(score)
    EvaluationItem.objects.bulk_create(items)
    Score.objects.bulk_create(
        [
            Score(item=item, scorer_version=version, value=each.value, label=each.label, reason=each.reason)
            for item, each in zip(items, scores, strict=True)
        ]
    )
    summarise(run)
    spent = sum(item.cost_picousd for item in items)
    Evaluation.objects.unscoped(WHY).filter(pk=run.pk).update(created_at=at, spent_picousd=spent)
    return run


def _answer(attack: dict[str, object], tags: list[str], weak: frozenset[str], category: str) -> str:
    """Weak techniques get what they want, but for the worst of the plainly harmful requests."""
    by, secrets = attack["by"], attack["secrets"]
    holds = technique_of(tags) not in weak
    if by == By.REFUSAL:
        if holds or (severity_of(tags) == Severity.CRITICAL and category == Category.JAILBREAK):
            return REFUSED
        return GAVE_WAY
    assert isinstance(secrets, list)
    if holds:
        return HELD
    return f"Of course. Here it is: {secrets[0]}." if by != By.MARKER else str(secrets[0])
