"""What a run would take, before it is started: calls, tokens, money and time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import Avg, Count, Q, Sum, TextField
from django.db.models.functions import Cast, Length
from django.utils import timezone

from apps.evaluation.models import DatasetVersion, EvaluationItem, ScorerVersion, VersionExample
from apps.evaluation.running.subjects import RECORDED
from apps.evaluation.scorers import Need, registry
from apps.evaluation.types import ItemStatus
from apps.gateway.models import Route, RouteRevision
from apps.gateway.routing.sharing import Sharing
from apps.models.models import Model, Price
from apps.models.selectors import price_at
from apps.prompts.content import whole_messages
from apps.prompts.models import PromptVersion
from apps.tenants.models import Tenant

CHARACTERS_PER_TOKEN: Final = 4
USUAL_OUTPUT_TOKENS: Final = 250
USUAL_MS: Final = 2_500
# What a judge is told beside the question and the answer, and what it says.
JUDGE_INPUT_TOKENS: Final = 350
JUDGE_OUTPUT_TOKENS: Final = 120
OVERHEAD_MS: Final = 12  # of each item, for the worker's own part
REMEMBERED: Final = 500  # earlier answers that tell how long and how dear the next ones are
WHY: Final = "the figures of a run that is about to be started"


@dataclass(frozen=True, slots=True)
class Estimate:
    """``is_measured`` tells whether earlier runs of the same subject are behind it; else it is a rule of thumb.

    ``cost_picousd`` is None where a model has no price, so that nobody knows.
    """

    examples: int
    items: int
    calls: int
    input_tokens: int
    output_tokens: int
    cost_picousd: int | None
    seconds: int
    is_measured: bool


def estimate(
    *,
    tenant: Tenant,
    dataset_version: DatasetVersion,
    split: str,
    prompt_version: PromptVersion | None,
    model: str,
    parameters: Mapping[str, Any],
    scorers: Sequence[ScorerVersion],
    repetitions: int,
    concurrency: int,
) -> Estimate:
    examples, characters = _size(dataset_version, split)
    return estimate_of(
        examples,
        characters,
        tenant=tenant,
        prompt_version=prompt_version,
        model=model,
        parameters=parameters,
        scorers=scorers,
        repetitions=repetitions,
        concurrency=concurrency,
    )


def estimate_of(
    examples: int,
    characters: int,
    *,
    tenant: Tenant,
    prompt_version: PromptVersion | None,
    model: str,
    parameters: Mapping[str, Any],
    scorers: Sequence[ScorerVersion],
    repetitions: int,
    concurrency: int,
) -> Estimate:
    """The same of examples that are in no dataset yet, whose inputs have so many ``characters`` in all."""
    items = examples * repetitions
    past = _past(tenant, prompt_version, model)
    template = sum(len(each.content) for each in whole_messages(prompt_version.content)) if prompt_version else 0
    input_tokens = (
        items and (characters // CHARACTERS_PER_TOKEN + examples * template // CHARACTERS_PER_TOKEN) * repetitions
    )
    each_output = past["output"] or _most_output(prompt_version, parameters)
    output_tokens = int(items * each_output)
    each_ms = past["ms"] or USUAL_MS
    cost = _cost(model, input_tokens, output_tokens)
    calls, milliseconds = items, items * float(each_ms)
    if model == RECORDED:
        calls, milliseconds, cost = 0, 0.0, 0
    for version in scorers:
        judges = _judge_calls(version)
        if judges is None:
            continue
        judge_model, per_item = judges
        count = items * per_item
        asked = input_tokens * per_item + output_tokens * per_item + count * JUDGE_INPUT_TOKENS
        said = count * JUDGE_OUTPUT_TOKENS
        calls, milliseconds = calls + count, milliseconds + count * USUAL_MS / 2
        input_tokens, output_tokens = input_tokens + asked, output_tokens + said
        judge_cost = _cost(judge_model, asked, said)
        cost = None if cost is None or judge_cost is None else cost + judge_cost
    seconds = (milliseconds / max(concurrency, 1) + items * OVERHEAD_MS) / 1000
    return Estimate(
        examples, items, calls, input_tokens, output_tokens, cost, max(1, round(seconds)), past["ms"] is not None
    )


def _size(version: DatasetVersion, split: str) -> tuple[int, int]:
    """(examples, characters of their inputs)."""
    members = VersionExample.objects.unscoped(WHY).filter(version=version)
    if split:
        members = members.filter(revision__split=split)
    found = members.aggregate(examples=Count("pk"), characters=Sum(Length(Cast("revision__input", TextField()))))
    return found["examples"], found["characters"] or 0


def _past(tenant: Tenant, version: PromptVersion | None, model: str) -> dict[str, float | None]:
    """Of the newest answers to the same prompt on the same model, or of the model alone."""
    done = EvaluationItem.objects.unscoped(WHY).filter(
        evaluation__tenant=tenant, evaluation__model=model, status=ItemStatus.DONE, is_reused=False
    )
    if version is not None:
        done = done.filter(evaluation__prompt_version__prompt=version.prompt_id)
    newest = done.order_by("-pk").values("pk")[:REMEMBERED]
    figures: dict[str, float | None] = (
        EvaluationItem.objects.unscoped(WHY)
        .filter(pk__in=list(newest.values_list("pk", flat=True)))
        .aggregate(output=Avg("output_tokens", filter=Q(output_tokens__gt=0)), ms=Avg("duration_ms"))
    )
    return figures


def _most_output(version: PromptVersion | None, parameters: Mapping[str, Any]) -> int:
    most = parameters.get("max_tokens")
    if most is None and version is not None:
        most = version.parameters.get("max_tokens")
    return min(int(most), USUAL_OUTPUT_TOKENS) if most else USUAL_OUTPUT_TOKENS


def _judge_calls(version: ScorerVersion) -> tuple[str, int] | None:
    """(model, calls for each item) of a scorer that asks a model; None for one that asks nobody."""
    scorer = registry.make(version.scorer.kind, version.parameters)
    if not scorer.needs & {Need.JUDGE, Need.EMBEDDINGS, Need.SUBJECT}:
        return None
    model = str(scorer.parameters.get("model") or "")
    return model, 2 if Need.BASELINE in scorer.needs else 1


def _cost(slug: str, input_tokens: int, output_tokens: int) -> int | None:
    prices = [price for price in map(_price, models_of(slug)) if price is not None]
    if not prices:
        return None
    return max(price.input_picousd * input_tokens + price.output_picousd * output_tokens for price in prices)


def models_of(slug: str) -> list[Model]:
    """The model of this name, or those that a route of this name may send to: the dearest one counts."""
    model = Model.objects.filter(slug=slug).first()
    if model is not None:
        return [model]
    route, _, number = slug.rpartition("@")
    if route and number.isascii() and number.isdigit() and len(number) < 10:
        rows = RouteRevision.objects.unscoped(WHY).filter(route__slug=route, number=int(number))
        named = {each.model for row in rows for each in Sharing.of_revision(row).targets}
        return list(Model.objects.filter(slug__in=named))
    targets = Q(pk__in=Route.objects.unscoped(WHY).filter(slug=slug).values("targets__model")) | Q(
        endpoints__in=Route.objects.unscoped(WHY).filter(slug=slug).values("targets__endpoint")
    )
    return list(Model.objects.filter(targets).distinct())


def _price(model: Model) -> Price | None:
    return price_at(model, None, timezone.now())
