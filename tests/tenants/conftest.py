"""The cast: two tenants, and somebody in each role. Nobody of Retail belongs to Claims; Oscar only to Claims."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from django.test import Client

from apps.tenants import services
from apps.tenants.access import Actor
from apps.tenants.models import Project, Tenant, User
from apps.tenants.types import PlatformRole, Role

OPERATOR = Actor.system("test")
PASSWORD = "correct horse battery"


@dataclass
class Cast:
    retail: Tenant
    claims: Tenant
    chat: Project  # of Retail
    triage: Project  # of Claims
    alice: User  # tenant admin of Retail
    bob: User  # developer
    dana: User  # data scientist
    rita: User  # reviewer
    victor: User  # viewer
    oscar: User  # the outsider: tenant admin of Claims
    nora: User  # belongs to no tenant
    sam: User  # service admin
    erin: User  # service engineer

    def actor(self, name: str) -> Actor:
        """As the database has them now."""
        user: User = getattr(self, name)
        return Actor.of_user(User.objects.get(pk=user.pk))

    def client(self, name: str) -> Client:
        client = Client()
        client.force_login(getattr(self, name), backend="django.contrib.auth.backends.ModelBackend")
        return client


@pytest.fixture
def cast(db: None) -> Cast:
    return make_cast()


def make_cast() -> Cast:
    retail = services.create_tenant(actor=OPERATOR, slug="retail", name="Retail Banking")
    claims = services.create_tenant(actor=OPERATOR, slug="claims", name="Insurance Claims")
    chat = services.create_project(actor=OPERATOR, tenant=retail, slug="chat", name="Support chat")
    triage = services.create_project(actor=OPERATOR, tenant=claims, slug="triage", name="Claims triage")

    def person(name: str, tenant: Tenant | None = None, role: str = "", platform_role: str = PlatformRole.NONE) -> User:
        user = services.create_user(
            actor=OPERATOR,
            email=f"{name.lower()}@bank.test",
            name=name,
            password=PASSWORD,
            platform_role=platform_role,
        )
        if tenant is not None:
            services.add_member(actor=OPERATOR, tenant=tenant, user=user, role=role)
        return user

    return Cast(
        retail=retail,
        claims=claims,
        chat=chat,
        triage=triage,
        alice=person("Alice", retail, Role.ADMIN),
        bob=person("Bob", retail, Role.DEVELOPER),
        dana=person("Dana", retail, Role.DATA_SCIENTIST),
        rita=person("Rita", retail, Role.REVIEWER),
        victor=person("Victor", retail, Role.VIEWER),
        oscar=person("Oscar", claims, Role.ADMIN),
        nora=person("Nora"),
        sam=person("Sam", platform_role=PlatformRole.SERVICE_ADMIN),
        erin=person("Erin", platform_role=PlatformRole.SERVICE_ENGINEER),
    )
