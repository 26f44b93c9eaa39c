"""Endpoints: where a model can be called."""

from __future__ import annotations

from typing import Any, TypedDict, Unpack, cast

from django.db import IntegrityError, transaction

from apps.models.models import Endpoint, Model, Provider
from apps.models.provider_settings import clean_endpoint_settings
from apps.tenants import audit, validation
from apps.tenants.access import Actor, require
from apps.tenants.control_plane import control_plane_changed
from apps.tenants.errors import Conflict, Invalid
from apps.tenants.services.changes import apply_changes

LOWEST_PRIORITY = 10_000
LONGEST_TIMEOUT_MS = 3_600_000
_TIMEOUTS = ("connect_timeout_ms", "first_byte_timeout_ms", "idle_timeout_ms", "total_timeout_ms")


class EndpointChanges(TypedDict, total=False):
    region: str
    priority: int
    connect_timeout_ms: int
    first_byte_timeout_ms: int
    idle_timeout_ms: int
    total_timeout_ms: int
    settings: dict[str, str]


@transaction.atomic
def create_endpoint(
    *, actor: Actor, model: Model, provider: Provider, upstream_model: str, **changes: Unpack[EndpointChanges]
) -> Endpoint:
    """Without a priority it comes after the model's other endpoints; without a region it is in the provider's."""
    require(actor, "registry.manage", what="register endpoints")
    upstream_model = validation.clean_name(upstream_model, field="upstream_model", maximum=300)
    values = _clean(provider, changes)
    values.setdefault("priority", Endpoint.objects.filter(model=model).count())
    values["region"] = values.get("region") or provider.settings.get("region", "")
    try:
        with transaction.atomic():
            endpoint = Endpoint.objects.create(model=model, provider=provider, upstream_model=upstream_model, **values)
    except IntegrityError:
        raise Conflict(
            f"{model.name} has the endpoint {upstream_model!r} at {provider.name} already.", code="endpoint_taken"
        ) from None
    facts = {"model": model.slug, "provider": provider.slug, "upstream_model": upstream_model, **values}
    audit.record(actor, "endpoint.created", endpoint, facts)
    control_plane_changed()
    return endpoint


@transaction.atomic
def update_endpoint(*, actor: Actor, endpoint: Endpoint, **changes: Unpack[EndpointChanges]) -> Endpoint:
    require(actor, "registry.manage", what="change endpoints")
    endpoint = _locked(endpoint)
    values = _clean(endpoint.provider, changes)
    try:
        with transaction.atomic():
            changed = apply_changes(endpoint, values)
    except IntegrityError:
        raise Conflict(
            f"{endpoint.model.name} has such an endpoint in that region already.", code="endpoint_taken"
        ) from None
    if changed:
        audit.record(actor, "endpoint.updated", endpoint, changed)
        control_plane_changed()
    return endpoint


@transaction.atomic
def enable_endpoint(*, actor: Actor, endpoint: Endpoint) -> Endpoint:
    return _set_enabled(actor, endpoint, True, "endpoint.enabled")


@transaction.atomic
def disable_endpoint(*, actor: Actor, endpoint: Endpoint) -> Endpoint:
    return _set_enabled(actor, endpoint, False, "endpoint.disabled")


def _set_enabled(actor: Actor, endpoint: Endpoint, value: bool, action: str) -> Endpoint:
    require(actor, "registry.manage", what="change endpoints")
    endpoint = _locked(endpoint)
    # What somebody decided is no longer what discovery found missing.
    if apply_changes(endpoint, {"is_enabled": value, "missing_since": None}):
        audit.record(actor, action, endpoint, {})
        control_plane_changed()
    return endpoint


def _locked(endpoint: Endpoint) -> Endpoint:
    rows = Endpoint.objects.select_related("model", "provider").select_for_update(of=("self",))
    return rows.get(pk=endpoint.pk)


def _clean(provider: Provider, changes: EndpointChanges) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if "region" in changes:
        values["region"] = next(iter(validation.clean_regions([changes["region"]])), "")
    if "priority" in changes:
        values["priority"] = validation.clean_number(
            changes["priority"], field="priority", minimum=0, maximum=LOWEST_PRIORITY
        )
    for field, milliseconds in changes.items():
        if field in _TIMEOUTS:
            values[field] = validation.clean_number(
                cast(int, milliseconds), field=field, minimum=1, maximum=LONGEST_TIMEOUT_MS
            )
    if "settings" in changes:
        values["settings"] = clean_endpoint_settings(provider.kind, changes["settings"])
    if unknown := set(changes) - set(values):
        raise Invalid(f"{', '.join(sorted(unknown))} cannot be changed here.", field=min(unknown))
    return values
