"""Those who may approve a decision are told that it waits for them."""

from __future__ import annotations

from typing import Final

from django.conf import settings
from django.db.models import Case, IntegerField, QuerySet, Value, When
from django.urls import reverse

from apps.evaluation.models import GateDecision, GateNotice
from apps.evaluation.services.deliveries import DELIVERY_TASK, Withdrawn, deliver_due, mail
from apps.evaluation.types import GateStatus
from apps.tenants.access import ROLE_ACTIONS
from apps.tenants.jobs import enqueue
from apps.tenants.models import Membership, Tenant
from apps.tenants.types import Environment, Role

MOST_TOLD: Final = 50
WHY: Final = "those who may approve a decision of their tenant"
APPROVING: Final = tuple(role for role in Role if "gate.approve" in ROLE_ACTIONS[role])
# Who is told first, where a tenant has more approvers than are told.
_FIRST: Final = (Role.ADMIN, Role.DATA_SCIENTIST, Role.DEVELOPER)


def tell_approvers(decision: GateDecision) -> None:
    """In the transaction that has the decision wait. Everybody else finds it on Home, too."""
    rows = _approvers(decision.tenant).exclude(user=decision.version.author_id).exclude(user__email="")
    order = Case(*(When(role=role, then=Value(rank)) for rank, role in enumerate(_FIRST)), output_field=IntegerField())
    people = list(rows.order_by(order, "pk").values_list("user_id", flat=True)[:MOST_TOLD])
    GateNotice.objects.bulk_create(
        [GateNotice(decision=decision, user_id=each) for each in people], ignore_conflicts=True
    )
    if people:
        enqueue(DELIVERY_TASK)


def deliver_notices() -> int:
    """Those that are due. How many arrived."""
    return deliver_due(GateNotice, _send)


def _approvers(tenant: Tenant) -> QuerySet[Membership]:
    return Membership.objects.unscoped(WHY).filter(tenant=tenant, role__in=APPROVING, user__is_active=True)


def _send(pk: int) -> None:
    rows = GateNotice.objects.unscoped(WHY).select_related("decision__prompt__tenant", "decision__version", "user")
    notice = rows.get(pk=pk)
    decision, person = notice.decision, notice.user
    if decision.status != GateStatus.WAITING or decision.approvals.filter(user=person).exists():
        raise Withdrawn("It was decided before the mail went out.")
    prompt, version, policy = decision.prompt, decision.version, decision.policy
    if not _approvers(prompt.tenant).filter(user=person).exists():
        raise Withdrawn("They may no longer approve.")
    where = Environment(policy["environment"]).label.lower()
    found = f"Its gate found it {decision.verdict}" if decision.verdict else "Its gate had nothing to compare with"
    lines = [
        f"Version {version.number} of {prompt.name} ({prompt.tenant.name}), by {version.author_name}, waits for"
        f" approval before “{policy['label']}” means it in {where}.",
        *(["", f"What changed: {version.message}"] if version.message else []),
        "",
        f"{found}:",
        *(f"- {reason}" for reason in decision.reasons),
        "",
        f"The evidence, and where to approve or refuse: {review_url_of(decision)}",
    ]
    mail(
        to=person.email,
        subject=f"Lobby: {prompt.name} version {version.number} waits for your approval",
        lines=lines,
        message_id=f"msg_gate_{decision.pk}_{notice.pk}",
    )


def review_url_of(decision: GateDecision) -> str:
    prompt = decision.prompt
    path = reverse("evaluation:version-review", args=[prompt.tenant.slug, prompt.slug, decision.version.number])
    return f"{settings.PORTAL_URL.rstrip('/')}{path}"
