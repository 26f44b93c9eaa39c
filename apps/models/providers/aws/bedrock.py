"""The adapter of Amazon Bedrock: Converse and InvokeModel pass, other conversations become Converse."""

from __future__ import annotations

import httpx

from apps.models.providers.aws.services import AwsService, bedrock_headers, bedrock_path
from apps.models.providers.base import Usage
from apps.models.providers.composed import ComposedAdapter
from apps.models.providers.dialects import CONVERSE, INVOKE, INVOKE_EMBEDDINGS
from apps.models.providers.dialects.invoke.shapes import counted

_KINDS = ("input", "output", "cache-read-input", "cache-write-input")


def bedrock_adapter() -> ComposedAdapter:
    return ComposedAdapter(
        AwsService("bedrock", bedrock_path, bedrock_headers),
        {"converse": CONVERSE, "invoke": INVOKE},
        into=CONVERSE,
        embeddings=INVOKE_EMBEDDINGS,
        request_id_header="x-amzn-requestid",
        usage_in_headers=_usage_in_headers,
    )


def _usage_in_headers(headers: httpx.Headers) -> Usage | None:
    """InvokeModel tells it there, whatever the body's shape."""
    counts = [headers.get(f"x-amzn-bedrock-{kind}-token-count", "") for kind in _KINDS]
    if not any(counts):
        return None
    return counted(*(int(count) if count.isdecimal() else 0 for count in counts))
