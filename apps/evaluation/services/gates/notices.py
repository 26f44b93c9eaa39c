"""Those who may approve a decision are told that it waits for them."""

from __future__ import annotations

from typing import Final

from django.conf import settings
from django.db.models import Case, IntegerField, QuerySet, Value, When
from django.urls import reverse

from apps.evaluation.models import GateDecision, GateNotice
from apps.evaluation.selectors.gates import approvers_of
from apps.evaluation.services.deliveries import DELIVERY_TASK, Withdrawn, deliver_due, mail
from apps.evaluation.services.plans import APPROVING
from apps.evaluation.types import GateStatus
from apps.gateway.models import Route
from apps.tenants.jobs import enqueue
from apps.tenants.models import Membership
from apps.tenants.types import Environment, Role

MOST_TOLD: Final = 50
WHY: Final = "those who may approve a decision of their tenant"
# Who is told first, where a tenant has more approvers than are told.
_FIRST: Final = (Role.ADMIN, Role.DATA_SCIENTIST, Role.DEVELOPER)


def tell_approvers(decision: GateDecision) -> None:
    """In the transaction that has the decision wait. Everybody else finds it on Home, too."""
    rows = _approvers(decision).exclude(user=decision.subject.author_id).exclude(user__email="")
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


def _approvers(decision: GateDecision) -> QuerySet[Membership]:
    """Those whom its plan names, or else all who may."""
    rows = Membership.objects.unscoped(WHY).filter(tenant=decision.tenant_id, role__in=APPROVING, user__is_active=True)
    named = approvers_of(decision)
    return rows.filter(user__in=named) if named else rows


def _send(pk: int) -> None:
    rows = GateNotice.objects.unscoped(WHY).select_related(
        "decision__tenant",
        "decision__prompt__tenant",
        "decision__version__author",
        "decision__route__tenant",
        "decision__revision__author",
        "user",
    )
    notice = rows.get(pk=pk)
    decision, person = notice.decision, notice.user
    if decision.status != GateStatus.WAITING or decision.approvals.filter(user=person).exists():
        raise Withdrawn("It was decided before the mail went out.")
    owner, version, policy, tenant = decision.owner, decision.subject, decision.policy, decision.tenant
    if not _approvers(decision).filter(user=person).exists():
        raise Withdrawn("They may no longer approve.")
    when = "it is in force"
    if decision.route is None:
        when = f"“{policy['label']}” means it in {Environment(policy['environment']).label.lower()}"
    noun = decision.noun
    found = f"Its gate found it {decision.verdict}" if decision.verdict else "Its gate had nothing to compare with"
    lines = [
        f"{noun.capitalize()} {version.number} of {owner.name} ({tenant.name}), by {version.author_name}, waits for"
        f" approval before {when}.",
        *(["", f"What changed: {version.message}"] if version.message else []),
        "",
        f"{found}:",
        *(f"- {reason}" for reason in decision.reasons),
        "",
        f"The evidence, and where to approve or refuse: {review_url_of(decision)}",
    ]
    mail(
        to=person.email,
        subject=f"Lobby: {owner.name} {noun} {version.number} waits for your approval",
        lines=lines,
        message_id=f"msg_gate_{decision.pk}_{notice.pk}",
    )


def review_url_of(decision: GateDecision) -> str:
    return f"{settings.PORTAL_URL.rstrip('/')}{review_path_of(decision)}"


def review_path_of(decision: GateDecision) -> str:
    """Of this very decision: a newer one about the same, such as advice, may be there by the time it is opened."""
    owner, number = decision.owner, decision.subject.number
    path = reverse("evaluation:version-review", args=[decision.tenant.slug, owner.slug, number])
    if isinstance(owner, Route):
        path = reverse("evaluation:revision-review", args=[owner.pk, number])
    return f"{path}?gate={decision.pk}"
