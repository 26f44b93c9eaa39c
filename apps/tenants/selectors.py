"""Reads, always for an actor: the only roads to a tenant's rows. What is not theirs does not exist (``NotFound``)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from django.db.models import Count, Q, QuerySet
from django.utils import timezone

from apps.tenants import apikeys
from apps.tenants.access import Actor, can, require
from apps.tenants.errors import NotFound
from apps.tenants.models import ApiKey, AuditEntry, Budget, Membership, Project, RateLimit, Tenant, User


def tenants_for(actor: Actor) -> QuerySet[Tenant]:
    return Tenant.objects.for_actor(actor)


def get_tenant_for(actor: Actor, slug: str) -> Tenant:
    tenant = tenants_for(actor).filter(slug=slug).first()
    if tenant is None:
        raise NotFound(f"There is no tenant {slug!r}.")
    return tenant


def projects_for(actor: Actor, tenant: Tenant | None = None, action: str = "") -> QuerySet[Project]:
    """With ``action`` (for example ``apikey.create``): only the projects in which the actor may do that."""
    rows = Project.objects.for_actor(actor, action).select_related("tenant")
    return rows if tenant is None else rows.filter(tenant=tenant)


def with_key_counts(projects: QuerySet[Project]) -> QuerySet[Project]:
    """Adds ``usable_keys`` to each project."""
    usable = Q(api_keys__revoked_at=None) & (Q(api_keys__expires_at=None) | Q(api_keys__expires_at__gt=timezone.now()))
    return projects.annotate(usable_keys=Count("api_keys", filter=usable))


def get_project_for(actor: Actor, tenant_slug: str, slug: str) -> Project:
    project = projects_for(actor).filter(tenant__slug=tenant_slug, slug=slug).first()
    if project is None:
        raise NotFound(f"There is no project {tenant_slug}/{slug}.")
    return project


def keys_for(actor: Actor, tenant: Tenant | None = None) -> QuerySet[ApiKey]:
    rows = ApiKey.objects.for_actor(actor).select_related("project__tenant", "created_by")
    return rows if tenant is None else rows.filter(project__tenant=tenant)


def with_status(keys: QuerySet[ApiKey], status: str) -> QuerySet[ApiKey]:
    """The keys that are ``active``, ``expiring`` (in two weeks), ``expired`` or ``revoked``; all of them otherwise."""
    now = timezone.now()
    alive = keys.filter(revoked_at=None)
    match status:
        case "active":
            return alive.filter(Q(expires_at=None) | Q(expires_at__gt=now))
        case "expiring":
            return alive.filter(expires_at__gt=now, expires_at__lte=now + timedelta(days=14))
        case "expired":
            return alive.filter(expires_at__lte=now)
        case "revoked":
            return keys.exclude(revoked_at=None)
    return keys


def get_key_for(actor: Actor, prefix: str) -> ApiKey:
    """By its prefix, with or without the ``lby_`` in front."""
    api_key = keys_for(actor).filter(prefix=prefix.removeprefix(apikeys.MARK)).first()
    if api_key is None:
        raise NotFound(f"There is no API key {prefix[:40]!r}.")
    return api_key


def may_control_key(actor: Actor, api_key: ApiKey) -> bool:
    """Whether the actor may revoke or rotate this key: their own, or any as a tenant admin."""
    project = api_key.project
    own = actor.user is not None and api_key.created_by_id == actor.user.pk
    return can(actor, "apikey.revoke", project.tenant, project) or (
        own and can(actor, "apikey.revoke_own", project.tenant, project)
    )


def members_for(actor: Actor, tenant: Tenant | None = None) -> QuerySet[Membership]:
    rows = Membership.objects.for_actor(actor).select_related("tenant", "user")
    return rows if tenant is None else rows.filter(tenant=tenant)


def get_member_for(actor: Actor, tenant_slug: str, user_id: int) -> Membership:
    membership = members_for(actor).filter(tenant__slug=tenant_slug, user_id=user_id).first()
    if membership is None:
        raise NotFound("There is no such member.")
    return membership


def limits_for(actor: Actor, tenant: Tenant | None = None, project: Project | None = None) -> QuerySet[RateLimit]:
    rows = RateLimit.objects.for_actor(actor).select_related("tenant", "project", "api_key", "user")
    if tenant is not None:
        rows = rows.filter(tenant=tenant)
    return rows if project is None else rows.filter(project=project)


def get_limit_for(actor: Actor, pk: int) -> RateLimit:
    row = limits_for(actor).filter(pk=pk).first()
    if row is None:
        raise NotFound("There is no such rate limit.")
    return row


def budgets_for(actor: Actor, tenant: Tenant | None = None, project: Project | None = None) -> QuerySet[Budget]:
    rows = Budget.objects.for_actor(actor).select_related("tenant", "project", "api_key")
    if tenant is not None:
        rows = rows.filter(tenant=tenant)
    return rows if project is None else rows.filter(project=project)


def get_budget_for(actor: Actor, pk: int) -> Budget:
    row = budgets_for(actor).filter(pk=pk).first()
    if row is None:
        raise NotFound("There is no such budget.")
    return row


def audit_for(actor: Actor, tenant: Tenant | None = None) -> QuerySet[AuditEntry]:
    """Newest first: a tenant admin sees their tenants' acts; platform staff see all, the platform's own included."""
    rows = AuditEntry.objects.for_actor(actor)
    return rows if tenant is None else rows.filter(tenant=tenant)


def get_audit_entry_for(actor: Actor, sequence: int) -> AuditEntry:
    entry = audit_for(actor).select_related("tenant").filter(sequence=sequence).first()
    if entry is None:
        raise NotFound("There is no such audit entry.")
    return entry


@dataclass(frozen=True, slots=True)
class ActorFacts:
    """Who an actor is, told to themselves. ``tenants`` are those they belong to (a key: the one it works for)."""

    kind: str
    user: User | None
    platform_role: str
    key: ApiKey | None
    tenants: list[tuple[Tenant, str]]


def describe_actor(actor: Actor) -> ActorFacts:
    rows = Tenant.objects.for_actor(actor).filter(pk__in=list(actor.standings)).order_by("name")
    key = None
    if actor.api_key_id is not None:
        keys = ApiKey.objects.unscoped("an API key asks about itself").select_related("project__tenant")
        key = keys.filter(pk=actor.api_key_id).first()
    return ActorFacts(
        kind=actor.kind,
        user=actor.user,
        platform_role=actor.platform_role,
        key=key,
        tenants=[(tenant, actor.standings[tenant.pk].role) for tenant in rows],
    )


def users_for(actor: Actor) -> QuerySet[User]:
    """Everybody, for the platform's staff; others know only their fellow members (``members_for``)."""
    require(actor, "user.view", what="list all users")
    return User.objects.all()
