"""A run's rows, as workers read and write them: short transactions, each conditional on what it expects to find.

An item belongs to the worker whose lease it bears. Results are written in groups, items and scores in one transaction,
and only for items that are still the writer's: whatever a worker that was given up for dead writes later, nobody sees.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Count, F, Max, Q, QuerySet
from django.utils import timezone

from apps.evaluation.models import Evaluation, EvaluationItem, Score, VersionExample
from apps.evaluation.running.scoring import Metric, Result, Reused, Work, streams
from apps.evaluation.running.subjects import RECORDED, NotAskable, Subject, output_of, said_in
from apps.evaluation.scorers import Output, Sample, ToolCall
from apps.evaluation.types import ItemStatus, RunStatus, ScoreStatus, Source

WHY = "a worker runs an evaluation, for whoever started it"
MADE_AT_ONCE = 500
LONGEST_OUTPUT = 1_000_000


def lease() -> timedelta:
    return timedelta(seconds=settings.EVALUATION_LEASE_SECONDS)


def find_run(public_id: str) -> Evaluation | None:
    rows = Evaluation.objects.unscoped(WHY).select_related(
        "tenant", "project__tenant", "prompt_version__prompt", "dataset_version__dataset", "created_by", "api_key"
    )
    return rows.filter(public_id=public_id).first()


def run_rows(evaluation_id: int) -> QuerySet[Evaluation]:
    return Evaluation.objects.unscoped(WHY).filter(pk=evaluation_id)


def spent(run: Evaluation) -> int:
    """Picodollars, by all of its workers, as far as they have written."""
    return run_rows(run.pk).values_list("spent_picousd", flat=True)[0]


def items_of(evaluation_id: int) -> QuerySet[EvaluationItem]:
    return EvaluationItem.objects.unscoped(WHY).filter(evaluation_id=evaluation_id)


def begin(run: Evaluation) -> bool:
    """Whether the run is to be worked on. A queued one begins now."""
    now = timezone.now()
    run_rows(run.pk).filter(status=RunStatus.QUEUED).update(status=RunStatus.RUNNING, started_at=now, beat_at=now)
    return run_rows(run.pk).filter(status=RunStatus.RUNNING).update(beat_at=now) == 1


def make_items(run: Evaluation) -> None:
    """Every example times every repetition; those that are there already stay. Other workers may do the same."""
    if items_of(run.pk).count() >= run.items_total:
        return
    members = VersionExample.objects.unscoped(WHY).filter(version_id=run.dataset_version_id)
    if run.split:
        members = members.filter(revision__split=run.split)
    batch: list[EvaluationItem] = []
    for position, revision_id in members.order_by("position").values_list("position", "revision_id").iterator(5_000):
        batch += [
            EvaluationItem(evaluation_id=run.pk, revision_id=revision_id, position=position, repetition=repetition)
            for repetition in range(run.repetitions)
        ]
        if len(batch) >= MADE_AT_ONCE:
            EvaluationItem.objects.bulk_create(batch, ignore_conflicts=True)
            batch = []
    if batch:
        EvaluationItem.objects.bulk_create(batch, ignore_conflicts=True)
    run_rows(run.pk).update(items_total=items_of(run.pk).count())


def claim(run: Evaluation, worker: str, most: int) -> list[EvaluationItem]:
    """Items that are this worker's now, in their order; fewer than ``most`` only where no more wait. What it holds
    already it is at, even where a lease ran out while the database was away."""
    now = timezone.now()
    free = Q(leased_until=None) | (Q(leased_until__lt=now) & ~Q(leased_by=worker))
    waiting = items_of(run.pk).filter(free, status=ItemStatus.PENDING).order_by("position", "repetition")
    claimed: list[EvaluationItem] = []
    while found := list(waiting.values_list("pk", flat=True)[: most - len(claimed)]):
        these = items_of(run.pk).filter(pk__in=found, status=ItemStatus.PENDING).order_by("position", "repetition")
        these.order_by().filter(free).update(leased_until=now + lease(), leased_by=worker)
        # Another worker may have taken some of them in between: then there are others to look for.
        claimed += these.filter(leased_by=worker).select_related("revision")
    return claimed


def prepare(
    run: Evaluation, subject: Subject, metrics: Sequence[Metric], items: Sequence[EvaluationItem]
) -> list[Work]:
    """The claimed items, each with its call, with what earlier calls answered, and with the scores that it lacks."""
    baselines = _baselines(run.baseline_id, items) if run.baseline_id is not None else {}
    scored = _scored_already(items)
    streamed = streams(metrics)
    works: list[Work] = []
    for item in items:
        unscored = tuple(metric for metric in metrics if (item.pk, metric.version_id) not in scored)
        baseline = baselines.get((item.revision_id, item.repetition)) or baselines.get((item.revision_id, 0))
        try:
            sample: Sample | None = subject.sample(item.revision, baseline)
            assert sample is not None
            body = subject.body(sample, item.repetition, said_in(item.revision))
            recorded = subject.recorded(item.revision) if subject.is_recorded else None
        except NotAskable as problem:
            works.append(Work(item.pk, item.repetition, None, {}, "", problem=problem))
            continue
        if recorded is not None and not item.request_id:
            is_request = item.revision.source == Source.REQUEST
            calls = tuple({"name": each.name, "arguments": each.arguments} for each in recorded.tool_calls)
            works.append(
                Work(
                    item.pk,
                    item.repetition,
                    sample,
                    {},
                    "",
                    output=recorded,
                    reused=Reused(
                        item.revision.source_ref[:64] if is_request else RECORDED,
                        calls,
                        recorded.cost_picodollars or 0,
                    ),
                    unscored=unscored,
                )
            )
            continue
        answered = output_of(item, expects_json=subject.expects_json) if item.request_id else None
        call_hash = subject.call_hash(body, item.repetition)
        works.append(
            Work(
                item.pk,
                item.repetition,
                sample,
                body,
                call_hash,
                output=answered,
                unscored=unscored,
                streams=streamed,
            )
        )
    return _with_reused(run, works) if run.reuses_answers else works


def _baselines(baseline_id: int, items: Sequence[EvaluationItem]) -> dict[tuple[int, int], Output]:
    rows = EvaluationItem.objects.unscoped(WHY).filter(
        evaluation_id=baseline_id, revision__in={item.revision_id for item in items}, status=ItemStatus.DONE
    )
    return {(row.revision_id, row.repetition): output_of(row) for row in rows}


def _scored_already(items: Sequence[EvaluationItem]) -> set[tuple[int, int]]:
    ids = [item.pk for item in items if item.request_id]
    if not ids:
        return set()
    return set(Score.objects.unscoped(WHY).filter(item__in=ids).values_list("item_id", "scorer_version_id"))


def _with_reused(run: Evaluation, works: list[Work]) -> list[Work]:
    wanted = {work.call_hash for work in works if work.output is None and work.problem is None}
    if not wanted:
        return works
    rows = EvaluationItem.objects.unscoped(WHY).filter(
        call_hash__in=wanted, status=ItemStatus.DONE, is_reused=False, evaluation__tenant_id=run.tenant_id
    )
    if any(work.streams for work in works):  # one that was not streamed has no time of its first token
        rows = rows.filter(first_token_ms__isnull=False)
    newest = rows.order_by().values("call_hash").annotate(newest=Max("pk")).values("newest")
    found = {row.call_hash: row for row in EvaluationItem.objects.unscoped(WHY).filter(pk__in=newest)}
    return [
        _reusing(work, found[work.call_hash]) if work.call_hash in found and work.output is None else work
        for work in works
    ]


def _reusing(work: Work, row: EvaluationItem) -> Work:
    output = Output(
        text=row.output,
        tool_calls=tuple(ToolCall(each["name"], each["arguments"]) for each in row.tool_calls),
        finish_reason=row.finish_reason,
        latency_ms=row.duration_ms,
        first_token_ms=row.first_token_ms,
        cost_picodollars=row.cost_picousd,
        input_tokens=row.input_tokens,
        output_tokens=row.output_tokens,
    )
    reused = Reused(row.request_id, tuple(row.tool_calls), row.cost_picousd)
    return Work(
        work.item_id,
        work.repetition,
        work.sample,
        work.body,
        work.call_hash,
        output=output,
        reused=reused,
        unscored=work.unscored,
    )


@transaction.atomic
def write(run: Evaluation, worker: str, results: Sequence[Result]) -> int:
    """Write what came of items that are still this worker's; how many of them are done now."""
    ids = [result.work.item_id for result in results]
    mine = items_of(run.pk).select_for_update().filter(pk__in=ids, leased_by=worker, status=ItemStatus.PENDING)
    rows = {row.pk: row for row in mine}
    now = timezone.now()
    changed: list[EvaluationItem] = []
    scores: list[Score] = []
    for result in results:
        row = rows.get(result.work.item_id)
        if row is None:
            continue
        _fill(row, result, now)
        changed.append(row)
        scores += [_score_row(row.pk, each) for each in result.scores]
    # One statement for all of them, which costs a fraction of an update with as many cases.
    EvaluationItem.objects.bulk_create(changed, update_conflicts=True, unique_fields=["id"], update_fields=_WRITTEN)
    Score.objects.bulk_create(scores)
    # What was called costs, whoever writes the item in the end.
    spent = sum(result.cost_picousd for result in results)
    run_rows(run.pk).update(spent_picousd=F("spent_picousd") + spent, beat_at=now)
    return sum(row.status != ItemStatus.PENDING for row in changed)


