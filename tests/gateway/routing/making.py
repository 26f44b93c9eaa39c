"""Plans, candidates and principals made by hand, for decisions that need no database."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

from apps.gateway.ledger.pricing import PriceTerms
from apps.gateway.routing.conditions import compile_condition
from apps.gateway.routing.plans import RouteFacts, TargetFacts
from apps.gateway.snapshot import (
    EndpointFacts,
    GrantFacts,
    ModelFacts,
    PriceFacts,
    Principal,
    ProjectFacts,
    Snapshot,
    TenantFacts,
)
from apps.gateway.types import Purpose, Strategy
from apps.models.providers.base import Target

TENANT = TenantFacts(1, "claims", "Claims", ZoneInfo("UTC"), True, frozenset())


def principal(tenant: TenantFacts = TENANT, models: frozenset[str] | None = None) -> Principal:
    return Principal(ProjectFacts(1, "triage", "Triage", "prod", True, False, tenant), models=models)


def endpoint(
    number: int, *, region: str = "", price: int = 0, enabled: bool = True, capabilities: frozenset[str] = frozenset()
) -> EndpointFacts:
    prices = (PriceFacts(0.0, number, PriceTerms(price, price, price, price, price, 0)),) if price else ()
    return EndpointFacts(
        id=number, provider=f"p{number}", provider_kind="openai_compatible", region=region, priority=number,
        is_enabled=enabled, simulated=False, target=Target("", f"e{number}", capabilities=capabilities),
        connect_timeout=1, first_byte_timeout=1, idle_timeout=1, total_timeout=1, prices=prices,
    )  # fmt: skip


def model(number: int, *endpoints: EndpointFacts, is_open: bool = True, **facts: Any) -> ModelFacts:
    return ModelFacts(
        **{
            "id": number, "slug": f"m{number}", "kind": "chat", "publisher": "", "created": 0,
            "max_output_tokens": 100, "is_open": is_open, "is_callable": True, "licence_needs_acceptance": False,
            "endpoints": endpoints, **facts,
        }
    )  # fmt: skip


def target(number: int, model: str, **facts: Any) -> TargetFacts:
    condition = facts.pop("condition", "")
    return TargetFacts(
        **{
            "id": number, "model": model, "endpoint_id": 0, "purpose": Purpose.NORMAL, "position": number, "weight": 1,
            "arm": "", "condition": compile_condition(condition) if condition else None, **facts,
        }
    )  # fmt: skip


def route(*targets: TargetFacts, strategy: Strategy = Strategy.PRIORITY, **facts: Any) -> RouteFacts:
    return RouteFacts(
        **{
            "id": 1, "slug": "r", "name": "R", "tenant_id": 0, "strategy": strategy, "sticky": False,
            "hedge_after": None, "shadow_share": 0.0, "targets": targets, **facts,
        }
    )  # fmt: skip


def snapshot(
    *models: ModelFacts, routes: tuple[RouteFacts, ...] = (), grants: dict[int, Any] | None = None
) -> Snapshot:
    return Snapshot(
        version=1, keys={}, users_by_identity={}, users={}, models={each.slug: each for each in models},
        grants=grants or {}, limits={}, budgets={}, routes={(each.tenant_id, each.slug): each for each in routes},
    )  # fmt: skip


def grant(tenant_id: int = 1, *, expires_at: float | None = None, accepted: bool = True) -> tuple[GrantFacts, ...]:
    return (GrantFacts(tenant_id, 0, expires_at, accepted),)
