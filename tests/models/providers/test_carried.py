"""Parameters of a prompt that the caller's API has no word for: said where the upstream's has one, named elsewhere."""

from __future__ import annotations

import msgspec
import pytest

from apps.models.providers.adapters import make_adapters
from apps.models.providers.base import Target, UpstreamCall

CARRIED = {"seed": 7, "stop": ["END"]}


@pytest.mark.parametrize(
    ("kind", "said", "dropped"),
    [
        ("openai", {}, ("prompt.seed", "prompt.stop")),  # which takes the call as it is
        ("openai_compatible", CARRIED, ()),
        ("anthropic", {"stop_sequences": ["END"]}, ("prompt.seed",)),
    ],
)
def test_they_reach_the_upstreams_that_know_them(kind: str, said: dict[str, object], dropped: tuple[str, ...]) -> None:
    fields = {"model": msgspec.Raw(b'"writer"'), "input": msgspec.Raw(b'"Hello"')}
    call = UpstreamCall("responses", fields, max_output_tokens=5, model="writer", carried=CARRIED)
    prepared = make_adapters()[kind].prepare(Target("https://192.0.43.7/v1", "writer", "k"), call, attempt_id="a")
    body = msgspec.json.decode(prepared.request.read())
    assert {name: body.get(name) for name in said} == said
    assert ("seed" in body, prepared.dropped) == ("seed" in said, dropped)