_WRITTEN = [
    "status",
    "leased_until",
    "leased_by",
    "tries",
    "call_hash",
    "is_reused",
    "request_id",
    "output",
    "tool_calls",
    "finish_reason",
    "duration_ms",
    "first_token_ms",
    "input_tokens",
    "output_tokens",
    "cost_picousd",
    "saved_picousd",
    "error_code",
    "error",
    "finished_at",
]


def _fill(row: EvaluationItem, result: Result, now: Any) -> None:
    work, answer = result.work, result.answer
    row.leased_until, row.leased_by = None, ""
    row.tries = min(row.tries + result.tries, 32_000)
    if answer is not None:
        row.call_hash = work.call_hash
        row.request_id = answer.request_id
        row.output = storable(answer.text)[:LONGEST_OUTPUT]
        row.tool_calls = [{name: storable(text) for name, text in call.items()} for call in answer.tool_calls]
        row.finish_reason = answer.finish_reason
        row.duration_ms, row.first_token_ms = answer.duration_ms, answer.first_token_ms
        row.input_tokens, row.output_tokens = answer.input_tokens, answer.output_tokens
        row.cost_picousd = answer.cost_picousd
    elif work.reused is not None and work.output is not None:
        row.call_hash = work.call_hash
        row.is_reused = True
        row.request_id = work.reused.request_id
        row.output = work.output.text
        row.tool_calls = list(work.reused.tool_calls)
        row.finish_reason = work.output.finish_reason
        row.duration_ms = None if work.output.latency_ms is None else int(work.output.latency_ms)
        row.first_token_ms = None if work.output.first_token_ms is None else int(work.output.first_token_ms)
        row.input_tokens, row.output_tokens = work.output.input_tokens or 0, work.output.output_tokens or 0
        row.cost_picousd, row.saved_picousd = 0, work.reused.cost_picousd
    if result.error is not None:
        row.error_code, row.error = result.error.code[:60], storable(result.error.message)[:500]
        row.request_id = result.request_id
    if result.is_done:
        row.status = ItemStatus.ERROR if result.error is not None else ItemStatus.DONE
        row.finished_at = now


