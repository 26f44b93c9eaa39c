"""What routing reads of a request."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from apps.gateway.fronts.base import Arrived
from apps.gateway.fronts.openai import ChatFront
from apps.gateway.routing.callers import Caller, facts_of
from tests.gateway.routing.making import principal, snapshot

TOOL = {"type": "function", "function": {"name": "look"}}


@pytest.mark.parametrize(
    ("tools", "has_tools"), [({}, False), ({"tools": []}, False), ({"tools": None}, False), ({"tools": [TOOL]}, True)]
)
def test_tools_are_offered_where_there_is_one(tools: dict[str, Any], has_tools: bool) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}], **tools}
    parsed = ChatFront().parse(Arrived("", {}, json.dumps(body).encode()))
    assert facts_of(Caller(), principal(), snapshot(), parsed, 1, time.time()).has_tools is has_tools
