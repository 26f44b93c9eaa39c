"""What may be a route's target, and who may say so."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypedDict

from django.db.models import QuerySet

from apps.gateway.models import Route, RouteTarget
from apps.gateway.routing.conditions import ConditionError, compile_condition
from apps.gateway.routing.selectors import model_of
from apps.gateway.types import Purpose
from apps.models.models import Endpoint, Model
from apps.models.selectors import callable_models_for
from apps.tenants import validation
from apps.tenants.access import Actor, can, require
from apps.tenants.errors import Invalid, PermissionDenied
from apps.tenants.models import Tenant

MOST_TARGETS = 50
HEAVIEST = 10_000
LAST_POSITION = 1_000


class TargetFacts(TypedDict, total=False):
    purpose: str
    position: int
    weight: int
    condition: str
    arm: str


class TargetSpec(TargetFacts, total=False):
    """Where to send to: a model, or one endpoint of one."""

    model: Model | None
    endpoint: Endpoint | None


def require_managing(actor: Actor, tenant: Tenant | None) -> None:
    if tenant is None:
        require(actor, "registry.manage", what="change the platform's routes")
    else:
        require(actor, "route.manage", tenant, what="change routes")


def locked(route: Route) -> Route:
    rows = Route.objects.unscoped("reached on the actor's road").select_related("tenant")
    return rows.select_for_update(of=("self",)).get(pk=route.pk)


def targets_of(route: Route) -> QuerySet[RouteTarget]:
    rows = RouteTarget.objects.unscoped("of a route reached on the actor's road").filter(route=route)
    return rows.select_related("model", "endpoint__model", "endpoint__provider")


def clean_target(changes: TargetFacts) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if "purpose" in changes:
        values["purpose"] = validation.clean_choice(changes["purpose"], Purpose, field="purpose")
    if "position" in changes:
        values["position"] = validation.clean_number(
            changes["position"], field="position", minimum=0, maximum=LAST_POSITION
        )
    if "weight" in changes:
        values["weight"] = validation.clean_number(changes["weight"], field="weight", minimum=0, maximum=HEAVIEST)
    if "condition" in changes:
        values["condition"] = clean_condition(changes["condition"])
    if "arm" in changes:
        values["arm"] = changes["arm"] and validation.clean_slug(changes["arm"], field="arm")
    if unknown := set(changes) - set(values):
        raise Invalid(f"{', '.join(sorted(unknown))} cannot be changed here.", field=min(unknown))
    return values


def clean_condition(text: str) -> str:
    """Empty means always. Raises Invalid, saying where it goes wrong."""
    text = text.strip()
    if text:
        try:
            compile_condition(text)
        except ConditionError as error:
            raise Invalid(
                f"{error}.", field="condition", code="condition_invalid", remedy="See docs/routing.md for the language."
            ) from None
    return text


def targets_from(
    actor: Actor, route: Route, specs: Sequence[TargetSpec], beside: Sequence[RouteTarget] = ()
) -> list[RouteTarget]:
    """Rows that are not saved yet, to stand ``beside`` others of the route."""
    if len(beside) + len(specs) > MOST_TARGETS:
        raise Invalid(f"A route has at most {MOST_TARGETS} targets.", field="targets")
    rows = []
    for position, spec in enumerate(specs):
        model, endpoint = spec.get("model"), spec.get("endpoint")
        if (model is None) == (endpoint is None):
            raise Invalid("A target is a model or an endpoint: name one of them.", field="targets")
        facts = {name: value for name, value in spec.items() if name not in ("model", "endpoint")}
        values = clean_target(TargetFacts(**{"position": position, **facts}))  # type: ignore[typeddict-item]
        rows.append(RouteTarget(route=route, model=model, endpoint=endpoint, **values))
    if route.tenant is not None and any(row.endpoint is not None for row in rows) and not can(actor, "registry.view"):
        raise PermissionDenied(
            "Single endpoints are for the platform's staff to choose.", remedy="Name models: all of their endpoints."
        )
    check_models(actor, route, [*beside, *rows])
    return rows


def check_models(actor: Actor, route: Route, rows: Sequence[RouteTarget]) -> None:
    """That they are of one kind, and models that the route's tenant may call."""
    wanted = {model_of(row).pk: model_of(row) for row in rows}
    kinds = {model.kind for model in wanted.values()}
    if len(kinds) > 1:
        raise Invalid(
            f"The targets are of different kinds ({', '.join(sorted(kinds))}): a route serves one.", field="targets"
        )
    tenant = route.tenant
    if tenant is None:
        return
    new = {model_of(row).pk for row in rows if row._state.adding}
    allowed = set(callable_models_for(actor, tenant).filter(pk__in=new).values_list("pk", flat=True))
    for pk in new:
        if pk not in allowed:
            raise Invalid(
                f"{tenant.name} may not call {wanted[pk].slug}.",
                field="targets",
                code="model_not_callable",
                remedy="Ask a service admin to grant it.",
            )


def shown(rows: Iterable[RouteTarget]) -> list[dict[str, Any]]:
    """For the audit trail."""
    return [
        {
            "to": str(row),
            "purpose": str(row.purpose),
            "position": row.position,
            "weight": row.weight,
            "condition": row.condition,
            "arm": row.arm,
        }
        for row in rows
    ]