def _score_row(item_id: int, scored: Any) -> Score:
    score = scored.score
    return Score(
        item_id=item_id,
        scorer_version_id=scored.version_id,
        status=ScoreStatus.ERROR if score.error else ScoreStatus.OK,
        value=score.value,
        label=storable(score.label)[:100],
        reason=storable(score.reason)[:4_000],
        error_code=score.error.code[:60] if score.error else "",
        details=_storable_json(dict(score.details)),
        cost_picousd=scored.cost_picousd,
    )


def beat(run: Evaluation, worker: str, waits: str) -> bool:
    """The worker is alive: its leases go on. Whether the run still runs."""
    now = timezone.now()
    items_of(run.pk).filter(leased_by=worker, status=ItemStatus.PENDING).update(leased_until=now + lease())
    running = run_rows(run.pk).filter(status=RunStatus.RUNNING)
    return running.update(beat_at=now, error=waits[:500]) == 1


def release(run: Evaluation, worker: str) -> None:
    items_of(run.pk).filter(leased_by=worker, status=ItemStatus.PENDING).update(leased_until=None, leased_by="")


def pause(run: Evaluation, why: str) -> None:
    run_rows(run.pk).filter(status=RunStatus.RUNNING).update(status=RunStatus.PAUSED, error=storable(why)[:500])


def skip_rest(run: Evaluation) -> int:
    """The items that nobody has begun are not needed any more."""
    return (
        items_of(run.pk)
        .filter(status=ItemStatus.PENDING, leased_by="")
        .update(status=ItemStatus.SKIPPED, finished_at=timezone.now())
    )


def counts(evaluation_id: int) -> dict[str, int]:
    """Items by status."""
    rows = items_of(evaluation_id).order_by().values_list("status").annotate(count=Count("pk"))
    return dict(rows)


def storable(text: str) -> str:
    """Text that every database takes: what a model wrote is kept, but for what cannot be."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")


def _storable_json(value: Any) -> Any:
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, dict):
        return {storable(str(name)): _storable_json(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_storable_json(each) for each in value]
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else str(value)
    return storable(str(value))
