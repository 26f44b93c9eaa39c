"""Models: what tenants find in the hub and name in their calls."""

from __future__ import annotations

from typing import Any, TypedDict, Unpack

from django.db import IntegrityError, transaction

from apps.models.models import Model
from apps.models.names import is_model_name, name_taken_by
from apps.models.types import LIFECYCLE_STEPS, Capability, Lifecycle, ModelKind
from apps.tenants import audit, validation
from apps.tenants.access import Actor, require
from apps.tenants.control_plane import control_plane_changed
from apps.tenants.errors import Conflict, Invalid
from apps.tenants.services.changes import apply_changes

MOST_TOKENS = 2**31 - 1
_TEXTS = {"description": 4000, "intended_use": 4000, "out_of_scope_use": 4000, "publisher": 100, "licence": 100}


class ModelFacts(TypedDict, total=False):
    kind: str
    publisher: str
    description: str
    intended_use: str
    out_of_scope_use: str
    licence: str
    licence_url: str
    licence_needs_acceptance: bool
    context_tokens: int | None
    max_output_tokens: int | None
    capabilities: list[str]
    is_open: bool


class ModelChanges(ModelFacts, total=False):
    name: str


@transaction.atomic
def create_model(
    *,
    actor: Actor,
    slug: str,
    name: str,
    lifecycle: str = Lifecycle.PROPOSED,
    **facts: Unpack[ModelFacts],
) -> Model:
    require(actor, "registry.manage", what="register models")
    slug = clean_model_slug(slug)
    values = clean_model(ModelChanges(name=name, **facts))
    values["lifecycle"] = validation.clean_choice(lifecycle, Lifecycle, field="lifecycle")
    if other := name_taken_by(slug):
        raise Conflict(f"{slug!r} is the name of {other} already.", code="slug_taken", field="slug")
    try:
        with transaction.atomic():
            model = Model.objects.create(slug=slug, **values)
    except IntegrityError:
        raise Conflict(f"There is a model {slug!r} already.", code="slug_taken", field="slug") from None
    audit.record(actor, "model.created", model, {"slug": slug, **values})
    control_plane_changed()
    return model


@transaction.atomic
def update_model(*, actor: Actor, model: Model, **changes: Unpack[ModelChanges]) -> Model:
    require(actor, "registry.manage", what="change models")
    values = clean_model(changes)
    model = Model.objects.select_for_update().get(pk=model.pk)
    if changed := apply_changes(model, values):
        audit.record(actor, "model.updated", model, changed)
        control_plane_changed()
    return model


@transaction.atomic
def set_lifecycle(*, actor: Actor, model: Model, lifecycle: str) -> Model:
    """Raises Conflict where the step is not one of ``LIFECYCLE_STEPS``."""
    require(actor, "registry.manage", what="change a model's lifecycle")
    wanted = Lifecycle(validation.clean_choice(lifecycle, Lifecycle, field="lifecycle"))
    model = Model.objects.select_for_update().get(pk=model.pk)
    present = Lifecycle(model.lifecycle)
    if wanted == present:
        return model
    if wanted not in LIFECYCLE_STEPS[present]:
        steps = ", ".join(sorted(step.label for step in LIFECYCLE_STEPS[present]))
        raise Conflict(
            f"{model.name} is {present.label.lower()}: it cannot become {wanted.label.lower()} from there.",
            code="lifecycle_step",
            field="lifecycle",
            remedy=f"It can become: {steps}.",
        )
    changed = apply_changes(model, {"lifecycle": wanted.value})
    audit.record(actor, "model.lifecycle_changed", model, changed)
    control_plane_changed()
    return model


def clean_model_slug(slug: str) -> str:
    slug = slug.strip()
    if not is_model_name(slug):
        raise Invalid(
            f"{slug[:60]!r} cannot be the name that applications call a model by.",
            field="slug",
            remedy="Use letters, digits, dots, hyphens, colons and slashes, for example acme/writer:8b.",
        )
    return slug


def clean_model(changes: ModelChanges) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if "name" in changes:
        values["name"] = validation.clean_name(changes["name"])
    if "kind" in changes:
        values["kind"] = validation.clean_choice(changes["kind"], ModelKind, field="kind")
    for field, text in changes.items():
        if field in _TEXTS:
            values[field] = validation.clean_text(str(text), field=field, maximum=_TEXTS[field])
    if "context_tokens" in changes:
        values["context_tokens"] = _clean_tokens(changes["context_tokens"], "context_tokens")
    if "max_output_tokens" in changes:
        values["max_output_tokens"] = _clean_tokens(changes["max_output_tokens"], "max_output_tokens")
    if "capabilities" in changes:
        chosen = {
            validation.clean_choice(capability, Capability, field="capabilities")
            for capability in changes["capabilities"]
        }
        values["capabilities"] = [capability for capability in Capability.values if capability in chosen]
    if "licence_url" in changes:
        values["licence_url"] = _clean_licence_url(changes["licence_url"])
    if "licence_needs_acceptance" in changes:
        values["licence_needs_acceptance"] = bool(changes["licence_needs_acceptance"])
    if "is_open" in changes:
        values["is_open"] = bool(changes["is_open"])
    if unknown := set(changes) - set(values):
        raise Invalid(f"{', '.join(sorted(unknown))} cannot be changed here.", field=min(unknown))
    return values


def _clean_licence_url(value: str) -> str:
    """An address that people follow: nothing calls it."""
    value = validation.clean_text(value, field="licence_url", maximum=500)
    if value and not value.startswith(("https://", "http://")):
        raise Invalid("The licence's address begins with https://.", field="licence_url")
    return value


def _clean_tokens(number: int | None, field: str) -> int | None:
    return None if number is None else validation.clean_number(number, field=field, minimum=1, maximum=MOST_TOKENS)
