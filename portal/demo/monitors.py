"""Monitors with some weeks behind them: one that is calm, one whose canary was rolled back, one that sees too little.

The answers are made up, as the demonstration's models are. What was made of the newest ones is not: those checks were
decided by the code that decides real ones, and the rollback and the alerts are its.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from apps.evaluation import sampling
from apps.evaluation.models import (
    Evaluation,
    EvaluationItem,
    EvaluationMetric,
    Monitor,
    MonitorAlert,
    MonitorCheck,
    Score,
    Scorer,
    ScorerVersion,
)
from apps.evaluation.running.subjects import RECORDED
from apps.evaluation.running.summaries import summarise
from apps.evaluation.services import checks
from apps.evaluation.services.monitors import MonitorFacts, create_monitor
from apps.evaluation.services.scorers import create_scorer
from apps.evaluation.statistics.control import Summary, newest_point, summary_of
from apps.evaluation.types import Baseline, CheckKind, CheckVerdict, ItemStatus, RunStatus, Trigger, ValueKind
from apps.gateway.models import RequestContent
from apps.prompts import services as prompts
from apps.prompts.models import Prompt, PromptVersion, Release
from apps.prompts.selectors import label_state_of
from apps.tenants.access import Actor
from apps.tenants.models import Project, Tenant, User
from apps.tenants.services import update_project
from portal.demo import cast

WHY = "demonstration"
WINDOW = 360
CANARY_DAYS = 3
LONG_AGO = timedelta(minutes=10)
CLAIM = "Claim {n}: {what}"
WHAT = (
    "water came through the ceiling of the kitchen.",
    "a branch broke the rear window of the car.",
    "the bicycle was taken from the cellar.",
    "hail went through the skylight of the workshop.",
    "the neighbour slipped on our stairs.",
)
REFUSAL = "I'm sorry, but I can't help with deciding about this claim."
LETTER = (
    "Dear policyholder, thank you for telling us: {what} We have everything that we need, and a surveyor will call"
    " you within two working days. Kind regards, your claims team"
)
TRIAGE = '{"line": "home", "severity": "medium", "next_step": "Send a surveyor."}'


@dataclass(frozen=True, slots=True)
class Said:
    """One sampled answer: of which version, and what each scorer makes of it."""

    version: int
    answer: str
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Arm:
    """In each check this many answers of a version; the mean of each scorer's values is by how long ago it was."""

    version: int
    percent: int
    is_canary: bool
    size: int


def seed_monitors(now: datetime) -> None:
    """Needs the demonstration's prompts and scorers."""
    people = {person.name.split()[0]: Actor.of_user(User.objects.get(email=person.email)) for person in cast.PEOPLE}
    tenant = Tenant.objects.for_actor(people["Mei"]).get(slug=cast.TENANTS[0].slug)
    projects = {row.slug: row for row in Project.objects.for_tenant(tenant).select_related("tenant")}
    for slug in ("triage", "letters"):
        projects[slug] = update_project(actor=people["Priya"], project=projects[slug], content_percent=20)
    scorers = {row.slug: row for row in Scorer.objects.for_tenant(tenant).select_related("tenant")}
    scorers["readable"] = create_scorer(
        actor=people["Mei"], tenant=tenant, kind="json-valid", slug="readable-json", name="Readable JSON"
    )
    until = checks.window_end(now - LONG_AGO, WINDOW)
    _calm(tenant, people, projects["triage"], [scorers["readable"], scorers["latency"]], until, now)
    _breached(tenant, people, projects["letters"], [scorers["refusal"], scorers["length"]], until, now)
    _quiet(tenant, people, projects["triage"], [scorers["refusal"]], until, now)


