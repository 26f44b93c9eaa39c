"""Monitors: set up, changed, paused, resumed, asked to check now, and deleted."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.evaluation import sampling
from apps.evaluation.models import Dataset, Evaluation, Monitor, MonitorCheck, Scorer
from apps.evaluation.models.monitors import new_webhook_nonce
from apps.evaluation.scorers import Need, registry
from apps.evaluation.services import checks
from apps.evaluation.services.gates import unfit_judges
from apps.evaluation.services.scorers import current_version
from apps.evaluation.types import LIVE_RUNS, Baseline, CheckVerdict, ControlChart, MonitorWindow
from apps.models.urls_guard import check_new_url
from apps.prompts.models import Prompt
from apps.tenants import audit, validation
from apps.tenants.access import Actor, require
from apps.tenants.errors import Conflict, Invalid
from apps.tenants.models import Membership, Project, Tenant, User
from apps.tenants.types import Environment

MOST_SCORERS: Final = 8
MOST_RECIPIENTS: Final = 20
MOST_SAMPLED: Final = 1_000
LEAST_SAMPLED: Final = 5
WHY: Final = "a monitor that its actor reached"
# What nobody can say of a request that an application made.
UNKNOWN: Final = frozenset({Need.EXPECTED, Need.CONTEXT, Need.BASELINE, Need.SUBJECT})


@dataclass(frozen=True, slots=True)
class MonitorFacts:
    """What a monitor is to be; see ``models.Monitor``. It watches ``prompt`` (by ``label`` in ``environment``) or
    ``model``. With the baseline ``period`` the two moments say which."""

    name: str
    project: Project
    scorers: Sequence[Scorer]
    prompt: Prompt | None = None
    environment: str = Environment.PROD
    label: str = "live"
    model: str = ""
    window_minutes: int = MonitorWindow.HOUR
    sample_size: int = 50
    minimum_sample: int = 20
    baseline: str = Baseline.PERIOD
    baseline_since: datetime | None = None
    baseline_until: datetime | None = None
    chart: str = ControlChart.SHEWHART
    sigmas: float = 3.0
    recipients: Sequence[User] = ()
    webhook_url: str = ""
    rolls_back: bool = False


def can_watch(kind: str) -> bool:
    """Whether a scorer of this kind can score what an application asked: it needs no expected answer."""
    known = registry.registry().scorers.get(kind)
    return known is not None and not known.needs & UNKNOWN


@transaction.atomic
def create_monitor(*, actor: Actor, tenant: Tenant, facts: MonitorFacts, slug: str = "") -> Monitor:
    """Its first check is of the window that is open now. Raises ``Invalid`` naming the field."""
    require(actor, "evaluation.monitor", tenant, what="set a monitor up")
    values = _cleaned(actor, tenant, facts)
    slug = validation.clean_slug(slug) if slug else _slug_for(tenant, values["name"])
    try:
        with transaction.atomic():
            dataset = Dataset.objects.create(
                tenant=tenant, slug=f"monitor-{slug}"[:50], name=f"Samples of {values['name']}"[:200], is_archived=True
            )
            monitor = Monitor(tenant=tenant, slug=slug, dataset=dataset, updated_by=actor.user, **values)
            monitor.next_at = checks.due_at(timezone.now(), monitor.window_minutes)
            monitor.save(force_insert=True)
    except IntegrityError:
        raise Conflict(f"{tenant.name} has a monitor {slug!r} already.", code="slug_taken", field="slug") from None
    monitor.scorers.set(facts.scorers)
    monitor.recipients.set(facts.recipients)
    audit.record(actor, "monitor.created", monitor, _told(monitor, facts), tenant)
    return monitor


@transaction.atomic
def update_monitor(*, actor: Actor, monitor: Monitor, facts: MonitorFacts) -> Monitor:
    """As a whole. What it watches stays: another thing is another monitor's. From then on judges are called for the
    actor; another webhook has another secret."""
    monitor = _locked(actor, monitor, "change this monitor")
    values = _cleaned(actor, monitor.tenant, facts)
    for name in ("prompt", "environment", "label", "model"):
        if values.pop(name) != getattr(monitor, name):
            raise Invalid("What a monitor watches stays as it is.", field=name, remedy="Set another monitor up.")
    if values["webhook_url"] != monitor.webhook_url:
        monitor.webhook_nonce = new_webhook_nonce()
    if values["window_minutes"] != monitor.window_minutes:
        monitor.next_at = checks.due_at(timezone.now(), values["window_minutes"])
    for name, value in values.items():
        setattr(monitor, name, value)
    monitor.updated_by = actor.user or monitor.updated_by
    monitor.save(update_fields=[*values, "webhook_nonce", "next_at", "updated_by"])
    monitor.scorers.set(facts.scorers)
    monitor.recipients.set(facts.recipients)
    audit.record(actor, "monitor.updated", monitor, _told(monitor, facts), monitor.tenant)
    return monitor


@transaction.atomic
def pause_monitor(*, actor: Actor, monitor: Monitor, is_paused: bool = True) -> Monitor:
    """Or resume it: its next check is of the window that is open then."""
    monitor = _locked(actor, monitor, "pause or resume this monitor")
    if monitor.is_paused != is_paused:
        monitor.is_paused = is_paused
        monitor.next_at = checks.due_at(timezone.now(), monitor.window_minutes)
        monitor.save(update_fields=["is_paused", "next_at"])
        audit.record(actor, "monitor.paused" if is_paused else "monitor.resumed", monitor, {}, monitor.tenant)
    return monitor


@transaction.atomic
def check_now(*, actor: Actor, monitor: Monitor) -> MonitorCheck:
    """Of the window that ends at this minute. Asked again within the minute it is the same check."""
    monitor = _locked(actor, monitor, "have this monitor check")
    until = timezone.now().replace(second=0, microsecond=0)
    since = until - timedelta(minutes=monitor.window_minutes)
    check = checks.open_check(monitor, since, until, asked_by=actor.user)
    audit.record(actor, "monitor.check_asked", monitor, {"until": until.isoformat()}, monitor.tenant)
    return check


@transaction.atomic
def renew_secret(*, actor: Actor, monitor: Monitor) -> Monitor:
    """Of its webhook, by ``webhooks.secret_of``. What was signed with the old one stays as it is; nothing new is."""
    monitor = _locked(actor, monitor, "make another secret for this webhook")
    if not monitor.webhook_url:
        raise Conflict("It has no webhook.", code="no_webhook", remedy="Set one first.")
    monitor.webhook_nonce = new_webhook_nonce()
    monitor.save(update_fields=["webhook_nonce"])
    audit.record(actor, "monitor.secret_renewed", monitor, {}, monitor.tenant)
    return monitor


@transaction.atomic
def acknowledge(*, actor: Actor, monitor: Monitor) -> int:
    """Say that one looks after what is out of control. Of how many checks nobody had said so."""
    monitor = _locked(actor, monitor, "acknowledge this monitor's alerts")
    rows = MonitorCheck.objects.unscoped(WHY).filter(monitor=monitor, verdict=CheckVerdict.OUT, acknowledged_at=None)
    count = rows.update(acknowledged_by=actor.user, acknowledged_at=timezone.now())
    if count:
        audit.record(actor, "monitor.acknowledged", monitor, {"checks": count}, monitor.tenant)
    return count


@transaction.atomic
def delete_monitor(*, actor: Actor, monitor: Monitor) -> None:
    """With its checks, alerts and samples, and the runs over them. What it released, and the audit trail, stay."""
    monitor = _locked(actor, monitor, "delete this monitor")
    checked = MonitorCheck.objects.unscoped(WHY).filter(monitor=monitor)
    runs = Evaluation.objects.unscoped(WHY).filter(dataset_version__dataset=monitor.dataset)
    if runs.filter(status__in=LIVE_RUNS).exists():
        raise Conflict(
            "One of its samples is being scored.",
            code="check_running",
            remedy="Pause it, and delete it when that check is decided.",
        )
    told = {
        "watches": monitor.watched,
        "checks": checked.count(),
        "out_of_control": checked.filter(verdict=CheckVerdict.OUT).count(),
    }
    audit.record(actor, "monitor.deleted", monitor, told, monitor.tenant)
    dataset = monitor.dataset
    monitor.delete()
    sampling.forget(dataset)


def _slug_for(tenant: Tenant, name: str) -> str:
    """Made of its name, with a number where a monitor of another name has it; the form asks for none."""
    slug = validation.slug_of(name)[:38].rstrip("-") or "monitor"
    monitors = Monitor.objects.for_tenant(tenant)
    if monitors.filter(name=name).exists():
        return slug
    datasets = Dataset.objects.for_tenant(tenant).filter(slug__startswith=f"monitor-{slug}")
    taken = set(monitors.filter(slug__startswith=slug).values_list("slug", flat=True))
    taken |= {each.removeprefix("monitor-") for each in datasets.values_list("slug", flat=True)}
    return next(
        each for number in itertools.count(1) if (each := slug if number == 1 else f"{slug}-{number}") not in taken
    )


def _locked(actor: Actor, monitor: Monitor, what: str) -> Monitor:
    require(actor, "evaluation.monitor", monitor.tenant, what=what)
    return checks.locked(monitor.pk)


def _cleaned(actor: Actor, tenant: Tenant, facts: MonitorFacts) -> dict[str, Any]:
    """The monitor's own columns. Raises ``Invalid`` naming the field."""
    number, choice = validation.clean_number, validation.clean_choice
    if facts.project.tenant_id != tenant.pk or not facts.project.is_active:
        raise Invalid("There is no such active project in this tenant.", field="project")
    sample = number(facts.sample_size, field="sample_size", minimum=LEAST_SAMPLED, maximum=MOST_SAMPLED)
    values: dict[str, Any] = {
        "name": validation.clean_name(facts.name),
        "project": facts.project,
        "window_minutes": number(int(facts.window_minutes), field="window_minutes", minimum=1, maximum=10_000),
        "sample_size": sample,
        "minimum_sample": number(facts.minimum_sample, field="minimum_sample", minimum=LEAST_SAMPLED, maximum=sample),
        "baseline": choice(facts.baseline, Baseline, field="baseline"),
        "chart": choice(facts.chart, ControlChart, field="chart"),
        "sigmas": float(facts.sigmas),
        "rolls_back": bool(facts.rolls_back),
        "webhook_url": check_new_url(facts.webhook_url.strip()).url if facts.webhook_url.strip() else "",
        **_watched(tenant, facts),
    }
    if values["window_minutes"] not in MonitorWindow.values:
        raise Invalid("Choose one of the windows.", field="window_minutes")
    if not (math.isfinite(values["sigmas"]) and 1 <= values["sigmas"] <= 6):
        raise Invalid("Limits lie 1 to 6 standard errors from the centre; 3 is usual.", field="sigmas")
    if facts.rolls_back:
        if facts.prompt is None:
            raise Invalid("Only a prompt's label can be rolled back.", field="rolls_back")
        require(actor, "prompt.release", tenant, what="have a monitor roll a prompt back")
    values |= _baseline(facts)
    _check_scorers(tenant, facts.scorers)
    members = Membership.objects.for_tenant(tenant).filter(user__in=facts.recipients, user__is_active=True)
    if len(facts.recipients) > MOST_RECIPIENTS or members.count() < len({each.pk for each in facts.recipients}):
        raise Invalid(f"Alerts go to at most {MOST_RECIPIENTS} members of the tenant.", field="recipients")
    return values


