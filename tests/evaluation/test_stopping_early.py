"""A gate's run ends early where nothing that is still to come could change the verdict; and only there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from apps.evaluation.models import Evaluation, GateDecision, Score
from apps.evaluation.running import stopping, store, worker
from apps.evaluation.services import gates
from apps.evaluation.statistics.curtailment import Unfinished, certain
from apps.evaluation.statistics.gates import decide
from apps.evaluation.statistics.types import Metric, Policy, Series, Values
from apps.evaluation.types import Direction, ItemStatus, MetricRole, ValueKind, Verdict
from tests.cast import Cast
from tests.evaluation.gating import Gated, finish, gated, right
from tests.evaluation.world import RunsWorld

BINARY = Metric("accuracy", value_kind=ValueKind.BINARY)
QUICK = Policy(resamples=199)


def values(column: Sequence[float], first: int | None = None) -> Values:
    return {f"{place:04}": [float(value)] for place, value in enumerate(column[:first])}


def left_of(size: int, done: int) -> frozenset[str]:
    return frozenset(f"{place:04}" for place in range(done, size))


def begun(metric: Metric, before: Sequence[float], after: Sequence[float], **bounds: float) -> Unfinished:
    """``after`` is as far as the candidate has come."""
    return Unfinished(Series(metric, values(before), values(after)), **bounds)


@pytest.mark.parametrize("role", [MetricRole.PRIMARY, MetricRole.GUARD])
@pytest.mark.parametrize("direction", Direction)
def test_what_is_sure_holds_however_the_rest_goes(direction: Direction, role: MetricRole) -> None:
    """Begun comparisons of all kinds, each that is sure ended in many ways, the extremes among them."""
    generator = np.random.default_rng(20_240_229)
    primary = Metric("accuracy", direction, ValueKind.BINARY)
    other = Metric("other", direction, ValueKind.BINARY, role, margin=0.1 if role == MetricRole.GUARD else 0.0)
    sure: dict[Verdict, int] = dict.fromkeys(Verdict, 0)
    for _ in range(200):
        size = int(generator.integers(60, 140))
        done = int(generator.integers(35, size))
        shares = generator.random((2, 2))
        before = (generator.random((2, size)) < shares[0][:, None]).astype(float)
        after = (generator.random((2, size)) < shares[1][:, None]).astype(float)
        metrics = (primary, other)
        partial = [begun(m, b, a[:done]) for m, b, a in zip(metrics, before, after, strict=True)]
        verdict = certain(partial, left_of(size, done), QUICK)
        if verdict is None:
            continue
        sure[verdict] += 1
        ends = [np.zeros((2, size)), np.ones((2, size)), before, 1 - before, after]
        ends += [(generator.random((2, size)) < share).astype(float) for share in (0.2, 0.5, 0.8)]
        for end in ends:
            whole = np.concatenate([after[:, :done], end[:, done:]], axis=1)
            series = [Series(m, values(b), values(a)) for m, b, a in zip(metrics, before, whole, strict=True)]
            found = decide(series, QUICK).verdict
            assert found == verdict or (verdict == Verdict.INCONCLUSIVE and found == Verdict.WORSE)
    assert min(sure.values()) > 2, sure


def test_nothing_is_sure_while_the_rest_could_turn_it() -> None:
    before = [1.0, 0.0] * 50
    assert certain([begun(BINARY, before, [1.0] * 60)], left_of(100, 60), QUICK) is None, "better so far"
    wrong = [0.0] * 60
    assert certain([begun(BINARY, before, wrong)], left_of(100, 60), QUICK) == Verdict.INCONCLUSIVE
    assert certain([begun(BINARY, [1.0] * 100, wrong)], left_of(100, 60), QUICK) == Verdict.WORSE
    # Of a score without a bound nothing is known, and with a limit of cost better may yet be worse.
    speed = Metric("speed", Direction.HIGHER, ValueKind.CONTINUOUS)
    assert certain([begun(speed, [5.0] * 100, [1.0] * 90)], left_of(100, 90), QUICK) is None
    assert certain([begun(speed, [5.0] * 100, [1.0] * 90, high=9.0)], left_of(100, 90), QUICK) == Verdict.INCONCLUSIVE
    better = [begun(BINARY, [0.0] * 100, [1.0] * 90)]
    assert certain(better, left_of(100, 90), QUICK) == Verdict.BETTER
    assert certain(better, left_of(100, 90), QUICK, limited=True) is None
    assert certain(better, left_of(100, 90), Policy(minimum_pairs=95)) is None, "too few pairs so far"


def begin(run: Evaluation, scores: Sequence[float]) -> None:
    """The run as a worker would have left it after its first answers."""
    store.begin(run)
    store.make_items(run)
    items = store.items_of(run.pk).order_by("position")[: len(scores)]
    metric = run.metrics.get()
    Score.objects.bulk_create(
        Score(item=item, scorer_version=metric.scorer_version, value=score)
        for item, score in zip(items, scores, strict=True)
    )
    store.items_of(run.pk).filter(pk__in=[item.pk for item in items]).update(status=ItemStatus.DONE)


def opened(world: Gated, text: str = "Sort well.") -> GateDecision:
    version = world.save(text)
    gates.open_gate_of_new_version(version.pk)
    return GateDecision.objects.unscoped("test").select_related("candidate", "baseline").get(version=version)


def test_a_gates_run_is_cut_short_and_decided_by_the_examples_that_were_asked(cast: Cast) -> None:
    world = gated(cast, 200)
    world.plan(policy="automatic")
    decision = opened(world)
    candidate, baseline = decision.candidate, decision.baseline
    assert candidate is not None
    assert baseline is not None
    begin(candidate, right(0.0, 60))
    assert stopping.enough(candidate) == "", "the released version is not done yet"
    finish(baseline, right(0.75, 200))
    assert "cannot become better" in stopping.enough(candidate)
    assert store.skip_rest(candidate) == 140
    assert worker.conclude(candidate)
    gates.decide_gates()
    decision.refresh_from_db()
    assert (decision.status, decision.verdict) == ("stopped", "worse")
    (metric,) = decision.evidence["metrics"]
    assert (metric["pairs"], metric["unpaired"]) == (60, 0), "what nobody asked about is no failure"
    assert decision.evidence["skipped"] == 140
    assert decision.reasons[-1] == "It stopped early: 140 examples could not have changed the verdict."
    # A run that was cut short is nobody's baseline: released in spite of its gate, the version is evaluated whole.
    gates.override_gate(actor=cast.actor("owner"), decision=decision, reason="The old one is on fire.")
    following = opened(world, "Sort better.")
    assert following.baseline is not None
    assert following.policy["baseline_version"] == 2
    assert following.baseline.pk != candidate.pk


def test_a_run_that_another_gate_measures_by_goes_on(cast: Cast) -> None:
    world = gated(cast, 100)
    world.plan(policy="automatic")
    decision = opened(world)
    assert decision.candidate is not None
    assert decision.baseline is not None
    begin(decision.candidate, right(0.0, 60))
    finish(decision.baseline, right(0.75, 100))
    assert stopping.enough(decision.candidate)
    GateDecision.objects.create(
        tenant=cast.claims, prompt=world.prompt, version=decision.version, baseline=decision.candidate, policy={}
    )
    assert stopping.enough(decision.candidate) == ""


def test_a_worker_asks_no_more_once_the_verdict_is_sure(runs_world: RunsWorld) -> None:
    """A real worker, gateway and upstream: of the worse version's examples most are never asked."""
    size = 600
    examples = [{"input": {"claim": f"claim {n}"}, "expected": "w0 w1"} for n in range(size)]
    made: dict[str, Any] = runs_world.run(
        """
from apps.evaluation.models import GateDecision
from apps.evaluation.services import gates
from apps.evaluation.services.plans import PlanFacts, PlannedMetric, set_plan
version = DatasetVersion.objects.unscoped("test").select_related("dataset").get(pk=version)
scorer = Scorer.objects.unscoped("test").get(kind="contains", tenant=tenant)
prompt = prompts.create_prompt(actor=ada, tenant=tenant, slug="cut-short", name="Cut short")
def save(text):
    content = {"messages": [{"role": "user", "content": text + " {{claim}}"}], "model": model}
    return prompts.save_version(actor=ada, prompt=prompt, content=content).version
first = save("Say two words.")
prompts.release_versions(actor=ada, prompt=prompt, environment="prod", label="live", weights={1: 100})
set_plan(actor=ada, owner=prompt, facts=PlanFacts(
    dataset=version.dataset, project=project, metrics=[PlannedMetric(scorer, MetricRole.PRIMARY)], policy="automatic"
))
gates.open_gate_of_new_version(save("Say one. [[chunks=1]]").pk)
decision = GateDecision.objects.unscoped("test").get(prompt=prompt)
result = [decision.baseline.public_id, decision.candidate.public_id, decision.pk]
""",
        version=runs_world.dataset("cut-short", examples),
        model=runs_world.world.model(),
    )
    baseline, candidate, decision = made
    assert runs_world.work(baseline) == "ended"
    assert runs_world.work(candidate) == "ended"
    counts, verdict, reasons = runs_world.run(
        """
from apps.evaluation.models import GateDecision
from apps.evaluation.services import gates
gates.decide_gates()
row = GateDecision.objects.unscoped("test").get(pk=decision)
result = [store.counts(run_named(run).pk), row.verdict, row.reasons]
""",
        run=candidate,
        decision=decision,
    )
    assert verdict == "worse"
    assert counts["skipped"] > size / 4
    assert counts["done"] + counts["skipped"] == size
    assert f"{counts['skipped']:,} examples" in reasons[-1]
    assert runs_world.facts(candidate)["status"] == "done"
