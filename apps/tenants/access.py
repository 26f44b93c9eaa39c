"""Who acts, and what they may do: one table of rules for every face.

An ``Actor`` is made once per request (or job, or command) from the database as it is at that moment, so a demotion,
a suspension or a revocation holds from the next request on. Its three makers are ``Actor.of_user``,
``Actor.of_api_key`` and ``Actor.system``.

An action is a word such as ``apikey.create``. Actions that end in ``.view`` read; all others write. Rules are asked by
``can`` (yes or no) and ``require`` (yes, or the fitting error).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from apps.tenants.errors import NotFound, PermissionDenied
from apps.tenants.types import PlatformRole, Role, Scope, TenantStatus

if TYPE_CHECKING:
    from apps.tenants.models import ApiKey, Project, Tenant, User

VIEWING = frozenset(
    {
        "tenant.view",
        "project.view",
        "member.view",
        "limit.view",
        "budget.view",
        "usage.view",
        "model.view",
        "prompt.view",
        # What members share in the playground: conversations by their permalink, examples, votes.
        "example.view",
        "example.rate",
        "feedback.view",
        "route.view",
        "dataset.view",
        "dataset.offer",  # something for the golden-set inbox; what becomes of it is for those who edit
        "evaluation.view",
    }
)
WRITING_PROMPTS = frozenset({"prompt.edit", "prompt.release"})
# Datasets, scorers, runs, plans, monitors; who approves a gate's decision is never the version's author (its service).
EVALUATING = frozenset(
    {"dataset.edit", "dataset.sign_off", "evaluation.run", "evaluation.plan", "evaluation.monitor", "gate.approve"}
)
USING_KEYS = frozenset({"apikey.view", "apikey.create", "apikey.revoke_own", "request.view", "model.call"})
ROLE_ACTIONS: Mapping[Role, frozenset[str]] = {
    Role.VIEWER: VIEWING,
    Role.REVIEWER: VIEWING | {"dataset.sign_off"},
    Role.DATA_SCIENTIST: VIEWING | USING_KEYS | WRITING_PROMPTS | EVALUATING | {"feedback.triage"},
    Role.DEVELOPER: VIEWING | USING_KEYS | WRITING_PROMPTS | EVALUATING | {"project.update"},
    Role.ADMIN: VIEWING
    | USING_KEYS
    | WRITING_PROMPTS
    | EVALUATING
    | {
        "gate.override",
        "prompt.publish",
        "tenant.update",
        "project.create",
        "project.update",
        "project.archive",
        "member.manage",
        "apikey.revoke",
        "limit.manage",
        "budget.manage",
        "route.manage",
        "audit.view",
        "feedback.triage",
        "example.remove",
        "licence.accept",
    },
}
PLATFORM_ONLY = frozenset(
    {
        "tenant.create",
        "tenant.suspend",
        "tenant.offboard",
        "user.view",
        "user.manage",
        "registry.view",
        "registry.manage",
        "access.grant",
        "platform.view",
    }
)
ACTIONS = frozenset().union(*ROLE_ACTIONS.values()) | PLATFORM_ONLY
PLATFORM_ACTIONS: Mapping[PlatformRole, frozenset[str]] = {
    PlatformRole.NONE: frozenset(),
    PlatformRole.SERVICE_ENGINEER: frozenset(a for a in ACTIONS if a.endswith(".view"))
    | {"registry.manage", "access.grant", "limit.manage", "feedback.triage", "route.manage"},
    PlatformRole.SERVICE_ADMIN: ACTIONS,
}

# A key works for one application: whatever its creator may do, it stays inside its project.
KEY_ACTIONS = frozenset(
    {
        "tenant.view",
        "project.view",
        "project.update",
        "apikey.view",
        "apikey.create",
        "apikey.revoke",
        "apikey.revoke_own",
        "limit.view",
        "budget.view",
        "usage.view",
        "request.view",
        "model.view",
        "route.view",
        "model.call",
        "prompt.view",
        "prompt.edit",
        "prompt.release",
        "dataset.view",
        "dataset.edit",
        "dataset.offer",
        "evaluation.view",
        "evaluation.run",
    }
)

GRANTABLE_SCOPES: Mapping[Role, frozenset[str]] = {
    Role.VIEWER: frozenset(),
    Role.REVIEWER: frozenset(),
    Role.DATA_SCIENTIST: frozenset({Scope.INFERENCE, Scope.MANAGEMENT_READ}),
    Role.DEVELOPER: frozenset({Scope.INFERENCE, Scope.MANAGEMENT_READ}),
    Role.ADMIN: frozenset(Scope.values),
}

WHO_CAN = {
    "audit.view": "a tenant admin",
    "apikey.create": "a developer, data scientist or tenant admin",
    "apikey.view": "a developer, data scientist or tenant admin",
    "request.view": "a developer, data scientist or tenant admin",
    "prompt.edit": "a developer, data scientist or tenant admin",
    "prompt.release": "a developer, data scientist or tenant admin",
    "model.call": "a developer, data scientist or tenant admin",
    "feedback.triage": "a data scientist or tenant admin",
    "dataset.edit": "a developer, data scientist or tenant admin",
    "dataset.sign_off": "a reviewer, developer, data scientist or tenant admin",
    "evaluation.run": "a developer, data scientist or tenant admin",
    "evaluation.plan": "a developer, data scientist or tenant admin",
    "evaluation.monitor": "a developer, data scientist or tenant admin",
    "gate.approve": "a developer, data scientist or tenant admin",
    "apikey.revoke_own": "the key's creator or a tenant admin",
}


class ActorKind(StrEnum):
    USER = "user"
    API_KEY = "api_key"
    SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class Standing:
    """A role in one tenant, and that tenant's status."""

    role: Role
    status: TenantStatus


