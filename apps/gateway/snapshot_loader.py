"""Reading a snapshot from the database: a fixed number of queries, whatever the number of tenants."""

from __future__ import annotations

from collections import Counter, defaultdict
from functools import lru_cache
from ipaddress import ip_network
from zoneinfo import ZoneInfo

import structlog
from allauth.socialaccount.models import SocialAccount

from apps.gateway.counters.base import Limit
from apps.gateway.ledger.pricing import PriceTerms
from apps.gateway.models import Route, RouteTarget
from apps.gateway.routing.conditions import Check, ConditionError, compile_condition
from apps.gateway.routing.facts import RequestFacts
from apps.gateway.routing.plans import RouteFacts, TargetFacts
from apps.gateway.routing.selectors import callable_revisions, model_of
from apps.gateway.routing.sharing import Sharing
from apps.gateway.snapshot import (
    BudgetFacts,
    EndpointFacts,
    GrantFacts,
    KeyFacts,
    LimitFacts,
    ModelFacts,
    PriceFacts,
    Principal,
    ProjectFacts,
    RuleFacts,
    Snapshot,
    TenantFacts,
    UserFacts,
)
from apps.gateway.snapshot_prompts import read_prompts
from apps.gateway.types import Purpose, Strategy
from apps.models.cloud_credentials import CLOUD, CloudSource
from apps.models.credentials import CredentialError, credential_of
from apps.models.models import AccessGrant, Endpoint, Model, Price
from apps.models.provider_settings import merged
from apps.models.providers.aws.credentials import load as load_signer
from apps.models.providers.base import Target
from apps.models.types import AWS_KINDS, CALLABLE_LIFECYCLES, ProviderKind
from apps.tenants.access import ROLE_ACTIONS
from apps.tenants.control_plane import control_plane_version
from apps.tenants.models import ApiKey, Budget, Membership, Project, RateLimit, Tenant
from apps.tenants.money import format_usd
from apps.tenants.types import Metric, TenantStatus

log = structlog.get_logger(__name__)

ROLES_THAT_CALL = tuple(role for role, actions in ROLE_ACTIONS.items() if "model.call" in actions)
WHY = "gateway snapshot"
MAX_READS = 5


def load_snapshot() -> Snapshot:
    """Read everything, as of one moment: when something changed meanwhile it is read again.

    (A transaction would not do: at READ COMMITTED each query has its own moment, and on SQLite it takes the write
    lock.)
    """
    for _ in range(MAX_READS):
        version = control_plane_version()
        try:
            snapshot = _read(version)
        except KeyError:  # a row that refers to one made after its table was read
            continue
        if control_plane_version() == version:
            return snapshot
    return _read(control_plane_version())


def _read(version: int) -> Snapshot:
    tenants = _tenants()
    projects = _projects(tenants)
    users, by_identity = _users(projects)
    return Snapshot(
        version=version,
        keys=_keys(projects),
        users_by_identity=by_identity,
        users=users,
        models=_models(),
        grants=_grants(),
        limits=_limits(),
        budgets=_budgets(tenants),
        prompts=read_prompts(),
        routes=_routes(),
        revisions=_revisions(),
        projects=projects,
    )


def _tenants() -> dict[int, TenantFacts]:
    return {
        tenant.pk: TenantFacts(
            id=tenant.pk,
            slug=tenant.slug,
            name=tenant.name,
            zone=ZoneInfo(tenant.time_zone),
            is_active=tenant.status == TenantStatus.ACTIVE,
            regions=frozenset(tenant.residency),
        )
        for tenant in Tenant.objects.unscoped(WHY)
    }


def _projects(tenants: dict[int, TenantFacts]) -> dict[int, ProjectFacts]:
    return {
        project.pk: ProjectFacts(
            id=project.pk,
            slug=project.slug,
            name=project.name,
            environment=project.environment,
            is_active=project.is_active,
            strict=project.strict_parameters,
            content_share=project.content_percent / 100,
            tenant=tenants[project.tenant_id],
        )
        for project in Project.objects.unscoped(WHY).order_by("pk")
    }


def _users(projects: dict[int, ProjectFacts]) -> tuple[dict[int, UserFacts], dict[str, UserFacts]]:
    by_tenant: defaultdict[int, list[ProjectFacts]] = defaultdict(list)
    for project in projects.values():
        if project.is_active and project.tenant.is_active:
            by_tenant[project.tenant.id].append(project)
    callable_projects: defaultdict[int, list[ProjectFacts]] = defaultdict(list)
    labels: dict[int, str] = {}
    roles: defaultdict[int, dict[int, str]] = defaultdict(dict)
    memberships = Membership.objects.unscoped(WHY).filter(user__is_active=True, role__in=ROLES_THAT_CALL)
    for user_id, email, tenant_id, role in memberships.values_list("user_id", "user__email", "tenant_id", "role"):
        labels[user_id] = email
        roles[user_id][tenant_id] = role
        callable_projects[user_id] += by_tenant[tenant_id]
    users = {pk: UserFacts(pk, labels[pk], tuple(found), roles[pk]) for pk, found in callable_projects.items()}
    identities = SocialAccount.objects.filter(user_id__in=users).values_list("uid", "user_id")
    return users, {uid: users[user_id] for uid, user_id in identities}


