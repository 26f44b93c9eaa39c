"""Sweeps: one question asked of several versions, models and parameters at once, and their runs laid side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any, Final

from django.db import transaction

from apps.evaluation.errors import RunRefused
from apps.evaluation.models import Evaluation
from apps.evaluation.models.runs import new_public_id
from apps.evaluation.services.estimates import Estimate
from apps.evaluation.services.runs import RunPlan, estimate_run, name_of, start_run
from apps.evaluation.types import Trigger
from apps.prompts.models import PromptVersion
from apps.tenants.access import Actor
from apps.tenants.models import User

MOST_RUNS: Final = 24


@dataclass(frozen=True, slots=True)
class Axes:
    """What is tried, each with each. An empty axis stays as the plan has it."""

    prompt_versions: Sequence[PromptVersion] = ()
    models: Sequence[str] = ()
    parameters: Mapping[str, Sequence[Any]] = field(default_factory=dict)


def plans_of(plan: RunPlan, axes: Axes) -> list[RunPlan]:
    """A plan for each combination, named after what it tries; the first one is what the others are compared with.

    Raises:
        RunRefused: there are too many, or the same twice.
    """
    versions: list[PromptVersion | None] = _each_once(axes.prompt_versions, "prompt") or [plan.prompt_version]
    models = _each_once(axes.models, "model") or [plan.model]
    names = list(axes.parameters)
    values = [_each_once(axes.parameters[name], "parameters") or [None] for name in names]
    count = len(versions) * len(models)
    for each in values:
        count *= len(each)
    if count > MOST_RUNS:
        raise RunRefused(f"A sweep is of at most {MOST_RUNS} runs; these are {count:,}.", field="parameters")
    made = []
    for version, model, *chosen in product(versions, models, *values):
        given = dict(zip(names, chosen, strict=True))
        one = replace(plan, prompt_version=version, model=model, parameters={**(plan.parameters or {}), **given})
        told = [f"v{version.number}"] if version is not None and len(versions) > 1 else []
        told += [model] if len(models) > 1 else []
        told += [
            f"{name} {value}" for (name, value), every in zip(given.items(), values, strict=True) if len(every) > 1
        ]
        if told:
            one = replace(one, name=_named(one, ", ".join(told)))
        made.append(one)
    return made


def _each_once(values: Sequence[Any], field: str) -> list[Any]:
    found = list(values)
    if any(value in found[:place] for place, value in enumerate(found)):
        raise RunRefused("A sweep tries each value once.", field=field)
    return found


def _named(plan: RunPlan, told: str) -> str:
    base = plan.name or name_of(plan)
    return f"{base[: max(20, 197 - len(told))]}: {told}"[:200]


def estimate_sweep(*, actor: Actor, plans: Sequence[RunPlan]) -> Estimate:
    """Of all runs together: they share the worker, so their times add up, too."""
    found = [estimate_run(actor=actor, plan=plan) for plan in plans]
    costs = [each.cost_picousd for each in found]
    return Estimate(
        examples=found[0].examples,
        items=sum(each.items for each in found),
        calls=sum(each.calls for each in found),
        input_tokens=sum(each.input_tokens for each in found),
        output_tokens=sum(each.output_tokens for each in found),
        cost_picousd=None if None in costs else sum(cost for cost in costs if cost is not None),
        seconds=sum(each.seconds for each in found),
        is_measured=all(each.is_measured for each in found),
    )


@transaction.atomic
def start_sweep(
    *, actor: Actor, plans: Sequence[RunPlan], trigger: str = Trigger.PERSON, caller: User | None = None
) -> list[Evaluation]:
    """All of them, or none. In MLflow they are nested under one run."""
    sweep = new_public_id()
    return [start_run(actor=actor, plan=plan, trigger=trigger, sweep=sweep, caller=caller) for plan in plans]