@dataclass(frozen=True, slots=True)
class Actor:
    """Whoever acts. ``user`` is the person who answers for it: themselves, or an API key's creator."""

    kind: ActorKind
    label: str
    user: User | None = None
    platform_role: PlatformRole = PlatformRole.NONE
    standings: Mapping[int, Standing] = field(default_factory=dict)
    # For an API key only:
    api_key_id: int | None = None
    project_id: int | None = None
    scopes: frozenset[str] = frozenset()

    @classmethod
    def of_user(cls, user: User) -> Actor:
        """The person behind a session. One query; somebody inactive has no rights at all."""
        if not user.is_active:
            return cls(kind=ActorKind.USER, label=user.email, user=user)
        return cls(
            kind=ActorKind.USER,
            label=user.email,
            user=user,
            platform_role=PlatformRole(user.platform_role),
            standings=_standings(user),
        )

    @classmethod
    def of_api_key(cls, api_key: ApiKey) -> Actor:
        """A key at the management API: never more than its creator may do now, and only inside its project.

        A key without a creator was issued at the command line and acts as a tenant admin would. Creators cannot be
        deleted (``on_delete=PROTECT``), so "no creator" never means "creator gone".

        Raises:
            PermissionDenied: The key is revoked or expired.
        """
        if not api_key.is_usable:
            raise PermissionDenied("This API key is revoked or expired.", code="key_unusable")
        tenant = api_key.project.tenant
        creator = api_key.created_by
        standing: Standing | None
        if creator is None:
            standing = Standing(Role.ADMIN, TenantStatus(tenant.status))
        elif not creator.is_active:
            standing = None
        elif creator.platform_role == PlatformRole.SERVICE_ADMIN:
            standing = Standing(Role.ADMIN, TenantStatus(tenant.status))
        else:
            standing = _standings(creator).get(tenant.pk)
        if tenant.status == TenantStatus.OFFBOARDED or not api_key.project.is_active:
            standing = None
        return cls(
            kind=ActorKind.API_KEY,
            label=f"key {api_key.name} ({api_key.prefix})",
            user=creator,
            standings={} if standing is None else {tenant.pk: standing},
            api_key_id=api_key.pk,
            project_id=api_key.project_id,
            scopes=frozenset(api_key.scopes),
        )

    @classmethod
    def system(cls, label: str) -> Actor:
        """The operator at the command line, a start-up step or a scheduled job; ``label`` names which in the audit."""
        return cls(kind=ActorKind.SYSTEM, label=label)

    @property
    def name(self) -> str:
        """For a page's readers, where ``label`` is for records: a person's name, or else the label."""
        return str(self.user) if self.kind == ActorKind.USER and self.user is not None else self.label

    @property
    def is_system(self) -> bool:
        return self.kind is ActorKind.SYSTEM

    def tenants_allowing(self, action: str) -> frozenset[int] | None:
        """The tenants (primary keys) in which ``action`` is allowed; None means in all of them."""
        _check_known(action)
        if self.is_system or action in PLATFORM_ACTIONS[self.platform_role]:
            return None
        return frozenset(pk for pk, standing in self.standings.items() if self._standing_allows(standing, action))

    def _standing_allows(self, standing: Standing, action: str) -> bool:
        writes = not action.endswith(".view")
        # A suspended tenant can still be looked at, so that its people see what happened; nothing in it can be changed.
        if standing.status == TenantStatus.OFFBOARDED or (writes and standing.status == TenantStatus.SUSPENDED):
            return False
        if action not in ROLE_ACTIONS[standing.role]:
            return False
        if self.kind is not ActorKind.API_KEY:
            return True
        if action not in KEY_ACTIONS:
            return False
        return Scope.MANAGEMENT_WRITE in self.scopes or (not writes and Scope.MANAGEMENT_READ in self.scopes)


