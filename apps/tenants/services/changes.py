"""Writing only what differs, and saying so in the audit trail."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import models


def apply_changes(instance: models.Model, values: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Set and save the fields whose value differs; returns ``{field: [from, to]}``, empty when nothing did."""
    changed: dict[str, list[Any]] = {}
    for field, value in values.items():
        before = getattr(instance, field)
        if before != value:
            changed[field] = [before, value]
            setattr(instance, field, value)
    if changed:
        instance.save(update_fields=list(changed))
    return changed