def _keys(projects: dict[int, ProjectFacts]) -> dict[str, KeyFacts]:
    return {
        key.prefix: KeyFacts(
            principal=Principal(
                project=projects[key.project_id],
                api_key_id=key.pk,
                models=frozenset(key.allowed_models) or None,
                label=f"{key.name} ({key.prefix})",
                key_prefix=key.prefix,
            ),
            digest=key.secret_hmac,
            scopes=frozenset(key.scopes),
            networks=tuple(ip_network(cidr, strict=False) for cidr in key.cidrs),
            expires_at=key.expires_at.timestamp() if key.expires_at else None,
            revoked=key.revoked_at is not None,
        )
        for key in ApiKey.objects.unscoped(WHY).iterator()
    }


def _models() -> dict[str, ModelFacts]:
    prices: defaultdict[tuple[int, int], list[PriceFacts]] = defaultdict(list)
    for price in Price.objects.order_by("-effective_from", "-pk"):
        facts = PriceFacts(price.effective_from.timestamp(), price.pk, PriceTerms.of(price))
        prices[price.model_id, price.endpoint_id or 0].append(facts)
    endpoints: defaultdict[int, list[EndpointFacts]] = defaultdict(list)
    kept_by_aws = set()
    rows = list(Endpoint.objects.select_related("provider", "model"))
    twins = Counter((endpoint.model_id, endpoint.provider_id) for endpoint in rows)
    for endpoint in rows:
        name = endpoint.model.name
        if twins[endpoint.model_id, endpoint.provider_id] > 1:
            name += f" ({', '.join(filter(None, (endpoint.upstream_model, endpoint.region)))})"
        endpoints[endpoint.model_id].append(_endpoint(endpoint, name, prices))
        if endpoint.is_enabled and endpoint.provider.is_enabled:
            kept_by_aws.add(CloudSource.of(endpoint.provider))
    CLOUD.keep(source for source in kept_by_aws if source is not None)
    return {
        model.slug: ModelFacts(
            id=model.pk,
            slug=model.slug,
            kind=model.kind,
            publisher=model.publisher,
            created=int(model.created_at.timestamp()),
            max_output_tokens=model.max_output_tokens,
            is_open=model.is_open,
            is_callable=model.lifecycle in CALLABLE_LIFECYCLES,
            licence_needs_acceptance=model.licence_needs_acceptance,
            endpoints=tuple(endpoints[model.pk]),
        )
        for model in Model.objects.all()
    }


def _endpoint(endpoint: Endpoint, name: str, prices: dict[tuple[int, int], list[PriceFacts]]) -> EndpointFacts:
    provider = endpoint.provider
    enabled = endpoint.is_enabled and provider.is_enabled
    why_off = "switched off"
    try:
        credential = credential_of(provider, cloud=CLOUD.known)
    except CredentialError:
        # One provider whose secret cannot be read must not keep all the others from serving.
        why_off = "its provider's credential cannot be read" if enabled else why_off
        credential, enabled = None, False
    if enabled and provider.kind in AWS_KINDS:
        load_signer()
    own = prices.get((endpoint.model_id, endpoint.pk))
    return EndpointFacts(
        id=endpoint.pk,
        provider=provider.name,
        provider_kind=provider.kind,
        region=endpoint.region,
        priority=endpoint.priority,
        is_enabled=enabled,
        simulated=provider.kind == ProviderKind.SANDBOX,
        target=Target(
            provider.base_url,
            endpoint.upstream_model,
            credential,
            merged(provider.kind, provider.settings, endpoint.settings),
            frozenset(endpoint.model.capabilities),
            endpoint.model.max_output_tokens,
        ),
        connect_timeout=endpoint.connect_timeout_ms / 1000,
        first_byte_timeout=endpoint.first_byte_timeout_ms / 1000,
        idle_timeout=endpoint.idle_timeout_ms / 1000,
        total_timeout=endpoint.total_timeout_ms / 1000,
        prices=tuple(own or prices.get((endpoint.model_id, 0), [])),
        why_off=why_off,
        name=name,
    )


def _grants() -> dict[int, tuple[GrantFacts, ...]]:
    grants: defaultdict[int, list[GrantFacts]] = defaultdict(list)
    for grant in AccessGrant.objects.unscoped(WHY):
        ends = grant.expires_at.timestamp() if grant.expires_at else None
        accepted = grant.licence_accepted_at is not None
        grants[grant.model_id].append(GrantFacts(grant.tenant_id, grant.project_id or 0, ends, accepted))
    return {model_id: tuple(found) for model_id, found in grants.items()}


