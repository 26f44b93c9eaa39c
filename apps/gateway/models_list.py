"""What a caller may call, listed as each API lists its models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from apps.gateway.routing.plans import Plan

_encode = msgspec.json.Encoder().encode


def is_anthropic(headers: Mapping[bytes, bytes]) -> bool:
    """Whether the caller speaks Anthropic's API, in which this address exists as well: that names its version."""
    return b"anthropic-version" in headers


def list_body(plans: Sequence[Plan], *, anthropic: bool) -> bytes:
    if not anthropic:
        return _encode({"object": "list", "data": [_model(plan) for plan in plans]})
    data = [_anthropic_model(plan) for plan in plans]
    ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"]} if data else {"first_id": None, "last_id": None}
    return _encode({"data": data, "has_more": False, **ends})


def model_body(plan: Plan, *, anthropic: bool) -> bytes:
    return _encode(_anthropic_model(plan) if anthropic else _model(plan))


def _model(plan: Plan) -> dict[str, Any]:
    owner = "lobby" if plan.route is not None else plan.model.publisher or "lobby"
    return {"id": plan.slug, "object": "model", "created": plan.model.created, "owned_by": owner}


def _anthropic_model(plan: Plan) -> dict[str, Any]:
    created = datetime.fromtimestamp(plan.model.created, UTC).isoformat().replace("+00:00", "Z")
    return {
        "type": "model",
        "id": plan.slug,
        "display_name": plan.slug,
        "created_at": created,
        "lifecycle": "active",
        "max_tokens": plan.model.max_output_tokens,
    }
