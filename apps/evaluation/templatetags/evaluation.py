"""How evaluation's templates show values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import template

from apps.evaluation import figures, showing
from apps.evaluation.models import GateDecision
from apps.evaluation.services.gates import review_path_of

register = template.Library()


@register.filter
def written(value: Any) -> str:
    """A JSON value as a person reads it; empty for null."""
    return showing.written(value)


@register.filter
def level(value: float | None, kind: str) -> str:
    """A mean of scores of a kind (``types.ValueKind``)."""
    return figures.level(value, kind)


@register.filter
def one_score(value: float | None, kind: str) -> str:
    """What one example got."""
    return figures.one_score(value, kind)


@register.filter
def change(value: float | None, kind: str) -> str:
    """A difference of means, with its sign."""
    return figures.change(value, kind)


@register.filter
def between(interval: Mapping[str, float], kind: str) -> str:
    """The interval of such a difference."""
    return figures.between(interval["low"], interval["high"], kind)


@register.filter
def size(value: float | None, kind: str) -> str:
    """A margin, a noise floor: a difference without a sign."""
    return figures.change(value, kind, signed=False)


@register.simple_tag
def review_url(decision: GateDecision) -> str:
    """Where what a decision is about is reviewed."""
    return review_path_of(decision)