def _standings(user: User) -> dict[int, Standing]:
    rows = user.memberships.exclude(tenant__status=TenantStatus.OFFBOARDED)
    return {
        tenant_id: Standing(Role(role), TenantStatus(status))
        for tenant_id, role, status in rows.order_by().values_list("tenant_id", "role", "tenant__status")
    }


def _check_known(action: str) -> None:
    if action not in ACTIONS:
        raise ValueError(f"{action!r} is no action of apps/tenants/access.py")


def can(actor: Actor, action: str, tenant: Tenant | None = None, project: Project | None = None) -> bool:
    """Whether ``actor`` may do ``action`` in ``tenant`` (None: across the platform), narrowed to ``project``."""
    allowed = actor.tenants_allowing(action)
    if allowed is None:
        return True
    if tenant is None or tenant.pk not in allowed:
        return False
    if actor.kind is ActorKind.API_KEY and project is not None and project.pk != actor.project_id:
        return False
    return not (tenant.status == TenantStatus.SUSPENDED and not action.endswith(".view"))


def require(
    actor: Actor, action: str, tenant: Tenant | None = None, project: Project | None = None, *, what: str = "this"
) -> None:
    """Nothing, when allowed.

    Raises:
        NotFound: The tenant (or project) is not the actor's to see: the same as when it does not exist.
        PermissionDenied: It is theirs to see, but the action is for somebody else.
    """
    if can(actor, action, tenant, project):
        return
    if tenant is not None and not can(actor, "tenant.view", tenant, project):
        raise NotFound("There is no such tenant or project.")
    standing = None if tenant is None else actor.standings.get(tenant.pk)
    if tenant is not None and TenantStatus.SUSPENDED in {tenant.status, standing and standing.status}:
        raise PermissionDenied(
            f"The tenant {tenant.name} is suspended: nothing in it can be changed.",
            code="tenant_suspended",
            remedy="Ask a service admin to reactivate it.",
        )
    who = "a service admin" if action in PLATFORM_ONLY else WHO_CAN.get(action, "a tenant admin")
    raise PermissionDenied(f"You may not do {what} ({action}).", remedy=f"Ask {who}.")


def require_somewhere(actor: Actor, action: str, *, what: str = "this") -> None:
    """Nothing, when there is a tenant in which ``actor`` may do ``action``: for lists across tenants.

    Raises:
        PermissionDenied: There is none, so that the list would be empty whatever there was.
    """
    allowed = actor.tenants_allowing(action)
    if allowed is None or allowed:
        return
    who = "a service admin" if action in PLATFORM_ONLY else WHO_CAN.get(action, "a tenant admin")
    raise PermissionDenied(f"You may not do {what} ({action}).", remedy=f"Ask {who}.")


def grantable_scopes(actor: Actor, tenant: Tenant) -> frozenset[str]:
    """The scopes that ``actor`` may give to a key of ``tenant``: at most what they could do themselves."""
    if actor.is_system or actor.platform_role == PlatformRole.SERVICE_ADMIN:
        return frozenset(Scope.values)
    standing = actor.standings.get(tenant.pk)
    if standing is None:
        return frozenset()
    scopes = GRANTABLE_SCOPES[standing.role]
    return scopes & actor.scopes if actor.kind is ActorKind.API_KEY else scopes