def _watched(tenant: Tenant, facts: MonitorFacts) -> dict[str, Any]:
    if (facts.prompt is None) == (not facts.model.strip()):
        raise Invalid("Choose either a prompt or a model or route to watch.", field="model")
    if facts.prompt is None:
        [model] = validation.clean_model_names([facts.model.strip()], field="model")
        return {"prompt": None, "environment": "", "label": "", "model": model}
    if facts.prompt.tenant_id != tenant.pk:
        raise Invalid("There is no such prompt in this tenant.", field="prompt")
    return {
        "prompt": facts.prompt,
        "environment": validation.clean_choice(facts.environment, Environment, field="environment"),
        "label": validation.clean_slug(facts.label, field="label"),
        "model": "",
    }


def _baseline(facts: MonitorFacts) -> dict[str, Any]:
    if facts.baseline == Baseline.RELEASE:
        if facts.prompt is None:
            raise Invalid("Only a prompt has releases: choose a period.", field="baseline")
        return {"baseline_since": None, "baseline_until": None}
    since, until = facts.baseline_since, facts.baseline_until
    if since is None or until is None or since >= until:
        raise Invalid(
            "Say when the period begins and ends.", field="baseline_since" if since is None else "baseline_until"
        )
    return {"baseline_since": since, "baseline_until": until}


