"""The cast: the people, keys and things that every feature's test may meet. Two tenants, ``claims`` and ``lending``.

The outsider is the admin of ``lending``; the service admin and engineer run the platform; all others are in ``claims``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from django.contrib.auth.hashers import make_password

from apps.tenants.access import Actor
from apps.tenants.models import ApiKey, Membership, Project, Tenant, User
from apps.tenants.services import create_api_key, revoke_api_key
from apps.tenants.types import PlatformRole, Role, Scope

PASSWORD = "correct horse battery staple"

MEMBERS = {
    "owner": Role.ADMIN,
    "developer": Role.DEVELOPER,
    "scientist": Role.DATA_SCIENTIST,
    "reviewer": Role.REVIEWER,
    "viewer": Role.VIEWER,
}


@dataclass
class Cast:
    """``people`` by their part, ``keys`` (plaintext) by what they are for, ``key_rows`` likewise."""

    claims: Tenant
    lending: Tenant
    triage: Project
    loans: Project
    people: dict[str, User] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    key_rows: dict[str, ApiKey] = field(default_factory=dict)

    def __getitem__(self, part: str) -> User:
        return self.people[part]

    def actor(self, part: str) -> Actor:
        return Actor.of_user(self.people[part])

    def key(
        self, name: str, *scopes: str, by: str = "owner", project: Project | None = None, cidrs: tuple[str, ...] = ()
    ) -> str:
        """Issue a key and remember it under ``name``."""
        issued = create_api_key(
            actor=self.actor(by),
            project=project or self.triage,
            name=name,
            scopes=scopes or (Scope.INFERENCE,),
            cidrs=cidrs,
        )
        self.keys[name], self.key_rows[name] = issued.plaintext, issued.api_key
        return issued.plaintext


def assemble() -> Cast:
    hashed = make_password(PASSWORD)  # once for all of them: the real hasher takes a third of a second by design

    def person(part: str, name: str, **fields: Any) -> User:
        return User.objects.create(email=f"{part}@example.com", password=hashed, name=name, **fields)

    claims = Tenant.objects.create(slug="claims", name="Claims")
    lending = Tenant.objects.create(slug="lending", name="Lending")
    cast = Cast(
        claims,
        lending,
        Project.objects.create(tenant=claims, slug="triage", name="Claims triage"),
        Project.objects.create(tenant=lending, slug="loans", name="Loans"),
    )
    for part, role in MEMBERS.items():
        cast.people[part] = person(part, part.title())
        Membership.objects.create(tenant=claims, user=cast[part], role=role)
    cast.people["outsider"] = person("outsider", "Outsider")
    Membership.objects.create(tenant=lending, user=cast["outsider"], role=Role.ADMIN)
    for part, platform_role in (
        ("service_admin", PlatformRole.SERVICE_ADMIN),
        ("service_engineer", PlatformRole.SERVICE_ENGINEER),
    ):
        cast.people[part] = person(
            part,
            part.replace("_", " ").title(),
            platform_role=platform_role,
            is_staff=True,
            is_superuser=platform_role == PlatformRole.SERVICE_ADMIN,
        )
    cast.key("inference", Scope.INFERENCE, by="developer")
    cast.key("reading", Scope.MANAGEMENT_READ)
    cast.key("management", Scope.MANAGEMENT_READ, Scope.MANAGEMENT_WRITE)
    cast.key("revoked", Scope.INFERENCE, Scope.MANAGEMENT_READ, Scope.MANAGEMENT_WRITE)
    revoke_api_key(actor=cast.actor("owner"), api_key=cast.key_rows["revoked"])
    cast.key("foreign", Scope.INFERENCE, by="outsider", project=cast.loans)
    return cast