def _routes() -> dict[tuple[int, str], RouteFacts]:
    targets: defaultdict[int, list[TargetFacts]] = defaultdict(list)
    rows = RouteTarget.objects.unscoped(WHY).order_by("position", "pk")
    for row in rows.select_related("model", "endpoint__model"):
        targets[row.route_id].append(
            TargetFacts(
                id=row.pk,
                model=model_of(row).slug,
                endpoint_id=row.endpoint_id or 0,
                purpose=Purpose(row.purpose),
                position=row.position,
                weight=row.weight,
                condition=_condition(row.condition),
                arm=row.arm,
            )
        )
    return {
        (route.tenant_id or 0, route.slug): RouteFacts(
            id=route.pk,
            slug=route.slug,
            name=route.name,
            tenant_id=route.tenant_id or 0,
            strategy=Strategy(route.strategy),
            sticky=route.sticky,
            hedge_after=None if route.hedge_after_ms is None else route.hedge_after_ms / 1000,
            shadow_share=route.shadow_percent / 100,
            targets=tuple(targets[route.pk]),
            revision=0 if route.revision is None else route.revision.number,
        )
        for route in Route.objects.unscoped(WHY).filter(is_enabled=True).select_related("revision")
    }


def _revisions() -> dict[tuple[int, str], RouteFacts]:
    found = {}
    for row in callable_revisions(WHY):
        sharing, route = Sharing.of_revision(row), row.route
        found[route.tenant_id or 0, row.called] = RouteFacts(
            id=route.pk,
            slug=route.slug,
            name=route.name,
            tenant_id=route.tenant_id or 0,
            strategy=Strategy(sharing.strategy),
            sticky=sharing.sticky,
            hedge_after=None if sharing.hedge_after_ms is None else sharing.hedge_after_ms / 1000,
            shadow_share=0.0,  # what is tried out is mirrored nowhere
            targets=tuple(
                TargetFacts(
                    id=number,
                    model=each.model,
                    endpoint_id=each.endpoint or 0,
                    purpose=Purpose(each.purpose),
                    position=each.position,
                    weight=each.weight,
                    condition=_condition(each.condition),
                    arm=each.arm,
                )
                for number, each in enumerate(sharing.targets, 1)
            ),
            revision=row.number,
        )
    return found


@lru_cache(maxsize=4096)
def _condition(text: str) -> Check | None:
    if not text:
        return None
    try:
        return compile_condition(text)
    except ConditionError:
        # Saved past the service, or in the words of another release: it never holds, rather than always.
        log.error("route_condition_unreadable", condition=text)
        return _never


def _never(facts: RequestFacts) -> bool:
    return False


def _subject(row: RateLimit | Budget) -> str:
    if row.api_key is not None:
        return f"key '{row.api_key.name}'"
    if isinstance(row, RateLimit) and row.user is not None:
        return f"user {row.user.email}"
    if row.project is not None:
        return f"project {row.tenant.slug}/{row.project.slug}"
    return f"tenant {row.tenant.slug}"


def limit_text(row: RateLimit) -> str:
    """The rule as a refused caller reads it."""
    for_model = f" to {row.model}" if row.model else ""
    return f"{row}{for_model} for {_subject(row)}"


def budget_text(row: Budget) -> str:
    """The rule as a refused caller reads it."""
    return f"{row.get_period_display().lower()} budget of {format_usd(row.amount_picousd)} for {_subject(row)}"


def _limits() -> dict[int, tuple[LimitFacts, ...]]:
    limits: defaultdict[int, list[LimitFacts]] = defaultdict(list)
    for row in RateLimit.objects.unscoped(WHY).select_related("tenant", "project", "api_key", "user"):
        window = 0 if row.metric == Metric.CONCURRENCY else row.window_seconds
        limits[row.tenant_id].append(
            LimitFacts(
                limit=Limit(f"limit:{row.pk}", row.metric, row.limit, window),  # type: ignore[arg-type]
                rule=RuleFacts(limit_text(row), f"an admin of tenant {row.tenant.slug}"),
                tenant_id=row.tenant_id,
                project_id=row.project_id or 0,
                api_key_id=row.api_key_id or 0,
                user_id=row.user_id or 0,
                model=row.model,
            )
        )
    return {tenant_id: tuple(found) for tenant_id, found in limits.items()}


def _budgets(tenants: dict[int, TenantFacts]) -> dict[int, tuple[BudgetFacts, ...]]:
    budgets: defaultdict[int, list[BudgetFacts]] = defaultdict(list)
    for row in Budget.objects.unscoped(WHY).select_related("tenant", "project", "api_key"):
        budgets[row.tenant_id].append(
            BudgetFacts(
                id=row.pk,
                tenant=tenants[row.tenant_id],
                project_id=row.project_id or 0,
                api_key_id=row.api_key_id or 0,
                period=row.period,
                amount=row.amount_picousd,
                hard=row.hard_stop,
                rule=RuleFacts(budget_text(row), f"an admin of tenant {row.tenant.slug}"),
            )
        )
    return {tenant_id: tuple(found) for tenant_id, found in budgets.items()}