def _check_scorers(tenant: Tenant, scorers: Sequence[Scorer]) -> None:
    if not scorers or len(scorers) > MOST_SCORERS:
        raise Invalid(f"Choose one to {MOST_SCORERS} scorers.", field="scorers")
    for each in scorers:
        if each.tenant_id != tenant.pk or each.is_archived:
            raise Invalid("There is no such scorer in use in this tenant.", field="scorers")
        if not can_watch(each.kind):
            raise Invalid(
                f"{each.name} needs an expected answer, documents or another answer, which no request brings.",
                field="scorers",
            )
    system = Actor.system("monitor")
    if unfit := unfit_judges([current_version(actor=system, scorer=each) for each in scorers]):
        raise Invalid(unfit[0], field="scorers", code="judge_not_calibrated", remedy=unfit[1])


def _told(monitor: Monitor, facts: MonitorFacts) -> dict[str, Any]:
    return {
        "watches": monitor.watched,
        "scorers": [each.slug for each in facts.scorers],
        "window_minutes": monitor.window_minutes,
        "sample_size": monitor.sample_size,
        "baseline": monitor.baseline,
        "sigmas": monitor.sigmas,
        "recipients": [each.email for each in facts.recipients],
        "webhook": monitor.webhook_url,
        "rolls_back": monitor.rolls_back,
    }
