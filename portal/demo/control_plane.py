"""Makes the demonstration's tenants, people, projects, keys, limits and budgets, by the services that people use."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.conf import settings
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.db import transaction
from django.utils import timezone

from apps.tenants import apikeys, selectors, services
from apps.tenants.access import Actor
from apps.tenants.models import ApiKey, Project, Tenant, User
from apps.tenants.types import Metric, Scope, TenantStatus
from portal.demo import cast
from portal.demo.catalog import grant_models, seed_models
from portal.demo.routes import seed_routes
from portal.secrets import embedded_secret, replace_secret

PICOUSD = 10**12
HISTORY_DAYS = 60
PASSWORD_SECRET = "demo_password"  # noqa: S105  a file's name
KEY_SECRET = "demo_api_key"  # noqa: S105  a file's name
_SYLLABLES = ("ba", "de", "fi", "go", "hu", "ka", "le", "mi", "no", "pu", "ra", "se", "ti", "vo", "zu", "lo")


@dataclass(frozen=True, slots=True)
class DemoKeyRow:
    """A key that was made, and the plan of what it was used for."""

    plan: cast.DemoKey
    project_plan: cast.DemoProject
    tenant_plan: cast.DemoTenant
    api_key: ApiKey


def demo_password() -> str:
    """The demonstration's one password: made for this installation, kept in its data directory."""

    def make() -> str:
        while True:
            word = "-".join("".join(secrets.choice(_SYLLABLES) for _ in range(3)) for _ in range(3))
            try:
                for person in cast.PEOPLE:
                    validate_password(word, User(email=person.email, name=person.name))
            except ValidationError:
                continue  # by chance too like somebody's name
            return word

    return embedded_secret(settings.DATA_DIR, PASSWORD_SECRET, make)


def is_seeded() -> bool:
    return User.objects.filter(email=cast.PEOPLE[0].email).exists()


@transaction.atomic
def seed_control_plane(now: datetime) -> list[DemoKeyRow]:
    """Everything but the history; all of it or nothing."""
    actor = Actor.system("demonstration")
    password = demo_password()
    seed_models(actor, now, now - timedelta(days=HISTORY_DAYS + 1))
    people: dict[str, User] = {}
    for person in cast.PEOPLE:
        people[person.name.split()[0]] = services.create_user(
            actor=actor,
            email=person.email,
            name=person.name,
            password=password,
            platform_role=person.platform_role,
        )
    rows = [row for plan in cast.TENANTS for row in _seed_tenant(actor, plan, people)]
    seed_routes(actor)
    return rows


def _seed_tenant(actor: Actor, plan: cast.DemoTenant, people: dict[str, User]) -> list[DemoKeyRow]:
    tenant = services.create_tenant(
        actor=actor,
        slug=plan.slug,
        name=plan.name,
        cost_center=plan.cost_center,
        time_zone=plan.time_zone,
        residency=plan.residency,
        brand_color=plan.brand_color,
    )
    for name, role in plan.members:
        services.add_member(actor=actor, tenant=tenant, user=people[name], role=role)
    services.set_budget(
        actor=actor, tenant=tenant, amount_picousd=_picousd(plan.monthly_usd), thresholds=[50, 80, 100], hard_stop=True
    )
    services.set_rate_limit(actor=actor, tenant=tenant, metric=Metric.TOKENS, limit=plan.tokens_per_minute)
    services.set_rate_limit(actor=actor, tenant=tenant, metric=Metric.CONCURRENCY, limit=plan.concurrency)
    grant_models(actor, tenant)
    rows = [row for project in plan.projects for row in _seed_project(actor, tenant, plan, project, people)]
    if plan.suspended:
        services.suspend_tenant(actor=actor, tenant=tenant, reason=plan.suspended)
    return rows


def _seed_project(
    actor: Actor, tenant: Tenant, tenant_plan: cast.DemoTenant, plan: cast.DemoProject, people: dict[str, User]
) -> list[DemoKeyRow]:
    project = services.create_project(
        actor=actor,
        tenant=tenant,
        slug=plan.slug,
        name=plan.name,
        description=plan.description,
        environment=plan.environment,
    )
    if plan.monthly_usd:
        services.set_budget(
            actor=actor,
            tenant=tenant,
            project=project,
            amount_picousd=_picousd(plan.monthly_usd),
            thresholds=[80],
            hard_stop=plan.environment == "dev",
        )
    if plan.requests_per_minute:
        services.set_rate_limit(
            actor=actor, tenant=tenant, project=project, metric=Metric.REQUESTS, limit=plan.requests_per_minute
        )
    admin = tenant_plan.members[0][0]
    return [
        DemoKeyRow(key, plan, tenant_plan, _seed_key(people[key.creator or admin], project, key)) for key in plan.keys
    ]


def _seed_key(creator: User, project: Project, plan: cast.DemoKey) -> ApiKey:
    actor = Actor.of_user(creator)
    now = timezone.now()
    expires_at = {"expiring": now + timedelta(days=9), "expired": now + timedelta(seconds=1)}.get(plan.state)
    issued = services.create_api_key(actor=actor, project=project, name=plan.name, expires_at=expires_at)
    if plan.state == "revoked":
        services.revoke_api_key(actor=actor, api_key=issued.api_key, reason="Rotated.")
    return issued.api_key


def _picousd(usd: str) -> int:
    return int(Decimal(usd) * PICOUSD)


def printed_key() -> str:
    """The key that the banner prints, kept in the data directory; a new one once the old one has stopped working."""
    actor = Actor.system("demonstration")
    project = selectors.get_project_for(actor, cast.PLAYGROUND_TENANT, cast.PLAYGROUND_PROJECT)
    if not project.is_active or project.tenant.status != TenantStatus.ACTIVE:
        return ""
    try:
        kept = embedded_secret(settings.DATA_DIR, KEY_SECRET, lambda: "none")
    except ImproperlyConfigured:
        kept = "none"
    parts = apikeys.split(kept)
    if parts is not None:
        row = selectors.keys_for(actor).filter(prefix=parts[0], project=project).first()
        if row is not None and row.is_usable and apikeys.verify(parts[1], row.secret_hmac):
            return kept
    issued = services.create_api_key(actor=actor, project=project, name=cast.PLAYGROUND_KEY, scopes=[Scope.INFERENCE])
    replace_secret(settings.DATA_DIR, KEY_SECRET, issued.plaintext)
    return issued.plaintext
