"""How evaluation's templates show values."""

from __future__ import annotations

from typing import Any

from django import template

from apps.evaluation import showing

register = template.Library()


@register.filter
def written(value: Any) -> str:
    """A JSON value as a person reads it; empty for null."""
    return showing.written(value)
