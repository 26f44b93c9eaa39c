"""The sandbox's models: simulated, labelled so wherever they appear, and open to every tenant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from django.db import transaction

from apps.models.models import Endpoint, Model, Price, Provider
from apps.models.prices import Figures
from apps.models.services.prices import add_price
from apps.models.types import SANDBOX_URL, Capability, CredentialSource, Lifecycle, ModelKind, ProviderKind
from apps.tenants import audit
from apps.tenants.access import Actor
from apps.tenants.control_plane import control_plane_changed
from apps.tenants.services.changes import apply_changes

SLUG: Final = "sandbox"
PRICE_SOURCE: Final = "Sandbox price, nothing is billed"
_NOT_FOR: Final = (
    "Real work of any kind: nothing here understands what it is asked. "
    "Quality measured on it says nothing about any model."
)


@dataclass(frozen=True, slots=True)
class SandboxModel:
    slug: str
    name: str
    kind: ModelKind
    description: str
    intended_use: str
    capabilities: tuple[Capability, ...]
    context_tokens: int
    max_output_tokens: int | None
    price: Figures


MODELS: Final = (
    SandboxModel(
        slug="sandbox-chat",
        name="Sandbox chat (simulated)",
        kind=ModelKind.CHAT,
        description=(
            "A deterministic generator inside Lobby that answers questions about Lobby from its own documentation, "
            "calls tools, fills JSON schemas and streams as a model does. No account and no network are needed."
        ),
        intended_use="Trying Lobby out, and testing an application's plumbing: streaming, tools, errors, limits, cost.",
        capabilities=(
            Capability.STREAMING,
            Capability.TOOLS,
            Capability.JSON_SCHEMA,
            Capability.REASONING,
            Capability.VISION,
        ),
        context_tokens=128_000,
        max_output_tokens=16_384,
        price=Figures(input_picousd=150_000, output_picousd=600_000, cached_input_picousd=75_000),
    ),
    SandboxModel(
        slug="sandbox-embed",
        name="Sandbox embeddings (simulated)",
        kind=ModelKind.EMBEDDING,
        description="Deterministic vectors of 384 dimensions, in which texts that share words lie close together.",
        intended_use="Trying out search and similarity without an account.",
        capabilities=(),
        context_tokens=8_192,
        max_output_tokens=None,
        price=Figures(input_picousd=20_000, output_picousd=0),
    ),
    SandboxModel(
        slug="sandbox-judge",
        name="Sandbox judge (simulated)",
        kind=ModelKind.CHAT,
        description="Gives an LLM judge's verdicts by simple, repeatable rules, in the format that it is asked for.",
        intended_use="Trying out evaluations without an account.",
        capabilities=(Capability.STREAMING, Capability.JSON_SCHEMA),
        context_tokens=128_000,
        max_output_tokens=4_096,
        price=Figures(input_picousd=150_000, output_picousd=600_000),
    ),
)


@transaction.atomic
def register(*, actor: Actor) -> Provider:
    """The sandbox provider with its models. Idempotent; what staff changed since (a name, a price) is left alone."""
    provider, created = Provider.objects.get_or_create(
        slug=SLUG,
        defaults={
            "name": "Sandbox (simulated)",
            "kind": ProviderKind.SANDBOX,
            "base_url": SANDBOX_URL,
            "credential_source": CredentialSource.NONE,
            "from_environment": True,
        },
    )
    changed = created
    if provider.missing_since is not None:
        changed = bool(apply_changes(provider, {"is_enabled": True, "missing_since": None}))
    added = []
    for sandbox in MODELS:
        model, is_new = Model.objects.get_or_create(
            slug=sandbox.slug,
            defaults={
                "name": sandbox.name,
                "kind": sandbox.kind,
                "publisher": "Lobby",
                "description": sandbox.description,
                "intended_use": sandbox.intended_use,
                "out_of_scope_use": _NOT_FOR,
                "lifecycle": Lifecycle.APPROVED,
                "licence": "Apache-2.0",
                "context_tokens": sandbox.context_tokens,
                "max_output_tokens": sandbox.max_output_tokens,
                "capabilities": [capability.value for capability in sandbox.capabilities],
                "is_open": True,
            },
        )
        Endpoint.objects.get_or_create(model=model, provider=provider, upstream_model=sandbox.slug, region="")
        if not Price.objects.filter(model=model).exists():
            add_price(actor=actor, model=model, figures=sandbox.price, source=PRICE_SOURCE)
        if is_new:
            added.append(sandbox.slug)
    if changed or added:
        audit.record(actor, "provider.registered", provider, {"base_url": SANDBOX_URL, "added": added})
        control_plane_changed()
    return provider