def _calm(
    tenant: Tenant, people: dict[str, Actor], project: Project, scorers: list[Scorer], until: datetime, now: datetime
) -> None:
    """Both versions of the triage prompt, held to a week that was good."""
    since, before = now - timedelta(days=30), now - timedelta(days=23)
    prompt = Prompt.objects.for_tenant(tenant).get(slug="claims-triage")
    facts = MonitorFacts(
        name="Triage stays readable",
        project=project,
        scorers=scorers,
        prompt=prompt,
        window_minutes=WINDOW,
        sample_size=40,
        baseline=Baseline.PERIOD,
        baseline_since=since,
        baseline_until=before,
        recipients=_users(people, "Mei", "Tomas"),
    )
    monitor = _monitor(people["Mei"], tenant, facts, now - timedelta(days=22))
    versions = _versions(scorers)
    chance = random.Random(11)  # noqa: S311
    centres = [Summary(160, 0.975, 0.156), Summary(160, 840.0, 210.0)]
    baseline = _baseline(monitor, versions, centres, since, before)
    arms = [Arm(3, 90, False, 40), Arm(4, 10, True, 24)]
    for back in range(60, 0, -1):
        end = until - timedelta(minutes=WINDOW * back)
        night = end.hour == 6  # little is asked at night
        sizes = [arm.size if not night else arm.size // 2 for arm in arms if back < 12 or not arm.is_canary]
        rows = [
            _row(monitor, versions[at], arm, size, mean, centres[at])
            for arm, size in zip(arms, sizes, strict=False)
            for at, mean in enumerate((min(chance.gauss(0.975, 0.012), 1.0), chance.gauss(845, 22)))
        ]
        _past(monitor, baseline, end, rows, arms[: len(sizes)], sizes)
    said = [
        Said(arm.version, TRIAGE if good else "The line is home, I would say.", (float(good), chance.gauss(842, 190)))
        for arm in arms
        for good in (chance.random() < 0.98 for _ in range(arm.size))
    ]
    _checked(monitor, baseline, versions, arms, said, until, now)


def _breached(
    tenant: Tenant, people: dict[str, Actor], project: Project, scorers: list[Scorer], until: datetime, now: datetime
) -> None:
    """A canary of the letters' prompt that began to refuse."""
    prompt = Prompt.objects.for_tenant(tenant).select_related("tenant").get(slug="claim-letter")
    begun = now - timedelta(days=CANARY_DAYS, hours=2)
    _canary(prompt, people, begun)
    facts = MonitorFacts(
        name="Letters are not refused",
        project=project,
        scorers=scorers,
        prompt=prompt,
        window_minutes=WINDOW,
        sample_size=30,
        baseline=Baseline.RELEASE,
        recipients=_users(people, "Mei", "Priya"),
        rolls_back=True,
    )
    monitor = _monitor(people["Mei"], tenant, facts, begun)
    # Written straight: there is no such host, and the guard of new addresses would say so.
    monitor.webhook_url = "https://quality.lobby.example/alerts"
    monitor.save(update_fields=["webhook_url"])
    versions = _versions(scorers)
    chance = random.Random(5)  # noqa: S311
    centres = [Summary(120, 0.017, 0.128), Summary(120, 48.0, 9.5)]
    baseline = _baseline(monitor, versions, centres, begun - timedelta(days=30), begun, reference=2)
    arm = Arm(3, 10, True, 30)
    refusals = (0, 1, 0, 1, 0, 1, 0, 2, 1, 2, 2)
    for at, refused in enumerate(refusals):
        end = until - timedelta(minutes=WINDOW * (len(refusals) - at))
        rows = [
            _row(monitor, versions[n], arm, arm.size, mean, centres[n])
            for n, mean in enumerate((refused / arm.size, chance.gauss(47, 1.6)))
        ]
        _past(monitor, baseline, end, rows, [arm], [arm.size])
    said = [
        Said(arm.version, REFUSAL if n % 3 == 0 else LETTER, (float(n % 3 == 0), chance.gauss(46, 9)))
        for n in range(arm.size)
    ]
    check = _checked(monitor, baseline, versions, [arm], said, until, now)
    moment = until + timedelta(minutes=2)
    assert check.rollback is not None
    Release.objects.unscoped(WHY).filter(pk=check.rollback.pk).update(created_at=moment)
    told = MonitorAlert.objects.unscoped(WHY).filter(monitor_check=check)
    told.filter(channel="mail").update(status="sent", tries=1, created_at=moment, sent_at=moment)
    told.filter(channel="webhook").update(
        status="failed", tries=9, created_at=moment, error="The name of its server does not resolve."
    )


def _canary(prompt: Prompt, people: dict[str, Actor], begun: datetime) -> None:
    current = prompt.versions.order_by("-number").first()
    assert current is not None
    content = {name: getattr(current, name) for name in ("messages", "parameters", "variables", "model")}
    content["messages"] = [
        {**each, "content": each["content"] + " Decide nothing."} if each["role"] == "system" else each
        for each in current.messages
    ]
    saved = prompts.save_version(
        actor=people["Tomas"], prompt=prompt, content=content, message="Says that it decides nothing"
    )
    PromptVersion.objects.unscoped(WHY).filter(pk=saved.version.pk).update(created_at=begun - timedelta(hours=3))
    release = prompts.release_versions(
        actor=people["Tomas"],
        prompt=prompt,
        environment="prod",
        label="live",
        weights={current.number: 90, saved.version.number: 10},
        reason="A tenth of the letters, to see.",
    )
    Release.objects.unscoped(WHY).filter(pk=release.pk).update(created_at=begun)


def _quiet(
    tenant: Tenant, people: dict[str, Actor], project: Project, scorers: list[Scorer], until: datetime, now: datetime
) -> None:
    """A model that nobody asks often enough to tell."""
    facts = MonitorFacts(
        name="Small model, refusals",
        project=project,
        scorers=scorers,
        model="meridian-mini",
        window_minutes=WINDOW,
        baseline_since=now - timedelta(days=14),
        baseline_until=now - timedelta(days=7),
        recipients=_users(people, "Tomas"),
    )
    monitor = _monitor(people["Tomas"], tenant, facts, now - timedelta(days=2))
    for back, found in enumerate((11, 0, 7, 14)):
        end = until - timedelta(minutes=WINDOW * back)
        why = f"{found or 'No'} requests kept in the window; at least {monitor.minimum_sample} are needed."
        MonitorCheck.objects.create(
            monitor=monitor,
            since=end - timedelta(minutes=WINDOW),
            until=end,
            arms=[{"version": None, "percent": 100, "is_canary": False, "found": found, "sampled": found}],
            verdict=CheckVerdict.INSUFFICIENT,
            reasons=[why],
            decided_at=end,
        )


def _users(people: dict[str, Actor], *names: str) -> list[User]:
    return [user for name in names if (user := people[name].user) is not None]


def _monitor(actor: Actor, tenant: Tenant, facts: MonitorFacts, begun: datetime) -> Monitor:
    monitor = create_monitor(actor=actor, tenant=tenant, facts=facts)
    Monitor.objects.unscoped(WHY).filter(pk=monitor.pk).update(created_at=begun)
    return checks.locked(monitor.pk)


def _versions(scorers: Sequence[Scorer]) -> list[ScorerVersion]:
    return [scorer.versions.select_related("scorer").get() for scorer in scorers]


def _facts(version: ScorerVersion) -> dict[str, Any]:
    return {
        "scorer": version.scorer.slug,
        "name": version.scorer.name,
        "scorer_version": version.pk,
        "number": version.number,
        "kind": version.value_kind,
        "direction": version.direction,
        "unit": version.unit,
        "errors": 0,
    }


def _baseline(
    monitor: Monitor,
    versions: Sequence[ScorerVersion],
    centres: Sequence[Summary],
    since: datetime,
    until: datetime,
    reference: int | None = None,
) -> MonitorCheck:
    """Of which the samples are no longer kept."""
    found = centres[0].n
    check = MonitorCheck.objects.create(
        monitor=monitor,
        kind=CheckKind.BASELINE,
        since=since,
        until=until,
        reference=sampling.slice_of(reference),
        arms=[
            {
                "version": reference,
                "found": found * 9,
                "sampled": found,
                "scorer_versions": [version.pk for version in versions],
            }
        ],
        verdict=CheckVerdict.READY,
        statistics=[
            _facts(version) | {"n": centre.n, "mean": centre.mean, "spread": centre.spread}
            for version, centre in zip(versions, centres, strict=True)
        ],
        decided_at=until,
    )
    MonitorCheck.objects.unscoped(WHY).filter(pk=check.pk).update(created_at=until)
    return check


def _row(monitor: Monitor, version: ScorerVersion, arm: Arm, size: int, mean: float, centre: Summary) -> dict[str, Any]:
    is_share = version.value_kind == ValueKind.BINARY
    if is_share:
        ones = round(mean * size)
        now = summary_of([1.0] * ones + [0.0] * (size - ones), is_share=True)
        assert now is not None
    else:
        now = Summary(size, mean, centre.spread)
    point = newest_point([now], centre, moving=False, sigmas=monitor.sigmas, is_share=is_share)
    return _facts(version) | {
        "version": arm.version,
        "is_canary": arm.is_canary,
        "n": now.n,
        "mean": now.mean,
        "spread": now.spread,
        "compared": point.compared,
        "low": point.limits.low,
        "centre": point.limits.centre,
        "high": point.limits.high,
        "is_better": False,
        "verdict": CheckVerdict.IN,
    }


def _arms(arms: Sequence[Arm], sizes: Sequence[int]) -> list[dict[str, Any]]:
    return [
        {
            "version": arm.version,
            "percent": arm.percent,
            "is_canary": arm.is_canary,
            "found": size * 4,
            "sampled": size,
        }
        for arm, size in zip(arms, sizes, strict=True)
    ]


def _past(
    monitor: Monitor,
    baseline: MonitorCheck,
    until: datetime,
    rows: list[dict[str, Any]],
    arms: Sequence[Arm],
    sizes: Sequence[int],
) -> None:
    """A check of which only the figures are left."""
    check = MonitorCheck.objects.create(
        monitor=monitor,
        since=until - timedelta(minutes=WINDOW),
        until=until,
        baseline=baseline,
        arms=_arms(arms, sizes),
        verdict=CheckVerdict.IN,
        statistics=rows,
        decided_at=until,
    )
    MonitorCheck.objects.unscoped(WHY).filter(pk=check.pk).update(created_at=until)


def _checked(
    monitor: Monitor,
    baseline: MonitorCheck,
    versions: Sequence[ScorerVersion],
    arms: Sequence[Arm],
    said: Sequence[Said],
    until: datetime,
    now: datetime,
) -> MonitorCheck:
    """The newest check, with its sample; decided as any other."""
    assert monitor.prompt is not None
    contents = RequestContent.objects.bulk_create(
        [
            RequestContent(
                request_id=random.Random(f"{monitor.slug} {n}").randbytes(16).hex(),  # noqa: S311
                at=until - timedelta(minutes=5 * n + 3),
                tenant=monitor.tenant,
                project=monitor.project,
                model_slug="meridian-large",
                prompt_id=monitor.prompt_id,
                prompt_version=each.version,
                label=monitor.label,
                environment=monitor.environment,
                messages=[{"role": "user", "content": CLAIM.format(n=n + 1, what=WHAT[n % len(WHAT)])}],
                answer=each.answer.format(what=WHAT[n % len(WHAT)]) if each.answer == LETTER else each.answer,
                finish_reason="stop",
            )
            for n, each in enumerate(said)
        ]
    )
    sample = sampling.freeze(monitor, contents, "The newest sample")
    run = Evaluation.objects.create(
        tenant=monitor.tenant,
        project=monitor.project,
        name=f"{monitor.name}: {until:%-d %b, %H:%M} UTC",
        model=RECORDED,
        dataset_version=sample,
        trigger=Trigger.MONITOR,
        status=RunStatus.DONE,
        items_total=sample.size,
        created_by=monitor.updated_by,
        started_at=until + timedelta(minutes=1),
        finished_at=until + timedelta(minutes=1, seconds=9),
    )
    EvaluationMetric.objects.bulk_create([EvaluationMetric(evaluation=run, scorer_version=each) for each in versions])
    members = list(sample.members.select_related("revision").order_by("position"))
    items = EvaluationItem.objects.bulk_create(
        [
            EvaluationItem(
                evaluation=run,
                revision=member.revision,
                position=member.position,
                status=ItemStatus.DONE,
                is_reused=True,
                request_id=member.revision.source_ref,
                output=content.answer,
                duration_ms=850,
                finished_at=run.finished_at,
            )
            for member, content in zip(members, contents, strict=True)
        ]
    )
    Score.objects.bulk_create(
        [
            Score(item=item, scorer_version=version, value=value)
            for item, each in zip(items, said, strict=True)
            for version, value in zip(versions, each.values, strict=True)
        ]
    )
    summarise(run)
    Evaluation.objects.unscoped(WHY).filter(pk=run.pk).update(created_at=run.started_at)
    state = label_state_of(monitor.prompt, monitor.environment, monitor.label)
    check = MonitorCheck.objects.create(
        monitor=monitor,
        since=until - timedelta(minutes=WINDOW),
        until=until,
        baseline=baseline,
        evaluation=run,
        release=None if state is None else state.release,
        arms=_arms(arms, [arm.size for arm in arms]),
    )
    checks.decide_checks()
    MonitorCheck.objects.unscoped(WHY).filter(pk=check.pk).update(
        created_at=until + timedelta(minutes=1), decided_at=until + timedelta(minutes=2)
    )
    check.refresh_from_db()
    return check
