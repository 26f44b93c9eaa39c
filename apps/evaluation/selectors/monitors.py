"""Reads of monitors, always for an actor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from django.db.models import Case, CharField, F, IntegerField, OuterRef, Prefetch, Q, QuerySet, Subquery, Value, When

from apps.evaluation.models import Evaluation, Monitor, MonitorAlert, MonitorCheck
from apps.evaluation.types import AlertStatus, CheckKind, CheckVerdict, MonitorState
from apps.prompts.models import Prompt
from apps.tenants.access import Actor
from apps.tenants.errors import NotFound
from apps.tenants.models import Project, Tenant

WHY: Final = "of a monitor that the actor reached"
DRAWN: Final = 24  # newest checks in the line of a list
CHARTED: Final = 120  # newest checks on a chart
LOOKED_AT: Final = 300  # newest checks that alerts are told from
SHOWN_EPISODES: Final = 10
_STATES: Final = {
    CheckVerdict.OUT: MonitorState.OUT,
    CheckVerdict.FAILED: MonitorState.FAILING,
    CheckVerdict.INSUFFICIENT: MonitorState.FEW,
    CheckVerdict.IN: MonitorState.CALM,
}


@dataclass(frozen=True, slots=True)
class MonitorQuery:
    """What to show of the list; empty means any."""

    text: str = ""
    state: str = ""


def monitors_for(actor: Actor, tenant: Tenant | None = None) -> QuerySet[Monitor]:
    rows = Monitor.objects.for_actor(actor).select_related("tenant", "project", "prompt__tenant", "updated_by")
    rows = rows.prefetch_related("scorers", "recipients")
    return rows if tenant is None else rows.filter(tenant=tenant)


def search_monitors(actor: Actor, tenant: Tenant, query: MonitorQuery = MonitorQuery()) -> QuerySet[Monitor]:
    """With ``state``, its rank as ``urgency``, ``last_at`` and the newest decided checks as ``recent``."""
    newest = _decided().filter(monitor=OuterRef("pk")).order_by("-until", "-pk")
    states = [When(is_paused=True, then=Value(MonitorState.PAUSED))]
    states += [When(last_verdict=verdict, then=Value(state)) for verdict, state in _STATES.items()]
    ranks = [When(state=state, then=Value(rank)) for rank, state in enumerate(MonitorState.values)]
    rows = monitors_for(actor, tenant).annotate(
        last_verdict=Subquery(newest.values("verdict")[:1]), last_at=Subquery(newest.values("until")[:1])
    )
    rows = rows.annotate(state=Case(*states, default=Value(MonitorState.NEW), output_field=CharField()))
    rows = rows.annotate(urgency=Case(*ranks, output_field=IntegerField()))
    rows = rows.prefetch_related(Prefetch("checks", _decided().order_by("-until", "-pk")[:DRAWN], to_attr="recent"))
    for word in query.text.split()[:8]:
        rows = rows.filter(
            Q(name__icontains=word)
            | Q(slug__icontains=word)
            | Q(model__icontains=word)
            | Q(label__icontains=word)
            | Q(prompt__name__icontains=word)
        )
    return rows.filter(state=query.state) if query.state in MonitorState.values else rows


def _decided() -> QuerySet[MonitorCheck]:
    return MonitorCheck.objects.unscoped(WHY).filter(kind=CheckKind.CHECK).exclude(verdict="")


def get_monitor_for(actor: Actor, tenant_slug: str, slug: str) -> Monitor:
    monitor = monitors_for(actor).filter(tenant__slug=tenant_slug, slug=slug).first()
    if monitor is None:
        raise NotFound(f"There is no monitor {slug[:60]!r}.")
    return monitor


def state_of(monitor: Monitor, newest: MonitorCheck | None) -> MonitorState:
    """``newest`` is its newest check that is decided."""
    if monitor.is_paused:
        return MonitorState.PAUSED
    return MonitorState.NEW if newest is None else _STATES[CheckVerdict(newest.verdict)]


def monitors_of(actor: Actor, prompt: Prompt) -> QuerySet[Monitor]:
    """Those that watch the prompt, as ``search_monitors`` has them."""
    return search_monitors(actor, prompt.tenant).filter(prompt=prompt).order_by("name")


def check_of(run: Evaluation) -> MonitorCheck | None:
    """The check that the run scored a sample for."""
    return (
        MonitorCheck.objects.unscoped(WHY)
        .select_related("monitor__tenant", "monitor__prompt")
        .filter(evaluation=run)
        .first()
    )


def checks_of(monitor: Monitor) -> QuerySet[MonitorCheck]:
    """Newest first, with their alerts."""
    rows = MonitorCheck.objects.unscoped(WHY).filter(monitor=monitor, kind=CheckKind.CHECK)
    rows = rows.select_related(
        "monitor__tenant", "evaluation", "rollback", "baseline__evaluation", "asked_by", "acknowledged_by"
    )
    return rows.prefetch_related(Prefetch("alerts", MonitorAlert.objects.unscoped(WHY))).order_by("-until", "-pk")


def decided_checks_of(monitor: Monitor) -> list[MonitorCheck]:
    """The newest ones, oldest first: what a chart shows."""
    rows = _decided().filter(monitor=monitor).select_related("evaluation").order_by("-until", "-pk")
    return list(reversed(rows[:CHARTED]))


def is_checking(monitor: Monitor) -> bool:
    return MonitorCheck.objects.unscoped(WHY).filter(monitor=monitor, verdict="").exists()


def baseline_of(monitor: Monitor) -> MonitorCheck | None:
    """The newest one."""
    rows = MonitorCheck.objects.unscoped(WHY).filter(monitor=monitor, kind=CheckKind.BASELINE)
    return rows.select_related("evaluation").order_by("-pk").first()


def get_alert_of(monitor: Monitor, pk: int) -> MonitorAlert:
    rows = MonitorAlert.objects.unscoped(WHY).select_related("monitor_check__monitor__tenant")
    alert = rows.filter(pk=min(pk, 2**63 - 1), monitor_check__monitor=monitor).first()
    if alert is None:
        raise NotFound("There is no such alert.")
    return alert


@dataclass(slots=True)
class Episode:
    """A time out of control: checks in a row, newest first, and when one was in control again."""

    checks: list[MonitorCheck] = field(default_factory=list)
    ended_at: datetime | None = None

    @property
    def state(self) -> str:
        if self.ended_at is not None:
            return "ended"
        return "open" if any(each.acknowledged_at is None for each in self.checks) else "acknowledged"

    @property
    def newest(self) -> MonitorCheck:
        return self.checks[0]

    @property
    def first(self) -> MonitorCheck:
        return self.checks[-1]

    @property
    def acknowledged(self) -> MonitorCheck | None:
        """The newest check that somebody has said to look after."""
        return next((each for each in self.checks if each.acknowledged_at is not None), None)

    @property
    def rolled_back(self) -> MonitorCheck | None:
        return next((each for each in self.checks if each.rollback_id is not None), None)

    @property
    def alerts(self) -> list[MonitorAlert]:
        """Newest first."""
        return [alert for each in self.checks for alert in each.alerts.all()]

    @property
    def undelivered(self) -> int:
        return sum(alert.status != AlertStatus.SENT for alert in self.alerts)


def episodes_of(monitor: Monitor) -> list[Episode]:
    """The last ones, newest first. A check that could not tell neither begins nor ends one."""
    rows = checks_of(monitor).filter(verdict__in=(CheckVerdict.IN, CheckVerdict.OUT))
    found: list[Episode] = []
    running: Episode | None = None
    for check in reversed(rows[:LOOKED_AT]):
        if check.verdict == CheckVerdict.OUT:
            if running is None:
                running = Episode()
                found.append(running)
            running.checks.insert(0, check)
        elif running is not None:
            running.ended_at, running = check.until, None
    return found[::-1][:SHOWN_EPISODES]


def sampled_projects(tenant: Tenant) -> Sequence[Project]:
    """Those whose tenant has agreed that what their requests say is kept, the most of it first."""
    rows = Project.objects.for_tenant(tenant).filter(is_active=True, content_percent__gt=0).select_related("tenant")
    return list(rows.order_by(F("content_percent").desc(), "name"))
