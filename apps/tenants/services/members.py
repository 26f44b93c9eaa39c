"""Members: who belongs to a tenant, in which role."""

from __future__ import annotations

from django.db import IntegrityError, transaction

from apps.tenants import audit, validation
from apps.tenants.access import Actor, require
from apps.tenants.control_plane import control_plane_changed
from apps.tenants.errors import Conflict, NotFound
from apps.tenants.models import Membership, Tenant, User
from apps.tenants.services.users import end_sessions, make_invited_user
from apps.tenants.types import PlatformRole, Role


@transaction.atomic
def add_member(*, actor: Actor, tenant: Tenant, user: User, role: str) -> Membership:
    require(actor, "member.manage", tenant, what="manage members")
    role = validation.clean_choice(role, Role, field="role")
    try:
        with transaction.atomic():
            membership = Membership.objects.create(tenant=tenant, user=user, role=role)
    except IntegrityError:
        raise Conflict(f"{user} is a member of {tenant.name} already.", code="already_member", field="email") from None
    audit.record(actor, "member.added", membership, {"user": user.email, "role": role}, tenant)
    control_plane_changed()
    return membership


@transaction.atomic
def invite_member(*, actor: Actor, tenant: Tenant, email: str, role: str, name: str = "") -> Membership:
    """Add the person with this address, as a new user if nobody has it yet.

    A new user has no password: they come in by single sign-on (whose identity provider vouches for the address), or
    set one through "forgot password".
    """
    require(actor, "member.manage", tenant, what="manage members")
    email = validation.clean_email(email)
    user = User.objects.filter(email__iexact=email).first()
    if user is None:
        user = make_invited_user(actor, email, name)
    return add_member(actor=actor, tenant=tenant, user=user, role=role)


@transaction.atomic
def change_member_role(*, actor: Actor, membership: Membership, role: str) -> Membership:
    """A change of role ends the member's sessions, so that open pages and sockets come back with the new rights."""
    membership = _locked(membership)
    require(actor, "member.manage", membership.tenant, what="manage members")
    role = validation.clean_choice(role, Role, field="role")
    if membership.role == role:
        return membership
    if membership.role == Role.ADMIN:
        _refuse_to_leave_without_admin(actor, membership)
    before, membership.role = membership.role, role
    membership.save(update_fields=["role"])
    end_sessions(membership.user)
    audit.record(
        actor,
        "member.role_changed",
        membership,
        {"user": membership.user.email, "role": [before, role]},
        membership.tenant,
    )
    control_plane_changed()
    return membership


@transaction.atomic
def remove_member(*, actor: Actor, membership: Membership) -> None:
    """The person keeps their account; their keys stay with the project, without management rights."""
    membership = _locked(membership)
    require(actor, "member.manage", membership.tenant, what="manage members")
    if membership.role == Role.ADMIN:
        _refuse_to_leave_without_admin(actor, membership)
    audit.record(
        actor,
        "member.removed",
        membership,
        {"user": membership.user.email, "role": membership.role},
        membership.tenant,
    )
    end_sessions(membership.user)
    membership.delete()
    control_plane_changed()


def _refuse_to_leave_without_admin(actor: Actor, membership: Membership) -> None:
    if actor.is_system or actor.platform_role == PlatformRole.SERVICE_ADMIN:
        return
    others = Membership.objects.for_tenant(membership.tenant).filter(role=Role.ADMIN, user__is_active=True)
    if not others.exclude(pk=membership.pk).exists():
        raise Conflict(
            f"{membership.user} is the last tenant admin of {membership.tenant.name}.",
            code="last_admin",
            remedy="Make somebody else a tenant admin first.",
        )


def _locked(membership: Membership) -> Membership:
    rows = Membership.objects.unscoped("just reached on an access road; the caller checks its tenant")
    try:
        # All of the tenant's memberships, in one order: two admins who demote each other at once must not both succeed.
        list(rows.filter(tenant_id=membership.tenant_id).order_by("pk").select_for_update().values_list("pk"))
        return rows.select_related("tenant", "user").get(pk=membership.pk)
    except Membership.DoesNotExist:
        raise NotFound("There is no such member.") from None
