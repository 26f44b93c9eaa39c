"""Models of the demonstration: made-up names, served by the sandbox and labelled so.

Each has a price and access of its own, and can be called for real: grants, lifecycles and a changed price show at work.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from apps.models import sandbox_models, services
from apps.models.models import Endpoint, Model
from apps.models.prices import Figures
from apps.models.sandbox_models import SLUG as SANDBOX
from apps.models.types import Lifecycle, ModelKind
from apps.tenants.access import Actor
from apps.tenants.models import Tenant

PICOUSD_PER_TOKEN = 10**6  # for one US dollar per million tokens
PRICE_CHANGED = timedelta(days=24)


@dataclass(frozen=True, slots=True)
class DemoModel:
    slug: str
    name: str
    served_by: str
    """The sandbox's model behind it."""
    usd_in: str
    """US dollars per million tokens."""
    usd_out: str
    description: str
    intended_use: str
    lifecycle: Lifecycle = Lifecycle.APPROVED
    kind: ModelKind = ModelKind.CHAT
    tenants: tuple[str, ...] | None = None
    """Who was granted it; None: open to all."""
    usd_before: tuple[str, str] | None = None
    """In and out, until ``PRICE_CHANGED`` ago."""
    context_tokens: int = 200_000
    capabilities: tuple[str, ...] = ("streaming", "tools", "json_schema")
    licence: str = "Made up"
    licence_needs_acceptance: bool = False


# Without the word "sandbox", by which one looks for the sandbox's own models.
_SIMULATED = "Simulated: a generator answers in its name. It shows how a model of this price and access is governed."
_NOT_FOR = "Real work of any kind: nothing here understands what it is asked."

MODELS = (
    DemoModel(
        slug="meridian-large",
        name="Meridian Large (simulated)",
        served_by="sandbox-chat",
        usd_in="2.5",
        usd_out="10",
        usd_before=("3", "15"),
        capabilities=("streaming", "tools", "json_schema", "vision"),
        description=f"The strongest of a made-up family. {_SIMULATED}",
        intended_use="Long documents and customer-facing answers, where quality is worth its price.",
        tenants=("claims", "retail-banking", "wealth"),
    ),
    DemoModel(
        slug="meridian-mini",
        name="Meridian Mini (simulated)",
        served_by="sandbox-chat",
        usd_in="0.25",
        usd_out="1.25",
        description=f"The small and quick one of a made-up family. {_SIMULATED}",
        intended_use="Sorting, extraction and short answers in large numbers.",
        context_tokens=128_000,
    ),
    DemoModel(
        slug="meridian-classic",
        name="Meridian Classic (simulated)",
        served_by="sandbox-chat",
        usd_in="8",
        usd_out="24",
        description=f"Last year's model. {_SIMULATED}",
        intended_use="Applications that have not moved to Meridian Large yet.",
        lifecycle=Lifecycle.DEPRECATED,
        tenants=("wealth",),
        context_tokens=32_000,
    ),
    DemoModel(
        slug="quill-legal",
        name="Quill Legal (simulated)",
        served_by="sandbox-chat",
        usd_in="5",
        usd_out="20",
        description=f"A made-up model for contracts, waiting for its review. {_SIMULATED}",
        intended_use="Reading contracts and policy wordings.",
        lifecycle=Lifecycle.IN_REVIEW,
        tenants=(),
    ),
    DemoModel(
        slug="atlas-open",
        name="Atlas Open (simulated)",
        served_by="sandbox-chat",
        usd_in="0.5",
        usd_out="1.5",
        description=f"Open weights of a made-up maker, under a licence that each tenant accepts first. {_SIMULATED}",
        intended_use="Where an application must be able to move to hardware of its own.",
        licence="Atlas Community Licence (made up)",
        licence_needs_acceptance=True,
    ),
    DemoModel(
        slug="meridian-embed",
        name="Meridian Embed (simulated)",
        served_by="sandbox-embed",
        usd_in="0.1",
        usd_out="0",
        description=f"Embeddings of a made-up family. {_SIMULATED}",
        intended_use="Search and similarity.",
        kind=ModelKind.EMBEDDING,
        context_tokens=8_192,
        capabilities=(),
    ),
)


def seed_models(actor: Actor, now: datetime, since: datetime) -> None:
    """Register the models, with prices from ``since`` on."""
    provider = sandbox_models.register(actor=actor)
    for plan in MODELS:
        model = services.create_model(
            actor=actor,
            slug=plan.slug,
            name=plan.name,
            kind=plan.kind,
            lifecycle=plan.lifecycle,
            publisher=f"{plan.slug.partition('-')[0].title()} (made up)",
            description=plan.description,
            intended_use=plan.intended_use,
            out_of_scope_use=_NOT_FOR,
            licence=plan.licence,
            licence_needs_acceptance=plan.licence_needs_acceptance,
            context_tokens=plan.context_tokens,
            max_output_tokens=None if plan.kind == ModelKind.EMBEDDING else 8_192,
            capabilities=list(plan.capabilities),
            is_open=plan.tenants is None,
        )
        services.create_endpoint(actor=actor, model=model, provider=provider, upstream_model=plan.served_by)
        moments = [(since, plan.usd_before), (now - PRICE_CHANGED, None)] if plan.usd_before else [(since, None)]
        for moment, before in moments:
            usd_in, usd_out = before or (plan.usd_in, plan.usd_out)
            services.add_price(
                actor=actor,
                model=model,
                figures=Figures(_rate(usd_in), _rate(usd_out), cached_input_picousd=_rate(usd_in) // 10),
                effective_from=moment,
                source="Demonstration, nothing is billed",
            )


def grant_models(actor: Actor, tenant: Tenant) -> None:
    for plan in MODELS:
        if plan.tenants and tenant.slug in plan.tenants:
            services.grant_access(actor=actor, tenant=tenant, model=Model.objects.get(slug=plan.slug))


def endpoint_of(slug: str) -> Endpoint:
    """The one endpoint of a demonstration's (or the sandbox's) model."""
    return Endpoint.objects.select_related("model").get(model__slug=slug, provider__slug=SANDBOX)


def _rate(usd_per_million: str) -> int:
    return int(Decimal(usd_per_million) * PICOUSD_PER_TOKEN)
