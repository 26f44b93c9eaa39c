"""Red-team runs: a suite of attacks as a dataset's version, an ordinary run on it, and what got through as examples."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from django.db import transaction

from apps.evaluation.content import clean_content
from apps.evaluation.errors import RunRefused
from apps.evaluation.models import Dataset, DatasetVersion, Evaluation, Example, Scorer, ScorerVersion
from apps.evaluation.redteam import Attack, Category, Size, generate
from apps.evaluation.redteam.generation import DEFAULT_SEED
from apps.evaluation.redteam.shaping import expected_of, for_model, for_prompt
from apps.evaluation.running.subjects import RECORDED
from apps.evaluation.selectors.redteam import KIND, TAG, bounded_slug, findings_of, findings_slug, report_of
from apps.evaluation.services.datasets import create_dataset, open_for_changes
from apps.evaluation.services.estimates import Estimate, estimate_of
from apps.evaluation.services.examples import Incoming, Outcome, Provenance, store
from apps.evaluation.services.runs import MetricChoice, RunPlan, caller_of, check_model, start_run
from apps.evaluation.services.scorers import create_scorer, current_version
from apps.evaluation.services.versions import freeze_version
from apps.evaluation.types import Source, Trigger
from apps.prompts.models import Prompt, PromptVersion
from apps.tenants import audit, validation
from apps.tenants.access import Actor, require
from apps.tenants.errors import Conflict
from apps.tenants.models import Project, Tenant

WHY = "of a suite of attacks that is being put together"
MOST_SEED: Final = 2**31 - 1
CONCURRENCY: Final = 16
SUITE_NAME: Final = "Red team: attacks"
FINDINGS_NAME: Final = "Red team: findings"


@dataclass(frozen=True, slots=True)
class RedTeamPlan:
    """What to attack and with how much: ``prompt_version`` on ``model`` (empty: the version's own), or ``model``."""

    project: Project
    prompt_version: PromptVersion | None = None
    model: str = ""
    categories: Collection[str] = field(default_factory=lambda: list(Category))
    size: str = Size.STANDARD
    seed: int = DEFAULT_SEED
    budget_picousd: int | None = None
    name: str = ""


@dataclass(frozen=True, slots=True)
class Added:
    """What became of findings: ``new`` ones, and those that the dataset had already."""

    dataset: Dataset
    new: int
    known: int


def estimate_red_team(*, actor: Actor, plan: RedTeamPlan) -> Estimate:
    """What it would cost and take; nothing is made. Raises as ``start_red_team`` does for what can be told before."""
    require(actor, "evaluation.run", plan.project.tenant, plan.project, what="run a red team")
    plan = _checked(actor, plan)
    rows = _rows(plan)
    characters = sum(len(json.dumps(row.content.input, ensure_ascii=False)) for row in rows)
    version = plan.prompt_version
    return estimate_of(
        len(rows),
        characters,
        tenant=plan.project.tenant,
        prompt_version=version,
        model=plan.model or (version.model if version is not None else ""),
        parameters={},
        scorers=(),
        repetitions=1,
        concurrency=CONCURRENCY,
    )


def start_red_team(*, actor: Actor, plan: RedTeamPlan, trigger: str = Trigger.PERSON) -> Evaluation:
    """Make the suite, if it is not there yet, and queue a run on it.

    Raises:
        RunRefused: something of the plan does not fit; ``field`` names it.
        Conflict: the suite's dataset is archived, or another one has its name.
    """
    require(actor, "evaluation.run", plan.project.tenant, plan.project, what="run a red team")
    caller_of(actor, plan.project.tenant)
    plan = _checked(actor, plan)
    suite = make_suite(actor=actor, plan=plan)
    target = plan.model
    if plan.prompt_version is not None:
        target = f"{plan.prompt_version.prompt.name} v{plan.prompt_version.number}"
    run = RunPlan(
        project=plan.project,
        dataset_version=suite,
        metrics=[MetricChoice(ensure_attack_scorer(actor=actor, tenant=plan.project.tenant))],
        prompt_version=plan.prompt_version,
        model=plan.model,
        name=plan.name or f"Red team: {target}"[:200],
        budget_picousd=plan.budget_picousd,
        # What stands behind a model's name may have changed: what held yesterday is asked again.
        reuses_answers=False,
        concurrency=CONCURRENCY,
    )
    return start_run(actor=actor, plan=run, trigger=trigger)


@transaction.atomic
def make_suite(*, actor: Actor, plan: RedTeamPlan) -> DatasetVersion:
    """The frozen version that holds exactly these attacks, and whatever examples people have added to the dataset."""
    prompt = plan.prompt_version.prompt if plan.prompt_version is not None else None
    tenant = plan.project.tenant
    dataset = _dataset(
        actor,
        tenant,
        bounded_slug(TAG, prompt.slug if prompt is not None else ""),
        SUITE_NAME if prompt is None else f"{SUITE_NAME} on {prompt.name}"[:200],
        "Generated by Red team. A version is a suite; what is added here by hand is run with it.",
    )
    dataset = open_for_changes(actor, dataset, "make a suite of attacks")
    rows = _rows(plan)
    keys = {row.key for row in rows}
    generated = Example.objects.unscoped(WHY).filter(dataset=dataset, is_removed=False, current__source=Source.TEMPLATE)
    stale = [pk for pk, key in generated.values_list("pk", "key") if key not in keys]
    Example.objects.unscoped(WHY).filter(pk__in=stale).update(is_removed=True)
    store(dataset, rows, Provenance(Source.TEMPLATE, actor.user))
    names = "all categories" if len(plan.categories) == len(Category) else ", ".join(sorted(plan.categories))
    message = f"{Size(plan.size).label} suite, {names}, seed {plan.seed}"
    return freeze_version(actor=actor, dataset=dataset, message=message[:300]).version


@transaction.atomic
def ensure_attack_scorer(*, actor: Actor, tenant: Tenant) -> ScorerVersion:
    rows = Scorer.objects.for_tenant(tenant).filter(kind=KIND, is_archived=False).select_related("tenant")
    scorer = rows.order_by("pk").first()
    if scorer is None:
        taken = Scorer.objects.for_tenant(tenant).filter(slug=KIND).exists()
        scorer = create_scorer(actor=actor, tenant=tenant, kind=KIND, slug=f"{KIND}-2" if taken else KIND)
    return current_version(actor=actor, scorer=scorer)


@transaction.atomic
def add_findings(*, actor: Actor, run: Evaluation, keys: Collection[str] | None = None) -> Added:
    """The attacks of the run that got through, or those of them that ``keys`` names, as examples to test by from now
    on. Asked again, it adds none twice."""
    require(actor, "dataset.edit", run.tenant, what="add examples")
    found = [each for each in report_of(run).findings if keys is None or each.key in keys]
    if not found:
        raise Conflict("None of these attacks got through.", code="no_findings")
    prompt = run.prompt_version.prompt if run.prompt_version is not None else None
    dataset = _dataset(
        actor,
        run.tenant,
        findings_slug(prompt.slug if prompt is not None else ""),
        FINDINGS_NAME if prompt is None else f"{FINDINGS_NAME} on {prompt.name}"[:200],
        "Attacks that got through once. Score them with attack-success: none should again.",
        prompt,
    )
    dataset = open_for_changes(actor, dataset, "add examples")
    rows = []
    for item in findings_of(run, [each.item_id for each in found]):
        revision = item.revision
        content = clean_content(
            input=revision.input,
            expected=revision.expected,
            context=revision.context,
            tags=revision.tags,
            slice=revision.slice,
        )
        rows.append(Incoming(revision.example.key, content, f"run {run.public_id}, item {item.pk}"))
    stored = store(dataset, _once(rows), Provenance(Source.ATTACK, actor.user))
    new = sum(each.outcome != Outcome.SAME for each in stored)
    if new:
        told = {"dataset": dataset.slug, "run": run.public_id, "examples": new}
        audit.record(actor, "dataset.findings_added", dataset, told, run.tenant)
    return Added(dataset, new, len(stored) - new)


def _dataset(
    actor: Actor, tenant: Tenant, slug: str, name: str, description: str, prompt: Prompt | None = None
) -> Dataset:
    """The one of this name, made where it is not there."""
    found = Dataset.objects.for_tenant(tenant).filter(slug=slug).select_related("tenant").first()
    if found is None:
        return create_dataset(
            actor=actor, tenant=tenant, slug=slug, name=name, description=description, tags=[TAG], prompt=prompt
        )
    if TAG not in found.tags:
        raise Conflict(
            f"{tenant.name} has a dataset {slug!r} that is no red team's.",
            code="slug_taken",
            remedy=f"Give it the tag {TAG} if it may be used for attacks.",
        )
    return found


def _rows(plan: RedTeamPlan) -> list[Incoming]:
    version = plan.prompt_version
    content = version.content if version is not None else None
    rows = []
    for attack in generate(plan.categories, plan.size, plan.seed):
        given = for_prompt(attack, content) if content is not None else for_model(attack)
        rows.append(Incoming(attack.key, _clean(attack, given, is_prompt=content is not None)))
    return rows


def _clean(attack: Attack, given: dict[str, Any], *, is_prompt: bool) -> Any:
    return clean_content(
        input=given,
        expected=expected_of(attack, is_prompt=is_prompt),
        tags=attack.tags,
        slice=attack.category,
    )


def _checked(actor: Actor, plan: RedTeamPlan) -> RedTeamPlan:
    wanted = set(plan.categories)
    if not wanted:
        raise RunRefused("Choose at least one category.", field="categories")
    if unknown := sorted(wanted - set(Category.values)):
        raise RunRefused(
            f"{unknown[0][:40]!r} is no category.", field="categories", remedy=f"There are: {', '.join(Category)}."
        )
    validation.clean_choice(plan.size, Size, field="size")
    validation.clean_number(plan.seed, field="seed", minimum=0, maximum=MOST_SEED)
    if plan.prompt_version is None and not plan.model:
        raise RunRefused("Choose a prompt, a model or a route to attack.", field="model")
    if plan.prompt_version is not None and plan.prompt_version.prompt.tenant_id != plan.project.tenant_id:
        raise RunRefused("The prompt is not this tenant's.", field="prompt")
    version = plan.prompt_version
    model = plan.model or (version.model if version is not None else "")
    if model == RECORDED:
        raise RunRefused("A red team asks a model: recorded answers cannot be attacked.", field="model")
    check_model(actor, plan.project, version, model)
    return plan


def _once(rows: Iterable[Incoming]) -> list[Incoming]:
    """Of several repetitions of an attack, one."""
    return list({row.key: row for row in rows}.values())
