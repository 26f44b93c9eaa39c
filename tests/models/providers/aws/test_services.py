"""What Amazon's services are sent beside the body."""

from __future__ import annotations

import pytest
from msgspec import Raw

from apps.models.providers.adapters import make_adapters
from apps.models.providers.base import Target, UpstreamCall
from apps.models.types import ProviderKind

ADAPTERS = make_adapters()
SHOWN = {"anthropic-beta": "a-feature", "accept": "text/plain"}
MESSAGES = {
    "messages": Raw(b'[{"role":"user","content":"Hi"}]'),
    "max_tokens": Raw(b"5"),
    "anthropic_version": Raw(b'"bedrock-2023-05-31"'),
}


@pytest.mark.parametrize(
    ("operation", "kind", "passes"),
    [
        ("invoke", ProviderKind.BEDROCK, True),
        ("messages", ProviderKind.BEDROCK, False),
        ("invoke", ProviderKind.SAGEMAKER, False),
    ],
)
def test_a_callers_headers_go_to_who_speaks_its_dialect(operation: str, kind: str, passes: bool) -> None:
    target = Target("https://bedrock-runtime.eu-central-1.amazonaws.com", "anthropic.claude", "a-bearer-token")
    call = UpstreamCall(operation, MESSAGES, content=b"{}", headers=SHOWN)  # type: ignore[arg-type]
    request = ADAPTERS[kind].prepare(target, call, attempt_id="a").request
    assert ("anthropic-beta" in request.headers) is passes
    assert ("accept" in request.headers) is passes
