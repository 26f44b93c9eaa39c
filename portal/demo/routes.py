"""Routes of the demonstration: one of the platform's for everybody, and one of a tenant's own."""

from __future__ import annotations

from apps.gateway.services import create_route
from apps.gateway.types import Strategy
from apps.models.models import Model
from apps.tenants.access import Actor
from apps.tenants.models import Tenant

TENANT = "claims"


def seed_routes(actor: Actor) -> None:
    models = Model.objects.in_bulk(field_name="slug")
    large, mini = models["meridian-large"], models["meridian-mini"]
    create_route(
        actor=actor,
        tenant=None,
        slug="house-default",
        name="House default",
        description="For whoever has no reason to choose: the small model, and the sandbox's own when it fails.",
        strategy=Strategy.PRIORITY,
        targets=[{"model": mini}, {"model": models["sandbox-chat"]}],
    )
    create_route(
        actor=actor,
        tenant=Tenant.objects.for_actor(actor).get(slug=TENANT),
        slug="claims-default",
        name="Claims, default",
        description="What the claims applications call. Long files and pictures go to the large model.",
        strategy=Strategy.CONDITIONS,
        sticky=True,
        targets=[
            {"model": large, "condition": "tokens > 8000 or has_images", "arm": "large"},
            {"model": mini, "arm": "mini"},
            {"model": large, "arm": "large"},
        ],
    )
